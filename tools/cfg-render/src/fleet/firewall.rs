//! A host's firewall.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A host's firewall: one nftables table of ours that drops what is not declared. On unless switched off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Firewall {
    /// Whether there is one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub enable: bool,
    /// Echo requests are answered on every network.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ping: bool,
    /// Interface to the internet, needed to guard published container ports; found by the default route if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_interface: Option<String>,
    /// Dropped packets are logged, at a limited rate.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub log: bool,
}

impl Default for Firewall {
    fn default() -> Self {
        Self { enable: true, ping: true, public_interface: None, log: false }
    }
}
