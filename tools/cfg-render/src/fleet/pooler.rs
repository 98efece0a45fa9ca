//! A pooler of connections before a database cluster.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// PgBouncer before a cluster on a host of the fleet, for the databases that say `pool`. It keeps no passwords: it asks the
/// cluster for the verifier of each role, over the socket, as the cluster's owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pooler {
    /// TCP port.
    #[serde(default = "port_6432")]
    #[schemars(range(min = 1))]
    pub port: u16,
    /// Where it listens besides loopback: networks; those of the cluster if none are given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bind: Vec<String>,
    /// For how long a client keeps its connection to the server.
    #[serde(default)]
    pub mode: PoolMode,
    /// Connections to the server for each database and role.
    #[serde(default = "twenty")]
    #[schemars(range(min = 1))]
    pub size: u32,
    /// Clients at once, all together.
    #[serde(default = "five_hundred")]
    #[schemars(range(min = 1))]
    pub clients: u32,
    /// Further settings of pgbouncer.ini. One beats what is derived.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
}

impl Default for Pooler {
    fn default() -> Self {
        Self {
            port: port_6432(),
            bind: Vec::new(),
            mode: PoolMode::default(),
            size: twenty(),
            clients: five_hundred(),
            settings: BTreeMap::new(),
        }
    }
}

/// That a database is reached through the pooler of its cluster, and what differs from the pooler's own settings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatabasePool {
    /// For how long a client keeps its connection to the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<PoolMode>,
    /// Connections to the server for each role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub size: Option<u32>,
}

/// For how long a client keeps its connection to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PoolMode {
    /// Until it leaves. Everything works as without a pooler.
    Session,
    /// For a transaction. `LISTEN`, advisory locks and `SET` of a session do not work.
    #[default]
    Transaction,
    /// For a statement. Transactions of several statements are refused.
    Statement,
}

impl PoolMode {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Transaction => "transaction",
            Self::Statement => "statement",
        }
    }
}

fn port_6432() -> u16 {
    6432
}

fn twenty() -> u32 {
    20
}

fn five_hundred() -> u32 {
    500
}
