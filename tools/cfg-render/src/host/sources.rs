//! From where packets come, in the words of the fleet and in those of nftables.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::HostBuilder;
use crate::format::nftables::{Set, identifier};

/// From where a hole is open.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// From everywhere.
    Public,
    /// From a network.
    Network(String),
    /// From one host of the fleet.
    Address(IpAddr),
}

/// Sets of the addresses of networks, made where a rule needs them.
#[derive(Default)]
pub(super) struct Networks {
    pub(super) sets: BTreeMap<String, Set>,
}

impl Networks {
    /// What a rule begins with to hold for a source only: one text an address family.
    pub(super) fn prefixes(&mut self, builder: &HostBuilder<'_, '_>, source: &Source) -> Vec<String> {
        let name = match source {
            Source::Public => return vec![String::new()],
            Source::Address(address) => {
                let family = if address.is_ipv4() { "ip" } else { "ip6" };
                return vec![format!("{family} saddr {address} ")];
            }
            Source::Network(name) => name,
        };
        let Some(network) = builder.model.fleet.networks.get(name) else { return Vec::new() };
        // Where an overlay makes its own interface, a packet from there cannot be forged on another.
        if let (Some(interface), true) = (network.interface(), network.tailscale.is_some()) {
            return vec![format!("iifname \"{interface}\" ")];
        }
        let mut prefixes = Vec::new();
        for (family, kind, v4) in [("ip", "ipv4_addr", true), ("ip6", "ipv6_addr", false)] {
            let ranges: Vec<_> = network
                .ranges()
                .iter()
                .filter(|range| range.0.addr().is_ipv4() == v4)
                .map(ToString::to_string)
                .collect();
            if ranges.is_empty() {
                continue;
            }
            let set = identifier("net", name) + if v4 { "_4" } else { "_6" };
            let interface =
                network.interface().map(|interface| format!("iifname \"{interface}\" ")).unwrap_or_default();
            prefixes.push(format!("{interface}{family} saddr @{set} "));
            self.sets.insert(set.clone(), Set { name: set, kind, interval: true, dynamic: false, elements: ranges });
        }
        prefixes
    }
}
