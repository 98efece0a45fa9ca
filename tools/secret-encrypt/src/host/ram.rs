//! RAM that secrets may lie in, and a process that leaves no trace of them.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use cli::Consents;
use contract::Exit;
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::Error;

/// No core dump, no debugger of the same user: memory that holds keys stays where it is.
pub(crate) fn guard_process() {
    // Both only lower what this process may do; where they fail there is nothing to fall back to.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// Whether a directory lies in RAM.
#[cfg(target_os = "linux")]
fn in_ram(path: &Path) -> Result<bool, Error> {
    const TMPFS: u64 = 0x0102_1994;
    const RAMFS: u64 = 0x8584_58f6;
    let stat = rustix::fs::statfs(path)
        .map_err(|error| Error::io(Exit::Io, "look at the file system", path.display(), error.into()))?;
    Ok(matches!(stat.f_type as u64, TMPFS | RAMFS))
}

/// Whether a directory lies in RAM: only Linux says so.
#[cfg(not(target_os = "linux"))]
fn in_ram(_: &Path) -> Result<bool, Error> {
    Ok(false)
}

/// Refuses a directory on disk, unless `--allow disk:PATH` names it.
///
/// # Errors
/// 76 with the consent.
pub(crate) fn refuse_disk(path: &Path, consents: &Consents) -> Result<(), Error> {
    let existing = path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
    let place = path.display().to_string();
    if in_ram(existing)? || consents.allows("disk", &place) {
        return Ok(());
    }
    Err(Error::Refused {
        code: "not_in_ram",
        message: "secrets would be written to a disk, where deleting does not take them away again".into(),
        hint: format!("mount a tmpfs there, or give --allow disk:{place}"),
        place,
    })
}

/// A new directory that only we can enter, in RAM: below `$XDG_RUNTIME_DIR`, `/run` or `/dev/shm`; `None` where there is no
/// RAM to write to. What a killed process left behind there is taken away.
///
/// # Errors
/// Where the system gives no random bytes.
pub(crate) fn private_directory() -> Result<Option<PathBuf>, Error> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|value| !value.is_empty()).map(PathBuf::from);
    let places = runtime.into_iter().chain(["/run".into(), "/dev/shm".into()]);
    for place in places.filter(|place| place.is_dir() && in_ram(place).unwrap_or(false)) {
        if let Some(path) = directory_in(&place)? {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// A new directory for pipes, which may lie anywhere: nothing that passes through a pipe is on a disk.
///
/// # Errors
/// 73 where none can be made.
pub(crate) fn pipe_directory() -> Result<PathBuf, Error> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|value| !value.is_empty()).map(PathBuf::from);
    let place = runtime.unwrap_or_else(std::env::temp_dir);
    directory_in(&place)?.ok_or_else(|| {
        let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        Error::io(Exit::CannotCreate, "make a private directory", place.display(), denied)
    })
}

fn directory_in(place: &Path) -> Result<Option<PathBuf>, Error> {
    sweep(place);
    let mut unique = [0; 8];
    crate::random::random_bytes(&mut unique)?;
    let name = format!("{PREFIX}{}-{:016x}", std::process::id(), u64::from_ne_bytes(unique));
    let path = place.join(name);
    Ok(DirBuilder::new().mode(0o700).create(&path).is_ok().then_some(path))
}

const PREFIX: &str = "plumbline-exec-";

/// Removes directories of ours whose process is gone.
fn sweep(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        let process = rest.split('-').next().unwrap_or_default();
        if process.parse::<u32>().is_ok()
            && !Path::new("/proc").join(process).exists()
            && Path::new("/proc/self").exists()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
