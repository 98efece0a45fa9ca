//! What watches the host, and the fleet: exporters, Prometheus, Grafana's data sources, Loki.

use std::collections::BTreeSet;

use contract::Pointer;
use serde_json::json;

use super::builder::NixosBuilder;
use super::services::module;
use crate::fleet::{Run, Service};
use crate::format::nix::Nix;
use crate::host::prometheus as shared;
use crate::model::Model;

pub(super) fn add(builder: &mut NixosBuilder<'_, '_>) {
    exporters(builder);
    prometheus(builder);
    grafana(builder);
    loki(builder);
}

fn exporters(builder: &mut NixosBuilder<'_, '_>) {
    for agent in builder.model.agents(builder.host) {
        let Some(agents) = &builder.host.spec.agents else { continue };
        let at = &agent.pointer;
        let address = agent.address.unwrap_or(std::net::IpAddr::from([127, 0, 0, 1]));
        let mut keys = vec![
            ("enable", Nix::Bool(true)),
            ("port", Nix::number(agent.port)),
            ("listenAddress", Nix::text(address.to_string())),
        ];
        let name = match agent.name {
            "node" => {
                let flags = agents.node_exporter.iter().flat_map(|spec| &spec.arguments);
                let flags: Vec<&String> = flags.collect();
                if !flags.is_empty() {
                    keys.push(("extraFlags", Nix::texts(flags)));
                }
                "node"
            }
            "postgres" => {
                let here = agents.postgres_exporter.as_ref().and_then(|spec| builder.model.cluster(&spec.cluster));
                if here.is_none_or(|cluster| cluster.spec.host.as_deref() != Some(&builder.host.name)) {
                    builder.shared.missing(at.clone(), "the PostgreSQL exporter for a cluster on another host");
                    continue;
                }
                keys.push(("runAsLocalSuperUser", Nix::Bool(true)));
                "postgres"
            }
            other => {
                builder.shared.missing(at.clone(), &format!("the agent {other} on NixOS"));
                continue;
            }
        };
        builder.set(
            "monitoring",
            &["services", "prometheus", "exporters", name],
            Nix::set(keys),
            std::slice::from_ref(at),
        );
    }
    // Exporters on an address of an overlay wait for it.
}

/// The service of a role, where it runs on this host as a module of NixOS.
fn role<'f>(builder: &NixosBuilder<'_, 'f>, name: &str) -> Option<&'f Service> {
    let service = builder.model.service(name)?;
    let here = service.host.iter().any(|host| *host == builder.host.name);
    (here && matches!(service.run, Run::Nixos(_))).then_some(service)
}

fn prometheus(builder: &mut NixosBuilder<'_, '_>) {
    let model = builder.model;
    let Some(spec) = &model.fleet.monitoring.prometheus else { return };
    if role(builder, &spec.service).is_none() {
        return;
    }
    let name = &spec.service;
    let file = module(name);
    let at = super::place(&["monitoring", "prometheus"]);
    let scrapes = model.scrapes();
    let config = shared::config(&builder.shared, spec, scrapes);
    let mut from: BTreeSet<Pointer> = scrapes.iter().map(|scrape| scrape.pointer.clone()).collect();
    from.extend([at.clone(), Model::service_at(name)]);
    let from: Vec<Pointer> = from.into_iter().collect();
    if let Some(global) = config.get("global").and_then(|value| builder.json(value, &at)) {
        builder.set(&file, &["services", "prometheus", "globalConfig"], global, std::slice::from_ref(&at));
    }
    if let Some(jobs) = config.get("scrape_configs").and_then(|value| builder.json(value, &at)) {
        builder.set(&file, &["services", "prometheus", "scrapeConfigs"], jobs, &from);
    }
    let retention = Nix::text(format!("{}s", spec.retention.as_secs()));
    builder.set(&file, &["services", "prometheus", "retentionTime"], retention, std::slice::from_ref(&at));
    let (rules, rules_from) = shared::rules(model, spec, scrapes);
    let text = serde_json::to_string_pretty(&rules).unwrap_or_default();
    let from: Vec<Pointer> = from.iter().cloned().chain(rules_from).collect();
    builder.set(&file, &["services", "prometheus", "rules"], Nix::texts([text + "\n"]), &from);
    if scrapes.iter().any(|scrape| scrape.bearer.is_some()) {
        // The token's file is there on the host and not where the configuration is checked.
        builder.set(&file, &["services", "prometheus", "checkConfig"], Nix::text("syntax-only"), &[at]);
    }
}

fn grafana(builder: &mut NixosBuilder<'_, '_>) {
    let model = builder.model;
    let Some(spec) = &model.fleet.monitoring.grafana else { return };
    if role(builder, &spec.service).is_none() {
        return;
    }
    let file = module(&spec.service);
    let at = super::place(&["monitoring", "grafana"]);
    let mut sources = Vec::new();
    let mut from = vec![at.clone()];
    let monitoring = &model.fleet.monitoring;
    let roles = [
        ("Prometheus", "prometheus", monitoring.prometheus.as_ref().map(|spec| &spec.service)),
        ("Loki", "loki", monitoring.loki.as_ref().map(|spec| &spec.service)),
    ];
    for (title, kind, name) in roles {
        let Some((name, service)) = name.and_then(|name| Some((name, model.service(name)?))) else { continue };
        let Some((_, port)) = service.port(None) else { continue };
        let target = model
            .hosts_of(service)
            .find(|host| host.name == builder.host.name)
            .or_else(|| model.hosts_of(service).next());
        let Some(address) = target.and_then(|target| model.address_between(Some(builder.host), target, &port.bind))
        else {
            continue;
        };
        from.push(Model::service_at(name));
        sources.push(json!({
            "name": title, "uid": kind, "type": kind, "access": "proxy", "isDefault": kind == "prometheus",
            "url": format!("http://{}", std::net::SocketAddr::new(address, port.port)),
        }));
    }
    builder.set(&file, &["services", "grafana", "provision", "enable"], Nix::Bool(true), std::slice::from_ref(&at));
    if let Some(value) = builder.json(&json!({"apiVersion": 1, "datasources": sources}), &at) {
        builder.set(&file, &["services", "grafana", "provision", "datasources", "settings"], value, &from);
    }
    if let Some(password) = &spec.admin_password {
        // Grafana reads the file itself, so that the value is in no setting.
        let value = Nix::text(format!("$__file{{{}}}", super::secrets::path(password.secret.as_str())));
        builder.set(
            &file,
            &["services", "grafana", "settings", "security", "admin_password"],
            value,
            &[at.join("admin_password")],
        );
    }
    for (index, dashboard) in spec.dashboards.iter().enumerate() {
        let at = at.join("dashboards").join(index);
        let inside = builder.relative(dashboard);
        builder.tree.source(&inside, dashboard, &at);
        let name = inside.rsplit('/').next().unwrap_or(&inside).to_owned();
        let source = NixosBuilder::from_root(&file, &inside);
        builder.set(&file, &["environment", "etc", &format!("grafana-dashboards/{name}"), "source"], source, &[at]);
    }
    if !spec.dashboards.is_empty() {
        let provider =
            json!({"apiVersion": 1, "providers": [{"name": "fleet", "options": {"path": "/etc/grafana-dashboards"}}]});
        if let Some(value) = builder.json(&provider, &at) {
            builder.set(
                &file,
                &["services", "grafana", "provision", "dashboards", "settings"],
                value,
                &[at.join("dashboards")],
            );
        }
    }
}

fn loki(builder: &mut NixosBuilder<'_, '_>) {
    let Some(spec) = &builder.model.fleet.monitoring.loki else { return };
    if role(builder, &spec.service).is_none() {
        return;
    }
    let at = super::place(&["monitoring", "loki"]);
    if spec.bucket.is_some() {
        builder.shared.missing(at.join("bucket"), "Loki's chunks in a bucket, on NixOS");
    }
    let config = json!({
        "auth_enabled": false,
        "common": {
            "path_prefix": "/var/lib/loki",
            "replication_factor": 1,
            "ring": {"kvstore": {"store": "inmemory"}},
            "storage": {"filesystem": {"chunks_directory": "/var/lib/loki/chunks", "rules_directory": "/var/lib/loki/rules"}},
        },
        "schema_config": {"configs": [{
            "from": spec.schema_from, "store": "tsdb", "object_store": "filesystem", "schema": "v13",
            "index": {"prefix": "index_", "period": "24h"},
        }]},
        "limits_config": {"retention_period": format!("{}s", spec.retention.as_secs())},
        "compactor": {"working_directory": "/var/lib/loki/compactor", "retention_enabled": true, "delete_request_store": "filesystem"},
        "analytics": {"reporting_enabled": false},
    });
    if let Some(value) = builder.json(&config, &at) {
        builder.set(&module(&spec.service), &["services", "loki", "configuration"], value, &[at]);
    }
}
