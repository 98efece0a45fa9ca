//! From where packets come, in the words of the fleet and in those of nftables.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::HostBuilder;
use crate::fleet::{Fleet, Network};
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

/// What a rule begins with to hold for a source only.
pub(crate) enum Beginning<'f> {
    /// One of these texts.
    Texts(Vec<String>),
    /// The words for its interface, if it has one, before the ranges of a network.
    Ranges { name: &'f str, network: &'f Network, interface: String },
}

impl Source {
    /// What a rule begins with to hold for this source only.
    pub(crate) fn beginning<'f>(&self, fleet: &'f Fleet) -> Beginning<'f> {
        let network = match self {
            Source::Public => return Beginning::Texts(vec![String::new()]),
            Source::Address(address) => {
                let family = if address.is_ipv4() { "ip" } else { "ip6" };
                return Beginning::Texts(vec![format!("{family} saddr {address} ")]);
            }
            Source::Network(name) => fleet.networks.get_key_value(name),
        };
        let Some((name, network)) = network else { return Beginning::Texts(Vec::new()) };
        let interface = network.interface().map(|interface| format!("iifname \"{interface}\" "));
        match interface {
            // Where an overlay makes its own interface, a packet from there cannot be forged on another.
            Some(interface) if network.tailscale.is_some() => Beginning::Texts(vec![interface]),
            other => Beginning::Ranges { name, network, interface: other.unwrap_or_default() },
        }
    }
}

/// Sets of the addresses of networks, made where a rule needs them.
#[derive(Default)]
pub(super) struct Networks {
    pub(super) sets: BTreeMap<String, Set>,
}

impl Networks {
    /// What a rule begins with to hold for a source only: one text an address family.
    pub(super) fn prefixes(&mut self, builder: &HostBuilder<'_, '_>, source: &Source) -> Vec<String> {
        let (name, network, interface) = match source.beginning(builder.model.fleet) {
            Beginning::Texts(texts) => return texts,
            Beginning::Ranges { name, network, interface } => (name, network, interface),
        };
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
            prefixes.push(format!("{interface}{family} saddr @{set} "));
            self.sets.insert(set.clone(), Set { name: set, kind, interval: true, dynamic: false, elements: ranges });
        }
        prefixes
    }
}
