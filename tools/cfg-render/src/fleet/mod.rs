//! `fleet/v1`: the one document that a person writes, and from which everything else is made.
//!
//! Its types only hold what was written; `check` says what is wrong with it. Shapes are externally tagged and never
//! flattened or untagged, so that every error keeps its place.

mod access_policy;
mod agents;
mod allow;
mod auth;
mod backups;
mod bucket;
mod certificates;
mod check_spec;
mod cidr;
mod cluster;
mod container;
mod data_directory;
mod defaults;
mod dependencies;
mod disk;
mod dns;
mod expose;
mod extra;
mod fail2ban;
mod firewall;
mod health;
mod host;
mod host_network;
mod host_nixos;
mod host_secrets;
mod host_unit;
mod host_user;
mod limits;
mod listeners;
mod mailer;
mod metrics;
mod monitoring;
mod network;
mod one_or_many;
mod operation;
mod os;
mod person;
mod pooler;
mod port;
mod port_range;
mod portal;
mod proxy_server;
mod resolved;
mod rollout;
mod route;
mod routes;
mod run;
mod secret;
mod secret_uses;
mod service;
mod service_backup;
mod service_database;
mod service_login;
mod shorthand;
mod ssh;
mod ssh_key;
mod sso;
mod texts;
mod tls_mode;
mod tunnel;
mod updates;
mod user_file;
mod value;

use std::collections::BTreeMap;
use std::sync::Arc;

use contract::{Document, SchemaId, SecretName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use access_policy::*;
pub use agents::*;
pub use allow::*;
pub use auth::*;
pub use backups::*;
pub use bucket::*;
pub use certificates::*;
pub use check_spec::*;
pub use cidr::*;
pub use cluster::*;
pub use container::*;
pub use data_directory::*;
pub use defaults::*;
pub use dependencies::*;
pub use disk::*;
pub use dns::*;
pub use expose::*;
pub use extra::*;
pub use fail2ban::*;
pub use firewall::*;
pub use health::*;
pub use host::*;
pub use host_network::*;
pub use host_nixos::*;
pub use host_secrets::*;
pub use host_unit::*;
pub use host_user::*;
pub use limits::*;
pub use listeners::*;
pub use mailer::*;
pub use metrics::*;
pub use monitoring::*;
pub use network::*;
pub use one_or_many::*;
pub use operation::*;
pub use os::*;
pub use person::*;
pub use pooler::*;
pub use port::*;
pub use port_range::*;
pub use portal::*;
pub use proxy_server::*;
pub use rollout::*;
pub use route::*;
pub use routes::*;
pub(crate) use routes::{dns_name, name_in_zone, served};
pub use run::*;
pub use secret::*;
pub use secret_uses::*;
pub use service::*;
pub use service_backup::*;
pub use service_database::*;
pub use service_login::*;
pub use ssh::*;
pub use ssh_key::*;
pub use sso::*;
pub(crate) use texts::{Step, visit_texts};
pub use tls_mode::*;
pub use tunnel::*;
pub use updates::*;
pub use user_file::*;
pub use value::*;

/// A whole fleet: its people, networks, hosts, services, and all that they share.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fleet {
    /// Name of the fleet, which also marks as ours what is placed in shared places.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Domain of names that give none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Contact for certificates and reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// What hosts have in common.
    #[serde(default, skip_serializing_if = "is_default")]
    pub defaults: Defaults,
    /// People.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub people: BTreeMap<String, Person>,
    /// Networks that hosts share.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub networks: BTreeMap<String, Network>,
    /// Machines.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hosts: BTreeMap<String, Host>,
    /// What runs on them, and what they need from elsewhere.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    // Nearly all of them are the same in the fleet as it takes effect, which shares them.
    pub services: BTreeMap<String, Arc<Service>>,
    /// Database clusters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub databases: BTreeMap<String, Cluster>,
    /// Buckets of object storage.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub buckets: BTreeMap<String, Bucket>,
    /// Servers through which services send mail.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub mailers: BTreeMap<String, Mailer>,
    /// Single sign-on providers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sso: BTreeMap<String, SsoProvider>,
    /// Who watches the fleet.
    #[serde(default, skip_serializing_if = "is_default")]
    pub monitoring: Monitoring,
    /// The start page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portal: Option<Portal>,
    /// Zones and who keeps them.
    #[serde(default, skip_serializing_if = "is_default")]
    pub dns: Dns,
    /// Tunnels from a provider's edge.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tunnels: BTreeMap<String, Tunnel>,
    /// Who may pass a provider's login.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub access: BTreeMap<String, AccessPolicy>,
    /// Where and when backups are made.
    #[serde(default, skip_serializing_if = "is_default")]
    pub backups: Backups,
    /// Commands that agents may run.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub operations: BTreeMap<String, Operation>,
    /// The internal certification authority.
    #[serde(default, skip_serializing_if = "is_default")]
    pub certificates: Certificates,
    /// Secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<SecretName, Secret>,
    /// The order in which hosts change.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rollout: Rollout,
    /// Health of the fleet as a whole.
    #[serde(default, skip_serializing_if = "is_default")]
    pub health: Health,
}

/// The name that stands for the internet where a network is named.
pub const PUBLIC: &str = "public";
/// The name that stands for loopback where a port is bound.
pub const LOCAL: &str = "local";
/// The name that stands for all addresses where a port is bound.
pub const ANY: &str = "any";

impl Document for Fleet {
    const ID: SchemaId = SchemaId::FLEET;
}

fn public() -> Vec<String> {
    vec![PUBLIC.into()]
}

fn yes() -> bool {
    true
}

// serde hands over a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_true(value: &bool) -> bool {
    *value
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
