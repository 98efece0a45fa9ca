//! Where and when backups are made.

use std::collections::BTreeMap;

use contract::SecretRef;
use contract::document::BackupPolicy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where and when backups are made. What is backed up stands with the services.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backups {
    /// Repositories of restic.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub repositories: BTreeMap<String, Repository>,
    /// Plans. A host takes the one that its `backup.plan` names, or the only one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub plans: BTreeMap<String, BackupPlanSpec>,
}

/// A repository of restic. Each host has its own place in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Repository {
    /// restic's URI, such as `/srv/backup` or `b2:bucket:path`; `{host}` stands for the host's name.
    pub uri: String,
    /// Its password.
    pub password: SecretRef,
    /// Environment of restic, such as `B2_ACCOUNT_KEY`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, SecretRef>,
    /// The bucket of the fleet in which it lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// In another place than the hosts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub offsite: bool,
    /// Old snapshots cannot be removed with our credentials.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub append_only: bool,
    /// Made where it is not there.
    #[serde(default = "super::yes")]
    pub init: bool, //keep
}

/// When a host is backed up, where to, how long it is kept and how it is proven.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupPlanSpec {
    /// Repositories; all of them if none are given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<String>,
    /// What runs it.
    #[serde(default)]
    pub tool: BackupTool,
    /// Directory for dumps; `/var/backups/plumbline` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staging: Option<String>,
    /// When, how long, how proven.
    #[serde(default)]
    pub policy: BackupPolicy,
}

/// What runs a backup plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BackupTool {
    /// A systemd timer that runs restic.
    #[default]
    Systemd,
    /// Backrest, with a generated plan.
    Backrest,
}
