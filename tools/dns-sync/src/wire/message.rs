//! DNS messages (RFC 1035 section 4).

use super::Rcode;
use crate::name::Name;
use crate::record_type::RecordType;

/// What a message asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opcode {
    /// A question, a transfer included.
    Query = 0,
    /// RFC 2136.
    Update = 5,
}

/// The class of a record. Updates give NONE and ANY a meaning of their own (RFC 2136 sections 2.4 and 2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Class {
    In = 1,
    None = 254,
    Any = 255,
}

/// The sections behind the question. An update calls them prerequisite, update and additional.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Answer = 1,
    Authority = 2,
    Additional = 3,
}

/// Octets of a header.
pub(crate) const HEADER: usize = 12;

/// Writes a message, without compression.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// A message with one question (in an update: the zone).
    pub(crate) fn new(id: u16, opcode: Opcode, name: &Name, record_type: RecordType) -> Self {
        let mut bytes = Vec::with_capacity(512);
        bytes.extend(id.to_be_bytes());
        bytes.extend([(opcode as u8) << 3, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(name.wire());
        bytes.extend(record_type.0.to_be_bytes());
        bytes.extend((Class::In as u16).to_be_bytes());
        Self { bytes }
    }

    /// Adds a record. Sections must be filled in order.
    pub(crate) fn record(
        &mut self,
        section: Section,
        name: &Name,
        record_type: RecordType,
        class: Class,
        ttl: u32,
        rdata: &[u8],
    ) {
        self.raw(section, name, record_type, class as u16, ttl, rdata);
    }

    /// Announces what fits into an answer over UDP (RFC 6891; 1232 octets pass every path that carries IPv6).
    pub(crate) fn edns(&mut self) {
        self.raw(Section::Additional, &Name::root(), RecordType::OPT, 1232, 0, &[]);
    }

    fn raw(&mut self, section: Section, name: &Name, record_type: RecordType, class: u16, ttl: u32, rdata: &[u8]) {
        self.bytes.extend_from_slice(name.wire());
        self.bytes.extend(record_type.0.to_be_bytes());
        self.bytes.extend(class.to_be_bytes());
        self.bytes.extend(ttl.to_be_bytes());
        self.bytes.extend((rdata.len() as u16).to_be_bytes());
        self.bytes.extend_from_slice(rdata);
        let at = 4 + 2 * section as usize;
        let count = u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]]).wrapping_add(1);
        self.bytes[at..at + 2].copy_from_slice(&count.to_be_bytes());
    }

    /// How long the message is so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The message.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Octets that a record takes in a message without compression.
pub(crate) const fn record_size(name: usize, rdata: usize) -> usize {
    name + 10 + rdata
}

/// A message that was received.
#[derive(Debug, Clone)]
pub(crate) struct Message<'a> {
    pub(crate) bytes: &'a [u8],
    /// Number of the request.
    pub(crate) id: u16,
    /// It is a response.
    pub(crate) response: bool,
    /// The server is authoritative.
    pub(crate) authoritative: bool,
    /// It was cut to fit.
    pub(crate) truncated: bool,
    /// How the request ended.
    pub(crate) rcode: Rcode,
    /// Records of the three sections, in order.
    pub(crate) records: Vec<ResourceRecord>,
    /// Where the last record begins, for TSIG.
    pub(crate) last_record_at: usize,
}

/// A record of a message. Its RDATA stays in the message, because compressed names point into that.
#[derive(Debug, Clone)]
pub(crate) struct ResourceRecord {
    pub(crate) section: Section,
    pub(crate) name: Name,
    pub(crate) record_type: RecordType,
    pub(crate) class: u16,
    pub(crate) ttl: u32,
    pub(crate) rdata_at: usize,
    pub(crate) rdata_length: usize,
}

impl<'a> Message<'a> {
    /// Reads a message; `None` where the bytes are none.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let word = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        let (id, flags) = (word(0)?, word(2)?);
        let mut at = HEADER;
        for _ in 0..word(4)? {
            at = Name::from_message(bytes, at).ok()?.1 + 4;
        }
        let mut records = Vec::new();
        let mut last_record_at = at;
        for section in [Section::Answer, Section::Authority, Section::Additional] {
            for _ in 0..word(4 + 2 * section as usize)? {
                last_record_at = at;
                let (name, fixed) = Name::from_message(bytes, at).ok()?;
                let rdata_length = usize::from(word(fixed + 8)?);
                let ttl = u32::from_be_bytes(bytes.get(fixed + 4..fixed + 8)?.try_into().ok()?);
                let rdata_at = fixed + 10;
                at = rdata_at + rdata_length;
                bytes.get(rdata_at..at)?;
                let (record_type, class) = (RecordType(word(fixed)?), word(fixed + 2)?);
                records.push(ResourceRecord { section, name, record_type, class, ttl, rdata_at, rdata_length });
            }
        }
        (at == bytes.len()).then_some(Self {
            bytes,
            id,
            response: flags & 0x8000 != 0,
            authoritative: flags & 0x0400 != 0,
            truncated: flags & 0x0200 != 0,
            rcode: Rcode((flags & 15) as u8),
            records,
            last_record_at,
        })
    }

    /// The records of the answer section.
    pub(crate) fn answers(&self) -> impl Iterator<Item = &ResourceRecord> {
        self.records.iter().filter(|record| record.section == Section::Answer && record.class == Class::In as u16)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let zone = Name::absolute("example.org").unwrap();
        let mut writer = Writer::new(7, Opcode::Update, &zone, RecordType::SOA);
        writer.record(Section::Answer, &zone, RecordType::A, Class::None, 0, &[]);
        writer.record(Section::Authority, &zone, RecordType::A, Class::In, 60, &[192, 0, 2, 1]);
        writer.edns();
        let bytes = writer.finish();
        let message = Message::parse(&bytes).unwrap();
        assert_eq!((message.id, message.response, message.records.len()), (7, false, 3));
        assert_eq!(message.records[1].ttl, 60);
        assert_eq!(message.records[2].record_type, RecordType::OPT);
        assert_eq!(message.last_record_at, bytes.len() - 11);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            // Few records, so that the parser gets further than the first.
            for at in [4, 6, 8, 10] {
                if bytes.len() > at + 1 {
                    bytes[at] = 0;
                    bytes[at + 1] &= 3;
                }
            }
            let _ = Message::parse(&bytes);
        }
    }
}
