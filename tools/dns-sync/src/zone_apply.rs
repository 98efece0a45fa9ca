//! Making the changes of one zone, in batches that the provider writes wholly or not at all, and looking whether they show.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use cli::Signals;
use contract::Exit;
use contract::document::Op;

use crate::declared_zone::DeclaredZone;
use crate::error::DnsError;
use crate::live_zone::{LiveSet, LiveZone};
use crate::provider::{Edit, Guard, Provider, ZoneWriter};
use crate::record_type::RecordType;
use crate::registry::Registry;
use crate::rrset::{Key, Rrset};
use crate::zone_plan::{Change, mark_all};

/// What was done in one zone.
#[derive(Debug, Default)]
pub(crate) struct ZoneOutcome {
    /// Made, and seen afterwards.
    pub(crate) applied: Vec<Change>,
    /// Accepted, but not there afterwards.
    pub(crate) not_effective: Vec<Change>,
    /// Not made.
    pub(crate) failed: Vec<Change>,
    /// Perhaps made: the zone could not be read afterwards.
    pub(crate) unknown: Vec<Change>,
    /// Sets that became ours as they are.
    pub(crate) claimed: usize,
    /// Serial afterwards.
    pub(crate) serial: Option<u32>,
    /// What ended it.
    pub(crate) error: Option<DnsError>,
    /// The signal that ended it.
    pub(crate) interrupted: Option<Exit>,
}

/// The work of one zone.
pub(crate) struct Work<'a> {
    pub(crate) zone: &'a DeclaredZone,
    pub(crate) live: &'a LiveZone,
    pub(crate) registry: Registry,
    pub(crate) changes: &'a [Change],
    pub(crate) claims: &'a [Key],
    /// Also take away the marks of sets that somebody else removed.
    pub(crate) forget: bool,
}

/// Whether the zone is still as it was when the changes were planned.
///
/// # Errors
/// The first set that is not.
pub(crate) fn still_as_planned(live: &LiveZone, changes: &[Change], claims: &[Key]) -> Result<(), DnsError> {
    let stale = |key: &Key| DnsError::Stale { name: key.name.to_string(), record_type: key.record_type.to_string() };
    let deleted: HashSet<&Key> =
        changes.iter().filter(|change| change.op == Op::Delete).map(|change| &change.key).collect();
    for change in changes {
        if live.rrset(&change.key) != change.before {
            return Err(stale(&change.key));
        }
        if change.op != Op::Create {
            continue;
        }
        let cname = change.key.record_type == RecordType::CNAME;
        for (other, _) in live.at(&change.key.name) {
            let clash = (cname || other.record_type == RecordType::CNAME) && !other.record_type.is_server_made();
            if clash && !deleted.contains(other) {
                return Err(stale(other));
            }
        }
    }
    match claims.iter().find(|key| !live.sets.contains_key(key)) {
        Some(key) => Err(stale(key)),
        None => Ok(()),
    }
}

/// Makes the changes.
pub(crate) fn apply(provider: &dyn Provider, work: Work<'_>, signals: Option<&Signals>) -> ZoneOutcome {
    let (changes, claims, live, name) = (work.changes, work.claims, work.live, &work.zone.name);
    let mut outcome = ZoneOutcome { serial: live.serial(), ..ZoneOutcome::default() };
    if changes.is_empty() && claims.is_empty() {
        return outcome;
    }
    let writer = match provider.writer(live) {
        Ok(writer) => writer,
        Err(error) => {
            outcome.error = Some(error);
            outcome.failed = changes.to_vec();
            return outcome;
        }
    };
    let mut batches = Batches::new(work, writer);
    match batches.write_all(signals) {
        Ok(interrupted) => outcome.interrupted = interrupted,
        Err(error) => outcome.error = Some(error),
    }
    let sent = batches.sent;
    match provider.read(name) {
        Ok(after) => {
            outcome.serial = after.serial();
            for change in changes {
                let shows = match &change.after {
                    Some(wanted) => after.sets.get(&change.key).is_some_and(|set| set.is(wanted)),
                    None => !after.sets.contains_key(&change.key),
                };
                let list = match (shows, sent.contains(&change.key)) {
                    (true, _) => &mut outcome.applied,
                    (false, true) => &mut outcome.not_effective,
                    (false, false) => &mut outcome.failed,
                };
                list.push(change.clone());
            }
            outcome.claimed = claims.iter().filter(|key| sent.contains(*key)).count();
            // An answer got lost on its way, but everything is there.
            let lost = matches!(outcome.error, Some(DnsError::Timeout { .. } | DnsError::Broken { .. }));
            if lost && outcome.failed.is_empty() && outcome.not_effective.is_empty() {
                outcome.error = None;
                outcome.claimed = claims.len();
            }
            if !outcome.not_effective.is_empty() && outcome.error.is_none() {
                outcome.error = Some(DnsError::NotEffective { count: outcome.not_effective.len() });
            }
        }
        Err(error) => {
            outcome.unknown = changes.to_vec();
            outcome.error.get_or_insert(error);
        }
    }
    outcome
}

/// Packs changes into batches and writes them. Marks of ownership go into the batch of the sets that they belong to.
struct Batches<'a> {
    work: Work<'a>,
    writer: Box<dyn ZoneWriter + 'a>,
    /// The zone as it is after the batches so far.
    state: LiveZone,
    edits: Vec<Edit>,
    size: usize,
    /// What the segments of the registry that this batch touches hold after it.
    segments: BTreeMap<u32, Option<Rrset>>,
    /// Sets of this batch.
    keys: Vec<Key>,
    /// Sets of batches that were accepted.
    sent: HashSet<Key>,
}

impl<'a> Batches<'a> {
    fn new(work: Work<'a>, writer: Box<dyn ZoneWriter + 'a>) -> Self {
        let state = work.live.clone();
        Self {
            work,
            writer,
            state,
            edits: vec![],
            size: 0,
            segments: BTreeMap::new(),
            keys: vec![],
            sent: HashSet::new(),
        }
    }

    /// Writes everything, or up to a signal, which is given back.
    fn write_all(&mut self, signals: Option<&Signals>) -> Result<Option<Exit>, DnsError> {
        let (changes, claims) = (self.work.changes, self.work.claims);
        for group in by_name(changes) {
            let touched = self.mark(&group, &[]);
            let edits: Vec<Edit> = group.iter().map(|change| self.edit(change)).collect();
            let keys = group.iter().map(|change| change.key.clone()).collect();
            if let Some(exit) = self.put(edits, keys, touched, signals)? {
                return Ok(Some(exit));
            }
        }
        for claim in claims {
            let touched = self.mark(&[], std::slice::from_ref(claim));
            if let Some(exit) = self.put(vec![], vec![claim.clone()], touched, signals)? {
                return Ok(Some(exit));
            }
        }
        if self.work.forget {
            let Work { zone, live, changes, claims, .. } = self.work;
            let touched = mark_all(zone, live, &mut self.work.registry, changes, claims, true);
            if let Some(exit) = self.put(vec![], vec![], touched, signals)? {
                return Ok(Some(exit));
            }
        }
        self.flush(signals)
    }

    fn mark(&mut self, changes: &[Change], claims: &[Key]) -> BTreeSet<u32> {
        mark_all(self.work.zone, self.work.live, &mut self.work.registry, changes, claims, false)
    }

    fn edit(&self, change: &Change) -> Edit {
        let alone = self.state.at(&change.key.name).next().is_none();
        let guard = match change.op {
            Op::Create if alone && change.key.record_type == RecordType::CNAME => Guard::NameUnused,
            Op::Create if change.key.record_type != RecordType::CNAME && !self.has_cname(change) => Guard::NoCname,
            _ => Guard::Nothing,
        };
        Edit {
            key: change.key.clone(),
            before: self.state.sets.get(&change.key).cloned(),
            after: change.after.clone(),
            guard,
        }
    }

    fn has_cname(&self, change: &Change) -> bool {
        self.state.sets.contains_key(&Key::new(change.key.name.clone(), RecordType::CNAME))
    }

    fn segment_edit(&self, number: u32, after: Option<Rrset>) -> Edit {
        let key = self.work.registry.key(number);
        let before: Option<LiveSet> = self.state.sets.get(&key).cloned();
        Edit { key, before, after, guard: Guard::Nothing }
    }

    /// Adds edits that belong together, after writing what is there where they no longer fit.
    fn put(
        &mut self,
        edits: Vec<Edit>,
        keys: Vec<Key>,
        touched: BTreeSet<u32>,
        signals: Option<&Signals>,
    ) -> Result<Option<Exit>, DnsError> {
        let size: usize = edits.iter().map(|edit| self.writer.size(edit)).sum();
        let changed: Vec<(u32, Option<Rrset>)> =
            touched.into_iter().map(|number| (number, self.work.registry.set(number))).collect();
        let mut segments = self.segments.clone();
        segments.extend(changed.iter().cloned());
        let marks: usize =
            segments.into_iter().map(|(number, set)| self.writer.size(&self.segment_edit(number, set))).sum();
        let full = self.size + size + marks > self.writer.room();
        if let Some(exit) = if full { self.flush(signals)? } else { None } {
            return Ok(Some(exit));
        }
        self.edits.extend(edits);
        self.size += size;
        self.segments.extend(changed);
        self.keys.extend(keys);
        Ok(None)
    }

    /// Writes the batch, marks first.
    fn flush(&mut self, signals: Option<&Signals>) -> Result<Option<Exit>, DnsError> {
        let segments = std::mem::take(&mut self.segments);
        let mut edits: Vec<Edit> = segments
            .into_iter()
            .map(|(number, set)| self.segment_edit(number, set))
            .filter(|edit| edit.before.is_some() || edit.after.is_some())
            .collect();
        edits.append(&mut self.edits);
        self.size = 0;
        if edits.is_empty() {
            return Ok(None);
        }
        if let Some(exit) = signals.and_then(Signals::requested) {
            return Ok(Some(exit));
        }
        self.writer.write(&edits)?;
        for edit in &edits {
            self.state.replace(&edit.key, edit.after.as_ref());
        }
        self.sent.extend(self.keys.drain(..));
        Ok(None)
    }
}

/// The changes name by name, in the order in which the names appear first.
fn by_name(changes: &[Change]) -> Vec<Vec<Change>> {
    let mut places = std::collections::HashMap::new();
    let mut groups: Vec<Vec<Change>> = Vec::new();
    for change in changes {
        let place = *places.entry(&change.key.name).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[place].push(change.clone());
    }
    groups
}

#[cfg(test)]
mod tests;
