//! What is to be done in one zone: the difference between what is declared and what is there, within what may be touched.

use std::collections::{BTreeMap, BTreeSet};

use cli::Consents;
use contract::Pointer;
use contract::document::{
    DnsChange, DnsKept, DnsRefusal, DnsSetName, DnsZonePlan, Op, RecordPhase, RecordSet, ZoneMode,
};

use crate::declared_zone::DeclaredZone;
use crate::error::plural;
use crate::live_zone::LiveZone;
use crate::name::Name;
use crate::record_type::RecordType;
use crate::registry::Registry;
use crate::rrset::{Key, Rrset};

/// The plan of one zone.
#[derive(Debug, Clone, Default)]
pub(crate) struct ZonePlan {
    /// In the order in which they are made.
    pub(crate) changes: Vec<Change>,
    /// Sets that become ours as they are.
    pub(crate) claims: Vec<Key>,
    /// Sets that are left alone, and why.
    pub(crate) kept: Vec<(Key, String)>,
    /// What an apply refuses.
    pub(crate) refusals: Vec<DnsRefusal>,
    /// Declared sets that are as they should be.
    pub(crate) unchanged: u64,
}

/// One set before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) op: Op,
    pub(crate) key: Key,
    pub(crate) before: Option<Rrset>,
    pub(crate) after: Option<Rrset>,
    pub(crate) from: Vec<Pointer>,
}

/// Which of the declared sets are planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scope {
    /// Only sets of this phase; all if not given.
    pub(crate) phase: Option<RecordPhase>,
    /// The document holds only some of the owner's records.
    pub(crate) partial: bool,
}

impl Scope {
    /// Whether what is not declared may be removed.
    pub(crate) fn removes(self) -> bool {
        self.phase.is_none() && !self.partial
    }
}

/// A zone with few sets loses a third of them too easily for a share to mean something.
const FEW: usize = 10;
/// The share of sets, in percent, that may change or go without consent.
const SHARE: usize = 30;
/// How many sets may go without consent, however large the zone is.
const MOST_DELETES: usize = 20;

/// Whether a type may stand beside a CNAME (RFC 4034 sections 3 and 4, RFC 2181 section 10.1).
fn beside_cname(record_type: RecordType) -> bool {
    record_type.is_server_made()
}

/// What is to be done.
pub(crate) fn plan(
    zone: &DeclaredZone,
    live: &LiveZone,
    registry: &Registry,
    scope: Scope,
    consents: &Consents,
) -> ZonePlan {
    let mut plan = ZonePlan::default();
    let mut changes: BTreeMap<Key, Change> = BTreeMap::new();
    let chosen = zone.sets.iter().filter(|(_, set)| scope.phase.is_none_or(|phase| phase == set.phase));
    for (key, wanted) in chosen {
        let change = |op, before| Change {
            op,
            key: key.clone(),
            before,
            after: Some(wanted.set.clone()),
            from: wanted.from.clone(),
        };
        match live.sets.get(key) {
            Some(set) if set.is(&wanted.set) => {
                plan.unchanged += 1;
                if zone.mode == ZoneMode::Owned && !registry.is_ours(key) {
                    if consents.allows("takeover", &key.consent()) {
                        plan.claims.push(key.clone());
                    } else {
                        plan.kept.push((key.clone(), "as declared, but not ours".into()));
                    }
                }
            }
            Some(set) => {
                changes.insert(key.clone(), change(Op::Update, Some(set.rrset())));
            }
            None => {
                changes.insert(key.clone(), change(Op::Create, None));
                for (other, set) in in_the_way(live, key) {
                    let gone = Change {
                        op: Op::Delete,
                        key: other.clone(),
                        before: Some(set),
                        after: None,
                        from: wanted.from.clone(),
                    };
                    changes.insert(other, gone);
                }
            }
        }
    }
    let undeclared = live.sets.iter().filter(|(key, _)| !zone.sets.contains_key(key));
    for (key, set) in undeclared {
        if changes.contains_key(key) || key.record_type.is_server_made() || Registry::is_reserved(&zone.name, &key.name)
        {
            continue;
        }
        match kept(zone, registry, scope, key) {
            Some(reason) => plan.kept.push((key.clone(), reason)),
            None => {
                let gone =
                    Change { op: Op::Delete, key: key.clone(), before: Some(set.rrset()), after: None, from: vec![] };
                changes.insert(key.clone(), gone);
            }
        }
    }
    plan.kept.sort();
    plan.changes = in_order(changes);
    plan.refusals = refusals(zone, live, registry, &plan.changes);
    plan
}

/// Sets that cannot stand beside a new one.
fn in_the_way(live: &LiveZone, key: &Key) -> Vec<(Key, Rrset)> {
    live.at(&key.name)
        .filter(|(other, _)| match key.record_type {
            RecordType::CNAME => !beside_cname(other.record_type),
            new => other.record_type == RecordType::CNAME && !beside_cname(new),
        })
        .map(|(other, set)| (other.clone(), set.rrset()))
        .collect()
}

/// Why a set that is not declared stays; `None` where it goes.
fn kept(zone: &DeclaredZone, registry: &Registry, scope: Scope, key: &Key) -> Option<String> {
    if zone.is_apex_ns(key) {
        return Some("name servers of the zone".into());
    }
    if let Some(reason) = zone.ignored(key) {
        return Some(reason.into());
    }
    if let Some(owner) = registry.other_owner(key).filter(|_| !registry.is_ours(key)) {
        return Some(format!("belongs to {owner}"));
    }
    match zone.mode {
        ZoneMode::Additive => Some("nothing is removed from this zone".into()),
        ZoneMode::Owned if !registry.is_ours(key) => Some("not ours".into()),
        _ if !scope.removes() => Some("only part of the records is planned".into()),
        _ => None,
    }
}

/// Deletions that make room stand before what takes their place; other deletions come last, CNAMEs after what they may point
/// at. All changes of one name stand together, because they are written together.
fn in_order(changes: BTreeMap<Key, Change>) -> Vec<Change> {
    let mut names: BTreeMap<Name, Vec<Change>> = BTreeMap::new();
    for (key, change) in changes {
        names.entry(key.name).or_default().push(change);
    }
    let mut groups: Vec<Vec<Change>> = names.into_values().collect();
    for group in &mut groups {
        group.sort_by_key(|change| (change.op != Op::Delete, change.key.record_type));
    }
    groups.sort_by_key(|group| {
        let writes: Vec<_> = group.iter().filter(|change| change.op != Op::Delete).collect();
        match &writes[..] {
            [] => 2,
            [change] if change.key.record_type == RecordType::CNAME => 1,
            _ => 0,
        }
    });
    groups.into_iter().flatten().collect()
}

/// What an apply of these changes refuses. Looked at when the plan is made and again when it is applied.
pub(crate) fn refusals(
    zone: &DeclaredZone,
    live: &LiveZone,
    registry: &Registry,
    changes: &[Change],
) -> Vec<DnsRefusal> {
    let mut refusals = Vec::new();
    for change in changes.iter().filter(|change| change.before.is_some()) {
        let key = &change.key;
        let what = format!("{} {}", key.name, key.record_type);
        let ours = registry.is_ours(key);
        let owner = registry.other_owner(key).filter(|_| !ours);
        let makes_room =
            change.op == Op::Delete && changes.iter().any(|other| other.key.name == key.name && other.op == Op::Create);
        let message = if zone.is_protected(key) || zone.ignored(key).is_some() {
            refusals
                .push(DnsRefusal { message: format!("{what} stands in the way and is never touched"), consent: None });
            continue;
        } else if let Some(owner) = owner {
            format!("{what} belongs to {owner}")
        } else if zone.mode == ZoneMode::Owned && !ours {
            format!("{what} is there and not ours")
        } else if zone.mode == ZoneMode::Additive && makes_room {
            format!("{what} stands in the way, and nothing is removed from this zone")
        } else {
            continue;
        };
        refusals.push(DnsRefusal { message, consent: Some(format!("takeover:{}", key.consent())) });
    }
    let managed = live
        .sets
        .keys()
        .filter(|key| !zone.is_protected(key) && !Registry::is_reserved(&zone.name, &key.name))
        .filter(|key| match zone.mode {
            ZoneMode::Owned => registry.is_ours(key),
            ZoneMode::WholeZone => zone.ignored(key).is_none(),
            ZoneMode::Additive => zone.sets.contains_key(key),
        })
        .count();
    let share = |count: usize| managed >= FEW && count * 100 > managed * SHARE;
    let deletes = changes.iter().filter(|change| change.op == Op::Delete).count();
    if deletes > MOST_DELETES || share(deletes) {
        let sets = plural(deletes, "record set", "record sets");
        refusals.push(DnsRefusal {
            message: format!("{sets} of {managed} would be removed from {}", zone.name),
            consent: Some(format!("deletes:{deletes}")),
        });
    }
    let values = |set: &Option<Rrset>| set.as_ref().map(|set| set.values.clone());
    let updates = changes
        .iter()
        .filter(|change| change.op == Op::Update && values(&change.before) != values(&change.after))
        .count();
    if share(updates) {
        let sets = plural(updates, "record set", "record sets");
        refusals.push(DnsRefusal {
            message: format!("{sets} of {managed} in {} would get other values", zone.name),
            consent: Some(format!("updates:{updates}")),
        });
    }
    if zone.sets.is_empty() && deletes > 0 {
        refusals.push(DnsRefusal {
            message: format!("nothing is declared for {}, so that all that is ours would be removed", zone.name),
            consent: Some(format!("empty:{}", zone.name.without_dot())),
        });
    }
    refusals
}

/// Whether a command line holds the consent that a refusal asks for.
pub(crate) fn is_allowed(refusal: &DnsRefusal, consents: &Consents) -> bool {
    let Some((what, name)) = refusal.consent.as_deref().and_then(|consent| consent.split_once(':')) else {
        return false;
    };
    match name.parse::<usize>() {
        // A number allows every smaller one too.
        Ok(wanted) if what == "deletes" || what == "updates" => {
            consents.values(what).any(|given| given.parse::<usize>().is_ok_and(|given| given >= wanted))
        }
        _ => consents.allows(what, name),
    }
}

/// Puts the marks of changes and claims into the registry; the segments that change. `forget` also takes away marks of sets
/// that are no longer there.
pub(crate) fn mark_all(
    zone: &DeclaredZone,
    live: &LiveZone,
    registry: &mut Registry,
    changes: &[Change],
    claims: &[Key],
    forget: bool,
) -> BTreeSet<u32> {
    if zone.mode != ZoneMode::Owned || (changes.is_empty() && claims.is_empty()) {
        return BTreeSet::new();
    }
    let mut touched = BTreeSet::new();
    for change in changes {
        touched.extend(if change.after.is_some() { registry.add(&change.key) } else { registry.remove(&change.key) });
    }
    touched.extend(claims.iter().filter_map(|key| registry.add(key)));
    if forget {
        let alive = live.sets.keys().chain(zone.sets.keys()).chain(claims);
        let written = changes.iter().filter(|change| change.after.is_some()).map(|change| &change.key);
        touched.extend(registry.forget_all_but(alive.chain(written)));
    }
    touched
}

impl Change {
    /// The change that takes this one back.
    pub(crate) fn inverse(&self) -> Self {
        let op = match self.op {
            Op::Create => Op::Delete,
            Op::Delete => Op::Create,
            other => other,
        };
        Self {
            op,
            key: self.key.clone(),
            before: self.after.clone(),
            after: self.before.clone(),
            from: self.from.clone(),
        }
    }

    /// The change as documents hold it.
    pub(crate) fn to_document(&self) -> DnsChange {
        let set = |set: &Option<Rrset>| set.as_ref().map(|set| set.to_document(self.key.record_type));
        DnsChange {
            op: self.op,
            name: self.key.name.to_string(),
            record_type: self.key.record_type.to_string(),
            before: set(&self.before),
            after: set(&self.after),
            from: self.from.clone(),
        }
    }

    /// The change that a document holds; `None` where it is no change.
    pub(crate) fn from_document(change: &DnsChange) -> Option<Self> {
        let record_type: RecordType = change.record_type.parse().ok()?;
        let key = Key::new(Name::absolute(&change.name).ok()?, record_type);
        let set = |set: &Option<RecordSet>| match set {
            Some(set) => Rrset::from_document(record_type, set).map(Some),
            None => Ok(None),
        };
        let (before, after) = (set(&change.before).ok()?, set(&change.after).ok()?);
        let fits = match change.op {
            Op::Create => before.is_none() && after.is_some(),
            Op::Update => before.is_some() && after.is_some(),
            Op::Delete => before.is_some() && after.is_none(),
            Op::Run => false,
        };
        fits.then(|| Self { op: change.op, key, before, after, from: change.from.clone() })
    }
}

impl ZonePlan {
    /// The plan as documents hold it.
    pub(crate) fn to_document(
        &self,
        zone: &DeclaredZone,
        live: &LiveZone,
        registry: &Registry,
        scope: Scope,
        guard: &str,
    ) -> DnsZonePlan {
        let mut after = registry.clone();
        let touched = mark_all(zone, live, &mut after, &self.changes, &self.claims, scope.removes());
        let marks = touched.into_iter().filter_map(|number| {
            let key = after.key(number);
            let (before, set) = (live.rrset(&key), after.set(number));
            let op = match (&before, &set) {
                (None, Some(_)) => Op::Create,
                (Some(_), None) => Op::Delete,
                (Some(before), Some(set)) if before != set => Op::Update,
                _ => return None,
            };
            Some(Change { op, key, before, after: set, from: vec![] }.to_document())
        });
        let name = |key: &Key| (key.name.to_string(), key.record_type.to_string());
        DnsZonePlan {
            zone: zone.name.to_string(),
            provider: zone.provider.clone(),
            mode: zone.mode,
            serial: live.serial(),
            changes: self.changes.iter().map(Change::to_document).collect(),
            claims: self
                .claims
                .iter()
                .map(|key| {
                    let (name, record_type) = name(key);
                    DnsSetName { name, record_type }
                })
                .collect(),
            marks: marks.collect(),
            refusals: self.refusals.clone(),
            unchanged: self.unchanged,
            kept: self
                .kept
                .iter()
                .map(|(key, reason)| {
                    let (name, record_type) = name(key);
                    DnsKept { name, record_type, reason: reason.clone() }
                })
                .collect(),
            guard: guard.to_owned(),
        }
    }
}
