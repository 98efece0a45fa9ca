//! What may be reached from a network.

use std::collections::BTreeSet;

use crate::fleet::{Edge, Fleet};

/// Something on a host that a network may reach.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reach {
    /// The network, or `public`.
    pub from: String,
    /// The host.
    pub host: String,
    /// The port there.
    pub port: u16,
    /// What answers: a service's name, or `ssh`.
    pub what: String,
    /// The names by which it is called.
    pub names: Vec<String>,
}

/// Everything that may be reached, sorted.
pub(super) fn all(fleet: &Fleet) -> Vec<Reach> {
    let mut found = BTreeSet::new();
    let mut add = |from: &str, host: &str, port: u16, what: &str, names: Vec<String>| {
        found.insert(Reach { from: from.into(), host: host.into(), port, what: what.into(), names });
    };
    for route in fleet.routes() {
        let Edge::Host(edge) = route.edge else { continue };
        let proxy = fleet.hosts.get(edge).and_then(|host| host.proxy.clone()).unwrap_or_default();
        let plain = route.names.iter().all(|name| matches!(name.tls, crate::fleet::TlsMode::None));
        for from in &route.route.from {
            let names = route.names.iter().map(|name| name.name.clone()).collect();
            add(from, edge, if plain { proxy.http_port } else { proxy.https_port }, route.service, names);
        }
    }
    for (name, service) in &fleet.services {
        for expose in &service.expose {
            let Some((_, port)) = service.port(expose.port.as_deref()) else { continue };
            let hosts: Vec<&str> = match &expose.via {
                Some(via) => vec![via],
                None => service.host.iter().map(String::as_str).collect(),
            };
            for from in &expose.from {
                for host in &hosts {
                    add(from, host, expose.on_port.unwrap_or(port.port), name, expose.names.clone());
                }
            }
        }
    }
    for (name, host) in &fleet.hosts {
        let ssh = host.ssh.clone().unwrap_or_default();
        for from in &ssh.from {
            add(from, name, ssh.port, "ssh", Vec::new());
        }
    }
    found.into_iter().collect()
}

/// `ssh 2222, 443`: the ports of a host that a network may reach.
pub(super) fn ports(reach: &[Reach], from: &str, host: &str) -> String {
    let mut list = BTreeSet::new();
    for found in reach.iter().filter(|found| found.from == from && found.host == host) {
        let text = match (found.what.as_str(), found.port) {
            ("ssh", port) => format!("ssh {port}"),
            (_, 443) => "https".into(),
            (_, 80) => "http".into(),
            (_, port) => format!("{port}"),
        };
        list.insert((found.what == "ssh", text));
    }
    list.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(", ")
}
