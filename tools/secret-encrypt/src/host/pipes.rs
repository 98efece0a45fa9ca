//! Secrets as named pipes: whoever opens one gets its value, and nothing of it lies in a file.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use contract::Exit;
use zeroize::Zeroizing;

use super::Values;
use crate::Error;

/// Makes a pipe for every secret and serves it until the process ends.
///
/// # Errors
/// Where a pipe cannot be made.
pub(crate) fn serve(directory: &Path, values: Values) -> Result<(), Error> {
    for (name, value) in values {
        let path = directory.join(name.as_str());
        make(&path)?;
        std::thread::spawn(move || while give(&path, &value).is_ok() {});
    }
    Ok(())
}

/// Waits for a reader and gives it the value.
fn give(path: &Path, value: &Zeroizing<Vec<u8>>) -> std::io::Result<()> {
    let mut pipe = OpenOptions::new().write(true).open(path)?;
    // The next reader gets a pipe of its own: one that still reads this one would otherwise get the value twice.
    let next: PathBuf = path.with_extension("next");
    make(&next).map_err(std::io::Error::other)?;
    fs::rename(&next, path)?;
    match pipe.write_all(value) {
        // A reader that goes away early is no reason to stop.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

#[cfg(not(target_vendor = "apple"))]
fn make(path: &Path) -> Result<(), Error> {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
        .map_err(|error| Error::io(Exit::CannotCreate, "make the pipe", path.display(), error.into()))
}

/// The safe bindings have no call for it there, and the program is part of the system.
#[cfg(target_vendor = "apple")]
fn make(path: &Path) -> Result<(), Error> {
    let failed = |error| Error::io(Exit::CannotCreate, "make the pipe", path.display(), error);
    let status =
        std::process::Command::new("/usr/bin/mkfifo").args(["-m", "600"]).arg(path).status().map_err(failed)?;
    if status.success() { Ok(()) } else { Err(failed(std::io::Error::other("mkfifo failed"))) }
}
