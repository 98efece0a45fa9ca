//! A whole file of the user.

use contract::FileMode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A whole file of the user, by its absolute path on the host. It replaces a generated one of the same path.
/// Exactly one of `content`, `template` and `source` is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserFile {
    /// The text of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The text of the file with `@@secret:NAME@@` for the values of secrets; it is filled on the host, in RAM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// A file on the controller, relative to the fleet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Permission bits.
    #[serde(default = "mode_0644")]
    pub mode: FileMode,
    /// Owner.
    #[serde(default = "root")]
    pub owner: String,
    /// Group.
    #[serde(default = "root")]
    pub group: String,
    /// A command line that checks the file before it replaces the old one; `%s` is its temporary path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validate: Vec<String>,
    /// Units reloaded after a change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reload: Vec<String>,
    /// Units restarted after a change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restart: Vec<String>,
}

fn mode_0644() -> FileMode {
    FileMode::new(0o644)
}

fn root() -> String {
    "root".into()
}
