//! The way of a request to a service.

use super::{how, joined, kind_of, some_of};
use crate::docs::{Diagram, Kind, Line, Meanings, Node, UnknownService};
use crate::fleet::{Auth, Edge, Fleet, LOCAL, Node as Needed, ResolvedRoute, Service, Strength};

pub(super) fn draw(fleet: &Fleet, name: &str) -> Result<Diagram, UnknownService> {
    let Some(service) = fleet.services.get(name) else {
        return Err(UnknownService { name: name.to_owned(), known: fleet.services.keys().cloned().collect() });
    };
    let title = format!("{}: a request to {name}", fleet.name);
    let mut diagram = Diagram::new(
        title,
        format!("the way of a request from its sender to the service {name} and what that asks in turn"),
    )
    .meaning(Meanings { kinds: &[(Kind::Internet, "sender")], ..Meanings::default() });
    let target = diagram.node(format!("service:{name}"), service_node(name, service));
    for route in fleet.routes().iter().filter(|route| route.service == name) {
        draw_route(fleet, &mut diagram, route, target);
    }
    for expose in &service.expose {
        let sender = sender(&mut diagram, &expose.from);
        let port = service.port(expose.port.as_deref()).map(|(_, port)| port.port).or(expose.on_port);
        let port = port.map(|port| port.to_string()).unwrap_or_default();
        match &expose.via {
            Some(via) => {
                let key = format!("forward:{via}");
                let index = diagram
                    .find(&key)
                    .unwrap_or_else(|| diagram.node(key, Node::new(Kind::Proxy, via).line("passes the bytes on")));
                diagram.edge(sender, index, &port, Line::Solid);
                diagram.edge(index, target, "", Line::Solid);
            }
            None => diagram.edge(sender, target, &port, Line::Solid),
        }
    }
    for dependency in fleet.dependencies().iter().filter(|dependency| dependency.service == name) {
        let key = dependency.on.to_string();
        let index = diagram.find(&key).unwrap_or_else(|| {
            let node = match &dependency.on {
                Needed::Service(other) => match fleet.services.get(other) {
                    Some(service) => service_node(other, service),
                    None => Node::new(Kind::Service, other),
                },
                Needed::Database(cluster) => Node::new(Kind::Database, cluster).line("PostgreSQL"),
            };
            diagram.node(key, node)
        });
        let (label, line) = match dependency.strength {
            Strength::Needs => ("needs", Line::Solid),
            Strength::NeedsAny(_) => ("any of", Line::Dashed),
            Strength::Wants => ("wants", Line::Dashed),
        };
        diagram.edge(target, index, label, line);
    }
    Ok(diagram)
}

fn service_node(name: &str, service: &Service) -> Node {
    Node::new(kind_of(service), name)
        .line(joined(&[
            how(service),
            &if service.host.is_empty() { String::new() } else { format!("on {}", some_of(&service.host.0, 2)) },
        ]))
        .line(service.description.clone().unwrap_or_default())
}

fn sender(diagram: &mut Diagram, from: &[String]) -> usize {
    let from: Vec<&str> =
        from.iter().map(|network| if network == crate::fleet::PUBLIC { "the internet" } else { network }).collect();
    let words = some_of(&from, 4);
    let key = format!("sender:{words}");
    diagram
        .find(&key)
        .unwrap_or_else(|| diagram.node(key, Node::new(Kind::Internet, "Browser").line(format!("from {words}"))))
}

fn draw_route(fleet: &Fleet, diagram: &mut Diagram, route: &ResolvedRoute<'_>, target: usize) {
    let sender = sender(diagram, &route.route.from);
    let names: Vec<&str> = route.names.iter().map(|name| name.name.as_str()).collect();
    let (key, node) = match route.edge {
        Edge::Host(host) => (format!("edge:{host}"), edge_node(fleet, host, route)),
        Edge::Tunnel(tunnel) => (
            format!("edge:tunnel {tunnel}"),
            Node::new(Kind::Proxy, format!("tunnel {tunnel}")).line("TLS ends at Cloudflare").line(guard(route)),
        ),
    };
    let edge = diagram.find(&key).unwrap_or_else(|| diagram.node(key, node));
    diagram.edge(
        sender,
        edge,
        &format!("1. {}{}", some_of(&names, 2), route.route.path.as_deref().unwrap_or_default()),
        Line::Solid,
    );
    if let Auth::Forward(forward) = &route.route.auth {
        let provider =
            fleet.sso.get(&forward.provider).map_or(forward.provider.as_str(), |provider| provider.service.as_str());
        let key = format!("service {provider}");
        let index = diagram
            .find(&key)
            .unwrap_or_else(|| diagram.node(key, Node::new(Kind::Service, provider).line("single sign-on")));
        diagram.edge(edge, index, "2. may this person pass?", Line::Dashed);
    }
    let step = if matches!(route.route.auth, Auth::Forward(_)) { 3 } else { 2 };
    let label = match (&route.route.redirect, route.port) {
        (Some(to), _) => format!("{step}. redirected to {to}"),
        (None, Some((_, port))) => {
            let place = if port.bind == LOCAL { "127.0.0.1" } else { port.bind.as_str() };
            format!("{step}. {}://{place}:{}", route.route.scheme.as_str(), port.port)
        }
        (None, None) => format!("{step}. files"),
    };
    diagram.edge(edge, target, &label, Line::Solid);
    if let Some(reason) = &route.route.reason {
        diagram.notes.push(format!("{}: {reason}", some_of(&names, 2)));
    }
}

fn edge_node(fleet: &Fleet, host: &str, route: &ResolvedRoute<'_>) -> Node {
    let proxy = fleet.hosts.get(host).and_then(|host| host.proxy.clone()).unwrap_or_default();
    let tls = route.names.first().map_or("none", |name| name.tls.as_str());
    let limits = route.route.limits.as_ref().or(proxy.limits.as_ref());
    let limits =
        limits.map(|limits| format!("at most {}, bursts of {}", limits.rate, limits.burst)).unwrap_or_default();
    Node::new(Kind::Proxy, format!("{} on {host}", proxy.kind.as_str()))
        .line(if tls == "none" { "no TLS".to_owned() } else { format!("TLS ends here ({tls})") })
        .line(limits)
        .line(guard(route))
}

fn guard(route: &ResolvedRoute<'_>) -> String {
    match &route.route.auth {
        Auth::None => String::new(),
        Auth::Basic(_) => "asks for a password".into(),
        Auth::Forward(_) => "asks single sign-on".into(),
        Auth::Access(policy) => format!("Cloudflare Access: {policy}"),
    }
}
