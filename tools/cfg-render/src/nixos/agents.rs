//! What a host runs to be watched: exporters, cAdvisor, Alloy, the Zabbix agent.

use std::net::SocketAddr;

use contract::document::Engine;
use contract::{Finding, Pointer};

use super::builder::NixosBuilder;
use super::compose;
use crate::fleet::{Agent, Run};
use crate::format::nix::Nix;
use crate::host::monitoring::agents::{self as shared, EngineLogs};
use crate::model::{AgentView, Model};

const MODULE: &str = "monitoring";

pub(super) fn add(builder: &mut NixosBuilder<'_, '_>) {
    let Some(agents) = &builder.host.spec.agents else { return };
    for agent in builder.model.agents(builder.host) {
        match agent.name {
            "node" | "postgres" => exporter(builder, &agent),
            "cadvisor" => cadvisor(builder, &agent, agents.cadvisor.as_ref()),
            "alloy" => alloy(builder, &agent, agents.alloy.as_ref()),
            other => builder.shared.missing(agent.pointer.clone(), &format!("the agent {other} on NixOS")),
        }
    }
    if let Some(spec) = &agents.zabbix_agent {
        zabbix(builder, spec);
    }
}

fn exporter(builder: &mut NixosBuilder<'_, '_>, agent: &AgentView) {
    let Some(agents) = &builder.host.spec.agents else { return };
    let at = &agent.pointer;
    let mut keys = vec![
        ("enable", Nix::Bool(true)),
        ("port", Nix::number(agent.port)),
        ("listenAddress", Nix::text(listen(agent).ip().to_string())),
    ];
    if agent.name == "node" {
        let flags: Vec<&String> = agents.node_exporter.iter().flat_map(|spec| &spec.arguments).collect();
        if !flags.is_empty() {
            keys.push(("extraFlags", Nix::texts(flags)));
        }
    } else {
        let here = agents.postgres_exporter.as_ref().and_then(|spec| builder.model.cluster(&spec.cluster));
        if here.is_none_or(|cluster| cluster.spec.host.as_deref() != Some(&builder.host.name)) {
            builder.shared.missing(at.clone(), "the PostgreSQL exporter for a cluster on another host");
            return;
        }
        keys.push(("runAsLocalSuperUser", Nix::Bool(true)));
    }
    let path = ["services", "prometheus", "exporters", agent.name];
    builder.set(MODULE, &path, Nix::set(keys), std::slice::from_ref(at));
}

fn listen(agent: &AgentView) -> SocketAddr {
    SocketAddr::new(agent.address.unwrap_or(std::net::IpAddr::from([127, 0, 0, 1])), agent.port)
}

/// NixOS builds the program: an image that the fleet names for other hosts is left out.
fn no_image(builder: &mut NixosBuilder<'_, '_>, agent: &AgentView, spec: Option<&Agent>) {
    if spec.is_some_and(|spec| spec.image.is_some()) {
        let message = format!("{} comes from nixpkgs on NixOS, not from this image", agent.name);
        let at = agent.pointer.join("image");
        builder.shared.findings.push(Finding::note("unsupported-feature", at, message).fix("nothing to do"));
    }
}

fn cadvisor(builder: &mut NixosBuilder<'_, '_>, agent: &AgentView, spec: Option<&Agent>) {
    no_image(builder, agent, spec);
    let at = listen(agent);
    let own = spec.map(|spec| spec.arguments.clone()).unwrap_or_default();
    let options = shared::CADVISOR.iter().map(|word| (*word).to_owned()).chain(own);
    let value = Nix::set([
        ("enable", Nix::Bool(true)),
        ("listenAddress", Nix::text(at.ip().to_string())),
        ("port", Nix::number(at.port())),
        ("extraOptions", Nix::texts(options)),
    ]);
    builder.set(MODULE, &["services", "cadvisor"], value, std::slice::from_ref(&agent.pointer));
}

fn alloy(builder: &mut NixosBuilder<'_, '_>, agent: &AgentView, spec: Option<&Agent>) {
    no_image(builder, agent, spec);
    let (model, host) = (builder.model, builder.host);
    let mut from = vec![agent.pointer.clone(), super::place(&["monitoring", "loki"])];
    // Containers of NixOS write into the journal, under the names of their units.
    let mut units = Vec::new();
    for (name, service) in model.services_on(&host.name).filter(|(_, service)| !service.run.containers().is_empty()) {
        from.push(Model::service_at(name));
        let own = model.units_on(host, name, service).into_iter().map(|(_, unit)| unit).collect();
        units.push((name.to_owned(), own));
    }
    let projects = model.services_on(&host.name).filter(|(_, service)| matches!(service.run, Run::Compose(_)));
    from.extend(projects.map(|(name, _)| Model::service_at(name)));
    from.extend(model.fleet.monitoring.loki.as_ref().map(|role| Model::service_at(&role.service)));
    let docker = host.spec.containers.as_ref().is_some_and(|spec| spec.engine == Engine::Docker);
    let projects = docker && compose::used(builder);
    let logs = if projects { EngineLogs::Projects } else { EngineLogs::None };
    let Some(text) = shared::alloy_config(&mut builder.shared, logs, &units, &agent.pointer) else { return };
    let flags = [format!("--server.http.listen-addr={}", listen(agent)), "--disable-reporting".into()];
    let flags = flags.into_iter().chain(spec.map(|spec| spec.arguments.clone()).unwrap_or_default());
    let value = Nix::set([("enable", Nix::Bool(true)), ("extraFlags", Nix::texts(flags))]);
    builder.set(MODULE, &["services", "alloy"], value, &from);
    builder.set(MODULE, &["environment", "etc", "alloy/config.alloy", "text"], Nix::text(text), &from);
    if projects {
        let path = ["systemd", "services", "alloy", "serviceConfig", "SupplementaryGroups"];
        builder.set(MODULE, &path, Nix::texts(["docker"]), &from);
    }
}

fn zabbix(builder: &mut NixosBuilder<'_, '_>, spec: &Agent) {
    let at = builder.host.at("agents").join("zabbix_agent");
    let Some(server) = shared::zabbix_server(&mut builder.shared, &at) else { return };
    crate::host::monitoring::zabbix::port_that_it_takes(&mut builder.shared, spec.port.unwrap_or(10050), &at);
    let address = shared::address(&builder.shared, spec);
    let listen = Nix::set([("ip", Nix::text(address.to_string())), ("port", Nix::number(spec.port.unwrap_or(10050)))]);
    let settings = Nix::set([
        ("Hostname", Nix::text(&builder.host.name)),
        ("ServerActive", Nix::text(server.address.to_string())),
    ]);
    let value = Nix::set([
        ("enable", Nix::Bool(true)),
        ("server", Nix::text(server.asks.join(","))),
        ("listen", listen),
        ("settings", settings),
    ]);
    let server = builder.model.fleet.monitoring.zabbix.as_ref().map(|role| Model::service_at(&role.server));
    let from: Vec<Pointer> = [at].into_iter().chain(server).collect();
    builder.set(MODULE, &["services", "zabbixAgent"], value, &from);
}
