//! A name, a type, and the records that share them: the unit of every change.

use contract::document::RecordSet;

use crate::name::Name;
use crate::rdata::{Rdata, RdataError};
use crate::record_type::RecordType;

/// What names a record set. Ordered by name as a tree, then by type.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Key {
    /// Owner name.
    pub(crate) name: Name,
    /// Type.
    pub(crate) record_type: RecordType,
}

impl Key {
    /// A key from its parts.
    pub(crate) fn new(name: Name, record_type: RecordType) -> Self {
        Self { name, record_type }
    }

    /// `NAME/TYPE` as it stands in a consent, without the final dot.
    pub(crate) fn consent(&self) -> String {
        format!("{}/{}", self.name.without_dot(), self.record_type)
    }
}

/// TTL and values of one name and type (RFC 2181 section 5: the TTL belongs to the set).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Rrset {
    /// Seconds.
    pub(crate) ttl: u32,
    /// Sorted, each once.
    pub(crate) values: Vec<Rdata>,
}

impl Rrset {
    /// A set from values in any order.
    pub(crate) fn new(ttl: u32, mut values: Vec<Rdata>) -> Self {
        values.sort_unstable();
        values.dedup();
        Self { ttl, values }
    }

    /// The set as documents hold it.
    pub(crate) fn to_document(&self, record_type: RecordType) -> RecordSet {
        let mut values: Vec<String> = self.values.iter().map(|value| value.to_text(record_type)).collect();
        values.sort_unstable();
        RecordSet { ttl: self.ttl, values }
    }

    /// The set that a document holds.
    pub(crate) fn from_document(record_type: RecordType, set: &RecordSet) -> Result<Self, RdataError> {
        let values = set.values.iter().map(|value| Rdata::parse(record_type, value, &Name::root()));
        Ok(Self::new(set.ttl, values.collect::<Result<_, _>>()?))
    }
}
