//! `mount`: something is mounted, and can be written to (proc_pid_mountinfo(5)).

use contract::document::MountCheck;

use super::{Dial, Preparing};
use crate::net::Endpoint;
use crate::observation::{Problem, Step, Trace, Verdict};
use crate::reason::Reason;

/// A mount of this machine.
#[derive(Debug)]
pub(crate) struct Probe {
    path: String,
    read_only: bool,
}

impl Probe {
    pub(super) fn prepare(check: &MountCheck, preparing: &mut Preparing<'_>) -> Option<Self> {
        if !check.path.starts_with('/') {
            preparing.wrong("path", "bad-path", "expected an absolute path");
            return None;
        }
        let path = check.path.trim_end_matches('/');
        let path = if path.is_empty() { "/" } else { path };
        Some(Self { path: path.to_owned(), read_only: check.read_only })
    }

    pub(super) fn target(&self) -> String {
        self.path.clone()
    }

    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        None
    }

    pub(super) async fn look(&self, _dial: &Dial<'_>, trace: &mut Trace) -> Verdict {
        trace.step = Step::Answer;
        match mounted(&self.path)? {
            None => Err(Problem::fail(Reason::MountMissing, format!("nothing is mounted at {}", self.path))),
            Some(mount) if mount.read_only && !self.read_only => {
                Err(Problem::fail(Reason::MountReadonly, format!("{} is mounted read-only", self.path)))
            }
            Some(mount) => Ok(mount.file_system),
        }
    }
}

/// What is mounted somewhere.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount {
    file_system: String,
    read_only: bool,
}

/// What is mounted at a path of this machine.
///
/// # Errors
/// The machine does not tell.
pub(super) fn mounted(path: &str) -> Result<Option<Mount>, Problem> {
    let table = std::fs::read_to_string("/proc/self/mountinfo")
        .map_err(|_| Problem::error(Reason::Unsupported, "this machine does not tell its mounts"))?;
    let path = path.trim_end_matches('/');
    Ok(find(&table, if path.is_empty() { "/" } else { path }))
}

/// The mount at a path; the last one lies on top.
fn find(table: &str, path: &str) -> Option<Mount> {
    let mounts = table.lines().filter_map(|line| {
        let (own, shared) = line.split_once(" - ")?;
        let own: Vec<_> = own.split(' ').collect();
        let shared: Vec<_> = shared.split(' ').collect();
        if unescape(own.get(4)?) != path {
            return None;
        }
        let read_only = |options: &str| options.split(',').any(|option| option == "ro");
        let read_only = read_only(own.get(5)?) || shared.get(2).is_some_and(|options| read_only(options));
        Some(Mount { file_system: (*shared.first()?).to_owned(), read_only })
    });
    mounts.reduce(|_, last| last)
}

/// Blanks and other signs are written as octal numbers.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let number = tail.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match number.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_mount_counts() {
        let table = "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n\
                     30 22 8:2 / /mnt/my\\040disk rw - ext4 /dev/sdb1 rw\n\
                     31 22 8:3 / /mnt/my\\040disk ro shared:1 - xfs /dev/sdc1 rw\n";
        assert_eq!(find(table, "/mnt/my disk"), Some(Mount { file_system: "xfs".into(), read_only: true }));
        assert_eq!(find(table, "/"), Some(Mount { file_system: "ext4".into(), read_only: false }));
        assert_eq!(find(table, "/mnt"), None);
    }
}
