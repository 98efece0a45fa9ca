//! From the records of a zone to the text of its file.

use std::fmt::Write;

use crate::live_zone::LiveZone;
use crate::record_type::RecordType;
use crate::rrset::Key;

/// The zone as a file: the SOA record first, then every record on a line of its own, sorted, all names absolute. The same
/// records give the same bytes.
pub(crate) fn write(zone: &LiveZone) -> String {
    let soa = Key::new(zone.name.clone(), RecordType::SOA);
    let mut text = String::new();
    let first = zone.sets.get_key_value(&soa);
    for (key, set) in first.into_iter().chain(zone.sets.iter().filter(|(key, _)| **key != soa)) {
        let name = key.name.to_string();
        let mut values: Vec<String> = set.values.iter().map(|value| value.value.to_text(key.record_type)).collect();
        values.sort_unstable();
        values.dedup();
        for value in values {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{name}\t{}\tIN\t{}\t{value}", set.ttl, key.record_type);
        }
    }
    text
}
