//! `host.desired/v1`: what one host shall be, in the order in which it is made so.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Document, Nixos};
use crate::{Duration, FileMode, Pointer, SchemaId};

// Here, in an item and in a file the fields stand in the order of their keys, in which they are written: a render writes thousands
// of them, and nothing has to be put in order afterwards.
/// Everything that one owner wants on one host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostDesired {
    /// What must keep working for the owner to get in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// The host's name in the inventory.
    pub host: String,
    /// The items, in order of execution within their stage.
    pub items: Vec<HostItem>,
    /// Who declares these items (`fleet`, `backup`). What this owner placed earlier and no longer declares is removed.
    pub owner: String,
    /// The document holds only some of the owner's items, so that nothing may be removed because of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// Sets of files that only make sense together, by name, each with the programs that check it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sets: BTreeMap<String, FileSet>,
}

/// The ways in that an apply must never cut.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// TCP ports on which sshd shall be reachable at the end, the one to log in by first.
    pub ssh_ports: Vec<u16>,
    /// Users that must be able to log in with a key and become root.
    pub login_users: Vec<String>,
    /// Networks (CIDR) from which the owner comes; empty means anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
}

/// Programs that check a set of files as a whole, run after all of them are in place and before any handler.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSet {
    /// Command lines; each must exit 0, or all files of the set go back to what they were.
    pub check: Vec<Vec<String>>,
}

/// When an item is made. A prefix of the stages can be applied with `--through`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Packages, users, access, secrets.
    Base,
    /// Database servers.
    Data,
    /// Everything else.
    #[default]
    Services,
}

/// One thing on a host. Exactly one of the keys besides `id`, `stage`, `notify` and `from` names its kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostItem {
    /// A source of packages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apt_repository: Option<AptRepository>,
    /// SSH keys that may log in as a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorized_keys: Option<AuthorizedKeys>,
    /// A command that knows when it has nothing to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Command>,
    /// A directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<Directory>,
    /// A file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<File>,
    /// Places in the fleet that made this item (provenance, for people).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<Pointer>,
    /// A group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
    /// The host's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<Hostname>,
    /// Name of the item, unique in the document.
    pub id: String,
    /// A container image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// The host's locale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<Locale>,
    /// A mounted file system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<Mount>,
    /// A whole NixOS system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nixos: Option<Nixos>,
    /// What happens once after a change of it, in the order of first mention.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<Handler>,
    /// Packages of the distribution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packages: Option<Packages>,
    /// When it is made.
    #[serde(default)]
    pub stage: Stage,
    /// A symbolic link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symlink: Option<Symlink>,
    /// The host's time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<Timezone>,
    /// A program of the box on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<ToolLink>,
    /// A systemd unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// A user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
}

/// What follows a change: `reload:UNIT`, `restart:UNIT`, `run:ITEM` (a command item that is otherwise not run), or
/// `secrets` (run the secrets unit and restart what its result names).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Handler(
    #[schemars(regex(pattern = r"^(secrets|(reload|restart):[A-Za-z0-9:_.@\\-]+|run:[^ ]+)$"))] pub String,
);

impl Handler {
    /// Reload a unit.
    pub fn reload(unit: &str) -> Self {
        Self(format!("reload:{unit}"))
    }

    /// Restart a unit.
    pub fn restart(unit: &str) -> Self {
        Self(format!("restart:{unit}"))
    }

    /// Run the command item of this id.
    pub fn run(item: &str) -> Self {
        Self(format!("run:{item}"))
    }

    /// Materialise secrets and restart their consumers.
    pub fn secrets() -> Self {
        Self("secrets".into())
    }
}

/// The host's name (`hostnamectl hostname`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hostname {
    /// The static host name.
    pub name: String,
}

/// The host's time zone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timezone {
    /// A name of the IANA time zone database, such as `Europe/Berlin`.
    pub name: String,
}

/// The host's locale.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Locale {
    /// `LANG`, such as `C.UTF-8` or `en_GB.UTF-8`; generated where the system has `locale-gen`.
    pub lang: String,
}

/// A source of packages in deb822 form (sources.list(5)).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AptRepository {
    /// File name below `/etc/apt/sources.list.d`, without `.sources`.
    pub name: String,
    /// Where it is.
    pub uris: Vec<String>,
    /// Suites, such as `bookworm`.
    pub suites: Vec<String>,
    /// Components, such as `main`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<String>,
    /// The signing key, ASCII-armoured.
    pub signed_by: String,
    /// Fingerprint of that key in hexadecimal; another key is refused.
    pub key_fingerprint: String,
    /// Pin priority of everything from there (apt_preferences(5)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
}

/// Packages of the distribution, installed and removed in one transaction.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Packages {
    /// Names, or `name=version`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub present: Vec<String>,
    /// Names that must not be installed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<String>,
    /// Units that a package starts by itself but that must wait for files of later items; they are not started at install.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hold_units: Vec<String>,
}

/// Whether a thing shall be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// It shall be there.
    #[default]
    Present,
    /// It shall not be there.
    Absent,
}

/// A group of the system.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its number, where that matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Number from the system's range.
    #[serde(default)]
    pub system: bool,
}

/// A user of the system. Users are never removed unless `presence` says so and the apply consents.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Login name.
    pub name: String,
    /// Whether it shall be there.
    #[serde(default)]
    pub presence: Presence,
    /// Its number, where that matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Number from the system's range, no home made.
    #[serde(default)]
    pub system: bool,
    /// Primary group; default one of the same name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Further groups. Others that the user is in are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Home directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<String>,
    /// Login shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// Full name (GECOS).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Units of the user run without a login (`loginctl enable-linger`).
    #[serde(default)]
    pub linger: bool,
}

/// SSH keys that may log in as a user, in `~/.ssh/authorized_keys`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthorizedKeys {
    /// Whose keys.
    pub user: String,
    /// Lines of authorized_keys(5).
    pub keys: Vec<String>,
    /// Other keys in the file are taken away.
    #[serde(default)]
    pub exclusive: bool,
}

/// A directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// Absolute path.
    pub path: String,
    /// Permission bits.
    #[serde(default = "mode_0755")]
    pub mode: FileMode,
    /// Owner.
    #[serde(default = "root")]
    pub owner: String,
    /// Group.
    #[serde(default = "root")]
    pub group: String,
    /// Holds data that cannot be made again: never removed without consent.
    #[serde(default)]
    pub data: bool,
}

/// A file, replaced as a whole or not at all. Exactly one of `content`, `content_base64` and `source` is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// The text of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The bytes of the file, where they are no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_base64: Option<String>,
    /// Group.
    #[serde(default = "root")]
    pub group: String,
    /// Written only where no file is; an existing one is left as it is (an internal CA's leaf that ACME replaces).
    #[serde(default)]
    pub keep_existing: bool,
    /// Permission bits.
    #[serde(default = "mode_0644")]
    pub mode: FileMode,
    /// Owner.
    #[serde(default = "root")]
    pub owner: String,
    /// Absolute path.
    pub path: String,
    /// The set that it is checked with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// Hash of the bytes of `source` in hexadecimal; a plan fills it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// A file on the controller, relative to `--base`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// A command line that checks the new file before it replaces the old; `%s` is its temporary path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validate: Vec<String>,
}

/// A symbolic link.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Symlink {
    /// Absolute path of the link.
    pub path: String,
    /// What it points to.
    pub target: String,
}

/// A mounted file system (fstab(5)).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// Mount point.
    pub path: String,
    /// Device, `UUID=`, `LABEL=` or remote share.
    pub device: String,
    /// Type of the file system.
    pub fstype: String,
    /// Options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

/// A program of the box on the host, with a stable link that units can name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolLink {
    /// Which program, such as `backup-plan`.
    pub name: String,
    /// Absolute path of the link to it.
    pub path: String,
}

/// A container image, pulled before units change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Which engine holds it.
    pub engine: Engine,
    /// `registry/name@sha256:...`, or a tag, which is then resolved at plan time.
    pub reference: String,
}

/// A container engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// Docker.
    Docker,
    /// Podman.
    Podman,
}

/// A command that knows when it has nothing to do. One of the four conditions is required, unless it is only notified.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// Program and arguments; no shell stands between.
    pub argv: Vec<String>,
    /// Not run where this path exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creates: Option<String>,
    /// Not run where this path does not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removes: Option<String>,
    /// Not run where this command exits 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unless: Vec<String>,
    /// Run only where this command exits 0; after it ran, this must not exit 0 again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub onlyif: Vec<String>,
    /// Run only when another item notifies it.
    #[serde(default)]
    pub notified_only: bool,
    /// As whom; default root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Working directory; default `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// Ended after this long; default five minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

/// A systemd unit and whether it runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// Full name, such as `nginx.service`.
    pub name: String,
    /// `system`, or `user:NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Started at boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Running now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<UnitState>,
    /// Made impossible to start.
    #[serde(default)]
    pub masked: bool,
}

/// Whether a unit runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnitState {
    /// Active.
    Started,
    /// Not active.
    Stopped,
}

fn mode_0755() -> FileMode {
    FileMode::new(0o755)
}

fn mode_0644() -> FileMode {
    FileMode::new(0o644)
}

fn root() -> String {
    "root".into()
}

impl Document for HostDesired {
    const ID: SchemaId = SchemaId::HOST_DESIRED;
}
