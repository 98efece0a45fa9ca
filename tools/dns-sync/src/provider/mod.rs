//! Where zones are kept. One file a kind.

#[cfg(test)]
pub(crate) mod memory;
mod rfc2136;
mod zonefile;

use std::path::PathBuf;
use std::time::Duration;

use cli::SecretStore;
use contract::document::DnsProvider;

use crate::error::DnsError;
use crate::live_zone::{LiveSet, LiveZone};
use crate::name::Name;
use crate::rrset::{Key, Rrset};

pub(crate) use rfc2136::address;

/// A place that keeps zones.
pub(crate) trait Provider: Send + Sync {
    /// How an apply makes sure that nobody changed the zone meanwhile: `prerequisites` or `reread`.
    fn guard(&self) -> &'static str;

    /// Everything in a zone.
    fn read(&self, zone: &Name) -> Result<LiveZone, DnsError>;

    /// Begins to write to a zone that was read.
    fn writer<'a>(&'a self, live: &LiveZone) -> Result<Box<dyn ZoneWriter + 'a>, DnsError>;
}

/// Writes batches of edits to one zone, each batch wholly or not at all.
pub(crate) trait ZoneWriter {
    /// Octets that a batch may take, measured by `size`.
    fn room(&self) -> usize {
        usize::MAX
    }

    /// Octets that an edit takes in a batch.
    fn size(&self, _edit: &Edit) -> usize {
        0
    }

    /// Writes one batch. An error other than [`DnsError::Timeout`] and [`DnsError::Broken`] means that none of it was written.
    fn write(&mut self, edits: &[Edit]) -> Result<(), DnsError>;
}

/// The TTL of sets that declare none, at providers that have no default of their own, in seconds.
pub(crate) const DEFAULT_TTL: u32 = 3600;

/// One set that becomes another.
#[derive(Debug, Clone)]
pub(crate) struct Edit {
    /// Which.
    pub(crate) key: Key,
    /// As it is stored now; the write must fail where it is not.
    pub(crate) before: Option<LiveSet>,
    /// As it shall be.
    pub(crate) after: Option<Rrset>,
    /// What must hold besides.
    pub(crate) guard: Guard,
}

/// What must hold at the name of an edit besides its own set (a CNAME stands alone, RFC 1034 section 3.6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Nothing else.
    Nothing,
    /// The name has no records at all.
    NameUnused,
    /// The name has no CNAME.
    NoCname,
}

/// What providers need from the command line.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    /// Paths in the document are relative to it.
    pub(crate) base: PathBuf,
    /// Where secrets are.
    pub(crate) secrets: SecretStore,
    /// How long one exchange may take.
    pub(crate) timeout: Duration,
}

/// The kind that a provider names; `None` where it names none or several.
pub(crate) fn kind_of(provider: &DnsProvider) -> Option<&'static str> {
    let kinds = [
        ("rfc2136", provider.rfc2136.is_some()),
        ("zonefile", provider.zonefile.is_some()),
        ("cloudflare", provider.cloudflare.is_some()),
        ("powerdns", provider.powerdns.is_some()),
        ("hetzner", provider.hetzner.is_some()),
        ("desec", provider.desec.is_some()),
        ("scaleway", provider.scaleway.is_some()),
    ];
    let mut given = kinds.iter().filter(|(_, given)| *given);
    match (given.next(), given.next()) {
        (Some((kind, _)), None) => Some(kind),
        _ => None,
    }
}

/// Whether this build can write to a kind.
pub(crate) fn is_supported(kind: &str) -> bool {
    matches!(kind, "rfc2136" | "zonefile")
}

/// Makes ready to talk to a provider; reads its secret, connects to nothing.
pub(crate) fn open(
    name: &str,
    provider: &DnsProvider,
    surroundings: &Surroundings,
) -> Result<Box<dyn Provider>, DnsError> {
    if let Some(zonefile) = &provider.zonefile {
        return Ok(Box::new(zonefile::ZoneFiles::open(zonefile, &surroundings.base)));
    }
    if let Some(rfc2136) = &provider.rfc2136 {
        return Ok(Box::new(rfc2136::Rfc2136Server::open(rfc2136, surroundings)?));
    }
    Err(DnsError::UnsupportedProvider { provider: name.into(), kind: kind_of(provider).unwrap_or("unknown") })
}
