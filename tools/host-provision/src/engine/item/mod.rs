//! The kinds of items. Each knows how to see what is different and how to change it; most come down to files.

mod account;
mod account_batch;
mod account_files;
mod apt;
mod authorized_keys;
mod command;
mod image;
mod mount;
mod nixos;
mod openpgp;
mod packages;
mod path;
mod system;
mod unit;

use contract::Exit;
use contract::document::{File, HostItem, Op};

use super::apply::Apply;
use super::entry::{Content, Difference, Entry};
use super::host::Host;
use crate::blobs::Blobs;
use crate::fault::{Fault, Outcome};
use crate::wire::Work;

pub use account::remove as remove_account;
pub use account_batch::make_ahead;
pub use authorized_keys::{home_of, key_of, remove_key};
pub use command::{is_due, run as run_command};
pub use image::{
    SUPERSEDED, forget as forget_image, observed as image_observed, restore as restore_image, restore_tag,
    same_repository, take_away as remove_image,
};
pub use mount::{Leaving, leaving as leaving_mount, restore as restore_mount, take_away as remove_mount};
pub use nixos::{make_boot_default, restore_boot, restore_system, still_fetches};
pub(crate) use system::set_kernel_name;
pub use unit::{disable as disable_unit, key_of as unit_key, restore as restore_unit, restore_enablement};

/// What items are seen against.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The host.
    pub host: &'a Host,
    /// All that shall be done.
    pub work: &'a Work,
    /// Bytes of the files that the document names.
    pub blobs: &'a Blobs,
}

/// A thing that an item places and that its owner is remembered for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Thing {
    /// Its kind.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
}

/// One kind of item.
pub trait Kind {
    /// Its word in plans.
    fn label(&self) -> &'static str;

    /// The thing itself: a path, a unit, a user.
    fn name(&self) -> String;

    /// It needs a running system; a sandbox leaves it out.
    fn needs_system(&self) -> bool {
        false
    }

    /// What of it a sandbox leaves out, where that is not all.
    fn left_out(&self) -> Option<&'static str> {
        None
    }

    /// The files that it comes down to.
    ///
    /// # Errors
    /// 65 for something that the host lacks.
    fn entries(&self, _view: View<'_>) -> Outcome<Vec<Entry>> {
        Ok(Vec::new())
    }

    /// What its owner is remembered for.
    ///
    /// # Errors
    /// As [`Kind::entries`].
    fn things(&self, view: View<'_>) -> Outcome<Vec<Thing>> {
        Ok(self.entries(view)?.into_iter().map(|entry| Thing { kind: entry.kind(), name: entry.path }).collect())
    }

    /// What is different.
    ///
    /// # Errors
    /// 76 for what is not safe to change, and those of the system.
    fn observe(&self, view: View<'_>) -> Outcome<Difference> {
        let mut all = Difference::default();
        for entry in self.entries(view)? {
            all.merge(entry.compare(view.host)?);
        }
        Ok(all)
    }

    /// Makes it so.
    ///
    /// # Errors
    /// Those of the system.
    fn converge(&self, apply: &mut Apply<'_>) -> Outcome<()> {
        for entry in self.entries(apply.view())? {
            apply.place(&entry)?;
        }
        Ok(())
    }

    /// Remembers what is as it shall be already.
    ///
    /// # Errors
    /// Those of the system.
    fn remember(&self, apply: &mut Apply<'_>) -> Outcome<()> {
        for entry in self.entries(apply.view())? {
            apply.remember(&entry)?;
        }
        Ok(())
    }
}

impl Difference {
    /// This and another one, as one.
    pub fn merge(&mut self, other: Difference) {
        self.op = match (self.op, other.op) {
            (None, op) | (op, None) => op,
            (Some(a), Some(b)) if a == b => Some(a),
            _ => Some(Op::Update),
        };
        for why in other.why {
            if !self.why.contains(&why) {
                self.why.push(why);
            }
        }
        self.diff = match (self.diff.take(), other.diff) {
            (Some(a), Some(b)) => Some(a + &b),
            (a, b) => a.or(b),
        };
        self.redacted |= other.redacted;
        self.observed.push_str(&other.observed);
        self.observed.push('\n');
    }
}

/// The kind of an item.
///
/// # Errors
/// 65 for an item that names no kind or several.
pub fn kind_of(item: &HostItem) -> Outcome<Box<dyn Kind + '_>> {
    let mut kinds: Vec<Box<dyn Kind + '_>> = Vec::new();
    if let Some(it) = &item.hostname {
        kinds.push(Box::new(system::HostnameKind(it)));
    }
    if let Some(it) = &item.timezone {
        kinds.push(Box::new(system::TimezoneKind(it)));
    }
    if let Some(it) = &item.locale {
        kinds.push(Box::new(system::LocaleKind(it)));
    }
    if let Some(it) = &item.apt_repository {
        kinds.push(Box::new(apt::AptRepositoryKind(it)));
    }
    if let Some(it) = &item.packages {
        kinds.push(Box::new(packages::PackagesKind(it)));
    }
    if let Some(it) = &item.group {
        kinds.push(Box::new(account::GroupKind(it)));
    }
    if let Some(it) = &item.user {
        kinds.push(Box::new(account::UserKind(it)));
    }
    if let Some(it) = &item.authorized_keys {
        kinds.push(Box::new(authorized_keys::AuthorizedKeysKind(it)));
    }
    if let Some(it) = &item.directory {
        kinds.push(Box::new(path::DirectoryKind(it)));
    }
    if let Some(it) = &item.file {
        kinds.push(Box::new(path::FileKind(it)));
    }
    if let Some(it) = &item.symlink {
        kinds.push(Box::new(path::SymlinkKind(it)));
    }
    if let Some(it) = &item.tool {
        kinds.push(Box::new(path::ToolKind(it)));
    }
    if let Some(it) = &item.command {
        kinds.push(Box::new(command::CommandKind(it)));
    }
    if let Some(it) = &item.unit {
        kinds.push(Box::new(unit::UnitKind(it)));
    }
    if let Some(it) = &item.mount {
        kinds.push(Box::new(mount::MountKind(it)));
    }
    if let Some(it) = &item.image {
        kinds.push(Box::new(image::ImageKind(it)));
    }
    if let Some(it) = &item.nixos {
        kinds.push(Box::new(nixos::NixosKind(it)));
    }
    match kinds.pop() {
        Some(kind) if kinds.is_empty() => Ok(kind),
        _ => Err(Fault::new(Exit::BadDocument, "item_kind", "an item names exactly one kind")
            .place(format!("item {}", item.id))),
    }
}

/// The bytes of a file item.
///
/// # Errors
/// 65 for base64 that is none, 66 for bytes that were not sent along.
pub fn content(file: &File, blobs: &Blobs) -> Outcome<Content> {
    if let Some(text) = &file.content {
        return Ok(Content::new(text.as_bytes()));
    }
    if let Some(text) = &file.content_base64 {
        use base64::Engine as _;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).map_err(|_| {
            Fault::new(Exit::BadDocument, "bad_base64", "content_base64 is no base64").place(&file.path)
        })?;
        return Ok(Content::new(bytes));
    }
    let Some(sha256) = &file.sha256 else {
        return Err(Fault::new(Exit::BadDocument, "no_content", "the file has no content").place(&file.path));
    };
    Ok(Content { sha256: sha256.clone(), bytes: blobs.get(sha256) })
}
