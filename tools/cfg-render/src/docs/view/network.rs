//! Hosts, what runs on them, and the networks between them.

use std::collections::BTreeSet;

use super::{how, joined, kind_of, ports_of, reach, some_of};
use crate::docs::{Diagram, Kind, Line, Meanings, Node};
use crate::fleet::{Agents, Edge, Fleet, Host, PUBLIC, Run, Trust};

pub(super) fn draw(fleet: &Fleet) -> Diagram {
    let description = format!(
        "{} with {} and {} of the fleet {}",
        super::plural(fleet.hosts.len(), "host"),
        super::plural(fleet.services.len(), "service"),
        super::plural(fleet.networks.len(), "network"),
        fleet.name
    );
    let meanings = Meanings { kinds: &[], solid: "is reached, or is a member", dashed: "asks, or passes on to" };
    let mut diagram = Diagram::new(format!("{}: network", fleet.name), description).meaning(meanings);
    let reach = reach::all(fleet);
    let open = reach.iter().any(|found| found.from == PUBLIC) || !fleet.tunnels.is_empty();
    let internet = open.then(|| diagram.node("internet", Node::new(Kind::Internet, "Internet")));
    for name in fleet.tunnels.keys() {
        let node = Node::new(Kind::Proxy, format!("tunnel {name}")).line("Cloudflare").line(tunnel_names(fleet, name));
        let index = diagram.node(format!("tunnel:{name}"), node);
        if let Some(internet) = internet {
            diagram.edge(internet, index, "https", Line::Solid);
        }
    }
    for (name, host) in &fleet.hosts {
        let node = host_node(fleet, name, host);
        let index = diagram.node(format!("host:{name}"), node);
        let ports = reach::ports(&reach, PUBLIC, name);
        if let (Some(internet), false) = (internet, ports.is_empty()) {
            diagram.edge(internet, index, &ports, Line::Solid);
        }
    }
    for (name, tunnel) in &fleet.tunnels {
        if let (Some(from), Some(to)) =
            (diagram.find(&format!("tunnel:{name}")), diagram.find(&format!("host:{}", tunnel.host)))
        {
            diagram.edge(from, to, "", Line::Solid);
        }
    }
    networks(fleet, &mut diagram, &reach);
    forwards(fleet, &mut diagram);
    elsewhere(fleet, &mut diagram);
    diagram
}

fn tunnel_names(fleet: &Fleet, tunnel: &str) -> String {
    let routes = fleet.routes();
    let names: BTreeSet<String> = routes
        .iter()
        .filter(|route| route.edge == Edge::Tunnel(tunnel))
        .flat_map(|route| route.names.iter().map(|name| name.name.clone()))
        .collect();
    some_of(&names.into_iter().collect::<Vec<_>>(), 2)
}

fn host_node(fleet: &Fleet, name: &str, host: &Host) -> Node {
    let os = host.os.as_ref().map(ToString::to_string).unwrap_or_default();
    let public: Vec<String> = host.addresses.get(PUBLIC).into_iter().flatten().map(ToString::to_string).collect();
    let mut node = Node::new(Kind::Host, name)
        .line(joined(&[&os, &public.join(", ")]))
        .line(host.description.clone().unwrap_or_default());
    if fleet.edges().contains(name) {
        let proxy = host.proxy.clone().unwrap_or_default();
        node.part(Kind::Proxy, proxy.kind.as_str(), format!(":{} :{}", proxy.http_port, proxy.https_port));
    }
    for (service_name, service) in fleet.services.iter().filter(|(_, service)| service.host.iter().any(|on| on == name))
    {
        let ports = ports_of(service);
        node.part(kind_of(service), service_name, if ports.is_empty() { how(service).to_owned() } else { ports });
    }
    for (cluster_name, cluster) in fleet.databases.iter().filter(|(_, cluster)| cluster.host.as_deref() == Some(name)) {
        let version = cluster.version.map(|version| format!(" {version}")).unwrap_or_default();
        node.part(Kind::Database, cluster_name, format!("PostgreSQL{version} :{}", cluster.port));
    }
    for (agent, port, _) in host.agents.iter().flat_map(Agents::list) {
        node.part(Kind::Agent, agent, format!(":{port}"));
    }
    node
}

fn networks(fleet: &Fleet, diagram: &mut Diagram, reach: &[reach::Reach]) {
    for (name, network) in &fleet.networks {
        let ranges: Vec<String> = network.ranges().iter().map(ToString::to_string).collect();
        let trust = match network.trust {
            Trust::Untrusted => "untrusted",
            Trust::SemiTrusted => "",
            Trust::Trusted => "trusted",
        };
        let overlay = if network.tailscale.is_some() { "Tailscale" } else { "" };
        let node = Node::new(Kind::Network, name)
            .line(joined(&[&some_of(&ranges, 2), overlay, trust]))
            .line(network.description.clone().unwrap_or_default());
        let index = diagram.node(format!("network:{name}"), node);
        for (host_name, host) in &fleet.hosts {
            let Some(at) = diagram.find(&format!("host:{host_name}")) else { continue };
            let ports = reach::ports(reach, name, host_name);
            match host.addresses.get(name).and_then(|addresses| addresses.first()) {
                Some(address)
                    if host.addresses.contains_key(PUBLIC) || !ports.is_empty() && is_outer(reach, host_name) =>
                {
                    diagram.edge(at, index, &address.to_string(), Line::Solid);
                }
                Some(address) => diagram.edge(index, at, &address.to_string(), Line::Solid),
                // Those who sit there may reach it, though it is no member.
                None if !ports.is_empty() => diagram.edge(index, at, &ports, Line::Dashed),
                None => {}
            }
        }
    }
}

/// Whether the internet reaches a host, so that it is drawn above its networks.
fn is_outer(reach: &[reach::Reach], host: &str) -> bool {
    reach.iter().any(|found| found.from == PUBLIC && found.host == host && found.what != "ssh")
}

/// Requests that one host passes on to another.
fn forwards(fleet: &Fleet, diagram: &mut Diagram) {
    let mut pairs: Vec<(String, String, String)> = Vec::new();
    for route in fleet.routes() {
        let Edge::Host(edge) = route.edge else { continue };
        let others = route.hosts.iter().filter(|host| **host != edge);
        pairs.extend(others.map(|host| (edge.to_owned(), (*host).to_owned(), route.service.to_owned())));
    }
    for (name, service) in &fleet.services {
        for via in service.expose.iter().filter_map(|expose| expose.via.as_ref()) {
            let others = service.host.iter().filter(|host| *host != via);
            pairs.extend(others.map(|host| (via.clone(), host.clone(), name.clone())));
        }
    }
    pairs.sort();
    pairs.dedup();
    for group in pairs.chunk_by(|a, b| (&a.0, &a.1) == (&b.0, &b.1)) {
        let Some((from, to, _)) = group.first() else { continue };
        let services: Vec<&str> = group.iter().map(|(_, _, service)| service.as_str()).collect();
        if let (Some(from), Some(to)) = (diagram.find(&format!("host:{from}")), diagram.find(&format!("host:{to}"))) {
            diagram.edge(from, to, &some_of(&services, 2), Line::Dashed);
        }
    }
}

/// Managed databases, buckets, and what is on the internet.
fn elsewhere(fleet: &Fleet, diagram: &mut Diagram) {
    for (name, cluster) in &fleet.databases {
        let Some(external) = &cluster.external else { continue };
        let version = cluster.version.map(|version| format!(" {version}")).unwrap_or_default();
        let managed = if external.managed { ", managed" } else { "" };
        let node = Node::new(Kind::Database, name)
            .line(format!("PostgreSQL{version}{managed}"))
            .line(format!("{}:{}", external.address, cluster.port));
        let index = diagram.node(format!("database:{name}"), node);
        match external.network.as_ref().and_then(|network| diagram.find(&format!("network:{network}"))) {
            Some(network) => diagram.edge(network, index, "", Line::Solid),
            None => {
                for host in hosts_using(fleet, |service| {
                    service.databases.iter().any(|d| fleet.cluster_name(d.cluster.as_deref()) == Some(name))
                }) {
                    if let Some(host) = diagram.find(&format!("host:{host}")) {
                        diagram.edge(host, index, "", Line::Solid);
                    }
                }
            }
        }
    }
    for (name, bucket) in &fleet.buckets {
        let index = diagram.node(format!("bucket:{name}"), Node::new(Kind::Storage, name).line(bucket.purpose.clone()));
        for host in hosts_using(fleet, |service| service.buckets.contains(name)) {
            if let Some(host) = diagram.find(&format!("host:{host}")) {
                diagram.edge(host, index, "", Line::Dashed);
            }
        }
    }
    let dependencies = fleet.dependencies();
    for (name, service) in &fleet.services {
        let Run::External(external) = &service.run else { continue };
        if !service.host.is_empty() {
            continue;
        }
        let place = external.url.clone().or_else(|| external.address.clone()).unwrap_or_default();
        let index = diagram.node(format!("external:{name}"), Node::new(Kind::External, name).line(place));
        for dependency in dependencies.iter().filter(|dependency| dependency.on.name() == name) {
            let hosts =
                fleet.services.get(&dependency.service).map(|service| service.host.0.clone()).unwrap_or_default();
            for host in &hosts {
                if let Some(host) = diagram.find(&format!("host:{host}")) {
                    diagram.edge(host, index, "", Line::Dashed);
                }
            }
        }
    }
}

fn hosts_using(fleet: &Fleet, uses: impl Fn(&crate::fleet::Service) -> bool) -> BTreeSet<String> {
    fleet.services.values().filter(|service| uses(service)).flat_map(|service| service.host.iter().cloned()).collect()
}
