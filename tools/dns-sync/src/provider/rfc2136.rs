//! Name servers that take dynamic updates (RFC 2136) and hand out their zones (RFC 5936), both signed (RFC 8945).
//!
//! Every set that an update touches stands in its prerequisites with the values that were read, so that the server itself
//! refuses the whole message where somebody else was faster. TTLs are not part of that comparison (RFC 2136 section 2.4.2).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use contract::document::Rfc2136;

use super::{Edit, Guard, Provider, Surroundings, ZoneWriter};
use crate::error::DnsError;
use crate::live_zone::{LiveValue, LiveZone};
use crate::name::Name;
use crate::rdata::Rdata;
use crate::record_type::RecordType;
use crate::rrset::Key;
use crate::wire::{Class, Connection, Message, Opcode, Rcode, ResourceRecord, Section, TsigKey, Writer, record_size};

/// Octets that an update may take. A message over TCP holds 65,535; the rest is for the signature and for caution.
const ROOM: usize = 60_000;

/// A primary server.
pub(super) struct Rfc2136Server {
    server: SocketAddr,
    key: TsigKey,
    timeout: Duration,
}

/// Reads `ADDRESS:PORT`, `[ADDRESS]:PORT` or an address alone, which means port 53.
pub(crate) fn address(text: &str) -> Option<SocketAddr> {
    text.parse().ok().or_else(|| {
        let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        inner.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, 53))
    })
}

impl Rfc2136Server {
    pub(super) fn open(provider: &Rfc2136, surroundings: &Surroundings) -> Result<Self, DnsError> {
        let secret = surroundings.secrets.get(&provider.tsig.secret)?;
        let bytes = secret.text().and_then(|text| STANDARD.decode(text.trim()).ok());
        let bytes = bytes.ok_or_else(|| DnsError::KeyText { name: provider.tsig.secret.secret.to_string() })?;
        // Both were checked with the document.
        let (Some(server), Ok(name)) = (address(&provider.server), Name::absolute(&provider.tsig.name)) else {
            return Err(DnsError::UnknownZone);
        };
        let key = TsigKey::new(name, provider.tsig.algorithm, bytes.into());
        Ok(Self { server, key, timeout: surroundings.timeout })
    }
}

/// A number for a request. Over TCP, and signed, it has nothing to protect.
fn request_id(count: u16) -> u16 {
    (std::process::id() as u16).wrapping_add(count)
}

impl Provider for Rfc2136Server {
    fn guard(&self) -> &'static str {
        "prerequisites"
    }

    /// Transfers the zone. It is whole only if it ends with the SOA record that it begins with.
    fn read(&self, zone: &Name) -> Result<LiveZone, DnsError> {
        let bad = |what| DnsError::Protocol { server: self.server, what };
        let mut connection = Connection::open(self.server, self.timeout)?;
        let mut messages: Vec<Vec<u8>> = Vec::new();
        let mut first: Option<Vec<u8>> = None;
        let mut count = 0_usize;
        let request = Writer::new(request_id(0), Opcode::Query, zone, RecordType::AXFR).finish();
        // The bytes are kept and read later: Knot cuts off readers that are slow.
        connection.exchange(&self.key, request, |message| {
            if message.rcode != Rcode::NOERROR {
                return Err(DnsError::Rcode { server: self.server, doing: "the transfer", rcode: message.rcode });
            }
            let mut last = None;
            for record in message.answers() {
                count += 1;
                last = Some(record);
                if first.is_none() {
                    if record.record_type != RecordType::SOA || record.name != *zone {
                        return Err(bad("the transfer does not begin with the zone's SOA record"));
                    }
                    first = Some(soa_of(message, record));
                }
            }
            let ended = count > 1
                && last.is_some_and(|last| {
                    last.record_type == RecordType::SOA && last.name == *zone && Some(soa_of(message, last)) == first
                });
            if last.is_none() {
                return Err(bad("a message of the transfer is empty"));
            }
            messages.push(message.bytes.to_vec());
            Ok(ended)
        })?;
        let mut live = LiveZone::empty(zone.clone());
        for bytes in &messages {
            let message = Message::parse(bytes).ok_or_else(|| bad("it cannot be read"))?;
            for record in message.answers() {
                let (value, stored) =
                    Rdata::from_message(record.record_type, bytes, record.rdata_at, record.rdata_length)
                        .ok_or_else(|| bad("a record is cut off"))?;
                let key = Key::new(record.name.clone(), record.record_type);
                live.insert(key, record.ttl, LiveValue { value, stored });
            }
        }
        Ok(live)
    }

    fn writer<'a>(&'a self, live: &LiveZone) -> Result<Box<dyn ZoneWriter + 'a>, DnsError> {
        let connection = Connection::open(self.server, self.timeout)?;
        Ok(Box::new(UpdateWriter { server: self, zone: live.name.clone(), connection, count: 0 }))
    }
}

fn soa_of(message: &Message<'_>, record: &ResourceRecord) -> Vec<u8> {
    Rdata::from_message(record.record_type, message.bytes, record.rdata_at, record.rdata_length)
        .map(|(value, _)| value.wire().to_vec())
        .unwrap_or_default()
}

struct UpdateWriter<'a> {
    server: &'a Rfc2136Server,
    zone: Name,
    connection: Connection,
    count: u16,
}

impl UpdateWriter<'_> {
    fn prerequisites(edit: &Edit, message: &mut Writer) {
        let Key { name, record_type } = &edit.key;
        match &edit.before {
            Some(before) => {
                for value in &before.values {
                    message.record(Section::Answer, name, *record_type, Class::In, 0, value.stored());
                }
            }
            None => message.record(Section::Answer, name, *record_type, Class::None, 0, &[]),
        }
        match edit.guard {
            Guard::Nothing => {}
            Guard::NameUnused => message.record(Section::Answer, name, RecordType::ANY, Class::None, 0, &[]),
            Guard::NoCname => message.record(Section::Answer, name, RecordType::CNAME, Class::None, 0, &[]),
        }
    }

    fn updates(&self, edit: &Edit, message: &mut Writer) {
        let Key { name, record_type } = &edit.key;
        let add = |message: &mut Writer| {
            for (set, value) in edit.after.iter().flat_map(|set| set.values.iter().map(move |value| (set, value))) {
                message.record(Section::Authority, name, *record_type, Class::In, set.ttl, value.wire());
            }
        };
        // The set of the apex's name servers cannot be deleted (RFC 2136 section 3.4.2.3): add, then take away one by one.
        if *record_type == RecordType::NS && *name == self.zone {
            add(message);
            let kept = edit.after.as_ref().map_or(&[][..], |set| &set.values[..]);
            for value in edit.before.iter().flat_map(|set| &set.values) {
                if !kept.contains(&value.value) {
                    message.record(Section::Authority, name, *record_type, Class::None, 0, value.stored());
                }
            }
            return;
        }
        if edit.before.is_some() {
            message.record(Section::Authority, name, *record_type, Class::Any, 0, &[]);
        }
        add(message);
    }
}

impl ZoneWriter for UpdateWriter<'_> {
    fn room(&self) -> usize {
        ROOM
    }

    fn size(&self, edit: &Edit) -> usize {
        let name = edit.key.name.wire().len();
        let before: usize = edit.before.iter().flat_map(|set| &set.values).map(|value| value.stored().len()).sum();
        let before_count = edit.before.as_ref().map_or(0, |set| set.values.len());
        let after: usize = edit.after.iter().flat_map(|set| &set.values).map(|value| value.wire().len()).sum();
        let after_count = edit.after.as_ref().map_or(0, |set| set.values.len());
        // Twice what was before for name servers of the apex; one more record for a deletion and one for a guard.
        2 * before + after + record_size(name, 0) * (2 * before_count + after_count + 3)
    }

    fn write(&mut self, edits: &[Edit]) -> Result<(), DnsError> {
        self.count = self.count.wrapping_add(1);
        let mut message = Writer::new(request_id(self.count), Opcode::Update, &self.zone, RecordType::SOA);
        for edit in edits {
            Self::prerequisites(edit, &mut message);
        }
        for edit in edits {
            self.updates(edit, &mut message);
        }
        if message.len() > ROOM {
            let name = edits.first().map(|edit| edit.key.name.to_string()).unwrap_or_default();
            return Err(DnsError::TooLarge { name });
        }
        let server = self.server.server;
        self.connection.exchange(&self.server.key, message.finish(), |answer| match answer.rcode {
            Rcode::NOERROR => Ok(true),
            rcode if rcode.is_prerequisite() => Err(DnsError::Raced { rcode }),
            rcode => Err(DnsError::Rcode { server, doing: "the update", rcode }),
        })
    }
}
