//! Which fields the RDATA of each type has, in order.

use super::field::Field::{
    self, Base64, Hex, Ipv4, Ipv6, Location, Name, Rest, Seconds, Str, Strings, SvcParams, Tag, U8, U16, U32,
};
use crate::record_type::RecordType;

/// A field and what it is called in errors.
type Layout = &'static [(&'static str, Field)];

/// The fields of a type; `None` for one that is known only as bytes.
pub(super) fn of(record_type: RecordType) -> Option<Layout> {
    Some(match record_type {
        // RFC 1035
        RecordType::A => &[("the address", Ipv4)],
        RecordType::NS | RecordType::CNAME | RecordType::PTR => &[("the target", Name)],
        RecordType::SOA => &[
            ("the primary server", Name),
            ("the mailbox", Name),
            ("the serial", U32),
            ("the refresh interval", Seconds),
            ("the retry interval", Seconds),
            ("the expiry", Seconds),
            ("the minimum", Seconds),
        ],
        RecordType::MX => &[("the preference", U16), ("the exchange", Name)],
        RecordType::TXT | RecordType::SPF => &[("the text", Strings)],
        RecordType::HINFO => &[("the processor", Str), ("the system", Str)],
        // RFC 1183, RFC 2230
        RecordType::RP => &[("the mailbox", Name), ("the text's name", Name)],
        RecordType::AFSDB => &[("the subtype", U16), ("the host", Name)],
        RecordType::KX => &[("the preference", U16), ("the exchanger", Name)],
        // RFC 3596
        RecordType::AAAA => &[("the address", Ipv6)],
        // RFC 1876
        RecordType::LOC => &[("the location", Location)],
        // RFC 2782, RFC 3403, RFC 6672
        RecordType::SRV => &[("the priority", U16), ("the weight", U16), ("the port", U16), ("the target", Name)],
        RecordType::NAPTR => &[
            ("the order", U16),
            ("the preference", U16),
            ("the flags", Str),
            ("the service", Str),
            ("the expression", Str),
            ("the replacement", Name),
        ],
        RecordType::DNAME => &[("the target", Name)],
        // RFC 4034, RFC 4255, RFC 6698, RFC 8162
        RecordType::DS | RecordType::CDS => {
            &[("the key tag", U16), ("the algorithm", U8), ("the digest type", U8), ("the digest", Hex)]
        }
        RecordType::DNSKEY | RecordType::CDNSKEY => {
            &[("the flags", U16), ("the protocol", U8), ("the algorithm", U8), ("the key", Base64)]
        }
        RecordType::SSHFP => &[("the algorithm", U8), ("the hash", U8), ("the fingerprint", Hex)],
        RecordType::TLSA | RecordType::SMIMEA => {
            &[("the usage", U8), ("the selector", U8), ("the matching type", U8), ("the data", Hex)]
        }
        // RFC 4701, RFC 7929
        RecordType::DHCID | RecordType::OPENPGPKEY => &[("the data", Base64)],
        // RFC 9460
        RecordType::SVCB | RecordType::HTTPS => {
            &[("the priority", U16), ("the target", Name), ("the parameters", SvcParams)]
        }
        // RFC 7553, RFC 8659
        RecordType::URI => &[("the priority", U16), ("the weight", U16), ("the target", Rest)],
        RecordType::CAA => &[("the flags", U8), ("the tag", Tag), ("the value", Rest)],
        _ => return None,
    })
}
