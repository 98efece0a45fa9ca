//! What all checks look at.

use std::collections::BTreeMap;
use std::fmt::Display;

use contract::Pointer;

use crate::fleet::{Dependency, Fleet, Host, Listener, PUBLIC, ResolvedRoute, SecretUse};
use crate::model::Model;

/// A fleet and what follows from it, worked out once.
pub(crate) struct Context<'a> {
    /// As it was written, with what is switched off.
    pub(crate) written: &'a Fleet,
    /// As it takes effect.
    pub(crate) fleet: &'a Fleet,
    /// Its proxy entries.
    pub(crate) routes: &'a [ResolvedRoute<'a>],
    /// What listens where.
    pub(crate) listeners: Vec<Listener>,
    /// Who uses which secret.
    pub(crate) uses: &'a [SecretUse],
    /// What depends on what.
    pub(crate) dependencies: Vec<Dependency>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(model: &'a Model<'_>) -> Self {
        let (written, fleet) = (model.written, model.fleet);
        Self {
            written,
            fleet,
            routes: model.routes(),
            listeners: fleet.listeners(),
            uses: model.secret_uses(),
            dependencies: fleet.dependencies(),
        }
    }

    /// Networks that two hosts share, without the internet.
    pub(crate) fn shared_networks(&self, one: &str, other: &str) -> Vec<&'a str> {
        let host = |name: &str| self.fleet.hosts.get(name);
        let (Some(one), Some(other)) = (host(one), host(other)) else { return Vec::new() };
        let networks =
            one.addresses.keys().filter(|network| *network != PUBLIC && other.addresses.contains_key(*network));
        networks.map(String::as_str).collect()
    }

    /// The family of the address that a host is reached at on a network, where another that is there too has none of it.
    pub(crate) fn other_family(&self, from: &str, to: &str, network: &str) -> Option<&'static str> {
        let on = |host: &str| self.fleet.hosts.get(host)?.addresses.get(network);
        let (own, target) = (on(from)?, on(to)?.first()?);
        let none = !own.is_empty() && own.iter().all(|own| own.is_ipv4() != target.is_ipv4());
        none.then_some(if target.is_ipv4() { "IPv4" } else { "IPv6" })
    }

    /// Whether a host has an address on a network.
    pub(crate) fn on_network(&self, host: &str, network: &str) -> bool {
        self.fleet.hosts.get(host).is_some_and(|host| host.addresses.get(network).is_some_and(|list| !list.is_empty()))
    }

    /// Hosts with their names.
    pub(crate) fn hosts(&self) -> &'a BTreeMap<String, Host> {
        &self.fleet.hosts
    }
}

/// A place from its keys: places are made for everything that is looked at.
pub(crate) fn place<const N: usize>(keys: [&dyn Display; N]) -> Pointer {
    Pointer::of(keys)
}

/// Whether a person has accepted findings of this code.
pub(crate) fn accepted(list: &[String], code: &str) -> bool {
    list.iter().any(|accepted| accepted == code)
}
