//! `backup.plan/v1`: the one verified plan of a host's backups.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BackupOmission, BackupPolicy, BackupRepository, Document};
use crate::{Duration, Finding, SchemaId, SecretRef, places};

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
    /// Directory for what a run needs and leaves: lists for restic, its cache, results, proofs, metrics.
    #[serde(default = "state", skip_serializing_if = "is_state")]
    pub state: String,
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
    /// Services that own it, or something inside it.
    pub owners: Vec<String>,
    /// It may be missing; any other root that is missing stops a run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
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
    /// `dump`, `verify`, `quiesce`, `backup`, `resume`, `forget`, `check` or `prune`. Unknown kinds are not run.
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
    /// What standard output must be, less blanks at its ends; anything else is a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<String>,
    /// File that the one of the dump (`<file>.part`) becomes once this step ended well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Password of a database server; given in a file that only the step can read, never in the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
    /// Ended after this long.
    pub timeout: Duration,
}

fn state() -> String {
    places::BACKUP.into()
}

fn is_state(state: &str) -> bool {
    state == places::BACKUP
}

impl Document for BackupPlan {
    const ID: SchemaId = SchemaId::BACKUP_PLAN;
}
