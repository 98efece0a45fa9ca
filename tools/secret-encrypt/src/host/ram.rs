//! RAM that secrets may lie in, and a process that leaves no trace of them.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use cli::Consents;
use contract::Exit;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

use crate::Error;

const TMPFS: u64 = 0x0102_1994;
const RAMFS: u64 = 0x8584_58f6;

/// No core dump, no debugger of the same user: memory that holds keys stays where it is.
pub(crate) fn guard_process() {
    // Both only lower what this process may do; where they fail there is nothing to fall back to.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Whether a directory lies in RAM.
fn in_ram(path: &Path) -> Result<bool, Error> {
    let stat = rustix::fs::statfs(path)
        .map_err(|error| Error::io(Exit::Io, "look at the file system", path.display(), error.into()))?;
    Ok(matches!(stat.f_type as u64, TMPFS | RAMFS))
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

/// A new directory that only we can enter, in RAM: below `$XDG_RUNTIME_DIR`, `/run` or `/dev/shm`. What a killed process
/// left behind there is taken away.
///
/// # Errors
/// 78 where there is no RAM to write to.
pub(crate) fn private_directory() -> Result<PathBuf, Error> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|value| !value.is_empty()).map(PathBuf::from);
    let places = runtime.into_iter().chain(["/run".into(), "/dev/shm".into()]);
    for place in places {
        if !place.is_dir() || !in_ram(&place).unwrap_or(false) {
            continue;
        }
        sweep(&place);
        let mut unique = [0; 8];
        crate::random::random_bytes(&mut unique)?;
        let name = format!("{PREFIX}{}-{:016x}", std::process::id(), u64::from_ne_bytes(unique));
        let path = place.join(name);
        if DirBuilder::new().mode(0o700).create(&path).is_ok() {
            return Ok(path);
        }
    }
    Err(Error::Refused {
        code: "no_ram",
        message: "there is no directory in RAM that can be written to".into(),
        place: "/dev/shm".into(),
        hint: "set XDG_RUNTIME_DIR to a directory on a tmpfs".into(),
    })
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
