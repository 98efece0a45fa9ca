//! How a server ended a request (RFC 1035 section 4.1.1, RFC 2136 section 2.2, RFC 6895 section 2.3).

use std::fmt;

/// A response code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rcode(pub(crate) u8);

impl Rcode {
    /// No error.
    pub(crate) const NOERROR: Rcode = Rcode(0);
    /// The name does not exist.
    pub(crate) const NXDOMAIN: Rcode = Rcode(3);
    /// The server does not want to.
    pub(crate) const REFUSED: Rcode = Rcode(5);
    /// The server is not authoritative for the zone, or TSIG failed.
    pub(crate) const NOTAUTH: Rcode = Rcode(9);

    /// Whether a prerequisite of an update did not hold: YXDOMAIN, YXRRSET, NXRRSET, and NXDOMAIN.
    pub(crate) fn is_prerequisite(self) -> bool {
        matches!(self.0, 3 | 6..=8)
    }
}

impl fmt::Display for Rcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 11] = [
            "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET",
            "NOTAUTH", "NOTZONE",
        ];
        match NAMES.get(usize::from(self.0)) {
            Some(name) => f.write_str(name),
            None => write!(f, "RCODE{}", self.0),
        }
    }
}
