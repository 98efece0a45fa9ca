//! Headers of a request, and what must be true of those of the answer.

use cli::Secret;
use contract::document::{HeaderCondition, HttpHeader};
use contract::{Finding, Pointer, SecretRef};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use regex::Regex;

use super::{Preparing, quoted};
use crate::observation::Problem;
use crate::reason::Reason;

/// The value of a header of the request.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// As it stands in the document.
    Clear(HeaderValue),
    /// Named there.
    Secret(SecretRef),
}

/// What must be true of a header of the answer.
#[derive(Debug)]
pub(super) struct HeaderTest {
    name: HeaderName,
    equals: Option<String>,
    matches: Option<Regex>,
    absent: bool,
}

impl HeaderTest {
    /// Whether the headers are as they must be.
    ///
    /// # Errors
    /// They are not.
    pub(super) fn test(&self, headers: &HeaderMap, secrets: &[Secret]) -> Result<(), Problem> {
        let fail = |message: String| Err(Problem::fail(Reason::HeaderMismatch, message));
        let name = &self.name;
        let values: Vec<_> =
            headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        let Some(first) = values.first() else {
            return if self.absent { Ok(()) } else { fail(format!("the answer has no header {name}")) };
        };
        if self.absent {
            return fail(format!("the answer has the header {name}"));
        }
        // A header may stand several times (Set-Cookie, Vary); one of them is enough.
        if self.equals.as_ref().is_some_and(|wanted| !values.iter().any(|value| value == wanted)) {
            return fail(format!("the header {name} is {}", quoted(first, secrets)));
        }
        match &self.matches {
            Some(regex) if !values.iter().any(|value| regex.is_match(value)) => {
                fail(format!("the header {name} is {}, which does not match {regex}", quoted(first, secrets)))
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

/// One header of a request; what is wrong goes into the findings.
pub(super) fn prepare(
    header: &HttpHeader,
    place: &Pointer,
    findings: &mut Vec<Finding>,
) -> Option<(HeaderName, Value)> {
    let Ok(name) = header.name.parse::<HeaderName>() else {
        findings.push(Finding::error("bad-header", place.join("name"), "this is no name of a header"));
        return None;
    };
    if matches!(name.as_str(), "host" | "connection" | "content-length" | "transfer-encoding" | "upgrade") {
        let fix = if name == "host" { "say `host` in the check" } else { "take it away" };
        let message = format!("the header {name} belongs to the connection");
        findings.push(Finding::error("bad-header", place.join("name"), message).fix(fix));
        return None;
    }
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

/// What must be true of the headers of an answer.
pub(super) fn prepare_tests(conditions: &[HeaderCondition], preparing: &mut Preparing<'_>) -> Vec<HeaderTest> {
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
