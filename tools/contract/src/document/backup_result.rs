//! `backup.result/v1`: what a backup run did.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Document, Outcome};
use crate::{ErrorObject, SchemaId};

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackupResult {
    /// The host.
    pub host: String,
    /// Name of the plan.
    pub plan: String,
    /// Hash of the plan that was run.
    pub digest: String,
    /// How it ended.
    pub outcome: Outcome,
    /// When it began (RFC 3339, UTC).
    pub started_at: String,
    /// When it ended (RFC 3339, UTC).
    pub finished_at: String,
    /// What was run.
    pub steps: Vec<BackupStepResult>,
    /// The error that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorObject>,
}

/// One step and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackupStepResult {
    /// Its name in the plan.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// The repository, for steps that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// `done`, `partial`, `failed` or `skipped`.
    pub state: String,
    /// Exit code of the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<i32>,
    /// Snapshot that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// Files in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// Bytes in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Bytes that the repository did not have yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added_bytes: Option<u64>,
    /// Files that could not be read, in a partial backup.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Wall time in milliseconds.
    pub ms: u64,
}

impl Document for BackupResult {
    const ID: SchemaId = SchemaId::BACKUP_RESULT;
}
