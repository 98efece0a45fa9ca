//! `zabbix`: an item of a Zabbix agent (passive check: zabbix.com/documentation, appendix "Zabbix protocol", header `ZBXD`).

use contract::document::ZabbixCheck;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Dial, Preparing, quoted};
use crate::net::{AnyStream, Endpoint, classify, open};
use crate::observation::{Problem, Step, Trace, Verdict};
use crate::reason::Reason;

/// What every message begins with, and the flag of the protocol without compression.
const HEAD: &[u8; 5] = b"ZBXD\x01";
/// The longest answer that is read.
const LARGEST: u32 = 64 * 1024;

/// A Zabbix agent.
#[derive(Debug)]
pub(crate) struct Probe {
    endpoint: Endpoint,
    key: String,
    equals: Option<String>,
}

impl Probe {
    pub(super) fn prepare(check: &ZabbixCheck, preparing: &mut Preparing<'_>) -> Option<Self> {
        if check.key.is_empty() || check.key.chars().any(char::is_control) {
            preparing.wrong("key", "bad-key", "expected the key of an item, such as agent.ping");
        }
        let ping = check.key == "agent.ping";
        let equals = check.equals.clone().or_else(|| ping.then(|| "1".to_owned()));
        Some(Self { endpoint: preparing.endpoint("address", &check.address)?, key: check.key.clone(), equals })
    }

    pub(super) fn target(&self) -> String {
        format!("{} {}", self.endpoint, self.key)
    }

    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        Some(&self.endpoint)
    }

    pub(super) async fn look(&self, dial: &Dial<'_>, trace: &mut Trace) -> Verdict {
        let (mut stream, _) = open(&self.endpoint, None, dial, trace).await?;
        trace.step = Step::Answer;
        let peer = trace.address.clone().unwrap_or_default();
        let mut question = HEAD.to_vec();
        question.extend_from_slice(&(self.key.len() as u32).to_le_bytes());
        question.extend_from_slice(&[0; 4]);
        question.extend_from_slice(self.key.as_bytes());
        let answer = ask(&mut stream, &question, &peer).await?;
        self.judge(&peer, &answer)
    }

    fn judge(&self, peer: &str, answer: &[u8]) -> Verdict {
        let text = String::from_utf8_lossy(answer);
        if let Some(why) = text.strip_prefix("ZBX_NOTSUPPORTED") {
            let why = quoted(why.trim_start_matches('\0'), &[]);
            return Err(Problem::fail(Reason::ValueMismatch, format!("{peer} does not know {}: {why}", self.key)));
        }
        let said = quoted(&text, &[]);
        match &self.equals {
            Some(wanted) if *wanted != text.trim() => {
                let message = format!("{} at {peer} is {said}, wanted {wanted}", self.key);
                Err(Problem::fail(Reason::ValueMismatch, message))
            }
            _ => Ok(format!("{} is {}", self.key, said.trim_matches('"'))),
        }
    }
}

async fn ask(stream: &mut AnyStream, question: &[u8], peer: &str) -> Result<Vec<u8>, Problem> {
    let broken = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset => {
            let message = format!("{peer} hangs up on us: our address is not in the Server= of its configuration");
            Problem::fail(Reason::AuthFailed, message)
        }
        _ => classify(peer, &error),
    };
    stream.write_all(question).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    let mut head = [0; 13];
    stream.read_exact(&mut head).await.map_err(broken)?;
    let length = u32::from_le_bytes([head[5], head[6], head[7], head[8]]);
    if head[..4] != HEAD[..4] || head[4] & 0x01 == 0 {
        return Err(Problem::fail(Reason::BannerMismatch, format!("{peer} is no Zabbix agent")));
    }
    // Flags beside the first stand for compressed and large packets, which no answer of a few bytes is.
    if head[4] != 0x01 || length > LARGEST {
        return Err(Problem::fail(Reason::BannerMismatch, format!("{peer} answers with a packet of an odd kind")));
    }
    let mut answer = vec![0; length as usize];
    stream.read_exact(&mut answer).await.map_err(broken)?;
    Ok(answer)
}
