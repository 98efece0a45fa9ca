//! `error/v1`: what a failed run says on stderr, as one JSON line with `--log-format json`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Document, Pointer, SchemaId};

/// One error, with its place and its remedy (the fields of RFC 9457, fitted to a process).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ErrorObject {
    /// The program that speaks, so that a pipe or a remote run shows whose error it is.
    pub tool: String,
    /// Its version.
    pub version: String,
    /// Stable name of the error in snake_case, such as `unknown_field`.
    pub code: String,
    /// The exit code that the process ends with.
    pub exit: u8,
    /// What is wrong, in lower case and without a final dot. Never holds the value of a secret.
    pub message: String,
    /// Where: a file, a host, a unit; `-` is standard input.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The place inside the document (RFC 6901).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<Pointer>,
    /// Line of that place in the input, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Column of that place in the input, in characters from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u64>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Underlying causes, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
}

impl Document for ErrorObject {
    const ID: SchemaId = SchemaId::ERROR;
}
