//! Which name leads where.

use std::collections::{BTreeMap, BTreeSet};

use super::some_of;
use crate::docs::{Diagram, Kind, Line, Meanings, Node};
use crate::fleet::{Edge, Fleet, Zone, name_in_zone};

pub(super) fn draw(fleet: &Fleet) -> Diagram {
    let mut diagram =
        Diagram::new(format!("{}: names", fleet.name), "zones, the names in them, and the hosts to which they lead")
            .meaning(Meanings {
                kinds: &[(Kind::Paper, "zone"), (Kind::Network, "name"), (Kind::Proxy, "tunnel")],
                ..Meanings::default()
            });
    // Names by zone, each with what it leads to.
    let mut names: BTreeMap<&str, BTreeMap<String, BTreeSet<String>>> =
        fleet.dns.zones.keys().map(|zone| (zone.as_str(), BTreeMap::new())).collect();
    let mut add = |name: &str, target: String| {
        if let Some(zone) = zone_of(fleet, name) {
            names.entry(zone).or_default().entry(label(name, zone)).or_default().insert(target);
        }
    };
    for route in fleet.routes().iter().filter(|route| route.route.dns) {
        for name in &route.names {
            match route.edge {
                Edge::Host(host) => add(&name.name, host.to_owned()),
                Edge::Tunnel(tunnel) => add(&name.name, format!("tunnel {tunnel}")),
            }
        }
    }
    for service in fleet.services.values() {
        for expose in &service.expose {
            for name in &expose.names {
                let hosts = expose.via.iter().chain(service.host.iter().filter(|_| expose.via.is_none()));
                hosts.for_each(|host| add(name, host.clone()));
            }
        }
    }
    for (name, host) in &fleet.hosts {
        if let Some(zone) =
            fleet.domain_of(host).filter(|domain| fleet.dns.zones.get(*domain).is_some_and(|zone| zone.derive.hosts))
        {
            add(&format!("{name}.{zone}"), name.clone());
        }
    }
    for (zone_name, zone) in &fleet.dns.zones {
        if let Some(host) = &zone.wildcard {
            add(&format!("*.{zone_name}"), host.clone());
        }
    }
    let provider_count = fleet.dns.providers.len();
    for (zone_name, names) in &names {
        let Some(zone) = fleet.dns.zones.get(*zone_name) else { continue };
        let provider = zone.provider.as_ref().or(fleet.dns.providers.keys().next().filter(|_| provider_count == 1));
        let kept = provider.map(|provider| format!("kept by {provider}")).unwrap_or_default();
        let mut node = Node::new(Kind::Paper, *zone_name).line(kept).line(records(zone));
        for (name, targets) in names {
            let targets: Vec<&String> = targets.iter().collect();
            node.part(Kind::Network, name, format!("→ {}", some_of(&targets, 3)));
        }
        diagram.node(format!("zone:{zone_name}"), node);
    }
    for (zone_name, names) in &names {
        let Some(from) = diagram.find(&format!("zone:{zone_name}")) else { continue };
        for target in names.values().flatten().collect::<BTreeSet<_>>() {
            let key = format!("target:{target}");
            let to = diagram.find(&key).unwrap_or_else(|| diagram.node(key, target_node(fleet, zone_name, target)));
            let count = names.values().filter(|targets| targets.contains(target)).count();
            diagram.edge(from, to, &super::plural(count, "name"), Line::Solid);
        }
    }
    diagram
}

fn target_node(fleet: &Fleet, zone: &str, target: &str) -> Node {
    let Some(host) = fleet.hosts.get(target) else { return Node::new(Kind::Proxy, target) };
    let network = fleet.dns.zones.get(zone).and_then(|zone| zone.network.as_deref()).unwrap_or(crate::fleet::PUBLIC);
    let addresses: Vec<String> = host.addresses.get(network).into_iter().flatten().map(ToString::to_string).collect();
    Node::new(Kind::Host, target).line(some_of(&addresses, 2))
}

/// The zone that a name belongs to: the longest that it ends with.
fn zone_of<'a>(fleet: &'a Fleet, name: &str) -> Option<&'a str> {
    let zones = fleet.dns.zones.keys().map(String::as_str);
    zones.filter(|zone| name_in_zone(name, zone).is_some()).max_by_key(|zone| zone.len())
}

fn label(name: &str, zone: &str) -> String {
    name_in_zone(name, zone).unwrap_or_else(|| "@".into())
}

/// Own records, by type: `3 MX, 1 TXT`.
fn records(zone: &Zone) -> String {
    let mut types: BTreeMap<String, usize> = BTreeMap::new();
    for record in &zone.records {
        let keys = serde_json::to_value(record).ok();
        let keys = keys.as_ref().and_then(serde_json::Value::as_object).into_iter().flat_map(|object| object.keys());
        for key in keys.filter(|key| key.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())) {
            *types.entry(key.clone()).or_default() += 1;
        }
    }
    let list: Vec<String> = types.into_iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    if list.is_empty() { String::new() } else { format!("own records: {}", list.join(", ")) }
}
