//! Permission bits in documents: `"0644"`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Permission bits of a file, written in octal as a string of three or four digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileMode(u32);

impl FileMode {
    /// The mode from its bits; bits above 07777 are dropped.
    pub const fn new(bits: u32) -> Self {
        Self(bits & 0o7777)
    }

    /// The bits.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether everybody may read such a file, so that a diff may show its text.
    pub const fn world_readable(self) -> bool {
        self.0 & 0o004 != 0
    }
}

impl FromStr for FileMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = (3..=4).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
        if !digits {
            return Err("expected permission bits in octal as a string, such as \"0644\"".into());
        }
        u32::from_str_radix(text, 8).map(Self).map_err(|error| error.to_string())
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl Serialize for FileMode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FileMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for FileMode {
    fn schema_name() -> Cow<'static, str> {
        "FileMode".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-7]{3,4}$", "description": "Permission bits in octal, such as \"0644\"." })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_only() {
        assert_eq!("0644".parse::<FileMode>().unwrap().bits(), 0o644);
        assert_eq!("4755".parse::<FileMode>().unwrap().to_string(), "4755");
        assert_eq!("640".parse::<FileMode>().unwrap().to_string(), "0640");
        assert!("0644".parse::<FileMode>().unwrap().world_readable());
        assert!(!"0640".parse::<FileMode>().unwrap().world_readable());
        for text in ["", "64", "0888", "06440", "rw-r--r--", "+644"] {
            assert!(text.parse::<FileMode>().is_err(), "{text}");
        }
    }
}
