//! A zone as it is.

use std::collections::BTreeMap;

use crate::name::Name;
use crate::rdata::Rdata;
use crate::record_type::RecordType;
use crate::rrset::{Key, Rrset};

/// Everything in a zone, as its provider holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LiveZone {
    /// The zone.
    pub(crate) name: Name,
    /// Its record sets, SOA included.
    pub(crate) sets: BTreeMap<Key, LiveSet>,
    /// The zone does not exist yet, and an apply makes it (zone files only).
    pub(crate) missing: bool,
}

/// One record set as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct LiveSet {
    /// Seconds; the smallest where records of the set differ.
    pub(crate) ttl: u32,
    /// Records of the set have different TTLs.
    pub(crate) mixed_ttl: bool,
    /// The values, sorted.
    pub(crate) values: Vec<LiveValue>,
}

/// One value as it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LiveValue {
    /// Its canonical form.
    pub(crate) value: Rdata,
    /// The bytes that are stored, where they are other ones.
    pub(crate) stored: Option<Box<[u8]>>,
}

impl LiveValue {
    /// The bytes that are stored.
    pub(crate) fn stored(&self) -> &[u8] {
        self.stored.as_deref().unwrap_or_else(|| self.value.wire())
    }
}

impl LiveZone {
    /// A zone without records.
    pub(crate) fn empty(name: Name) -> Self {
        Self { name, sets: BTreeMap::new(), missing: false }
    }

    /// Adds one record.
    pub(crate) fn insert(&mut self, key: Key, ttl: u32, value: LiveValue) {
        let set = self.sets.entry(key).or_insert_with(|| LiveSet { ttl, ..LiveSet::default() });
        if set.ttl != ttl {
            set.mixed_ttl = true;
            set.ttl = set.ttl.min(ttl);
        }
        if let Err(place) = set.values.binary_search(&value) {
            set.values.insert(place, value);
        }
    }

    /// A set in the form in which changes and documents hold it.
    pub(crate) fn rrset(&self, key: &Key) -> Option<Rrset> {
        self.sets.get(key).map(LiveSet::rrset)
    }

    /// Puts a set in the place of what is there; `None` takes it away.
    pub(crate) fn replace(&mut self, key: &Key, set: Option<&Rrset>) {
        match set {
            Some(set) => {
                self.sets.insert(key.clone(), LiveSet::from(set));
            }
            None => {
                self.sets.remove(key);
            }
        }
    }

    /// The sets at one name.
    pub(crate) fn at<'a>(&'a self, name: &'a Name) -> impl Iterator<Item = (&'a Key, &'a LiveSet)> {
        let from = Key::new(name.clone(), RecordType(0));
        self.sets.range(from..).take_while(move |(key, _)| key.name == *name)
    }

    /// The serial of its SOA record (RFC 1035 section 3.3.13).
    pub(crate) fn serial(&self) -> Option<u32> {
        let soa = self.sets.get(&Key::new(self.name.clone(), RecordType::SOA))?.values.first()?.value.wire();
        let at = soa.len().checked_sub(20)?;
        soa.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
    }
}

impl LiveSet {
    /// The set in the form in which changes and documents hold it.
    pub(crate) fn rrset(&self) -> Rrset {
        Rrset::new(self.ttl, self.values.iter().map(|value| value.value.clone()).collect())
    }

    /// Whether it is as declared, so that nothing is to be done.
    pub(crate) fn is(&self, wanted: &Rrset) -> bool {
        if self.mixed_ttl || self.ttl != wanted.ttl {
            return false;
        }
        let mut mine = self.values.iter().map(|value| &value.value).collect::<Vec<_>>();
        mine.dedup();
        mine.into_iter().eq(wanted.values.iter())
    }
}

impl From<&Rrset> for LiveSet {
    fn from(set: &Rrset) -> Self {
        let values = set.values.iter().map(|value| LiveValue { value: value.clone(), stored: None }).collect();
        Self { ttl: set.ttl, mixed_ttl: false, values }
    }
}
