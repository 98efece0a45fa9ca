//! The file system of a host, walked so that nobody but root can lead us astray.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use contract::Exit;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::fault::{Fault, Outcome};

/// How many symbolic links may lie on the way to a path.
const LINKS: u32 = 32;

/// A file system, seen from its root or from the directory of a sandbox.
#[derive(Debug, Clone)]
pub struct Tree {
    base: PathBuf,
    /// Whose symbolic links are followed besides root's.
    own_uid: u32,
}

/// The directory that holds a path, and the last name of the path.
#[derive(Debug)]
pub struct Place {
    /// The directory, open.
    pub parent: OwnedFd,
    /// The last name.
    pub name: String,
    /// The whole path, for messages.
    pub path: String,
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Live {
    /// Nothing.
    Absent,
    /// A regular file.
    File(Attributes),
    /// A directory.
    Directory(Attributes),
    /// A symbolic link and its target.
    Symlink(String),
    /// A device, pipe or socket.
    Other,
}

/// Mode, owner and size of a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes.
    pub size: u64,
    /// Names that it has.
    pub links: u64,
    /// The file system that it is on.
    pub device: u64,
}

#[allow(clippy::useless_conversion, clippy::unnecessary_cast, reason = "widths of these fields differ between systems")]
impl From<&Stat> for Attributes {
    fn from(stat: &Stat) -> Self {
        Self {
            mode: (stat.st_mode as u32) & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            links: stat.st_nlink as u64,
            device: stat.st_dev as u64,
        }
    }
}

impl Tree {
    /// The file system below a directory; `/` for a host.
    pub fn new(base: impl Into<PathBuf>) -> Self {
        Self { base: base.into(), own_uid: rustix::process::geteuid().as_raw() }
    }

    /// Where a path of the host lies for this process.
    pub fn real(&self, path: &str) -> PathBuf {
        self.base.join(path.trim_start_matches('/'))
    }

    fn open_base(&self) -> Outcome<OwnedFd> {
        rustix::fs::open(&self.base, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| Fault::errno("open the root", self.base.display(), error))
    }

    /// The directory that holds a path; `None` where it does not exist.
    ///
    /// # Errors
    /// 76 for a way that somebody else than root could bend, 74 and 77 for those of the system.
    pub fn place(&self, path: &str) -> Outcome<Option<Place>> {
        let mut names: Vec<String> = components(path);
        let Some(name) = names.pop() else {
            return Err(Fault::new(Exit::BadDocument, "bad_path", "the path names no file").place(path));
        };
        let Some(parent) = self.walk(path, names)? else { return Ok(None) };
        Ok(Some(Place { parent, name, path: path.to_owned() }))
    }

    fn walk(&self, path: &str, names: Vec<String>) -> Outcome<Option<OwnedFd>> {
        let mut stack = vec![self.open_base()?];
        let mut rest = names;
        rest.reverse();
        let mut links = 0;
        while let Some(name) = rest.pop() {
            if name == ".." {
                if stack.len() > 1 {
                    stack.pop();
                }
                continue;
            }
            let Some(here) = stack.last() else { return Ok(None) };
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match rustix::fs::openat(here, &*name, flags, Mode::empty()) {
                Ok(next) => {
                    let stat = rustix::fs::fstat(&next).map_err(|error| Fault::errno("examine", path, error))?;
                    let attributes = Attributes::from(&stat);
                    if attributes.mode & 0o1002 == 0o002 {
                        return Err(unsafe_way(path, &name, "everybody may write to it"));
                    }
                    stack.push(next);
                }
                Err(Errno::NOENT) => return Ok(None),
                Err(Errno::LOOP | Errno::NOTDIR) => {
                    let stat = rustix::fs::statat(here, &*name, AtFlags::SYMLINK_NOFOLLOW)
                        .map_err(|error| Fault::errno("examine", path, error))?;
                    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
                        return Err(Fault::new(
                            Exit::Refused,
                            "not_a_directory",
                            format!("\"{name}\" on the way is no directory"),
                        )
                        .place(path)
                        .hint("move it away, or choose another path"));
                    }
                    if stat.st_uid != 0 && stat.st_uid != self.own_uid {
                        return Err(unsafe_way(path, &name, "it is a symbolic link that belongs to another user"));
                    }
                    links += 1;
                    if links > LINKS {
                        return Err(unsafe_way(path, &name, "there are too many symbolic links on the way"));
                    }
                    let target = read_link(here.as_fd(), &name, path)?;
                    if target.starts_with('/') {
                        stack.truncate(1);
                    }
                    rest.extend(components(&target).into_iter().rev());
                }
                Err(error) => return Err(Fault::errno("open the directory", path, error)),
            }
        }
        Ok(stack.pop())
    }

    /// What is at a path.
    ///
    /// # Errors
    /// As [`Tree::place`].
    pub fn look(&self, path: &str) -> Outcome<Live> {
        match self.place(path)? {
            Some(place) => place.look(),
            None => Ok(Live::Absent),
        }
    }

    /// The bytes of a regular file, `None` where there is none.
    ///
    /// # Errors
    /// As [`Tree::place`].
    pub fn read(&self, path: &str) -> Outcome<Option<Vec<u8>>> {
        match self.place(path)? {
            Some(place) => place.read(),
            None => Ok(None),
        }
    }

    /// Makes the directory of a path of our own state, with all that lead to it.
    ///
    /// # Errors
    /// Those of the system.
    pub fn make_state_directory(&self, path: &str, mode: u32) -> Outcome<PathBuf> {
        use std::os::unix::fs::DirBuilderExt;
        let real = self.real(path);
        if !real.is_dir() {
            if let Some(parent) = real.parent() {
                std::fs::create_dir_all(parent)
                    .map_err(|error| Fault::io("make the directory", parent.display(), &error))?;
            }
            match std::fs::DirBuilder::new().mode(mode).create(&real) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(Fault::io("make the directory", real.display(), &error));
                }
                _ => {}
            }
        }
        Ok(real)
    }
}

impl Place {
    /// What is there.
    ///
    /// # Errors
    /// Those of the system.
    pub fn look(&self) -> Outcome<Live> {
        let stat = match rustix::fs::statat(&self.parent, &*self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(Live::Absent),
            Err(error) => return Err(Fault::errno("examine", &self.path, error)),
        };
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Live::File(Attributes::from(&stat)),
            FileType::Directory => Live::Directory(Attributes::from(&stat)),
            FileType::Symlink => Live::Symlink(read_link(self.parent.as_fd(), &self.name, &self.path)?),
            _ => Live::Other,
        })
    }

    /// The bytes of the regular file there, `None` where nothing is.
    ///
    /// # Errors
    /// Those of the system.
    pub fn read(&self) -> Outcome<Option<Vec<u8>>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.parent, &*self.name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::LOOP) => return Ok(None),
            Err(error) => return Err(Fault::errno("read", &self.path, error)),
        };
        let mut bytes = Vec::new();
        std::fs::File::from(file).read_to_end(&mut bytes).map_err(|error| Fault::io("read", &self.path, &error))?;
        Ok(Some(bytes))
    }

    /// Writes a new file beside the name: nobody but us can read it until its owner and mode are set.
    ///
    /// # Errors
    /// Those of the system; nothing is left then.
    pub fn write_beside(
        &self,
        temporary: &str,
        bytes: &[u8],
        mode: u32,
        owner: Option<(u32, u32)>,
    ) -> Outcome<OwnedFd> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let descriptor = rustix::fs::openat(&self.parent, temporary, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|error| Fault::errno("write beside", &self.path, error))?;
        let mut file = std::fs::File::from(descriptor);
        let written = (|| {
            file.write_all(bytes)?;
            if let Some((uid, gid)) = owner {
                let (uid, gid) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
                rustix::fs::fchown(&file, Some(uid), Some(gid))?;
            }
            // After the owner: a change of owner clears set-user-id.
            rustix::fs::fchmod(&file, Mode::from_raw_mode(mode as rustix::fs::RawMode))?;
            Ok(())
        })();
        if let Err(error) = written {
            self.unlink_beside(temporary);
            return Err(Fault::io("write", &self.path, &error));
        }
        Ok(file.into())
    }

    /// Gives a file of the same file system a temporary name here; `false` where that cannot be done.
    pub fn link_from(&self, file: &std::path::Path, temporary: &str) -> bool {
        rustix::fs::linkat(rustix::fs::CWD, file, &self.parent, temporary, AtFlags::empty()).is_ok()
    }

    /// Takes a temporary name away, if it is there.
    pub fn unlink_beside(&self, temporary: &str) {
        // Best effort: it is called on the way out of another error, or for leftovers.
        let _ = rustix::fs::unlinkat(&self.parent, temporary, AtFlags::empty());
    }

    /// Lets a temporary name become the name.
    ///
    /// # Errors
    /// 76 for a mount point, and those of the system.
    pub fn rename_from(&self, temporary: &str) -> Outcome<()> {
        match rustix::fs::renameat(&self.parent, temporary, &self.parent, &*self.name) {
            Ok(()) => Ok(()),
            Err(Errno::BUSY) => Err(Fault::new(
                Exit::Refused,
                "is_mountpoint",
                "the path is a mount point, which cannot be replaced as a whole",
            )
            .place(&self.path)
            .hint("mount its directory instead of the file")),
            Err(error) => Err(Fault::errno("replace", &self.path, error)),
        }
    }

    /// Makes the names of the directory durable.
    ///
    /// # Errors
    /// Those of the system.
    pub fn sync(&self) -> Outcome<()> {
        rustix::fs::fsync(&self.parent).map_err(|error| Fault::errno("make durable", &self.path, error))
    }

    /// Takes the name away.
    ///
    /// # Errors
    /// Those of the system; a name that is not there is none.
    pub fn unlink(&self) -> Outcome<()> {
        match rustix::fs::unlinkat(&self.parent, &*self.name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(Fault::errno("take away", &self.path, error)),
        }
    }

    /// Takes the empty directory away; `false` where it is not empty.
    ///
    /// # Errors
    /// Those of the system.
    pub fn remove_directory(&self) -> Outcome<bool> {
        match rustix::fs::unlinkat(&self.parent, &*self.name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(true),
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY) => Ok(false),
            Err(error) => Err(Fault::errno("take away", &self.path, error)),
        }
    }

    /// Makes the directory with its final owner and mode.
    ///
    /// # Errors
    /// Those of the system.
    pub fn make_directory(&self, mode: u32, owner: Option<(u32, u32)>) -> Outcome<()> {
        rustix::fs::mkdirat(&self.parent, &*self.name, Mode::RWXU)
            .map_err(|error| Fault::errno("make the directory", &self.path, error))?;
        self.set_attributes(mode, owner)
    }

    /// Sets owner and mode of the file or directory there; a symbolic link is not followed.
    ///
    /// # Errors
    /// Those of the system.
    pub fn set_attributes(&self, mode: u32, owner: Option<(u32, u32)>) -> Outcome<()> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let node = rustix::fs::openat(&self.parent, &*self.name, flags, Mode::empty())
            .map_err(|error| Fault::errno("open", &self.path, error))?;
        if let Some((uid, gid)) = owner {
            let (uid, gid) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
            rustix::fs::fchown(&node, Some(uid), Some(gid))
                .map_err(|error| Fault::errno("set the owner", &self.path, error))?;
        }
        rustix::fs::fchmod(&node, Mode::from_raw_mode(mode as rustix::fs::RawMode))
            .map_err(|error| Fault::errno("set the mode", &self.path, error))
    }

    /// Makes a symbolic link beside the name.
    ///
    /// # Errors
    /// Those of the system.
    pub fn link_beside(&self, temporary: &str, target: &str) -> Outcome<()> {
        rustix::fs::symlinkat(target, &self.parent, temporary)
            .map_err(|error| Fault::errno("make the link", &self.path, error))
    }
}

fn components(path: &str) -> Vec<String> {
    path.split('/').filter(|name| !name.is_empty() && *name != ".").map(str::to_owned).collect()
}

fn read_link(parent: std::os::fd::BorrowedFd<'_>, name: &str, path: &str) -> Outcome<String> {
    let target =
        rustix::fs::readlinkat(parent, name, Vec::new()).map_err(|error| Fault::errno("read the link", path, error))?;
    Ok(target.to_string_lossy().into_owned())
}

fn unsafe_way(path: &str, name: &str, why: &str) -> Fault {
    Fault::new(Exit::Refused, "unsafe_path", format!("the way leads through \"{name}\", which is not safe: {why}"))
        .place(path)
        .hint("let root own every directory and link on the way, or choose another path")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn links_of_ours_are_followed_inside_the_tree() {
        let base = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(base.path().join("run/x")).unwrap();
        std::fs::create_dir(base.path().join("var")).unwrap();
        symlink("/run", base.path().join("var/run")).unwrap();
        symlink("../../../../run", base.path().join("var/up")).unwrap();
        std::fs::write(base.path().join("run/x/file"), "here").unwrap();
        let tree = Tree::new(base.path());
        assert_eq!(tree.read("/var/run/x/file").unwrap().unwrap(), b"here");
        assert_eq!(tree.read("/var/up/x/file").unwrap().unwrap(), b"here");
        assert_eq!(tree.look("/var/run").unwrap(), Live::Symlink("/run".into()));
        assert_eq!(tree.look("/nowhere/file").unwrap(), Live::Absent);
    }

    #[test]
    fn a_way_that_others_can_bend_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let open = base.path().join("open");
        std::fs::create_dir(&open).unwrap();
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
        symlink("loop", base.path().join("loop")).unwrap();
        std::fs::write(base.path().join("file"), "").unwrap();
        let tree = Tree::new(base.path());
        assert_eq!(tree.look("/open/file").unwrap_err().code(), "unsafe_path");
        assert_eq!(tree.look("/loop/file").unwrap_err().code(), "unsafe_path");
        assert_eq!(tree.look("/file/file").unwrap_err().code(), "not_a_directory");
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o1777)).unwrap();
        assert_eq!(tree.look("/open/file").unwrap(), Live::Absent);
    }
}
