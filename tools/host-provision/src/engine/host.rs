//! The host that is worked on: its file system, its accounts, packages and units, each read once until something changes.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use contract::places;

use super::accounts::Accounts;
use super::packages::Packages;
use super::tree::Tree;
use super::units::{UnitKey, UnitStatus};
use crate::fault::{Fault, Outcome};

/// Where a sandbox records who would own its files.
const OWNERS: &str = "/var/lib/plumbline/owners.json";
/// The key of fingerprints.
const KEY: &str = "/var/lib/plumbline/fingerprint.key";

/// A host, or the directory of a sandbox.
#[derive(Debug)]
pub struct Host {
    /// Its files.
    pub tree: Tree,
    /// Only files are real; nothing is run.
    pub sandbox: bool,
    accounts: RefCell<Option<Rc<Accounts>>>,
    packages: RefCell<Option<Rc<Packages>>>,
    units: RefCell<BTreeMap<UnitKey, UnitStatus>>,
    owners: RefCell<Option<BTreeMap<String, (String, String)>>>,
    owners_changed: Cell<bool>,
    key: RefCell<Option<Rc<[u8]>>>,
}

impl Host {
    /// This machine.
    pub fn machine() -> Self {
        Self::at(PathBuf::from("/"), false)
    }

    /// A directory that stands in for a machine.
    pub fn sandbox(directory: impl Into<PathBuf>) -> Self {
        Self::at(directory.into(), true)
    }

    fn at(base: PathBuf, sandbox: bool) -> Self {
        Self {
            tree: Tree::new(base),
            sandbox,
            accounts: RefCell::default(),
            packages: RefCell::default(),
            units: RefCell::default(),
            owners: RefCell::default(),
            owners_changed: Cell::default(),
            key: RefCell::default(),
        }
    }

    /// A text file of the host; empty where it is not there or cannot be read.
    pub fn text(&self, path: &str) -> String {
        std::fs::read(self.tree.real(path))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Whether a path exists, links followed.
    pub fn exists(&self, path: &str) -> bool {
        self.tree.real(path).exists()
    }

    /// Whether systemd runs the machine.
    pub fn has_systemd(&self) -> bool {
        !self.sandbox && self.exists("/run/systemd/system")
    }

    /// Its users and groups.
    pub fn accounts(&self) -> Rc<Accounts> {
        self.accounts
            .borrow_mut()
            .get_or_insert_with(|| Rc::new(Accounts::parse(&self.text("/etc/passwd"), &self.text("/etc/group"))))
            .clone()
    }

    /// Its packages.
    pub fn packages(&self) -> Rc<Packages> {
        self.packages
            .borrow_mut()
            .get_or_insert_with(|| Rc::new(Packages::parse(&self.text("/var/lib/dpkg/status"))))
            .clone()
    }

    /// The state of units, all asked for at once.
    ///
    /// # Errors
    /// 69 where systemd does not answer.
    pub fn units(&self, keys: &[UnitKey]) -> Outcome<Vec<UnitStatus>> {
        let unknown: Vec<UnitKey> = {
            let known = self.units.borrow();
            keys.iter().filter(|key| !known.contains_key(*key)).cloned().collect()
        };
        if !unknown.is_empty() {
            let found = super::units::show(&unknown)?;
            self.units.borrow_mut().extend(unknown.into_iter().zip(found));
        }
        let known = self.units.borrow();
        Ok(keys.iter().map(|key| known.get(key).cloned().unwrap_or_default()).collect())
    }

    /// Something was done to accounts.
    pub fn forget_accounts(&self) {
        self.accounts.replace(None);
    }

    /// Something was done to packages, which may bring accounts and units along.
    pub fn forget_packages(&self) {
        self.packages.replace(None);
        self.forget_accounts();
        self.forget_units();
    }

    /// Something was done to units.
    pub fn forget_units(&self) {
        self.units.borrow_mut().clear();
    }

    /// Who owns a path of a sandbox, as far as it was recorded.
    pub fn recorded_owner(&self, path: &str) -> Option<(String, String)> {
        self.with_owners(|owners| owners.get(path).cloned())
    }

    /// Records who would own a path. It is written down by [`Host::save_owners`].
    pub fn record_owner(&self, path: &str, owner: Option<(String, String)>) {
        self.with_owners(|owners| match owner {
            Some(owner) => drop(owners.insert(path.to_owned(), owner)),
            None => drop(owners.remove(path)),
        });
        self.owners_changed.set(true);
    }

    /// Writes down what was recorded, if anything was.
    ///
    /// # Errors
    /// Those of the system.
    pub fn save_owners(&self) -> Outcome<()> {
        if !self.owners_changed.replace(false) {
            return Ok(());
        }
        let text = self.with_owners(|owners| serde_json::to_vec_pretty(owners).unwrap_or_default());
        self.write_state(OWNERS, &text)
    }

    /// Forgets what was read of the record, after it was put back.
    pub fn forget_owners(&self) {
        self.owners.replace(None);
        self.owners_changed.set(false);
    }

    fn with_owners<T>(&self, act: impl FnOnce(&mut BTreeMap<String, (String, String)>) -> T) -> T {
        act(self
            .owners
            .borrow_mut()
            .get_or_insert_with(|| serde_json::from_str(&self.text(OWNERS)).unwrap_or_default()))
    }

    /// Documents of our own state that a run puts back as a whole.
    pub fn state_documents(&self, owner: &str) -> Vec<String> {
        let mut documents = vec![format!("{}/{owner}.json", places::OWNED)];
        if self.sandbox {
            documents.push(OWNERS.into());
        }
        documents
    }

    /// Replaces a file of our own state, which only root can read.
    ///
    /// # Errors
    /// Those of the system.
    pub fn write_state(&self, path: &str, bytes: &[u8]) -> Outcome<()> {
        if let Some((directory, _)) = path.rsplit_once('/') {
            self.tree.make_state_directory(directory, 0o700)?;
        }
        write_durably(&self.tree.real(path), bytes).map_err(|error| Fault::io("write", path, &error))
    }

    /// The key of this host's fingerprints, made at first use. Without the right to make one it is empty, which is enough
    /// for somebody who cannot read what is not for everybody.
    pub fn key(&self) -> Rc<[u8]> {
        self.key
            .borrow_mut()
            .get_or_insert_with(|| {
                if let Ok(key) = std::fs::read(self.tree.real(KEY)) {
                    return key.into();
                }
                let mut key = [0_u8; 32];
                let stored =
                    super::random::fill(&mut key) && (self.sandbox || rustix::process::geteuid().is_root()) && {
                        self.tree.make_state_directory(places::STATE, 0o711).is_ok()
                            && self.write_state(KEY, &key).is_ok()
                    };
                if stored { Rc::from(&key[..]) } else { Rc::from(&[][..]) }
            })
            .clone()
    }
}

/// Replaces a file, old or new and never between, with mode 0600.
pub fn write_durably(path: &std::path::Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let directory = path.parent().unwrap_or(std::path::Path::new("/"));
    let temporary = path.with_extension(format!("{}.new", std::process::id()));
    let written = (|| {
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        std::fs::File::open(directory)?.sync_all()
    })();
    if written.is_err() {
        // The first error is the one to report.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}
