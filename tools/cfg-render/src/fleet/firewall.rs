//! A host's firewall.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cidr, Limits};

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
    /// Most new TCP connections from one address; more are dropped. No limit if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_connections: Option<Limits>,
    /// Named lists of addresses that are turned away. What is added to a list on the host stays there when rules are loaded
    /// again.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub block: BTreeMap<String, Vec<Cidr>>,
    /// Dropped packets are logged, at a limited rate.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub log: bool,
}

impl Default for Firewall {
    fn default() -> Self {
        Self {
            enable: true,
            ping: true,
            public_interface: None,
            new_connections: None,
            block: BTreeMap::new(),
            log: false,
        }
    }
}
