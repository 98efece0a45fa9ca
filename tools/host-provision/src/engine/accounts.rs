//! Users and groups, read from passwd(5) and group(5): a static program has no name service.

use std::collections::BTreeMap;

use super::process;

/// Users and groups of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    users: BTreeMap<String, Account>,
    groups: BTreeMap<String, GroupLine>,
}

/// One line of passwd(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Number.
    pub uid: u32,
    /// Number of the primary group.
    pub gid: u32,
    /// Full name.
    pub comment: String,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
}

/// One line of group(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupLine {
    /// Number.
    pub gid: u32,
    /// Names of its further members.
    pub members: Vec<String>,
}

impl Accounts {
    /// From the texts of the two files. Lines that are none are passed over.
    pub fn parse(passwd: &str, group: &str) -> Self {
        let users = passwd.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, _, uid, gid, comment, home, shell] = fields[..] else { return None };
            let account = Account {
                uid: uid.parse().ok()?,
                gid: gid.parse().ok()?,
                comment: comment.into(),
                home: home.into(),
                shell: shell.into(),
            };
            Some((name.to_owned(), account))
        });
        let groups = group.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, _, gid, members] = fields[..] else { return None };
            let members = members.split(',').filter(|member| !member.is_empty()).map(str::to_owned).collect();
            Some((name.to_owned(), GroupLine { gid: gid.parse().ok()?, members }))
        });
        Self { users: users.collect(), groups: groups.collect() }
    }

    /// A user by name.
    pub fn user(&self, name: &str) -> Option<&Account> {
        self.users.get(name)
    }

    /// A group by name.
    pub fn group(&self, name: &str) -> Option<&GroupLine> {
        self.groups.get(name)
    }

    /// The number of a user given by name or number. Root is always there.
    pub fn uid(&self, name: &str) -> Option<u32> {
        let number = || name.parse().ok().or_else(|| (name == "root").then_some(0));
        self.users.get(name).map(|account| account.uid).or_else(number)
    }

    /// The number of a group given by name or number. Root's is always there.
    pub fn gid(&self, name: &str) -> Option<u32> {
        let number = || name.parse().ok().or_else(|| (name == "root").then_some(0));
        self.groups.get(name).map(|line| line.gid).or_else(number)
    }

    /// The name of a group by number.
    pub fn group_name(&self, gid: u32) -> Option<&str> {
        self.groups.iter().find(|(_, line)| line.gid == gid).map(|(name, _)| name.as_str())
    }

    /// Names of the groups in which a user is besides its primary one.
    pub fn groups_of(&self, user: &str) -> Vec<&str> {
        let member = |line: &GroupLine| line.members.iter().any(|member| member == user);
        self.groups.iter().filter(|(_, line)| member(line)).map(|(name, _)| name.as_str()).collect()
    }
}

/// Whether the host has the programs of shadow (Debian, Ubuntu); else the files are written by ourselves (busybox).
pub fn has_shadow() -> bool {
    process::is_there("useradd")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_files() {
        let accounts = Accounts::parse(
            "root:x:0:0:root:/root:/bin/bash\nbad line\napp:x:990:990::/srv/app:/usr/sbin/nologin\n",
            "root:x:0:\napp:x:990:\nwww-data:x:33:app,other\n",
        );
        assert_eq!(accounts.uid("app"), Some(990));
        assert_eq!(accounts.uid("1234"), Some(1234));
        assert_eq!(accounts.uid("nobody"), None);
        assert_eq!(accounts.groups_of("app"), ["www-data"]);
        assert_eq!(accounts.group_name(33), Some("www-data"));
        assert_eq!(Accounts::default().uid("root"), Some(0));
    }
}
