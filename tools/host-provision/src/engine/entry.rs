//! A file, directory or symbolic link as it shall be, and how that differs from what is there.

use std::sync::Arc;

use contract::Exit;
use contract::document::Op;

use super::diff::unified;
use super::hash::sha256;
use super::host::Host;
use super::tree::{Attributes, Live, Place};
use crate::fault::{Fault, Outcome};

/// A path and what shall be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Absolute path.
    pub path: String,
    /// What shall be there.
    pub node: Node,
}

/// What shall be at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A file.
    File {
        /// Its bytes.
        content: Content,
        /// Mode, owner and group.
        access: Access,
        /// A command line that checks it; `%s` is its temporary path.
        validate: Vec<String>,
        /// What is there already stays.
        keep_existing: bool,
    },
    /// A directory.
    Directory {
        /// Mode, owner and group.
        access: Access,
        /// Holds data that cannot be made again.
        data: bool,
    },
    /// A symbolic link to this target.
    Symlink(String),
}

/// Mode, owner and group as documents give them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Permission bits.
    pub mode: u32,
    /// Owner, by name or number.
    pub owner: String,
    /// Group, by name or number.
    pub group: String,
}

impl Access {
    /// Root's, with this mode.
    pub fn root(mode: u32) -> Self {
        Self { mode, owner: "root".into(), group: "root".into() }
    }
}

/// Bytes of a file. They may be known by their hash only, where the host has them already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Their hash.
    pub sha256: String,
    /// The bytes.
    pub bytes: Option<Arc<[u8]>>,
}

impl Content {
    /// Bytes that are at hand.
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        Self { sha256: sha256(&bytes), bytes: Some(bytes) }
    }
}

/// How a path differs from what shall be there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// What has to be done; nothing if it is as it shall be.
    pub op: Option<Op>,
    /// What is different.
    pub why: Vec<String>,
    /// Unified diff, where everybody may read both texts.
    pub diff: Option<String>,
    /// The content changes and is not for everybody.
    pub redacted: bool,
    /// What was observed, from which the fingerprint is made.
    pub observed: String,
}

impl Entry {
    /// A file of root's.
    pub fn file(path: &str, bytes: impl Into<Arc<[u8]>>, mode: u32) -> Self {
        let content = Content::new(bytes);
        let node = Node::File { content, access: Access::root(mode), validate: Vec::new(), keep_existing: false };
        Self { path: path.into(), node }
    }

    /// Kind of thing, as plans name it.
    pub fn kind(&self) -> &'static str {
        match self.node {
            Node::File { .. } => "file",
            Node::Directory { .. } => "directory",
            Node::Symlink(_) => "symlink",
        }
    }

    /// Compares with what is there.
    ///
    /// # Errors
    /// 76 for something that is not replaced (a directory in the place of a file), and those of the system.
    pub fn compare(&self, host: &Host) -> Outcome<Difference> {
        self.compare_at(host, host.tree.place(&self.path)?.as_ref())
    }

    /// Compares with what is at its place, if the directory is there.
    ///
    /// # Errors
    /// As [`Entry::compare`].
    pub fn compare_at(&self, host: &Host, place: Option<&Place>) -> Outcome<Difference> {
        let live = place.map_or(Ok(Live::Absent), Place::look)?;
        match (&self.node, &live) {
            (Node::File { keep_existing: true, .. }, Live::File(_) | Live::Symlink(_)) => {
                Ok(Difference { observed: "kept".into(), ..Difference::default() })
            }
            (_, Live::Absent) => {
                let diff = match &self.node {
                    Node::File { content, access, .. } if access.mode & 0o004 != 0 => {
                        content.bytes.as_deref().and_then(|bytes| unified(&self.path, b"", bytes))
                    }
                    _ => None,
                };
                let redacted = matches!(&self.node, Node::File { access, .. } if access.mode & 0o004 == 0);
                let why = vec!["missing".to_owned()];
                Ok(Difference { op: Some(Op::Create), why, diff, redacted, observed: "absent".into() })
            }
            (Node::File { content, access, .. }, Live::File(attributes)) => {
                let bytes = place.map_or(Ok(None), Place::read)?.unwrap_or_default();
                let hash = sha256(&bytes);
                let mut why = Vec::new();
                let mut shown = (None, false);
                if hash != content.sha256 {
                    why.push("content".to_owned());
                    let open = attributes.mode & access.mode & 0o004 != 0;
                    shown = match &content.bytes {
                        Some(new) if open => (unified(&self.path, &bytes, new), false),
                        _ => (None, !open),
                    };
                }
                self.compare_access(host, access, *attributes, &mut why);
                let observed = format!("file {hash} {}", self.describe(host, *attributes));
                let op = (!why.is_empty()).then_some(Op::Update);
                Ok(Difference { op, why, diff: shown.0, redacted: shown.1, observed })
            }
            (Node::Directory { access, .. }, Live::Directory(attributes)) => {
                let mut why = Vec::new();
                self.compare_access(host, access, *attributes, &mut why);
                let observed = format!("directory {}", self.describe(host, *attributes));
                let op = (!why.is_empty()).then_some(Op::Update);
                Ok(Difference { op, why, observed, ..Difference::default() })
            }
            (Node::Symlink(target), Live::Symlink(live)) => {
                let same = target == live;
                let why = if same { Vec::new() } else { vec!["target".to_owned()] };
                let op = (!same).then_some(Op::Update);
                Ok(Difference { op, why, observed: format!("link {live}"), ..Difference::default() })
            }
            // A link of ours takes the place of a plain file, whose bytes are saved; the other way round it may be a link
            // that another program manages.
            (Node::Symlink(_), Live::File(attributes)) => {
                let bytes = place.map_or(Ok(None), Place::read)?.unwrap_or_default();
                let observed = format!("file {} {}", sha256(&bytes), self.describe(host, *attributes));
                Ok(Difference {
                    op: Some(Op::Update),
                    why: vec!["is a file".into()],
                    observed,
                    ..Difference::default()
                })
            }
            (_, live) => Err(self.wrong_kind(live)),
        }
    }

    fn wrong_kind(&self, live: &Live) -> Fault {
        let (what, hint) = match live {
            Live::Symlink(target) if target.starts_with("/etc/static") || target.starts_with("/nix/") => (
                format!("a symbolic link to {target}: NixOS manages this path"),
                "declare it in the NixOS configuration instead",
            ),
            Live::Symlink(target) => {
                (format!("a symbolic link to {target}"), "name the path that it points to, or take the link away")
            }
            Live::Directory(_) => ("a directory".into(), "move it away, or choose another path"),
            Live::File(_) => ("a file".into(), "move it away, or choose another path"),
            _ => ("a device, pipe or socket".into(), "choose another path"),
        };
        let message = format!("a {} shall be here, but there is {what}", self.kind());
        Fault::new(Exit::Refused, "wrong_kind", message).place(&self.path).hint(hint)
    }

    fn compare_access(&self, host: &Host, wanted: &Access, live: Attributes, why: &mut Vec<String>) {
        if live.mode != wanted.mode {
            why.push("mode".into());
        }
        if host.sandbox {
            let recorded = host.recorded_owner(&self.path);
            if recorded != Some((wanted.owner.clone(), wanted.group.clone())) {
                why.push("owner".into());
            }
            return;
        }
        let accounts = host.accounts();
        if accounts.uid(&wanted.owner) != Some(live.uid) {
            why.push("owner".into());
        }
        if accounts.gid(&wanted.group) != Some(live.gid) {
            why.push("group".into());
        }
    }

    fn describe(&self, host: &Host, live: Attributes) -> String {
        if host.sandbox {
            let (owner, group) = host.recorded_owner(&self.path).unwrap_or_default();
            return format!("{:04o} {owner} {group}", live.mode);
        }
        format!("{:04o} {} {}", live.mode, live.uid, live.gid)
    }

    /// The numbers of owner and group; none in a sandbox, where nobody is made owner.
    ///
    /// # Errors
    /// 65 for a user or group that does not exist.
    pub fn owner(&self, host: &Host, access: &Access) -> Outcome<Option<(u32, u32)>> {
        if host.sandbox {
            return Ok(None);
        }
        let accounts = host.accounts();
        let missing = |what: &str, name: &str| {
            Fault::new(
                Exit::BadDocument,
                "unknown_account",
                format!("the {what} \"{name}\" does not exist on the host"),
            )
            .place(&self.path)
            .hint(format!("declare the {what} in an item before this one"))
        };
        let uid = accounts.uid(&access.owner).ok_or_else(|| missing("user", &access.owner))?;
        let gid = accounts.gid(&access.group).ok_or_else(|| missing("group", &access.group))?;
        Ok(Some((uid, gid)))
    }
}
