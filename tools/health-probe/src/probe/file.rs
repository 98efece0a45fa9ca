//! `file`: a file is there, and the user who needs it can read it (a key whose server runs as somebody else).

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use contract::document::FileCheck;

use super::{Dial, Preparing};
use crate::net::Endpoint;
use crate::observation::{Problem, Step, Trace, Verdict};
use crate::reason::Reason;

/// A file of this machine.
#[derive(Debug)]
pub(crate) struct Probe {
    path: String,
    readable_by: Option<String>,
    public: bool,
}

/// A user of the machine with the groups that count.
#[derive(Debug, PartialEq, Eq)]
struct User {
    id: u32,
    groups: Vec<u32>,
}

impl Probe {
    pub(super) fn prepare(check: &FileCheck, preparing: &mut Preparing<'_>) -> Option<Self> {
        if !check.path.starts_with('/') {
            preparing.wrong("path", "bad-path", "expected an absolute path");
            return None;
        }
        Some(Self { path: check.path.clone(), readable_by: check.readable_by.clone(), public: check.public })
    }

    pub(super) fn target(&self) -> String {
        self.path.clone()
    }

    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        None
    }

    pub(super) async fn look(&self, _dial: &Dial<'_>, trace: &mut Trace) -> Verdict {
        trace.step = Step::Answer;
        let (path, user, public) = (self.path.clone(), self.readable_by.clone(), self.public);
        // A dead network file system holds whoever asks; the thread is left behind.
        let judged = tokio::task::spawn_blocking(move || judge(&path, user.as_deref(), public)).await;
        judged.unwrap_or_else(|_| Err(Problem::error(Reason::Internal, "the file was not looked at")))
    }
}

fn judge(path: &str, user: Option<&str>, public: bool) -> Verdict {
    let failed = |error: &std::io::Error, what: &Path| match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
            Problem::fail(Reason::Missing, format!("{} is not there", what.display()))
        }
        std::io::ErrorKind::PermissionDenied => {
            Problem::error(Reason::Permission, format!("we may not look at {}", what.display()))
        }
        kind => Problem::error(Reason::Internal, format!("{} cannot be looked at: {kind}", what.display())),
    };
    // Links are followed first, so that the directories that count are those on the real way.
    let real = std::fs::canonicalize(path).map_err(|error| failed(&error, Path::new(path)))?;
    let metadata = std::fs::metadata(&real).map_err(|error| failed(&error, &real))?;
    let mode = metadata.mode() & 0o7777;
    if !public && mode & 0o004 != 0 {
        return Err(Problem::fail(Reason::FileExposed, format!("everybody may read {path} (mode {mode:04o})")));
    }
    let Some(name) = user else { return Ok(format!("mode {mode:04o}, {} bytes", metadata.len())) };
    let known = User::find(name).map_err(|_| Problem::error(Reason::Unsupported, "/etc/passwd cannot be read"))?;
    let Some(known) = known else {
        return Err(Problem::error(Reason::Unsupported, format!("this machine has no user {name} in /etc/passwd")));
    };
    let directories: Vec<PathBuf> = real.ancestors().skip(1).map(Path::to_owned).collect();
    for directory in directories.iter().rev() {
        let metadata = std::fs::metadata(directory).map_err(|error| failed(&error, directory))?;
        if has_acl(directory) {
            return Err(acl(directory));
        }
        if !known.may(&metadata, 0o1) {
            let message = format!("{name} cannot get to {path}: {} {}", directory.display(), owned(&metadata));
            return Err(Problem::fail(Reason::FileUnreadable, message));
        }
    }
    if has_acl(&real) {
        return Err(acl(&real));
    }
    if !known.may(&metadata, 0o4) {
        let message = format!("{name} cannot read {path}: it {}", owned(&metadata));
        return Err(Problem::fail(Reason::FileUnreadable, message));
    }
    Ok(format!("{name} can read it"))
}

fn owned(metadata: &std::fs::Metadata) -> String {
    let mode = metadata.mode() & 0o7777;
    format!("has mode {mode:04o} and belongs to {}:{}", metadata.uid(), metadata.gid())
}

/// An access list says more than the mode does.
fn has_acl(path: &Path) -> bool {
    let mut nothing: [u8; 0] = [];
    rustix::fs::getxattr(path, "system.posix_acl_access", &mut nothing).is_ok_and(|length| length > 0)
}

fn acl(path: &Path) -> Problem {
    let message = format!("{} has an access list, which is not read here", path.display());
    Problem::error(Reason::Unsupported, message)
}

impl User {
    fn find(name: &str) -> std::io::Result<Option<Self>> {
        let passwd = std::fs::read_to_string("/etc/passwd")?;
        let group = std::fs::read_to_string("/etc/group").unwrap_or_default();
        Ok(Self::read(name, &passwd, &group))
    }

    /// From the texts of passwd(5) and group(5).
    fn read(name: &str, passwd: &str, group: &str) -> Option<Self> {
        let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
        let own = passwd.lines().map(fields).find(|fields| fields.first().is_some_and(|first| first == name))?;
        let id = own.get(2)?.parse().ok()?;
        let mut groups = vec![own.get(3)?.parse().ok()?];
        for line in group.lines().map(fields) {
            if let [_, _, number, members] = line.as_slice()
                && members.split(',').any(|member| member == name)
            {
                groups.extend(number.parse::<u32>().ok());
            }
        }
        Some(Self { id, groups })
    }

    /// Whether the mode gives this right (4 read, 1 search): the first class that fits decides (path_resolution(7)).
    fn may(&self, metadata: &std::fs::Metadata, right: u32) -> bool {
        self.may_with(metadata.mode(), metadata.uid(), metadata.gid(), right)
    }

    fn may_with(&self, mode: u32, owner: u32, group: u32, right: u32) -> bool {
        if self.id == 0 {
            return true;
        }
        let class = if owner == self.id {
            6
        } else if self.groups.contains(&group) {
            3
        } else {
            0
        };
        mode >> class & right != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_their_groups() {
        let passwd = "root:x:0:0::/root:/bin/sh\nnginx:x:33:33::/:/bin/false\n";
        let group = "ssl-cert:x:110:postgres,nginx\nother:x:5:x\n";
        assert_eq!(User::read("nginx", passwd, group), Some(User { id: 33, groups: vec![33, 110] }));
        assert_eq!(User::read("nobody", passwd, group), None);
    }

    #[test]
    fn the_first_class_that_fits_decides() {
        let user = User { id: 33, groups: vec![33, 110] };
        assert!(user.may_with(0o640, 0, 110, 4));
        assert!(!user.may_with(0o600, 0, 110, 4));
        assert!(user.may_with(0o604, 0, 0, 4));
        // The owner has less than everybody else.
        assert!(!user.may_with(0o044, 33, 0, 4));
        assert!(!user.may_with(0o700, 0, 0, 1));
    }
}
