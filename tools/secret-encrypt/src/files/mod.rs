//! Files on disk: read within limits, written as a whole or not at all.

mod batch;
mod lock;
mod staged;

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use contract::Exit;
use zeroize::Zeroizing;

use crate::{Error, LARGEST};

pub(crate) use batch::{Batch, finish_interrupted};
pub(crate) use lock::Lock;
pub(crate) use staged::{Staged, write};

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

/// What lies below some paths.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Files, in order.
    pub files: Vec<PathBuf>,
    /// Records of batches that did not end.
    pub journals: Vec<PathBuf>,
    /// Files of batches that did not begin: their process is gone.
    pub leftovers: Vec<PathBuf>,
}

/// Every file below the paths, in order; `.git`, symbolic links and what is ours alone are left out.
///
/// # Errors
/// Where a path cannot be read.
pub(crate) fn tree(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    Ok(find(paths)?.files)
}

/// Every file below the paths, and what killed runs left there.
///
/// # Errors
/// Where a path cannot be read.
pub(crate) fn find(paths: &[PathBuf]) -> Result<Found, Error> {
    let mut found = Found::default();
    for path in paths {
        let metadata =
            fs::metadata(path).map_err(|error| Error::io(Exit::Unreadable, "read", path.display(), error))?;
        if metadata.is_dir() { walk(path, &mut found, 0)? } else { found.files.push(path.clone()) }
    }
    found.files.sort();
    found.files.dedup();
    Ok(found)
}

fn walk(directory: &Path, found: &mut Found, depth: usize) -> Result<(), Error> {
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
            let name = entry.file_name();
            if name == batch::JOURNAL {
                found.journals.push(path);
            } else if let Some(process) = staged::process_of(&name.to_string_lossy()) {
                if !staged::is_running(process) {
                    found.leftovers.push(path);
                }
            } else {
                found.files.push(path);
            }
        }
    }
    Ok(())
}

/// The directory that a file lies in.
pub(crate) fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A path from the root, with links resolved as far as it is there, so that one place has one name.
///
/// # Errors
/// Where the working directory is gone.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Error> {
    if let Ok(path) = fs::canonicalize(path) {
        return Ok(path);
    }
    let parent = directory_of(path);
    let parent = fs::canonicalize(parent)
        .or_else(|_| std::path::absolute(parent))
        .map_err(|error| Error::io(Exit::Io, "find the directory", path.display(), error))?;
    Ok(parent.join(path.file_name().unwrap_or_default()))
}

/// Makes a directory, which only we can enter if it was not there.
///
/// # Errors
/// Where the system refuses.
pub(crate) fn make_private(directory: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| Error::io(Exit::CannotCreate, "make the directory", directory.display(), error))
}
