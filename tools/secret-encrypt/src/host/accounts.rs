//! Users and groups by name, from the files of the host (or of a root directory).

use std::path::Path;

/// The accounts of a host.
pub(crate) struct Accounts {
    users: String,
    groups: String,
}

impl Accounts {
    /// Those of `/etc/passwd` and `/etc/group` below `root`; those of this machine where `root` has none.
    pub(crate) fn read(root: &Path) -> Self {
        let read = |name: &str| {
            std::fs::read_to_string(root.join(name)).or_else(|_| std::fs::read_to_string(Path::new("/").join(name)))
        };
        Self { users: read("etc/passwd").unwrap_or_default(), groups: read("etc/group").unwrap_or_default() }
    }

    /// The id of a user; a number is its own id.
    pub(crate) fn user(&self, name: &str) -> Option<u32> {
        id_of(&self.users, name)
    }

    /// The id of a group; a number is its own id.
    pub(crate) fn group(&self, name: &str) -> Option<u32> {
        id_of(&self.groups, name)
    }
}

/// Field 3 of the line that begins with the name (passwd(5), group(5)).
fn id_of(text: &str, name: &str) -> Option<u32> {
    let line = text.lines().find(|line| line.split(':').next() == Some(name));
    match line {
        Some(line) => line.split(':').nth(2)?.parse().ok(),
        None if name == "root" => Some(0),
        None => name.parse().ok(),
    }
}
