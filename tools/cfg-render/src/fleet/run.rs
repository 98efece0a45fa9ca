//! How a service runs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Container;

/// How a service runs. Exactly one key is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Run {
    /// Files that the reverse proxy serves itself.
    Static(StaticSite),
    /// A program under systemd, with a unit of ours.
    Systemd(SystemdRun),
    /// A package of the distribution that brings its own unit.
    Package(PackageRun),
    /// One container.
    Container(Container),
    /// Several containers that belong together, by name.
    Containers(BTreeMap<String, Container>),
    /// A Compose file of the user.
    Compose(ComposeRun),
    /// A module of NixOS.
    Nixos(NixosRun),
    /// A module of Home Manager, for one user.
    HomeManager(HomeManagerRun),
    /// Not ours: it is somewhere on the internet, or on a host but managed by others. It can be wanted and checked, has
    /// no files, and never fails a gate.
    External(ExternalRun),
}

impl Run {
    /// The key that names the kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Run::Static(_) => "static",
            Run::Systemd(_) => "systemd",
            Run::Package(_) => "package",
            Run::Container(_) => "container",
            Run::Containers(_) => "containers",
            Run::Compose(_) => "compose",
            Run::Nixos(_) => "nixos",
            Run::HomeManager(_) => "home_manager",
            Run::External(_) => "external",
        }
    }

    /// Its containers by name; the only one of `container` is called `main`.
    pub fn containers(&self) -> Vec<(&str, &Container)> {
        match self {
            Run::Container(container) => vec![("main", container)],
            Run::Containers(containers) => {
                containers.iter().map(|(name, container)| (name.as_str(), container)).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Files that the reverse proxy serves itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StaticSite {
    /// Directory on the host.
    pub root: String,
    /// Files to look for in a directory; `index.html` if none are given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub index: Vec<String>,
    /// File served for paths that do not exist, such as `/index.html` for a single-page application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
    /// Directories without an index are listed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub listing: bool,
}

/// A program under systemd, with a unit of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SystemdRun {
    /// Program and arguments; no shell stands between.
    pub exec: Vec<String>,
    /// Command lines before it, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pre: Vec<Vec<String>>,
    /// Command line that makes it read its configuration again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reload: Vec<String>,
    /// How systemd knows that it has started.
    #[serde(default)]
    pub start: StartKind,
    /// Packages that it needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<String>,
    /// Working directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<String>,
    /// Paths that it may write besides its state directory `/var/lib/SERVICE`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub writable: Vec<String>,
    /// The sandbox of systemd (no new privileges, read-only system, private devices). Off only for programs that cannot.
    #[serde(default = "super::yes")]
    pub sandbox: bool, //keep
    /// Runs at these times instead of always (systemd.time(7)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<String>,
    /// Whole unit of this user instead of the system.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub user_unit: bool,
}

/// How systemd knows that a program has started (`Type=`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StartKind {
    /// It was executed.
    #[default]
    Exec,
    /// It says so (`sd_notify`).
    Notify,
    /// It has ended.
    Oneshot,
}

/// A package of the distribution that brings its own unit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PackageRun {
    /// Packages, the one that brings the unit first; the service's name if none are given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<String>,
    /// Full name of the unit; `PACKAGE.service` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Arguments of the program, in the way that the package has for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
}

/// A Compose file of the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ComposeRun {
    /// The file on the controller, relative to the fleet.
    pub source: String,
    /// Name of the project; the service's name if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
}

/// A module of NixOS.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NixosRun {
    /// Option path that is enabled, such as `services.forgejo`.
    pub module: String,
    /// Options below it, as JSON.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, serde_json::Value>,
    /// Options of the whole system that belong to the service, by full path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub system: BTreeMap<String, serde_json::Value>,
    /// Full names of its units; `NAME.service` after the last part of `module` if none are given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<String>,
}

/// A module of Home Manager, for one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HomeManagerRun {
    /// The user.
    pub user: String,
    /// Option path that is enabled, such as `programs.openclaw`.
    pub module: String,
    /// Modules from inputs of the flake, as `INPUT.ATTR`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub imports: Vec<String>,
    /// Options below it, as JSON.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, serde_json::Value>,
    /// Full names of its user units; `SERVICE.service` if none are given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<String>,
}

/// Something that is not ours.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExternalRun {
    /// Name or address of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Where it answers, such as `https://plc.directory` or `wss://bsky.network`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Full name of the unit, where it runs on a host of the fleet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}
