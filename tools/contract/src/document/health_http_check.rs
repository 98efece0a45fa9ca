//! The `http` check of `health.checks/v1`: a request and what its answer must be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TlsExpectation;
use crate::{Pointer, SecretRef};

/// An HTTP or HTTPS request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpCheck {
    /// Where to; the profile may add the path.
    pub url: String,
    /// `GET` (if not given), `HEAD`, or, for a health page that asks for it, `POST` or `PUT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// What is sent with `POST` or `PUT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// A `POST` or `PUT` may be sent again where it failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub idempotent: bool,
    /// Headers of the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HttpHeader>,
    /// Address and port to connect to instead of those of the URL (an edge before its DNS is switched).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<String>,
    /// Host header instead of the URL's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// `env` (as `http_proxy`, `https_proxy` and `no_proxy` say) or the URL of a proxy; none if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// Status codes and ranges of them (`"300-302"`, `"2xx"`) that are good; 200 to 299 if none are given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<StatusRange>,
    /// Conditions on the body, all of which must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub body: Vec<BodyCondition>,
    /// Conditions on the headers of the answer, all of which must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub response_headers: Vec<HeaderCondition>,
    /// The server must close the connection without an answer (a sinkhole for unknown names, nginx's 444).
    #[serde(default)]
    pub closes: bool,
    /// How many redirects are followed, on the same host only; 10 if not given.
    #[serde(default = "ten", skip_serializing_if = "is_ten")]
    pub redirects: u8,
    /// Where redirects may lead. One to another host is degraded, because a login page must not pass for health.
    #[serde(default, skip_serializing_if = "is_same_host")]
    pub redirect_to: RedirectTo,
    /// How the certificate is judged.
    #[serde(default)]
    pub tls: TlsExpectation,
}

impl Default for HttpCheck {
    fn default() -> Self {
        Self {
            url: String::new(),
            method: None,
            content: None,
            idempotent: false,
            headers: Vec::new(),
            connect: None,
            host: None,
            proxy: None,
            status: Vec::new(),
            body: Vec::new(),
            response_headers: Vec::new(),
            closes: false,
            redirects: ten(),
            redirect_to: RedirectTo::default(),
            tls: TlsExpectation::default(),
        }
    }
}

/// A status code, or a range of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum StatusRange {
    /// One code.
    Code(#[schemars(range(min = 100, max = 599))] u16),
    /// `"300-302"`, both included, or `"2xx"`.
    Range(#[schemars(regex(pattern = r"^([1-5]xx|[1-5][0-9][0-9]-[1-5][0-9][0-9])$"))] String),
}

/// Where redirects may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RedirectTo {
    /// To the same host, with any port; not from https to http.
    #[default]
    SameHost,
    /// Anywhere, but not from https to http. Headers with secrets are left behind.
    Any,
}

/// A header of a request: a clear value, or a secret.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpHeader {
    /// Its name.
    pub name: String,
    /// Its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Its value, secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_value: Option<SecretRef>,
}

/// A condition on a header of an answer. Without `equals`, `matches` and `absent` it must be there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderCondition {
    /// Its name.
    pub name: String,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<String>,
    /// This regular expression matches it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matches: Option<String>,
    /// It must not be there.
    #[serde(default)]
    pub absent: bool,
}

/// A condition on a body. Exactly one of `contains`, `not_contains`, `matches` and `json` is given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BodyCondition {
    /// This text is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// This text is not in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_contains: Option<String>,
    /// This regular expression matches it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matches: Option<String>,
    /// It is JSON and holds a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<JsonCondition>,
}

/// A value inside a JSON body.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JsonCondition {
    /// Where it is (RFC 6901).
    pub pointer: Pointer,
    /// What it is; anything but null if no condition is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<serde_json::Value>,
    /// What it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_equals: Option<serde_json::Value>,
    /// It is one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<serde_json::Value>,
    /// It is a text with this in it, or an array with this as an element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<serde_json::Value>,
    /// It is not there at all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub absent: bool,
    /// It is a text, an array or an object with at least so many characters, elements or keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_length: Option<u64>,
    /// It is a text that this regular expression matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matches: Option<String>,
    /// It is a number, and not smaller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<serde_json::Number>,
    /// It is a number, and not larger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<serde_json::Number>,
}

fn ten() -> u8 {
    10
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_ten(number: &u8) -> bool {
    *number == ten()
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_same_host(to: &RedirectTo) -> bool {
    *to == RedirectTo::SameHost
}
