//! Addresses of hosts.

use std::collections::BTreeMap;
use std::net::IpAddr;

use contract::{Finding, Pointer};

use super::context::{Context, accepted, place};
use crate::fleet::PUBLIC;

/// `address-outside-network`, `duplicate-address`.
pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    let mut seen: BTreeMap<(&str, IpAddr), (&str, Pointer)> = BTreeMap::new();
    for (name, host) in context.hosts() {
        for (network, addresses) in &host.addresses {
            for (index, address) in addresses.iter().enumerate() {
                let at = place([&"hosts", name, &"addresses", network, &index]);
                outside(context, network, *address, &at, found);
                match seen.get(&(network, *address)) {
                    Some((other, first)) => {
                        let allowed = accepted(&host.accept_risk, "duplicate-address");
                        if !allowed {
                            let message = format!("{address} is an address of host {other} as well");
                            found.push(Finding::error("duplicate-address", at, message).related(first.clone()).fix(
                                "correct one of them, or add \"duplicate-address\" to \"accept_risk\" of the host",
                            ));
                        }
                    }
                    None => {
                        seen.insert((network, *address), (name, at));
                    }
                }
            }
        }
    }
}

fn outside(context: &Context<'_>, network: &str, address: IpAddr, at: &Pointer, found: &mut Vec<Finding>) {
    let ranges = context.fleet.networks.get(network).map(crate::fleet::Network::ranges).unwrap_or_default();
    let unusable = address.is_unspecified() || address.is_loopback() || address.is_multicast();
    if network == PUBLIC && unusable {
        let message = format!("{address} is no address at which a host can be reached");
        found.push(
            Finding::error("address-outside-network", at.clone(), message).fix("write the address that others use"),
        );
    } else if !ranges.is_empty() && !ranges.iter().any(|range| range.contains(address)) {
        let ranges = ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let message = format!("{address} is not in network {network} ({ranges})");
        found.push(
            Finding::error("address-outside-network", at.clone(), message)
                .related(place([&"networks", &network]))
                .fix("correct the address, or widen \"cidrs\" of the network"),
        );
    }
}
