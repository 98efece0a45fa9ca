//! Where the work is done: a host behind SSH, this machine, or a sandbox.

mod current;
mod doas;
mod host_key;
mod libssh;
mod link;
mod local;
mod openssh;
mod password;
mod root;
mod shelf;
mod shipment;
mod ssh_config;
mod transport;

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use cli::{Failure, Input, Session, did_you_mean};
use contract::document::{Arch, Escalation, HostsInventory, InventoryAddress, InventoryHost};
use contract::{Exit, Pointer};

pub use current::Current;
pub use host_key::{HostKeys, KnownHosts, PublicKey};
pub use link::{Ask, Link, Said, Supplies, is_lost};
pub(crate) use password::child;
pub use password::{Password, RootPassword};
pub(crate) use root::Root;
pub use shelf::{Shelf, own_arch};
pub use transport::{Channel, Transport, connect, keyscan};

/// How long a host has for each step until a command runs.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where hosts are and how they are reached.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Target")]
pub struct TargetFlags {
    /// The inventory (hosts.inventory/v1) in which hosts are looked up
    #[arg(long, value_name = "FILE")]
    pub hosts: Option<PathBuf>,
    /// The one target, instead of the inventory: ssh://USER@ADDRESS:PORT, local, or sandbox:DIR
    #[arg(long, value_name = "TARGET")]
    pub target: Option<Target>,
    /// Another address for the host, with the ports and users of the inventory
    #[arg(long, value_name = "ADDRESS")]
    pub address: Option<String>,
    /// Private key to log in with (default: the agent's keys, then ~/.ssh/id_ed25519, id_ecdsa, id_rsa)
    #[arg(short = 'i', long = "identity", value_name = "KEY")]
    pub identities: Vec<PathBuf>,
    /// The host's key, as SHA256:..., instead of the inventory's
    #[arg(long, value_name = "FINGERPRINT")]
    pub host_key: Option<String>,
    /// Take the key of a host of which none is known, and print what to commit; a changed key is refused all the same
    #[arg(long)]
    pub accept_new: bool,
    /// How a login user other than root becomes root
    #[arg(long = "become", value_name = "HOW", value_enum)]
    pub escalate: Option<Become>,
    /// File with the password that sudo or doas asks for; else BECOME_PASSWORD in the environment, else it is asked for on the
    /// terminal
    #[arg(long, value_name = "FILE")]
    pub become_password_file: Option<PathBuf>,
    /// What speaks SSH: auto takes the system's ssh for hosts behind another one, certificates, hardware keys, and where
    /// ~/.ssh/config has a proxy
    #[arg(long, value_name = "NAME", default_value = "auto", value_enum)]
    pub transport: TransportChoice,
}

/// How a login user becomes root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Become {
    /// sudo, also where it asks for a password
    Sudo,
    /// doas, also where it asks for a password
    Doas,
    /// Not at all
    None,
}

/// What speaks SSH.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum TransportChoice {
    /// The built-in one where it can do all that is needed
    #[default]
    Auto,
    /// The built-in one
    Ssh2,
    /// The system's ssh program
    Openssh,
}

/// A target as it is written on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A host behind SSH.
    Ssh(InventoryAddress),
    /// This machine.
    Local,
    /// A directory that stands in for a machine.
    Sandbox(PathBuf),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "local" {
            return Ok(Self::Local);
        }
        if let Some(directory) = text.strip_prefix("sandbox:").filter(|directory| !directory.is_empty()) {
            return Ok(Self::Sandbox(directory.into()));
        }
        let wrong = || "expected ssh://USER@ADDRESS:PORT, local, or sandbox:DIR".to_owned();
        let rest = text.strip_prefix("ssh://").ok_or_else(wrong)?;
        let (user, rest) = rest.split_once('@').unwrap_or(("root", rest));
        let (address, port) = match rest.strip_prefix('[') {
            // An IPv6 address.
            Some(rest) => {
                let (address, port) = rest.split_once(']').ok_or_else(wrong)?;
                (address, port.strip_prefix(':').unwrap_or("22"))
            }
            None => rest.rsplit_once(':').unwrap_or((rest, "22")),
        };
        let port = port.parse().map_err(|_| wrong())?;
        // A leading dash would become an option of the ssh program.
        if address.is_empty() || user.is_empty() || address.starts_with('-') || user.starts_with('-') {
            return Err(wrong());
        }
        Ok(Self::Ssh(InventoryAddress { address: address.into(), port, user: user.into() }))
    }
}

/// A target with everything that is needed to reach it.
#[derive(Debug, Clone)]
pub enum Place {
    /// A host behind SSH.
    Ssh(Box<SshHost>),
    /// This machine.
    Local,
    /// A directory that stands in for a machine.
    Sandbox(PathBuf),
}

/// A host behind SSH.
#[derive(Debug, Clone)]
pub struct SshHost {
    /// Its name.
    pub name: String,
    /// Ways to it, tried in this order.
    pub addresses: Vec<InventoryAddress>,
    /// Its keys.
    pub keys: HostKeys,
    /// Private keys to log in with.
    pub identities: Vec<PathBuf>,
    /// How the login user becomes root.
    pub escalate: Option<Escalation>,
    /// The login user's password by which he becomes root.
    pub root_password: RootPassword,
    /// Its password, on the way to a key.
    pub password: Option<Password>,
    /// Its processor, as far as it is known.
    pub arch: Option<Arch>,
    /// Where the inventory describes it.
    pub inventory_at: Option<Pointer>,
    /// The host through which it is reached.
    pub via: Option<Box<SshHost>>,
    /// What speaks SSH.
    pub transport: TransportChoice,
    /// How long each step of a connection may take.
    pub patience: Duration,
}

impl Place {
    /// What documents say for it; an SSH host is named by the way that answered.
    pub fn describe(&self) -> String {
        match self {
            Self::Ssh(host) => host.addresses.first().map_or_else(|| host.name.clone(), describe),
            Self::Local => "local".into(),
            Self::Sandbox(directory) => format!("sandbox:{}", directory.display()),
        }
    }
}

/// A way to a host as people write it.
pub fn describe(address: &InventoryAddress) -> String {
    let InventoryAddress { address, port, user } = address;
    if address.contains(':') {
        format!("ssh://{user}@[{address}]:{port}")
    } else {
        format!("ssh://{user}@{address}:{port}")
    }
}

/// The inventory and the flags, by which names become places.
#[derive(Debug, Clone)]
pub struct Places {
    flags: TargetFlags,
    inventory: Option<HostsInventory>,
    root_password: RootPassword,
}

impl Places {
    /// Reads the inventory, if one is named.
    ///
    /// # Errors
    /// Those of reading a document, and 2 for flags that do not go together.
    pub fn open(session: &Session, flags: TargetFlags) -> Result<Self, Failure> {
        let inventory = match &flags.hosts {
            Some(file) => Some(session.read::<HostsInventory>(&Input::file(file))?.document),
            None => None,
        };
        let remote = matches!(flags.target, None | Some(Target::Ssh(_)));
        if !remote && (flags.address.is_some() || flags.host_key.is_some() || flags.accept_new) {
            return Err(Failure::new(
                Exit::Usage,
                "usage",
                "--address, --host-key and --accept-new are for targets behind SSH",
            ));
        }
        let root_password = RootPassword::open(flags.become_password_file.as_deref())?;
        Ok(Self { flags, inventory, root_password })
    }

    /// The place of a host: `--target` if given, else the inventory's, else the name itself as a target.
    ///
    /// # Errors
    /// 2 for a name that nothing knows.
    pub fn find(&self, name: &str) -> Result<Place, Failure> {
        let known = self.inventory.as_ref().and_then(|inventory| inventory.hosts.iter().find(|host| host.name == name));
        match self.flags.target.clone().or_else(|| name.parse().ok().filter(|_| known.is_none())) {
            Some(Target::Local) => return Ok(Place::Local),
            Some(Target::Sandbox(directory)) => return Ok(Place::Sandbox(directory)),
            Some(Target::Ssh(address)) => {
                let mut host = known.map_or_else(|| self.bare(name), |known| self.inventoried(known, 0))?;
                host.addresses = vec![address];
                return Ok(self.with_address(host));
            }
            None => {}
        }
        match known {
            Some(known) => {
                let mut host = self.inventoried(known, 0)?;
                if let Some(current) = Current::of(name).filter(|_| self.flags.address.is_none()) {
                    current.apply(known, &mut host)?;
                } else if let Some(current) = Current::of(name) {
                    current.apply_keys(known, &mut host)?;
                }
                Ok(self.with_address(host))
            }
            None => Err(self.unknown(name)),
        }
    }

    fn with_address(&self, mut host: SshHost) -> Place {
        if let Some(address) = &self.flags.address {
            for way in &mut host.addresses {
                way.address.clone_from(address);
            }
            host.addresses.dedup();
        }
        Place::Ssh(Box::new(host))
    }

    fn unknown(&self, name: &str) -> Failure {
        let failure = Failure::new(Exit::Usage, "unknown_host", format!("no host is called \"{name}\""));
        let Some(inventory) = &self.inventory else {
            return failure.hint("give --hosts INVENTORY, or --target ssh://USER@ADDRESS:PORT, local or sandbox:DIR");
        };
        let names: Vec<&str> = inventory.hosts.iter().map(|host| host.name.as_str()).collect();
        match did_you_mean(name, names.iter().copied()) {
            Some(near) => failure.hint(format!("did you mean \"{near}\"?")),
            None => failure.hint(format!("the inventory has {}", names.join(", "))),
        }
    }

    fn bare(&self, name: &str) -> Result<SshHost, Failure> {
        Ok(SshHost {
            name: name.into(),
            addresses: Vec::new(),
            keys: self.keys(&[])?,
            identities: self.flags.identities.clone(),
            password: None,
            root_password: self.root_password.clone(),
            escalate: self.escalate(None),
            arch: None,
            inventory_at: None,
            via: None,
            transport: self.flags.transport,
            patience: PATIENCE,
        })
    }

    fn keys(&self, pinned: &[String]) -> Result<HostKeys, Failure> {
        HostKeys::new(pinned, self.flags.host_key.as_deref(), self.flags.accept_new)
    }

    fn escalate(&self, inventory: Option<Escalation>) -> Option<Escalation> {
        match self.flags.escalate {
            None => inventory,
            Some(Become::None) => None,
            Some(Become::Sudo) => Some(Escalation::Sudo),
            Some(Become::Doas) => Some(Escalation::Doas),
        }
    }

    fn inventoried(&self, host: &InventoryHost, depth: u32) -> Result<SshHost, Failure> {
        let via = match &host.via {
            None => None,
            Some(_) if depth > 4 => {
                return Err(Failure::new(
                    Exit::BadDocument,
                    "via_loop",
                    "hosts are reached through each other in a circle",
                )
                .place(&host.name));
            }
            Some(name) => {
                let hosts = self.inventory.as_ref().map(|inventory| &inventory.hosts);
                let jump = hosts.and_then(|hosts| hosts.iter().find(|host| host.name == *name));
                let jump = jump.ok_or_else(|| self.unknown(name).place(&host.name))?;
                Some(Box::new(self.inventoried(jump, depth + 1)?))
            }
        };
        let bad = |what: &str| what.starts_with('-') || what.is_empty();
        if let Some(way) = host.addresses.iter().find(|way| bad(&way.address) || bad(&way.user)) {
            return Err(Failure::new(Exit::BadDocument, "bad_address", format!("\"{}\" is no address", describe(way)))
                .place(&host.name));
        }
        if host.addresses.is_empty() {
            return Err(Failure::new(Exit::BadDocument, "no_address", "the host has no address").place(&host.name));
        }
        Ok(SshHost {
            addresses: host.addresses.clone(),
            // Flags about keys are about the host itself, never about the one before it.
            keys: if depth == 0 { self.keys(&host.host_keys)? } else { HostKeys::new(&host.host_keys, None, false)? },
            escalate: self.escalate(host.escalate),
            arch: Some(host.arch),
            inventory_at: self.position(host),
            via,
            ..self.bare(&host.name)?
        })
    }

    fn position(&self, host: &InventoryHost) -> Option<Pointer> {
        let index = self.inventory.as_ref()?.hosts.iter().position(|other| other.name == host.name)?;
        Some(Pointer::root().join("hosts").join(index))
    }

    /// From here on a host has these keys and is asked for by its final ways, whatever the flags said of the one before.
    pub fn settle(&mut self, name: &str, host_keys: &[String]) {
        self.flags.host_key = None;
        self.flags.accept_new = false;
        let hosts = self.inventory.iter_mut().flat_map(|inventory| &mut inventory.hosts);
        for host in hosts.filter(|host| host.name == name) {
            host_keys.clone_into(&mut host.host_keys);
        }
    }

    /// The keys that the inventory pins for a host.
    pub fn pinned(&self, name: &str) -> Vec<String> {
        let hosts = self.inventory.iter().flat_map(|inventory| &inventory.hosts);
        hosts.into_iter().find(|host| host.name == name).map(|host| host.host_keys.clone()).unwrap_or_default()
    }

    /// The hosts' places in a rollout, by name.
    pub fn order_of(&self, name: &str) -> u32 {
        let hosts = self.inventory.iter().flat_map(|inventory| &inventory.hosts);
        hosts.into_iter().find(|host| host.name == name).map_or(0, |host| host.order)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn targets_as_they_are_written() {
        let ssh = |user: &str, address: &str, port| {
            Ok(Target::Ssh(InventoryAddress { user: user.into(), address: address.into(), port }))
        };
        assert_eq!("ssh://ops@web1.example:2222".parse(), ssh("ops", "web1.example", 2222));
        assert_eq!("ssh://192.0.2.1".parse(), ssh("root", "192.0.2.1", 22));
        assert_eq!("ssh://root@[2001:db8::1]:22".parse(), ssh("root", "2001:db8::1", 22));
        assert_eq!("local".parse(), Ok(Target::Local));
        assert_eq!("sandbox:/tmp/x".parse(), Ok(Target::Sandbox("/tmp/x".into())));
        for wrong in ["web1", "sandbox:", "ssh://", "ssh://a@b:x", "ssh://-oProxyCommand=x", "ssh://-x@host"] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
        assert_eq!(
            describe(&InventoryAddress { user: "root".into(), address: "::1".into(), port: 2 }),
            "ssh://root@[::1]:2"
        );
    }
}
