//! The `nixos` item of `host.desired/v1`: a whole system, built and switched to.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A NixOS system, built and switched to as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nixos {
    /// The attribute below `nixosConfigurations`.
    pub attr: String,
    /// A flake that the host fetches itself, such as `git+https://git.example/fleet?rev=...`, instead of `files`. With a
    /// branch in the place of a revision each apply takes the newest one. It must have a flake.lock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flake: Option<String>,
    /// Where the flake lies on the host.
    #[serde(default = "etc_nixos")]
    pub directory: String,
    /// Files of the flake by path relative to it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, NixosFile>,
    /// How it becomes the running system.
    #[serde(default)]
    pub switch: NixosSwitch,
}

/// One file of a flake: generated text, or a file of the user on the controller.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NixosFile {
    /// The text of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// A file on the controller, relative to `--base`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Hash of the bytes of `source` in hexadecimal; a plan fills it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// How a built NixOS system becomes the running one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NixosSwitch {
    /// Activated first, made the boot default only after the access proof.
    #[default]
    TestThenBoot,
    /// `switch-to-configuration switch`.
    Switch,
    /// Boot default only.
    Boot,
}

fn etc_nixos() -> String {
    "/etc/nixos".into()
}
