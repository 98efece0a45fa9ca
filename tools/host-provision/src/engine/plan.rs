//! What an apply would change.

use std::collections::BTreeSet;

use contract::Exit;
use contract::document::{Handler, HostChange, HostDesired, HostItem, HostKept, HostPlan, Op, Stage, Summary};

use super::access::is_risky;
use super::entry::Difference;
use super::handlers;
use super::hash::fingerprint;
use super::item::{Kind, View, kind_of, unit_key};
use super::owned::Owned;
use super::removal::{Removals, removals};
use super::units::UnitKey;
use crate::fault::{Fault, Outcome};

/// Removals beyond this number and beyond half of what is owned need a consent.
const MANY: usize = 10;

/// A plan, with what the apply needs beside the document.
#[derive(Debug)]
pub struct Planned {
    /// The document; the controller fills in `target`, `through` and `desired`.
    pub plan: HostPlan,
    /// Something is as it shall be but not remembered as the owner's yet.
    pub unremembered: bool,
    pub(super) removals: Removals,
    owned: usize,
}

/// The items in the order in which they are made so, with their kinds.
///
/// # Errors
/// As [`kind_of`].
pub fn ordered(desired: &HostDesired) -> Outcome<Vec<(&HostItem, Box<dyn Kind + '_>)>> {
    let mut items: Vec<&HostItem> = desired.items.iter().collect();
    items.sort_by_key(|item| item.stage);
    items.into_iter().map(|item| Ok((item, kind_of(item)?))).collect()
}

/// Observes the host and says what would change.
///
/// # Errors
/// 65 for a path that another owner placed or something that the host lacks, 76 for what is not safe to change.
pub fn plan(view: View<'_>, owned: &Owned) -> Outcome<Planned> {
    let desired = &view.work.desired;
    let key = view.host.key();
    let mut summary = Summary::default();
    let mut changes = Vec::new();
    let mut not_run = Vec::new();
    let mut declared = BTreeSet::new();
    let mut due: Vec<(Handler, String)> = Vec::new();
    let mut starting: Vec<UnitKey> = Vec::new();
    let mut unremembered = false;
    let mut guarded = false;
    let items = ordered(desired)?;
    let units: Vec<UnitKey> = items
        .iter()
        .filter_map(|(item, _)| item.unit.as_ref())
        .map(|unit| UnitKey::scoped(&unit.name, unit.scope.as_deref()))
        .collect();
    if !units.is_empty() && view.host.has_systemd() {
        // One question for all of them.
        view.host.units(&units)?;
    }
    let mut stage = Stage::Base;
    for (item, kind) in &items {
        if item.stage != stage {
            stage = item.stage;
            push_handlers(view, &mut due, &starting, &key, &mut summary, &mut changes, &mut not_run);
        }
        let in_item = |fault: Fault| in_item(desired, item, fault);
        if view.host.sandbox && kind.needs_system() {
            not_run.push(HostKept {
                kind: kind.label().into(),
                name: kind.name(),
                reason: "a sandbox has files only".into(),
            });
            continue;
        }
        if let Some(reason) = kind.left_out().filter(|_| view.host.sandbox) {
            not_run.push(HostKept { kind: kind.label().into(), name: kind.name(), reason: reason.into() });
        }
        for thing in kind.things(view).map_err(&in_item)? {
            if let Some(other) = owned.other_owner(&thing.name) {
                let message = format!("{} belongs to the owner \"{other}\"", thing.name);
                return Err(in_item(Fault::new(Exit::BadDocument, "other_owner", message).hint(
                    "let one of the two owners declare it, or take it out of the other's document and apply that first",
                )));
            }
            unremembered |= owned.get(thing.kind, &thing.name).is_none();
            declared.insert(thing);
        }
        // Said now and not in the middle of an apply.
        if item.notify.iter().any(handlers::needs_systemd) && !view.host.sandbox && !view.host.has_systemd() {
            return Err(in_item(super::units::no_systemd()));
        }
        let difference = kind.observe(view).map_err(&in_item)?;
        let Some(op) = difference.op else {
            summary.unchanged += 1;
            continue;
        };
        if kind.label() == "unit" && difference.why.iter().any(|why| why == "started") {
            starting.push(unit_key(&kind.name()));
        }
        guarded |= is_risky(kind.label(), &kind.name(), desired.access.as_ref());
        handlers::add(&mut due, &item.notify, &item.id);
        summary.count(op);
        changes.push(change(&item.id, kind.label(), kind.name(), op, difference, &key));
    }
    let removals = removals(view, owned, &declared)?;
    for removal in &removals.due {
        let thing = &removal.thing;
        guarded |= is_risky(&thing.kind, &thing.name, desired.access.as_ref());
        handlers::add(&mut due, &removals.handlers_of(thing, desired), "-");
        summary.count(removal.op);
        let difference =
            Difference { why: vec![removal.why.clone()], observed: removal.observed.clone(), ..Difference::default() };
        changes.push(change("-", &thing.kind, thing.name.clone(), removal.op, difference, &key));
    }
    push_handlers(view, &mut due, &starting, &key, &mut summary, &mut changes, &mut not_run);
    let plan = HostPlan {
        host: desired.host.clone(),
        owner: desired.owner.clone(),
        target: String::new(),
        through: None,
        summary,
        changes,
        orphaned: removals.orphaned.clone(),
        kept: removals.kept.clone(),
        not_run,
        guarded: guarded && !view.host.sandbox,
        warnings: Vec::new(),
        desired: HostDesired::default(),
    };
    Ok(Planned { plan, unremembered, removals, owned: owned.things().count() })
}

/// A fault of an item, with its place in the document that a person wrote; a part of one counts otherwise.
pub(super) fn in_item(desired: &HostDesired, item: &HostItem, fault: Fault) -> Fault {
    let fault = fault.place(format!("item {}", item.id));
    match desired.items.iter().position(|other| other.id == item.id) {
        Some(index) if !desired.partial => fault.at(contract::Pointer::root().join("items").join(index)),
        _ => fault,
    }
}

fn change(item: &str, kind: &str, name: String, op: Op, difference: Difference, key: &[u8]) -> HostChange {
    HostChange {
        item: item.into(),
        kind: kind.into(),
        op,
        name,
        why: difference.why,
        diff: difference.diff,
        redacted: difference.redacted,
        fingerprint: fingerprint(key, &difference.observed),
    }
}

fn push_handlers(
    view: View<'_>,
    due: &mut Vec<(Handler, String)>,
    starting: &[UnitKey],
    key: &[u8],
    summary: &mut Summary,
    changes: &mut Vec<HostChange>,
    not_run: &mut Vec<HostKept>,
) {
    for (handler, item) in due.drain(..) {
        if view.host.sandbox {
            not_run.push(HostKept {
                kind: "handler".into(),
                name: handler.0,
                reason: "a sandbox has files only".into(),
            });
            continue;
        }
        // A unit that is started by this very run reads the new files anyway.
        if handlers::unit_in(&handler, &view.work.desired.items).is_some_and(|(_, unit)| starting.contains(&unit)) {
            continue;
        }
        summary.count(Op::Run);
        let difference = Difference { why: vec!["notified".into()], ..Difference::default() };
        changes.push(change(&item, "handler", handler.0, Op::Run, difference, key));
    }
}

impl Planned {
    /// Whether an apply has anything to do.
    pub fn is_empty(&self) -> bool {
        !self.plan.summary.has_changes()
            && !self.unremembered
            && self.removals.gone.is_empty()
            && self.removals.superseded.is_empty()
    }

    /// Refuses where the host has moved since a plan was made.
    ///
    /// # Errors
    /// 75.
    pub fn expect(&self, expected: &[(String, String)]) -> Outcome<()> {
        let now: Vec<(String, String)> = fingerprints(&self.plan);
        if now == expected {
            return Ok(());
        }
        let moved = now
            .iter()
            .find(|pair| !expected.contains(pair))
            .or_else(|| expected.iter().find(|pair| !now.contains(pair)))
            .map_or("the order of changes", |(name, _)| name.as_str());
        Err(Fault::new(
            Exit::TryAgain,
            "stale_plan",
            format!("the host is not as it was when the plan was made: {moved}"),
        )
        .hint("make a new plan and look at it"))
    }

    /// Refuses more removals than a person expects.
    ///
    /// # Errors
    /// 76.
    pub fn limit_removals(&self, allow: &[String]) -> Outcome<()> {
        let count = self.removals.due.len();
        let allowed = allow
            .iter()
            .filter_map(|consent| consent.strip_prefix("deletes:")?.parse::<usize>().ok())
            .max()
            .unwrap_or(0);
        if count <= MANY || count * 2 <= self.owned || count <= allowed {
            return Ok(());
        }
        Err(Fault::new(
            Exit::Refused,
            "many_removals",
            format!("{count} of {} things of the owner \"{}\" would be removed", self.owned, self.plan.owner),
        )
        .hint(format!("if that is meant, consent with --allow deletes:{count}")))
    }
}

/// What identifies the state on which a plan rests.
pub fn fingerprints(plan: &HostPlan) -> Vec<(String, String)> {
    plan.changes.iter().map(|change| (format!("{} {}", change.kind, change.name), change.fingerprint.clone())).collect()
}
