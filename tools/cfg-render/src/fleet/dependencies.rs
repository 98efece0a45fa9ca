//! What depends on what.

use std::fmt;

use contract::Pointer;

use super::{Auth, Fleet, Service};

/// That one thing cannot work, or works less well, without another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependency {
    /// The service that depends.
    pub service: String,
    /// What it depends on.
    pub on: Node,
    /// How much.
    pub strength: Strength,
    /// Where that stands in the fleet.
    pub place: Pointer,
}

/// Something that can be depended on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    /// A service.
    Service(String),
    /// A database cluster.
    Database(String),
}

impl Node {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Node::Service(name) | Node::Database(name) => name,
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Service(name) => write!(f, "service {name}"),
            Node::Database(name) => write!(f, "database cluster {name}"),
        }
    }
}

/// How much something depends on another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// It cannot work without it.
    Needs,
    /// It needs this or another of the group with this number.
    NeedsAny(usize),
    /// It works less well without it.
    Wants,
}

impl Fleet {
    /// All dependencies of services: declared ones, and those that follow from databases, single sign-on and mailers. A
    /// name that is neither a service nor a cluster is left out. To be asked of the resolved fleet.
    pub fn dependencies(&self) -> Vec<Dependency> {
        let mut found = Vec::new();
        for (name, service) in &self.services {
            let place = Pointer::root().join("services").join(name);
            self.declared(name, service, &place, &mut found);
            self.implied(name, service, &place, &mut found);
        }
        found.sort();
        found.dedup_by(|a, b| a.service == b.service && a.on == b.on && a.strength == b.strength);
        found
    }

    /// What a name in `needs` or `wants` means.
    pub fn node(&self, name: &str) -> Option<Node> {
        if self.services.contains_key(name) {
            Some(Node::Service(name.into()))
        } else if self.databases.contains_key(name) {
            Some(Node::Database(name.into()))
        } else {
            None
        }
    }

    /// The cluster of a service's database: the one that it names, or the only one.
    pub fn cluster_name<'a>(&'a self, named: Option<&'a str>) -> Option<&'a str> {
        let only = self.databases.keys().next().filter(|_| self.databases.len() == 1);
        named.or(only.map(String::as_str))
    }

    fn declared(&self, name: &str, service: &Service, place: &Pointer, found: &mut Vec<Dependency>) {
        let mut add = |on: &str, strength, place: Pointer| {
            if let Some(on) = self.node(on) {
                found.push(Dependency { service: name.into(), on, strength, place });
            }
        };
        for (index, on) in service.needs.iter().enumerate() {
            add(on, Strength::Needs, place.join("needs").join(index));
        }
        for (group, members) in service.needs_any.iter().enumerate() {
            for (index, on) in members.iter().enumerate() {
                add(on, Strength::NeedsAny(group), place.join("needs_any").join(group).join(index));
            }
        }
        for (index, on) in service.wants.iter().enumerate() {
            add(on, Strength::Wants, place.join("wants").join(index));
        }
    }

    fn implied(&self, name: &str, service: &Service, place: &Pointer, found: &mut Vec<Dependency>) {
        let mut add = |on: Node, strength, place: Pointer| {
            found.push(Dependency { service: name.into(), on, strength, place });
        };
        for (index, database) in service.databases.iter().enumerate() {
            let cluster = self.cluster_name(database.cluster.as_deref());
            if let Some(cluster) = cluster.filter(|name| self.databases.contains_key(*name)) {
                add(Node::Database(cluster.into()), Strength::Needs, place.join("databases").join(index));
            }
        }
        let own = service.sso.iter().map(|sso| (&sso.provider, place.join("sso")));
        let forward = service.proxy.iter().enumerate().filter_map(|(index, route)| match &route.auth {
            Auth::Forward(forward) => Some((&forward.provider, place.join("proxy").join(index).join("auth"))),
            _ => None,
        });
        for (provider, place) in own.chain(forward) {
            let provider = self.sso.get(provider).filter(|provider| self.services.contains_key(&provider.service));
            if let Some(provider) = provider.filter(|provider| provider.service != name) {
                add(Node::Service(provider.service.clone()), Strength::Needs, place);
            }
        }
        let mailer = service.mailer.as_ref().and_then(|mailer| self.mailers.get(mailer)?.service.as_ref());
        if let Some(mailer) = mailer.filter(|mailer| self.services.contains_key(*mailer)) {
            add(Node::Service(mailer.clone()), Strength::Wants, place.join("mailer"));
        }
    }
}
