//! Grafana: data sources and dashboards that follow from the fleet (grafana.com/docs/grafana/latest/administration/provisioning).

use contract::Pointer;
use contract::document::{Handler, Stage};
use serde_json::{Value, json};

use super::dashboards;
use super::role::{Role, reached};
use crate::format::yaml;
use crate::host::HostBuilder;
use crate::model::{HostView, Model};

const FOLDER: &str = "/etc/grafana/provisioning";
const DASHBOARDS: &str = "/etc/grafana/dashboards";

pub(super) fn add(builder: &mut HostBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    let Some(spec) = &model.fleet.monitoring.grafana else { return };
    let Some(service) = model.service(&spec.service).filter(|service| service.host.iter().any(|own| *own == host.name))
    else {
        return;
    };
    let from = [Pointer::root().join("monitoring"), Model::service_at(&spec.service)];
    let Some(unit) = model.unit_of(&spec.service, service) else { return };
    let sources = sources(model, host);
    for (path, mode) in [
        (FOLDER.to_owned(), 0o755),
        (format!("{FOLDER}/datasources"), 0o755),
        (format!("{FOLDER}/dashboards"), 0o755),
        (DASHBOARDS.to_owned(), 0o755),
    ] {
        builder.directory(Stage::Services, &path, mode, "root", "root", &from);
    }
    let mut write = |path: String, document: &Value| {
        let mut document = document.clone();
        dollars(&mut document);
        let text = builder.header("#", &from) + &yaml::write(&document);
        builder.file(Stage::Services, &path, text, &from).notify(Handler::restart(&unit)).add(builder);
    };
    write(format!("{FOLDER}/datasources/plumbline.yaml"), &json!({"apiVersion": 1, "datasources": sources}));
    write(
        format!("{FOLDER}/dashboards/plumbline.yaml"),
        &json!({"apiVersion": 1, "providers": [{
            "name": "plumbline", "folder": model.fleet.name, "type": "file", "allowUiUpdates": false,
            "updateIntervalSeconds": 60, "options": {"path": DASHBOARDS}
        }]}),
    );
    // Read again by themselves: no restart.
    for (name, dashboard) in dashboards::all(model) {
        let text = serde_json::to_string_pretty(&dashboard).unwrap_or_default() + "\n";
        builder.file(Stage::Services, &format!("{DASHBOARDS}/{name}.json"), text, &from).add(builder);
    }
    for (index, source) in spec.dashboards.iter().enumerate() {
        let at = [from[0].join("grafana").join("dashboards").join(index)];
        let name = source.rsplit('/').next().unwrap_or(source);
        builder.file(Stage::Services, &format!("{DASHBOARDS}/{name}"), String::new(), &at).source(source).add(builder);
    }
}

/// Data sources of Grafana on this host, as its provisioning takes them.
pub(crate) fn sources(model: &Model<'_>, host: &HostView) -> Vec<Value> {
    let monitoring = &model.fleet.monitoring;
    let mut sources = Vec::new();
    for (name, kind, uid, role, service) in [
        (
            "Prometheus",
            "prometheus",
            dashboards::PROMETHEUS,
            Role::Prometheus,
            monitoring.prometheus.as_ref().map(|role| &role.service),
        ),
        ("Loki", "loki", dashboards::LOKI, Role::Loki, monitoring.loki.as_ref().map(|role| &role.service)),
        (
            "Alertmanager",
            "alertmanager",
            "plumbline-alertmanager",
            Role::Alertmanager,
            monitoring.alertmanager.as_ref().map(|role| &role.service),
        ),
    ] {
        let Some(address) = service.and_then(|service| reached(model, host, service, role)) else { continue };
        let mut source = json!({
            "name": name, "type": kind, "uid": uid, "access": "proxy",
            "url": format!("http://{address}"), "isDefault": role == Role::Prometheus, "editable": false
        });
        if let (Value::Object(source), Role::Alertmanager) = (&mut source, role) {
            source.insert("jsonData".into(), json!({"implementation": "prometheus"}));
        }
        sources.push(source);
    }
    sources
}

/// Dashboards that follow from the fleet, by name.
pub(crate) fn boards(model: &Model<'_>) -> Vec<(&'static str, Value)> {
    dashboards::all(model)
}

/// Values of provisioning files are read as if a shell stood between.
fn dollars(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('$') => *text = text.replace('$', "$$"),
        Value::Array(items) => items.iter_mut().for_each(dollars),
        Value::Object(map) => map.values_mut().for_each(dollars),
        _ => {}
    }
}
