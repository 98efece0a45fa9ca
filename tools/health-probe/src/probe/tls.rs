//! `tls`: a handshake and the certificates.

use std::sync::Arc;
use std::time::Duration;

use contract::document::TlsCheck;
use tokio::io::AsyncReadExt;

use super::{Dial, Preparing};
use crate::net::{Endpoint, TlsPlan, classify, connect, handshake};
use crate::observation::{Problem, Trace, Verdict};
use crate::reason::Reason;

/// How long a server that asks for a certificate of ours is given to say that it insists. With TLS 1.3 that comes after the
/// handshake.
const INSISTS_WITHIN: Duration = Duration::from_millis(300);

/// A TLS handshake.
#[derive(Debug)]
pub(crate) struct Probe {
    endpoint: Endpoint,
    plan: Arc<TlsPlan>,
}

impl Probe {
    pub(super) fn prepare(check: &TlsCheck, preparing: &mut Preparing<'_>) -> Option<Self> {
        let endpoint = preparing.endpoint("address", &check.address);
        let plan = preparing.tls("expect", &check.expect);
        Some(Self { endpoint: endpoint?, plan: plan? })
    }

    pub(super) fn target(&self) -> String {
        self.endpoint.to_string()
    }

    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        Some(&self.endpoint)
    }

    pub(super) async fn look(&self, dial: &Dial<'_>, trace: &mut Trace) -> Verdict {
        let stream = connect(&self.endpoint, dial, trace).await?;
        let (mut stream, warning) = handshake(stream, &self.endpoint.host, &self.plan, dial, trace).await?;
        if trace.asked_for_certificate {
            let said = tokio::time::timeout(INSISTS_WITHIN, stream.read_u8()).await;
            if let Ok(Err(error)) = said {
                let peer = trace.address.clone().unwrap_or_default();
                let problem = classify(&peer, &error);
                match problem.reason {
                    Reason::TlsClientCertRequired | Reason::TlsHandshake => return Err(problem),
                    Reason::ConnectReset if self.plan.client.is_none() => {
                        let message = format!("{peer} asks for a certificate of ours, and hangs up without one");
                        return Err(Problem::fail(Reason::TlsClientCertRequired, message));
                    }
                    _ => {}
                }
            }
        }
        match warning {
            Some(warning) => Err(warning),
            None => {
                let until = trace.certificate.as_ref().map(|one| one.chain_expires_at.clone()).unwrap_or_default();
                Ok(format!("valid until {until}"))
            }
        }
    }
}
