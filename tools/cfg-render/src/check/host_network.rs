//! Addresses that the fleet gives to the interfaces of hosts: a mistake there cuts the owner off.

use std::net::IpAddr;

use contract::{Finding, Pointer};
use ipnet::IpNet;

use super::context::{Context, accepted, place};
use crate::fleet::{Host, HostNetwork, PUBLIC, StaticNetwork};

/// `lockout`, `bad-address`, `unconfigured-address` of `network.static`.
pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    for (name, host) in context.hosts() {
        if let Some(HostNetwork::Static(spec)) = &host.network {
            fixed(context, name, host, spec, found);
        }
    }
}

fn fixed(context: &Context<'_>, name: &str, host: &Host, spec: &StaticNetwork, found: &mut Vec<Finding>) {
    let at = place([&"hosts", &name, &"network", &"static"]);
    let bad = |at: Pointer, message: String, fix: &str| Finding::error("bad-address", at, message).fix(fix);
    let mut networks: Vec<IpNet> = Vec::new();
    for (index, text) in spec.addresses.iter().enumerate() {
        let at = at.join("addresses").join(index);
        match text.parse::<IpNet>() {
            Err(_) => {
                let fix = "write it with its prefix length, such as 192.0.2.10/24";
                found.push(bad(at, format!("\"{text}\" is no address with a prefix length"), fix));
            }
            Ok(net) if net.addr().is_unspecified() || net.addr().is_loopback() || net.addr().is_multicast() => {
                found.push(bad(at, format!("{text} is no address of an interface"), "write the address of the host"));
            }
            Ok(net)
                if net.addr() == net.network()
                    && net.prefix_len() < net.max_prefix_len() - 1
                    && net.addr().is_ipv4() =>
            {
                let fix = "write the address of the host, such as 192.0.2.10/24, not that of its network";
                found.push(bad(at, format!("{text} is a network, not an address in it"), fix));
            }
            Ok(net) => networks.push(net),
        }
    }
    if spec.addresses.is_empty() {
        let message = format!("the interface {} of host {name} gets no address", spec.interface);
        let fix = "add \"addresses\", or take \"network\" out";
        found.push(Finding::error("lockout", at.join("addresses"), message).fix(fix));
        return;
    }
    gateways(name, spec, &networks, &at, found);
    way_back(context, name, host, spec, &at, found);
    if networks.len() == spec.addresses.len() && !accepted(&host.accept_risk, "unconfigured-address") {
        unconfigured(context, name, host, &networks, &at, found);
    }
}

fn gateways(name: &str, spec: &StaticNetwork, networks: &[IpNet], at: &Pointer, found: &mut Vec<Finding>) {
    for (index, gateway) in spec.gateways.iter().enumerate() {
        let at = at.join("gateways").join(index);
        let same_family = |other: &IpAddr| other.is_ipv4() == gateway.is_ipv4();
        if networks.iter().any(|network| network.addr() == *gateway) {
            let message = format!("{gateway} is the address of host {name} itself");
            found.push(Finding::error("lockout", at, message).fix("write the address of the router"));
        } else if spec.gateways.iter().take(index).any(same_family) {
            let message = format!("{gateway} is a second default gateway of its family");
            found.push(Finding::error("bad-address", at, message).fix("keep one IPv4 and one IPv6 gateway"));
        } else if !networks.iter().any(|network| same_family(&network.addr())) {
            let message = format!("{gateway} is of a family in which host {name} has no address");
            found.push(Finding::error("bad-address", at, message).fix("add an address of the family, or take it out"));
        }
    }
}

/// Who comes from the internet must be answered.
fn way_back(
    context: &Context<'_>,
    name: &str,
    host: &Host,
    spec: &StaticNetwork,
    at: &Pointer,
    found: &mut Vec<Finding>,
) {
    let ssh = host.ssh.clone().unwrap_or_default();
    let far = ssh.from.iter().any(|network| network == PUBLIC) && context.on_network(name, PUBLIC);
    if far && spec.gateways.is_empty() {
        let message =
            format!("host {name} is logged in to from the internet, and has no gateway by which it could answer");
        let finding = Finding::error("lockout", at.join("gateways"), message);
        found.push(
            finding
                .related(place([&"hosts", &name, &"ssh", &"from"]))
                .fix("add the address of its router to \"gateways\""),
        );
    }
}

/// Others reach the host at an address that no interface gets.
fn unconfigured(
    context: &Context<'_>,
    name: &str,
    host: &Host,
    networks: &[IpNet],
    at: &Pointer,
    found: &mut Vec<Finding>,
) {
    for (network, addresses) in &host.addresses {
        // An overlay brings its own interface.
        if context.fleet.networks.get(network).is_some_and(|network| network.tailscale.is_some()) {
            continue;
        }
        for (index, address) in addresses.iter().enumerate() {
            if !networks.iter().any(|net| net.addr() == *address) {
                let message = format!("others reach host {name} at {address}, which \"network\" gives to no interface");
                let finding = Finding::warning(
                    "unconfigured-address",
                    place([&"hosts", &name, &"addresses", network, &index]),
                    message,
                );
                found.push(finding.related(at.join("addresses")).fix(
                    "add it to network.static.addresses; if another machine translates it, add \"unconfigured-address\" to \"accept_risk\" of the host",
                ));
            }
        }
    }
}
