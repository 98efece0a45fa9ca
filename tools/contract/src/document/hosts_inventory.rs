//! `hosts.inventory/v1`: where hosts are and how to reach them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Document;
use crate::SchemaId;

/// All hosts of a fleet, as `cfg-render hosts` prints them for `host-provision --hosts FILE`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostsInventory {
    /// The hosts, in the order of a rollout.
    pub hosts: Vec<InventoryHost>,
    /// Database clusters by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub databases: BTreeMap<String, InventoryDatabase>,
}

/// One host and the ways to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InventoryHost {
    /// Its name in the fleet.
    pub name: String,
    /// Distribution and release, such as `debian-12` or `nixos-25.11`.
    pub os: String,
    /// What its processor is.
    pub arch: Arch,
    /// Ways to its sshd, tried in this order: the final one first, then those of a host that is not yet converged.
    pub addresses: Vec<InventoryAddress>,
    /// Its pinned host keys, each as `TYPE BASE64`. Empty until first contact.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_keys: Vec<String>,
    /// How root is reached when the login user is not root.
    #[serde(default, rename = "become", skip_serializing_if = "Option::is_none")]
    pub escalate: Option<Escalation>,
    /// Another host of the inventory through which this one is reached (a jump host).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// Its place in a rollout; hosts of the same number may go together.
    #[serde(default)]
    pub order: u32,
}

/// One way to a host's sshd.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InventoryAddress {
    /// An IP address or a name that resolves on the controller.
    pub address: String,
    /// TCP port of sshd.
    pub port: u16,
    /// Login user.
    pub user: String,
}

/// What a host's processor is, in Rust's and the kernel's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Arch {
    /// 64-bit Intel and AMD.
    #[serde(rename = "x86_64")]
    X86_64,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM with hard float.
    Armv7,
}

impl Arch {
    /// The word that documents, directories and `uname -m` use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
            Arch::Armv7 => "armv7",
        }
    }

    /// The architecture that `uname -m` names.
    pub fn from_uname(machine: &str) -> Option<Arch> {
        match machine {
            "x86_64" | "amd64" => Some(Arch::X86_64),
            "aarch64" | "arm64" => Some(Arch::Aarch64),
            "armv7l" | "armv7" => Some(Arch::Armv7),
            _ => None,
        }
    }
}

/// A program that gives a login user root's rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Escalation {
    /// `sudo`, with a password where it asks for one.
    Sudo,
    /// `doas`, where it asks for no password.
    Doas,
}

/// A database cluster as a recipe needs to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InventoryDatabase {
    /// The host on which `pg-ensure` runs for it; none means the controller (a managed database).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_on: Option<String>,
}

impl Document for HostsInventory {
    const ID: SchemaId = SchemaId::HOSTS_INVENTORY;
}
