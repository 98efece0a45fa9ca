//! Making a host what a document says, with the way back noted before every step.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use contract::Exit;
use contract::document::{
    ChangeStatus, Handler, HostChange, HostChangeResult, HostItem, HostPlan, HostResult, Op, Original, Outcome as End,
    OwnedThing, Stage, Summary,
};

use super::access::Transition;
use super::batch::Batch;
use super::guard;
use super::handlers::{self, Handled};
use super::host::Host;
use super::item::{Kind, View, make_ahead};
use super::owned::Owned;
use super::plan::{Planned, in_item, ordered};
use super::process::Process;
use super::removal::Removal;
use super::run::{Run, Stand};
use super::undo::Undo;
use super::units::{UnitKey, last_log, show};
use crate::blobs::Blobs;
use crate::fault::{Fault, Outcome};
use crate::wire::{ApplyOptions, Reply, Work};

/// How long units are watched after they were started, restarted or reloaded.
const SETTLE: Duration = Duration::from_secs(1);

/// An apply that is under way.
pub struct Apply<'a> {
    /// The host.
    pub host: &'a Host,
    /// The run, where every change is noted first.
    pub run: &'a mut Run,
    /// A source of packages was changed, so that the lists must be fetched.
    pub lists_are_stale: bool,
    work: &'a Work,
    blobs: &'a Blobs,
    pub(super) owned: Owned,
    pub(super) batch: Batch,
    pub(super) manager_is_stale: bool,
    started: BTreeSet<UnitKey>,
    acted: BTreeMap<UnitKey, String>,
    pub(super) due: Vec<(Handler, String)>,
    sets: BTreeMap<String, usize>,
    changed_sets: BTreeSet<String>,
    notify: Vec<Handler>,
    /// Items whose accounts were made together with the one before them.
    made_ahead: BTreeSet<String>,
    transition: Transition,
    pub(super) results: Vec<HostChangeResult>,
}

/// What an apply needs to know beside the work.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    /// How it behaves.
    pub options: &'a ApplyOptions,
    /// Asked before each change: shall it stop here?
    pub stop: &'a dyn Fn() -> bool,
    /// The helper's own binary, by which the rollback is armed; none in a sandbox.
    pub helper: Option<&'a std::path::Path>,
}

/// Makes a host what the work says. The result says how it ended; a guarded run still waits for the proof of access then.
pub fn apply(
    host: &Host,
    work: &Work,
    blobs: &Blobs,
    terms: Terms<'_>,
    planned: Planned,
    owned: Owned,
    run: &mut Run,
) -> HostResult {
    let begun = Instant::now();
    let plan = planned.plan.clone();
    let mut apply = Apply {
        host,
        run,
        lists_are_stale: false,
        work,
        blobs,
        owned,
        batch: Batch::default(),
        manager_is_stale: false,
        started: BTreeSet::new(),
        acted: BTreeMap::new(),
        due: Vec::new(),
        sets: BTreeMap::new(),
        changed_sets: BTreeSet::new(),
        notify: Vec::new(),
        made_ahead: BTreeSet::new(),
        transition: Transition::default(),
        results: Vec::new(),
    };
    let mut done = apply.go(&planned, terms);
    if !apply.run.record.guarded && done.as_ref().is_err_and(|fault| fault.code() == "interrupted") {
        // What was changed stays, so that what it owes is done: a later apply would see nothing to do.
        if let Err(fault) = apply.end_stage() {
            done = Err(fault);
        }
    }
    apply.batch.discard();
    let results = std::mem::take(&mut apply.results);
    let transition = std::mem::take(&mut apply.transition);
    let mut result = HostResult {
        host: plan.host.clone(),
        owner: plan.owner.clone(),
        run: Some(run.record.id.clone()),
        outcome: End::Done,
        changed: false,
        summary: Summary { unchanged: plan.summary.unchanged, ..Summary::default() },
        changes: results,
        orphaned: plan.orphaned.clone(),
        kept: plan.kept.clone(),
        access_proof: None,
        error: None,
        warnings: transition.warnings,
        ms: 0,
    };
    add_untried(&mut result, &plan);
    if let Err(fault) = done {
        let interrupted = fault.code() == "interrupted" && !run.record.guarded;
        result.error = Some(fault.into_object());
        if interrupted {
            result.outcome = End::Interrupted;
        } else {
            run.tell(&Reply::Progress("putting everything back".into()));
            super::rollback::undo_into(host, run, work, &mut result);
        }
    }
    count(&mut result);
    result.ms = begun.elapsed().as_millis() as u64;
    result
}

/// Changes of the plan that were not reached, and what a sandbox leaves out.
fn add_untried(result: &mut HostResult, plan: &HostPlan) {
    let known: BTreeSet<(String, String)> =
        result.changes.iter().map(|change| (change.kind.clone(), change.name.clone())).collect();
    let of = |change: &HostChange, status| HostChangeResult {
        item: change.item.clone(),
        kind: change.kind.clone(),
        op: change.op,
        name: change.name.clone(),
        status,
        message: None,
    };
    let untried = plan.changes.iter().filter(|change| !known.contains(&(change.kind.clone(), change.name.clone())));
    result.changes.extend(untried.map(|change| of(change, ChangeStatus::Skipped)));
    result.changes.extend(plan.not_run.iter().map(|left| HostChangeResult {
        item: "-".into(),
        kind: left.kind.clone(),
        op: Op::Run,
        name: left.name.clone(),
        status: ChangeStatus::NotRun,
        message: Some(left.reason.clone()),
    }));
}

/// Counts what was done.
pub(super) fn count(result: &mut HostResult) {
    let unchanged = result.summary.unchanged;
    result.summary = Summary { unchanged, ..Summary::default() };
    for change in result.changes.iter().filter(|change| change.status == ChangeStatus::Done) {
        result.summary.count(change.op);
    }
    result.changed = result.summary.has_changes() || matches!(result.outcome, End::NotRestored);
}

impl<'a> Apply<'a> {
    /// What items are seen against.
    pub fn view(&self) -> View<'a> {
        View { host: self.host, work: self.work, blobs: self.blobs }
    }

    fn go(&mut self, planned: &Planned, terms: Terms<'_>) -> Outcome<()> {
        let desired = &self.work.desired;
        for path in self.host.state_documents(&desired.owner) {
            self.run.back_up_state(self.host, &path)?;
        }
        if self.run.record.guarded {
            self.transition = Transition::prepare(self.host, desired.access.as_ref(), terms.options.came_by);
            self.run.record.ports.clone_from(&self.transition.prove_by);
            self.run.record.transition.clone_from(&self.transition.hold);
            guard::arm(self.host, self.run, terms.helper, terms.options.confirm_timeout)?;
        }
        let (first, later): (Vec<&Removal>, Vec<&Removal>) =
            planned.removals.due.iter().partition(|removal| removal.thing.kind == "unit");
        for (kind, name) in &planned.removals.gone {
            self.owned.remove(kind, name);
        }
        for thing in &planned.removals.superseded {
            self.owned.add(thing.clone());
        }
        for removal in first {
            check(terms)?;
            self.remove(removal, planned.removals.handlers_of(&removal.thing, desired))?;
        }
        let items = ordered(desired)?;
        for (item, _) in &items {
            if let Some(set) = item.file.as_ref().and_then(|file| file.set.as_ref()) {
                *self.sets.entry(set.clone()).or_default() += 1;
            }
        }
        let mut stage = Stage::Base;
        for (index, (item, kind)) in items.iter().enumerate() {
            if item.stage != stage {
                stage = item.stage;
                self.end_stage()?;
            }
            if self.host.sandbox && kind.needs_system() {
                continue;
            }
            if !self.made_ahead.contains(&item.id) {
                check(terms)?;
            }
            if (item.user.is_some() || item.group.is_some()) && !self.made_ahead.contains(&item.id) {
                let rest = &items[index..];
                let together = rest.iter().take_while(|(other, _)| other.stage == stage).count();
                let made = make_ahead(self, &rest[..together]).map_err(|fault| in_item(desired, item, fault))?;
                self.made_ahead.extend(made);
            }
            self.item(item, &**kind).map_err(|fault| in_item(desired, item, fault))?;
        }
        for removal in later {
            check(terms)?;
            self.remove(removal, planned.removals.handlers_of(&removal.thing, desired))?;
        }
        self.end_stage()?;
        self.settle()?;
        self.transition.look_after(self.host);
        if self.run.record.guarded && terms.options.can_prove {
            guard::arm(self.host, self.run, terms.helper, terms.options.confirm_timeout)?;
        }
        Ok(())
    }

    fn item(&mut self, item: &HostItem, kind: &dyn Kind) -> Outcome<()> {
        // Observed again: items before this one may have done it, or made it necessary.
        let difference = kind.observe(self.view())?;
        self.notify.clone_from(&item.notify);
        let made = self.made_ahead.remove(&item.id);
        if let Some(op) = if made { Some(Op::Create) } else { difference.op } {
            self.run.tell(&Reply::Progress(format!("{} {}", kind.label(), kind.name())));
            let mut result = HostChangeResult {
                item: item.id.clone(),
                kind: kind.label().into(),
                op,
                name: kind.name(),
                status: ChangeStatus::Done,
                message: None,
            };
            let done = if difference.op.is_some() { kind.converge(self) } else { Ok(()) };
            if let Err(fault) = &done {
                result.status = ChangeStatus::Failed;
                result.message = Some(fault.to_string());
            }
            self.results.push(result);
            done?;
            handlers::add(&mut self.due, &item.notify, &item.id);
        } else {
            kind.remember(self)?;
        }
        if let Some(set) = item.file.as_ref().and_then(|file| file.set.as_ref()) {
            if difference.op.is_some() {
                self.changed_sets.insert(set.clone());
            }
            if let Some(left) = self.sets.get_mut(set) {
                *left -= 1;
            }
        }
        Ok(())
    }

    /// Remembers a thing as the owner's.
    pub fn own(&mut self, kind: &str, name: &str, sha256: Option<String>, data: bool, original: Original) {
        let thing =
            OwnedThing { kind: kind.into(), name: name.into(), sha256, data, notify: self.notify.clone(), original };
        self.owned.add(thing);
    }

    /// The same for an item that is not the one being worked on.
    pub fn own_for(&mut self, item: &HostItem, kind: &str, name: &str, original: Original) {
        self.notify.clone_from(&item.notify);
        self.own(kind, name, None, false, original);
    }

    /// Writes down what is owned, before it is changed.
    ///
    /// # Errors
    /// Those of the system.
    pub fn save_owned(&mut self) -> Outcome<()> {
        self.owned.save(self.host)
    }

    /// Puts all written files in place and checks the sets that are complete.
    ///
    /// # Errors
    /// 65 where a check says no, and those of the system.
    pub fn barrier(&mut self) -> Outcome<()> {
        self.save_owned()?;
        self.host.save_owners()?;
        if !self.batch.is_empty() {
            self.batch.commit(self.run)?;
        }
        let complete: Vec<String> =
            self.changed_sets.iter().filter(|set| self.sets.get(*set).is_none_or(|left| *left == 0)).cloned().collect();
        for name in complete {
            self.changed_sets.remove(&name);
            let Some(set) = self.work.desired.sets.get(&name).filter(|_| !self.host.sandbox) else { continue };
            for argv in &set.check {
                let ended = Process::new(argv).run()?;
                if !ended.good() {
                    let line = argv.join(" ");
                    return Err(Fault::new(
                        Exit::BadDocument,
                        "check_failed",
                        format!("`{line}` refuses the files of the set \"{name}\""),
                    )
                    .place(format!("set {name}"))
                    .hint("the files before them are back in place; correct the new ones")
                    .cause(ended.last_words()));
                }
            }
        }
        Ok(())
    }

    /// Lets systemd read unit files again, if some were changed.
    ///
    /// # Errors
    /// 69 where systemd refuses.
    pub fn reload_manager(&mut self) -> Outcome<()> {
        if self.manager_is_stale && self.host.has_systemd() {
            super::units::systemctl(None, &["daemon-reload"]).succeed()?;
            self.host.forget_units();
        }
        self.manager_is_stale = false;
        Ok(())
    }

    /// Notes something that a rollback leaves.
    ///
    /// # Errors
    /// Those of the system.
    pub fn never_undone(&mut self, kind: &str, name: &str, reason: &str) -> Outcome<()> {
        self.never_undone_all(&[(kind, name)], reason)
    }

    /// Notes several such things at once.
    ///
    /// # Errors
    /// Those of the system.
    pub fn never_undone_all(&mut self, things: &[(&str, &str)], reason: &str) -> Outcome<()> {
        self.save_owned()?;
        for (kind, name) in things {
            self.run.note(&Undo::Never { kind: (*kind).into(), name: (*name).into(), reason: reason.into() })?;
        }
        self.run.sync()
    }

    /// A unit was started, so that it has read all files.
    pub fn started(&mut self, key: &UnitKey) {
        self.started.insert(key.clone());
        self.acted(key);
    }

    pub(super) fn was_started(&self, key: &UnitKey) -> bool {
        self.started.contains(key)
    }

    pub(super) fn acted(&mut self, key: &UnitKey) {
        let restarts =
            show(std::slice::from_ref(key)).ok().and_then(|found| found.first().map(|status| status.restarts.clone()));
        self.acted.insert(key.clone(), restarts.unwrap_or_default());
    }

    /// Opens the firewall for the old way in, after something changed the firewall.
    ///
    /// # Errors
    /// 69 where nft refuses.
    pub fn hold_firewall(&mut self, unit: &str) -> Outcome<()> {
        if unit.starts_with("nftables") { self.transition.hold_firewall(self.host) } else { Ok(()) }
    }

    fn end_stage(&mut self) -> Outcome<()> {
        self.barrier()?;
        self.reload_manager()?;
        if self.transition.hold_sshd(self.host, self.run)? {
            // The transition is read with the files that make it necessary.
            let reload = Handler::reload("ssh.service");
            if !self
                .due
                .iter()
                .any(|(handler, _)| handlers::unit_of(handler).is_some_and(|(_, key)| handlers::is_sshd(&key)))
            {
                handlers::add(&mut self.due, &[reload], "-");
            }
        }
        for (handler, item) in std::mem::take(&mut self.due) {
            if self.host.sandbox {
                continue;
            }
            self.run.tell(&Reply::Progress(handler.0.clone()));
            self.run.record.handlers.push(handler.0.clone());
            self.run.save()?;
            let done = handlers::run(self, &handler, item == "-");
            let (status, message) = match &done {
                Ok(Handled::Done | Handled::Covered) => (ChangeStatus::Done, None),
                Ok(Handled::Skipped(why)) => (ChangeStatus::Skipped, Some(why.clone())),
                Err(fault) => (ChangeStatus::Failed, Some(fault.to_string())),
            };
            // The plan said nothing of it either.
            if matches!(&done, Ok(Handled::Covered)) {
                continue;
            }
            let kind = "handler".into();
            self.results.push(HostChangeResult {
                item: item.clone(),
                kind,
                op: Op::Run,
                name: handler.0.clone(),
                status,
                message,
            });
            done.map_err(|fault| fault.place(format!("handler {}", handler.0)))?;
        }
        Ok(())
    }

    /// Units that were acted upon must still run a moment later.
    fn settle(&self) -> Outcome<()> {
        let keys: Vec<UnitKey> = self.acted.keys().cloned().collect();
        if keys.is_empty() {
            return Ok(());
        }
        let end = Instant::now() + SETTLE;
        loop {
            for (key, status) in keys.iter().zip(show(&keys)?) {
                let before = self.acted.get(key).map(String::as_str).unwrap_or_default();
                // A oneshot that is inactive has done its work; one that failed has not.
                let ended = status.active == "failed"
                    || (status.kind != "oneshot" && status.active == "inactive" && key.name.ends_with(".service"));
                if ended || (!before.is_empty() && status.restarts != before) {
                    let log = last_log(key);
                    let fault = Fault::new(Exit::Unavailable, "unit_failed", format!("{} did not stay up", key.name))
                        .place(&key.name);
                    return Err(if log.is_empty() { fault } else { fault.cause(log) });
                }
            }
            if Instant::now() >= end {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

fn check(terms: Terms<'_>) -> Outcome<()> {
    if (terms.stop)() {
        return Err(Fault::new(Exit::Interrupted, "interrupted", "the run was asked to stop"));
    }
    Ok(())
}

/// Where a run stands after its apply.
pub fn stand_after(run: &Run, result: &HostResult, options: &ApplyOptions) -> Stand {
    match result.outcome {
        End::Done if run.record.guarded && options.can_prove => Stand::Waiting,
        End::RolledBack => Stand::RolledBack,
        End::NotRestored => Stand::NotRestored,
        _ => Stand::Done,
    }
}
