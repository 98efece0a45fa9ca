//! `http`: a request over a connection of its own, and what must be true of the answer.

use cli::Secret;
use contract::document::{HeaderCondition, HttpCheck};
use contract::{Finding, Pointer, SecretRef};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::TokioIo;
use regex::Regex;
use std::time::Instant;

use super::body::{self, Condition, failing_parts};
use super::url::Url;
use super::{Dial, Preparing, quoted};
use crate::net::{Endpoint, Stream, TlsPlan, classify, connect, handshake};
use crate::observation::{Problem, Step, Trace, Verdict, ms_since};
use crate::profile::Kind;
use crate::reason::Reason;

/// The most that is read of a body.
const LARGEST_BODY: usize = 1024 * 1024;
/// The largest head of an answer.
const LARGEST_HEAD: usize = 64 * 1024;
/// The most redirects that may be asked for.
const MOST_REDIRECTS: u8 = 10;

/// An HTTP request.
#[derive(Debug)]
pub(crate) struct Probe {
    url: Url,
    connect: Option<Endpoint>,
    method: Method,
    headers: Vec<(HeaderName, Value)>,
    status: Vec<u16>,
    response_headers: Vec<HeaderTest>,
    conditions: Vec<Condition>,
    redirects: u8,
    closes: bool,
    tls: TlsPlan,
}

/// The value of a header of the request.
#[derive(Debug, Clone)]
enum Value {
    Clear(HeaderValue),
    Secret(SecretRef),
}

/// What must be true of a header of the answer.
#[derive(Debug)]
struct HeaderTest {
    name: HeaderName,
    equals: Option<String>,
    matches: Option<Regex>,
    absent: bool,
}

/// What an answer was.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
    cut: bool,
    warning: Option<Problem>,
}

impl Probe {
    pub(super) fn prepare(check: &HttpCheck, preparing: &mut Preparing<'_>) -> Option<Self> {
        let url = Url::parse(&check.url, "http", "https").map_err(|why| preparing.wrong("url", "bad-url", why)).ok();
        let connect = check.connect.as_deref().map(|text| preparing.endpoint("connect", text));
        let method = match check.method.as_deref().unwrap_or("GET") {
            "GET" => Method::GET,
            "HEAD" => Method::HEAD,
            _ => {
                preparing.wrong("method", "bad-method", "a check only looks: GET or HEAD");
                Method::GET
            }
        };
        if method == Method::HEAD && !check.body.is_empty() {
            preparing.wrong("body", "contradiction", "the answer to HEAD has no body");
        }
        if let Some(status) = check.status.iter().find(|status| !(100..600).contains(*status)) {
            preparing.wrong("status", "bad-status", format!("{status} is no status of HTTP"));
        }
        if check.redirects > MOST_REDIRECTS {
            preparing.wrong("redirects", "too-many-redirects", format!("at most {MOST_REDIRECTS}"));
        }
        if check.closes && !(check.status.is_empty() && check.body.is_empty() && check.response_headers.is_empty()) {
            preparing.wrong("closes", "contradiction", "a server that closes gives no status, headers or body");
        }
        let headers = check.headers.iter().enumerate().filter_map(|(at, header)| {
            let place = preparing.at.join("headers").join(at);
            prepare_header(header, &place, preparing.findings)
        });
        let headers = headers.collect();
        let response_headers = prepare_tests(&check.response_headers, preparing);
        let mut conditions = body::prepare(&check.body, preparing);
        let tls = preparing.tls("tls", &check.tls);
        let (mut url, mut status) = (url?, check.status.clone());
        if let Some(profile) = preparing.profile.filter(|profile| profile.kind == Kind::Http && !check.closes) {
            if url.path == "/" {
                profile.path.clone_into(&mut url.path);
            }
            if status.is_empty() {
                status.extend_from_slice(profile.status);
            }
            if check.body.is_empty() && method == Method::GET {
                conditions.extend(profile.expect.iter().map(Condition::of_profile));
            }
        }
        Some(Self {
            url,
            connect: match connect {
                Some(endpoint) => Some(endpoint?),
                None => None,
            },
            method,
            headers,
            status,
            response_headers,
            conditions,
            redirects: check.redirects,
            closes: check.closes,
            tls: tls?,
        })
    }

    pub(super) fn target(&self) -> String {
        let url = self.url.shown("http", "https");
        self.connect.as_ref().map_or(url.clone(), |connect| format!("{url} at {connect}"))
    }

    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        Some(self.connect.as_ref().unwrap_or(&self.url.endpoint))
    }

    pub(super) async fn look(&self, dial: &Dial<'_>, trace: &mut Trace) -> Verdict {
        let mut secrets = Vec::new();
        for (_, value) in &self.headers {
            if let Value::Secret(secret) = value {
                secrets.push(dial.context.secret(secret)?);
            }
        }
        let mut url = self.url.clone();
        let mut seen = vec![url.clone()];
        let mut left = self.redirects;
        loop {
            let answer = self.request(&url, &secrets, dial, trace).await;
            if self.closes {
                return self.judge_closing(answer);
            }
            let answer = answer?;
            trace.http_status = Some(answer.status);
            let redirected =
                matches!(answer.status, 301 | 302 | 303 | 307 | 308) && !self.status.contains(&answer.status);
            if !redirected {
                return self.judge(&answer, &secrets, trace);
            }
            let location =
                answer.headers.get(header::LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let Some(next) = url.follow(location) else {
                let message = format!("status {} leads to {}", answer.status, quoted(location, &secrets));
                return Err(Problem::fail(Reason::HttpStatus, message));
            };
            let shown = quoted(&next.shown("http", "https"), &secrets);
            let shown = shown.trim_matches('"');
            if next.endpoint.host != url.endpoint.host {
                let message = format!("status {} leads to another host: {shown}", answer.status);
                return Err(Problem::warn(Reason::HttpRedirectExternal, message));
            }
            if url.secure && !next.secure {
                let message = format!("status {} leads from https to http: {shown}", answer.status);
                return Err(Problem::fail(Reason::HttpStatus, message));
            }
            if seen.contains(&next) {
                return Err(Problem::fail(Reason::HttpRedirectLoop, format!("redirects lead in a circle to {shown}")));
            }
            if left == 0 {
                let message = match self.redirects {
                    0 => format!("status {} leads to {shown}; redirects are not followed", answer.status),
                    most => format!("more than {most} redirects; the next would lead to {shown}"),
                };
                let reason = if self.redirects == 0 { Reason::HttpStatus } else { Reason::HttpRedirectLoop };
                return Err(Problem::fail(reason, message));
            }
            left -= 1;
            seen.push(next.clone());
            url = next;
        }
    }

    async fn request(
        &self,
        url: &Url,
        secrets: &[Secret],
        dial: &Dial<'_>,
        trace: &mut Trace,
    ) -> Result<Answer, Problem> {
        // An override is for the place that the check names, not for where a redirect leads.
        let same_place = url.endpoint == self.url.endpoint;
        let endpoint = self.connect.as_ref().filter(|_| same_place).unwrap_or(&url.endpoint);
        let dial = Dial { pinned: dial.pinned.filter(|_| same_place), ..*dial };
        let stream = connect(endpoint, &dial, trace).await?;
        if url.secure {
            let (stream, warning) = handshake(stream, &url.endpoint.host, &self.tls, &dial, trace).await?;
            let mut answer = self.exchange(stream, url, same_place, secrets, trace).await?;
            answer.warning = warning;
            Ok(answer)
        } else {
            self.exchange(stream, url, same_place, secrets, trace).await
        }
    }

    /// The head of the request. Secrets go only to the very host and port that the check names.
    fn head(&self, url: &Url, same_place: bool, secrets: &[Secret]) -> Result<Request<Empty<Bytes>>, Problem> {
        let internal = |_| Problem::error(Reason::Internal, "the request cannot be written");
        let mut request =
            Request::builder().method(self.method.clone()).uri(&url.path).body(Empty::new()).map_err(internal)?;
        let headers = request.headers_mut();
        let host = HeaderValue::from_str(&url.authority())
            .map_err(|_| Problem::error(Reason::Internal, "the host cannot be written into a header"))?;
        headers.insert(header::HOST, host);
        headers
            .insert(header::USER_AGENT, HeaderValue::from_static(concat!("health-probe/", env!("CARGO_PKG_VERSION"))));
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        let mut secrets = secrets.iter();
        for (name, value) in &self.headers {
            let value = match value {
                Value::Clear(value) => Some(value.clone()),
                Value::Secret(reference) => {
                    let secret = secrets.next();
                    let mut value =
                        secret.and_then(|secret| HeaderValue::from_bytes(secret.bytes()).ok()).ok_or_else(|| {
                            let message = format!("the secret {} does not fit into a header", reference.secret);
                            Problem::error(Reason::SecretMissing, message)
                        })?;
                    value.set_sensitive(true);
                    Some(value).filter(|_| same_place)
                }
            };
            if let Some(value) = value {
                headers.insert(name.clone(), value);
            }
        }
        Ok(request)
    }

    async fn exchange<S: Stream + 'static>(
        &self,
        stream: S,
        url: &Url,
        same_place: bool,
        secrets: &[Secret],
        trace: &mut Trace,
    ) -> Result<Answer, Problem> {
        let request = self.head(url, same_place, secrets)?;
        let peer = trace.address.clone().unwrap_or_default();
        trace.step = Step::Answer;
        let started = Instant::now();
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(LARGEST_HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| describe(&peer, &error))?;
        let work = async {
            let response = sender.send_request(request).await.map_err(|error| describe(&peer, &error))?;
            trace.phases.processing = Some(ms_since(started));
            trace.step = Step::Body;
            let started = Instant::now();
            let answer = read(response, &peer).await;
            trace.phases.transfer = Some(ms_since(started));
            answer
        };
        let mut connection = std::pin::pin!(connection);
        let mut work = std::pin::pin!(work);
        let mut open = true;
        // The connection must be driven while the answer is waited for, and ends with it.
        loop {
            tokio::select! {
                answer = &mut work => return answer,
                _ = &mut connection, if open => open = false,
            }
        }
    }

    fn judge_closing(&self, answer: Result<Answer, Problem>) -> Verdict {
        match answer {
            Ok(answer) => {
                let message = format!("it answers with status {}, but must close the connection", answer.status);
                Err(Problem::fail(Reason::HttpAnswered, message))
            }
            Err(problem) if matches!(problem.reason, Reason::HttpEmptyReply | Reason::ConnectReset) => {
                Ok("closes the connection without an answer, as it must".into())
            }
            Err(problem) => Err(problem),
        }
    }

    fn judge(&self, answer: &Answer, secrets: &[Secret], trace: &mut Trace) -> Verdict {
        let text = String::from_utf8_lossy(&answer.body);
        let is_json = answer.headers.get(header::CONTENT_TYPE).is_some_and(is_json);
        let wants_json = is_json || self.conditions.iter().any(Condition::wants_json);
        let json: Option<serde_json::Value> = if wants_json { serde_json::from_slice(&answer.body).ok() } else { None };
        if let Some(json) = &json {
            trace.evidence = failing_parts(json);
        }
        let status = answer.status;
        let good = if self.status.is_empty() { (200..300).contains(&status) } else { self.status.contains(&status) };
        if !good {
            let starting = status == 503 && answer.headers.contains_key(header::RETRY_AFTER);
            let reason = if starting { Reason::Starting } else { Reason::HttpStatus };
            return Err(Problem::fail(reason, self.describe_status(status, &trace.evidence)));
        }
        for test in &self.response_headers {
            test.test(&answer.headers, secrets)?;
        }
        if answer.cut && !self.conditions.is_empty() {
            let message = format!("the body is larger than {} KiB", LARGEST_BODY / 1024);
            return Err(Problem::fail(Reason::BodyTooLarge, message));
        }
        for condition in &self.conditions {
            condition.test(&text, json.as_ref(), secrets)?;
        }
        match &answer.warning {
            Some(warning) => Err(warning.clone()),
            None => Ok(format!("status {status}")),
        }
    }

    fn describe_status(&self, status: u16, evidence: &[String]) -> String {
        let mut message = format!("status {status}");
        let known = hyper::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        if let Some(known) = known {
            message.push_str(&format!(" ({})", known.to_ascii_lowercase()));
        }
        match status {
            502 | 504 | 520..=527 | 530 => message.push_str(", said by a proxy whose backend does not answer"),
            _ if !self.status.is_empty() => {
                let wanted: Vec<_> = self.status.iter().map(ToString::to_string).collect();
                message.push_str(&format!(", wanted {}", wanted.join(" or ")));
            }
            _ => {}
        }
        if !evidence.is_empty() {
            message.push_str(&format!("; it says {}", evidence.join(", ")));
        }
        message
    }
}

impl HeaderTest {
    fn test(&self, headers: &HeaderMap, secrets: &[Secret]) -> Result<(), Problem> {
        let fail = |message: String| Err(Problem::fail(Reason::HeaderMismatch, message));
        let name = &self.name;
        let Some(value) = headers.get(name) else {
            return if self.absent { Ok(()) } else { fail(format!("the answer has no header {name}")) };
        };
        let text = String::from_utf8_lossy(value.as_bytes());
        if self.absent {
            return fail(format!("the answer has the header {name}"));
        }
        if self.equals.as_ref().is_some_and(|wanted| *wanted != text) {
            return fail(format!("the header {name} is {}", quoted(&text, secrets)));
        }
        match &self.matches {
            Some(regex) if !regex.is_match(&text) => {
                fail(format!("the header {name} is {}, which does not match {regex}", quoted(&text, secrets)))
            }
            _ => Ok(()),
        }
    }
}

/// Headers whose values are secrets by nature; a literal there would end up in git.
fn is_secret_by_nature(name: &str) -> bool {
    matches!(name, "authorization" | "proxy-authorization" | "cookie")
        || ["token", "secret", "password", "api-key", "apikey"].iter().any(|part| name.contains(part))
}

fn prepare_header(
    header: &contract::document::HttpHeader,
    place: &Pointer,
    findings: &mut Vec<Finding>,
) -> Option<(HeaderName, Value)> {
    let Ok(name) = header.name.parse::<HeaderName>() else {
        findings.push(Finding::error("bad-header", place.join("name"), "this is no name of a header"));
        return None;
    };
    let value = match (&header.value, &header.secret_value) {
        (Some(_), None) if is_secret_by_nature(name.as_str()) => {
            let message = format!("the value of the header {name} is a secret, and stands here in clear");
            let fix = "put it into the SOPS file and write \"secret_value\": {\"secret\": \"NAME\"}";
            findings.push(Finding::error("literal-secret", place.join("value"), message).fix(fix));
            return None;
        }
        (Some(value), None) => match HeaderValue::from_str(value) {
            Ok(value) => Value::Clear(value),
            Err(_) => {
                findings.push(Finding::error("bad-header", place.join("value"), "this cannot stand in a header"));
                return None;
            }
        },
        (None, Some(secret)) => Value::Secret(secret.clone()),
        _ => {
            let message = "a header has either a value or a secret_value";
            findings.push(Finding::error("bad-header", place.clone(), message));
            return None;
        }
    };
    Some((name, value))
}

fn prepare_tests(conditions: &[HeaderCondition], preparing: &mut Preparing<'_>) -> Vec<HeaderTest> {
    let mut tests = Vec::new();
    for (at, condition) in conditions.iter().enumerate() {
        let place = preparing.at.join("response_headers").join(at);
        let Ok(name) = condition.name.parse() else {
            preparing.findings.push(Finding::error("bad-header", place.join("name"), "this is no name of a header"));
            continue;
        };
        let matches = condition.matches.as_deref().map(|text| preparing.regex(&place.join("matches"), text));
        let matches = match matches {
            Some(None) => continue,
            Some(regex) => regex,
            None => None,
        };
        if condition.absent && (condition.equals.is_some() || condition.matches.is_some()) {
            let message = "a header that must be absent has no value";
            preparing.findings.push(Finding::error("contradiction", place, message));
            continue;
        }
        tests.push(HeaderTest { name, equals: condition.equals.clone(), matches, absent: condition.absent });
    }
    tests
}

/// Whether a content type is JSON: `application/json; charset=utf-8`, `application/problem+json`.
fn is_json(kind: &HeaderValue) -> bool {
    let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    kind.trim().to_ascii_lowercase().ends_with("json")
}

/// Reads the body, but no more of it than is useful.
async fn read(response: Response<Incoming>, peer: &str) -> Result<Answer, Problem> {
    let (head, mut incoming) = response.into_parts();
    let mut answer =
        Answer { status: head.status.as_u16(), headers: head.headers, body: Vec::new(), cut: false, warning: None };
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| describe(peer, &error))?;
        let Ok(data) = frame.into_data() else { continue };
        let room = LARGEST_BODY - answer.body.len();
        answer.body.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            answer.cut = true;
            break;
        }
    }
    Ok(answer)
}

/// What an error of HTTP means.
fn describe(peer: &str, error: &hyper::Error) -> Problem {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            return classify(peer, io);
        }
        source = inner.source();
    }
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return Problem::fail(Reason::HttpEmptyReply, format!("{peer} closed the connection without an answer"));
    }
    // hyper says this in words only.
    if error.to_string().contains("too large") {
        return Problem::fail(Reason::HttpProtocol, format!("the head of the answer of {peer} does not end"));
    }
    if error.is_parse() {
        return Problem::fail(Reason::HttpProtocol, format!("{peer} does not speak HTTP"));
    }
    Problem::fail(Reason::HttpProtocol, format!("the answer of {peer} breaks off: {error}"))
}
