//! Single sign-on.

use contract::SecretRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A single sign-on provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SsoProvider {
    /// The service that is one.
    pub service: String,
    /// Which program it is.
    #[serde(default)]
    pub kind: SsoKind,
    /// Base address; that of the service's first proxy entry if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Path that the proxy asks at each request; the program's usual one if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward_path: Option<String>,
}

/// A program that signs people on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SsoKind {
    /// Authentik.
    #[default]
    Authentik,
    /// Authelia.
    Authelia,
    /// Keycloak.
    Keycloak,
    /// Kanidm.
    Kanidm,
    /// Another that speaks OpenID Connect.
    Other,
}

/// Single sign-on that a service does itself (OpenID Connect).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceSso {
    /// A provider of `sso`.
    pub provider: String,
    /// The client's id; the service's name if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The client's secret; none for a public client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<SecretRef>,
    /// Addresses to which the provider may send people back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redirect_uris: Vec<String>,
    /// Scopes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Groups of which a person must be in one; any if none are given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}
