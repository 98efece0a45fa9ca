//! The fleet as it takes effect: without what is switched off, with what hosts take over from one another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use contract::Pointer;

use super::{Fleet, Host, Route, Run, Through};

impl Fleet {
    /// The fleet without hosts and services that are switched off, and with every key that a host takes over from the
    /// host named by its `like` and from `defaults.host`. Everything that is derived is derived from this.
    #[must_use]
    pub fn resolved(&self) -> Fleet {
        let mut fleet = self.clone();
        fleet.hosts = self.hosts.keys().map(|name| (name.clone(), self.resolved_host(name))).collect();
        fleet.hosts.retain(|_, host| host.enable != Some(false));
        let is_off = |host: &String| !fleet.hosts.contains_key(host) && self.hosts.contains_key(host);
        fleet.services.retain(|_, service| {
            let anywhere = service.host.is_empty();
            if service.host.iter().any(is_off) {
                Arc::make_mut(service).host.0.retain(|host| !is_off(host));
            }
            service.enable && (anywhere || !service.host.is_empty())
        });
        for service in fleet.services.values_mut() {
            // Files on another host are served by the proxy there: nobody else has them.
            let elsewhere = |via: &String| !service.host.iter().any(|host| host == via);
            let through =
                |route: &Route| route.backend.through == Through::Port && route.via.as_ref().is_some_and(elsewhere);
            if matches!(service.run, Run::Static(_)) && service.proxy.iter().any(through) {
                for route in &mut Arc::make_mut(service).proxy {
                    if route.via.is_some() {
                        route.backend.through = Through::Proxy;
                    }
                }
            }
        }
        fleet
    }

    /// A host with all that it takes over. Empty if there is none of this name.
    fn resolved_host(&self, name: &str) -> Host {
        let mut host = self.hosts.get(name).cloned().unwrap_or_default();
        for base in self.bases(name) {
            host.inherit(base);
        }
        host.inherit(&self.defaults.host);
        host
    }

    /// The hosts from which a host takes over keys, nearest first. Ends where the chain begins to repeat itself.
    fn bases(&self, name: &str) -> Vec<&Host> {
        self.chain(name).into_iter().skip(1).filter_map(|name| self.hosts.get(name)).collect()
    }

    /// A host and those that its `like` leads to.
    fn chain<'a>(&'a self, name: &'a str) -> Vec<&'a str> {
        let mut chain = vec![name];
        let mut seen = BTreeSet::from([name]);
        let mut next = self.hosts.get(name).and_then(|host| host.like.as_deref());
        while let Some(name) = next.filter(|name| seen.insert(name)) {
            chain.push(name);
            next = self.hosts.get(name).and_then(|host| host.like.as_deref());
        }
        chain
    }

    /// Where a key of a host stands: with the host itself, with one that it is like, or in the defaults. To be asked of
    /// the fleet as it was written, not of the resolved one.
    pub fn host_key(&self, name: &str, key: &str) -> Pointer {
        let hosts = Pointer::root().join("hosts");
        if Host::OWN_KEYS.contains(&key) {
            let gives = self.hosts.get(name).is_some_and(|host| host.gives(key));
            return if gives { hosts.join(name).join(key) } else { hosts.join(name) };
        }
        let giver = self.chain(name).into_iter().find(|name| self.hosts.get(*name).is_some_and(|host| host.gives(key)));
        match giver {
            Some(giver) => hosts.join(giver).join(key),
            None if self.defaults.host.gives(key) => Pointer::root().join("defaults").join("host").join(key),
            None => hosts.join(name),
        }
    }
}

/// Whether a key was given: an empty list or object counts as not given.
trait Given {
    fn given(&self) -> bool;
}

impl<T> Given for Option<T> {
    fn given(&self) -> bool {
        self.is_some()
    }
}

impl<T> Given for Vec<T> {
    fn given(&self) -> bool {
        !self.is_empty()
    }
}

impl<K, V> Given for BTreeMap<K, V> {
    fn given(&self) -> bool {
        !self.is_empty()
    }
}

macro_rules! inherited {
    ($($key:ident),* ; $($own:ident),*) => {
        impl Host {
            /// Keys that a host takes over from another.
            pub(crate) const INHERITED_KEYS: &[&str] = &[$(stringify!($key)),*];
            /// Keys that a host never takes over.
            pub(crate) const OWN_KEYS: &[&str] = &[$(stringify!($own)),*];

            /// Takes every key over that is not given here.
            fn inherit(&mut self, base: &Host) {
                // Naming every field makes a forgotten one an error of the compiler.
                let Host { $($key,)* $($own: _,)* } = base;
                $(if !self.$key.given() {
                    self.$key.clone_from($key);
                })*
            }

            /// Whether a key was given.
            fn gives(&self, key: &str) -> bool {
                match key {
                    $(stringify!($key) => self.$key.given(),)*
                    $(stringify!($own) => self.$own.given(),)*
                    _ => false,
                }
            }
        }
    };
}

inherited! {
    os, arch, domain, timezone, locale, network, ssh, secrets, users, groups, packages, absent_packages, apt_repositories,
    firewall, allow, fail2ban, updates, proxy, containers, agents, disk, bootloader, nixos, mounts, sysctl, kernel_modules,
    units, timers, directories, files, backup, health, extra, accept_risk;
    enable, description, like, addresses, hostname, host_keys
}
