//! `backup.sources/v1`: what the services of a host declare to be backed up, and where to.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Document;
use crate::{Duration, Pointer, SchemaId, SecretRef};

/// All that is to be backed up on one host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupSources {
    /// The host.
    pub host: String,
    /// Name of the plan, unique among all that share a repository.
    pub plan: String,
    /// Directory for dumps, 0700, with room for all of them.
    #[serde(default = "staging")]
    pub staging: String,
    /// What each service owns.
    pub services: Vec<BackupService>,
    /// What is left out on purpose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub omit: Vec<BackupOmission>,
    /// Where to.
    pub repositories: Vec<BackupRepository>,
    /// When, how long, how proven.
    pub policy: BackupPolicy,
}

/// What one service owns.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupService {
    /// Its name.
    pub name: String,
    /// Absolute paths of its data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Patterns in restic's language; one without a leading `/` holds inside each of the service's paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Data that must be dumped because files under a running database are no backup.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dumps: Vec<BackupDump>,
    /// Commands around the backup of its paths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiesce: Option<BackupQuiesce>,
    /// Paths may be missing (a service that is installed later).
    #[serde(default)]
    pub optional: bool,
    /// Places in the fleet that made this entry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<Pointer>,
}

/// One dump. Exactly one of the kinds is given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupDump {
    /// Name of the dump, unique on the host; also its file name.
    pub id: String,
    /// `pg_dump` of one database, or of all roles and tablespaces of a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<PostgresDump>,
    /// `VACUUM INTO` of an SQLite file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqlite: Option<SqliteDump>,
    /// Standard output of a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandDump>,
}

/// A PostgreSQL dump in custom format.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresDump {
    /// The database; none means the cluster's roles and tablespaces (`pg_dumpall --globals-only`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// Directory of the socket, or name or address of the server.
    #[serde(default = "run_postgresql")]
    pub host: String,
    /// Port.
    #[serde(default = "port_5432")]
    pub port: u16,
    /// Role, and on a socket also the system user.
    #[serde(default = "postgres")]
    pub user: String,
    /// Password, for a server on the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
}

/// An SQLite file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqliteDump {
    /// Its absolute path.
    pub path: String,
}

/// A command whose standard output is the dump.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandDump {
    /// Program and arguments; no shell stands between.
    pub argv: Vec<String>,
    /// System user; default root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// Commands around the backup of a service's paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupQuiesce {
    /// Command lines before.
    pub stop: Vec<Vec<String>>,
    /// Command lines after, run also when the backup fails or is killed.
    pub start: Vec<Vec<String>>,
    /// Longest time between them.
    pub max: Duration,
}

/// Something left out on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupOmission {
    /// Absolute path.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// A restic repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupRepository {
    /// Its name.
    pub id: String,
    /// restic's URI, such as `/srv/backup` or `b2:bucket:path`.
    pub uri: String,
    /// Its password.
    pub password: SecretRef,
    /// Environment of restic, such as `B2_ACCOUNT_KEY`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, SecretRef>,
    /// In another place than the host.
    #[serde(default)]
    pub offsite: bool,
    /// Old snapshots cannot be removed with our credentials.
    #[serde(default)]
    pub append_only: bool,
    /// Made where it is not there.
    #[serde(default = "yes")]
    pub init: bool,
}

/// When, how long, how proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupPolicy {
    /// systemd calendar expression (systemd.time(7)).
    #[serde(default = "daily_at_three")]
    pub schedule: String,
    /// Random delay, fixed for the host.
    #[serde(default = "three_quarters")]
    pub jitter: Duration,
    /// What is kept.
    #[serde(default)]
    pub retention: BackupRetention,
    /// A backup older than this is bad.
    #[serde(default = "hours_26")]
    pub max_age: Duration,
    /// The repository's structure is checked this often.
    #[serde(default = "days_7")]
    pub check_every: Duration,
    /// A restore is tried this often.
    #[serde(default = "days_7")]
    pub drill_every: Duration,
    /// A proof of a restore older than this is bad.
    #[serde(default = "days_14")]
    pub proof_max_age: Duration,
    /// File systems mounted inside a path are left out.
    #[serde(default = "yes")]
    pub one_file_system: bool,
    /// Directories with a valid `CACHEDIR.TAG` are left out.
    #[serde(default = "yes")]
    pub exclude_caches: bool,
}

/// How many snapshots are kept of each length (restic forget).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupRetention {
    /// The newest ones.
    #[serde(default)]
    pub last: u32,
    /// One an hour.
    #[serde(default)]
    pub hourly: u32,
    /// One a day.
    #[serde(default)]
    pub daily: u32,
    /// One a week.
    #[serde(default)]
    pub weekly: u32,
    /// One a month.
    #[serde(default)]
    pub monthly: u32,
    /// One a year.
    #[serde(default)]
    pub yearly: u32,
}

impl Default for BackupRetention {
    fn default() -> Self {
        Self { last: 0, hourly: 0, daily: 7, weekly: 4, monthly: 12, yearly: 0 }
    }
}

impl Default for BackupPolicy {
    fn default() -> Self {
        Self {
            schedule: daily_at_three(),
            jitter: three_quarters(),
            retention: BackupRetention::default(),
            max_age: hours_26(),
            check_every: days_7(),
            drill_every: days_7(),
            proof_max_age: days_14(),
            one_file_system: true,
            exclude_caches: true,
        }
    }
}

fn staging() -> String {
    "/var/backups/plumbline".into()
}

fn run_postgresql() -> String {
    "/run/postgresql".into()
}

fn postgres() -> String {
    "postgres".into()
}

fn port_5432() -> u16 {
    5432
}

fn yes() -> bool {
    true
}

fn daily_at_three() -> String {
    "*-*-* 03:00:00".into()
}

fn three_quarters() -> Duration {
    Duration::from_secs(45 * 60)
}

fn hours_26() -> Duration {
    Duration::from_secs(26 * 3600)
}

fn days_7() -> Duration {
    Duration::from_secs(7 * 86_400)
}

fn days_14() -> Duration {
    Duration::from_secs(14 * 86_400)
}

impl Document for BackupSources {
    const ID: SchemaId = SchemaId::BACKUP_SOURCES;
}
