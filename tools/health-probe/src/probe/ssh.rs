//! `ssh`: the identification line of an SSH server (RFC 4253, section 4.2), and its host key.

use contract::document::SshCheck;

use super::ssh_kex::{HostKey, exchange};
use super::talk::Talk;
use super::{Dial, Preparing, quoted};
use crate::net::{Endpoint, connect};
use crate::observation::{Problem, Step, Trace, Verdict};
use crate::reason::Reason;

/// How we introduce ourselves.
const OURS: &str = concat!("SSH-2.0-health_probe_", env!("CARGO_PKG_VERSION"));

/// Lines that a server may say before it identifies itself.
const LINES_BEFORE: usize = 20;

/// An SSH server.
#[derive(Debug)]
pub(crate) struct Probe {
    endpoint: Endpoint,
    host_key: Option<HostKey>,
}

impl Probe {
    pub(super) fn prepare(check: &SshCheck, preparing: &mut Preparing<'_>) -> Option<Self> {
        let host_key = check.host_key.as_deref().map(HostKey::parse).transpose();
        let host_key = host_key.map_err(|why| preparing.wrong("host_key", "bad-fingerprint", why)).ok();
        Some(Self { endpoint: preparing.endpoint("address", &check.address)?, host_key: host_key? })
    }

    pub(super) fn target(&self) -> String {
        self.endpoint.to_string()
    }

    /// The machine that is asked.
    pub(super) fn host(&self) -> &str {
        &self.endpoint.host
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
        let said = talk.say(format!("{OURS}\r\n").as_bytes()).await;
        if let Some(host_key) = &self.host_key {
            said?;
            let shown = exchange(&mut talk, &peer, host_key, OURS, &line).await?;
            host_key.judge(&peer, &shown)?;
            return Ok(format!("{}, {shown}", quoted(&line, &[]).trim_matches('"')));
        }
        Ok(quoted(&line, &[]).trim_matches('"').to_owned())
    }
}
