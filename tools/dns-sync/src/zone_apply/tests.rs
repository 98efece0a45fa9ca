#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Mutex;

use cli::Consents;
use contract::document::{RecordPhase, ZoneMode};
use proptest::prelude::*;

use super::*;
use crate::declared_zone::DeclaredSet;
use crate::name::Name;
use crate::provider::memory::Memory;
use crate::rdata::Rdata;
use crate::zone_plan::{Scope, plan};

const ALL: Scope = Scope { phase: None, partial: false };

fn zone() -> Name {
    Name::absolute("example.org").unwrap()
}

/// Few names and types, so that sets meet.
fn any_key() -> impl Strategy<Value = Key> {
    let names = prop::sample::select(vec!["@", "a", "b", "c", "a.b", "*", "_acme-challenge", "deep.a.b"]);
    let types = prop::sample::select(vec![RecordType::A, RecordType::CNAME, RecordType::TXT, RecordType::MX]);
    (names, types).prop_map(|(name, record_type)| Key::new(Name::parse(name, &zone()).unwrap(), record_type))
}

fn any_set() -> impl Strategy<Value = (Key, Rrset)> {
    let seeds = prop::collection::vec(any::<u8>(), 1..4);
    (any_key(), prop::sample::select(vec![60_u32, 300]), seeds).prop_map(|(key, ttl, seeds)| {
        let values = seeds.iter().map(|seed| value(key.record_type, seed % 4)).collect();
        (key, Rrset::new(ttl, values))
    })
}

fn value(record_type: RecordType, seed: u8) -> Rdata {
    let text = match record_type {
        RecordType::A => format!("192.0.2.{seed}"),
        RecordType::CNAME => format!("t{seed}"),
        RecordType::TXT => format!("\"text {seed}\""),
        _ => format!("{seed} mail"),
    };
    Rdata::parse(record_type, &text, &zone()).unwrap()
}

/// Sets that may stand in one zone: a CNAME alone, with one value, and not at the apex.
fn legal(sets: Vec<(Key, Rrset)>) -> BTreeMap<Key, Rrset> {
    let mut legal: BTreeMap<Key, Rrset> = BTreeMap::new();
    for (key, mut set) in sets {
        let cname = key.record_type == RecordType::CNAME;
        let clash =
            legal.keys().any(|other| other.name == key.name && (cname || other.record_type == RecordType::CNAME));
        if clash || (cname && key.name == zone()) {
            continue;
        }
        if cname {
            set.values.truncate(1);
        }
        legal.insert(key, set);
    }
    legal
}

fn declared(mode: ZoneMode, sets: &BTreeMap<Key, Rrset>) -> DeclaredZone {
    let mut zone = DeclaredZone {
        name: zone(),
        provider: "memory".into(),
        mode,
        manage_apex_ns: false,
        ignore: vec![],
        sets: BTreeMap::new(),
    };
    for (key, set) in sets {
        if zone.ignored(key).is_none() {
            let pointer = contract::Pointer::root();
            let set = DeclaredSet { set: set.clone(), phase: RecordPhase::After, from: vec![], pointer };
            zone.sets.insert(key.clone(), set);
        }
    }
    zone
}

/// Plans and applies without asking for consent; gives back what was planned.
fn converge(memory: &Memory, zone: &DeclaredZone, consents: &Consents) -> (usize, ZoneOutcome) {
    let live = memory.read(&zone.name).unwrap();
    let registry = Registry::read(&live, "fleet");
    let plan = plan(zone, &live, &registry, ALL, consents);
    still_as_planned(&live, &plan.changes, &plan.claims).unwrap();
    let work = Work { zone, live: &live, registry, changes: &plan.changes, claims: &plan.claims, forget: true };
    (plan.changes.len() + plan.claims.len(), apply(memory, work, None))
}

fn mode() -> impl Strategy<Value = ZoneMode> {
    prop::sample::select(vec![ZoneMode::Owned, ZoneMode::WholeZone, ZoneMode::Additive])
}

proptest! {
    #[test]
    fn one_apply_converges_and_foreign_sets_stay(
        foreign in prop::collection::vec(any_set(), 0..8),
        first in prop::collection::vec(any_set(), 0..8),
        second in prop::collection::vec(any_set(), 0..8),
        mode in mode(),
        room in prop::sample::select(vec![400_usize, 2000, 60_000]),
    ) {
        let foreign = legal(foreign);
        let mut live = LiveZone::empty(zone());
        for (key, set) in &foreign {
            live.replace(key, Some(set));
        }
        let memory = Memory { zone: Mutex::new(live), room };
        for wanted in [first, second] {
            // What is declared keeps away from names of foreign sets: those take a consent, which another test gives.
            let wanted: Vec<_> =
                wanted.into_iter().filter(|(key, _)| foreign.keys().all(|other| other.name != key.name)).collect();
            let zone = declared(mode, &legal(wanted));
            if mode == ZoneMode::Additive {
                // Nothing is removed, so that a CNAME of the first round may block the second.
                let live = memory.read(&zone.name).unwrap();
                if zone.sets.keys().any(|key| live.at(&key.name).any(|(other, _)| other != key)) {
                    continue;
                }
            }
            let (_, outcome) = converge(&memory, &zone, &Consents::default());
            prop_assert!(outcome.error.is_none(), "{:?}", outcome.error);
            prop_assert!(outcome.not_effective.is_empty() && outcome.failed.is_empty());
            let (again, _) = converge(&memory, &zone, &Consents::default());
            prop_assert_eq!(again, 0, "the second plan is empty");
            let now = memory.read(&zone.name).unwrap();
            for (key, set) in &zone.sets {
                prop_assert!(now.sets[key].is(&set.set));
            }
            let ours = |key: &&Key| zone.sets.contains_key(*key);
            for (key, set) in &foreign {
                if mode != ZoneMode::WholeZone || zone.ignored(key).is_some() {
                    prop_assert_eq!(now.rrset(key), Some(set.clone()), "foreign sets stay");
                }
            }
            if mode == ZoneMode::Owned {
                let others = now.sets.keys().filter(|key| !ours(key) && !foreign.contains_key(*key));
                prop_assert!(others.clone().all(|key| Registry::is_reserved(&zone.name, &key.name)), "nothing is left over");
                let registry = Registry::read(&now, "fleet");
                prop_assert!(zone.sets.keys().all(|key| registry.is_ours(key)));
                prop_assert!(!foreign.keys().any(|key| registry.is_ours(key)));
            }
        }
    }

    #[test]
    fn changes_and_their_inverse_end_where_they_began(
        first in prop::collection::vec(any_set(), 0..8),
        second in prop::collection::vec(any_set(), 0..8),
    ) {
        let memory = Memory { zone: Mutex::new(LiveZone::empty(zone())), room: 60_000 };
        converge(&memory, &declared(ZoneMode::Owned, &legal(first)), &Consents::default());
        let before = memory.read(&zone()).unwrap();
        let second = declared(ZoneMode::Owned, &legal(second));
        let (_, outcome) = converge(&memory, &second, &Consents::default());
        let mut back: Vec<Change> = outcome.applied.iter().rev().map(Change::inverse).collect();
        back.sort_by_key(|change| change.op != Op::Delete);
        let live = memory.read(&zone()).unwrap();
        still_as_planned(&live, &back, &[]).unwrap();
        let registry = Registry::read(&live, "fleet");
        let work = Work { zone: &second, live: &live, registry, changes: &back, claims: &[], forget: false };
        let outcome = apply(&memory, work, None);
        prop_assert!(outcome.error.is_none());
        prop_assert_eq!(memory.read(&zone()).unwrap(), before);
    }
}

#[test]
fn a_large_zone_goes_in_several_batches_with_its_marks() {
    let memory = Memory { zone: Mutex::new(LiveZone::empty(zone())), room: 9000 };
    let sets = (0..1200_u32).map(|number| {
        let key = Key::new(Name::parse(&format!("h{number}"), &zone()).unwrap(), RecordType::A);
        (key, Rrset::new(300, vec![value(RecordType::A, 1)]))
    });
    let zone = declared(ZoneMode::Owned, &sets.collect());
    let (_, outcome) = converge(&memory, &zone, &Consents::default());
    assert!(outcome.error.is_none() && outcome.applied.len() == 1200);
    let live = memory.read(&zone.name).unwrap();
    assert_eq!(live.sets.len(), 1205, "five names hold the marks");
    let (_, outcome) = converge(&memory, &declared(ZoneMode::Owned, &BTreeMap::new()), &Consents::default());
    assert!(outcome.error.is_none());
    assert!(memory.read(&zone.name).unwrap().sets.is_empty(), "the marks go with the sets");
}

#[test]
fn what_the_server_drops_is_seen() {
    let mut live = LiveZone::empty(zone());
    let a = Key::new(Name::parse("a", &zone()).unwrap(), RecordType::A);
    live.replace(&a, Some(&Rrset::new(60, vec![value(RecordType::A, 1)])));
    let memory = Memory { zone: Mutex::new(live.clone()), room: 60_000 };
    let cname = Key::new(a.name.clone(), RecordType::CNAME);
    let after = Some(Rrset::new(60, vec![value(RecordType::CNAME, 1)]));
    let changes = [Change { op: Op::Create, key: cname, before: None, after, from: vec![] }];
    assert!(matches!(still_as_planned(&live, &changes, &[]), Err(DnsError::Stale { .. })));
    let zone = declared(ZoneMode::WholeZone, &BTreeMap::new());
    let registry = Registry::read(&live, "fleet");
    let work = Work { zone: &zone, live: &live, registry, changes: &changes, claims: &[], forget: false };
    let outcome = apply(&memory, work, None);
    assert_eq!(outcome.not_effective.len(), 1);
    assert!(matches!(outcome.error, Some(DnsError::NotEffective { count: 1 })));
}
