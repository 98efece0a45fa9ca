//! Programs on a host that watch it.

use contract::SecretRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Programs on a host that watch it. `{}` switches one on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Agents {
    /// Metrics of the system (Prometheus node exporter, port 9100).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_exporter: Option<Agent>,
    /// Metrics of containers (cAdvisor, port 8080).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cadvisor: Option<Agent>,
    /// Metrics of PostgreSQL (port 9187).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres_exporter: Option<PostgresExporter>,
    /// Journal and container logs to Loki (Grafana Alloy, port 12345).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alloy: Option<Agent>,
    /// Zabbix agent (port 10050).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zabbix_agent: Option<Agent>,
}

/// A program that watches.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// Its port, where it is not the usual one.
    #[schemars(range(min = 1))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Where it listens: `local` or a network; the monitoring's network if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bind: Option<String>,
    /// Container image; the distribution's package if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Further arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
}

/// The PostgreSQL exporter, which logs in to a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresExporter {
    /// The cluster that it watches.
    pub cluster: String,
    /// The role that it logs in as; it is made, as a member of `pg_monitor`.
    #[serde(default = "postgres_exporter")]
    pub role: String,
    /// The role's password; peer authentication over the socket if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
    /// Its port, where it is not the usual one.
    #[schemars(range(min = 1))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Where it listens: `local` or a network; the monitoring's network if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bind: Option<String>,
    /// Container image; the distribution's package if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

fn postgres_exporter() -> String {
    "postgres_exporter".into()
}
