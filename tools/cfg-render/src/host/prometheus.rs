//! Prometheus: what it asks and what it warns of.

use std::collections::{BTreeMap, BTreeSet};

use contract::document::{Handler, Stage};
use contract::{Duration, Pointer, places};
use serde_json::{Map, Value, json};

use super::services::default_args;
use super::{HostBuilder, merge_patch, monitoring};
use crate::fleet::{Alert, Prometheus, Run, Severity};
use crate::format::yaml;
use crate::model::{Model, Scrape};

const CONFIG: &str = "/etc/prometheus/prometheus.yml";
const RULES: &str = "/etc/prometheus/rules/plumbline.yml";

pub(super) fn add(builder: &mut HostBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    let Some((_, name)) = model.prometheus().filter(|(on, _)| on.name == host.name) else { return };
    let (Some(spec), Some(service)) = (&model.fleet.monitoring.prometheus, model.service(name)) else { return };
    let at = Pointer::root().join("monitoring").join("prometheus");
    let package = match &service.run {
        Run::Package(run) => Some(run),
        Run::Container(_) => None,
        _ => {
            builder.missing(at, "Prometheus that runs neither as a package nor in a container");
            return;
        }
    };
    let scrapes = model.scrapes();
    let mut from: BTreeSet<Pointer> = scrapes.iter().map(|scrape| scrape.pointer.clone()).collect();
    from.insert(at.clone());
    from.insert(Model::service_at(name));
    let from: Vec<_> = from.into_iter().collect();
    let unit = model.unit_of(name, service).unwrap_or_else(|| "prometheus.service".into());
    builder.directory(Stage::Services, "/etc/prometheus", 0o755, "root", "root", &from);
    let document = config(builder, spec, scrapes);
    let text = builder.header("#", &from) + &yaml::write(&document);
    let mut file = builder.file(Stage::Services, CONFIG, text, &from).notify(handler(&unit, package.is_some()));
    if package.is_some() {
        // The program that checks comes with the package only.
        builder.hold(Stage::Services, &unit);
        builder.check_set("prometheus", &[&["/usr/bin/promtool", "check", "config", CONFIG]]);
        file = file.set("prometheus");
    }
    file.add(builder);
    if scrapes.iter().any(|scrape| scrape.bearer.is_some()) {
        builder.wait_for_secrets(Stage::Services, &unit, &from);
    }
    let (rules, mut rules_from) = rules(model, spec, scrapes);
    rules_from.push(at.clone());
    builder.directory(Stage::Services, "/etc/prometheus/rules", 0o755, "root", "root", &rules_from);
    let text = builder.header("#", &rules_from) + &yaml::write(&rules);
    let mut file = builder.file(Stage::Services, RULES, text, &rules_from).notify(handler(&unit, package.is_some()));
    if package.is_some() {
        file = file.set("prometheus");
    }
    file.add(builder);
    // A container has its arguments in its own file.
    let Some(run) = package else { return };

    let port = service.port(None).map_or(9090, |(_, port)| port.port);
    let address = service.port(None).and_then(|(_, port)| model.listen_address(host, port));
    let address = match (address, service.port(None)) {
        (Some(address), _) => address.to_string(),
        (None, Some((_, port))) if port.bind == crate::fleet::ANY => "0.0.0.0".into(),
        (None, _) => "127.0.0.1".into(),
    };
    let mut arguments = vec![
        format!("--web.listen-address={address}:{port}"),
        format!("--storage.tsdb.retention.time={}", prometheus_duration(spec.retention)),
    ];
    arguments.extend(run.arguments.iter().cloned());
    if let Some(args) =
        builder.fit(default_args(&arguments), &Model::service_at(name).join("run").join("package").join("arguments"))
    {
        let from = [at, Model::service_at(name)];
        let text = builder.header("#", &from) + &args;
        builder
            .file(Stage::Services, "/etc/default/prometheus", text, &from)
            .notify(Handler::restart(&unit))
            .add(builder);
    }
    builder.unit(Stage::Services, &unit, &from);
}

/// A running program reads its files again; a container sees a new file only after a new start.
fn handler(unit: &str, package: bool) -> Handler {
    if package { Handler::reload(unit) } else { Handler::restart(unit) }
}

pub(crate) fn config(builder: &mut HostBuilder<'_, '_>, spec: &Prometheus, scrapes: &[Scrape]) -> Value {
    let mut jobs: BTreeMap<&str, Vec<&Scrape>> = BTreeMap::new();
    for scrape in scrapes {
        jobs.entry(&scrape.job).or_default().push(scrape);
    }
    let mut configs = Vec::new();
    for (job, targets) in jobs {
        // Targets of one job may differ in how they are asked: each way is a configuration of its own.
        let mut ways: Vec<Vec<&Scrape>> = Vec::new();
        for target in targets {
            let same = |a: &Scrape, b: &Scrape| {
                (&a.path, a.tls, a.interval, &a.params, &a.bearer) == (&b.path, b.tls, b.interval, &b.params, &b.bearer)
            };
            match ways.iter_mut().find(|way| way.first().is_some_and(|first| same(first, target))) {
                Some(way) => way.push(target),
                None => ways.push(vec![target]),
            }
        }
        for (index, way) in ways.iter().enumerate() {
            let first = way[0];
            let mut config = Map::new();
            config.insert("job_name".into(), json!(if index == 0 { job.to_owned() } else { format!("{job}-{index}") }));
            if let Some(path) = &first.path {
                config.insert("metrics_path".into(), json!(path));
            }
            if first.tls {
                config.insert("scheme".into(), json!("https"));
            }
            if let Some(interval) = first.interval {
                config.insert("scrape_interval".into(), json!(prometheus_duration(interval)));
            }
            if !first.params.is_empty() {
                config.insert("params".into(), json!(first.params));
            }
            if let Some(bearer) = &first.bearer {
                config.insert(
                    "authorization".into(),
                    json!({"credentials_file": format!("{}/{bearer}", places::SECRETS)}),
                );
            }
            let targets: Vec<_> =
                way.iter().map(|scrape| json!({"targets": [scrape.target], "labels": scrape.labels})).collect();
            config.insert("static_configs".into(), Value::Array(targets));
            configs.push(Value::Object(config));
        }
    }
    let mut global = Map::new();
    global.insert("scrape_interval".into(), json!(prometheus_duration(spec.interval)));
    global.insert("evaluation_interval".into(), json!(prometheus_duration(spec.interval)));
    if !spec.external_labels.is_empty() {
        global.insert("external_labels".into(), json!(spec.external_labels));
    }
    let mut config =
        json!({"global": global, "rule_files": ["/etc/prometheus/rules/*.yml"], "scrape_configs": configs});
    let alerts = builder.model.fleet.monitoring.alertmanager.as_ref();
    let target = alerts.and_then(|alerts| monitoring::alertmanager_from(builder.model, builder.host, &alerts.service));
    if let (Value::Object(config), Some(target)) = (&mut config, target) {
        config.insert("alerting".into(), json!({"alertmanagers": [{"static_configs": [{"targets": [target]}]}]}));
    }
    let model = builder.model;
    let extra = model
        .prometheus()
        .and_then(|(_, name)| Some((name, model.service(name)?.extra.as_ref()?.prometheus.as_ref()?)));
    if let Some((name, patch)) = extra {
        let at = Model::service_at(name).join("extra").join("prometheus");
        merge_patch::apply(builder, &mut config, patch, &merge_patch::PROMETHEUS, &at);
    }
    config
}

/// Prometheus knows the same units, but not all of ours in one text (`model.ParseDuration`).
fn prometheus_duration(duration: Duration) -> String {
    if duration.as_millis().is_multiple_of(1000) {
        format!("{}s", duration.as_secs())
    } else {
        format!("{}ms", duration.as_millis())
    }
}

pub(crate) fn rules(model: &Model<'_>, spec: &Prometheus, scrapes: &[Scrape]) -> (Value, Vec<Pointer>) {
    let mut groups = Vec::new();
    let mut from = Vec::new();
    if spec.derived_alerts {
        let jobs: BTreeSet<_> = scrapes.iter().map(|scrape| scrape.job.as_str()).collect();
        let mut derived = vec![rule(
            "TargetDown",
            "up == 0",
            Some(Duration::from_secs(300)),
            Severity::Critical,
            "{{ $labels.job }} on {{ $labels.host }} gives no metrics",
            &BTreeMap::new(),
        )];
        if jobs.contains("node") {
            derived.push(rule(
                "DiskFull",
                "node_filesystem_avail_bytes{fstype!~\"tmpfs|ramfs|overlay\"} / node_filesystem_size_bytes < 0.1",
                Some(Duration::from_secs(900)),
                Severity::Warning,
                "{{ $labels.mountpoint }} on {{ $labels.host }} is nearly full",
                &BTreeMap::new(),
            ));
            derived.push(rule(
                "MemoryLow",
                "node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes < 0.05",
                Some(Duration::from_secs(900)),
                Severity::Warning,
                "{{ $labels.host }} has hardly any memory left",
                &BTreeMap::new(),
            ));
        }
        if jobs.contains("postgres") {
            derived.push(rule(
                "PostgresDown",
                "pg_up == 0",
                Some(Duration::from_secs(120)),
                Severity::Critical,
                "the exporter on {{ $labels.host }} cannot log in to PostgreSQL",
                &BTreeMap::new(),
            ));
        }
        groups.push(json!({"name": "plumbline", "rules": derived}));
    }
    let own = |alerts: &[Alert]| -> Vec<Value> {
        alerts
            .iter()
            .map(|alert| {
                rule(
                    &alert.name,
                    &alert.expr,
                    alert.hold,
                    alert.severity,
                    &escape(alert.summary.as_deref().unwrap_or(&alert.name)),
                    &alert.labels.iter().map(|(name, text)| (name.clone(), escape(text))).collect(),
                )
            })
            .collect()
    };
    if !spec.alerts.is_empty() {
        groups.push(json!({"name": "fleet", "rules": own(&spec.alerts)}));
    }
    for (name, service) in model.services().filter(|(_, service)| !service.alerts.is_empty()) {
        groups.push(json!({"name": format!("service-{name}"), "rules": own(&service.alerts)}));
        from.push(Model::service_at(name).join("alerts"));
    }
    (json!({"groups": groups}), from)
}

/// A text of the user is no template, as which Prometheus reads annotations and labels.
fn escape(text: &str) -> String {
    text.replace("{{", "{{\"{{\"}}")
}

fn rule(
    name: &str,
    expr: &str,
    hold: Option<Duration>,
    severity: Severity,
    summary: &str,
    labels: &BTreeMap<String, String>,
) -> Value {
    let severity = match severity {
        Severity::Critical => "critical",
        Severity::Warning => "warning",
        Severity::Info => "info",
    };
    let mut all = labels.clone();
    all.entry("severity".into()).or_insert_with(|| severity.into());
    let mut rule = json!({"alert": name, "expr": expr, "labels": all, "annotations": {"summary": summary}});
    if let (Some(hold), Value::Object(object)) = (hold, &mut rule) {
        object.insert("for".into(), json!(prometheus_duration(hold)));
    }
    rule
}
