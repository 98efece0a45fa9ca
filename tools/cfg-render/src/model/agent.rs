//! Programs that watch a host, with their ports and addresses.

use std::net::{IpAddr, SocketAddr};

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

/// The Zabbix server, as a host reaches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZabbixServer {
    /// Where it listens.
    pub address: SocketAddr,
    /// Addresses from which it may ask the host.
    pub asks: Vec<String>,
}

impl Model<'_> {
    /// The Zabbix server as a host reaches it; none where there is none, or no way to it.
    pub fn zabbix_server(&self, host: &HostView) -> Option<ZabbixServer> {
        let service = self.service(&self.fleet.monitoring.zabbix.as_ref()?.server)?;
        let (_, port) = service.port(Some("server")).or_else(|| service.port(None))?;
        let on = self.hosts_of(service).find(|on| on.name == host.name).or_else(|| self.hosts_of(service).next())?;
        let address = SocketAddr::new(self.address_between(Some(host), on, &port.bind)?, port.port);
        // It may ask from any of the networks that the two share.
        let shared = on.spec.addresses.iter().filter(|(network, _)| host.spec.addresses.contains_key(*network));
        // On one host it may also come from loopback.
        let loopback = (on.name == host.name).then(|| "127.0.0.1".to_owned());
        let asks = loopback.into_iter().chain(shared.flat_map(|(_, all)| all).map(ToString::to_string)).collect();
        Some(ZabbixServer { address, asks })
    }

    /// Whether a service is the Zabbix server of the fleet.
    pub fn is_zabbix_server(&self, name: &str) -> bool {
        self.fleet.monitoring.zabbix.as_ref().is_some_and(|role| role.server == name)
    }

    /// Whether a service is the web interface of Zabbix.
    pub fn is_zabbix_web(&self, name: &str) -> bool {
        self.fleet.monitoring.zabbix.as_ref().is_some_and(|role| role.web.as_deref() == Some(name))
    }

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
