//! One writer at a time in a directory, so that two runs never lose each other's changes.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use contract::Exit;
use rustix::fs::{FlockOperation, flock};

use super::directory_of;
use crate::Error;

/// How long another run is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Directories that only this process writes to, until this goes. The kernel lets go of them when a process ends, however it
/// ends.
#[derive(Debug)]
pub(crate) struct Lock(#[allow(dead_code, reason = "held open")] Vec<File>);

impl Lock {
    /// Locks the directories of these files that are there.
    ///
    /// # Errors
    /// 75 where another run keeps one for long.
    pub(crate) fn of<'p>(files: impl IntoIterator<Item = &'p Path>) -> Result<Self, Error> {
        let directories = files.into_iter().map(directory_of);
        // One order for all, so that two runs cannot wait for each other.
        let directories: BTreeSet<PathBuf> =
            directories.filter_map(|directory| std::fs::canonicalize(directory).ok()).collect();
        directories.iter().map(|directory| lock(directory)).collect::<Result<_, _>>().map(Self)
    }
}

fn lock(directory: &Path) -> Result<File, Error> {
    let failed = |error| Error::io(Exit::Io, "lock the directory", directory.display(), error);
    let file = File::open(directory).map_err(failed)?;
    let until = Instant::now() + PATIENCE;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(Error::Busy { place: directory.display().to_string() }),
            // File systems without locks are no reason to do nothing.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOLCK | rustix::io::Errno::NOSYS) => return Ok(file),
            Err(error) => return Err(failed(error.into())),
        }
    }
}
