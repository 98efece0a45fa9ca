//! `install`: NixOS onto a server that runs any Linux, through nixos-anywhere. The identity of the new host is made here,
//! so that it is known before its first boot; disks are named by a person before they are wiped.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use cli::{Consents, Failure, Input, Session};
use contract::document::{HostDesired, HostResult, InventoryAddress, Nixos};
use contract::{Exit, SchemaId};

use super::flake::{Staging, item_of, stage};
use super::nix::{Mount, Nix, NixFlags, path_flake};
use crate::bootstrap::{AgeKeyFlags, perform};
use crate::controller::{Controller, Wanted};
use crate::target::{Current, HostKeys, Place, PublicKey, Root, SshHost, TargetFlags, connect, describe};
use crate::wire::ApplyOptions;
use crate::work::{Cut, prepare};

/// The installer works in RAM; with less it ends in the middle.
const MEMORY: u64 = 1500 * 1024;

/// Arguments of install.
#[derive(Debug, Clone, clap::Args)]
pub struct InstallArgs {
    #[command(flatten)]
    input: Input,
    /// Where files named by "source" lie
    #[arg(long, value_name = "DIR", default_value = ".")]
    base: PathBuf,
    #[command(flatten)]
    age: AgeKeyFlags,
    /// Private Ed25519 key that becomes the host's SSH identity (default: a new one)
    #[arg(long, value_name = "FILE")]
    host_identity: Option<PathBuf>,
    /// Which nixos-anywhere is run
    #[arg(long, value_name = "FLAKE", default_value = "github:nix-community/nixos-anywhere/1.13.0")]
    installer: String,
    /// How long the new system may take to answer after the installation
    #[arg(long, value_name = "DURATION", default_value = "15m")]
    wait: contract::Duration,
    #[command(flatten)]
    nix: NixFlags,
    #[command(flatten)]
    consents: Consents,
    /// Where it is and who it is now
    #[command(flatten)]
    pub target: TargetFlags,
}

/// A disk of the server.
#[derive(Debug)]
struct Disk {
    device: String,
    what: String,
}

impl InstallArgs {
    /// Does it; the result is that of the update at its end.
    ///
    /// # Errors
    /// 65 for a document without a locked flake, 69 for a server that cannot be installed, 75 where the new system does not
    /// answer in time, 76 for disks that nobody named.
    pub fn run(self, session: &Session, controller: &Controller<'_>) -> Result<HostResult, Failure> {
        let raw = session.read_raw(&self.input, &[SchemaId::HOST_DESIRED])?;
        let desired = raw.read::<HostDesired>()?;
        let wanted = Wanted { desired: desired.document, source: desired.source, expected: None };
        let name = wanted.desired.host.clone();
        let cut = Cut {
            base: self.base.clone(),
            allow: self.consents.allow.iter().map(ToString::to_string).collect(),
            ..Cut::default()
        };
        let Place::Ssh(mut host) = controller.places.find(&name)? else {
            return Err(Failure::new(Exit::Usage, "usage", "only a host behind SSH is installed"));
        };
        // All that can be wrong here is found before anything is done there.
        let prepared = prepare(wanted.desired.clone(), &wanted.source, &cut, &controller.shelf, host.arch)?;
        let nixos = item_of(&prepared.work.desired)?.clone();
        let Some(identity) = self.target.identities.first() else {
            return Err(Failure::new(
                Exit::Usage,
                "usage",
                "the installer needs a private key file to log in with: -i KEY",
            ));
        };
        self.age.prove(&self.base)?;
        let nix = self.nix.find()?;
        let flake = stage(&nixos, &|_, source| {
            crate::work::read_source(&self.base, source)
                .map(Some)
                .map_err(|refusal| refusal.into_failure(&self.base, source))
        })?;
        let disks = disks_of_flake(&nix, &nixos, &flake)?;
        let replaces = controller.places.pinned(&name);
        if self.target.accept_new || self.target.host_key.is_some() {
            host.keys = host.keys.made_anew();
        }
        let way = self.examine(session, &host, &disks)?;
        let (extra, key) = self.extra_files(&name)?;
        // From here on the server is another one, even if the installation breaks off.
        let current = Current { address: self.target.address.clone(), host_keys: vec![key.line()], replaces };
        if !current.remember(&name)? {
            session.warn("STATE_DIR is not set: the new key is not remembered for later calls");
        }
        session.warn(&format!("commit the key of {name} to the fleet: \"host_keys\": [\"{}\"]", key.line()));
        self.install(&nix, &nixos, &flake, &extra, identity, &way)?;
        drop(extra);
        host.keys = HostKeys::new(&current.host_keys, None, false)?;
        self.await_new_system(session, &host)?;
        let mut settled = controller.places.clone();
        settled.settle(&name, &current.host_keys);
        let controller = Controller { session, places: settled, shelf: controller.shelf.clone(), signals: None };
        let options = ApplyOptions { confirm_timeout: 60, ..ApplyOptions::default() };
        let result = controller.apply(&wanted, &cut, &options);
        if let Ok((mut transport, way)) = connect(session, &host, &host.addresses) {
            let script = "nix --extra-experimental-features nix-command store optimise";
            let optimised = Root::open(&mut *transport, &host, &way).and_then(|mut root| {
                root.settle(&mut *transport)?;
                perform(&mut *transport, &root, script, b"")?.good("optimise the store")
            });
            if let Err(failure) = optimised {
                session.warn(&format!(
                    "the store was not optimised: {}",
                    failure.errors().first().map_or("", |error| &error.message)
                ));
            }
        }
        Ok(result)
    }

    /// Whether the server can be installed, and whether every disk that would be wiped was named by a person.
    fn examine(&self, session: &Session, host: &SshHost, disks: &[String]) -> Result<InventoryAddress, Failure> {
        let (mut transport, way) = connect(session, host, &host.addresses)?;
        let links: Vec<String> = disks
            .iter()
            .filter(|disk| disk.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._:-+".contains(&byte)))
            .map(|disk| format!("echo link {disk} $(readlink -f {disk});"))
            .collect();
        let script = format!(
            "uname -m; grep MemTotal: /proc/meminfo; for p in tar setsid; do command -v $p >/dev/null || echo missing $p; done; \
             test -e /etc/NIXOS && echo nixos; id -u; sudo -n true 2>/dev/null && echo sudo; {} \
             echo disks; lsblk -dnb -o NAME,SIZE,TYPE,MODEL",
            links.concat()
        );
        let said = perform(&mut *transport, &Root::none(), &script, b"")?;
        let (facts, listed) = said.stdout.split_once("disks\n").unwrap_or((&said.stdout, ""));
        let refuse = |message: String, hint: &str| {
            Err(Failure::new(Exit::Unavailable, "not_installable", message).place(describe(&way)).hint(hint))
        };
        let memory: u64 = facts
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok())
            .unwrap_or_default();
        if memory < MEMORY {
            return refuse(format!("the server has {} MiB of memory", memory / 1024), "the installer needs 1.5 GB");
        }
        if let Some(missing) = facts.lines().find_map(|line| line.strip_prefix("missing ")) {
            return refuse(format!("the server has no {missing}"), "install it there first");
        }
        if !facts.lines().any(|line| line == "0" || line == "sudo") {
            return refuse(
                "the login user cannot become root".into(),
                "log in as root, or allow sudo without a password",
            );
        }
        let there: Vec<Disk> = listed.lines().filter_map(disk).collect();
        for disk in &there {
            session.warn(&format!("{}: disk {} {}", host.name, disk.device, disk.what));
        }
        let mut unnamed = Vec::new();
        for wanted in disks {
            let link = facts.lines().find_map(|line| line.strip_prefix(&format!("link {wanted} ")));
            let real = link.unwrap_or(wanted);
            let Some(disk) = there.iter().find(|disk| disk.device == real) else {
                return refuse(
                    format!("the server has no disk {wanted}"),
                    "correct the device in the configuration (disko)",
                );
            };
            if !self.consents.allows("wipe", wanted) {
                unnamed.push(format!("{wanted} ({})", disk.what));
            }
        }
        if unnamed.is_empty() {
            return Ok(way);
        }
        let consents: Vec<String> = disks.iter().map(|disk| format!("--allow wipe:{disk}")).collect();
        Err(Failure::new(
            Exit::Refused,
            "wipe",
            format!("everything on {} of {} would be lost", unnamed.join(" and "), host.name),
        )
        .hint(format!("if that is meant, consent with {}", consents.join(" "))))
    }

    /// What the new system brings along: its identity and its age key, never wider than 0600.
    fn extra_files(&self, name: &str) -> Result<(Staging, PublicKey), Failure> {
        let extra = Staging::new()?;
        // It becomes the root directory of the host.
        std::fs::set_permissions(extra.path(), std::fs::Permissions::from_mode(0o755))
            .map_err(|error| Failure::io(Exit::Io, "set the mode of", extra.path().display(), &error))?;
        extra.directory("etc/ssh", 0o755)?;
        let place = extra.path().join("etc/ssh/ssh_host_ed25519_key");
        match &self.host_identity {
            Some(path) => {
                let bytes = std::fs::read(path)
                    .map_err(|error| Failure::io(Exit::Unreadable, "read", path.display(), &error))?;
                extra.file("etc/ssh/ssh_host_ed25519_key", &bytes, 0o600)?;
            }
            None => make_key(&place, name)?,
        }
        let key = PublicKey::of_identity(&place).filter(|key| key.kind() == Some("ssh-ed25519")).ok_or_else(|| {
            Failure::new(Exit::Unreadable, "bad_identity", "the host's identity is no Ed25519 key of OpenSSH")
        })?;
        extra.file("etc/ssh/ssh_host_ed25519_key.pub", format!("{} root@{name}\n", key.line()).as_bytes(), 0o644)?;
        if let Some((path, bytes)) = self.age.bytes("/var/lib/sops-nix/key.txt")? {
            let relative = path.trim_start_matches('/');
            if let Some((parent, _)) = relative.rsplit_once('/') {
                extra.directory(parent, 0o700)?;
            }
            extra.file(relative, &bytes, 0o600)?;
        }
        Ok((extra, key))
    }

    fn install(
        &self,
        nix: &Nix,
        nixos: &Nixos,
        flake: &Staging,
        extra: &Staging,
        identity: &Path,
        way: &InventoryAddress,
    ) -> Result<(), Failure> {
        let identity = identity
            .canonicalize()
            .map_err(|error| Failure::io(Exit::Unreadable, "find", identity.display(), &error))?;
        let mounts = [
            Mount { here: flake.path().to_owned(), there: "/work", writable: false },
            Mount { here: extra.path().to_owned(), there: "/extra-files", writable: false },
            Mount { here: identity, there: "/key", writable: false },
        ];
        let reference = nixos.flake.clone().unwrap_or_else(|| path_flake(&nix.seen(&mounts[0])));
        let mut args: Vec<String> = ["run", &self.installer, "--", "--flake"].map(str::to_owned).into();
        args.push(format!("{reference}#{}", nixos.attr));
        args.extend(["--target-host".into(), format!("{}@{}", way.user, way.address)]);
        args.extend(["--ssh-port".into(), way.port.to_string(), "--post-kexec-ssh-port".into(), "22".into()]);
        args.extend(["-i".into(), nix.seen(&mounts[2]), "--extra-files".into(), nix.seen(&mounts[1])]);
        // The server builds for itself: this machine may have another processor, and the container no room.
        args.extend(["--build-on".into(), "remote".into(), "--phases".into(), "kexec,disko,install,reboot".into()]);
        let status = nix
            .command(&args, &mounts)
            .stdin(Stdio::null())
            // Standard output is for documents.
            .stdout(Stdio::from(std::io::stderr()))
            .status()
            .map_err(|error| Failure::io(Exit::Unavailable, "run", "nixos-anywhere", &error))?;
        if status.success() {
            return Ok(());
        }
        Err(Failure::new(Exit::Partial, "install_failed", format!("nixos-anywhere broke off ({status})"))
            .place(describe(way))
            .hint("what it said last tells the phase; the server may be without a system until the installation is repeated"))
    }

    /// Waits for the new system at its final port, with the key that was made here.
    fn await_new_system(&self, session: &Session, host: &SshHost) -> Result<(), Failure> {
        let end = Instant::now() + Duration::from_secs(self.wait.as_secs().max(1));
        loop {
            match connect(session, host, &host.addresses) {
                Ok(_) => return Ok(()),
                Err(failure) if Instant::now() >= end => {
                    let cause = failure.errors().first().map_or_else(String::new, |error| error.message.clone());
                    return Err(Failure::new(
                        Exit::TryAgain,
                        "no_new_system",
                        format!("installed, but the new system does not answer as itself within {}", self.wait),
                    )
                    .place(host.addresses.first().map(describe).unwrap_or_default())
                    .hint("look at its console; `facts` tells when it answers, then `apply` finishes the work")
                    .cause(cause));
                }
                Err(_) => {
                    session.note("the new system does not answer yet");
                    std::thread::sleep(Duration::from_secs(3));
                }
            }
        }
    }
}

/// The disks that the configuration formats (disko), asked of the flake itself.
fn disks_of_flake(nix: &Nix, nixos: &Nixos, flake: &Staging) -> Result<Vec<String>, Failure> {
    let mount = Mount { here: flake.path().to_owned(), there: "/work", writable: false };
    let reference = nixos.flake.clone().unwrap_or_else(|| path_flake(&nix.seen(&mount)));
    let args = [
        "eval",
        "--json",
        "--no-update-lock-file",
        &format!("{reference}#nixosConfigurations.\"{}\".config.disko.devices.disk", nixos.attr),
        "--apply",
        "disks: map (name: disks.${name}.device) (builtins.attrNames disks)",
    ]
    .map(str::to_owned);
    let output = nix.output(&args, &[mount], "say which disks the configuration formats")?;
    let disks: Vec<String> = serde_json::from_slice(&output.stdout).unwrap_or_default();
    if disks.is_empty() {
        return Err(Failure::new(Exit::BadDocument, "no_disks", "the configuration formats no disk")
            .hint("declare disko.devices.disk, so that it is known what will be wiped"));
    }
    Ok(disks)
}

fn disk(line: &str) -> Option<Disk> {
    let mut words = line.split_whitespace();
    let (name, size, kind) = (words.next()?, words.next()?.parse::<u64>().ok()?, words.next()?);
    let model: Vec<&str> = words.collect();
    (kind == "disk").then(|| Disk {
        device: format!("/dev/{name}"),
        what: format!("{} GB {}", size / 1_000_000_000, model.join(" ")).trim().to_owned(),
    })
}

/// Makes the identity of a host with OpenSSH's own program, whose file format sshd reads.
fn make_key(place: &Path, name: &str) -> Result<(), Failure> {
    let status = crate::target::child("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", &format!("root@{name}"), "-f"])
        .arg(place)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        _ => Err(Failure::new(Exit::Unavailable, "no_ssh_keygen", "ssh-keygen makes no key for the host")
            .hint("install the OpenSSH client, or give a key with --host-identity")),
    }
}
