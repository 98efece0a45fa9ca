//! `backup.plan/v1`: the one verified plan of a host's backups.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BackupOmission, BackupPolicy, BackupRepository, Document};
use crate::{Duration, Finding, SchemaId};

/// What is backed up, how, and where to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackupPlan {
    /// The host.
    pub host: String,
    /// Name of the plan, unique among all that share a repository.
    pub plan: String,
    /// Hash over everything but sizes, in hexadecimal.
    pub digest: String,
    /// Directory for dumps.
    pub staging: String,
    /// What restic is given, one a line of `--files-from-raw`.
    pub roots: Vec<BackupRoot>,
    /// Patterns for `--exclude-file`, already escaped.
    pub excludes: Vec<String>,
    /// What is left out on purpose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub omit: Vec<BackupOmission>,
    /// What is run, in order.
    pub steps: Vec<BackupStep>,
    /// Where to.
    pub repositories: Vec<BackupRepository>,
    /// When, how long, how proven.
    pub policy: BackupPolicy,
    /// Data of no service below well-known places.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uncovered: Vec<String>,
    /// What a person should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

/// One path that is backed up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackupRoot {
    /// Absolute path.
    pub path: String,
    /// Services that own it.
    pub owners: Vec<String>,
    /// Regular files in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// Their bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// One command of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackupStep {
    /// Its name, unique in the plan.
    pub id: String,
    /// `dump`, `quiesce`, `backup`, `resume`, `forget`, `check` or `drill`.
    pub kind: String,
    /// The repository, for steps that need one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Program and arguments; no shell stands between.
    pub argv: Vec<String>,
    /// System user; root if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// File that standard output goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout: Option<String>,
    /// Ended after this long.
    pub timeout: Duration,
}

impl Document for BackupPlan {
    const ID: SchemaId = SchemaId::BACKUP_PLAN;
}
