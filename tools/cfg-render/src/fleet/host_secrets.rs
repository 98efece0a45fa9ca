//! How a host gets at its secrets.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a host gets at its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostSecrets {
    /// What decrypts on the host.
    #[serde(default)]
    pub backend: SecretBackend,
    /// The host's public age key: `age1...`, or its SSH host key (`ssh-ed25519 ...`). Found at first contact if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// Where its private key is.
    #[serde(default)]
    pub key: AgeKey,
}

/// What decrypts secrets on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SecretBackend {
    /// SOPS files: sops-nix on NixOS, the secrets unit elsewhere.
    #[default]
    Sops,
    /// age files, on NixOS only.
    Agenix,
    /// Nothing: the host takes no secrets.
    None,
}

/// Where a host's private key is. `"ssh-host-key"`, or exactly one key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AgeKey {
    /// Its Ed25519 SSH host key.
    #[default]
    SshHostKey,
    /// A file with an age identity, so that a host can be thrown away without touching the secret files.
    File(AgeKeyFile),
}

/// A file with an age identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgeKeyFile {
    /// Absolute path on the host.
    pub path: String,
    /// Where it lies on the controller, relative to the fleet, for an installation to bring along. Never in git.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}
