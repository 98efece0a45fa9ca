//! A database cluster.

use std::collections::BTreeMap;

use contract::SecretRef;
use contract::document::{PgDatabase, PgDefaults, PgHbaProfile, PgHbaRule, PgRole, PgTls};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A PostgreSQL cluster: one on a host of the fleet (`host`), or a managed one elsewhere (`external`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The host on which it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Where it is, when it is not on a host of the fleet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalCluster>,
    /// Major version; that of the host's release if not given.
    #[schemars(range(min = 10))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u16>,
    /// TCP port.
    #[serde(default = "port_5432")]
    #[schemars(range(min = 1))]
    pub port: u16,
    /// Where it listens besides loopback: networks, from which the hosts of its services may reach it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bind: Vec<String>,
    /// Directory of its data, where it is not the usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_directory: Option<String>,
    /// Settings of postgresql.conf.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// The role that manages it over the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<ClusterAdmin>,
    /// The host on which it is managed from; its own, or the controller for an external one, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_on: Option<String>,
    /// Client authentication.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub hba: ClusterHba,
    /// PgBouncer before it, for the databases that say `pool`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pgbouncer: Option<super::Pooler>,
    /// Defaults for every database.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub defaults: PgDefaults,
    /// Roles that belong to no service.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<PgRole>,
    /// Databases that belong to no service.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<PgDatabase>,
    /// Codes of findings about this cluster that a person has accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accept_risk: Vec<String>,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            description: None,
            host: None,
            external: None,
            version: None,
            port: port_5432(),
            bind: Vec::new(),
            data_directory: None,
            settings: BTreeMap::new(),
            admin: None,
            run_on: None,
            hba: ClusterHba::default(),
            pgbouncer: None,
            defaults: PgDefaults::default(),
            roles: Vec::new(),
            databases: Vec::new(),
            accept_risk: Vec::new(),
        }
    }
}

/// A cluster that is not on a host of the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExternalCluster {
    /// Name or address.
    pub address: String,
    /// Network of the fleet through which it is reached; the internet if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// A provider backs it up and upgrades it.
    #[serde(default = "super::yes")]
    pub managed: bool, //keep
    /// Whether and how TLS is used.
    #[serde(default)]
    pub tls: PgTls,
    /// Certificates (PEM file on the controller) to trust instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

/// The role that manages a cluster over the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterAdmin {
    /// Its name.
    #[serde(default = "postgres")]
    pub user: String,
    /// Its password.
    pub password: SecretRef,
    /// Database to connect to first.
    #[serde(default = "postgres")]
    pub database: String,
}

/// Client authentication (pg_hba.conf) of a cluster on a host of the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterHba {
    /// The rules from which the file is made.
    #[serde(default)]
    pub profile: PgHbaProfile,
    /// Networks from which declared roles may reach declared databases; those of `bind` if none are given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// Further rules, before those of the profile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra: Vec<PgHbaRule>,
}

fn port_5432() -> u16 {
    5432
}

fn postgres() -> String {
    "postgres".into()
}
