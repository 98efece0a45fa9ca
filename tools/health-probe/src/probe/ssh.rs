//! `ssh`: the identification line of an SSH server (RFC 4253, section 4.2).

use contract::document::SshCheck;

use super::talk::Talk;
use super::{Dial, Preparing, quoted};
use crate::net::{Endpoint, connect};
use crate::observation::{Problem, Step, Trace, Verdict};
use crate::reason::Reason;

/// Lines that a server may say before it identifies itself.
const LINES_BEFORE: usize = 20;

/// An SSH server.
#[derive(Debug)]
pub(crate) struct Probe {
    endpoint: Endpoint,
}

impl Probe {
    pub(super) fn prepare(check: &SshCheck, preparing: &mut Preparing<'_>) -> Option<Self> {
        Some(Self { endpoint: preparing.endpoint("address", &check.address)? })
    }

    pub(super) fn target(&self) -> String {
        self.endpoint.to_string()
    }

    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        Some(&self.endpoint)
    }

    pub(super) async fn look(&self, dial: &Dial<'_>, trace: &mut Trace) -> Verdict {
        let mut stream = connect(&self.endpoint, dial, trace).await?;
        trace.step = Step::Answer;
        let peer = trace.address.clone().unwrap_or_default();
        let mut talk = Talk::new(&mut stream, &peer);
        let mut line = String::new();
        for _ in 0..=LINES_BEFORE {
            line = talk.line().await?;
            if line.starts_with("SSH-") {
                break;
            }
        }
        if !(line.starts_with("SSH-2.0-") || line.starts_with("SSH-1.99-")) {
            let message = format!("{peer} says {}, which is no SSH 2", quoted(&line, &[]));
            return Err(Problem::fail(Reason::BannerMismatch, message));
        }
        // A server counts a client that says nothing as a rude one; after this line it is merely one that left.
        let _ = talk.say(concat!("SSH-2.0-health_probe_", env!("CARGO_PKG_VERSION"), "\r\n").as_bytes()).await;
        Ok(quoted(&line, &[]).trim_matches('"').to_owned())
    }
}
