//! How a path becomes what it shall be: written beside, checked, put in place at the next barrier.

use contract::Exit;

use super::apply::Apply;
use super::entry::{Entry, Node};
use super::host::Host;
use super::owned::{self};
use super::process::Process;
use super::tree::{Live, Place};
use super::undo::Undo;
use super::units::is_unit_file;
use crate::fault::{Fault, Outcome};

impl Apply<'_> {
    /// Remembers an entry as the owner's, with what is there now as its original.
    ///
    /// # Errors
    /// Those of the system.
    pub fn remember(&mut self, entry: &Entry) -> Outcome<()> {
        self.remember_at(entry, self.host.tree.place(&entry.path)?.as_ref())
    }

    fn remember_at(&mut self, entry: &Entry, place: Option<&Place>) -> Outcome<()> {
        let known = self.owned.get(entry.kind(), &entry.path).map(|thing| thing.original.clone());
        let original = match known {
            Some(original) => original,
            None => owned::original(self.host, place)?,
        };
        let (sha256, data) = match &entry.node {
            Node::File { content, keep_existing, .. } => {
                let live = place.filter(|_| *keep_existing).map_or(Ok(None), Place::read)?;
                (Some(live.map_or_else(|| content.sha256.clone(), |bytes| super::sha256(&bytes))), false)
            }
            Node::Symlink(target) => (Some(format!("link {target}")), false),
            Node::Directory { data, .. } => (None, *data),
        };
        self.own(entry.kind(), &entry.path, sha256, data, original);
        Ok(())
    }

    /// Makes a path what it shall be, and the owner's. Files take their place at the next barrier.
    ///
    /// # Errors
    /// 65 where a validator says no, and those of the system.
    pub fn place(&mut self, entry: &Entry) -> Outcome<()> {
        let place = self.host.tree.place(&entry.path)?;
        self.remember_at(entry, place.as_ref())?;
        self.place_at(entry, place)
    }

    /// The same for what stays when the owner leaves.
    ///
    /// # Errors
    /// As [`Apply::place`].
    pub fn place_unowned(&mut self, entry: &Entry) -> Outcome<()> {
        self.place_at(entry, self.host.tree.place(&entry.path)?)
    }

    fn place_at(&mut self, entry: &Entry, place: Option<Place>) -> Outcome<()> {
        if entry.compare_at(self.host, place.as_ref())?.op.is_none() {
            return Ok(());
        }
        let place = match place {
            Some(place) => place,
            None => {
                self.make_parents(&entry.path)?;
                self.host.tree.place(&entry.path)?.ok_or_else(|| {
                    Fault::new(Exit::TryAgain, "moved", "the directory went away while it was worked on")
                        .place(&entry.path)
                })?
            }
        };
        match &entry.node {
            Node::Directory { access, .. } => {
                let owner = entry.owner(self.host, access)?;
                match place.look()? {
                    Live::Directory(live) => {
                        let (mode, uid, gid) = (live.mode, live.uid, live.gid);
                        self.run.note(&Undo::Directory { path: entry.path.clone(), mode, uid, gid })?;
                        place.set_attributes(access.mode, owner)?;
                    }
                    _ => {
                        self.run.note(&Undo::DirectoryMade { path: entry.path.clone() })?;
                        place.make_directory(access.mode, owner)?;
                    }
                }
                self.record_owner(entry);
            }
            Node::File { content, access, validate, .. } => {
                let owner = entry.owner(self.host, access)?;
                let bytes = match &content.bytes {
                    Some(bytes) => bytes.clone(),
                    // Only mode or owner differ: the bytes are there already.
                    None => {
                        place.read()?.filter(|live| super::sha256(live) == content.sha256).unwrap_or_default().into()
                    }
                };
                if super::sha256(&bytes) != content.sha256 {
                    return Err(Fault::new(Exit::Bug, "bytes_missing", "the bytes of the file were not sent along")
                        .place(&entry.path));
                }
                let temporary = self.temporary_name(&place.name);
                let file = place.write_beside(&temporary, &bytes, access.mode, owner)?;
                if !validate.is_empty()
                    && !self.host.sandbox
                    && let Err(fault) = run_validator(self.host, entry, validate, &temporary)
                {
                    place.unlink_beside(&temporary);
                    return Err(fault);
                }
                self.batch.add_file(place, temporary, file, &content.sha256);
                self.record_owner(entry);
                self.manager_is_stale |= is_unit_file(&entry.path);
            }
            Node::Symlink(target) => {
                let temporary = self.temporary_name(&place.name);
                place.link_beside(&temporary, target)?;
                self.batch.add_link(place, temporary, target);
                self.manager_is_stale |= is_unit_file(&entry.path);
            }
        }
        if self.batch.is_large() {
            self.barrier()?;
        }
        Ok(())
    }

    /// A temporary name that ends as the real one, because some validators look at that.
    pub(super) fn temporary_name(&mut self, name: &str) -> String {
        let temporary = self.batch.temporary_name(&self.run.record.id);
        if name.len() + temporary.len() < 250 { format!("{temporary}-{name}") } else { temporary }
    }

    pub(super) fn record_owner(&self, entry: &Entry) {
        if let (Node::File { access, .. } | Node::Directory { access, .. }, true) = (&entry.node, self.host.sandbox) {
            self.host.record_owner(&entry.path, Some((access.owner.clone(), access.group.clone())));
        }
    }

    /// Directories on the way that nobody declared are root's.
    pub(super) fn make_parents(&mut self, path: &str) -> Outcome<()> {
        let Some((parent, _)) = path.rsplit_once('/') else { return Ok(()) };
        if parent.is_empty() || self.host.tree.look(parent)? != Live::Absent {
            return Ok(());
        }
        self.make_parents(parent)?;
        if let Some(place) = self.host.tree.place(parent)? {
            self.run.note(&Undo::DirectoryMade { path: parent.into() })?;
            place.make_directory(0o755, None)?;
        }
        Ok(())
    }
}

fn run_validator(host: &Host, entry: &Entry, validate: &[String], temporary: &str) -> Outcome<()> {
    let parent = entry.path.rsplit_once('/').map_or("", |(parent, _)| parent);
    let path = host.tree.real(&format!("{parent}/{temporary}"));
    let argv: Vec<String> = validate.iter().map(|arg| arg.replace("%s", &path.to_string_lossy())).collect();
    let ended = Process::new(&argv).run()?;
    if ended.good() {
        return Ok(());
    }
    let said = ended.last_words().replace(&*path.to_string_lossy(), &entry.path);
    Err(Fault::new(
        Exit::BadDocument,
        "validator_failed",
        format!("`{}` refuses the new file; the old one stays", validate.join(" ")),
    )
    .place(&entry.path)
    .cause(said))
}
