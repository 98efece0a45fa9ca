//! How a thing that is no longer declared is taken away, or given back to whom it belonged before.

use contract::document::{ChangeStatus, Handler, HostChangeResult, OwnedThing};

use super::apply::Apply;
use super::handlers::{self};
use super::item::{disable_unit, remove_account, remove_image, remove_key, remove_mount};
use super::owned::{self};
use super::removal::Removal;
use super::tree::Live;
use super::undo::Undo;
use super::units::is_unit_file;
use crate::fault::{Fault, Outcome};
use crate::wire::Reply;

impl Apply<'_> {
    pub(super) fn remove(&mut self, removal: &Removal, after: Vec<Handler>) -> Outcome<()> {
        let thing = &removal.thing;
        self.run.tell(&Reply::Progress(format!("remove {} {}", thing.kind, thing.name)));
        let done = self.remove_thing(thing);
        let (status, message) = match &done {
            Ok(message) => (ChangeStatus::Done, message.clone()),
            Err(fault) => (ChangeStatus::Failed, Some(fault.to_string())),
        };
        self.results.push(HostChangeResult {
            item: "-".into(),
            kind: thing.kind.clone(),
            op: removal.op,
            name: thing.name.clone(),
            status,
            message,
        });
        done?;
        self.owned.remove(&thing.kind, &thing.name);
        handlers::add(&mut self.due, &after, "-");
        Ok(())
    }

    /// Takes a thing away; what a person should know of it is told.
    fn remove_thing(&mut self, thing: &OwnedThing) -> Outcome<Option<String>> {
        if thing.kind == "image" {
            return remove_image(self, &thing.name);
        }
        self.remove_plain(thing).map(|()| None)
    }

    fn remove_plain(&mut self, thing: &OwnedThing) -> Outcome<()> {
        match thing.kind.as_str() {
            "unit" => disable_unit(self, &thing.name),
            "mount" => remove_mount(self, thing),
            "file" | "symlink" => {
                self.manager_is_stale |= is_unit_file(&thing.name);
                self.give_back(thing)
            }
            "directory" => self.remove_directory(thing),
            "authorized_key" => {
                self.barrier()?;
                if let Some(entry) = remove_key(self.host, &thing.name)? {
                    self.place_unowned(&entry)?;
                }
                self.barrier()
            }
            "user" | "group" => {
                self.barrier()?;
                remove_account(self, &thing.kind, &thing.name)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn give_back(&mut self, thing: &OwnedThing) -> Outcome<()> {
        let Some(place) = self.host.tree.place(&thing.name)? else { return Ok(()) };
        if let Some(saved) = &thing.original.saved {
            let bytes = owned::original_bytes(self.host, &saved.sha256)?;
            let owner = (!self.host.sandbox).then_some((saved.uid, saved.gid));
            let temporary = self.temporary_name(&place.name);
            let file = place.write_beside(&temporary, &bytes, saved.mode.bits(), owner)?;
            self.batch.add_file(place, temporary, file, &saved.sha256);
        } else if let Some(target) = &thing.original.link {
            let temporary = self.temporary_name(&place.name);
            place.link_beside(&temporary, target)?;
            self.batch.add_link(place, temporary, target);
        } else {
            let live = place.look()?;
            let before = self.run.back_up(&place, &live)?;
            self.run.note(&Undo::Path { path: thing.name.clone(), before, after: None })?;
            self.run.sync()?;
            place.unlink()?;
            place.sync()?;
        }
        if self.host.sandbox {
            self.host.record_owner(&thing.name, None);
        }
        Ok(())
    }

    pub(super) fn remove_directory(&mut self, thing: &OwnedThing) -> Outcome<()> {
        self.barrier()?;
        let Some(place) = self.host.tree.place(&thing.name)? else { return Ok(()) };
        let Live::Directory(live) = place.look()? else { return Ok(()) };
        if thing.data {
            self.never_undone("directory", &thing.name, "data that was dropped by consent is gone")?;
            let path = self.host.tree.real(&thing.name);
            return std::fs::remove_dir_all(&path).map_err(|error| Fault::io("take away", &thing.name, &error));
        }
        self.run.note(&Undo::Directory { path: thing.name.clone(), mode: live.mode, uid: live.uid, gid: live.gid })?;
        // Something may have come into it since it was looked at: then it stays.
        place.remove_directory()?;
        if self.host.sandbox {
            self.host.record_owner(&thing.name, None);
        }
        Ok(())
    }
}
