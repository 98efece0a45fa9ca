//! Who configures a host's network.

use std::net::IpAddr;

use contract::document::EmptyObject;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who configures a host's network. Exactly one key is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HostNetwork {
    /// Somebody else; nothing is written.
    Unmanaged(EmptyObject),
    /// Addresses come from a DHCP server.
    Dhcp(DhcpNetwork),
    /// Addresses are those given here.
    Static(StaticNetwork),
}

/// Addresses from a DHCP server.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DhcpNetwork {
    /// The interface, such as `eth0` or `en*`; every wired one if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Name servers to use instead of those that the server offers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<IpAddr>,
}

/// Fixed addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StaticNetwork {
    /// The interface, such as `eth0`.
    pub interface: String,
    /// Addresses with prefix length, such as `192.0.2.10/24`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// Default gateways, at most one a family.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gateways: Vec<IpAddr>,
    /// Name servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<IpAddr>,
}
