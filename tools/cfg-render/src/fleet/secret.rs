//! A secret: where its ciphertext is, and whose its value becomes.

use contract::document::Generator;
use contract::{FileMode, Pointer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A secret: where its ciphertext is, and whose its value becomes on a host. `{}` is enough for most. Every other place
/// says `{"secret": "NAME"}`. Which hosts get it follows from who uses it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The SOPS file, relative to the fleet; `secrets/HOST.yaml` if one host alone uses it, else `secrets/fleet.yaml`, if
    /// not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Place of the value in that file; `/NAME` if not given, the empty pointer is the whole file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<Pointer>,
    /// Owner of its file on the host; the user of the service that reads it, else root, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Group of its file on the host; root if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Permission bits of its file on the host; `0400` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<FileMode>,
    /// A usual path that links to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Needed before users are made; then owned by root.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub needed_for_users: bool,
    /// How it is made where it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generator: Option<Generator>,
    /// Where its value is kept instead of a SOPS file: `op://VAULT/ITEM/FIELD`, `scw:NAME`. Resolved on the controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Further hosts that get it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Units restarted when it changes, besides those of the services that use it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<String>,
}
