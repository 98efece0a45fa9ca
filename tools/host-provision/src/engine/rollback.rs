//! Putting everything back, newest change first.

use std::collections::BTreeSet;

use contract::Exit;
use contract::document::{ChangeStatus, HostKept, HostResult, Outcome as End};

use super::access::{restore_firewall, restore_listener};
use super::batch::state_of;
use super::guard;
use super::handlers::run_again;
use super::host::Host;
use super::item::{View, restore_enablement, restore_unit};
use super::plan::ordered;
use super::run::{Run, Stand};
use super::tree::Live;
use super::undo::{Before, Undo};
use super::units::{UnitKey, systemctl};
use crate::fault::{Fault, Outcome};
use crate::wire::Work;

/// Undoes a run whose result is being written: what it did becomes `rolled_back`.
pub fn undo_into(host: &Host, run: &mut Run, work: &Work, result: &mut HostResult) {
    let faults = undo(host, run, work, Manner::Force, &mut result.kept);
    result.outcome = if faults.is_empty() { End::RolledBack } else { End::NotRestored };
    for change in result.changes.iter_mut().filter(|change| change.status == ChangeStatus::Done) {
        let stays = result.kept.iter().any(|kept| kept.kind == change.kind && kept.name == change.name);
        if !stays {
            change.status = ChangeStatus::RolledBack;
        }
    }
    result.warnings.extend(faults.iter().map(|fault| {
        let place = fault.object().place.clone().unwrap_or_default();
        format!("not put back: {place}: {fault}")
    }));
}

/// Whether what others changed meanwhile is put back too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It is: the run is not over, nobody had a reason to touch it.
    Force,
    /// It is kept and reported.
    Careful,
    /// As `Force`, before services are started: no unit is touched.
    AtBoot,
}

/// Undoes a run.
pub fn undo(host: &Host, run: &mut Run, work: &Work, manner: Manner, kept: &mut Vec<HostKept>) -> Vec<Fault> {
    let mut faults = Vec::new();
    sweep(host, run, work);
    // A full disk may be why we are here.
    run.release();
    let notes = run.notes();
    let mut units: Vec<(UnitKey, super::units::UnitStatus)> = Vec::new();
    let mut firewall = None;
    let mut pulled = Vec::new();
    if manner != Manner::AtBoot && notes.iter().any(|note| matches!(note, Undo::Mount { .. })) {
        // What this run started may use what it mounted.
        for note in &notes {
            if let Undo::Unit { key, before } = note
                && !before.is_active()
            {
                // Its state is looked at again below.
                let _ = key.systemctl(&["stop", "--", &key.name]).run();
            }
        }
    }
    let mut system = None;
    for note in notes.into_iter().rev() {
        match note {
            Undo::Unit { key, before } => units.push((key, before)),
            Undo::Firewall { backup } => firewall = Some(backup),
            Undo::ImagePulled { engine, reference } => pulled.push((engine, reference)),
            Undo::Nixos { running, boot } => system = Some((running, boot)),
            Undo::Never { kind, name, reason } => {
                if !kept.iter().any(|known| known.kind == kind && known.name == name) {
                    kept.push(HostKept { kind, name, reason });
                }
            }
            note => faults.extend(undo_one(host, run, note, manner, kept).err()),
        }
    }
    host.forget_accounts();
    host.forget_owners();
    if manner != Manner::AtBoot && !host.sandbox {
        // The firewall first: it may be what keeps the owner out.
        faults.extend(firewall.as_ref().and_then(|backup| restore_firewall(run, backup).err()));
        if let Some((running, boot)) = &system {
            faults.extend(super::item::restore_system(running, boot).err());
        }
        if host.has_systemd() {
            faults.extend(systemctl(None, &["daemon-reload"]).succeed().err());
            // Noted newest first, so that the last one for a unit is its state before the run.
            for index in 0..units.len() {
                let (key, before) = &units[index];
                if !units[index + 1..].iter().any(|(later, _)| later == key) {
                    faults.extend(restore_unit(key, before).err());
                }
            }
            faults.extend(run_again(host, &run.record.handlers, &work.desired.items));
            // A unit that stops may have taken tables of others along.
            faults.extend(firewall.as_ref().and_then(|backup| restore_firewall(run, backup).err()));
            faults.extend(run.record.listener.as_ref().and_then(|unit| restore_listener(unit).err()));
        }
        // Nothing runs them any more.
        for (engine, reference) in pulled {
            super::item::forget_image(engine, &reference);
        }
    }
    // A system that was only activated is gone with the reboot; one that became the boot default is put back.
    if let (Manner::AtBoot, Some((_, boot))) = (manner, &system) {
        faults.extend(super::item::restore_boot(boot).err());
    }
    if manner == Manner::AtBoot {
        // systemd has not begun with them; only what it starts at the next boot is put back.
        for (index, (key, before)) in units.iter().enumerate() {
            if key.user.is_none() && !units[index + 1..].iter().any(|(later, _)| later == key) {
                faults.extend(restore_enablement(key, before).err());
            }
        }
    }
    host.forget_units();
    faults
}

/// Takes away what a killed worker wrote beside the places of its files.
fn sweep(host: &Host, run: &Run, work: &Work) {
    let blobs = crate::blobs::Blobs::default();
    let view = View { host, work, blobs: &blobs };
    let mark = format!(".plumbline-{}.", run.record.id);
    let mut parents: BTreeSet<String> = BTreeSet::new();
    for (_, kind) in ordered(&work.desired).unwrap_or_default() {
        // What cannot be said any more was not written either.
        let entries = kind.entries(view).unwrap_or_default();
        parents.extend(entries.iter().filter_map(|entry| Some(entry.path.rsplit_once('/')?.0.to_owned())));
    }
    for parent in parents {
        for entry in std::fs::read_dir(host.tree.real(&parent)).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&mark) {
                // A leftover takes room and does no harm.
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

fn undo_one(host: &Host, run: &Run, note: Undo, manner: Manner, kept: &mut Vec<HostKept>) -> Outcome<()> {
    match note {
        Undo::Path { path, before, after } => undo_path(host, run, &path, before, after.as_ref(), manner, kept),
        Undo::DirectoryMade { path } => {
            let Some(place) = host.tree.place(&path)? else { return Ok(()) };
            if matches!(place.look()?, Live::Directory(_)) && !place.remove_directory()? {
                kept.push(HostKept { kind: "directory".into(), name: path, reason: "it is not empty".into() });
            }
            Ok(())
        }
        Undo::Directory { path, mode, uid, gid } => {
            let Some(place) = host.tree.place(&path)? else { return Ok(()) };
            let owner = (!host.sandbox).then_some((uid, gid));
            match place.look()? {
                Live::Absent => place.make_directory(mode, owner),
                Live::Directory(_) => place.set_attributes(mode, owner),
                _ => Ok(()),
            }
        }
        Undo::State { path, backup } => match backup {
            Some(name) => host.write_state(&path, &run.backup(&name)?),
            None => match std::fs::remove_file(host.tree.real(&path)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Fault::io("take away", path, &error)),
                _ => Ok(()),
            },
        },
        Undo::Hostname { name } => super::item::set_kernel_name(&name),
        Undo::Mount { path, mounted } => {
            if host.has_systemd() {
                // Units of mounts are made from fstab, which is back already.
                systemctl(None, &["daemon-reload"]).run()?;
            }
            super::item::restore_mount(host, &path, mounted)
        }
        // Images are no matter of the boot: their engine does not run yet.
        Undo::ImageTag { .. } | Undo::ImageGone { .. } if manner == Manner::AtBoot => Ok(()),
        Undo::ImageTag { engine, reference, id } => super::item::restore_tag(engine, &reference, &id),
        Undo::ImageGone { engine, reference } => super::item::restore_image(engine, &reference),
        Undo::Account { name, backup } => super::account_undo::restore(host, run, &name, &backup),
        Undo::Unit { .. }
        | Undo::Firewall { .. }
        | Undo::Nixos { .. }
        | Undo::ImagePulled { .. }
        | Undo::Never { .. } => Ok(()),
    }
}

fn undo_path(
    host: &Host,
    run: &Run,
    path: &str,
    before: Before,
    after: Option<&String>,
    manner: Manner,
    kept: &mut Vec<HostKept>,
) -> Outcome<()> {
    let Some(place) = host.tree.place(path)? else { return Ok(()) };
    let live = state_of(Some(&place))?;
    if manner == Manner::Careful && live.as_ref() != after {
        let reason = "it was changed by others after the run".into();
        kept.push(HostKept { kind: "file".into(), name: path.into(), reason });
        return Ok(());
    }
    let temporary = format!(".plumbline-{}.back", run.record.id);
    match before {
        Before::Absent => {
            place.unlink()?;
        }
        Before::File { backup, mode, uid, gid } => {
            place.unlink_beside(&temporary);
            let owner = (!host.sandbox).then_some((uid, gid));
            if place.link_from(&run.backup_path(&backup), &temporary) {
                // The very file that was there: it needs no room on a disk that may be full.
                place.rename_from(&temporary)?;
                // Where it never went away, both are names of one file and the second one stays.
                place.unlink_beside(&temporary);
                place.set_attributes(mode, owner)?;
            } else {
                let file = place.write_beside(&temporary, &run.backup(&backup)?, mode, owner)?;
                rustix::fs::fsync(&file).map_err(|error| Fault::errno("make durable", path, error))?;
                place.rename_from(&temporary)?;
            }
        }
        Before::Link(target) => {
            place.unlink_beside(&temporary);
            place.link_beside(&temporary, &target)?;
            place.rename_from(&temporary)?;
        }
    }
    place.sync()
}

/// Puts a finished or waiting run back, and says so in its result.
///
/// # Errors
/// 76 for a run that is not the latest one or was put back before.
pub fn roll_back(host: &Host, run: &mut Run, work: &Work, reason: Option<&str>, manner: Manner) -> Outcome<HostResult> {
    let id = run.record.id.clone();
    if matches!(run.record.stand, Stand::RolledBack) {
        return Err(Fault::new(Exit::Refused, "rolled_back_before", format!("the run {id} was put back already")));
    }
    if Run::is_followed(host, &id) {
        return Err(Fault::new(
            Exit::Refused,
            "not_the_latest",
            format!("the run {id} is not the latest one of the host"),
        )
        .hint("a run can be put back until the next apply; apply an older document instead"));
    }
    let begun = std::time::Instant::now();
    let mut result = run.record.result.clone().unwrap_or_else(|| HostResult {
        host: run.record.host.clone(),
        owner: run.record.owner.clone(),
        run: Some(id.clone()),
        outcome: End::Interrupted,
        changed: true,
        summary: contract::Summary::default(),
        changes: Vec::new(),
        orphaned: Vec::new(),
        kept: Vec::new(),
        access_proof: None,
        error: None,
        warnings: Vec::new(),
        ms: 0,
    });
    let faults = undo(host, run, work, manner, &mut result.kept);
    for change in result.changes.iter_mut().filter(|change| change.status == ChangeStatus::Done) {
        let stays = result.kept.iter().any(|kept| kept.kind == change.kind && kept.name == change.name);
        if !stays {
            change.status = ChangeStatus::RolledBack;
        }
    }
    result.outcome = if faults.is_empty() { End::RolledBack } else { End::NotRestored };
    super::apply::count(&mut result);
    result.changed = true;
    result.access_proof = None;
    result.warnings.extend(faults.iter().map(|fault| {
        let place = fault.object().place.clone().unwrap_or_default();
        format!("not put back: {place}: {fault}")
    }));
    if let Some(reason) = reason {
        result.error = Some(Fault::new(Exit::Partial, "rolled_back", reason).into_object());
    }
    result.ms = begun.elapsed().as_millis() as u64;
    let stand = if faults.is_empty() { Stand::RolledBack } else { Stand::NotRestored };
    guard::disarm(host, run);
    run.finish(stand, result.clone())?;
    Ok(result)
}
