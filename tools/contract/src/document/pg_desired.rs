//! `pg.desired/v1`: what a PostgreSQL cluster shall hold.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Document;
use crate::{Pointer, SchemaId, SecretRef};

/// Roles, databases and access rules of one cluster. A key that is not given is not managed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PgDesired {
    /// Where the cluster is.
    pub cluster: PgCluster,
    /// Who declares these objects.
    pub owner: String,
    /// The document holds only some of the owner's objects, so that nothing is reported as orphaned because of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// Defaults for every database.
    #[serde(default)]
    pub defaults: PgDefaults,
    /// Roles.
    #[serde(default)]
    pub roles: Vec<PgRole>,
    /// Databases.
    #[serde(default)]
    pub databases: Vec<PgDatabase>,
    /// Client authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hba: Option<PgHba>,
}

/// Where a cluster is. Exactly one of `socket` and `tcp` is given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PgCluster {
    /// Its name in the fleet.
    pub name: String,
    /// Through a Unix socket, as the cluster's owner (peer authentication).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<PgSocket>,
    /// Over the network, with a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<PgTcp>,
}

/// A Unix socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PgSocket {
    /// Directory of the socket.
    #[serde(default = "run_postgresql")]
    pub directory: String,
    /// Port, which is part of the socket's name.
    #[serde(default = "port_5432")]
    pub port: u16,
    /// System user that owns the cluster; the connection is made with its uid.
    #[serde(default = "postgres")]
    pub user: String,
}

impl Default for PgSocket {
    fn default() -> Self {
        Self { directory: run_postgresql(), port: port_5432(), user: postgres() }
    }
}

/// A server on the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PgTcp {
    /// Name or address.
    pub host: String,
    /// Port.
    #[serde(default = "port_5432")]
    pub port: u16,
    /// Role to connect as.
    pub user: String,
    /// Its password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
    /// Database to connect to first.
    #[serde(default = "postgres")]
    pub database: String,
    /// Whether and how TLS is used.
    #[serde(default)]
    pub tls: PgTls,
    /// Certificates (PEM) to trust instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

/// TLS to the server, in libpq's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PgTls {
    /// Certificate and name are verified.
    #[default]
    VerifyFull,
    /// The certificate is verified, not the name.
    VerifyCa,
    /// No TLS; accepted for loopback only.
    Disable,
}

/// Defaults for every declared database.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PgDefaults {
    /// `CREATE` on schema public is taken from everybody.
    #[serde(default)]
    pub secure_public_schema: bool,
    /// `CONNECT` is taken from everybody but the owner and declared roles.
    #[serde(default)]
    pub revoke_public_connect: bool,
}

/// A role.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PgRole {
    /// Its name.
    pub name: String,
    /// May log in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<bool>,
    /// Its password; the server is only ever sent a SCRAM-SHA-256 verifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
    /// System user that may log in as this role over the socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_user: Option<String>,
    /// May make databases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_database: Option<bool>,
    /// May make roles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_role: Option<bool>,
    /// May stream replication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication: Option<bool>,
    /// How many connections at once; -1 is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_limit: Option<i32>,
    /// Roles that it is a member of. Other memberships are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub member_of: Vec<PgMembership>,
    /// Settings (`ALTER ROLE ... SET`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// Places in the fleet that made this role.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<Pointer>,
}

/// Membership of a role in another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PgMembership {
    /// The other role.
    pub role: String,
    /// Its rights are used without `SET ROLE` (PostgreSQL 16 and newer keep this per membership).
    #[serde(default = "yes")]
    pub inherit: bool,
    /// `SET ROLE` to it is allowed (PostgreSQL 16 and newer).
    #[serde(default = "yes")]
    pub set: bool,
    /// May give the membership on.
    #[serde(default)]
    pub admin: bool,
}

/// A database.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PgDatabase {
    /// Its name.
    pub name: String,
    /// The role that owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Encoding of a new database; that of an existing one is reported and never changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// Locale of a new database; that of an existing one is reported and never changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<PgLocale>,
    /// How many connections at once; -1 is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_limit: Option<i32>,
    /// Extensions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<PgExtension>,
    /// Schemas.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schemas: Vec<PgSchema>,
    /// Grants. Others are kept unless `exact_grants`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<PgGrant>,
    /// Grants on objects that will be made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub default_privileges: Vec<PgDefaultPrivilege>,
    /// Grants of declared objects that are not declared are revoked.
    #[serde(default)]
    pub exact_grants: bool,
    /// Settings (`ALTER DATABASE ... SET`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// Places in the fleet that made this database.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<Pointer>,
}

/// A locale and who implements it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PgLocale {
    /// `libc`, `icu` (15 and newer) or `builtin` (17 and newer).
    #[serde(default)]
    pub provider: PgLocaleProvider,
    /// Its name, such as `C.UTF-8`.
    pub name: String,
}

/// Who implements a locale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PgLocaleProvider {
    /// The system's C library.
    #[default]
    Libc,
    /// ICU.
    Icu,
    /// PostgreSQL itself.
    Builtin,
}

/// An extension of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PgExtension {
    /// Its name.
    pub name: String,
    /// Schema of its objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// Kept at the newest version that the server has.
    #[serde(default)]
    pub update: bool,
}

/// A schema of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PgSchema {
    /// Its name.
    pub name: String,
    /// The role that owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// A grant inside a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PgGrant {
    /// The role that gets it.
    pub to: String,
    /// On what.
    pub on: PgObject,
    /// Privileges in SQL's words, such as `SELECT`.
    pub privileges: Vec<String>,
}

/// What a grant is on. Exactly one key is given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PgObject {
    /// The database itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<super::EmptyObject>,
    /// A schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// A table or view, as `schema.name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// All tables and views of a schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all_tables_in: Option<String>,
    /// All sequences of a schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all_sequences_in: Option<String>,
    /// All functions of a schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all_functions_in: Option<String>,
}

/// Grants on objects that a role will make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PgDefaultPrivilege {
    /// The role that will make the objects.
    #[serde(rename = "for")]
    pub for_role: String,
    /// In which schema.
    #[serde(rename = "in")]
    pub in_schema: String,
    /// `tables`, `sequences`, `functions` or `types`.
    pub on: String,
    /// The role that gets it.
    pub to: String,
    /// Privileges in SQL's words.
    pub privileges: Vec<String>,
}

/// Client authentication (pg_hba.conf).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PgHba {
    /// The rules from which the file is made.
    #[serde(default)]
    pub profile: PgHbaProfile,
    /// Networks (CIDR) from which declared roles may reach declared databases with a password.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// Further rules, before those of the profile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra: Vec<PgHbaRule>,
    /// Risks that a person has accepted, such as `trust`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accept_risk: Vec<String>,
}

/// A set of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PgHbaProfile {
    /// Peer for system users, SCRAM for everything else, superusers over the socket only.
    #[default]
    PeerScram,
    /// Trust for declared pairs of role and database on this host and in `networks`; needs `accept_risk: ["trust"]`.
    DeclaredTrust,
}

/// One rule of pg_hba.conf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PgHbaRule {
    /// `local`, `host`, `hostssl` or `hostnossl`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Database, or `all`.
    pub database: String,
    /// Role, or `all`.
    pub role: String,
    /// Network (CIDR); none for `local`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Method, such as `scram-sha-256`.
    pub method: String,
}

fn run_postgresql() -> String {
    "/run/postgresql".into()
}

fn postgres() -> String {
    "postgres".into()
}

fn port_5432() -> u16 {
    5432
}

fn yes() -> bool {
    true
}

impl Document for PgDesired {
    const ID: SchemaId = SchemaId::PG_DESIRED;
}
