//! What system a host runs.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Distribution and release, such as `debian-12`, `ubuntu-24.04` or `nixos-25.11`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Os {
    /// The distribution.
    pub family: OsFamily,
    /// The release, such as `12`, `24.04` or `unstable`.
    pub release: String,
}

/// A distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OsFamily {
    /// Debian.
    Debian,
    /// Ubuntu.
    Ubuntu,
    /// NixOS.
    Nixos,
}

impl OsFamily {
    /// The word that stands before the dash.
    pub const fn as_str(self) -> &'static str {
        match self {
            OsFamily::Debian => "debian",
            OsFamily::Ubuntu => "ubuntu",
            OsFamily::Nixos => "nixos",
        }
    }
}

impl Os {
    /// Whether it is NixOS, where files come from a flake instead of one by one.
    pub fn is_nixos(&self) -> bool {
        self.family == OsFamily::Nixos
    }
}

impl FromStr for Os {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected a distribution and release: debian-12, ubuntu-24.04 or nixos-25.11".to_string();
        let (family, release) = text.split_once('-').ok_or_else(wrong)?;
        let family = match family {
            "debian" => OsFamily::Debian,
            "ubuntu" => OsFamily::Ubuntu,
            "nixos" => OsFamily::Nixos,
            _ => return Err(wrong()),
        };
        let numeric = !release.is_empty() && release.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if numeric || (family == OsFamily::Nixos && release == "unstable") {
            Ok(Self { family, release: release.into() })
        } else {
            Err(wrong())
        }
    }
}

impl fmt::Display for Os {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.family.as_str(), self.release)
    }
}

impl Serialize for Os {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Os {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Os {
    fn schema_name() -> Cow<'static, str> {
        "Os".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^((debian|ubuntu|nixos)-[0-9.]+|nixos-unstable)$",
            "description": "Distribution and release, such as \"debian-12\", \"ubuntu-24.04\" or \"nixos-25.11\"."
        })
    }
}
