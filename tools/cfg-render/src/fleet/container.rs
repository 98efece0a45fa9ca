//! One container.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use contract::SecretName;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Value;

/// One container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Container {
    /// `registry/name:tag` or, better, `registry/name@sha256:...`.
    pub image: String,
    /// Arguments instead of those of the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Program instead of that of the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// Environment, besides that of the service.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Value>,
    /// Secrets that are whole environment files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env_secrets: Vec<SecretName>,
    /// Secrets that it reads as files below `/run/secrets`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretName>,
    /// What it sees of the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    /// File systems in RAM.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tmpfs: Vec<String>,
    /// User and group inside, as `UID:GID`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Containers of the same service that must run first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// Its root file system cannot be written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// Capabilities, and no others; the engine's usual ones if none are given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// Devices of the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
    /// It shares the host's network, for discovery on a LAN; ports are then the host's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub host_network: bool,
    /// Rights of the host (`--privileged`), for programs that measure it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub privileged: bool,
    /// Most memory, such as `512m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// Command inside that tells whether it is healthy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub health_command: Vec<String>,
}

/// What a container sees of the host: `SOURCE:TARGET` or `SOURCE:TARGET:ro`. A source that begins with `/` or `./` is a
/// path (relative to the service's directory), any other the name of a volume.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Volume {
    /// Path on the host or name of a volume.
    pub source: String,
    /// Path inside.
    pub target: String,
    /// It cannot be written.
    pub read_only: bool,
}

impl Volume {
    /// Whether the source is a named volume and not a path.
    pub fn is_named(&self) -> bool {
        !self.source.starts_with(['/', '.'])
    }
}

impl FromStr for Volume {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected a volume as \"SOURCE:TARGET\" or \"SOURCE:TARGET:ro\"".to_string();
        let mut parts = text.split(':');
        let (source, target) = parts.next().zip(parts.next()).ok_or_else(wrong)?;
        let read_only = match (parts.next(), parts.next()) {
            (None, _) | (Some("rw"), None) => false,
            (Some("ro"), None) => true,
            _ => return Err(wrong()),
        };
        if source.is_empty() || !target.starts_with('/') {
            return Err(wrong());
        }
        Ok(Self { source: source.into(), target: target.into(), read_only })
    }
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}{}", self.source, self.target, if self.read_only { ":ro" } else { "" })
    }
}

impl Serialize for Volume {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Volume {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Volume {
    fn schema_name() -> Cow<'static, str> {
        "Volume".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[^:]+:/[^:]*(:(ro|rw))?$",
            "description": "\"SOURCE:TARGET\" or \"SOURCE:TARGET:ro\"; a source that begins with / or ./ is a path, any other a named volume."
        })
    }
}
