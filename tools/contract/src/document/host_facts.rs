//! `host.facts/v1`: what a host is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Arch, Document};
use crate::SchemaId;

/// What a host says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostFacts {
    /// Its own name.
    pub hostname: String,
    /// `ID` of os-release(5).
    pub os_id: String,
    /// `VERSION_ID` of os-release(5), if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Processor.
    pub arch: Arch,
    /// Kernel release.
    pub kernel: String,
    /// What runs as process 1: `systemd`, or another name.
    pub init: String,
    /// Addresses of its interfaces but loopback.
    pub addresses: Vec<String>,
    /// TCP ports on which sshd listens, as far as they can be seen.
    pub ssh_ports: Vec<u16>,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Free bytes where the tools keep their state.
    pub free_bytes: u64,
    /// What runs there; only where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Box<RunningFacts>>,
}

/// What runs on a host: what a first draft of a fleet is made from. No value of a secret is in it: what looks like one in a command
/// is left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct RunningFacts {
    /// Packages that a person asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<String>,
    /// Services and timers that start at boot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<UnitFacts>,
    /// Ports on which something listens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortFacts>,
    /// Names that a reverse proxy serves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<SiteFacts>,
    /// Databases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<DatabaseFacts>,
    /// Jobs of cron.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cron: Vec<CronFacts>,
    /// Containers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<ContainerFacts>,
    /// What could not be looked at, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<String>,
}

/// A unit that starts at boot.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct UnitFacts {
    /// Its name, with its kind.
    pub name: String,
    /// Its file was written by the owner of the host (`/etc/systemd/system`) and not by a package.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own: bool,
    /// What it starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<String>,
    /// When, for a timer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<String>,
}

/// A port on which something listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
pub struct PortFacts {
    /// `tcp` or `udp`.
    pub proto: String,
    /// Port.
    pub port: u16,
    /// Address; `0.0.0.0` or `::` for all.
    pub address: String,
    /// The program that listens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// The unit that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// Names that a reverse proxy serves.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct SiteFacts {
    /// `nginx`, `caddy` or `apache`.
    pub server: String,
    /// The file that says so.
    pub file: String,
    /// The names.
    pub names: Vec<String>,
    /// Address to which requests go, as it is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Directory from which files are served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
}

/// A database.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct DatabaseFacts {
    /// Which program: `postgresql`.
    pub engine: String,
    /// Its major version.
    pub version: u16,
    /// Port of the cluster.
    pub port: u16,
    /// Name.
    pub name: String,
    /// The role that owns it.
    pub owner: String,
}

/// A job of cron.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct CronFacts {
    /// The file that says so.
    pub file: String,
    /// As whom it runs.
    pub user: String,
    /// When, as cron writes it.
    pub schedule: String,
    /// What it runs.
    pub command: String,
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ContainerFacts {
    /// `docker` or `podman`.
    pub engine: String,
    /// Name.
    pub name: String,
    /// Image.
    pub image: String,
    /// Published ports as the engine writes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
    /// The Compose project that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
}

impl Document for HostFacts {
    const ID: SchemaId = SchemaId::HOST_FACTS;
}
