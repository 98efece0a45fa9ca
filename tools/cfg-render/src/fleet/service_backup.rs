//! What of a service or host is backed up.

use contract::document::{BackupDump, BackupQuiesce};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What of a service is backed up. Its databases are dumped besides.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceBackup {
    /// Absolute paths of its data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Patterns in restic's language; one without a leading `/` holds inside each of the paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Dumps besides those of its databases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dumps: Vec<BackupDump>,
    /// Commands around the backup of its paths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiesce: Option<BackupQuiesce>,
    /// Parts left out on purpose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub omit: Vec<Omission>,
    /// Nothing of it is backed up, and why that is right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub none: Option<String>,
}

/// What of a host itself is backed up, and by which plan.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostBackup {
    /// A plan of `backups.plans` for all of the host; the only one if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Absolute paths that belong to no service.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Patterns in restic's language.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Parts left out on purpose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub omit: Vec<Omission>,
    /// Nothing on this host is backed up, and why that is right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub none: Option<String>,
}

/// Something left out on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Omission {
    /// Absolute path.
    pub path: String,
    /// Why.
    pub reason: String,
}
