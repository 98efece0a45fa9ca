//! A database of a service.

use std::collections::BTreeMap;

use contract::SecretRef;
use contract::document::{PgExtension, PgGrant, PgLocale, PgRole, PgSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A database that a service owns, in a cluster of `databases`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceDatabase {
    /// The cluster; the only one if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Its name; the service's, with `_` for `-`, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The role that owns it and that the service logs in as; the database's name if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// How the service logs in: `scram` if there is a password, else `peer`, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<DatabaseAuth>,
    /// The owner's password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
    /// The service connects through the cluster's PgBouncer; it needs a password then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<super::DatabasePool>,
    /// Encoding of a new database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// Locale of a new database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<PgLocale>,
    /// Extensions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<PgExtension>,
    /// Schemas.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schemas: Vec<PgSchema>,
    /// Further roles, such as one that may only read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<PgRole>,
    /// Grants to them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<PgGrant>,
    /// How many connections at once; -1 is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_limit: Option<i32>,
    /// Settings (`ALTER DATABASE ... SET`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// It is dumped for the backup.
    #[serde(default = "super::yes")]
    pub dump: bool, //keep
    /// Codes of findings about this database that a person has accepted, such as `risky-trust`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accept_risk: Vec<String>,
}

impl ServiceDatabase {
    /// Its name, given the service's.
    pub fn name_or(&self, service: &str) -> String {
        self.name.clone().unwrap_or_else(|| service.replace('-', "_"))
    }

    /// The role that owns it, given the service's name.
    pub fn owner_or(&self, service: &str) -> String {
        self.owner.clone().unwrap_or_else(|| self.name_or(service))
    }

    /// How the service logs in.
    pub fn auth(&self) -> DatabaseAuth {
        self.auth.unwrap_or(if self.password.is_some() { DatabaseAuth::Scram } else { DatabaseAuth::Peer })
    }
}

/// How a service logs in to its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DatabaseAuth {
    /// As the system user of the same name, over the socket.
    Peer,
    /// With a password (SCRAM-SHA-256).
    Scram,
    /// Without any proof. A person must accept `risky-trust`.
    Trust,
}
