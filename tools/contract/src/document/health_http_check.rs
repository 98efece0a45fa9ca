//! The `http` check of `health.checks/v1`: a request and what its answer must be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TlsExpectation;
use crate::{Pointer, SecretRef};

/// An HTTP or HTTPS request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpCheck {
    /// Where to; the profile may add the path.
    pub url: String,
    /// `GET` or `HEAD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Headers of the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HttpHeader>,
    /// Address and port to connect to instead of those of the URL (an edge before its DNS is switched).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<String>,
    /// Status codes that are good; 200 to 299 if none are given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<u16>,
    /// Conditions on the body, all of which must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub body: Vec<BodyCondition>,
    /// Conditions on the headers of the answer, all of which must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub response_headers: Vec<HeaderCondition>,
    /// The server must close the connection without an answer (a sinkhole for unknown names, nginx's 444).
    #[serde(default)]
    pub closes: bool,
    /// How many redirects are followed; 0 if not given, because a login page must not pass for health.
    #[serde(default)]
    pub redirects: u8,
    /// How the certificate is judged.
    #[serde(default)]
    pub tls: TlsExpectation,
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
