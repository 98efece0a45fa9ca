//! Updates of a host by itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Updates of a host by itself (unattended-upgrades; on NixOS `system.autoUpgrade`). On unless switched off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Updates {
    /// Whether it updates itself.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub enable: bool,
    /// What it takes.
    pub scope: UpdateScope,
    /// When, as a systemd calendar expression (systemd.time(7)).
    pub schedule: String,
    /// Time of day, such as `04:30`, at which it may restart where an update needs that; never if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reboot: Option<String>,
    /// Packages that stay as they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hold: Vec<String>,
    /// Where reports go; nowhere if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

impl Default for Updates {
    fn default() -> Self {
        Self {
            enable: true,
            scope: UpdateScope::Security,
            schedule: "daily".into(),
            reboot: None,
            hold: Vec::new(),
            email: None,
        }
    }
}

/// Which updates a host takes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateScope {
    /// Those that close security holes.
    #[default]
    Security,
    /// All of the release.
    All,
}
