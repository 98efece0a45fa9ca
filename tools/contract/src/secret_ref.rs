//! How documents refer to secrets: by name, never by value.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The name of a secret, unique in the fleet: `[a-z][a-z0-9-]{0,62}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName(String);

impl SecretName {
    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SecretName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut bytes = text.bytes();
        let good = bytes.next().is_some_and(|b| b.is_ascii_lowercase())
            && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && text.len() <= 63;
        // The text is not repeated: a person may have put the value where the name belongs.
        if good { Ok(Self(text.into())) } else { Err("a secret's name is [a-z][a-z0-9-]{0,62}".into()) }
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for SecretName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SecretName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for SecretName {
    fn schema_name() -> Cow<'static, str> {
        "SecretName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[a-z][a-z0-9-]{0,62}$", "description": "The name of a secret, unique in the fleet." })
    }
}

/// `{"secret": "NAME"}`: the only form in which a document other than the fleet and the manifest mentions a secret.
///
/// A literal in its place is refused without being repeated in the message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct SecretRef {
    /// Which secret.
    pub secret: SecretName,
}

impl SecretRef {
    /// A reference to the secret of this name.
    pub fn new(name: SecretName) -> Self {
        Self { secret: name }
    }
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RefVisitor;

        impl<'de> Visitor<'de> for RefVisitor {
            type Value = SecretRef;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("{\"secret\": \"NAME\"}")
            }

            fn visit_str<E: de::Error>(self, _: &str) -> Result<SecretRef, E> {
                Err(E::custom(
                    "a literal stands where a secret belongs: put the value into the SOPS file and write {\"secret\": \"NAME\"} here",
                ))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretRef, A::Error> {
                let mut name = None;
                while let Some(key) = map.next_key::<String>()? {
                    if key == "secret" {
                        name = Some(map.next_value()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                        return Err(de::Error::unknown_field(&key, &["secret"]));
                    }
                }
                name.map(SecretRef::new).ok_or_else(|| de::Error::missing_field("secret"))
            }
        }

        deserializer.deserialize_any(RefVisitor)
    }
}

impl JsonSchema for SecretRef {
    fn schema_name() -> Cow<'static, str> {
        "SecretRef".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let name = generator.subschema_for::<SecretName>();
        json_schema!({
            "type": "object",
            "description": "A secret by name. Its value lies in a SOPS file and never in a document.",
            "properties": { "secret": name },
            "required": ["secret"],
            "additionalProperties": false
        })
    }
}

/// What a placeholder in a template begins with; only `secret-encrypt` fills placeholders.
pub const PLACEHOLDER_START: &str = "@@secret:";
/// What a placeholder ends with.
pub const PLACEHOLDER_END: &str = "@@";

/// The placeholder of a secret in the text of a template.
pub fn placeholder(name: &SecretName) -> String {
    format!("{PLACEHOLDER_START}{name}{PLACEHOLDER_END}")
}

/// Where a placeholder begins. Every text of a fleet is looked at, and few have its first letter at all.
fn next_start(text: &str) -> Option<usize> {
    let mut places = text.match_indices('@').map(|(place, _)| place);
    places.find(|place| text[*place..].starts_with(PLACEHOLDER_START))
}

/// Every placeholder in a text: its byte range and the name between the marks (which may be no valid name).
pub fn placeholders(text: &str) -> impl Iterator<Item = (std::ops::Range<usize>, &str)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + next_start(text.get(from..)?)?;
        let name_start = start + PLACEHOLDER_START.len();
        let name_end = name_start + text.get(name_start..)?.find(PLACEHOLDER_END)?;
        from = name_end + PLACEHOLDER_END.len();
        Some((start..from, &text[name_start..name_end]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_is_refused_and_not_repeated() {
        let error = serde_json::from_str::<SecretRef>("\"hunter2-canary\"").unwrap_err().to_string();
        assert!(!error.contains("canary"), "{error}");
        let error = serde_json::from_str::<SecretRef>(r#"{"secret":"Hunter2 canary"}"#).unwrap_err().to_string();
        assert!(!error.contains("canary"), "{error}");
        assert!(serde_json::from_str::<SecretRef>(r#"{"secret":"db-password"}"#).is_ok());
        assert!(serde_json::from_str::<SecretRef>(r#"{"secret":"db","file":"x"}"#).is_err());
        assert!(serde_json::from_str::<SecretRef>("{}").is_err());
    }

    #[test]
    fn placeholders_are_found_in_order() {
        let text = "a=@@secret:one@@\nb=@@secret:two@@@@secret:x";
        let found: Vec<_> = placeholders(text).map(|(range, name)| (&text[range], name)).collect();
        assert_eq!(found, [("@@secret:one@@", "one"), ("@@secret:two@@", "two")]);
        assert_eq!(placeholders("a@b @@@secret:one@@").map(|(_, name)| name).collect::<Vec<_>>(), ["one"]);
        assert_eq!(placeholder(&"one".parse().unwrap()), "@@secret:one@@");
    }
}
