//! A tunnel from a provider's edge to a host.

use contract::SecretRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A tunnel from Cloudflare's edge to a host (cloudflared), for hosts that the internet does not reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tunnel {
    /// The host on which it ends.
    pub host: String,
    /// A `cloudflare` provider of `dns.providers`; the only one if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Name of the tunnel at the provider; its name here if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Id of the tunnel, needed for DNS records where it is managed locally.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Where its routes are kept.
    #[serde(default)]
    pub managed: TunnelManagement,
    /// Credentials file (local) or token (remote).
    pub credentials: SecretRef,
}

/// Where the routes of a tunnel are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TunnelManagement {
    /// At the provider.
    #[default]
    Remote,
    /// In a file on the host.
    Local,
}
