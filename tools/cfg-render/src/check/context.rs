//! What all checks look at.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};

use contract::Pointer;

use crate::fleet::{Dependency, Fleet, Host, Listener, PUBLIC, ResolvedRoute, SecretUse};

/// A fleet and what follows from it, worked out once.
pub(crate) struct Context<'a> {
    /// As it was written, with what is switched off.
    pub(crate) written: &'a Fleet,
    /// As it takes effect.
    pub(crate) fleet: &'a Fleet,
    /// Its proxy entries.
    pub(crate) routes: Vec<ResolvedRoute<'a>>,
    /// What listens where.
    pub(crate) listeners: Vec<Listener>,
    /// Who uses which secret.
    pub(crate) uses: Vec<SecretUse>,
    /// What depends on what.
    pub(crate) dependencies: Vec<Dependency>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(written: &'a Fleet, fleet: &'a Fleet) -> Self {
        Self {
            written,
            fleet,
            routes: fleet.routes(),
            listeners: fleet.listeners(),
            uses: fleet.secret_uses(),
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

    /// Whether a host has an address on a network.
    pub(crate) fn on_network(&self, host: &str, network: &str) -> bool {
        self.fleet.hosts.get(host).is_some_and(|host| host.addresses.get(network).is_some_and(|list| !list.is_empty()))
    }

    /// Hosts with their names.
    pub(crate) fn hosts(&self) -> &'a BTreeMap<String, Host> {
        &self.fleet.hosts
    }
}

/// A place from its keys, made at once: places are made for everything that is looked at.
pub(crate) fn place<const N: usize>(keys: [&dyn Display; N]) -> Pointer {
    let mut escaped = Escaped(String::with_capacity(64));
    for key in keys {
        escaped.0.push('/');
        // Writing to a string does not fail.
        let _ = write!(escaped, "{key}");
    }
    Pointer::parse(escaped.0)
}

/// Escapes what stands for something else in a pointer (RFC 6901 section 3).
struct Escaped(String);

impl Write for Escaped {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if !text.contains(['~', '/']) {
            self.0.push_str(text);
            return Ok(());
        }
        for letter in text.chars() {
            match letter {
                '~' => self.0.push_str("~0"),
                '/' => self.0.push_str("~1"),
                other => self.0.push(other),
            }
        }
        Ok(())
    }
}

/// Whether a person has accepted findings of this code.
pub(crate) fn accepted(list: &[String], code: &str) -> bool {
    list.iter().any(|accepted| accepted == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_that_joining_makes() {
        let joined = Pointer::root().join("files").join("/etc/a~b").join(3);
        assert_eq!(place([&"files", &"/etc/a~b", &3]), joined);
    }
}
