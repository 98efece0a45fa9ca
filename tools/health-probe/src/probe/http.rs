//! `http`: a request over a connection of its own, and what must be true of the answer.

use std::sync::Arc;

use cli::Secret;
use contract::document::{HttpCheck, RedirectTo};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request};

use super::body::{self, Condition, failing_parts};
use super::header::{HeaderTest, Value};
use super::proxy::{Choice, Proxy, tunnel};
use super::request::{Answer, LARGEST_BODY, exchange};
use super::status::{Statuses, meaning};
use super::url::Url;
use super::{Dial, Preparing, quoted};
use crate::net::{Endpoint, TlsPlan, connect, handshake};
use crate::observation::{Problem, Trace, Verdict};
use crate::profile::Kind;
use crate::reason::Reason;

/// The most redirects that may be asked for.
const MOST_REDIRECTS: u8 = 10;

/// An HTTP request.
#[derive(Debug)]
pub(crate) struct Probe {
    url: Url,
    connect: Option<Box<Endpoint>>,
    method: Method,
    headers: Box<[(HeaderName, Value)]>,
    status: Statuses,
    conditions: Box<[Condition]>,
    tls: Arc<TlsPlan>,
    redirects: u8,
    redirect_to: RedirectTo,
    closes: bool,
    rare: Option<Box<Rare>>,
}

/// What few checks say.
#[derive(Debug, Default)]
struct Rare {
    host: Option<HeaderValue>,
    proxy: Option<Choice>,
    content: Option<Bytes>,
    idempotent: bool,
    response_headers: Vec<HeaderTest>,
}

/// How one request of a chain goes out.
struct Outgoing<'a> {
    url: &'a Url,
    method: &'a Method,
    /// It goes to the very place that the check names: what is meant for that place may be said.
    same_place: bool,
    proxy: Option<&'a Proxy>,
    secrets: &'a [Secret],
}

impl Probe {
    pub(super) fn prepare(check: &HttpCheck, preparing: &mut Preparing<'_>) -> Option<Self> {
        let url = Url::parse(&check.url, "http", "https").map_err(|why| preparing.wrong("url", "bad-url", why)).ok();
        let connect = check.connect.as_deref().map(|text| preparing.endpoint("connect", text));
        let method = method(check, preparing);
        let status = Statuses::of(&check.status).map_err(|why| preparing.wrong("status", "bad-status", why)).ok();
        if check.redirects > MOST_REDIRECTS {
            preparing.wrong("redirects", "too-many-redirects", format!("at most {MOST_REDIRECTS}"));
        }
        if check.closes && !(check.status.is_empty() && check.body.is_empty() && check.response_headers.is_empty()) {
            preparing.wrong("closes", "contradiction", "a server that closes gives no status, headers or body");
        }
        let headers = check.headers.iter().enumerate().filter_map(|(at, header)| {
            let place = preparing.at.join("headers").join(at);
            super::header::prepare(header, &place, preparing.findings)
        });
        let headers = headers.collect();
        let rare = Rare::of(check, preparing);
        let mut conditions = body::prepare(&check.body, preparing);
        let tls = preparing.tls("tls", &check.tls);
        let (mut url, mut status) = (url?, status?);
        if let Some(profile) = preparing.profile.filter(|profile| profile.kind == Kind::Http && !check.closes) {
            if url.path == "/" {
                profile.path.clone_into(&mut url.path);
            }
            if status.is_empty() {
                status = Statuses::exactly(profile.status);
            }
            if check.body.is_empty() && method == Method::GET {
                conditions.extend(profile.expect.iter().map(Condition::of_profile));
            }
        }
        Some(Self {
            url,
            connect: match connect {
                Some(endpoint) => Some(Box::new(endpoint?)),
                None => None,
            },
            method,
            headers,
            status,
            conditions: conditions.into(),
            tls: tls?,
            redirects: check.redirects,
            redirect_to: check.redirect_to,
            closes: check.closes,
            rare,
        })
    }

    pub(super) fn target(&self) -> String {
        let url = self.url.shown("http", "https");
        self.connect.as_ref().map_or(url.clone(), |connect| format!("{url} at {connect}"))
    }

    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        Some(self.connect.as_deref().unwrap_or(&self.url.endpoint))
    }

    /// Whether sending it again does no more than sending it once.
    pub(super) fn may_repeat(&self) -> bool {
        let reads = self.method == Method::GET || self.method == Method::HEAD;
        reads || self.rare.as_ref().is_some_and(|rare| rare.idempotent)
    }

    pub(super) async fn look(&self, dial: &Dial<'_>, trace: &mut Trace) -> Verdict {
        let mut secrets = Vec::new();
        for (_, value) in &self.headers {
            if let Value::Secret(secret) = value {
                secrets.push(dial.context.secret(secret)?);
            }
        }
        let mut url = self.url.clone();
        let mut method = self.method.clone();
        let mut seen = vec![url.clone()];
        loop {
            let answer = self.request(&url, &method, &secrets, dial, trace).await;
            if self.closes {
                return judge_closing(answer);
            }
            let answer = answer?;
            trace.http_status = Some(answer.status);
            let redirected = matches!(answer.status, 301 | 302 | 303 | 307 | 308) && !self.status.names(answer.status);
            if !redirected {
                return self.judge(&answer, &secrets, trace);
            }
            let next = self.next_place(&url, &answer, seen.len() - 1, &secrets)?;
            if seen.contains(&next) {
                let shown = shown(&next, &secrets);
                return Err(Problem::fail(Reason::HttpRedirectLoop, format!("redirects lead in a circle to {shown}")));
            }
            if !(method == Method::HEAD || matches!(answer.status, 307 | 308)) {
                method = Method::GET;
            }
            seen.push(next.clone());
            url = next;
        }
    }

    /// Where a redirect leads, if it may be followed.
    fn next_place(&self, url: &Url, answer: &Answer, followed: usize, secrets: &[Secret]) -> Result<Url, Problem> {
        let status = answer.status;
        let location = answer.headers.get(header::LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let Some(next) = url.follow(location) else {
            let message = format!("status {status} leads to {}", quoted(location, secrets));
            return Err(Problem::fail(Reason::HttpStatus, message));
        };
        let shown = shown(&next, secrets);
        if url.secure && !next.secure {
            let message = format!("status {status} leads from https to http: {shown}");
            return Err(Problem::fail(Reason::HttpRedirectDowngrade, message));
        }
        if next.endpoint.host != url.endpoint.host && self.redirect_to == RedirectTo::SameHost {
            let message = format!("status {status} leads to another host: {shown}");
            return Err(Problem::warn(Reason::HttpRedirectExternal, message));
        }
        if followed >= usize::from(self.redirects) {
            return Err(match self.redirects {
                0 => {
                    let message = format!("status {status} leads to {shown}; redirects are not followed");
                    Problem::fail(Reason::HttpStatus, message)
                }
                most => {
                    let message = format!("more than {most} redirects; the next would lead to {shown}");
                    Problem::fail(Reason::HttpRedirectLoop, message)
                }
            });
        }
        Ok(next)
    }

    async fn request(
        &self,
        url: &Url,
        method: &Method,
        secrets: &[Secret],
        dial: &Dial<'_>,
        trace: &mut Trace,
    ) -> Result<Answer, Problem> {
        // An override is for the place that the check names, not for where a redirect leads.
        let same_place = url.endpoint == self.url.endpoint;
        let target = self.connect.as_deref().filter(|_| same_place).unwrap_or(&url.endpoint);
        let choice = self.rare.as_ref().and_then(|rare| rare.proxy.as_ref());
        let proxy = choice.map(|choice| choice.of(url, |name| std::env::var(name).ok())).transpose()?.flatten();
        let pinned = dial.pinned.filter(|_| same_place && proxy.is_none());
        let dial = Dial { pinned, ..*dial };
        let mut stream = connect(proxy.as_ref().map_or(target, |proxy| &proxy.endpoint), &dial, trace).await?;
        let out = Outgoing { url, method, same_place, proxy: proxy.as_ref(), secrets };
        if !url.secure {
            return exchange(stream, self.head(&out)?, trace).await;
        }
        if let Some(proxy) = &proxy {
            let peer = proxy.endpoint.to_string();
            let login = self.proxy_login(proxy, secrets);
            tunnel(&mut stream, target, login.as_deref(), &peer).await?;
        }
        let (stream, warning) = handshake(stream, &url.endpoint.host, &self.tls, &dial, trace).await?;
        let answer = exchange(stream, self.head(&out)?, trace).await;
        let mut answer = answer.map_err(|problem| self.insisted(problem, trace))?;
        answer.warning = warning;
        Ok(answer)
    }

    /// A server that insists on a certificate of ours says so after the handshake (TLS 1.3), or merely hangs up.
    fn insisted(&self, problem: Problem, trace: &Trace) -> Problem {
        let hung_up = matches!(problem.reason, Reason::ConnectReset | Reason::HttpEmptyReply);
        if !(hung_up && trace.asked_for_certificate && self.tls.client.is_none()) {
            return problem;
        }
        let peer = trace.address.as_deref().unwrap_or_default();
        let message = format!("{peer} asks for a certificate of ours, and hangs up without one");
        Problem::fail(Reason::TlsClientCertRequired, message)
    }

    /// What the proxy is told about who we are: the check's own header, or the login that the environment gives.
    fn proxy_login(&self, proxy: &Proxy, secrets: &[Secret]) -> Option<Vec<u8>> {
        let mut secrets = secrets.iter();
        let mut own = None;
        for (name, value) in &self.headers {
            let bytes = match value {
                Value::Clear(value) => Some(value.as_bytes().to_vec()),
                Value::Secret(_) => secrets.next().map(|secret| secret.bytes().to_vec()),
            };
            if *name == header::PROXY_AUTHORIZATION {
                own = bytes.filter(|bytes| !bytes.contains(&b'\n') && !bytes.contains(&b'\r'));
            }
        }
        own.or_else(|| proxy.login.as_ref().map(|login| login.clone().into_bytes()))
    }

    /// The request. Secrets go only to the very host and port that the check names.
    fn head(&self, out: &Outgoing<'_>) -> Result<Request<Full<Bytes>>, Problem> {
        let internal = |_| Problem::error(Reason::Internal, "the request cannot be written");
        let in_clear = out.proxy.filter(|_| !out.url.secure);
        // A proxy is told the whole URL (RFC 9112, section 3.2.2).
        let target = match in_clear {
            Some(_) => format!("http://{}{}", out.url.authority(), out.url.path),
            None => out.url.path.clone(),
        };
        let rare = self.rare.as_deref();
        let sends = !(*out.method == Method::GET || *out.method == Method::HEAD);
        let content =
            rare.and_then(|rare| rare.content.clone()).filter(|_| sends && out.same_place).unwrap_or_default();
        let mut request =
            Request::builder().method(out.method.clone()).uri(target).body(Full::new(content)).map_err(internal)?;
        let headers = request.headers_mut();
        let own_host = rare.and_then(|rare| rare.host.clone()).filter(|_| out.same_place);
        let host = match own_host {
            Some(host) => host,
            None => HeaderValue::from_str(&out.url.authority())
                .map_err(|_| Problem::error(Reason::Internal, "the host cannot be written into a header"))?,
        };
        headers.insert(header::HOST, host);
        headers
            .insert(header::USER_AGENT, HeaderValue::from_static(concat!("health-probe/", env!("CARGO_PKG_VERSION"))));
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        let mut secrets = out.secrets.iter();
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
                    Some(value).filter(|_| out.same_place)
                }
            };
            // What the proxy must know is none of the server's business.
            if let Some(value) = value.filter(|_| *name != header::PROXY_AUTHORIZATION) {
                headers.insert(name.clone(), value);
            }
        }
        if let Some(proxy) = in_clear
            && let Some(login) = self.proxy_login(proxy, out.secrets)
            && let Ok(mut login) = HeaderValue::from_bytes(&login)
        {
            login.set_sensitive(true);
            headers.insert(header::PROXY_AUTHORIZATION, login);
        }
        Ok(request)
    }

    fn judge(&self, answer: &Answer, secrets: &[Secret], trace: &mut Trace) -> Verdict {
        let text = String::from_utf8_lossy(&answer.body);
        let is_json = answer.headers.get(header::CONTENT_TYPE).is_some_and(|kind| {
            let kind = kind.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
            kind.trim_ascii_end().ends_with(b"json")
        });
        let wants_json = is_json || self.conditions.iter().any(Condition::wants_json);
        let json: Option<serde_json::Value> = if wants_json { serde_json::from_slice(&answer.body).ok() } else { None };
        if let Some(json) = &json {
            trace.evidence = failing_parts(json);
        }
        let status = answer.status;
        if !self.status.takes(status) {
            // nginx answers 400, 495 or 496 where a certificate of ours is missing; the handshake was fine then.
            if trace.asked_for_certificate && self.tls.client.is_none() && matches!(status, 400 | 495 | 496) {
                let message = format!("status {status}; the server asks for a certificate of ours");
                return Err(Problem::fail(Reason::TlsClientCertRequired, message));
            }
            let starting = status == 503 && answer.headers.contains_key(header::RETRY_AFTER);
            let reason = if starting { Reason::Starting } else { Reason::HttpStatus };
            return Err(Problem::fail(reason, self.describe_status(status, &trace.evidence)));
        }
        for test in self.rare.iter().flat_map(|rare| &rare.response_headers) {
            test.test(&answer.headers, secrets)?;
        }
        if answer.cut && !self.conditions.is_empty() {
            let message = format!("the body is larger than {} KiB", LARGEST_BODY / 1024);
            return Err(Problem::fail(Reason::BodyTooLarge, message));
        }
        let encoding = answer.headers.get(header::CONTENT_ENCODING).filter(|it| *it != "identity");
        if let Some(encoding) = encoding.filter(|_| !self.conditions.is_empty()) {
            let encoding = quoted(&String::from_utf8_lossy(encoding.as_bytes()), secrets);
            let message = format!("the body is encoded as {encoding}, which was not asked for and is not read");
            return Err(Problem::fail(Reason::BodyMismatch, message));
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
        match meaning(status) {
            Some(meaning) => message.push_str(&format!(", {meaning}")),
            None if !self.status.is_empty() => message.push_str(&format!(", wanted {}", self.status.words())),
            None => {}
        }
        if !evidence.is_empty() {
            message.push_str(&format!("; it says {}", evidence.join(", ")));
        }
        message
    }
}

impl Rare {
    fn of(check: &HttpCheck, preparing: &mut Preparing<'_>) -> Option<Box<Self>> {
        let host = check.host.as_deref().and_then(|host| {
            let good = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b));
            if !good {
                preparing.wrong("host", "bad-host", "expected a name, with a port where it is not the usual one");
            }
            HeaderValue::from_str(host).ok().filter(|_| good)
        });
        let proxy = check
            .proxy
            .as_deref()
            .and_then(|text| Choice::parse(text).map_err(|why| preparing.wrong("proxy", "bad-proxy", why)).ok());
        let rare = Self {
            host,
            proxy,
            content: check.content.clone().map(Bytes::from),
            idempotent: check.idempotent,
            response_headers: super::header::prepare_tests(&check.response_headers, preparing),
        };
        let usual = rare.host.is_none()
            && rare.proxy.is_none()
            && rare.content.is_none()
            && !rare.idempotent
            && rare.response_headers.is_empty();
        (!usual).then(|| Box::new(rare))
    }
}

fn method(check: &HttpCheck, preparing: &mut Preparing<'_>) -> Method {
    let method = match check.method.as_deref().unwrap_or("GET") {
        "GET" => Method::GET,
        "HEAD" => Method::HEAD,
        "POST" => Method::POST,
        "PUT" => Method::PUT,
        _ => {
            preparing.wrong("method", "bad-method", "expected GET or HEAD, or where the page asks for it POST or PUT");
            Method::GET
        }
    };
    if method == Method::HEAD && !check.body.is_empty() {
        preparing.wrong("body", "contradiction", "the answer to HEAD has no body");
    }
    let sends = method == Method::POST || method == Method::PUT;
    for (key, given) in [("content", check.content.is_some()), ("idempotent", check.idempotent)] {
        if given && !sends {
            preparing.wrong(key, "contradiction", format!("{method} sends nothing"));
        }
    }
    method
}

fn judge_closing(answer: Result<Answer, Problem>) -> Verdict {
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

fn shown(url: &Url, secrets: &[Secret]) -> String {
    quoted(&url.shown("http", "https"), secrets).trim_matches('"').to_owned()
}
