//! Writing a file on the controller so that it is old or new, never between.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Replaces a file as a whole: a temporary file in the same directory, fsync, rename, fsync of the directory.
///
/// An existing file keeps its permission bits; a new one gets `mode` less the umask. A symbolic link is not followed: its
/// target would be another file than the one named.
///
/// # Errors
/// Those of the system; the old file is then untouched and no temporary file is left.
pub fn write_atomically(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let existing = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_symlink() => {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path is a symbolic link"));
        }
        Ok(metadata) => Some(metadata.permissions().mode() & 0o7777),
        Err(_) => None,
    };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (temporary, mut file) = temporary_beside(path, directory, existing.unwrap_or(mode))?;
    let written = (|| {
        file.write_all(bytes)?;
        if let Some(mode) = existing {
            file.set_permissions(fs::Permissions::from_mode(mode))?;
        }
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(directory)?.sync_all()
    })();
    if written.is_err() {
        // Best effort: the first error is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn temporary_beside(path: &Path, directory: &Path, mode: u32) -> io::Result<(PathBuf, File)> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    for attempt in 0..100_u32 {
        let temporary = directory.join(format!(".{}.{}.{attempt}.tmp", name.to_string_lossy(), std::process::id()));
        match OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary) {
            Ok(file) => return Ok((temporary, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many temporary files beside it"))
}
