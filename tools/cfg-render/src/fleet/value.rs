//! The value of a setting: a text, a secret, or something that the fleet knows.

use std::borrow::Cow;

use contract::{SecretName, SecretRef};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::shorthand::{Shorthand, read};

/// A text (numbers and booleans are taken as text), or a reference to what the fleet knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A reference. Boxed: it is large, and most values are texts.
    Reference(Box<Reference>),
}

/// A value that the fleet knows. Exactly one of the keys before `attr` names the kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// The value of a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretName>,
    /// A text in which `@@secret:NAME@@` stands for the value of a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Something of a service: `url` (of its first proxy entry), `name` (its first public name), `host` or `address`
    /// (as seen from where the value is used), `port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Something of a database of this service, by the database's name: `url`, `host`, `port`, `name`, `user`, `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// Something of a bucket: `url`, `endpoint`, `region`, `name`, `access_key`, `secret_key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// Something of a mailer: `host`, `port`, `user`, `password`, `from`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mailer: Option<String>,
    /// Something of a single sign-on provider for this service: `issuer`, `client_id`, `client_secret`, `auth_url`,
    /// `token_url`, `userinfo_url`, `logout_url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sso: Option<String>,
    /// Something of a host: `name`, `hostname`, `fqdn`, `address`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,

    /// Which attribute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attr: Option<String>,
    /// Which port of the service, where it has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// On which network, for an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
}

impl Value {
    /// A plain text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// The value of a secret.
    pub fn secret(name: SecretName) -> Self {
        Reference { secret: Some(name), ..Reference::default() }.into()
    }

    /// Names of the secrets that stand in it as such (not those that a database or mailer brings along).
    pub fn secret_names(&self) -> Vec<SecretName> {
        match self {
            Self::Text(_) => Vec::new(),
            Self::Reference(reference) => {
                let template = reference.template.as_deref().unwrap_or_default();
                let placeholders = contract::placeholders(template).filter_map(|(_, name)| name.parse().ok());
                reference.secret.iter().cloned().chain(placeholders).collect()
            }
        }
    }
}

impl From<Reference> for Value {
    fn from(reference: Reference) -> Self {
        Self::Reference(Box::new(reference))
    }
}

impl From<SecretRef> for Value {
    fn from(secret: SecretRef) -> Self {
        Self::secret(secret.secret)
    }
}

impl Shorthand for Value {
    const EXPECTING: &'static str = "a text or an object such as {\"secret\": \"NAME\"}";
    type Full = Reference;

    fn from_full(full: Reference) -> Result<Self, String> {
        Ok(full.into())
    }

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(Self::text(text))
    }

    fn from_number(number: u64) -> Result<Self, String> {
        Ok(Self::text(number.to_string()))
    }

    fn from_bool(value: bool) -> Result<Self, String> {
        Ok(Self::text(value.to_string()))
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Reference(reference) => reference.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer)
    }
}

impl JsonSchema for Value {
    fn schema_name() -> Cow<'static, str> {
        "Value".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let reference = generator.subschema_for::<Reference>();
        json_schema!({
            "description": "A text, or a reference to what the fleet knows.",
            "oneOf": [{ "type": ["string", "integer", "boolean"] }, reference]
        })
    }
}
