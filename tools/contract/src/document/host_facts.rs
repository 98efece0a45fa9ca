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
}

impl Document for HostFacts {
    const ID: SchemaId = SchemaId::HOST_FACTS;
}
