//! A network that hosts share.

use std::collections::BTreeMap;

use contract::SecretRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Cidr;

/// A network that hosts share. The name `public` is taken: it means the internet.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its address ranges. A Tailscale network that gives none has Tailscale's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cidrs: Vec<Cidr>,
    /// Name of the network interface on the hosts; a Tailscale network that gives none has `tailscale0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// How far its devices are trusted; shown in the architecture and weighed by checks.
    #[serde(default)]
    pub trust: Trust,
    /// How names that are for this network are made known on it, where no zone does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<NameService>,
    /// It is an overlay made by Tailscale or Headscale, which encrypts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tailscale: Option<Tailscale>,
}

impl Network {
    /// Its address ranges, with the default of an overlay.
    pub fn ranges(&self) -> Vec<Cidr> {
        if self.cidrs.is_empty() && self.tailscale.is_some() {
            ["100.64.0.0/10", "fd7a:115c:a1e0::/48"].iter().filter_map(|text| text.parse().ok()).collect()
        } else {
            self.cidrs.clone()
        }
    }

    /// Its interface on the hosts, with the default of an overlay.
    pub fn interface(&self) -> Option<&str> {
        self.interface.as_deref().or(self.tailscale.as_ref().map(|_| "tailscale0"))
    }
}

/// A way in which names are made known on a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NameService {
    /// Every host of the fleet on it has the names of the others, and of what is for this network, in `/etc/hosts`.
    Hosts,
    /// Avahi answers for names under `.local` by multicast (RFC 6762), to every device.
    Mdns,
}

/// How far the devices of a network are trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// Anyone may be there.
    Untrusted,
    /// Known devices only, but one of them may turn bad.
    #[default]
    SemiTrusted,
    /// As good as the host itself.
    Trusted,
}

/// A Tailscale or Headscale overlay.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tailscale {
    /// Address of a Headscale server; Tailscale's own if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_server: Option<String>,
    /// Key with which a new host joins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_key: Option<SecretRef>,
    /// Tags of the hosts, such as `tag:server`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Ranges that a host leads to, by the host's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub routes: BTreeMap<String, Vec<Cidr>>,
    /// UDP port for direct connections; 41641 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// Whether a name is one that hosts of a network ask each other for (multicast DNS, RFC 6762 section 3).
pub fn is_multicast(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, last)| last.eq_ignore_ascii_case("local"))
}
