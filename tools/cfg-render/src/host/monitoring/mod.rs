//! What watches the fleet, besides Prometheus and its exporters: Alertmanager, Grafana, Loki, and what brings logs and
//! metrics of containers.

pub(crate) mod agents;
pub(crate) mod alertmanager;
mod dashboards;
pub(crate) mod grafana;
pub(crate) mod loki;
pub(crate) mod role;
pub(crate) mod zabbix;

use super::HostBuilder;
use crate::model::{HostView, Model};

pub(super) use role::fitted;

/// Where Alertmanager is, as a host reaches it.
pub(super) fn alertmanager_from(model: &Model<'_>, from: &HostView, service: &str) -> Option<String> {
    role::reached(model, from, service, role::Role::Alertmanager)
}

pub(super) fn add(builder: &mut HostBuilder<'_, '_>) {
    alertmanager::add(builder);
    grafana::add(builder);
    loki::add(builder);
    agents::add(builder);
    zabbix::add(builder);
}
