//! Text of the user inside generated files.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Text of the user at fixed points of generated files, where the fleet has no word for a thing. It is parsed like our
/// own text: a directive replaces ours instead of standing beside it, and unbalanced braces are refused.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Extra {
    /// nginx.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nginx: Option<ExtraNginx>,
    /// Caddy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caddy: Option<ExtraCaddy>,
    /// Merge patch (RFC 7396) on Traefik's dynamic configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traefik: Option<serde_json::Value>,
    /// Lines of sshd_config, for hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sshd: Vec<String>,
    /// Rules of the input chain, before the final drop, for hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nftables: Vec<String>,
    /// Directives of the service's unit by section: `{"Service": {"MemoryMax": ["1G"]}}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub systemd: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    /// Merge patch (RFC 7396) on Prometheus' configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<serde_json::Value>,
    /// Merge patch (RFC 7396) on the Compose file of the service's containers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compose: Option<serde_json::Value>,
    /// A Nix module as text, for NixOS hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nixos: Option<String>,
}

/// Directives inside nginx' configuration, each with its arguments but without the final semicolon.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtraNginx {
    /// In `http`, for hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<String>,
    /// In the service's `server` blocks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub server: Vec<String>,
    /// In the service's `location` blocks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub location: Vec<String>,
}

/// Directives inside a Caddyfile.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtraCaddy {
    /// In the global options, for hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub global: Vec<String>,
    /// In the service's site blocks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub site: Vec<String>,
}
