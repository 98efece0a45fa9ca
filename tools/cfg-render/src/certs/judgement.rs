//! Whether a certificate has to be made again.

use std::fmt;

use contract::Duration;

use super::{Instant, Seen, Wanted, WantedAuthority};

/// What is to be said about a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// Good until then.
    Good(Instant),
    /// There is none.
    Missing,
    /// It holds other names than are wanted, or is limited to other domains.
    OtherNames,
    /// Another CA has signed it.
    OtherAuthority,
    /// It was good until then.
    Expired(Instant),
    /// It has less left than it should, and ends then.
    Expires(Instant),
    /// Two thirds of its life are over; it ends then.
    Due(Instant),
}

impl Judgement {
    /// Whether `renew` makes it again.
    pub fn is_due(&self) -> bool {
        !matches!(self, Judgement::Good(_))
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Judgement::Good(until) => write!(f, "is good until {until}"),
            Judgement::Missing => f.write_str("is not there"),
            Judgement::OtherNames => f.write_str("holds other names than the fleet wants"),
            Judgement::OtherAuthority => f.write_str("was made by another CA"),
            Judgement::Expired(until) => write!(f, "expired on {until}"),
            Judgement::Expires(until) => write!(f, "expires on {until}"),
            Judgement::Due(until) => write!(f, "is past two thirds of its life and ends on {until}"),
        }
    }
}

/// Judges a leaf. Without a CA to compare with, who signed it is not asked.
pub fn judge_leaf(wanted: &Wanted, seen: Option<&Seen>, ca: Option<&Seen>, warn: Duration, now: Instant) -> Judgement {
    let Some(seen) = seen else { return Judgement::Missing };
    let mut names = wanted.names.clone();
    names.sort();
    names.dedup();
    if seen.names != names {
        return Judgement::OtherNames;
    }
    if ca.is_some_and(|ca| !seen.is_signed_by(ca)) {
        return Judgement::OtherAuthority;
    }
    by_time(seen, warn, now)
}

/// Judges the CA's certificate. One that is limited to further domains than the fleet names is good: a domain that is
/// gone for a day must not make everybody install a new one.
pub fn judge_authority(wanted: &WantedAuthority, seen: Option<&Seen>, warn: Duration, now: Instant) -> Judgement {
    let Some(seen) = seen else { return Judgement::Missing };
    if !wanted.domains.iter().all(|domain| super::covers(&seen.domains, domain)) {
        return Judgement::OtherNames;
    }
    by_time(seen, warn, now)
}

fn by_time(seen: &Seen, warn: Duration, now: Instant) -> Judgement {
    let until = seen.not_after;
    if until <= now {
        Judgement::Expired(until)
    } else if until <= now.after(warn) {
        Judgement::Expires(until)
    } else if seen.due() <= now {
        Judgement::Due(until)
    } else {
        Judgement::Good(until)
    }
}
