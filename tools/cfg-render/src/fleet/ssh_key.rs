//! A key that may log in.

use std::borrow::Cow;

use contract::SecretRef;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::shorthand::{Shorthand, read};

/// A public SSH key: a line of authorized_keys(5), or a secret that holds such lines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SshKey {
    /// A line of authorized_keys(5).
    Line(String),
    /// A secret that holds such lines, for those who do not publish their keys.
    Secret(SecretRef),
}

impl Shorthand for SshKey {
    const EXPECTING: &'static str = "an SSH public key or {\"secret\": \"NAME\"}";
    type Full = SecretRef;

    fn from_full(full: SecretRef) -> Result<Self, String> {
        Ok(Self::Secret(full))
    }

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(Self::Line(text.into()))
    }
}

impl Serialize for SshKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Line(line) => serializer.serialize_str(line),
            Self::Secret(secret) => secret.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for SshKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer)
    }
}

impl JsonSchema for SshKey {
    fn schema_name() -> Cow<'static, str> {
        "SshKey".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let secret = generator.subschema_for::<SecretRef>();
        json_schema!({
            "description": "A public SSH key: a line of authorized_keys(5), or a secret that holds such lines.",
            "oneOf": [{ "type": "string" }, secret]
        })
    }
}
