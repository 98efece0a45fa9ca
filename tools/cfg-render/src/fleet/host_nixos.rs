//! What a NixOS host is built from.

use std::collections::BTreeMap;

use contract::Duration;
use contract::document::NixosSwitch;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a NixOS host is built from. Without `flake` a flake is generated; with it the user's own is taken and the
/// generated module is one that it may import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HostNixos {
    /// Directory of the user's own flake on the controller, relative to the fleet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flake: Option<String>,
    /// The flake in a repository that the host fetches itself, such as `git+https://git.example/fleet?ref=main`: the tree that
    /// `host --out` writes is pushed there with its flake.lock, no files are sent, and updates follow the repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// The host brings itself to its document this often, such as `1h` (`host-provision pull`); its own updates are off then,
    /// because two would switch the system back and forth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull: Option<Duration>,
    /// Attribute below `nixosConfigurations`; the host's name if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attr: Option<String>,
    /// Inputs of the generated flake besides nixpkgs, disko and sops-nix: name and flake reference.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, String>,
    /// Modules from inputs, as `INPUT.ATTR`, such as `home-manager.nixosModules.home-manager`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub input_modules: Vec<String>,
    /// Modules of the user on the controller, relative to the fleet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<String>,
    /// Further files of the user that the flake needs (`flake.lock`, files that modules import), relative to the fleet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// Where the flake lies on the host.
    pub directory: String,
    /// `system.stateVersion`; the release of `os` if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_version: Option<String>,
    /// Packages with unfree licences may be built.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allow_unfree: bool,
    /// How a built system becomes the running one.
    pub switch: NixosSwitch,
}

impl Default for HostNixos {
    fn default() -> Self {
        Self {
            flake: None,
            remote: None,
            pull: None,
            attr: None,
            inputs: BTreeMap::new(),
            input_modules: Vec::new(),
            modules: Vec::new(),
            files: Vec::new(),
            directory: "/etc/nixos".into(),
            state_version: None,
            allow_unfree: false,
            switch: NixosSwitch::default(),
        }
    }
}
