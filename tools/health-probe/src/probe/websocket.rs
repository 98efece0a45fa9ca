//! `websocket`: the upgrade and a first message (RFC 6455).

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use contract::document::WebSocketCheck;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::sha1::sha1;
use super::url::Url;
use super::{Dial, Preparing};
use crate::net::{Endpoint, Stream, TlsPlan, classify, connect, handshake};
use crate::observation::{Problem, Step, Trace, Verdict};
use crate::profile::Kind;
use crate::reason::Reason;

/// The largest head of an answer.
const LARGEST_HEAD: usize = 16 * 1024;
/// What is added to our key to make the server's (section 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A WebSocket.
#[derive(Debug)]
pub(crate) struct Probe {
    url: Url,
    first_message: bool,
    connect: Option<Endpoint>,
    tls: Arc<TlsPlan>,
}

impl Probe {
    pub(super) fn prepare(check: &WebSocketCheck, preparing: &mut Preparing<'_>) -> Option<Self> {
        let url = Url::parse(&check.url, "ws", "wss").map_err(|why| preparing.wrong("url", "bad-url", why)).ok();
        let tls = preparing.tls("tls", &check.tls);
        let connect = match check.connect.as_deref() {
            Some(text) => Some(preparing.endpoint("connect", text)?),
            None => None,
        };
        let mut url = url?;
        let mut first_message = check.first_message;
        if let Some(profile) = preparing.profile.filter(|profile| profile.kind == Kind::WebSocket) {
            first_message = true;
            if url.path == "/" {
                profile.path.clone_into(&mut url.path);
            }
        }
        Some(Self { url, first_message, connect, tls: tls? })
    }

    pub(super) fn target(&self) -> String {
        let url = self.url.shown("ws", "wss");
        self.connect.as_ref().map_or(url.clone(), |connect| format!("{url} at {connect}"))
    }

    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        Some(self.connect.as_ref().unwrap_or(&self.url.endpoint))
    }

    pub(super) async fn look(&self, dial: &Dial<'_>, trace: &mut Trace) -> Verdict {
        let stream = connect(self.connect.as_ref().unwrap_or(&self.url.endpoint), dial, trace).await?;
        if self.url.secure {
            let (stream, warning) = handshake(stream, &self.url.endpoint.host, &self.tls, dial, trace).await?;
            let verdict = self.upgrade(stream, trace).await;
            warning.map_or(verdict.clone(), |warning| verdict.and(Err(warning)))
        } else {
            self.upgrade(stream, trace).await
        }
    }

    async fn upgrade<S: Stream>(&self, mut stream: S, trace: &mut Trace) -> Verdict {
        trace.step = Step::Answer;
        let peer = trace.address.clone().unwrap_or_default();
        let key = STANDARD.encode(nonce());
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: health-probe/{}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n",
            self.url.path,
            self.url.authority(),
            env!("CARGO_PKG_VERSION"),
        );
        let broken = |error: std::io::Error| classify(&peer, &error);
        stream.write_all(request.as_bytes()).await.map_err(broken)?;
        stream.flush().await.map_err(broken)?;
        let mut heard = Vec::new();
        let end = loop {
            if let Some(end) = heard.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            let mut buffer = [0; 1024];
            let read = stream.read(&mut buffer).await.map_err(broken)?;
            if read == 0 || heard.len() > LARGEST_HEAD {
                let message = format!("{peer} does not answer the upgrade with HTTP");
                return Err(Problem::fail(Reason::WsUpgrade, message));
            }
            heard.extend_from_slice(&buffer[..read]);
        };
        let head = String::from_utf8_lossy(&heard[..end]).into_owned();
        let status: Option<u16> = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        trace.http_status = status;
        let accept = STANDARD.encode(sha1(format!("{key}{GUID}").as_bytes()));
        let accepted = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .any(|(name, value)| name.trim().eq_ignore_ascii_case("sec-websocket-accept") && value.trim() == accept);
        if status != Some(101) || !accepted {
            let said = status.map_or("no status".to_owned(), |status| format!("status {status}"));
            let message = format!("{peer} does not switch to WebSocket: {said}");
            return Err(Problem::fail(Reason::WsUpgrade, message));
        }
        trace.step = Step::Message;
        if !self.first_message {
            // A ping must be answered (section 5.5.2); any frame proves that somebody is there.
            stream.write_all(&frame(0x89)).await.map_err(broken)?;
            stream.flush().await.map_err(broken)?;
        }
        let mut frames = Frames { stream, heard: heard.split_off(end), peer: &peer };
        loop {
            let (kind, length) = frames.next().await?;
            match kind {
                0x8 => {
                    let message = format!("{peer} closed the WebSocket before a message came");
                    return Err(Problem::fail(Reason::WsSilent, message));
                }
                // Ping and pong are no messages.
                0x9 | 0xa if self.first_message => frames.skip(length).await?,
                _ => break,
            }
        }
        let _ = frames.stream.write_all(&frame(0x88)).await;
        Ok(if self.first_message { "a message came".into() } else { "switched to WebSocket, and answers".into() })
    }
}

/// Frames of the server.
struct Frames<'a, S> {
    stream: S,
    heard: Vec<u8>,
    peer: &'a str,
}

impl<S: Stream> Frames<'_, S> {
    /// Kind and length of the next frame; long ones are not looked into, so their length is not read.
    async fn next(&mut self) -> Result<(u8, usize), Problem> {
        self.fill(2).await?;
        let head: Vec<u8> = self.heard.drain(..2).collect();
        Ok((head[0] & 0x0f, usize::from(head[1] & 0x7f)))
    }

    /// Passes over what a control frame carries: at most 125 bytes.
    async fn skip(&mut self, length: usize) -> Result<(), Problem> {
        self.fill(length).await?;
        self.heard.drain(..length);
        Ok(())
    }

    async fn fill(&mut self, length: usize) -> Result<(), Problem> {
        while self.heard.len() < length {
            let mut buffer = [0; 1024];
            let read = self.stream.read(&mut buffer).await.map_err(|error| classify(self.peer, &error))?;
            if read == 0 {
                let message = format!("{} closed the connection before a message came", self.peer);
                return Err(Problem::fail(Reason::WsSilent, message));
            }
            self.heard.extend_from_slice(&buffer[..read]);
        }
        Ok(())
    }
}

/// An empty control frame of a client: masked (section 5.3), with a mask that hides nothing because there is nothing.
fn frame(kind: u8) -> [u8; 6] {
    [kind, 0x80, 0, 0, 0, 0]
}

/// Sixteen bytes that differ from one connection to the next; caches in between are what they are for, not attackers.
fn nonce() -> [u8; 16] {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    (time ^ (u128::from(std::process::id()) << 96)).to_be_bytes()
}
