//! Something that runs and owns all that belongs to it.

use std::collections::BTreeMap;

use contract::SecretName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Alert, CheckSpec, DataDirectory, Expose, Extra, Metrics, OneOrMany, Port, Route, Run, ServiceBackup,
    ServiceDatabase, ServiceLogin, ServiceSso, Tile, UserFile, Value,
};

/// Something that runs, by its name. It owns all that belongs to it: its proxy entries, databases, secrets, backups,
/// checks, metrics and its tile on the start page; take it out and all of that goes with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Whether it takes part.
    #[serde(default = "super::yes", skip_serializing_if = "super::is_true")]
    pub enable: bool,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The host or hosts on which it runs. None only for `external`.
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    pub host: OneOrMany,
    /// How it runs.
    pub run: Run,
    /// System user that it runs as; it is made where it is not there. Each kind of `run` has its own default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Primary group of that user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Ports on which it listens, by a name of your choice (`http`, `metrics`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ports: BTreeMap<String, Port>,
    /// How it is reached by name through a reverse proxy or tunnel.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proxy: Vec<Route>,
    /// Ports that are reached directly, without a proxy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expose: Vec<Expose>,
    /// Services and database clusters without which it cannot work. Those of `databases` and `sso` are implied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// Groups of services and clusters of which at least one must work.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs_any: Vec<Vec<String>>,
    /// Services and database clusters without which it works less well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wants: Vec<String>,
    /// Databases that it owns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<ServiceDatabase>,
    /// Buckets that it uses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buckets: Vec<String>,
    /// Mailer through which it sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mailer: Option<String>,
    /// Single sign-on that it does itself (OpenID Connect). That of the proxy in front is in `proxy[].auth`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sso: Option<ServiceSso>,
    /// Login over SSH that belongs to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<ServiceLogin>,
    /// Secrets that it reads as files below `/run/secrets`, besides those mentioned elsewhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretName>,
    /// Environment of all its processes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Value>,
    /// Secrets that are whole environment files, read after `env`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env_secrets: Vec<SecretName>,
    /// Path at which its environment file shall appear, such as `/opt/app/.env`; chosen by the kind of `run` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env_file: Option<String>,
    /// Directories by path, besides the usual one of its kind of `run`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub directories: BTreeMap<String, DataDirectory>,
    /// Whole files by path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, UserFile>,
    /// What of it is backed up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<ServiceBackup>,
    /// Checks besides the derived ones (each port, each proxy entry).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub health: Vec<CheckSpec>,
    /// Its failure fails a gate. External services never do, whatever stands here.
    #[serde(default = "super::yes", skip_serializing_if = "super::is_true")]
    pub critical: bool,
    /// Metrics that Prometheus collects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Metrics>,
    /// Alerts besides the derived ones (down, certificate, disk).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<Alert>,
    /// Its tile on the start page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dashboard: Option<Tile>,
    /// Text inside generated files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Extra>,
    /// Codes of findings about this service that a person has accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accept_risk: Vec<String>,
}

impl Service {
    /// A service that runs like this and has nothing else yet.
    pub fn new(host: &str, run: Run) -> Self {
        Self {
            enable: true,
            description: None,
            host: OneOrMany(if host.is_empty() { Vec::new() } else { vec![host.into()] }),
            run,
            user: None,
            group: None,
            ports: BTreeMap::new(),
            proxy: Vec::new(),
            expose: Vec::new(),
            needs: Vec::new(),
            needs_any: Vec::new(),
            wants: Vec::new(),
            databases: Vec::new(),
            buckets: Vec::new(),
            mailer: None,
            sso: None,
            login: None,
            secrets: Vec::new(),
            env: BTreeMap::new(),
            env_secrets: Vec::new(),
            env_file: None,
            directories: BTreeMap::new(),
            files: BTreeMap::new(),
            backup: None,
            health: Vec::new(),
            critical: true,
            metrics: Vec::new(),
            alerts: Vec::new(),
            dashboard: None,
            extra: None,
            accept_risk: Vec::new(),
        }
    }

    /// Whether it is not ours, so that it has no files and never fails a gate.
    pub fn is_external(&self) -> bool {
        matches!(self.run, Run::External(_))
    }

    /// The port of this name; without a name `http`, or the only one.
    pub fn port(&self, name: Option<&str>) -> Option<(&str, &Port)> {
        let entry = match name {
            Some(name) => self.ports.get_key_value(name),
            None => {
                self.ports.get_key_value("http").or_else(|| self.ports.iter().next().filter(|_| self.ports.len() == 1))
            }
        };
        entry.map(|(name, port)| (name.as_str(), port))
    }
}
