//! `backup.proof/v1`: that a restore worked, and of what.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Document;
use crate::SchemaId;

/// The proof of one restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackupProof {
    /// The host.
    pub host: String,
    /// Name of the plan.
    pub plan: String,
    /// Repository that was restored from.
    pub repository: String,
    /// Snapshot that was restored from.
    pub snapshot: String,
    /// When it ended (RFC 3339, UTC).
    pub finished_at: String,
    /// Everything that was restored is as it was backed up.
    pub ok: bool,
    /// Files that were compared.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Dumps that were read to their end.
    #[serde(default)]
    pub dumps: u64,
    /// Files that had changed between listing and backup, and so prove nothing.
    #[serde(default)]
    pub changed: u64,
    /// What was not as it was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mismatches: Vec<String>,
}

impl Document for BackupProof {
    const ID: SchemaId = SchemaId::BACKUP_PROOF;
}
