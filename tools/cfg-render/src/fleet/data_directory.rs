//! A directory that a service or host needs.

use contract::FileMode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A directory, by its absolute path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataDirectory {
    /// Permission bits.
    #[serde(default = "mode_0750")]
    pub mode: FileMode,
    /// Owner; the service's user if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Group; the service's group if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Holds data that cannot be made again: never removed without consent.
    #[serde(default = "super::yes")]
    pub data: bool, //keep
}

impl Default for DataDirectory {
    fn default() -> Self {
        Self { mode: mode_0750(), owner: None, group: None, data: true }
    }
}

fn mode_0750() -> FileMode {
    FileMode::new(0o750)
}
