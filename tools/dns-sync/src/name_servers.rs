//! Where a zone is served.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use hickory_resolver::{ResolverBuilder, TokioResolver};

use crate::error::DnsError;
use crate::live_zone::LiveZone;
use crate::name::Name;
use crate::record_type::RecordType;
use crate::rrset::Key;

/// An authoritative server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NameServer {
    /// Its name.
    pub(crate) name: String,
    /// Where it is asked.
    pub(crate) address: SocketAddr,
}

/// The servers that a zone names, at every address: those that the zone itself holds, else those that the system's resolver
/// finds.
///
/// # Errors
/// A zone without servers, or one whose address nobody knows.
pub(crate) fn of_zone(live: &LiveZone) -> Result<Vec<NameServer>, DnsError> {
    let servers = live.sets.get(&Key::new(live.name.clone(), RecordType::NS)).ok_or(DnsError::NoServers)?;
    let mut found = BTreeSet::new();
    for name in servers.values.iter().filter_map(|value| value.value.target(RecordType::NS)) {
        let mut addresses = in_zone(live, &name);
        if addresses.is_empty() {
            addresses = resolve(&name)?;
        }
        for address in addresses {
            found.insert(NameServer { name: name.without_dot(), address: SocketAddr::new(address, 53) });
        }
    }
    Ok(found.into_iter().collect())
}

fn in_zone(live: &LiveZone, name: &Name) -> Vec<IpAddr> {
    let of_type = |record_type| {
        let set = live.sets.get(&Key::new(name.clone(), record_type));
        set.into_iter().flat_map(|set| set.values.iter().map(|value| value.value.wire()))
    };
    let four = of_type(RecordType::A).filter_map(|wire| Some(IpAddr::from(<[u8; 4]>::try_from(wire).ok()?)));
    let six = of_type(RecordType::AAAA).filter_map(|wire| Some(IpAddr::from(<[u8; 16]>::try_from(wire).ok()?)));
    four.chain(six).collect()
}

/// Asks the system's resolver. Everything else here blocks; this library does not, so that it gets a runtime of its own.
fn resolve(name: &Name) -> Result<Vec<IpAddr>, DnsError> {
    let unknown = || DnsError::NoAddress { name: name.without_dot() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|_| unknown())?;
    runtime.block_on(async {
        let resolver = TokioResolver::builder_tokio().and_then(ResolverBuilder::build).map_err(|_| unknown())?;
        let found = resolver.lookup_ip(name.to_string()).await.map_err(|_| unknown())?;
        Ok(found.iter().collect())
    })
}
