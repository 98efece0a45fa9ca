//! A port that is reached directly.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A port of a service that is reached directly, without a proxy. From it follow the hole in the firewall and, with
/// `via`, a forwarding of the bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expose {
    /// Name of the service's port; the only one if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// Networks from which it is reached.
    #[serde(default = "super::public")]
    pub from: Vec<String>, //keep
    /// Host that takes the connections and passes them on; the service's own if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// Port on that host, where it differs.
    #[schemars(range(min = 1))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_port: Option<u16>,
    /// Names that get DNS records for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Codes of findings about this port that a person has accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accept_risk: Vec<String>,
}
