//! Several files at once: all of them or none, also if the process or the machine dies in between.
//!
//! Every file is first written in full beside its place. Then one journal is written, with one rename, that names them all;
//! from then on the batch counts as done. A run that dies before that has changed nothing; one that dies after it is finished
//! by the next run.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cli::Session;
use contract::Exit;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::staged::sync;
use super::{Lock, Staged, absolute, directory_of};
use crate::Error;

/// The name of a journal, in the directory that holds all files of its batch.
pub(super) const JOURNAL: &str = ".plumbline-journal.json";
/// How far up a journal is looked for.
const LEVELS: usize = 100;

/// Files that wait to be put into their places.
#[derive(Default)]
pub(crate) struct Batch {
    staged: Vec<Staged>,
    removed: Vec<PathBuf>,
}

/// The record of a batch. Holds no secret.
#[derive(Debug, Serialize, Deserialize)]
struct Journal {
    files: Vec<Entry>,
}

/// One file of a batch.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    /// Its place, relative to the journal.
    place: String,
    /// The file beside it that goes there; `None` if the file at the place goes away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    staged: Option<String>,
    /// SHA-256 of what is to be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    new: Option<String>,
    /// SHA-256 of what was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    old: Option<String>,
}

impl Batch {
    /// Stages a file. Directories on the way are made.
    ///
    /// # Errors
    /// As [`Staged::new`].
    pub(crate) fn add(&mut self, place: &Path, bytes: &[u8]) -> Result<(), Error> {
        let directory = directory_of(place);
        fs::create_dir_all(directory)
            .map_err(|error| Error::io(Exit::CannotCreate, "make the directory", directory.display(), error))?;
        self.staged.push(Staged::new(place, bytes, 0o644)?);
        Ok(())
    }

    /// Marks a file that goes away with the batch.
    pub(crate) fn remove(&mut self, place: &Path) {
        self.removed.push(place.to_owned());
    }

    /// Puts every file into its place.
    ///
    /// # Errors
    /// Where the system refuses. Nothing is changed then, or the next run finishes it.
    pub(crate) fn commit(mut self) -> Result<(), Error> {
        if self.staged.len() + self.removed.len() < 2 {
            for staged in self.staged.drain(..) {
                staged.commit()?;
            }
            for place in &self.removed {
                remove(place)?;
            }
            return Ok(());
        }
        let places: Vec<PathBuf> =
            self.staged.iter().map(|staged| staged.place.clone()).chain(self.removed.iter().cloned()).collect();
        let home = common_directory(&places)?;
        let journal = self.journal(&home)?;
        let path = home.join(JOURNAL);
        let text = serde_json::to_vec(&journal).unwrap_or_default();
        super::write(&path, &text, 0o600)?;
        // From here on it is done, if not by us then by the next run.
        for staged in &mut self.staged {
            if let Err(error) = staged.put() {
                self.staged.iter_mut().for_each(Staged::leave);
                return Err(error);
            }
        }
        self.removed.iter().try_for_each(|place| remove(place))?;
        finish(&path, &places)
    }

    fn journal(&self, home: &Path) -> Result<Journal, Error> {
        let relative = |path: &Path| {
            let path = absolute(path)?;
            let inside = path.strip_prefix(home).unwrap_or(&path);
            let text = inside.to_str().map(str::to_owned);
            text.ok_or_else(|| Error::Unsupported(format!("the path {} is no text", path.display())))
        };
        let mut files = Vec::new();
        for staged in &self.staged {
            files.push(Entry {
                place: relative(&staged.place)?,
                staged: Some(relative(&staged.temporary)?),
                new: digest(&staged.temporary)?,
                old: digest(&staged.place)?,
            });
        }
        for place in &self.removed {
            files.push(Entry { place: relative(place)?, staged: None, new: None, old: digest(place)? });
        }
        Ok(Journal { files })
    }
}

/// Finishes batches that a run before this one did not, around and below these paths, and says so.
///
/// # Errors
/// 76 where somebody changed a file since, 75 where another run is at work.
pub(crate) fn finish_interrupted(session: &Session, paths: &[PathBuf]) -> Result<(), Error> {
    let mut journals = BTreeSet::new();
    for path in paths {
        let start = absolute(path)?;
        journals.extend(journal_above(&start));
        if start.is_dir() {
            let found = super::find(std::slice::from_ref(path))?;
            for journal in found.journals {
                journals.insert(absolute(&journal)?);
            }
            if journals.is_empty() {
                for leftover in found.leftovers {
                    let _ = fs::remove_file(&leftover);
                    session.note(&format!("{} was left over from a run that was killed; removed", leftover.display()));
                }
            }
        }
    }
    for journal in journals {
        let _lock = Lock::of([journal.as_path()])?;
        match recover(&journal)? {
            Recovered::Gone => {}
            Recovered::Forward(count) => session.warn(&format!(
                "a run before this one was interrupted; its {count} files are in place now (recorded in {})",
                journal.display()
            )),
            Recovered::Back(count) => session.warn(&format!(
                "a run before this one was interrupted; none of its {count} files was changed (recorded in {})",
                journal.display()
            )),
        }
    }
    Ok(())
}

/// The nearest journal in a directory or above it.
pub(super) fn journal_above(start: &Path) -> Option<PathBuf> {
    let start = absolute(start).ok()?;
    start.ancestors().take(LEVELS).map(|directory| directory.join(JOURNAL)).find(|path| path.is_file())
}

/// How a batch ended.
#[derive(Debug, PartialEq, Eq)]
enum Recovered {
    /// Another run did it.
    Gone,
    /// All files are new.
    Forward(usize),
    /// All files are old.
    Back(usize),
}

fn recover(path: &Path) -> Result<Recovered, Error> {
    let home = directory_of(path).to_owned();
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Recovered::Gone),
        Err(error) => return Err(Error::io(Exit::Unreadable, "read the journal", path.display(), error)),
    };
    let refused = |message: String| Error::Refused {
        code: "interrupted_run",
        message,
        place: path.display().to_string(),
        hint: "bring the files to one state, for example with `git checkout`, then delete this journal".into(),
    };
    let journal: Journal = serde_json::from_slice(&text).map_err(|_| refused("the journal cannot be read".into()))?;
    let mut forward = true;
    let mut placed = 0;
    for entry in &journal.files {
        // The journal may be a file that others wrote and committed: it must not reach out of its own directory.
        let inside = Path::new(&entry.place).components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if !inside {
            return Err(refused("the journal names a file outside of its directory".into()));
        }
        let now = digest(&home.join(&entry.place))?;
        if now == entry.new {
            placed += 1;
        } else if now == entry.old {
            forward &= match &entry.staged {
                None => true,
                Some(staged) => is_beside(staged, &entry.place) && digest(&home.join(staged))? == entry.new,
            };
        } else {
            return Err(refused(format!(
                "a run before this one was interrupted, and {} was changed since",
                entry.place
            )));
        }
    }
    let count = journal.files.len();
    let places: Vec<PathBuf> = journal.files.iter().map(|entry| home.join(&entry.place)).collect();
    if forward {
        for entry in &journal.files {
            let place = home.join(&entry.place);
            match &entry.staged {
                Some(staged) if digest(&place)? != entry.new => {
                    fs::rename(home.join(staged), &place)
                        .map_err(|error| Error::io(Exit::CannotCreate, "write the file", place.display(), error))?;
                }
                None => remove(&place)?,
                Some(_) => {}
            }
        }
        finish(path, &places)?;
        return Ok(Recovered::Forward(count));
    }
    if placed > 0 {
        return Err(refused("a run before this one was interrupted, and a part of what it wrote is gone".into()));
    }
    for staged in journal.files.iter().filter_map(|entry| entry.staged.as_ref().map(|staged| (staged, &entry.place))) {
        if is_beside(staged.0, staged.1) {
            let _ = fs::remove_file(home.join(staged.0));
        }
    }
    finish(path, &places)?;
    Ok(Recovered::Back(count))
}

/// Whether a name is that of a staged file in the same directory as its place.
fn is_beside(staged: &str, place: &str) -> bool {
    let (staged, place) = (Path::new(staged), Path::new(place));
    let name = staged.file_name().unwrap_or_default().to_string_lossy();
    staged.parent() == place.parent() && super::staged::process_of(&name).is_some()
}

/// Everything is in place: the names go to the disk, then the journal goes.
fn finish(journal: &Path, places: &[PathBuf]) -> Result<(), Error> {
    let directories: BTreeSet<&Path> = places.iter().map(|place| directory_of(place)).collect();
    directories.into_iter().filter(|directory| directory.is_dir()).try_for_each(sync)?;
    remove(journal)?;
    sync(directory_of(journal))
}

fn remove(place: &Path) -> Result<(), Error> {
    match fs::remove_file(place) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io(Exit::CannotCreate, "remove the file", place.display(), error)),
    }
}

fn digest(path: &Path) -> Result<Option<String>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(hex(&Sha256::digest(&bytes)))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(Exit::Unreadable, "read the file", path.display(), error)),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        text.push_str(&format!("{byte:02x}"));
        text
    })
}

/// The directory that holds all of these files.
fn common_directory(places: &[PathBuf]) -> Result<PathBuf, Error> {
    let mut common: Option<PathBuf> = None;
    for place in places {
        let directory = directory_of(&absolute(place)?).to_owned();
        common = Some(match common {
            None => directory,
            Some(known) => {
                known.ancestors().find(|ancestor| directory.starts_with(ancestor)).unwrap_or(Path::new("/")).to_owned()
            }
        });
    }
    Ok(common.unwrap_or_else(|| ".".into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A batch of three files in two directories, and a file that goes, killed after `done` steps.
    fn killed(done: usize) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let home = fs::canonicalize(directory.path()).unwrap();
        fs::create_dir(home.join("in")).unwrap();
        for name in ["a", "in/b", "gone"] {
            fs::write(home.join(name), format!("old {name}")).unwrap();
        }
        let mut batch = Batch::default();
        for name in ["a", "in/b", "in/c"] {
            batch.add(&home.join(name), format!("new {name}").as_bytes()).unwrap();
        }
        batch.remove(&home.join("gone"));
        let journal = home.join(JOURNAL);
        fs::write(&journal, serde_json::to_vec(&batch.journal(&home).unwrap()).unwrap()).unwrap();
        for (index, staged) in batch.staged.iter_mut().enumerate() {
            if index < done { staged.put().unwrap() } else { staged.leave() }
        }
        if done > 3 {
            fs::remove_file(home.join("gone")).unwrap();
        }
        (directory, journal)
    }

    #[test]
    fn a_journal_is_rolled_forward_from_every_step() {
        for done in 0..=4 {
            let (directory, journal) = killed(done);
            assert_eq!(recover(&journal).unwrap(), Recovered::Forward(4));
            for name in ["a", "in/b", "in/c"] {
                assert_eq!(fs::read_to_string(directory.path().join(name)).unwrap(), format!("new {name}"));
            }
            assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "nothing else is left");
            assert_eq!(recover(&journal).unwrap(), Recovered::Gone);
        }
    }

    #[test]
    fn without_what_was_staged_it_is_rolled_back_or_refused() {
        let (directory, journal) = killed(0);
        let staged = |name: &str| {
            fs::read_dir(directory.path().join(name))
                .unwrap()
                .flatten()
                .map(|entry| entry.path())
                .find(|path| path.to_string_lossy().ends_with(".staged"))
        };
        fs::remove_file(staged("in").unwrap()).unwrap();
        assert_eq!(recover(&journal).unwrap(), Recovered::Back(4));
        assert_eq!(fs::read_to_string(directory.path().join("a")).unwrap(), "old a");
        assert!(staged("").is_none() && staged("in").is_none());
        let (directory, journal) = killed(1);
        fs::write(directory.path().join("in/b"), "somebody else").unwrap();
        assert!(matches!(recover(&journal), Err(Error::Refused { .. })));
        assert_eq!(fs::read_to_string(directory.path().join("in/b")).unwrap(), "somebody else");
    }

    #[test]
    fn a_journal_of_somebody_else_moves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path();
        fs::write(home.join("key"), "precious").unwrap();
        let new = hex(&Sha256::digest(b"precious"));
        let text = serde_json::json!({"files": [{"place": "x", "staged": "key", "new": new}]}).to_string();
        fs::write(home.join(JOURNAL), text).unwrap();
        assert_eq!(recover(&home.join(JOURNAL)).unwrap(), Recovered::Back(1));
        assert!(home.join("key").exists() && !home.join("x").exists());
    }
}
