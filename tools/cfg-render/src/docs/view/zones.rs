//! What may be reached from where, least trusted first.

use std::collections::BTreeMap;

use super::{joined, kind_of, reach, some_of};
use crate::docs::{Diagram, Kind, Line, Meanings, Node};
use crate::fleet::{ANY, Fleet, LOCAL, PUBLIC, Trust};

pub(super) fn draw(fleet: &Fleet) -> Diagram {
    let description = "what may be reached from each network, the least trusted above; each zone also reaches what those above it reach where a service says so";
    let meanings = Meanings { kinds: &[(Kind::Agent, "of the host")], solid: "into what is trusted more", dashed: "" };
    let mut diagram = Diagram::new(format!("{}: zones", fleet.name), description).meaning(meanings);
    let reach = reach::all(fleet);
    let mut zones: BTreeMap<u8, Vec<Node>> = BTreeMap::new();
    let public = Node::new(Kind::Internet, "Internet").line("untrusted: anybody");
    zones.entry(0).or_default().push(filled(fleet, &reach, public, PUBLIC));
    for (name, network) in &fleet.networks {
        let ranges: Vec<String> = network.ranges().iter().map(ToString::to_string).collect();
        let (rank, word) = match network.trust {
            Trust::Untrusted => (1, "untrusted"),
            Trust::SemiTrusted => (2, "semi-trusted: known devices"),
            Trust::Trusted => (3, "trusted"),
        };
        let node = Node::new(Kind::Network, name).line(joined(&[word, &some_of(&ranges, 2)]));
        zones.entry(rank).or_default().push(filled(fleet, &reach, node, name));
    }
    for name in fleet.hosts.keys() {
        let mut node = Node::new(Kind::Host, format!("{name} itself")).line("loopback, trusted");
        for (service_name, service) in
            fleet.services.iter().filter(|(_, service)| service.host.iter().any(|host| host == name))
        {
            for (port_name, port) in service.ports.iter().filter(|(_, port)| port.bind == LOCAL || port.bind == ANY) {
                let word = if service.ports.len() > 1 { format!(" {port_name}") } else { String::new() };
                node.part(kind_of(service), service_name, format!(":{}{word}", port.port));
            }
        }
        for (cluster, spec) in fleet.databases.iter().filter(|(_, cluster)| cluster.host.as_deref() == Some(name)) {
            node.part(Kind::Database, cluster, format!(":{}", spec.port));
        }
        if !node.parts.is_empty() {
            zones.entry(4).or_default().push(node);
        }
    }
    let mut above: Vec<usize> = Vec::new();
    for nodes in zones.into_values() {
        let mut here = Vec::new();
        for node in nodes {
            let key = format!("zone:{}", node.title);
            here.push(diagram.node(key, node));
        }
        for (from, to) in above.iter().flat_map(|from| here.iter().map(move |to| (*from, *to))) {
            diagram.edge(from, to, "", Line::Solid);
        }
        above = here;
    }
    diagram
}

fn filled(fleet: &Fleet, reach: &[reach::Reach], mut node: Node, zone: &str) -> Node {
    for found in reach.iter().filter(|found| found.from == zone) {
        let kind = fleet.services.get(&found.what).map_or(Kind::Agent, |service| kind_of(service));
        let port = found.port;
        let place = match found.names.as_slice() {
            [] => format!("{}:{port}", found.host),
            [only] => format!("{only}:{port}"),
            [first, others @ ..] => format!("{first}:{port} and {} more", others.len()),
        };
        node.part(kind, &found.what, place);
    }
    if node.parts.is_empty() { node.line("nothing is open to it") } else { node }
}
