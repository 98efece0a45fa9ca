//! Types of records.

use std::fmt;
use std::str::FromStr;

/// The type of a record, by its number (IANA, "Resource Record (RR) TYPEs").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RecordType(pub(crate) u16);

macro_rules! record_types {
    ($($name:ident = $number:literal $text:literal,)*) => {
        impl RecordType { $(pub(crate) const $name: RecordType = RecordType($number);)* }

        /// Every type with a mnemonic.
        const MNEMONICS: &[(u16, &str)] = &[$(($number, $text)),*];
    };
}

#[allow(dead_code, reason = "a table of the registry: some are known only by their mnemonic")]
mod table {
    use super::RecordType;

    record_types! {
        A = 1 "A", NS = 2 "NS", CNAME = 5 "CNAME", SOA = 6 "SOA", PTR = 12 "PTR", HINFO = 13 "HINFO", MX = 15 "MX",
        TXT = 16 "TXT", RP = 17 "RP", AFSDB = 18 "AFSDB", SIG = 24 "SIG", KEY = 25 "KEY", AAAA = 28 "AAAA", LOC = 29 "LOC",
        SRV = 33 "SRV", NAPTR = 35 "NAPTR", KX = 36 "KX", CERT = 37 "CERT", DNAME = 39 "DNAME", OPT = 41 "OPT",
        DS = 43 "DS", SSHFP = 44 "SSHFP", RRSIG = 46 "RRSIG", NSEC = 47 "NSEC", DNSKEY = 48 "DNSKEY", DHCID = 49 "DHCID",
        NSEC3 = 50 "NSEC3", NSEC3PARAM = 51 "NSEC3PARAM", TLSA = 52 "TLSA", SMIMEA = 53 "SMIMEA", CDS = 59 "CDS",
        CDNSKEY = 60 "CDNSKEY", OPENPGPKEY = 61 "OPENPGPKEY", CSYNC = 62 "CSYNC", ZONEMD = 63 "ZONEMD", SVCB = 64 "SVCB",
        HTTPS = 65 "HTTPS", SPF = 99 "SPF", TSIG = 250 "TSIG", IXFR = 251 "IXFR", AXFR = 252 "AXFR", ANY = 255 "ANY",
        URI = 256 "URI", CAA = 257 "CAA",
    }

    pub(super) fn mnemonics() -> &'static [(u16, &'static str)] {
        MNEMONICS
    }
}

/// BIND keeps its signing state in records of this type (seen in transfers of signed zones).
const BIND_PRIVATE: RecordType = RecordType(65534);

impl RecordType {
    /// Whether a signer or the server itself writes it, so that it is never planned (RFC 4034, 5155, 7344, 8976).
    pub(crate) fn is_server_made(self) -> bool {
        matches!(
            self,
            Self::SOA
                | Self::RRSIG
                | Self::NSEC
                | Self::NSEC3
                | Self::NSEC3PARAM
                | Self::DNSKEY
                | Self::CDS
                | Self::CDNSKEY
                | Self::ZONEMD
                | Self::SIG
                | Self::KEY
                | BIND_PRIVATE
        )
    }

    /// Whether it stands only in questions and messages, never in a zone (RFC 6895 section 3.1).
    pub(crate) fn is_meta(self) -> bool {
        self == Self::OPT || (128..=255).contains(&self.0) || self.0 == 0
    }

    /// The mnemonics of all types that have one, for "did you mean".
    pub(crate) fn mnemonics() -> impl Iterator<Item = &'static str> {
        table::mnemonics().iter().map(|(_, text)| *text)
    }
}

impl FromStr for RecordType {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let upper = text.to_ascii_uppercase();
        if let Some((number, _)) = table::mnemonics().iter().find(|(_, mnemonic)| *mnemonic == upper) {
            return Ok(Self(*number));
        }
        upper.strip_prefix("TYPE").and_then(|number| number.parse().ok()).map(Self).ok_or(())
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match table::mnemonics().iter().find(|(number, _)| *number == self.0) {
            Some((_, text)) => f.pad(text),
            None => f.pad(&format!("TYPE{}", self.0)),
        }
    }
}

impl fmt::Debug for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
