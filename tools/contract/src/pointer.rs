//! JSON Pointer (RFC 6901): how every error and finding names its place in a document.

use std::fmt::{self, Write as _};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A place in a JSON document, such as `/zones/0/records/3/ttl`. The empty pointer is the document itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Pointer(String);

impl Pointer {
    /// The whole document.
    pub fn root() -> Self {
        Self::default()
    }

    /// A pointer from its text, as it stands in a document. The text is not checked: a wrong one just points nowhere.
    pub fn parse(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// A place from its keys, made at once.
    pub fn of<const N: usize>(keys: [&dyn fmt::Display; N]) -> Self {
        let mut escaped = Escaped(String::with_capacity(64));
        for key in keys {
            escaped.0.push('/');
            // Writing to a string does not fail.
            let _ = write!(escaped, "{key}");
        }
        Self(escaped.0)
    }

    /// The place of `key` (an object key or an array index) inside this one, escaped as RFC 6901 section 3 says.
    #[must_use]
    pub fn join(&self, key: impl fmt::Display) -> Self {
        // Places are made by the hundred thousand: one allocation each.
        let mut text = String::with_capacity(self.0.len() + 24);
        text.push_str(&self.0);
        text.push('/');
        let mut escaped = Escaped(text);
        // Writing to a string does not fail.
        let _ = write!(escaped, "{key}");
        Self(escaped.0)
    }

    /// The unescaped keys from the root to this place.
    pub fn keys(&self) -> impl Iterator<Item = String> + '_ {
        self.0.split('/').skip(1).map(|key| key.replace("~1", "/").replace("~0", "~"))
    }

    /// The text of the pointer.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Escapes what stands for something else in a pointer (RFC 6901 section 3).
struct Escaped(String);

impl fmt::Write for Escaped {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(index) = rest.bytes().position(|byte| matches!(byte, b'~' | b'/')) {
            self.0.push_str(&rest[..index]);
            self.0.push_str(if rest.as_bytes()[index] == b'~' { "~0" } else { "~1" });
            rest = &rest[index + 1..];
        }
        self.0.push_str(rest);
        Ok(())
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_with_dots_slashes_and_tildes_survive() {
        let pointer = Pointer::root().join("zones").join("a/b~c.org").join(0);
        assert_eq!(pointer.as_str(), "/zones/a~1b~0c.org/0");
        assert_eq!(pointer.keys().collect::<Vec<_>>(), ["zones", "a/b~c.org", "0"]);
        assert_eq!(Pointer::of([&"zones", &"a/b~c.org", &0]), pointer);
        assert_eq!(Pointer::root().keys().count(), 0);
    }
}
