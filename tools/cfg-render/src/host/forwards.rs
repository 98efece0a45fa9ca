//! Ports of services on other hosts that this host takes connections for: bytes over TCP are passed on by systemd's own
//! proxy, which starts with the first connection and holds no rights; datagrams by the firewall, which gives them our own
//! address, so that answers come back this way. Where the service is on several hosts, the kernel shares: connections among
//! sockets on the same port, each with its own proxy, and flows of datagrams in turn.

use std::net::SocketAddr;

use contract::document::{Handler, Stage};
use contract::{Finding, Pointer};

use super::HostBuilder;
use super::containers::{self, Runtime};
use super::sources::{Networks, Source};
use crate::fleet::{ANY, Expose, LOCAL, PUBLIC, Port, Proto, Service};
use crate::format::nftables::{self, Chain, Rule};
use crate::format::systemd::UnitFile;
use crate::model::Model;

/// Datagrams that this host passes on.
struct Datagrams<'f> {
    service: &'f str,
    at: Pointer,
    from: Vec<Source>,
    port: u16,
    /// One on each host of the service, all of one family.
    targets: Vec<SocketAddr>,
}

/// Where a port of a service is found on each of its hosts: those of the same family as the first.
fn targets(builder: &HostBuilder<'_, '_>, service: &Service, port: &Port) -> Vec<(String, SocketAddr)> {
    let (model, host) = (builder.model, builder.host);
    let mut all: Vec<(String, SocketAddr)> = Vec::new();
    for target in model.hosts_of(service) {
        let Some(address) = model.address_between(Some(host), target, &port.bind) else { continue };
        if all.first().is_none_or(|(_, first)| first.is_ipv4() == address.is_ipv4()) {
            all.push((target.name.clone(), SocketAddr::new(address, port.port)));
        }
    }
    all
}

/// All of them; without one that does not reach its target, which the units below report.
fn datagrams<'f>(builder: &HostBuilder<'_, 'f>) -> Vec<Datagrams<'f>> {
    let (model, host) = (builder.model, builder.host);
    let mut all = Vec::new();
    for (name, service) in model.services() {
        for (index, expose) in service.expose.iter().enumerate() {
            let here = service.host.iter().any(|own| *own == host.name);
            let Some((_, port)) = service.port(expose.port.as_deref()) else { continue };
            if expose.via.as_deref() != Some(&host.name) || here || port.proto == Proto::Tcp {
                continue;
            }
            let targets: Vec<_> = targets(builder, service, port).into_iter().map(|(_, target)| target).collect();
            if targets.is_empty() {
                continue;
            }
            let everywhere = expose.from.iter().any(|network| network == PUBLIC || network == ANY);
            let networks = expose.from.iter().filter(|network| *network != LOCAL).cloned().map(Source::Network);
            all.push(Datagrams {
                service: name,
                at: Model::service_at(name).join("expose").join(index),
                from: if everywhere { vec![Source::Public] } else { networks.collect() },
                port: expose.on_port.unwrap_or(port.port),
                targets,
            });
        }
    }
    all
}

/// The chains of the firewall that pass datagrams on.
pub(super) fn chains(builder: &mut HostBuilder<'_, '_>, networks: &mut Networks) -> Vec<Chain> {
    let all = datagrams(builder);
    let Some(first) = all.first() else { return Vec::new() };
    let docker = containers::used(builder) && matches!(containers::runtime(builder), Runtime::Docker { .. });
    if docker {
        // Docker lets nothing be forwarded that is not its own, and whoever drops has the last word.
        builder.missing(first.at.clone(), "the forwarding of UDP through a host with Docker, whose rules drop it,");
        return Vec::new();
    }
    let (mut change, mut hide, mut pass) = (Vec::new(), Vec::new(), Vec::new());
    pass.push(Rule::new("ct state established,related accept"));
    for forward in &all {
        let Ok(comment) = nftables::comment(forward.service) else { continue };
        let Some(first) = forward.targets.first() else { continue };
        let family = if first.is_ipv4() { "ip" } else { "ip6" };
        let to = match forward.targets.as_slice() {
            [only] => only.to_string(),
            several => {
                let all = several.iter().enumerate().map(|(index, target)| format!("{index} : {}", target.ip()));
                let all = all.collect::<Vec<_>>().join(", ");
                format!("numgen inc mod {} map {{ {all} }}:{}", several.len(), first.port())
            }
        };
        for source in &forward.from {
            for prefix in networks.prefixes(builder, source) {
                // A network of the other family leads to no target of this one.
                if prefix.contains(if first.is_ipv4() { "ip6 saddr" } else { "ip saddr" }) {
                    continue;
                }
                let only = match (prefix.contains(" saddr "), first) {
                    (true, _) => "",
                    (false, SocketAddr::V4(_)) => "meta nfproto ipv4 ",
                    (false, SocketAddr::V6(_)) => "meta nfproto ipv6 ",
                };
                let statement =
                    format!("{only}{prefix}fib daddr type local udp dport {} dnat {family} to {to}", forward.port);
                change.push(Rule::new(statement).comment(comment));
            }
        }
        for target in &forward.targets {
            let to = format!("ct status dnat {family} daddr {} udp dport {}", target.ip(), target.port());
            hide.push(Rule::new(format!("{to} masquerade")).comment(comment));
            pass.push(Rule::new(format!("{to} accept")).comment(comment));
        }
    }
    let mut chains = vec![
        Chain {
            name: "datagrams_in".into(),
            hook: "type nat hook prerouting priority -100; policy accept;".into(),
            rules: change,
        },
        Chain {
            name: "datagrams_out".into(),
            hook: "type nat hook postrouting priority 100; policy accept;".into(),
            rules: hide,
        },
    ];
    let tailscale = builder.model.fleet.networks.values().filter_map(|network| network.tailscale.as_ref());
    let router = tailscale.into_iter().any(|spec| spec.routes.contains_key(&builder.host.name));
    if !router && !containers::used(builder) {
        // The host has become a router for these datagrams, and for nothing else.
        pass.push(Rule::new("counter drop").comment("this host routes nothing else"));
        chains.push(Chain {
            name: "datagrams_only".into(),
            hook: "type filter hook forward priority filter; policy accept;".into(),
            rules: pass,
        });
    }
    let from: Vec<_> = all.iter().map(|forward| forward.at.clone()).collect();
    let mut text = builder.header("#", &from);
    if all.iter().flat_map(|forward| &forward.targets).any(SocketAddr::is_ipv4) {
        text.push_str("net.ipv4.ip_forward = 1\n");
    }
    if all.iter().flat_map(|forward| &forward.targets).any(SocketAddr::is_ipv6) {
        text.push_str("net.ipv6.conf.all.forwarding = 1\n");
    }
    builder
        .file(Stage::Base, "/etc/sysctl.d/61-plumbline-forward.conf", text, &from)
        .notify(Handler::restart("systemd-sysctl.service"))
        .add(builder);
    chains
}

pub(super) fn add(builder: &mut HostBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    for (name, service) in model.exposing_at(&host.name) {
        for (index, expose) in service.expose.iter().enumerate() {
            let here = service.host.iter().any(|own| *own == host.name);
            if expose.via.as_deref() != Some(&host.name) || here {
                continue;
            }
            let at = Model::service_at(name).join("expose").join(index);
            let Some((port_name, port)) = service.port(expose.port.as_deref()) else { continue };
            if port.proto != Proto::Tcp && host.spec.firewall.as_ref().is_some_and(|firewall| !firewall.enable) {
                let message = "datagrams are passed on by the firewall, which this host does not have";
                let finding = Finding::error("unsupported-feature", at.clone(), message);
                builder.findings.push(finding.fix("switch the firewall on, or name another host"));
            }
            let targets = targets(builder, service, port);
            if targets.is_empty() {
                let message = format!("host \"{}\" has no way to service \"{name}\"", host.name);
                let finding = Finding::error("unreachable-upstream", at, message);
                builder.findings.push(finding.fix("bind the port to a network that both hosts share"));
                continue;
            }
            if port.proto == Proto::Udp {
                continue;
            }
            let stem = format!("forward-{name}-{port_name}");
            let outer = expose.on_port.unwrap_or(port.port);
            let several = targets.len() > 1;
            for (target_host, target) in targets {
                let stem = if several { format!("{stem}-{target_host}") } else { stem.clone() };
                bytes(builder, name, &stem, expose, outer, (target, several), &at);
            }
        }
    }
}

/// The socket that takes connections, and the program that passes their bytes on to one host. `several` share the port.
fn bytes(
    builder: &mut HostBuilder<'_, '_>,
    name: &str,
    stem: &str,
    expose: &Expose,
    outer: u16,
    (target, several): (SocketAddr, bool),
    at: &Pointer,
) {
    let from = [at.clone()];
    let mut socket = UnitFile::new().set("Unit", "Description", format!("Connections for {name} on another host"));
    // Only where they may come from: a name for the overlay must not open the port to the internet.
    let everywhere = expose.from.iter().any(|network| network == PUBLIC || network == ANY);
    if everywhere {
        socket.push("Socket", "ListenStream", outer.to_string());
    } else {
        for network in expose.from.iter().filter(|network| *network != LOCAL) {
            for address in builder.host.spec.addresses.get(network).into_iter().flatten() {
                socket.push("Socket", "ListenStream", SocketAddr::new(*address, outer).to_string());
            }
        }
        // An overlay's address may come after us.
        socket.push("Socket", "FreeBind", "yes");
    }
    if several {
        socket.push("Socket", "ReusePort", "yes");
    }
    let socket = socket.set("Socket", "NoDelay", "yes").set("Install", "WantedBy", "sockets.target");
    let service = UnitFile::new()
        .set("Unit", "Description", format!("Bytes to {name} on another host"))
        .set("Unit", "Requires", format!("{stem}.socket"))
        .set("Unit", "After", format!("{stem}.socket network-online.target"))
        .set("Service", "Type", "notify")
        .set("Service", "ExecStart", format!("/usr/lib/systemd/systemd-socket-proxyd {target}"))
        .set("Service", "DynamicUser", "yes")
        .without_rights()
        .set("Service", "RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6");
    for (end, unit, restarts) in [("socket", socket, true), ("service", service, false)] {
        let unit_name = format!("{stem}.{end}");
        let text = builder.header("#", &from) + &unit.write();
        let mut file = builder.file(Stage::Services, &format!("/etc/systemd/system/{unit_name}"), text, &from);
        if restarts {
            file = file.notify(Handler::restart(&unit_name));
        }
        file.add(builder);
    }
    builder.unit(Stage::Services, &format!("{stem}.socket"), &from);
}
