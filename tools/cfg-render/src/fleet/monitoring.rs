//! Who watches the fleet.

use std::collections::BTreeMap;

use contract::{Duration, SecretRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who watches the fleet. Each names a service of `services` (by default the one of the same name), which then gets the
/// configuration of its role; how and where it runs, its ports and its proxy entries stand there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Monitoring {
    /// Network over which metrics and logs travel between hosts; loopback only if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Prometheus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<Prometheus>,
    /// Alertmanager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alertmanager: Option<Alertmanager>,
    /// Grafana.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grafana: Option<Grafana>,
    /// Loki.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loki: Option<Loki>,
    /// Zabbix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zabbix: Option<Zabbix>,
}

/// Prometheus: its targets and rules are derived from the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Prometheus {
    /// The service.
    pub service: String,
    /// How often targets are asked.
    pub interval: Duration,
    /// How long samples are kept.
    pub retention: Duration,
    /// Labels on everything that leaves it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub external_labels: BTreeMap<String, String>,
    /// Alerts derived from the fleet (down, disk, certificates, backups).
    pub derived_alerts: bool,
    /// Targets that are not in the fleet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scrape: Vec<ScrapeTarget>,
    /// Alerts that belong to no service.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<super::Alert>,
}

impl Default for Prometheus {
    fn default() -> Self {
        Self {
            service: "prometheus".into(),
            interval: Duration::from_secs(30),
            retention: Duration::from_secs(15 * 86_400),
            external_labels: BTreeMap::new(),
            derived_alerts: true,
            scrape: Vec::new(),
            alerts: Vec::new(),
        }
    }
}

/// A target of Prometheus that is not in the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScrapeTarget {
    /// Name of the job.
    pub job: String,
    /// `host:port` of each target.
    pub targets: Vec<String>,
    /// Path; `/metrics` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The targets speak TLS.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tls: bool,
    /// Bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer: Option<SecretRef>,
    /// Labels on the targets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Alertmanager: whom alerts reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Alertmanager {
    /// The service.
    pub service: String,
    /// Mailer for mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mailer: Option<String>,
    /// People who get mail.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub people: Vec<String>,
    /// Groups of people who get mail.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Secret with the address of a webhook that gets alerts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<SecretRef>,
    /// An alert is repeated this often.
    pub repeat: Duration,
}

impl Default for Alertmanager {
    fn default() -> Self {
        Self {
            service: "alertmanager".into(),
            mailer: None,
            people: Vec::new(),
            groups: Vec::new(),
            webhook: None,
            repeat: Duration::from_secs(4 * 3600),
        }
    }
}

/// Grafana: its data sources are derived from the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Grafana {
    /// The service.
    pub service: String,
    /// Password of the user `admin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_password: Option<SecretRef>,
    /// Dashboards (JSON files on the controller), relative to the fleet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dashboards: Vec<String>,
}

impl Default for Grafana {
    fn default() -> Self {
        Self { service: "grafana".into(), admin_password: None, dashboards: Vec::new() }
    }
}

/// Loki.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Loki {
    /// The service.
    pub service: String,
    /// Date from which its schema holds, such as `2025-01-01`. Never change it afterwards.
    pub schema_from: String,
    /// How long lines are kept.
    pub retention: Duration,
    /// Bucket of the fleet that holds its chunks; the disk if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
}

impl Default for Loki {
    fn default() -> Self {
        Self {
            service: "loki".into(),
            schema_from: "2025-01-01".into(),
            retention: Duration::from_secs(31 * 86_400),
            bucket: None,
        }
    }
}

/// Zabbix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Zabbix {
    /// The service that is its server.
    pub server: String,
    /// The service that is its web interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub web: Option<String>,
}

impl Default for Zabbix {
    fn default() -> Self {
        Self { server: "zabbix-server".into(), web: None }
    }
}
