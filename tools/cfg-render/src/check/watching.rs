//! What nobody watches, and what changes by itself.

use contract::{Finding, Pointer};

use super::context::{Context, accepted, place};
use super::proxies::no_way;
use crate::fleet::{BackendTls, LOCAL, Run, Service};

/// `unmonitored`, `image-not-pinned`, `unreachable-upstream`.
pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    roles(context, found);
    for (name, service) in &context.fleet.services {
        let at = place([&"services", name]);
        if context.fleet.monitoring.prometheus.is_some() {
            unmonitored(name, service, &at, found);
        }
        for (container_name, container) in service.run.containers() {
            let at = match &service.run {
                Run::Containers(_) => at.join("run").join("containers").join(container_name),
                _ => at.join("run").join("container"),
            };
            if !accepted(&service.accept_risk, "image-not-pinned") {
                pinned(&container.image, &at.join("image"), found);
            }
        }
    }
    for (name, host) in context.hosts() {
        let exporter =
            host.agents.as_ref().is_some_and(|agents| agents.node_exporter.is_some() || agents.zabbix_agent.is_some());
        if context.fleet.monitoring.prometheus.is_some() && !exporter && !accepted(&host.accept_risk, "unmonitored") {
            let message = format!("nothing on host {name} tells Prometheus how it is");
            found.push(
                Finding::warning("unmonitored", place([&"hosts", name]), message)
                    .fix("add \"agents\": {\"node_exporter\": {}} to the host or to defaults.host"),
            );
        }
    }
}

/// Who watches the fleet together: Grafana shows what the others have, and Prometheus tells Alertmanager.
fn roles(context: &Context<'_>, found: &mut Vec<Finding>) {
    let monitoring = &context.fleet.monitoring;
    let prometheus = monitoring.prometheus.as_ref().map(|role| ("prometheus", role.service.as_str()));
    let alertmanager = monitoring.alertmanager.as_ref().map(|role| ("alertmanager", role.service.as_str()));
    let loki = monitoring.loki.as_ref().map(|role| ("loki", role.service.as_str()));
    let grafana = monitoring.grafana.as_ref().map(|role| ("grafana", role.service.as_str()));
    let asks = [(grafana, prometheus), (grafana, loki), (grafana, alertmanager), (prometheus, alertmanager)];
    for (((who, from), (whom, to)), at) in asks.into_iter().filter_map(|(from, to)| {
        let (from, to) = (from?, to?);
        Some(((from, to), place([&"monitoring", &from.0])))
    }) {
        let services = &context.fleet.services;
        let (Some(asking), Some(asked)) = (services.get(from), services.get(to)) else { continue };
        let (Some(here), Some(there)) = (asking.host.iter().next(), asked.host.iter().next()) else { continue };
        if asked.host.iter().any(|host| host == here) {
            continue;
        }
        let own = crate::fleet::Port::local(1);
        let (name, port) = asked.port(None).unwrap_or(("http", &own));
        if let Some((why, fix)) = no_way(context, here, there, Some((name, port)), BackendTls::None, None) {
            let message = format!("service {from} ({who}) on host {here} does not reach service {to} ({whom}): {why}");
            let ports = place([&"services", &to, &"ports"]);
            let related = if asked.ports.is_empty() { place([&"services", &to]) } else { ports.join(name) };
            let fix = if port.bind == LOCAL { format!("{fix}; or run the two on one host") } else { fix };
            found.push(Finding::warning("unreachable-upstream", at, message).related(related).fix(fix));
        }
    }
}

/// A service from which no check follows.
fn unmonitored(name: &str, service: &Service, at: &Pointer, found: &mut Vec<Finding>) {
    let watched = !service.ports.is_empty()
        || !service.proxy.is_empty()
        || !service.health.is_empty()
        || !service.metrics.is_empty()
        || matches!(service.run, Run::Systemd(_) | Run::Package(_) | Run::Nixos(_) | Run::HomeManager(_));
    if !watched && !service.is_external() && !accepted(&service.accept_risk, "unmonitored") {
        let message = format!("nothing would notice that service {name} is down");
        found
            .push(Finding::warning("unmonitored", at.clone(), message).fix("add \"ports\", \"health\" or \"metrics\""));
    }
}

/// A tag that means another image tomorrow.
fn pinned(image: &str, at: &Pointer, found: &mut Vec<Finding>) {
    let name = image.rsplit('/').next().unwrap_or_default();
    let tag = name.split_once(':').map(|(_, tag)| tag);
    let moving =
        tag.is_none_or(|tag| ["latest", "main", "master", "edge", "nightly", "stable", "release"].contains(&tag));
    if moving && !image.contains("@sha256:") && !image.is_empty() {
        let message = "this image is another one tomorrow, and a rollback does not bring it back";
        found.push(
            Finding::warning("image-not-pinned", at.clone(), message)
                .fix("name a version, or better a digest (@sha256:...)"),
        );
    }
}
