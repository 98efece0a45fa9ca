//! Programs that watch a host, with their ports and addresses.

use std::net::IpAddr;

use contract::Pointer;

use super::{HostView, Model};
use crate::fleet::LOCAL;

/// A program that watches a host.
#[derive(Debug, Clone)]
pub struct AgentView {
    /// Its name, which is also that of the Prometheus job.
    pub name: &'static str,
    /// Where it listens.
    pub bind: String,
    /// The address of that; none where the host has none there.
    pub address: Option<IpAddr>,
    /// Its port.
    pub port: u16,
    /// Where it stands in the fleet.
    pub pointer: Pointer,
}

impl Model<'_> {
    /// The exporters of a host.
    pub fn agents(&self, host: &HostView) -> Vec<AgentView> {
        let Some(agents) = &host.spec.agents else { return Vec::new() };
        let at = host.at("agents");
        let view = |name: &'static str, key: &str, bind: Option<&str>, port: Option<u16>, usual: u16| {
            let bind = match bind.or(self.fleet.monitoring.network.as_deref()) {
                Some(network) if network == LOCAL || host.address(network).is_some() => network.to_owned(),
                _ => LOCAL.to_owned(),
            };
            AgentView {
                name,
                address: host.bind_address(&bind),
                bind,
                port: port.unwrap_or(usual),
                pointer: at.join(key),
            }
        };
        let mut views = Vec::new();
        if let Some(agent) = &agents.node_exporter {
            views.push(view("node", "node_exporter", agent.bind.as_deref(), agent.port, 9100));
        }
        if let Some(agent) = &agents.postgres_exporter {
            views.push(view("postgres", "postgres_exporter", agent.bind.as_deref(), agent.port, 9187));
        }
        if let Some(agent) = &agents.cadvisor {
            views.push(view("cadvisor", "cadvisor", agent.bind.as_deref(), agent.port, 8080));
        }
        if let Some(agent) = &agents.alloy {
            views.push(view("alloy", "alloy", agent.bind.as_deref(), agent.port, 12345));
        }
        views
    }
}
