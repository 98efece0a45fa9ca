//! `postgres`: a start-up, and a login where a password is given (PostgreSQL manual, chapter 55, protocol 3.0).
//!
//! Without a password the check ends when the server asks for one, as `pg_isready` does: it takes connections.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cli::Secret;
use contract::SecretRef;
use contract::document::PostgresCheck;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::{Dial, Preparing, quoted};
use crate::net::{Endpoint, Stream, TlsPlan, classify, connect, handshake};
use crate::observation::{Problem, Step, Trace, Verdict};
use crate::reason::Reason;

/// The largest message that is read; the server's are small until it has data to send.
const LARGEST: u32 = 64 * 1024;
/// The most messages that are read: a server that never comes to the point is no server.
const MOST_MESSAGES: usize = 200;

/// A PostgreSQL server.
#[derive(Debug)]
pub(crate) struct Probe {
    place: Place,
    user: String,
    database: String,
    password: Option<SecretRef>,
    tls: Option<Arc<TlsPlan>>,
    query: Option<Query>,
}

/// A statement, and the first value that it must give.
#[derive(Debug)]
struct Query {
    text: String,
    equals: Option<String>,
}

/// Where a server listens.
#[derive(Debug)]
enum Place {
    Tcp(Endpoint),
    Socket(PathBuf),
}

impl Probe {
    pub(super) fn prepare(check: &PostgresCheck, preparing: &mut Preparing<'_>) -> Option<Self> {
        let place = if check.address.starts_with('/') {
            if check.tls.is_some() {
                preparing.wrong("tls", "contradiction", "a socket of the machine is not encrypted");
            }
            Some(Place::Socket(PathBuf::from(&check.address).join(format!(".s.PGSQL.{}", check.port))))
        } else {
            preparing.endpoint("address", &check.address).map(Place::Tcp)
        };
        for (key, text) in [("user", &check.user), ("database", &check.database)] {
            if text.is_empty() || text.contains('\0') {
                preparing.wrong(key, "bad-name", "this is no name");
            }
        }
        let tls = preparing.tls_if_any("tls", check.tls.as_ref())?;
        let query = check.query.clone().map(|text| Query { text, equals: check.equals.clone() });
        if query.as_ref().is_some_and(|query| query.text.trim().is_empty() || query.text.contains('\0')) {
            preparing.wrong("query", "bad-query", "this is no statement");
        }
        if query.is_none() && check.equals.is_some() {
            preparing.wrong("equals", "contradiction", "without a query there is no value");
        }
        Some(Self {
            place: place?,
            user: check.user.clone(),
            database: check.database.clone(),
            password: check.password.clone(),
            tls,
            query,
        })
    }

    pub(super) fn target(&self) -> String {
        match &self.place {
            Place::Tcp(endpoint) => format!("{endpoint}/{}", self.database),
            Place::Socket(path) => format!("{}/{}", path.display(), self.database),
        }
    }

    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        match &self.place {
            Place::Tcp(endpoint) => Some(endpoint),
            Place::Socket(_) => None,
        }
    }

    pub(super) async fn look(&self, dial: &Dial<'_>, trace: &mut Trace) -> Verdict {
        let password = self.password.as_ref().map(|secret| dial.context.secret(secret)).transpose()?;
        match &self.place {
            Place::Socket(path) => {
                trace.step = Step::Connect;
                let peer = path.display().to_string();
                trace.address = Some(peer.clone());
                let stream = UnixStream::connect(path).await.map_err(|error| classify(&peer, &error))?;
                self.start(stream, &peer, true, password, dial, trace).await
            }
            Place::Tcp(endpoint) => {
                let mut stream = connect(endpoint, dial, trace).await?;
                let peer = trace.address.clone().unwrap_or_default();
                let Some(plan) = &self.tls else {
                    let local = stream.peer_addr().is_ok_and(|address| address.ip().is_loopback());
                    return self.start(stream, &peer, local, password, dial, trace).await;
                };
                trace.step = Step::Tls;
                if !asks_for_tls(&mut stream).await.map_err(|error| classify(&peer, &error))? {
                    let message = format!("{peer} does not encrypt connections (ssl is off)");
                    return Err(Problem::fail(Reason::TlsHandshake, message));
                }
                let (stream, warning) = handshake(stream, &endpoint.host, plan, dial, trace).await?;
                let verdict = self.start(stream, &peer, true, password, dial, trace).await;
                warning.map_or(verdict.clone(), |warning| verdict.and(Err(warning)))
            }
        }
    }

    async fn start<S: Stream>(
        &self,
        stream: S,
        peer: &str,
        private: bool,
        password: Option<Secret>,
        dial: &Dial<'_>,
        trace: &mut Trace,
    ) -> Verdict {
        trace.step = Step::Answer;
        let mut login = Login { stream, peer, user: &self.user, password, private, scram: None };
        let options = read_only(dial.timeout);
        let mut parameters =
            vec![("user", self.user.as_str()), ("database", &self.database), ("application_name", "health-probe")];
        if self.query.is_some() {
            // Set before anything can be said; a pooler in between that takes no options is told apart by its error.
            parameters.push(("options", &options));
        }
        let mut body = 196_608_i32.to_be_bytes().to_vec();
        for (name, value) in parameters {
            body.extend_from_slice(name.as_bytes());
            body.push(0);
            body.extend_from_slice(value.as_bytes());
            body.push(0);
        }
        body.push(0);
        login.send(None, &body).await?;
        for _ in 0..MOST_MESSAGES {
            let (kind, body) = login.receive().await?;
            match kind {
                b'R' => {
                    if let Some(done) = login.authenticate(&body).await? {
                        return match self.query {
                            Some(_) => Err(Problem::fail(
                                Reason::AuthFailed,
                                format!("{peer} asks for a password, and the check has none for its query"),
                            )),
                            None => Ok(done),
                        };
                    }
                }
                b'E' => {
                    let refused = login.refused(&body);
                    // A server that merely takes connections is not enough for a query.
                    return match (refused, &self.query) {
                        (Ok(words), Some(_)) => Err(Problem::fail(Reason::AuthFailed, format!("{peer} {words}"))),
                        (refused, _) => refused,
                    };
                }
                b'Z' => {
                    let words = match &self.query {
                        Some(query) => login.ask(query, trace).await?,
                        None => format!("logged in as {}", self.user),
                    };
                    // Without this the server logs a client that vanished.
                    let _ = login.send(Some(b'X'), &[]).await;
                    return Ok(words);
                }
                // Parameters, notices and the key for cancelling.
                b'S' | b'N' | b'K' | b'v' => {}
                _ => return Err(login.no_postgres()),
            }
        }
        Err(login.no_postgres())
    }
}

/// Options of a connection that cannot write, and whose statements end with the check.
fn read_only(timeout: Duration) -> String {
    format!("-c default_transaction_read_only=on -c statement_timeout={}", timeout.as_millis().max(1))
}

/// Whether the server is ready to speak TLS (chapter 55.2.10).
async fn asks_for_tls<S: Stream>(stream: &mut S) -> std::io::Result<bool> {
    let mut request = 8_i32.to_be_bytes().to_vec();
    request.extend_from_slice(&80_877_103_i32.to_be_bytes());
    stream.write_all(&request).await?;
    // One byte only: whatever else came in clear would be somebody in between.
    let mut answer = [0; 1];
    stream.read_exact(&mut answer).await?;
    Ok(answer == *b"S")
}

/// A login under way.
struct Login<'a, S> {
    stream: S,
    peer: &'a str,
    user: &'a str,
    password: Option<Secret>,
    /// Nobody in between can read along.
    private: bool,
    scram: Option<ScramSha256>,
}

impl<S: Stream> Login<'_, S> {
    async fn send(&mut self, kind: Option<u8>, body: &[u8]) -> Result<(), Problem> {
        let mut message: Vec<u8> = kind.into_iter().collect();
        message.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
        message.extend_from_slice(body);
        self.stream.write_all(&message).await.map_err(|error| classify(self.peer, &error))
    }

    async fn receive(&mut self) -> Result<(u8, Vec<u8>), Problem> {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head).await.map_err(|error| classify(self.peer, &error))?;
        let [kind, length @ ..] = head;
        let length = u32::from_be_bytes(length);
        if !(4..=LARGEST).contains(&length) {
            return Err(self.no_postgres());
        }
        let mut body = vec![0; length as usize - 4];
        self.stream.read_exact(&mut body).await.map_err(|error| classify(self.peer, &error))?;
        Ok((kind, body))
    }

    fn no_postgres(&self) -> Problem {
        Problem::fail(Reason::BannerMismatch, format!("{} does not speak PostgreSQL's protocol", self.peer))
    }

    /// Answers one request to authenticate. `Some` ends the check well.
    async fn authenticate(&mut self, body: &[u8]) -> Result<Option<String>, Problem> {
        let (code, data) = body.split_first_chunk::<4>().ok_or_else(|| self.no_postgres())?;
        let code = i32::from_be_bytes(*code);
        if code == 0 {
            return Ok(None);
        }
        let Some(password) = self.password.clone() else {
            return Ok(Some("takes connections, asks for a password".into()));
        };
        let refused = |peer: &str| {
            Problem::fail(
                Reason::AuthFailed,
                format!("{peer} cannot be logged in to: the exchange of the password failed"),
            )
        };
        match code {
            3 if !self.private => {
                let message = format!("{} asks for the password in clear; give the check a `tls`", self.peer);
                return Err(Problem::fail(Reason::AuthFailed, message));
            }
            3 => self.send(Some(b'p'), &[password.bytes(), b"\0"].concat()).await?,
            5 => {
                let salt = data.try_into().map_err(|_| self.no_postgres())?;
                let mut hash = md5_hash(self.user.as_bytes(), password.bytes(), salt).into_bytes();
                hash.push(0);
                self.send(Some(b'p'), &hash).await?;
            }
            10 => {
                if !data.split(|byte| *byte == 0).any(|name| name == SCRAM_SHA_256.as_bytes()) {
                    let message = format!("{} knows no way to log in that we know", self.peer);
                    return Err(Problem::fail(Reason::AuthFailed, message));
                }
                let scram = ScramSha256::new(password.bytes(), ChannelBinding::unsupported());
                let first = scram.message();
                let mut reply = SCRAM_SHA_256.as_bytes().to_vec();
                reply.push(0);
                reply.extend_from_slice(&(first.len() as u32).to_be_bytes());
                reply.extend_from_slice(first);
                self.send(Some(b'p'), &reply).await?;
                self.scram = Some(scram);
            }
            11 => {
                let mut scram = self.scram.take().ok_or_else(|| self.no_postgres())?;
                scram.update(data).map_err(|_| refused(self.peer))?;
                let reply = scram.message().to_vec();
                self.send(Some(b'p'), &reply).await?;
                self.scram = Some(scram);
            }
            12 => {
                let mut scram = self.scram.take().ok_or_else(|| self.no_postgres())?;
                // A server that does not know the password either is not the one that we mean.
                scram.finish(data).map_err(|_| refused(self.peer))?;
            }
            _ => {
                let message = format!("{} wants a login of a kind that is not supported", self.peer);
                return Err(Problem::fail(Reason::AuthFailed, message));
            }
        }
        Ok(None)
    }

    /// Runs one statement. The extended protocol takes no more than one (chapter 55.2.3).
    async fn ask(&mut self, query: &Query, trace: &mut Trace) -> Verdict {
        let mut parse = b"\0".to_vec();
        parse.extend_from_slice(query.text.as_bytes());
        parse.extend_from_slice(&[0, 0, 0]);
        self.send(Some(b'P'), &parse).await?;
        // No parameters, all results as text.
        self.send(Some(b'B'), &[0, 0, 0, 0, 0, 0, 0, 0]).await?;
        self.send(Some(b'E'), &[0, 0, 0, 0, 1]).await?;
        self.send(Some(b'S'), &[]).await?;
        let mut first: Option<Option<String>> = None;
        for _ in 0..MOST_MESSAGES {
            let (kind, body) = self.receive().await?;
            match kind {
                b'D' if first.is_none() => first = Some(value(&body).ok_or_else(|| self.no_postgres())?),
                b'E' => return Err(self.failed(&body)),
                b'Z' => return self.judge(query, first.flatten(), trace),
                b'1' | b'2' | b'C' | b'D' | b's' | b'I' | b'n' | b'S' | b'N' | b'T' => {}
                _ => return Err(self.no_postgres()),
            }
        }
        Err(self.no_postgres())
    }

    fn judge(&self, query: &Query, text: Option<String>, trace: &mut Trace) -> Verdict {
        let secrets: Vec<Secret> = self.password.clone().into_iter().collect();
        if let Some(figure) = text.as_deref().and_then(|text| text.parse::<f64>().ok()).filter(|it| it.is_finite()) {
            trace.figures.insert("value".into(), figure);
        }
        let shown = text.as_deref().map_or("nothing".to_owned(), |text| quoted(text, &secrets));
        match &query.equals {
            Some(wanted) if text.as_ref() != Some(wanted) => {
                Err(Problem::fail(Reason::ValueMismatch, format!("the query gives {shown}, wanted \"{wanted}\"")))
            }
            _ => Ok(format!("the query gives {shown}")),
        }
    }

    /// What an error of a statement means.
    fn failed(&self, body: &[u8]) -> Problem {
        let secrets: Vec<Secret> = self.password.clone().into_iter().collect();
        let (state, said) = (field(body, b'C'), quoted(&field(body, b'M'), &secrets));
        let message = format!("the query fails: {said} ({state})");
        match state.as_str() {
            "57014" => Problem::fail(Reason::Timeout, message),
            "42501" => Problem::fail(Reason::AuthFailed, message),
            "57P01" | "57P02" | "57P03" => Problem::fail(Reason::DbStarting, message),
            _ => Problem::fail(Reason::ValueMismatch, message),
        }
    }

    /// What an error of the server means.
    fn refused(&self, body: &[u8]) -> Verdict {
        let state = field(body, b'C');
        let secrets: Vec<Secret> = self.password.clone().into_iter().collect();
        let said = format!("{} ({state})", quoted(&field(body, b'M'), &secrets));
        let peer = self.peer;
        match state.as_str() {
            "57P03" => Err(Problem::fail(Reason::DbStarting, format!("{peer} is starting or stopping: {said}"))),
            "53300" => Err(Problem::warn(Reason::DbSaturated, format!("{peer} has no free connection: {said}"))),
            "3D000" => Err(Problem::fail(Reason::Missing, format!("{peer} does not have the database: {said}"))),
            "28000" | "28P01" if self.password.is_some() => {
                Err(Problem::fail(Reason::AuthFailed, format!("{peer} refused the login: {said}")))
            }
            _ if state.len() == 5 && self.password.is_none() => Ok(format!("takes connections, says {said}")),
            _ => Err(Problem::fail(Reason::AuthFailed, format!("{peer} says {said}"))),
        }
    }
}

/// A field of an error (chapter 55.8).
fn field(body: &[u8], kind: u8) -> String {
    body.split(|byte| *byte == 0)
        .find_map(|field| field.split_first().filter(|(first, _)| **first == kind))
        .map(|(_, text)| String::from_utf8_lossy(text).into_owned())
        .unwrap_or_default()
}

/// The first value of a row; `Some(None)` is NULL, or a row without columns.
#[allow(clippy::option_option, reason = "no row, NULL, a value")]
fn value(row: &[u8]) -> Option<Option<String>> {
    let (columns, rest) = row.split_first_chunk::<2>()?;
    if u16::from_be_bytes(*columns) == 0 {
        return Some(None);
    }
    let (length, rest) = rest.split_first_chunk::<4>()?;
    match i32::from_be_bytes(*length) {
        ..0 => Some(None),
        length => Some(Some(String::from_utf8_lossy(rest.get(..length as usize)?).into_owned())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rows_and_errors_are_read() {
        assert_eq!(value(b"\0\x01\0\0\0\x02ok"), Some(Some("ok".into())));
        assert_eq!(value(b"\0\x01\xff\xff\xff\xff"), Some(None));
        assert_eq!(value(b"\0\0"), Some(None));
        assert_eq!(value(b"\0\x01\0\0\0\x09ok"), None);
        assert_eq!(field(b"SFATAL\0C57P03\0Mno\0\0", b'C'), "57P03");
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = value(&bytes);
            let _ = field(&bytes, b'M');
        }
    }
}
