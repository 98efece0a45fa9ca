//! A hole in a host's firewall.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PortRange, Proto};

/// A hole in a host's firewall for something that is no service of the fleet. Services never open holes themselves:
/// theirs follow from `proxy` and `expose`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Allow {
    /// The port or ports.
    pub port: PortRange,
    /// Transport protocol.
    #[serde(default)]
    pub proto: Proto,
    /// Networks from which it is open.
    #[serde(default = "super::public")]
    pub from: Vec<String>,
    /// Why; shown in the firewall's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Codes of findings about this hole that a person has accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accept_risk: Vec<String>,
}
