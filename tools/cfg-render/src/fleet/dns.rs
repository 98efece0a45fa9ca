//! Zones of the domain name system.

use std::collections::BTreeMap;

use contract::document::{Caa, DnsIgnore, DnsProvider, DnsRecord, ZoneMode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Zones of the domain name system and who keeps them. Records for hosts and proxy entries are derived.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dns {
    /// Who keeps zones, by a name of your choice.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub providers: BTreeMap<String, DnsProvider>,
    /// Zones by name, without the final dot.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub zones: BTreeMap<String, Zone>,
}

/// One zone, as the internet sees it unless `network` says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// Who keeps it; the only provider if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Network whose addresses derived records carry; `public` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// What it may lose to us.
    #[serde(default)]
    pub mode: ZoneMode,
    /// TTL in seconds of records that name none; the provider's own default if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_ttl: Option<u32>,
    /// Whether the NS records at the apex are ours.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub manage_apex_ns: bool,
    /// What is left alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<DnsIgnore>,
    /// Records of your own. One beats a derived one of the same name and type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<DnsRecord>,
    /// Host to which every name leads that has no record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wildcard: Option<String>,
    /// Which records are derived.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub derive: Derive,
    /// Derived records point at Cloudflare's edge.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub proxied: bool,
    /// Who may issue certificates for it; nothing is said if none are given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caa: Vec<Caa>,
    /// The same zone as networks see it, each kept elsewhere.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub views: BTreeMap<String, ZoneView>,
}

/// A zone as one network sees it: addresses of hosts are those on that network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ZoneView {
    /// Who keeps it; another than that of the zone.
    pub provider: String,
    /// What it may lose to us.
    #[serde(default)]
    pub mode: ZoneMode,
    /// TTL in seconds of records that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_ttl: Option<u32>,
    /// Records of your own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<DnsRecord>,
    /// Host to which every name leads that has no record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wildcard: Option<String>,
}

/// Which records are derived from the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Derive {
    /// Addresses of the names of proxy entries.
    pub proxies: bool,
    /// Addresses of hosts, as `HOST.ZONE`, in the zone that is the hosts' domain.
    pub hosts: bool,
    /// SSH host key fingerprints of those.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sshfp: bool,
}

impl Default for Derive {
    fn default() -> Self {
        Self { proxies: true, hosts: true, sshfp: false }
    }
}
