//! Packages of Debian and Ubuntu, in one transaction.

use std::time::{Duration, SystemTime};

use contract::Exit;
use contract::document::{Op, Packages};

use super::{Kind, Thing, View};
use crate::engine::apply::Apply;
use crate::engine::entry::Difference;
use crate::engine::host::Host;
use crate::engine::process::{Ended, Process};
use crate::fault::{Fault, Outcome};

/// Lists of packages older than this are fetched again before something is installed.
const FRESH: Duration = Duration::from_secs(3600);
/// How long a transaction may take.
const LIMIT: Duration = Duration::from_secs(1800);
/// Where Debian asks whether a service may be started at install (deb-systemd-invoke(1p)).
const POLICY: &str = "/usr/sbin/policy-rc.d";

pub(super) struct PackagesKind<'a>(pub(super) &'a Packages);

impl PackagesKind<'_> {
    fn missing(&self, host: &Host) -> Vec<String> {
        let packages = host.packages();
        self.0.present.iter().filter(|name| !packages.satisfies(name)).cloned().collect()
    }

    fn unwanted(&self, host: &Host) -> Vec<String> {
        let packages = host.packages();
        self.0.absent.iter().filter(|name| packages.version(name).is_some()).cloned().collect()
    }

    fn transaction(missing: &[String], unwanted: &[String], simulate: bool) -> Process {
        let mut argv = vec!["apt-get".to_owned()];
        argv.extend(["--yes", "--no-install-recommends"].map(str::to_owned));
        argv.extend(["--option=DPkg::Lock::Timeout=120", "--option=APT::Get::HideAutoRemove=1"].map(str::to_owned));
        argv.extend(
            ["--option=Dpkg::Options::=--force-confdef", "--option=Dpkg::Options::=--force-confold"].map(str::to_owned),
        );
        if simulate {
            argv.push("--simulate".into());
        }
        argv.extend(["install".to_owned(), "--".into()]);
        argv.extend(missing.iter().cloned());
        // apt's own way to remove in the same transaction.
        argv.extend(unwanted.iter().map(|name| format!("{name}-")));
        Process::new(argv)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("NEEDRESTART_MODE", "a")
            .env("APT_LISTCHANGES_FRONTEND", "none")
            .timeout(LIMIT)
    }

    fn failed(ended: &Ended, missing: &[String]) -> Fault {
        let said = format!("{}\n{}", ended.stdout, ended.stderr);
        let plain = |name: &String| name.split('=').next().unwrap_or_default().to_owned();
        let unknown: Vec<String> = missing
            .iter()
            .filter(|wanted| {
                let name = plain(wanted);
                said.contains(&format!("Unable to locate package {name}\n"))
                    || said.contains(&format!("Package '{name}' has no installation candidate"))
                    || wanted.split_once('=').is_some_and(|(name, version)| {
                        said.contains(&format!("Version '{version}' for '{name}' was not found"))
                    })
            })
            .cloned()
            .collect();
        if !unknown.is_empty() {
            let names = unknown.join(", ");
            return Fault::new(
                Exit::Unavailable,
                "package_missing",
                format!("no repository of the host has the package {names}"),
            )
            .place("apt")
            .hint("check the name and version, or add the repository that has it in an item before");
        }
        if said.contains("Could not get lock") || said.contains("is held by process") {
            return Fault::new(Exit::TryAgain, "dpkg_locked", "another program installs packages on the host")
                .place("apt")
                .hint("wait for it to end and run this again")
                .cause(ended.last_words());
        }
        let errors: Vec<&str> =
            said.lines().filter(|line| line.starts_with("E: ") || line.starts_with("dpkg: error")).collect();
        let words = if errors.is_empty() { ended.last_words() } else { errors.join("; ") };
        Fault::new(Exit::Unavailable, "packages_failed", "the packages could not be installed")
            .place("apt")
            .cause(words)
    }

    fn install(&self, apply: &Apply<'_>) -> Outcome<()> {
        let (missing, unwanted) = (self.missing(apply.host), self.unwanted(apply.host));
        let mut fetched = false;
        if !missing.is_empty() && (apply.lists_are_stale || lists_age(apply.host).is_none_or(|age| age > FRESH)) {
            fetch_lists()?;
            fetched = true;
        }
        let mut simulated = Self::transaction(&missing, &unwanted, true).run()?;
        if !simulated.good() && !fetched {
            fetch_lists()?;
            simulated = Self::transaction(&missing, &unwanted, true).run()?;
        }
        if !simulated.good() {
            return Err(Self::failed(&simulated, &missing));
        }
        let removed: Vec<&str> = simulated
            .stdout
            .lines()
            .filter_map(|line| line.strip_prefix("Remv ")?.split(' ').next())
            .filter(|name| !self.0.absent.iter().any(|absent| absent == name))
            .filter(|name| !apply.view().work.allow.contains(&format!("drop:package/{name}")))
            .collect();
        if !removed.is_empty() {
            let names = removed.join(", ");
            return Err(Fault::new(Exit::Refused, "removes_packages", format!("the transaction would remove {names}"))
                .place("apt")
                .hint(format!("list it under \"absent\", or consent with --allow drop:package/{}", removed[0])));
        }
        let policy = Policy::set(apply.host, &self.0.hold_units)?;
        let ended = Self::transaction(&missing, &unwanted, false).run();
        drop(policy);
        let ended = ended?;
        if ended.good() { Ok(()) } else { Err(Self::failed(&ended, &missing)) }
    }
}

impl Kind for PackagesKind<'_> {
    fn label(&self) -> &'static str {
        "packages"
    }

    fn name(&self) -> String {
        let (present, absent) = (self.0.present.iter().cloned(), self.0.absent.iter().map(|name| format!("-{name}")));
        present.chain(absent).collect::<Vec<_>>().join(" ")
    }

    fn needs_system(&self) -> bool {
        true
    }

    /// Packages have no owner: what others need of them cannot be known.
    fn things(&self, _view: View<'_>) -> Outcome<Vec<Thing>> {
        Ok(Vec::new())
    }

    fn observe(&self, view: View<'_>) -> Outcome<Difference> {
        if !view.host.exists("/var/lib/dpkg/status") {
            return Err(Fault::new(
                Exit::Unavailable,
                "no_dpkg",
                "the host has no dpkg, and other package managers are not supported",
            )
            .hint("take the packages item out for this host"));
        }
        let (missing, unwanted) = (self.missing(view.host), self.unwanted(view.host));
        let packages = view.host.packages();
        let name = |wanted: &String| wanted.split('=').next().unwrap_or_default().to_owned();
        let observed: Vec<String> = self
            .0
            .present
            .iter()
            .chain(&self.0.absent)
            .map(|wanted| format!("{}={}", name(wanted), packages.version(&name(wanted)).unwrap_or("-")))
            .collect();
        let op = match (missing.is_empty(), unwanted.is_empty()) {
            (true, true) => None,
            (false, true) => Some(Op::Create),
            (true, false) => Some(Op::Delete),
            (false, false) => Some(Op::Update),
        };
        let why = missing
            .iter()
            .map(|name| format!("install {name}"))
            .chain(unwanted.iter().map(|name| format!("remove {name}")))
            .collect();
        Ok(Difference { op, why, observed: observed.join(" "), ..Difference::default() })
    }

    fn converge(&self, apply: &mut Apply<'_>) -> Outcome<()> {
        apply.barrier()?;
        apply.never_undone("packages", &self.name(), "packages are not taken back")?;
        let done = self.install(apply);
        apply.host.forget_packages();
        done?;
        apply.lists_are_stale = false;
        Ok(())
    }

    fn remember(&self, _apply: &mut Apply<'_>) -> Outcome<()> {
        Ok(())
    }
}

/// How old the lists are; `None` where that is not known: there are none, or by the clock they are yet to come.
fn lists_age(host: &Host) -> Option<Duration> {
    let lists = std::fs::read_dir(host.tree.real("/var/lib/apt/lists")).ok()?;
    let newest = lists
        .flatten()
        .filter(|entry| {
            entry.file_name().to_string_lossy().contains("_Packages")
                || entry.file_name().to_string_lossy().contains("Release")
        })
        .filter_map(|entry| entry.metadata().ok()?.modified().ok())
        .max()?;
    let touched =
        std::fs::metadata(host.tree.real("/var/lib/apt/lists")).and_then(|data| data.modified()).unwrap_or(newest);
    SystemTime::now().duration_since(newest.max(touched)).ok()
}

/// Fetches the lists of all repositories.
fn fetch_lists() -> Outcome<()> {
    let ended = Process::new(["apt-get", "--quiet", "--option=DPkg::Lock::Timeout=120", "--error-on=any", "update"])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .timeout(LIMIT)
        .run()?;
    if ended.good() {
        return Ok(());
    }
    let errors: Vec<&str> =
        ended.stderr.lines().filter(|line| line.starts_with("E: ") || line.starts_with("W: ")).collect();
    let signature = ["NO_PUBKEY", "BADSIG", "is not signed", "signatures were invalid", "no valid OpenPGP"];
    if signature.iter().any(|words| ended.stderr.contains(words)) {
        return Err(Fault::new(
            Exit::Refused,
            "bad_signature",
            "a repository is not signed by the key that is pinned for it",
        )
        .place("apt")
        .hint("nothing of it is installed; compare the key with what the vendor publishes")
        .cause(errors.join("; ")));
    }
    Err(Fault::new(Exit::TryAgain, "lists_failed", "the lists of packages could not be fetched")
        .place("apt")
        .hint("check the host's way out and its repositories")
        .cause(errors.join("; ")))
}

/// Keeps units from being started by the installation of their package.
struct Policy<'a> {
    host: &'a Host,
    saved: Option<Vec<u8>>,
}

impl<'a> Policy<'a> {
    fn set(host: &'a Host, units: &[String]) -> Outcome<Option<Self>> {
        use std::os::unix::fs::PermissionsExt;
        if units.is_empty() {
            return Ok(None);
        }
        let path = host.tree.real(POLICY);
        let saved = std::fs::read(&path).ok();
        let names: Vec<String> = units
            .iter()
            .flat_map(|unit| [unit.clone(), unit.trim_end_matches(".service").to_owned()])
            .filter(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"@._-:".contains(&byte)))
            .collect();
        // invoke-rc.d hands over the name of the unit first; 101 means: not now.
        let script = format!(
            "#!/bin/sh\n# Held during one installation.\ncase $1 in {}) exit 101 ;; esac\nexit 0\n",
            names.join("|")
        );
        let policy = Self { host, saved };
        std::fs::write(&path, script)
            .and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)))
            .map_err(|error| Fault::io("write", POLICY, &error))?;
        Ok(Some(policy))
    }
}

impl Drop for Policy<'_> {
    fn drop(&mut self) {
        let path = self.host.tree.real(POLICY);
        // Nothing better can be done here than to try.
        let _ = match &self.saved {
            Some(bytes) => std::fs::write(&path, bytes),
            None => std::fs::remove_file(&path),
        };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn lists_that_are_yet_to_come_are_of_no_known_age() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::sandbox(root.path());
        assert_eq!(lists_age(&host), None);
        let lists = root.path().join("var/lib/apt/lists");
        std::fs::create_dir_all(&lists).unwrap();
        let file = std::fs::File::create(lists.join("deb_dists_stable_InRelease")).unwrap();
        let at = |time: SystemTime| {
            file.set_modified(time).unwrap();
            std::fs::File::open(&lists).unwrap().set_modified(time).unwrap();
            lists_age(&host)
        };
        let hour = Duration::from_secs(3600);
        assert!(at(SystemTime::now() - hour).is_some_and(|age| age >= hour));
        assert_eq!(at(SystemTime::now() + hour), None);
    }
}
