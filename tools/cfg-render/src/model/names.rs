//! Names as a network sees them: those of hosts, and those of proxy entries that it may reach.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use contract::Pointer;

use super::{HostView, Model};
use crate::fleet::{Edge, NameService, PUBLIC, ResolvedRoute};

/// A name on a network, and where it leads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalName {
    /// The addresses on that network.
    pub addresses: BTreeSet<IpAddr>,
    /// The hosts that have them.
    pub hosts: BTreeSet<String>,
    /// Places in the fleet that made it.
    pub from: BTreeSet<Pointer>,
}

impl<'f> Model<'f> {
    /// The networks on which names are made known in this way, and on which a host is.
    pub fn networks_naming<'m>(&'m self, host: &'m HostView, way: NameService) -> impl Iterator<Item = &'f str> + 'm {
        let networks = self.fleet.networks.iter();
        networks
            .filter(move |(name, network)| network.names.contains(&way) && host.address(name).is_some())
            .map(|(name, _)| name.as_str())
    }

    /// Whether a proxy entry is a matter of a network: what is for it, and elsewhere than on the internet what is public.
    pub fn sees(&self, network: &str, route: &ResolvedRoute<'_>) -> bool {
        let from = &route.route.from;
        if from.iter().any(|from| from == network || (network != PUBLIC && from == PUBLIC)) {
            return true;
        }
        // Devices of a network on which the edge has no address come over the internet.
        let Edge::Host(edge) = route.edge else { return false };
        network == PUBLIC && self.host(edge).is_some_and(|edge| from.iter().all(|from| edge.address(from).is_none()))
    }

    /// The names that a network makes known by itself: those of hosts, and of proxy entries that are for it.
    pub fn names_on(&self, network: &str) -> BTreeMap<String, LocalName> {
        let mut names: BTreeMap<String, LocalName> = BTreeMap::new();
        let mut add = |name: String, host: &HostView, from: &Pointer| {
            let addresses = host.spec.addresses.get(network).map(Vec::as_slice).unwrap_or_default();
            if !addresses.is_empty() {
                let entry = names.entry(name).or_default();
                entry.addresses.extend(addresses);
                entry.hosts.insert(host.name.clone());
                entry.from.insert(from.clone());
            }
        };
        for host in self.hosts() {
            let at = host.at("addresses");
            add(host.hostname().to_owned(), host, &at);
            if let Some(domain) = self.domain_of(host) {
                add(format!("{}.{domain}", host.hostname()), host, &at);
            }
        }
        for route in self.routes().iter().filter(|route| route.route.from.iter().any(|from| from == network)) {
            let Edge::Host(edge) = route.edge else { continue };
            let Some(edge) = self.host(edge) else { continue };
            // A wildcard is for servers of names only.
            for name in route.names.iter().filter(|name| !name.name.starts_with("*.")) {
                add(name.name.clone(), edge, &route.place);
            }
        }
        names
    }
}
