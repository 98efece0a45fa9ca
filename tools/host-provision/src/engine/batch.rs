//! Files written together: all bytes are on the disk before the first name changes, so that a hundred files cost hardly
//! more than one, and a loss of power leaves each of them old or new.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use super::run::Run;
use super::tree::{Live, Place};
use super::undo::Undo;
use crate::fault::{Fault, Outcome};

/// Each waiting file holds two descriptors, of the 1024 that a process usually has.
const LARGE: usize = 200;

/// Files and links that are written but not yet in place.
#[derive(Debug, Default)]
pub struct Batch {
    waiting: Vec<Waiting>,
    written: u32,
}

#[derive(Debug)]
struct Waiting {
    place: Place,
    temporary: String,
    file: Option<OwnedFd>,
    after: String,
}

impl Batch {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether so many wait that a process could run out of open files.
    pub fn is_large(&self) -> bool {
        self.waiting.len() >= LARGE
    }

    /// A name for a temporary file that tells whose it is.
    pub fn temporary_name(&mut self, run: &str) -> String {
        self.written += 1;
        format!(".plumbline-{run}.{}", self.written)
    }

    /// A file that was written beside its place.
    pub fn add_file(&mut self, place: Place, temporary: String, file: OwnedFd, sha256: &str) {
        self.waiting.push(Waiting { place, temporary, file: Some(file), after: sha256.to_owned() });
    }

    /// A link that was made beside its place.
    pub fn add_link(&mut self, place: Place, temporary: String, target: &str) {
        self.waiting.push(Waiting { place, temporary, file: None, after: format!("link {target}") });
    }

    /// Puts everything in place.
    ///
    /// # Errors
    /// Those of the system; what was not in place yet is then gone, what was is in the journal.
    pub fn commit(&mut self, run: &mut Run) -> Outcome<()> {
        let result = self.put_in_place(run);
        if result.is_err() {
            self.discard();
        }
        self.waiting.clear();
        result
    }

    fn put_in_place(&mut self, run: &mut Run) -> Outcome<()> {
        for waiting in &self.waiting {
            let live = waiting.place.look()?;
            let before = run.back_up(&waiting.place, &live)?;
            run.note(&Undo::Path { path: waiting.place.path.clone(), before, after: Some(waiting.after.clone()) })?;
        }
        run.sync()?;
        self.sync_bytes()?;
        for waiting in &self.waiting {
            waiting.place.rename_from(&waiting.temporary)?;
        }
        let mut directories = BTreeMap::new();
        for waiting in &self.waiting {
            directories.insert(waiting.place.path.rsplit_once('/').map_or("", |(parent, _)| parent), &waiting.place);
        }
        directories.values().try_for_each(|place| place.sync())
    }

    /// One call for each file system if there are many files, else one for each file.
    fn sync_bytes(&self) -> Outcome<()> {
        let files = self.waiting.iter().filter_map(|waiting| Some((waiting, waiting.file.as_ref()?)));
        #[cfg(target_os = "linux")]
        if self.waiting.len() > 8 {
            let mut devices = BTreeMap::new();
            for (waiting, file) in files {
                let stat =
                    rustix::fs::fstat(file).map_err(|error| Fault::errno("examine", &waiting.place.path, error))?;
                devices.insert(stat.st_dev, (waiting, file));
            }
            return devices.values().try_for_each(|(waiting, file)| {
                rustix::fs::syncfs(file).map_err(|error| Fault::errno("make durable", &waiting.place.path, error))
            });
        }
        for (waiting, file) in files {
            rustix::fs::fsync(file).map_err(|error| Fault::errno("make durable", &waiting.place.path, error))?;
        }
        Ok(())
    }

    /// Takes away what is not in place.
    pub fn discard(&mut self) {
        for waiting in self.waiting.drain(..) {
            waiting.place.unlink_beside(&waiting.temporary);
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.discard();
    }
}

/// What is at a place, in the words of the journal.
pub fn state_of(place: Option<&Place>) -> Outcome<Option<String>> {
    let Some(place) = place else { return Ok(None) };
    Ok(match place.look()? {
        Live::File(_) => place.read()?.map(|bytes| super::hash::sha256(&bytes)),
        Live::Symlink(target) => Some(format!("link {target}")),
        _ => None,
    })
}
