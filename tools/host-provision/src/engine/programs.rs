//! Where our programs lie on a host. Some hosts mount /var so that no program there can be started; then it is the first of
//! these places where one can, and all of ours lie in the same. Where none of them lets a program start, they lie in the first
//! one all the same, and are run from memory.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use contract::{Exit, places};

use super::host::write_durably;
use super::process::PATH;
use crate::fault::{Fault, Outcome};

/// The places, in the order in which they are tried. Only root can write to what leads there, so that nobody else can put a
/// program in ours' place; hence none below /tmp or /dev/shm, nor below /run, which a reboot empties.
pub const PROGRAMS: [&str; 4] =
    [places::BIN, "/usr/local/lib/plumbline/bin", "/opt/plumbline/bin", "/usr/lib/plumbline/bin"];

/// What is said of a helper that came otherwise than it was sent.
pub const SPOILT: &str = "what came is not what was sent";

/// The script beside a helper that cannot be started where it lies. A shell reads it, so that no mount forbids that.
pub const STARTER: &str = "from-memory";

/// Whether the shell is where process 1 is. A program goes back there after it was started; from another place (a login in
/// mounts of its own, a change of root) it would not come back to where it was.
pub const AT_HOME: &str = "[ /proc/$$/ns/mnt -ef /proc/1/ns/mnt ] && [ / -ef /proc/1/root/. ]";

/// What a shell in mounts of its own does: it copies the helper, which is open as 9, into a file system in memory that nobody
/// else sees, hides `$1` with it, and starts it there with the other words, of which none has a blank. The size is a limit.
pub const IN_OWN_MOUNTS: &str = "d=$1; shift; mount -t tmpfs -o mode=700,nosuid,nodev,size=64m tmpfs $d && cat <&9 >$d/h && \
                                 chmod 700 $d/h && exec 9<&- && exec $d/h from-memory $*";

/// Where the bytes of this very program lie, if it was started from memory.
static FROM_MEMORY: OnceLock<PathBuf> = OnceLock::new();

/// Where the bytes of this very program lie.
///
/// # Errors
/// 74 where the system does not say.
pub fn own_path() -> Outcome<PathBuf> {
    match FROM_MEMORY.get() {
        Some(path) => Ok(path.clone()),
        None => std::env::current_exe().map_err(|error| Fault::io("find", "the helper", &error)),
    }
}

/// The words that start a helper, which is of the same kind as this one.
pub fn starting(helper: &Path) -> Vec<String> {
    let path = |path: &Path| path.to_string_lossy().into_owned();
    if is_from_memory() { vec!["/bin/sh".into(), path(&helper.with_file_name(STARTER))] } else { vec![path(helper)] }
}

/// The place on this host: where this very program lies.
pub fn programs() -> &'static str {
    let own = own_path().unwrap_or_default();
    PROGRAMS.into_iter().find(|place| own.starts_with(place)).unwrap_or(places::BIN)
}

/// Whether the host lets no program start from where ours lie.
pub fn is_from_memory() -> bool {
    FROM_MEMORY.get().is_some()
}

/// Goes back to the mounts of process 1 from the own ones in which this program was started, and remembers where its bytes lie.
/// What it was started from is gone with its last process, and with it the own mounts.
///
/// # Errors
/// Those of the system.
#[cfg(target_os = "linux")]
pub fn leave_own_mounts(path: &str) -> std::io::Result<()> {
    use rustix::fs::{Mode, OFlags, open};
    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
    use std::os::fd::AsFd;
    let root = open("/proc/1/root", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mounts = open("/proc/1/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    move_into_link_name_space(mounts.as_fd(), Some(LinkNameSpaceType::Mount))?;
    // The way leads to the root of those mounts; process 1 may have gone further.
    rustix::process::fchdir(&root)?;
    rustix::process::chroot(".")?;
    std::env::set_current_dir("/")?;
    // Set once: this is the first that the program does.
    let _ = FROM_MEMORY.set(PathBuf::from(path));
    Ok(())
}

/// Hosts are Linux machines; controllers need not be, and never come here.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn leave_own_mounts(_path: &str) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// Writes the script that starts the helper in this directory from memory.
///
/// # Errors
/// Those of writing.
pub fn write_starter(directory: &Path) -> std::io::Result<()> {
    let script = format!(
        "# Starts the helper beside this file in memory, because the mounts of this host let no program of ours start.\n\
         PATH={PATH}\nexport PATH\nd=${{0%/*}}\n{AT_HOME} || exit 126\nexec 9<$d/host-provision-helper || exit 126\n\
         exec unshare --mount sh -c '{IN_OWN_MOUNTS}' sh $d $d/host-provision-helper \"$@\"\n"
    );
    write_durably(&directory.join(STARTER), script.as_bytes())
}

/// What an item that wants to be started by others is told.
pub fn nowhere_to_start(what: &str) -> Fault {
    Fault::new(
        Exit::Unavailable,
        "no_place_for_programs",
        format!("the host lets programs start in none of {}, so that nobody could start {what}", PROGRAMS.join(", ")),
    )
    .hint("mount one of them so that root may write there and start programs (without noexec); host-provision itself, and run, need none")
}
