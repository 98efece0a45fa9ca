//! Who may pass a proxy entry.

use contract::SecretRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who may pass a proxy entry. `"none"`, or exactly one key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// Everybody; the service itself asks.
    #[default]
    None,
    /// Those with a password (RFC 7617).
    Basic(BasicAuth),
    /// Those whom a single sign-on provider lets pass, asked by the proxy at each request.
    Forward(ForwardAuth),
    /// Those whom this policy of `access` lets pass, asked by the tunnel's provider.
    Access(String),
}

/// Passwords at the proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// Secret with lines of htpasswd (`NAME:HASH`).
    pub users: SecretRef,
    /// Realm; the service's name if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
}

/// A question to a single sign-on provider at each request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForwardAuth {
    /// A provider of `sso`.
    pub provider: String,
    /// Groups of which a person must be in one; any if none are given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Paths that are open to all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
}
