//! A file that is written beside its place and put there with one rename.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use contract::Exit;

use super::directory_of;
use crate::Error;
use crate::random::random_bytes;

/// How the name of a staged file ends.
const END: &str = ".staged";

/// A file that is written beside its place and waits to be put there.
pub(crate) struct Staged {
    pub(super) temporary: PathBuf,
    pub(super) place: PathBuf,
    done: bool,
}

impl Staged {
    /// Writes the bytes beside `place`. An existing file's mode and owner are kept; a new file gets `mode` less the umask.
    ///
    /// # Errors
    /// Where that fails, or `place` is a symbolic link. Nothing is left behind.
    pub(crate) fn new(place: &Path, bytes: &[u8], mode: u32) -> Result<Self, Error> {
        let failed = |error| Error::io(Exit::CannotCreate, "write the file", place.display(), error);
        let existing = match fs::symlink_metadata(place) {
            Ok(metadata) if metadata.file_type().is_symlink() => {
                return Err(Error::Symlink { place: place.display().to_string() });
            }
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        let temporary = directory_of(place).join(name_for(place)?);
        sweep(place);
        let first = existing.as_ref().map_or(mode, |_| 0o600);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(first).open(&temporary).map_err(failed)?;
        let staged = Self { temporary, place: place.to_owned(), done: false };
        file.write_all(bytes).map_err(failed)?;
        if let Some(old) = existing {
            let own = file.metadata().map_err(failed)?;
            if (own.uid(), own.gid()) != (old.uid(), old.gid()) {
                std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid())).map_err(failed)?;
            }
            file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o7777)).map_err(failed)?;
        }
        file.sync_all().map_err(failed)?;
        Ok(staged)
    }

    /// Puts the file into its place.
    ///
    /// # Errors
    /// Where the system refuses; the old file is then as it was.
    pub(crate) fn commit(mut self) -> Result<(), Error> {
        self.put()?;
        sync(directory_of(&self.place))
    }

    /// Puts the file into its place without waiting for the disk.
    pub(super) fn put(&mut self) -> Result<(), Error> {
        fs::rename(&self.temporary, &self.place)
            .map_err(|error| Error::io(Exit::CannotCreate, "write the file", self.place.display(), error))?;
        self.done = true;
        Ok(())
    }

    /// Leaves the file beside its place when this goes: a journal knows of it.
    pub(super) fn leave(&mut self) {
        self.done = true;
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.done {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Writes one file.
///
/// # Errors
/// As [`Staged::new`] and [`Staged::commit`].
pub(crate) fn write(place: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    Staged::new(place, bytes, mode)?.commit()
}

/// Waits until the names in a directory are on the disk.
pub(super) fn sync(directory: &Path) -> Result<(), Error> {
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| Error::io(Exit::CannotCreate, "write the directory", directory.display(), error))
}

/// `.NAME.PID-RANDOM.staged`: the process says whether it is left over.
fn name_for(place: &Path) -> Result<String, Error> {
    let mut unique = [0; 4];
    random_bytes(&mut unique)?;
    let unique = u32::from_ne_bytes(unique);
    Ok(format!("{}{}-{unique:08x}{END}", start_of(place), std::process::id()))
}

fn start_of(place: &Path) -> String {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    // A name may have 255 bytes; what is added to it has at most 30.
    format!(".{}.", name.chars().take(50).collect::<String>())
}

/// The process that staged a file of this name; `None` for every other file.
pub(super) fn process_of(name: &str) -> Option<u32> {
    let (_, process) = name.strip_prefix('.')?.strip_suffix(END)?.rsplit_once('.')?;
    let (process, unique) = process.split_once('-')?;
    (unique.len() == 8).then(|| process.parse().ok())?
}

/// Whether a process is there. One that another took the number of counts, so that nothing in use is ever removed.
pub(super) fn is_running(process: u32) -> bool {
    let Some(pid) = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw) else { return false };
    !matches!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH))
}

/// Removes what killed runs staged for a place, unless a journal knows of it.
fn sweep(place: &Path) {
    let start = start_of(place);
    let directory = directory_of(place);
    if super::batch::journal_above(directory).is_some() {
        return;
    }
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(&start) && process_of(&name).is_some_and(|process| !is_running(process)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn staged_names_say_who_staged_them() {
        let name = name_for(Path::new("secrets/web1.yaml")).unwrap();
        assert_eq!(process_of(&name), Some(std::process::id()));
        assert!(is_running(std::process::id()) && !is_running(i32::MAX as u32));
        for other in [".web1.yaml.tmp", "web1.yaml", ".x.12.staged", ".x.a-12345678.staged", ".staged"] {
            assert_eq!(process_of(other), None, "{other}");
        }
    }

    #[test]
    fn what_a_killed_run_left_is_swept() {
        let directory = tempfile::tempdir().unwrap();
        let left = directory.path().join(format!(".a.yaml.{}-00000000.staged", i32::MAX));
        let other = directory.path().join(format!(".b.yaml.{}-00000000.staged", i32::MAX));
        fs::write(&left, "x").unwrap();
        fs::write(&other, "x").unwrap();
        write(&directory.path().join("a.yaml"), b"new", 0o644).unwrap();
        assert!(!left.exists() && other.exists());
    }
}
