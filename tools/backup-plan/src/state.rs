//! The state directory of a plan on its host: lock, lists for restic, the last result, when what was done.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use cli::write_atomically;
use contract::document::BackupPlan;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The directory.
#[derive(Debug, Clone)]
pub(crate) struct State {
    directory: PathBuf,
}

/// When what was done, in seconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct History {
    /// The last run that ended well.
    pub success: Option<i64>,
    /// The last check of each repository that ended well.
    pub checks: BTreeMap<String, i64>,
    /// Services that a run stopped and has not started again yet: what a killed run leaves to the next one.
    pub stopped: BTreeSet<String>,
}

/// Held as long as a run lasts; the system lets it go however the process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// A private directory that is removed with all that is in it.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl State {
    /// The directory of a plan, made if it is not there.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn open(plan: &BackupPlan) -> Result<Self, Error> {
        let directory = PathBuf::from(&plan.state);
        make_private(&directory)?;
        Ok(Self { directory })
    }

    /// A file in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The lock of all runs of this plan.
    ///
    /// # Errors
    /// Where another process holds it.
    pub(crate) fn lock(&self) -> Result<Lock, Error> {
        let path = self.path("lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| Error::files("open", &path, &error))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Lock { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::Busy { place: path.display().to_string() }),
            Err(error) => Err(Error::files("lock", &path, &error.into())),
        }
    }

    /// Writes what restic is given: roots, each ended by NUL so that every name is safe, and patterns, one a line.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn write_lists(&self, plan: &BackupPlan) -> Result<(), Error> {
        let (roots, excludes) = lists(plan);
        self.write("roots.raw", &roots, 0o600)?;
        self.write("excludes.txt", &excludes, 0o600)
    }

    /// Replaces a file of the directory.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn write(&self, name: &str, bytes: &[u8], mode: u32) -> Result<(), Error> {
        let path = self.path(name);
        write_atomically(&path, bytes, mode).map_err(|error| Error::files("write", &path, &error))
    }

    /// What was done when. A file that does not read counts as none: everything is then due.
    pub(crate) fn history(&self) -> History {
        fs::read(self.path("history.json"))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    /// Keeps that.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn keep(&self, history: &History) -> Result<(), Error> {
        self.write("history.json", &serde_json::to_vec(history).unwrap_or_default(), 0o600)
    }

    /// A private directory for a restore. What an earlier, killed one left is removed first.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn scratch(&self) -> Result<Scratch, Error> {
        let path = self.path("drill");
        if path.exists() {
            fs::remove_dir_all(&path).map_err(|error| Error::files("remove", &path, &error))?;
        }
        make_private(&path)?;
        Ok(Scratch(path))
    }
}

impl Scratch {
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left is removed by the next drill.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The roots (NUL after each) and the patterns (a line each) of a plan; optional roots that are not there are left out.
pub(crate) fn lists(plan: &BackupPlan) -> (Vec<u8>, Vec<u8>) {
    let mut roots = Vec::new();
    let there = |root: &&contract::document::BackupRoot| !root.optional || Path::new(&root.path).exists();
    for root in plan.roots.iter().filter(there) {
        roots.extend_from_slice(root.path.as_bytes());
        roots.push(0);
    }
    let mut excludes = Vec::new();
    for pattern in &plan.excludes {
        excludes.extend_from_slice(pattern.as_bytes());
        excludes.push(b'\n');
    }
    (roots, excludes)
}

/// Makes a directory that only we may enter.
///
/// # Errors
/// Those of the system.
pub(crate) fn make_private(path: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| Error::files("make", path, &error))
}

/// Opens a new file that only we may read; what was there before is removed.
///
/// # Errors
/// Those of the system.
pub(crate) fn create_private(path: &Path) -> Result<File, Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Error::files("remove", path, &error)),
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| Error::files("make", path, &error))
}

/// Writes a whole file that only we may read, to the disk.
///
/// # Errors
/// Those of the system.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut file = create_private(path)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|error| Error::files("write", path, &error))
}
