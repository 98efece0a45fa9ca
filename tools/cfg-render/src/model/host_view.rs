//! A host with what it inherits.

use std::collections::BTreeMap;
use std::net::IpAddr;

use contract::Pointer;

use crate::fleet::{Fleet, Host, LOCAL, Os, OsFamily, PUBLIC, ProxyKind, ProxyServer, Ssh};

/// A host with what it inherits, and where each key comes from.
#[derive(Debug, Clone)]
pub struct HostView {
    /// Its name in the fleet.
    pub name: String,
    /// Its keys, those of the host named by `like` and the defaults filled in.
    pub spec: Host,
    /// What it runs.
    pub os: Os,
    origins: BTreeMap<&'static str, Pointer>,
}

impl HostView {
    /// Looks at a host: `spec` is the resolved one, the places are those of what was written.
    pub(super) fn new(written: &Fleet, name: &str, spec: &Host) -> Self {
        let keys = Host::INHERITED_KEYS.iter().chain(Host::OWN_KEYS);
        let origins = keys.map(|key| (*key, written.host_key(name, key))).collect();
        let os = spec.os.clone().unwrap_or(Os { family: OsFamily::Debian, release: "12".into() });
        Self { name: name.to_owned(), spec: spec.clone(), os, origins }
    }

    /// The place of the host in the fleet.
    pub fn pointer(&self) -> Pointer {
        Pointer::root().join("hosts").join(&self.name)
    }

    /// The place that gave a key: this host's own, another host's, the defaults', or the host itself where nobody gave it.
    pub fn at(&self, key: &str) -> Pointer {
        self.origins.get(key).cloned().unwrap_or_else(|| self.pointer())
    }

    /// The address to use on a network.
    pub fn address(&self, network: &str) -> Option<IpAddr> {
        self.spec.addresses.get(network).and_then(|addresses| addresses.first()).copied()
    }

    /// Some address: the internet's if it has one, else that of its first network.
    pub fn any_address(&self) -> Option<IpAddr> {
        self.address(PUBLIC).or_else(|| self.spec.addresses.values().flatten().next().copied())
    }

    /// How it is logged in to.
    pub fn ssh(&self) -> Ssh {
        self.spec.ssh.clone().unwrap_or_default()
    }

    /// Its proxy, as far as anything is said about it.
    pub fn proxy(&self) -> ProxyServer {
        self.spec.proxy.clone().unwrap_or_default()
    }

    /// Whether it is Debian or Ubuntu.
    pub fn is_debian_like(&self) -> bool {
        matches!(self.os.family, OsFamily::Debian | OsFamily::Ubuntu)
    }

    /// Its name on the machine.
    pub fn hostname(&self) -> &str {
        self.spec.hostname.as_deref().unwrap_or(&self.name)
    }

    /// The proxy's version: the one given, else that of the release.
    pub fn proxy_version(&self) -> (u32, u32, u32) {
        let proxy = self.proxy();
        if let Some(version) = &proxy.version {
            let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
            return (parts.next().unwrap_or(0), parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        }
        let release = self.os.release.as_str();
        match (proxy.kind, self.os.family, release) {
            (ProxyKind::Caddy, OsFamily::Nixos, _) => (2, 10, 0),
            (ProxyKind::Caddy, _, _) => (2, 6, 2),
            (ProxyKind::Nginx, OsFamily::Debian, "11") | (ProxyKind::Nginx, OsFamily::Ubuntu, "22.04") => (1, 18, 0),
            (ProxyKind::Nginx, OsFamily::Debian, "12") => (1, 22, 1),
            (ProxyKind::Nginx, OsFamily::Ubuntu, "24.04") => (1, 24, 0),
            (ProxyKind::Nginx, OsFamily::Debian | OsFamily::Ubuntu, _) => (1, 26, 3),
            (ProxyKind::Nginx, OsFamily::Nixos, _) => (1, 28, 0),
            (ProxyKind::Traefik, _, _) => (3, 0, 0),
        }
    }

    /// Major version of PostgreSQL in the release.
    pub fn postgres_version(&self) -> u16 {
        match (self.os.family, self.os.release.as_str()) {
            (OsFamily::Debian, "11") => 13,
            (OsFamily::Ubuntu, "22.04") => 14,
            (OsFamily::Debian, "12") => 15,
            (OsFamily::Ubuntu, "24.04") => 16,
            _ => 17,
        }
    }

    /// The address on which something bound to `bind` listens: loopback for `local`, none for all addresses.
    pub fn bind_address(&self, bind: &str) -> Option<IpAddr> {
        if bind == LOCAL { Some(IpAddr::from([127, 0, 0, 1])) } else { self.address(bind) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_inherited_one_by_one() {
        let fleet: Fleet = serde_json::from_value(json!({
            "name": "x",
            "defaults": {"host": {"timezone": "Europe/Berlin", "packages": ["htop"]}},
            "hosts": {
                "a": {"os": "debian-12", "addresses": {"public": ["192.0.2.1"]}, "ssh": {"port": 2222}},
                "b": {"like": "a", "packages": ["vim"]}
            }
        }))
        .unwrap();
        let b = HostView::new(&fleet, "b", &fleet.resolved().hosts["b"]);
        assert_eq!(b.ssh().port, 2222);
        assert_eq!(b.at("ssh").as_str(), "/hosts/a/ssh");
        assert_eq!(b.spec.timezone.as_deref(), Some("Europe/Berlin"));
        assert_eq!(b.at("timezone").as_str(), "/defaults/host/timezone");
        assert_eq!(b.spec.packages, ["vim"]);
        assert!(b.spec.addresses.is_empty());
        assert_eq!(b.at("fail2ban").as_str(), "/hosts/b");
        // Addresses are never taken over, so that they stand nowhere else either.
        assert_eq!(b.at("addresses").as_str(), "/hosts/b");
    }
}
