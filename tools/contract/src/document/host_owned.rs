//! `host.owned/v1`: what an owner placed on a host, kept on the host itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Document, Handler};
use crate::{FileMode, SchemaId};

/// Everything that one owner placed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct HostOwned {
    /// The owner.
    pub owner: String,
    /// What it placed.
    pub things: Vec<OwnedThing>,
}

/// One thing that an owner placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OwnedThing {
    /// Its kind: `file`, `unit`, `directory`, `user`, ...
    pub kind: String,
    /// Its name: a path, a unit, a user.
    pub name: String,
    /// Hash of what was last written, in hexadecimal; another one on the host means that somebody else changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Holds data that cannot be made again: never removed without consent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub data: bool,
    /// What follows its removal, as its item said when it was placed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<Handler>,
    /// What was there before us.
    pub original: Original,
}

/// What was there before us. Exactly one key is given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Original {
    /// Nothing was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<super::EmptyObject>,
    /// A symbolic link was there, with this target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Something else was there (a directory, a user) and was taken over as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existed: Option<super::EmptyObject>,
    /// A file was there; its bytes are saved beside this document under their hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved: Option<SavedOriginal>,
}

/// A saved file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SavedOriginal {
    /// Hash of its bytes in hexadecimal.
    pub sha256: String,
    /// Its permission bits.
    pub mode: FileMode,
    /// Its owner's number.
    pub uid: u32,
    /// Its group's number.
    pub gid: u32,
}

impl Document for HostOwned {
    const ID: SchemaId = SchemaId::HOST_OWNED;
}
