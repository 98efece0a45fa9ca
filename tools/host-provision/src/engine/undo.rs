//! How the changes of a run are undone: the lines of its journal.

use serde::{Deserialize, Serialize};

use super::units::{UnitKey, UnitStatus};

/// How one change is undone. Written before the change is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// A file or link is replaced or taken away.
    Path {
        /// Where.
        path: String,
        /// What was there.
        before: Before,
        /// What will be there: the hash of the bytes, `link TARGET`, or nothing.
        after: Option<String>,
    },
    /// A directory is made.
    DirectoryMade {
        /// Where.
        path: String,
    },
    /// A directory is taken away, or its mode and owner change.
    Directory {
        /// Where.
        path: String,
        /// Its mode before.
        mode: u32,
        /// Its owner before.
        uid: u32,
        /// Its group before.
        gid: u32,
    },
    /// A unit is enabled, disabled, started, stopped or masked.
    Unit {
        /// Which.
        key: UnitKey,
        /// Its state before.
        before: UnitStatus,
    },
    /// One of our own documents, as it was before the run.
    State {
        /// Where.
        path: String,
        /// Its bytes; none if it was not there.
        backup: Option<String>,
    },
    /// The kernel's host name.
    Hostname {
        /// It before.
        name: String,
    },
    /// A file system is mounted, unmounted, or mounted with other options.
    Mount {
        /// Where.
        path: String,
        /// Whether something was mounted there.
        mounted: bool,
    },
    /// A tag comes to name another image.
    ImageTag {
        /// Of which engine.
        engine: contract::document::Engine,
        /// The tag.
        reference: String,
        /// The image that it named.
        id: String,
    },
    /// An image is pulled that was not there.
    ImagePulled {
        /// Of which engine.
        engine: contract::document::Engine,
        /// Which.
        reference: String,
    },
    /// An image is taken away.
    ImageGone {
        /// Of which engine.
        engine: contract::document::Engine,
        /// Which.
        reference: String,
    },
    /// The nftables ruleset.
    Firewall {
        /// The tables before, each with its listing.
        backup: String,
    },
    /// Another NixOS system is activated.
    Nixos {
        /// The store path of the one that ran before.
        running: String,
        /// The store path that was the boot default before.
        boot: String,
    },
    /// An account is changed or taken away.
    Account {
        /// Its name.
        name: String,
        /// Its lines before, in the backup.
        backup: String,
    },
    /// Something that is not undone.
    Never {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
}

/// What was at a path before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Before {
    /// Nothing.
    Absent,
    /// A file, whose bytes lie in the run's backup.
    File {
        /// Name in the backup.
        backup: String,
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// A link and its target.
    Link(String),
}
