//! What an owner placed earlier and no longer declares.

use std::collections::BTreeSet;

use contract::document::{Handler, HostDesired, HostKept, HostOrphan, Op, OwnedThing};

use super::batch::state_of;
use super::item::{
    Leaving, SUPERSEDED, Thing, View, image_observed, leaving_mount, remove_key, same_repository, unit_key,
};
use super::owned::Owned;
use super::tree::Live;
use crate::fault::Outcome;

/// What is to be removed, in order, and what is not.
#[derive(Debug, Default)]
pub(super) struct Removals {
    pub(super) due: Vec<Removal>,
    pub(super) orphaned: Vec<HostOrphan>,
    pub(super) kept: Vec<HostKept>,
    /// Things of ours that are not there any more.
    pub(super) gone: Vec<(String, String)>,
    /// Images that others took over from, and that are kept for a rollback.
    pub(super) superseded: Vec<OwnedThing>,
}

/// One thing to be removed or given back.
#[derive(Debug, Clone)]
pub(super) struct Removal {
    pub(super) thing: OwnedThing,
    pub(super) op: Op,
    pub(super) why: String,
    pub(super) observed: String,
}

impl Removals {
    /// What a removal is followed by, without what would act on units and commands that go away themselves.
    pub(super) fn handlers_of(&self, thing: &OwnedThing, desired: &HostDesired) -> Vec<Handler> {
        let goes = |handler: &Handler| {
            if let Some(id) = handler.0.strip_prefix("run:") {
                return !desired.items.iter().any(|item| item.id == id && item.command.is_some());
            }
            let unit = super::handlers::unit_of(handler).map(|(_, unit)| unit);
            unit.is_some_and(|unit| {
                self.due.iter().any(|removal| removal.thing.kind == "unit" && unit_key(&removal.thing.name) == unit)
            })
        };
        thing.notify.iter().filter(|handler| !goes(handler)).cloned().collect()
    }
}

/// Looks at everything that is owned and not declared.
pub(super) fn removals(view: View<'_>, owned: &Owned, declared: &BTreeSet<Thing>) -> Outcome<Removals> {
    let mut all = Removals::default();
    if view.work.desired.partial {
        return Ok(all);
    }
    let is_declared =
        |thing: &OwnedThing| declared.iter().any(|known| known.kind == thing.kind && known.name == thing.name);
    let mut undeclared: Vec<&OwnedThing> = owned.things().filter(|thing| !is_declared(thing)).collect();
    // Units before their files, directories last and the deepest of them first.
    undeclared.sort_by_key(|thing| {
        let rank = match thing.kind.as_str() {
            "unit" => 0,
            // Before the files that may lie in it, or that its engine needs.
            "mount" | "image" => 1,
            "directory" => 3,
            _ => 2,
        };
        (rank, std::cmp::Reverse(if rank == 3 { thing.name.matches('/').count() } else { 0 }), thing.name.clone())
    });
    for thing in undeclared {
        look(view, thing, owned, declared, &mut all)?;
    }
    Ok(all)
}

fn look(
    view: View<'_>,
    thing: &OwnedThing,
    owned: &Owned,
    declared: &BTreeSet<Thing>,
    all: &mut Removals,
) -> Outcome<()> {
    let key = (thing.kind.clone(), thing.name.clone());
    let mut due = |op: Op, why: &str, observed: String| {
        all.due.push(Removal { thing: thing.clone(), op, why: why.into(), observed });
    };
    let consents = |kind: &str| view.work.allow.contains(&format!("drop:{kind}/{}", thing.name));
    match thing.kind.as_str() {
        "file" | "symlink" => {
            let place = view.host.tree.place(&thing.name)?;
            let live = state_of(place.as_ref())?;
            // The path changed its kind: the item of the other kind takes it over.
            let taken =
                declared.iter().any(|known| known.name == thing.name && matches!(known.kind, "file" | "symlink"));
            match live {
                None => all.gone.push(key),
                _ if taken => all.gone.push(key),
                Some(state) if Some(&state) != thing.sha256.as_ref() => {
                    let reason = "no longer declared, but changed by others since it was placed".into();
                    all.kept.push(HostKept { kind: key.0, name: key.1, reason });
                }
                Some(state) if thing.original.saved.is_some() || thing.original.link.is_some() => {
                    due(Op::Update, "no longer declared: gets its original back", state);
                }
                Some(state) => due(Op::Delete, "no longer declared", state),
            }
        }
        "directory" => match view.host.tree.look(&thing.name)? {
            Live::Directory(_) if thing.original.absent.is_none() => all.gone.push(key),
            Live::Directory(_) if thing.data && consents("directory") => {
                due(Op::Delete, "no longer declared, removed with all that is in it", "data".into());
            }
            Live::Directory(_) if thing.data => orphan(all, thing, "directory"),
            Live::Directory(_) => {
                let stays = left_inside(view, &thing.name, all);
                match stays {
                    Some(name) => {
                        let reason = format!("no longer declared, but not empty: {name}");
                        all.kept.push(HostKept { kind: key.0, name: key.1, reason });
                    }
                    None => all.due.push(Removal {
                        thing: thing.clone(),
                        op: Op::Delete,
                        why: "no longer declared".into(),
                        observed: "directory".into(),
                    }),
                }
            }
            _ => all.gone.push(key),
        },
        "unit" if view.host.sandbox => all.gone.push(key),
        "unit" => {
            let unit = unit_key(&thing.name);
            let status = view.host.units(std::slice::from_ref(&unit))?.pop().unwrap_or_default();
            let running = status.is_active() || status.file == "enabled";
            // A unit that ran before us (sshd) goes on without us.
            if running && thing.original.absent.is_some() {
                due(
                    Op::Delete,
                    "no longer declared: stopped and disabled",
                    format!("{} {}", status.active, status.file),
                );
            } else {
                all.gone.push(key);
            }
        }
        "mount" if view.host.sandbox => all.gone.push(key),
        "mount" => match leaving_mount(view.host, thing) {
            Leaving::Gone => all.gone.push(key),
            Leaving::Changed => {
                let reason = "no longer declared, but its line in fstab was changed by others".into();
                all.kept.push(HostKept { kind: key.0, name: key.1, reason });
            }
            Leaving::Ours { back: true, observed } => {
                due(Op::Update, "no longer declared: the mount from before comes back", observed);
            }
            Leaving::Ours { observed, .. } => due(Op::Delete, "no longer declared", observed),
        },
        "image" if view.host.sandbox => all.gone.push(key),
        "image" => image(thing, owned, declared, all),
        "authorized_key" => match remove_key(view.host, &thing.name)? {
            Some(_) if thing.original.absent.is_some() => due(Op::Delete, "no longer declared", "there".into()),
            _ => all.gone.push(key),
        },
        "user" | "group" => {
            let accounts = view.host.accounts();
            let there = accounts.user(&thing.name).is_some() || accounts.group(&thing.name).is_some();
            match there && thing.original.absent.is_some() && !view.host.sandbox {
                false => all.gone.push(key),
                true if consents(&thing.kind) => due(Op::Delete, "no longer declared", "there".into()),
                true => orphan(all, thing, &thing.kind),
            }
        }
        _ => {
            let reason = "no longer declared, and not known how to remove".into();
            all.kept.push(HostKept { kind: key.0, name: key.1, reason });
        }
    }
    Ok(())
}

/// The image that was used until now is kept for a rollback; the one before it goes, and so does one of a repository
/// that is not used at all any more.
fn image(thing: &OwnedThing, owned: &Owned, declared: &BTreeSet<Thing>, all: &mut Removals) {
    let key = (thing.kind.clone(), thing.name.clone());
    let is_old = thing.sha256.as_deref() == Some(SUPERSEDED);
    let is_used = declared.iter().any(|known| known.kind == "image" && same_repository(&known.name, &thing.name));
    let successor = declared.iter().any(|known| {
        known.kind == "image"
            && same_repository(&known.name, &thing.name)
            && owned.get("image", &known.name).is_none_or(|known| known.sha256.is_some())
    });
    if is_used && !is_old {
        all.superseded.push(OwnedThing { sha256: Some(SUPERSEDED.into()), ..thing.clone() });
        return;
    }
    if is_used && !successor {
        return;
    }
    match image_observed(thing) {
        Some(id) if thing.original.absent.is_some() => all.due.push(Removal {
            thing: thing.clone(),
            op: Op::Delete,
            why: "no longer declared".into(),
            observed: id,
        }),
        _ => all.gone.push(key),
    }
}

fn orphan(all: &mut Removals, thing: &OwnedThing, kind: &str) {
    let allow = format!("drop:{kind}/{}", thing.name);
    all.orphaned.push(HostOrphan { kind: thing.kind.clone(), name: thing.name.clone(), allow });
}

/// A name in a directory that will still be there after the removals.
fn left_inside(view: View<'_>, path: &str, all: &Removals) -> Option<String> {
    let entries = std::fs::read_dir(view.host.tree.real(path)).ok()?;
    entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).find(|name| {
        let inside = format!("{path}/{name}");
        !all.due.iter().any(|removal| removal.op == Op::Delete && removal.thing.name == inside)
    })
}
