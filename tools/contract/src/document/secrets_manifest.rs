//! `secrets.manifest/v1`: which secrets a host gets, and the templates to fill with them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Document;
use crate::{FileMode, Pointer, SchemaId, SecretName};

/// The secrets of one host (or of the controller), by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretsManifest {
    /// The host, where it is for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The secrets.
    #[serde(default)]
    pub secrets: Vec<ManifestSecret>,
    /// Texts with placeholders.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<ManifestTemplate>,
}

/// One secret: where its ciphertext is, and whose its value becomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ManifestSecret {
    /// Its name, unique in the fleet; also its file name below the secrets directory.
    pub name: SecretName,
    /// The SOPS file, relative to the manifest.
    pub file: String,
    /// The place of the value in that file; the empty pointer is the whole file.
    pub pointer: Pointer,
    /// Owner of the materialised file.
    #[serde(default = "root")]
    pub owner: String,
    /// Group of the materialised file.
    #[serde(default = "root")]
    pub group: String,
    /// Permission bits of the materialised file.
    #[serde(default = "mode_0400")]
    pub mode: FileMode,
    /// A usual path that links to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Units restarted when its value changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<String>,
    /// Units reloaded when its value changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reload_units: Vec<String>,
    /// Materialised before users are made; then owned by root.
    #[serde(default)]
    pub needed_for_users: bool,
    /// Where its value comes from instead, such as `op://VAULT/ITEM/FIELD` or `scw:NAME`: `refs seal` puts it into the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// How `create --missing` makes it where it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generator: Option<Generator>,
}

/// A text in which `@@secret:NAME@@` stands for the value of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ManifestTemplate {
    /// File name below the directory of filled templates.
    pub name: String,
    /// The text.
    pub text: String,
    /// Owner of the filled file.
    #[serde(default = "root")]
    pub owner: String,
    /// Group of the filled file.
    #[serde(default = "root")]
    pub group: String,
    /// Permission bits of the filled file.
    #[serde(default = "mode_0400")]
    pub mode: FileMode,
    /// A usual path that links to it, such as `/opt/app/.env`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Units restarted when the filled text changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<String>,
    /// Units reloaded when the filled text changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reload_units: Vec<String>,
    /// How values are written into it.
    #[serde(default)]
    pub escape: TemplateEscape,
}

/// How the value of a secret is written into a template. A value that the form cannot hold is an error, never altered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TemplateEscape {
    /// As it is.
    #[default]
    None,
    /// Inside a JSON or YAML double-quoted string.
    Json,
    /// Inside single quotes of a Compose `.env` file.
    ComposeEnv,
    /// As a raw value of `docker run --env-file` or a quadlet: one line, no quoting.
    RawEnv,
    /// Inside double quotes of a systemd `EnvironmentFile`.
    SystemdEnv,
    /// Percent-encoded, for the password of a URL.
    Url,
}

/// How a missing secret is made. Exactly one key is given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Generator {
    /// Random bytes in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hex: Option<RandomBytes>,
    /// Random bytes in base64 (RFC 4648 section 4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<RandomBytes>,
    /// A password of letters and digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<RandomPassword>,
    /// An Ed25519 private key (PKCS#8, PEM).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ed25519: Option<EmptyObject>,
    /// A secp256k1 private key, 32 bytes in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secp256k1: Option<EmptyObject>,
    /// An OpenSSH Ed25519 private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_key: Option<EmptyObject>,
    /// A UUID, version 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<EmptyObject>,
}

/// How many random bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomBytes {
    /// From 8 to 1024.
    #[schemars(range(min = 8, max = 1024))]
    pub bytes: u16,
}

/// How long a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomPassword {
    /// From 12 to 256 characters.
    #[schemars(range(min = 12, max = 256))]
    pub length: u16,
}

/// An object without keys: the kind says it all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmptyObject {}

fn root() -> String {
    "root".into()
}

fn mode_0400() -> FileMode {
    FileMode::new(0o400)
}

impl Document for SecretsManifest {
    const ID: SchemaId = SchemaId::SECRETS_MANIFEST;
}
