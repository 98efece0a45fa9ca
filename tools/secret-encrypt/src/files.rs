//! Files on disk: read within limits, written as a whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use contract::Exit;
use zeroize::Zeroizing;

use crate::{Error, LARGEST};

/// Reads a file.
///
/// # Errors
/// Where it cannot be read or is too large.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    let failed = |error| Error::io(Exit::Unreadable, "read the file", path.display(), error);
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    if size > LARGEST {
        return Err(Error::TooLarge);
    }
    read_from(file, size as usize).map_err(|error| match error {
        Ok(error) => failed(error),
        Err(error) => error,
    })
}

/// Reads standard input.
///
/// # Errors
/// Where it cannot be read or is too large.
pub(crate) fn read_stdin() -> Result<Zeroizing<Vec<u8>>, Error> {
    read_from(std::io::stdin().lock(), 0).map_err(|error| match error {
        Ok(error) => Error::io(Exit::Io, "read", "standard input", error),
        Err(error) => error,
    })
}

fn read_from(mut input: impl Read, size: usize) -> Result<Zeroizing<Vec<u8>>, Result<std::io::Error, Error>> {
    // Room for all of it: a buffer that grows leaves copies of secrets behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(size + 1));
    input.by_ref().take(LARGEST + 1).read_to_end(&mut bytes).map_err(Ok)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Err(Error::TooLarge));
    }
    Ok(bytes)
}

/// A file that is written beside its place and waits to be put there.
pub(crate) struct Staged {
    temporary: PathBuf,
    place: PathBuf,
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
        let directory = place.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let temporary = directory.join(format!(".{name}.{}.tmp", std::process::id()));
        // A file of this name is left over from a process of our id that was killed.
        let _ = fs::remove_file(&temporary);
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
        let failed = |error| Error::io(Exit::CannotCreate, "write the file", self.place.display(), error);
        fs::rename(&self.temporary, &self.place).map_err(failed)?;
        let directory = self.place.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
        self.done = true;
        Ok(())
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

/// Every file below the paths, in order; `.git` and symbolic links are left out.
///
/// # Errors
/// Where a path cannot be read.
pub(crate) fn tree(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for path in paths {
        let metadata =
            fs::metadata(path).map_err(|error| Error::io(Exit::Unreadable, "read", path.display(), error))?;
        if metadata.is_dir() { walk(path, &mut found, 0)? } else { found.push(path.clone()) }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>, depth: usize) -> Result<(), Error> {
    let failed = |error| Error::io(Exit::Unreadable, "read the directory", directory.display(), error);
    if depth > 100 {
        return Ok(());
    }
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        let path = entry.path();
        let path = path.strip_prefix("./").map(Path::to_owned).unwrap_or(path);
        if kind.is_dir() && entry.file_name() != ".git" {
            walk(&path, found, depth + 1)?;
        } else if kind.is_file() {
            found.push(path);
        }
    }
    Ok(())
}
