//! `mail`: SMTP (RFC 5321, 3207), IMAP (RFC 9051) or POP3 (RFC 1939, 2595), with STARTTLS; TLS from the start on ports 465, 993 and
//! 995 (RFC 8314).

use std::sync::Arc;

use contract::document::{MailCheck, MailProtocol};

use super::talk::Talk;
use super::{Dial, Preparing, quoted};
use crate::net::{Endpoint, Stream, TlsPlan, connect, handshake};
use crate::observation::{Problem, Step, Trace, Verdict};
use crate::reason::Reason;

/// The most lines of one answer.
const MOST_LINES: usize = 100;

/// A mail server.
#[derive(Debug)]
pub(crate) struct Probe {
    endpoint: Endpoint,
    protocol: MailProtocol,
    starttls: bool,
    tls: Arc<TlsPlan>,
}

impl Probe {
    pub(super) fn prepare(check: &MailCheck, preparing: &mut Preparing<'_>) -> Option<Self> {
        let endpoint = preparing.endpoint("address", &check.address);
        let tls = preparing.tls("tls", &check.tls);
        let probe = Self { endpoint: endpoint?, protocol: check.protocol, starttls: check.starttls, tls: tls? };
        if probe.starttls && probe.is_secure_from_the_start() {
            let message = format!("port {} speaks TLS from the start: take starttls away", probe.endpoint.port);
            preparing.wrong("starttls", "contradiction", message);
        }
        Some(probe)
    }

    fn is_secure_from_the_start(&self) -> bool {
        let port = match self.protocol {
            MailProtocol::Smtp => 465,
            MailProtocol::Imap => 993,
            MailProtocol::Pop3 => 995,
        };
        self.endpoint.port == port
    }

    pub(super) fn target(&self) -> String {
        self.endpoint.to_string()
    }

    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        Some(&self.endpoint)
    }

    pub(super) async fn look(&self, dial: &Dial<'_>, trace: &mut Trace) -> Verdict {
        let mut stream = connect(&self.endpoint, dial, trace).await?;
        let host = &self.endpoint.host;
        let peer = trace.address.clone().unwrap_or_default();
        if self.is_secure_from_the_start() {
            let (mut stream, warning) = handshake(stream, host, &self.tls, dial, trace).await?;
            trace.step = Step::Answer;
            self.greet(&mut stream, &peer).await?;
            return warning.map_or(Ok("greets, over TLS".into()), Err);
        }
        trace.step = Step::Answer;
        self.greet(&mut stream, &peer).await?;
        if !self.starttls {
            return Ok("greets".into());
        }
        self.start_tls(&mut stream, &peer).await?;
        let (mut stream, warning) = handshake(stream, host, &self.tls, dial, trace).await?;
        trace.step = Step::Answer;
        let mut talk = Talk::new(&mut stream, &peer);
        match self.protocol {
            MailProtocol::Smtp => {
                smtp(&mut talk, &peer, "EHLO health-probe.invalid\r\n", "250").await?;
                let _ = talk.say(b"QUIT\r\n").await;
            }
            MailProtocol::Imap => imap(&mut talk, &peer, "a2 LOGOUT\r\n").await.map(drop)?,
            MailProtocol::Pop3 => pop3(&mut talk, &peer, "QUIT\r\n").await?,
        }
        warning.map_or(Ok("greets, and encrypts after STARTTLS".into()), Err)
    }

    async fn greet<S: Stream>(&self, stream: &mut S, peer: &str) -> Result<(), Problem> {
        let mut talk = Talk::new(stream, peer);
        match self.protocol {
            MailProtocol::Smtp => smtp(&mut talk, peer, "", "220").await.map(drop),
            MailProtocol::Imap => {
                let line = talk.line().await?;
                if line.starts_with("* OK") || line.starts_with("* PREAUTH") { Ok(()) } else { Err(odd(peer, &line)) }
            }
            MailProtocol::Pop3 => pop3(&mut talk, peer, "").await,
        }
    }

    async fn start_tls<S: Stream>(&self, stream: &mut S, peer: &str) -> Result<(), Problem> {
        let mut talk = Talk::new(stream, peer);
        let missing = || Problem::fail(Reason::TlsHandshake, format!("{peer} does not offer STARTTLS"));
        match self.protocol {
            MailProtocol::Smtp => {
                let offers = smtp(&mut talk, peer, "EHLO health-probe.invalid\r\n", "250").await?;
                if !offers.iter().any(|line| line.get(4..).is_some_and(|word| word.eq_ignore_ascii_case("STARTTLS"))) {
                    return Err(missing());
                }
                smtp(&mut talk, peer, "STARTTLS\r\n", "220").await.map(drop)
            }
            // A server that does not offer it says so with NO or BAD.
            MailProtocol::Imap => {
                let answer = imap(&mut talk, peer, "a1 STARTTLS\r\n").await?;
                if answer.starts_with("a1 OK") { Ok(()) } else { Err(missing()) }
            }
            MailProtocol::Pop3 => {
                talk.say(b"STLS\r\n").await?;
                if talk.line().await?.starts_with("+OK") { Ok(()) } else { Err(missing()) }
            }
        }
    }
}

/// Says something and hears an answer of one or more lines that begin with `code`.
async fn smtp<S: Stream>(talk: &mut Talk<'_, S>, peer: &str, say: &str, code: &str) -> Result<Vec<String>, Problem> {
    talk.say(say.as_bytes()).await?;
    let mut lines = Vec::new();
    while lines.len() < MOST_LINES {
        let line = talk.line().await?;
        if !line.starts_with(code) {
            return Err(odd(peer, &line));
        }
        let more = line.as_bytes().get(3) == Some(&b'-');
        lines.push(line);
        if !more {
            return Ok(lines);
        }
    }
    Err(odd(peer, "an answer without an end"))
}

/// Says something and hears until the line that answers it.
async fn imap<S: Stream>(talk: &mut Talk<'_, S>, peer: &str, say: &str) -> Result<String, Problem> {
    talk.say(say.as_bytes()).await?;
    let tag = say.split(' ').next().unwrap_or_default();
    for _ in 0..MOST_LINES {
        let line = talk.line().await?;
        if line.starts_with(tag) {
            return Ok(line);
        }
        if !line.starts_with('*') {
            return Err(odd(peer, &line));
        }
    }
    Err(odd(peer, "an answer without an end"))
}

/// Says something and hears the one line that answers it.
async fn pop3<S: Stream>(talk: &mut Talk<'_, S>, peer: &str, say: &str) -> Result<(), Problem> {
    talk.say(say.as_bytes()).await?;
    let line = talk.line().await?;
    if line.starts_with("+OK") { Ok(()) } else { Err(odd(peer, &line)) }
}

fn odd(peer: &str, line: &str) -> Problem {
    let reason = if line.starts_with("421") { Reason::Starting } else { Reason::BannerMismatch };
    Problem::fail(reason, format!("{peer} says {}", quoted(line, &[])))
}
