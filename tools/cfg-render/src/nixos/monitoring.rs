//! What watches the fleet: Prometheus, Alertmanager, Grafana's data sources, Loki, and the tables of Zabbix.

use std::collections::BTreeSet;

use contract::{Finding, Pointer, SecretName, placeholder, placeholders, places};
use serde_json::{Value, json};

use super::builder::NixosBuilder;
use super::secrets::shell_word;
use super::services::module;
use crate::fleet::{Run, Service};
use crate::format::env::{self, Dialect};
use crate::format::nix::{Nix, Part};
use crate::host::monitoring::alertmanager::config as shared_alertmanager;
use crate::host::monitoring::grafana as shared_grafana;
use crate::host::monitoring::loki::config as shared_loki;
use crate::host::monitoring::role;
use crate::host::monitoring::zabbix::schema_script;
use crate::host::prometheus as shared;
use crate::model::Model;

pub(super) fn add(builder: &mut NixosBuilder<'_, '_>) {
    prometheus(builder);
    alertmanager(builder);
    grafana(builder);
    loki(builder);
    zabbix(builder);
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
    let config = shared::config(&mut builder.shared, spec, scrapes);
    let mut from: BTreeSet<Pointer> = scrapes.iter().map(|scrape| scrape.pointer.clone()).collect();
    from.extend([at.clone(), Model::service_at(name)]);
    let from: Vec<Pointer> = from.into_iter().collect();
    if let Some(global) = config.get("global").and_then(|value| builder.json(value, &at)) {
        builder.set(&file, &["services", "prometheus", "globalConfig"], global, std::slice::from_ref(&at));
    }
    if let Some(jobs) = config.get("scrape_configs").and_then(|value| builder.json(value, &at)) {
        builder.set(&file, &["services", "prometheus", "scrapeConfigs"], jobs, &from);
    }
    let managers = config.get("alerting").and_then(|alerting| alerting.get("alertmanagers"));
    if let Some(managers) = managers.and_then(|value| builder.json(value, &at)) {
        let mut from = vec![at.clone()];
        if let Some(role) = &model.fleet.monitoring.alertmanager {
            from.extend([super::place(&["monitoring", "alertmanager"]), Model::service_at(&role.service)]);
        }
        builder.set(&file, &["services", "prometheus", "alertmanagers"], managers, &from);
    }
    for (key, option) in [("remote_write", "remoteWrite"), ("remote_read", "remoteRead")] {
        if let Some(value) = config.get(key).and_then(|value| builder.json(value, &at)) {
            let from = [Model::service_at(name).join("extra").join("prometheus").join(key)];
            builder.set(&file, &["services", "prometheus", option], value, &from);
        }
    }
    without_option(builder, name);
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

/// What Prometheus knows and NixOS' module of it does not.
const LOST: [&str; 6] = ["otlp", "rule_files", "runtime", "scrape_config_files", "storage", "tracing"];

/// What a merge patch on Prometheus' configuration says and NixOS' module of it has no option for.
fn without_option(builder: &mut NixosBuilder<'_, '_>, name: &str) {
    let patch = builder.model.service(name).and_then(|service| service.extra.as_ref()?.prometheus.as_ref());
    let Some(Value::Object(patch)) = patch else { return };
    let at = Model::service_at(name).join("extra").join("prometheus");
    for (key, value) in patch {
        let lost = match key.as_str() {
            "alerting" => value.as_object().is_some_and(|value| value.keys().any(|key| key != "alertmanagers")),
            _ => LOST.contains(&key.as_str()),
        };
        if lost {
            builder.shared.findings.push(
                Finding::error(
                    "override-target-missing",
                    at.join(key),
                    format!("NixOS' module of Prometheus has no option for {key}"),
                )
                .fix("take it out, or set services.prometheus.configText in extra.nixos"),
            );
        }
    }
}

/// Whom alerts reach. It runs as a user of the moment, so that secrets come to it as credentials.
fn alertmanager(builder: &mut NixosBuilder<'_, '_>) {
    let Some(spec) = &builder.model.fleet.monitoring.alertmanager else { return };
    if role(builder, &spec.service).is_none() {
        return;
    }
    let file = module(&spec.service);
    let at = super::place(&["monitoring", "alertmanager"]);
    let from = [at.clone()];
    let mut config = shared_alertmanager(&mut builder.shared, spec, &at);
    let mut credentials = Vec::new();
    let place = |name: &str| format!("/run/credentials/alertmanager.service/{name}");
    if let Some(password) = config.pointer_mut("/global/smtp_auth_password_file") {
        let path = password.as_str().unwrap_or_default().to_owned();
        credentials.push(format!("smtp:{path}"));
        *password = json!(place("smtp"));
    }
    if let Some(webhook) = &spec.webhook
        && let Some(Value::Object(hook)) = config.pointer_mut("/receivers/0/webhook_configs/0")
    {
        hook.remove("url");
        hook.insert("url_file".into(), json!(place("webhook")));
        credentials.push(format!("webhook:{}", super::secrets::path(webhook.secret.as_str())));
    }
    if let Some(value) = builder.json(&config, &at) {
        builder.set(&file, &["services", "prometheus", "alertmanager", "configuration"], value, &from);
    }
    // One alone has nobody to talk to.
    let flags = Nix::texts(["--cluster.listen-address="]);
    builder.set(&file, &["services", "prometheus", "alertmanager", "extraFlags"], flags, &from);
    if !credentials.is_empty() {
        let path = ["systemd", "services", "alertmanager", "serviceConfig", "LoadCredential"];
        builder.set(&file, &path, Nix::texts(credentials), &from);
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
    let monitoring = &model.fleet.monitoring;
    let mut from = vec![at.clone()];
    let roles = [
        monitoring.prometheus.as_ref().map(|spec| &spec.service),
        monitoring.loki.as_ref().map(|spec| &spec.service),
        monitoring.alertmanager.as_ref().map(|spec| &spec.service),
    ];
    from.extend(roles.into_iter().flatten().map(|name| Model::service_at(name)));
    let sources = shared_grafana::sources(model, builder.host);
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
    // Those that follow from the fleet, and the user's own.
    for (name, dashboard) in shared_grafana::boards(model) {
        let text = serde_json::to_string_pretty(&dashboard).unwrap_or_default() + "\n";
        let path = ["environment", "etc", &format!("grafana-dashboards/{name}.json"), "text"];
        builder.set(&file, &path, Nix::text(text), &[super::place(&["monitoring"])]);
    }
    for (index, dashboard) in spec.dashboards.iter().enumerate() {
        let at = at.join("dashboards").join(index);
        let inside = builder.relative(dashboard);
        builder.tree.source(&inside, dashboard, &at);
        let name = inside.rsplit('/').next().unwrap_or(&inside).to_owned();
        let source = NixosBuilder::from_root(&file, &inside);
        builder.set(&file, &["environment", "etc", &format!("grafana-dashboards/{name}"), "source"], source, &[at]);
    }
    let provider = json!({"apiVersion": 1, "providers": [{
        "name": "plumbline", "folder": model.fleet.name, "type": "file", "allowUiUpdates": false, "options": {"path": "/etc/grafana-dashboards"}
    }]});
    if let Some(value) = builder.json(&provider, &at) {
        let path = ["services", "grafana", "provision", "dashboards", "settings"];
        builder.set(&file, &path, value, &[at.join("dashboards")]);
    }
}

fn loki(builder: &mut NixosBuilder<'_, '_>) {
    let Some(spec) = &builder.model.fleet.monitoring.loki else { return };
    if role(builder, &spec.service).is_none() {
        return;
    }
    let at = super::place(&["monitoring", "loki"]);
    let name = &spec.service;
    let Some(service) = builder.model.service(name) else { return };
    let (address, port) = role::listen(builder.model, builder.host, service, role::Role::Loki);
    let bucket = spec.bucket.as_ref().and_then(|name| Some((name.as_str(), builder.model.fleet.buckets.get(name)?)));
    let mut config = shared_loki(spec, &address, port, "/var/lib/loki", bucket);
    let mut variables = Variables::default();
    variables.take(&mut config);
    let file = module(name);
    let from = [at.clone()];
    if let Some(value) = builder.json(&config, &at) {
        builder.set(&file, &["services", "loki", "configuration"], value, &from);
    }
    if variables.0.is_empty() {
        return;
    }
    // The configuration is in the store, where all can read it: the keys come from the environment.
    let flags = Nix::texts(["-config.expand-env=true"]);
    builder.set(&file, &["services", "loki", "extraFlags"], flags, &from);
    let mut text = String::new();
    for (variable, secret) in &variables.0 {
        let line = env::line(Dialect::Systemd, variable, &placeholder(secret));
        let Some(line) = builder.shared.fit(line, &at) else { return };
        text.push_str(&line);
    }
    let template = format!("{name}.bucket.env");
    builder.shared.template(template.clone(), text, Dialect::Systemd.escape()).units = vec!["loki.service".into()];
    let path = ["systemd", "services", "loki", "serviceConfig", "EnvironmentFile"];
    builder.set(&file, &path, Nix::texts([format!("{}/{template}", places::RENDERED)]), &from);
}

/// Variables that stand for secrets in a configuration.
#[derive(Default)]
struct Variables(Vec<(String, SecretName)>);

impl Variables {
    /// Puts `${VARIABLE}` in the place of each placeholder.
    fn take(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => {
                let found = placeholders(text).next().and_then(|(_, name)| name.parse::<SecretName>().ok());
                if let Some(secret) = found {
                    let variable = format!("LOKI_{}", secret.as_str().replace('-', "_").to_ascii_uppercase());
                    *text = format!("${{{variable}}}");
                    if !self.0.iter().any(|(known, _)| *known == variable) {
                        self.0.push((variable, secret));
                    }
                }
            }
            Value::Array(list) => list.iter_mut().for_each(|value| self.take(value)),
            Value::Object(keys) => keys.values_mut().for_each(|value| self.take(value)),
            _ => {}
        }
    }
}

/// Zabbix' tables, put into its empty database before the server starts for the first time.
fn zabbix(builder: &mut NixosBuilder<'_, '_>) {
    let Some(spec) = &builder.model.fleet.monitoring.zabbix else { return };
    let Some(service) = role(builder, &spec.server) else { return };
    let Some(database) = builder.model.first_database(builder.host, &spec.server, service) else { return };
    let file = module(&spec.server);
    let from = [database.at.clone()];
    let folder = "${config.services.zabbixServer.package}/share/zabbix/database/postgresql";
    let psql = "${config.services.postgresql.package}/bin/psql";
    let script = schema_script("@psql@", "@folder@", false);
    let mut text = String::from("export ");
    let mut words = vec![
        format!("PGHOST={}", shell_word(&database.server)),
        format!("PGPORT={}", database.port),
        format!("PGDATABASE={}", shell_word(&database.name)),
        format!("PGUSER={}", shell_word(&database.user)),
    ];
    if let Some(secret) = database.password.as_ref().filter(|_| !database.socket) {
        words.push(format!("PGPASSWORD=\"$(cat {})\"", super::secrets::path(secret.as_str())));
    }
    text.push_str(&(words.join(" ") + "\n"));
    // The script ends the whole of what it stands in where the tables are there.
    text.push_str(&format!("(\n{script})\n"));
    let mut parts = Vec::new();
    let mut rest = text.as_str();
    while let Some(at) = ["@psql@", "@folder@"].iter().filter_map(|mark| Some((rest.find(mark)?, *mark))).min() {
        let (place, mark) = at;
        parts.push(Part::Plain(rest[..place].to_owned()));
        let value = if mark == "@psql@" { psql } else { folder };
        let (inside, tail) = value.trim_start_matches("${").split_once('}').unwrap_or((value, ""));
        parts.push(Part::Expression(inside.to_owned()));
        parts.push(Part::Plain(tail.to_owned()));
        rest = &rest[place + mark.len()..];
    }
    parts.push(Part::Plain(rest.to_owned()));
    builder.set(&file, &["systemd", "services", "zabbix-server", "preStart"], Nix::Text(parts), &from);
    let order = Nix::texts(["postgresql.service"]);
    if database.socket {
        builder.set(&file, &["systemd", "services", "zabbix-server", "after"], order, &from);
    }
}
