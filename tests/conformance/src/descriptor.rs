//! What a tool reads, so that the cases of the contract can be made for it.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

/// `tools/NAME.json`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Descriptor {
    /// The tool.
    pub tool: String,
    /// Kinds of documents that `--schema` must know.
    pub documents: Vec<String>,
    /// A verb that reads a document from standard input and changes nothing outside its own directory. `{dir}` stands for a
    /// fresh directory.
    pub args: Vec<String>,
    /// A small good document for it.
    pub document: Value,
    /// Exit of that verb for the good document.
    #[serde(default)]
    pub exit: u8,
    /// The kind of document that it prints.
    pub prints: String,
    /// Its output is the same for the same input (a report of measured times is not).
    #[serde(default = "yes")]
    pub deterministic: bool,
    /// A key of the document, by pointer, and a misspelling of it that must be met with "did you mean".
    pub misspelt: Misspelt,
    /// Where a secret by name belongs (RFC 6901), in `canary_document` if that is given; a literal there must be refused and
    /// never repeated.
    #[serde(default)]
    pub canary: Option<String>,
    /// The document for the canary, where the small one has no place for a secret.
    #[serde(default)]
    pub canary_document: Option<Value>,
}

/// A key and a misspelling of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Misspelt {
    /// The object that holds the key (RFC 6901).
    pub inside: String,
    /// The key.
    pub key: String,
    /// How it is written wrong.
    pub written: String,
}

fn yes() -> bool {
    true
}

impl Descriptor {
    /// Reads the descriptor of a tool.
    ///
    /// # Errors
    /// A text for people.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
    }
}
