//! `backup.verdict/v1`: whether the backups are as the plan says.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Document;
use crate::SchemaId;

/// The verdict on one plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackupVerdict {
    /// The host.
    pub host: String,
    /// Name of the plan.
    pub plan: String,
    /// All is well.
    pub ok: bool,
    /// When it was judged (RFC 3339, UTC).
    pub judged_at: String,
    /// The repositories.
    pub repositories: Vec<RepositoryVerdict>,
    /// Age of the newest proof of a restore, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof_age_secs: Option<u64>,
    /// What is wrong with the plan as a whole: the last run, the proof of a restore.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// The verdict on one repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RepositoryVerdict {
    /// Its name.
    pub id: String,
    /// All is well with it.
    pub ok: bool,
    /// The newest snapshot of the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// When that was made (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// How old that is, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_secs: Option<u64>,
    /// Bytes in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Bytes in the one before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_bytes: Option<u64>,
    /// How many snapshots the plan has there.
    #[serde(default)]
    pub snapshots: u64,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

impl Document for BackupVerdict {
    const ID: SchemaId = SchemaId::BACKUP_VERDICT;
}
