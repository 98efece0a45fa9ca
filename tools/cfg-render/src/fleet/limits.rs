//! Rate limits.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// How many requests an address may make. More are answered with 429.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Long-term rate for one address.
    pub rate: Rate,
    /// Requests beyond the rate that are let through at once.
    #[serde(default)]
    pub burst: u32,
}

/// A number of requests in a second or minute: `10r/s`, `30r/m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// Requests.
    pub requests: u32,
    /// Seconds in which they are made: 1 or 60.
    pub seconds: u32,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once("r/").and_then(|(requests, unit)| {
            let seconds = match unit {
                "s" => 1,
                "m" => 60,
                _ => return None,
            };
            Some((requests.parse::<u32>().ok()?, seconds))
        });
        match parts {
            Some((requests, seconds)) if requests > 0 => Ok(Self { requests, seconds }),
            _ => Err("expected a rate such as \"10r/s\" or \"30r/m\"".into()),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}r/{}", self.requests, if self.seconds == 1 { "s" } else { "m" })
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Rate {
    fn schema_name() -> Cow<'static, str> {
        "Rate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[1-9][0-9]*r/[sm]$", "description": "Requests in a second or minute: \"10r/s\", \"30r/m\"." })
    }
}
