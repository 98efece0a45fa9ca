//! A machine of the fleet.

use std::collections::BTreeMap;
use std::net::IpAddr;

use contract::document::{AptRepository, Arch, Engine, Mount};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Agents, Allow, Bootloader, CheckSpec, DataDirectory, Disk, Extra, Fail2ban, Firewall, HostBackup, HostGroup,
    HostNetwork, HostNixos, HostSecrets, HostUnit, HostUser, Os, ProxyServer, Ssh, Timer, Updates, UserFile,
};

/// A machine of the fleet, by its name. What it does not give it takes from the host named by `like`, then from
/// `defaults.host`, key by key; `addresses`, `hostname`, `host_keys` and `description` are never taken over.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Whether it takes part; `true` if not given. A host that does not is left out of everything, with its services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable: Option<bool>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Another host whose keys it takes where it gives none itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub like: Option<String>,
    /// Distribution and release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<Os>,
    /// What its processor is; `x86_64` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<Arch>,
    /// Its addresses by network, the first of each being the one to use; `public` is the internet.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub addresses: BTreeMap<String, Vec<IpAddr>>,
    /// Host name on the machine; the name in the fleet if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Domain of its full name; the fleet's `domain` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// A name of the IANA time zone database, such as `Europe/Berlin`; left as it is if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// `LANG`, such as `C.UTF-8`; left as it is if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// Who configures its network; nobody if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<HostNetwork>,
    /// How it is logged in to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<Ssh>,
    /// Its pinned SSH host keys, each as `TYPE BASE64`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_keys: Vec<String>,
    /// How it gets at its secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<HostSecrets>,
    /// Users by login name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub users: BTreeMap<String, HostUser>,
    /// Groups of the system by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, HostGroup>,
    /// Packages of the distribution, as `NAME` or `NAME=VERSION`. On NixOS attributes of nixpkgs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<String>,
    /// Packages that must not be installed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent_packages: Vec<String>,
    /// Further sources of packages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apt_repositories: Vec<AptRepository>,
    /// The firewall.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firewall: Option<Firewall>,
    /// Holes in the firewall for what is no service of the fleet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Allow>,
    /// Bans of addresses that try passwords.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail2ban: Option<Fail2ban>,
    /// Updates by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updates: Option<Updates>,
    /// The reverse proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<ProxyServer>,
    /// The container engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub containers: Option<ContainerEngine>,
    /// Programs that watch the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agents: Option<Agents>,
    /// The disk that an installation erases and lays out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<Disk>,
    /// What starts the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootloader: Option<Bootloader>,
    /// What a NixOS host is built from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nixos: Option<HostNixos>,
    /// Mounted file systems.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Kernel parameters (sysctl.d(5)).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctl: BTreeMap<String, String>,
    /// Kernel modules loaded at boot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kernel_modules: Vec<String>,
    /// Systemd units by full name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub units: BTreeMap<String, HostUnit>,
    /// Commands that run at times.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub timers: BTreeMap<String, Timer>,
    /// Directories by path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub directories: BTreeMap<String, DataDirectory>,
    /// Whole files by path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, UserFile>,
    /// What of the host itself is backed up, and by which plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<HostBackup>,
    /// Checks of the host besides the derived ones (sshd, closed ports, disk, units).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub health: Vec<CheckSpec>,
    /// Text inside generated files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Extra>,
    /// Codes of findings about this host that a person has accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accept_risk: Vec<String>,
}

/// The container engine of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContainerEngine {
    /// Which one.
    pub engine: Engine,
    /// Where a service's Compose file, `.env` file and relative volumes lie: `DIRECTORY/SERVICE`.
    #[serde(default = "opt")]
    pub directory: String,
}

fn opt() -> String {
    "/opt".into()
}
