//! Those kinds of `health.checks/v1` that look at the machine on which they run: units, files, disks, proofs, programs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Duration, Pointer};

/// No unit has failed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FailedUnitsCheck {
    /// `system`, or `user:NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Units that may have failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
}

/// A file, and who may read it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileCheck {
    /// Absolute path.
    pub path: String,
    /// A user of the machine who must be able to read it: that of a server whose key it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readable_by: Option<String>,
    /// Everybody may read it; if false (as for a key), that is down.
    #[serde(default = "yes")]
    pub public: bool,
}

/// A systemd unit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnitCheck {
    /// Full name.
    pub name: String,
    /// `system`, or `user:NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

/// Free space and inodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiskCheck {
    /// Any path on the file system.
    pub path: String,
    /// Degraded when this share of space or inodes is used, in percent.
    #[serde(default = "percent_85")]
    #[schemars(range(max = 100))]
    pub warn_percent: u8,
    /// Down when this share of space or inodes is used, in percent.
    #[serde(default = "percent_95")]
    #[schemars(range(max = 100))]
    pub fail_percent: u8,
    /// Degraded when less than this is free, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn_free: Option<u64>,
    /// Down when less than this is free, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail_free: Option<u64>,
    /// The path is a mount point of its own: what lies below a missing mount is not looked at instead.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mount: bool,
}

impl Default for DiskCheck {
    fn default() -> Self {
        Self {
            path: String::new(),
            warn_percent: percent_85(),
            fail_percent: percent_95(),
            warn_free: None,
            fail_free: None,
            mount: false,
        }
    }
}

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MountCheck {
    /// Mount point.
    pub path: String,
    /// It may be read-only.
    #[serde(default)]
    pub read_only: bool,
}

/// The age of a proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FreshnessCheck {
    /// A file, JSON where a pointer is given. Its last parts may hold `*` and `?`: then the newest that fits counts.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// A program that prints the JSON instead of a file; runs only with `--allow-exec`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub argv: Vec<String>,
    /// A smaller file is no proof; in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_bytes: Option<u64>,
    /// Where the time stands in it (RFC 3339); the time of last change of the file if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<Pointer>,
    /// Older than this is down.
    pub max_age: Duration,
    /// Older than this is degraded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn_age: Option<Duration>,
    /// Values that must stand in the file, by pointer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub equals: BTreeMap<String, serde_json::Value>,
}

/// A program that speaks Nagios' plugin protocol.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecCheck {
    /// Program and arguments; no shell stands between.
    pub argv: Vec<String>,
}

fn yes() -> bool {
    true
}

fn percent_85() -> u8 {
    85
}

fn percent_95() -> u8 {
    95
}
