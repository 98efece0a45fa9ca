//! The internal certification authority.

use contract::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The internal certification authority, for names that no public one certifies. There is one where a proxy entry needs
/// it, also if nothing stands here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Certificates {
    /// Common name of the CA; `NAME internal CA` if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The SOPS file with the CA's key, for administrators only.
    pub key_file: String,
    /// The CA's certificate (PEM) on the controller, in git.
    pub certificate: String,
    /// Domains that it may certify (name constraints); the fleet's domain and those of its internal names if none are given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    /// Life of a leaf.
    pub leaf: Duration,
    /// A leaf with less than this left is warned about.
    pub warn: Duration,
}

impl Default for Certificates {
    fn default() -> Self {
        Self {
            name: None,
            key_file: "secrets/ca.yaml".into(),
            certificate: "ca.pem".into(),
            domains: Vec::new(),
            leaf: Duration::from_secs(180 * 86_400),
            warn: Duration::from_secs(30 * 86_400),
        }
    }
}
