//! `secrets.result/v1`: what was written, changed or materialised. Names only, never values.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Document;
use crate::SchemaId;

/// What a run of `secret-encrypt` did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct SecretsResult {
    /// Whether anything is different from before.
    pub changed: bool,
    /// Files that were written, relative to the working directory or absolute.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// The generation of materialised secrets, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Secrets and templates that were not there before.
    #[serde(default)]
    pub added: Vec<String>,
    /// Secrets and templates whose value, owner or mode is different from before.
    #[serde(default, rename = "updated")]
    pub updated: Vec<String>,
    /// Secrets and templates that are gone.
    #[serde(default)]
    pub removed: Vec<String>,
    /// Units to restart because of that.
    #[serde(default)]
    pub units: Vec<String>,
    /// Units to reload because of that.
    #[serde(default)]
    pub reload_units: Vec<String>,
    /// Public recipients of what was written or made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
    /// Places in a merged file that two sides changed differently.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<String>,
    /// What a person should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl Document for SecretsResult {
    const ID: SchemaId = SchemaId::SECRETS_RESULT;
}
