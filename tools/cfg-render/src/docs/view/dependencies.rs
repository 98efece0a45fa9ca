//! What needs what, and what fails with what.

use std::collections::{BTreeMap, BTreeSet};

use super::{kind_of, some_of};
use crate::docs::{Diagram, Kind, Line, Meanings, Node};
use crate::fleet::{self, Dependency, Fleet, Strength};

type Ends = BTreeSet<(String, u8)>;

pub(super) fn draw(fleet: &Fleet) -> Diagram {
    let dependencies = fleet.dependencies();
    let description =
        format!("what the {} of the fleet {} need", super::plural(fleet.services.len(), "service"), fleet.name);
    let meanings = Meanings { kinds: &[(Kind::Host, "alike")], solid: "needs", dashed: "wants" };
    let mut diagram = Diagram::new(format!("{}: dependencies", fleet.name), description).meaning(meanings);
    let mut names: Vec<fleet::Node> = fleet.services.keys().cloned().map(fleet::Node::Service).collect();
    names.extend(fleet.databases.keys().cloned().map(fleet::Node::Database));

    // What has the same above it and below it is drawn as one.
    let mut alike: BTreeMap<(Ends, Ends, bool), Vec<fleet::Node>> = BTreeMap::new();
    for node in names {
        let is_service = matches!(node, fleet::Node::Service(_));
        let below = dependencies
            .iter()
            .filter(|d| is_service && d.service == node.name())
            .map(|d| (d.on.to_string(), word(d.strength)));
        let above = dependencies.iter().filter(|d| d.on == node).map(|d| (d.service.clone(), word(d.strength)));
        let external = is_service && fleet.services.get(node.name()).is_some_and(|service| service.is_external());
        alike.entry((below.collect(), above.collect(), external || !is_service)).or_default().push(node);
    }
    let mut groups: Vec<Vec<fleet::Node>> = alike.into_values().collect();
    groups.sort();
    let mut index_of = BTreeMap::new();
    for group in &groups {
        let index = diagram
            .node(group.first().map(ToString::to_string).unwrap_or_default(), group_node(fleet, group, &dependencies));
        index_of.extend(group.iter().map(|node| (node.clone(), index)));
    }
    for dependency in &dependencies {
        let from = index_of.get(&fleet::Node::Service(dependency.service.clone()));
        if let (Some(from), Some(to)) = (from, index_of.get(&dependency.on)) {
            let (label, line) = match dependency.strength {
                Strength::Needs => ("", Line::Solid),
                Strength::NeedsAny(_) => ("any of", Line::Dashed),
                Strength::Wants => ("wants", Line::Dashed),
            };
            diagram.edge(*from, *to, label, line);
        }
    }
    failures(fleet, &dependencies, &mut diagram);
    diagram
}

fn word(strength: Strength) -> u8 {
    match strength {
        Strength::Needs => 0,
        Strength::NeedsAny(_) => 1,
        Strength::Wants => 2,
    }
}

fn group_node(fleet: &Fleet, group: &[fleet::Node], dependencies: &[Dependency]) -> Node {
    let describe = |node: &fleet::Node| match node {
        fleet::Node::Service(name) => match fleet.services.get(name) {
            Some(service) if service.host.is_empty() => (kind_of(service), "elsewhere".to_owned()),
            Some(service) => (kind_of(service), format!("on {}", some_of(&service.host.0, 2))),
            None => (Kind::Service, String::new()),
        },
        fleet::Node::Database(name) => {
            let cluster = fleet.databases.get(name);
            let host = cluster.and_then(|cluster| cluster.host.as_ref());
            (Kind::Database, host.map_or_else(|| "PostgreSQL, managed".into(), |host| format!("PostgreSQL on {host}")))
        }
    };
    if let [node] = group {
        let (kind, line) = describe(node);
        return Node::new(kind, node.name()).line(line);
    }
    let touched = dependencies.iter().any(|d| {
        group.iter().any(|node| d.on == *node || (d.service == node.name() && matches!(node, fleet::Node::Service(_))))
    });
    let names: Vec<&str> = group.iter().map(fleet::Node::name).collect();
    let title = if touched { some_of(&names, 2) } else { "on their own".into() };
    let mut node = Node::new(Kind::Host, title);
    for member in group {
        let (kind, line) = describe(member);
        node.part(kind, member.name(), line);
    }
    node
}

/// If this fails, these fail: for everything that something needs, and for the proxies.
fn failures(fleet: &Fleet, dependencies: &[Dependency], diagram: &mut Diagram) {
    let mut needed_by: BTreeMap<&fleet::Node, Vec<&Dependency>> = BTreeMap::new();
    for dependency in dependencies.iter().filter(|dependency| dependency.strength != Strength::Wants) {
        needed_by.entry(&dependency.on).or_default().push(dependency);
    }
    for node in needed_by.keys() {
        let mut failed: BTreeSet<String> = BTreeSet::new();
        let mut next = vec![(*node).clone()];
        while let Some(down) = next.pop() {
            for dependency in needed_by.get(&down).into_iter().flatten().filter(|d| d.strength == Strength::Needs) {
                if failed.insert(dependency.service.clone()) {
                    next.push(fleet::Node::Service(dependency.service.clone()));
                }
            }
        }
        if !failed.is_empty() {
            let failed: Vec<String> = failed.into_iter().collect();
            let verb = if failed.len() == 1 { "fails" } else { "fail" };
            diagram.notes.push(format!("If {} is down, {} {verb}.", node.name(), some_of(&failed, 12)));
        }
    }
    let routes = fleet.routes();
    for edge in fleet.edges() {
        let names: BTreeSet<&str> =
            routes.iter().filter(|route| route.edge == fleet::Edge::Host(edge)).map(|route| route.service).collect();
        if !names.is_empty() {
            let kind =
                fleet.hosts.get(edge).and_then(|host| host.proxy.as_ref()).map_or("nginx", |proxy| proxy.kind.as_str());
            let names: Vec<&str> = names.into_iter().collect();
            diagram.notes.push(format!("If {kind} on {edge} is down, nobody reaches {} by name.", some_of(&names, 12)));
        }
    }
}
