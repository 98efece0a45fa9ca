//! `tls`: a handshake and the certificates.

use contract::document::TlsCheck;

use super::{Dial, Preparing};
use crate::net::{Endpoint, TlsPlan, connect, handshake};
use crate::observation::{Trace, Verdict};

/// A TLS handshake.
#[derive(Debug)]
pub(crate) struct Probe {
    endpoint: Endpoint,
    plan: TlsPlan,
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
        let (_stream, warning) = handshake(stream, &self.endpoint.host, &self.plan, dial, trace).await?;
        match warning {
            Some(warning) => Err(warning),
            None => {
                let until = trace.certificate.as_ref().map(|one| one.chain_expires_at.clone()).unwrap_or_default();
                Ok(format!("valid until {until}"))
            }
        }
    }
}
