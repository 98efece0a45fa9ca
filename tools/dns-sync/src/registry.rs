//! Which record sets are whose: the marks that owners leave in a shared zone.
//!
//! TXT records at `_plumbline.ZONE` and, where one name gets too long, at `_2._plumbline.ZONE` and so on hold, for every owner,
//! `v=1;owner=NAME;` and the hashes of the sets that it placed, 11 characters each. A mark is written in the same message as
//! its set. The hash is the first 8 octets of SHA-256 over `OWNER|NAME|TYPE` in base64url without padding, with the name in
//! lower case and with its final dot.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::live_zone::LiveZone;
use crate::name::Name;
use crate::rdata::Rdata;
use crate::record_type::RecordType;
use crate::rrset::{Key, Rrset};

/// The label under the zone.
const LABEL: &str = "_plumbline";
/// Marks at one name: with the old and the new form, one set stays well inside a message.
const MARKS_PER_NAME: usize = 250;
/// Seconds; nobody but us reads it.
const TTL: u32 = 3600;
/// Characters of a mark.
const MARK_LENGTH: usize = 11;

type Mark = [u8; 8];

/// The marks of all owners in a zone.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    zone: Name,
    owner: String,
    segments: BTreeMap<u32, Segment>,
    /// Which segment holds each mark of ours.
    ours: HashMap<Mark, u32>,
    others: Vec<(String, HashSet<Mark>)>,
}

/// The marks at one name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Segment {
    ours: BTreeSet<Mark>,
    /// Values that are not ours, left as they are.
    foreign: Vec<Rdata>,
    ttl: u32,
}

fn mark(owner: &str, key: &Key) -> Mark {
    let digest = Sha256::digest(format!("{owner}|{}|{}", key.name, key.record_type));
    let mut mark = Mark::default();
    mark.copy_from_slice(&digest[..8]);
    mark
}

/// The number of a segment by its name; `None` for every other name.
fn segment_of(zone: &Name, name: &Name) -> Option<u32> {
    let root = zone.child(LABEL).ok()?;
    if *name == root {
        return Some(1);
    }
    if name.parent()? != root {
        return None;
    }
    let label = std::str::from_utf8(name.labels().next()?).ok()?;
    label.strip_prefix('_')?.parse().ok().filter(|number| *number > 1)
}

/// Owner and marks of one value; `None` for a text of another kind.
fn parse(value: &Rdata) -> Option<(String, Vec<Mark>)> {
    let mut text = Vec::new();
    let mut rest = value.wire();
    while let Some((length, tail)) = rest.split_first() {
        text.extend_from_slice(tail.get(..usize::from(*length))?);
        rest = &tail[usize::from(*length)..];
    }
    let text = String::from_utf8(text).ok()?;
    let (owner, marks) = text.strip_prefix("v=1;owner=")?.split_once(';')?;
    let (marks, rest) = marks.as_bytes().as_chunks::<MARK_LENGTH>();
    if !rest.is_empty() {
        return None;
    }
    let marks = marks.iter().map(|mark| URL_SAFE_NO_PAD.decode(mark).ok()?.try_into().ok());
    Some((owner.to_owned(), marks.collect::<Option<_>>()?))
}

impl Registry {
    /// Whether a name belongs to the registry of a zone.
    pub(crate) fn is_reserved(zone: &Name, name: &Name) -> bool {
        zone.child(LABEL).is_ok_and(|root| name.is_in(&root))
    }

    /// The marks in a zone, seen by one owner.
    pub(crate) fn read(live: &LiveZone, owner: &str) -> Self {
        let mut registry = Self {
            zone: live.name.clone(),
            owner: owner.to_owned(),
            segments: BTreeMap::new(),
            ours: HashMap::new(),
            others: Vec::new(),
        };
        let mut others: BTreeMap<String, HashSet<Mark>> = BTreeMap::new();
        for (key, set) in &live.sets {
            let Some(number) = segment_of(&live.name, &key.name).filter(|_| key.record_type == RecordType::TXT) else {
                continue;
            };
            let mut segment = Segment { ttl: set.ttl, ..Segment::default() };
            for value in &set.values {
                match parse(&value.value) {
                    Some((name, marks)) if name == owner => {
                        registry.ours.extend(marks.iter().map(|mark| (*mark, number)));
                        segment.ours.extend(marks);
                    }
                    parsed => {
                        if let Some((name, marks)) = parsed {
                            others.entry(name).or_default().extend(marks);
                        }
                        segment.foreign.push(value.value.clone());
                    }
                }
            }
            registry.segments.insert(number, segment);
        }
        registry.others = others.into_iter().collect();
        registry
    }

    /// Whether a set is marked as ours.
    pub(crate) fn is_ours(&self, key: &Key) -> bool {
        self.ours.contains_key(&mark(&self.owner, key))
    }

    /// Another owner whose mark a set carries.
    pub(crate) fn other_owner(&self, key: &Key) -> Option<&str> {
        self.others.iter().find(|(owner, marks)| marks.contains(&mark(owner, key))).map(|(owner, _)| owner.as_str())
    }

    /// Marks a set as ours; the segment that changes, if one does.
    pub(crate) fn add(&mut self, key: &Key) -> Option<u32> {
        let mark = mark(&self.owner, key);
        if self.ours.contains_key(&mark) {
            return None;
        }
        let free =
            self.segments.iter().find(|(_, segment)| segment.ours.len() < MARKS_PER_NAME).map(|(number, _)| *number);
        let number =
            free.unwrap_or_else(|| (1..u32::MAX).find(|number| !self.segments.contains_key(number)).unwrap_or(1));
        self.segments.entry(number).or_insert_with(|| Segment { ttl: TTL, ..Segment::default() }).ours.insert(mark);
        self.ours.insert(mark, number);
        Some(number)
    }

    /// Takes our mark from a set; the segment that changes, if one does.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<u32> {
        self.remove_mark(mark(&self.owner, key))
    }

    fn remove_mark(&mut self, mark: Mark) -> Option<u32> {
        let number = self.ours.remove(&mark)?;
        self.segments.get_mut(&number)?.ours.remove(&mark);
        Some(number)
    }

    /// Takes away our marks of sets that are neither among `keys` nor elsewhere: somebody else removed the sets. The segments
    /// that change.
    pub(crate) fn forget_all_but<'a>(&mut self, keys: impl Iterator<Item = &'a Key>) -> BTreeSet<u32> {
        let alive: HashSet<Mark> = keys.map(|key| mark(&self.owner, key)).collect();
        let dead: Vec<Mark> = self.ours.keys().filter(|mark| !alive.contains(*mark)).copied().collect();
        dead.into_iter().filter_map(|mark| self.remove_mark(mark)).collect()
    }

    /// Name and type of a segment.
    pub(crate) fn key(&self, number: u32) -> Key {
        let root = self.zone.child(LABEL).unwrap_or_else(|_| self.zone.clone());
        let name = if number == 1 { root } else { root.child(&format!("_{number}")).unwrap_or(root) };
        Key::new(name, RecordType::TXT)
    }

    /// What a segment holds; `None` where it is empty and goes.
    pub(crate) fn set(&self, number: u32) -> Option<Rrset> {
        let segment = self.segments.get(&number)?;
        let mut values = segment.foreign.clone();
        if !segment.ours.is_empty() {
            let mut text = format!("v=1;owner={};", self.owner);
            for mark in &segment.ours {
                URL_SAFE_NO_PAD.encode_string(mark, &mut text);
            }
            values.extend(Rdata::text(text.as_bytes()));
        }
        (!values.is_empty()).then(|| Rrset::new(segment.ttl, values))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn key(label: &str) -> Key {
        Key::new(Name::absolute(&format!("{label}.example.org")).unwrap(), RecordType::A)
    }

    #[test]
    fn marks_survive_the_zone_and_leave_other_owners_alone() {
        let mut live = LiveZone::empty(Name::absolute("example.org").unwrap());
        let mut other = Registry::read(&live, "other");
        assert_eq!(other.add(&key("theirs")), Some(1));
        live.replace(&other.key(1), other.set(1).as_ref());
        let mut ours = Registry::read(&live, "fleet");
        assert_eq!(ours.other_owner(&key("theirs")), Some("other"));
        for number in 0..600 {
            ours.add(&key(&format!("h{number}")));
        }
        for number in 1..=3 {
            live.replace(&ours.key(number), ours.set(number).as_ref());
        }
        assert_eq!(ours.key(3).name.to_string(), "_3._plumbline.example.org.");
        let again = Registry::read(&live, "fleet");
        assert!((0..600).all(|number| again.is_ours(&key(&format!("h{number}")))));
        assert!(!again.is_ours(&key("theirs")));
        assert_eq!(again.other_owner(&key("theirs")), Some("other"));
        assert_eq!(Registry::read(&live, "other").set(1), ours.set(1).map(|set| Rrset::new(3600, set.values)));
        let mut last = again.clone();
        for number in 500..600 {
            assert_eq!(last.remove(&key(&format!("h{number}"))), Some(3));
        }
        assert_eq!(last.set(3), None);
        assert!(Registry::is_reserved(&live.name, &last.key(3).name));
    }

    #[test]
    fn marks_of_lost_sets_are_forgotten() {
        let live = LiveZone::empty(Name::absolute("example.org").unwrap());
        let mut registry = Registry::read(&live, "fleet");
        registry.add(&key("a"));
        registry.add(&key("b"));
        assert_eq!(registry.forget_all_but([key("a")].iter()), BTreeSet::from([1]));
        assert!(registry.is_ours(&key("a")) && !registry.is_ours(&key("b")));
    }
}
