//! A provider in memory, for property tests of plan and apply.

use std::sync::Mutex;

use super::{Edit, Guard, Provider, ZoneWriter};
use crate::error::DnsError;
use crate::live_zone::LiveZone;
use crate::name::Name;
use crate::record_type::RecordType;
use crate::wire::Rcode;

/// One zone in memory, with the rules of a strict server.
pub(crate) struct Memory {
    pub(crate) zone: Mutex<LiveZone>,
    /// Octets of a batch, to force several.
    pub(crate) room: usize,
}

impl Provider for Memory {
    fn guard(&self) -> &'static str {
        "prerequisites"
    }

    fn read(&self, _zone: &Name) -> Result<LiveZone, DnsError> {
        Ok(self.zone.lock().map_err(|_| DnsError::UnknownZone)?.clone())
    }

    fn writer<'a>(&'a self, _live: &LiveZone) -> Result<Box<dyn ZoneWriter + 'a>, DnsError> {
        Ok(Box::new(MemoryWriter(self)))
    }
}

struct MemoryWriter<'a>(&'a Memory);

impl ZoneWriter for MemoryWriter<'_> {
    fn room(&self) -> usize {
        self.0.room
    }

    fn size(&self, edit: &Edit) -> usize {
        let sets = [edit.before.as_ref().map(|set| set.values.len()), edit.after.as_ref().map(|set| set.values.len())];
        40 + sets.into_iter().flatten().sum::<usize>() * 40
    }

    fn write(&mut self, edits: &[Edit]) -> Result<(), DnsError> {
        let mut zone = self.0.zone.lock().map_err(|_| DnsError::UnknownZone)?;
        let raced = || DnsError::Raced { rcode: Rcode(8) };
        for edit in edits {
            if zone.sets.get(&edit.key) != edit.before.as_ref() {
                return Err(raced());
            }
            let at_name =
                |wanted: fn(RecordType) -> bool| zone.at(&edit.key.name).any(|(key, _)| wanted(key.record_type));
            let violated = match edit.guard {
                Guard::Nothing => false,
                Guard::NameUnused => at_name(|_| true),
                Guard::NoCname => at_name(|record_type| record_type == RecordType::CNAME),
            };
            if violated {
                return Err(raced());
            }
        }
        for edit in edits {
            let cname = edit.key.record_type == RecordType::CNAME;
            // As BIND and Knot: what breaks the rule is dropped without a word.
            let blocked = zone.at(&edit.key.name).any(|(key, _)| (key.record_type == RecordType::CNAME) != cname);
            if edit.after.is_some() && blocked {
                continue;
            }
            zone.replace(&edit.key, edit.after.as_ref());
        }
        Ok(())
    }
}
