//! Dashboards of Grafana that follow from what the fleet watches.

use serde_json::{Value, json};

use crate::model::Model;

/// Name of the data source of metrics.
pub(super) const PROMETHEUS: &str = "plumbline-prometheus";
/// Name of the data source of logs.
pub(super) const LOKI: &str = "plumbline-loki";

/// A panel: its title, its unit, and what it asks, each with the legend of its lines.
struct Panel {
    title: &'static str,
    unit: &'static str,
    kind: &'static str,
    asks: &'static [(&'static str, &'static str)],
}

const fn lines(title: &'static str, unit: &'static str, asks: &'static [(&'static str, &'static str)]) -> Panel {
    Panel { title, unit, kind: "timeseries", asks }
}

const FLEET: &[Panel] = &[
    Panel {
        title: "Targets that give no metrics",
        unit: "short",
        kind: "stat",
        asks: &[("count(up == 0) or vector(0)", "down")],
    },
    Panel {
        title: "Alerts",
        unit: "short",
        kind: "stat",
        asks: &[("count(ALERTS{alertstate=\"firing\"}) or vector(0)", "firing")],
    },
    lines("Up", "bool_on_off", &[("min by (job, host) (up)", "{{job}} on {{host}}")]),
    lines("Time of a scrape", "s", &[("max by (job, host) (scrape_duration_seconds)", "{{job}} on {{host}}")]),
];

const HOSTS: &[Panel] = &[
    lines(
        "Processor in use",
        "percentunit",
        &[("1 - avg by (host) (rate(node_cpu_seconds_total{mode=\"idle\",host=~\"$host\"}[5m]))", "{{host}}")],
    ),
    lines(
        "Load per processor",
        "short",
        &[(
            "node_load5{host=~\"$host\"} / on (host) count by (host) (node_cpu_seconds_total{mode=\"idle\",host=~\"$host\"})",
            "{{host}}",
        )],
    ),
    lines(
        "Memory in use",
        "percentunit",
        &[("1 - node_memory_MemAvailable_bytes{host=~\"$host\"} / node_memory_MemTotal_bytes", "{{host}}")],
    ),
    lines(
        "Disk in use",
        "percentunit",
        &[(
            "1 - node_filesystem_avail_bytes{host=~\"$host\",fstype!~\"tmpfs|ramfs|overlay|squashfs\"} / node_filesystem_size_bytes",
            "{{host}} {{mountpoint}}",
        )],
    ),
    lines(
        "Days until a disk is full",
        "d",
        &[(
            "node_filesystem_avail_bytes{host=~\"$host\",fstype!~\"tmpfs|ramfs|overlay|squashfs\"} / clamp_min(-deriv(node_filesystem_avail_bytes[6h]), 1) / 86400 < 365",
            "{{host}} {{mountpoint}}",
        )],
    ),
    lines(
        "Reading and writing",
        "Bps",
        &[
            ("sum by (host) (rate(node_disk_read_bytes_total{host=~\"$host\"}[5m]))", "{{host}} reads"),
            ("sum by (host) (rate(node_disk_written_bytes_total{host=~\"$host\"}[5m]))", "{{host}} writes"),
        ],
    ),
    lines(
        "Network",
        "Bps",
        &[
            (
                "sum by (host) (rate(node_network_receive_bytes_total{host=~\"$host\",device!~\"lo|veth.*|br-.*|docker.*\"}[5m]))",
                "{{host}} in",
            ),
            (
                "sum by (host) (rate(node_network_transmit_bytes_total{host=~\"$host\",device!~\"lo|veth.*|br-.*|docker.*\"}[5m]))",
                "{{host}} out",
            ),
        ],
    ),
    lines(
        "Units that failed",
        "short",
        &[("sum by (host) (node_systemd_unit_state{state=\"failed\",host=~\"$host\"})", "{{host}}")],
    ),
];

const CONTAINERS: &[Panel] = &[
    lines(
        "Processor",
        "short",
        &[(
            "sum by (host, name) (rate(container_cpu_usage_seconds_total{name!=\"\",host=~\"$host\"}[5m]))",
            "{{name}} on {{host}}",
        )],
    ),
    lines(
        "Memory",
        "bytes",
        &[(
            "sum by (host, name) (container_memory_working_set_bytes{name!=\"\",host=~\"$host\"})",
            "{{name}} on {{host}}",
        )],
    ),
    lines(
        "Network",
        "Bps",
        &[
            (
                "sum by (host, name) (rate(container_network_receive_bytes_total{name!=\"\",host=~\"$host\"}[5m]))",
                "{{name}} in",
            ),
            (
                "sum by (host, name) (rate(container_network_transmit_bytes_total{name!=\"\",host=~\"$host\"}[5m]))",
                "{{name}} out",
            ),
        ],
    ),
    lines(
        "Starts in an hour",
        "short",
        &[("changes(container_start_time_seconds{name!=\"\",host=~\"$host\"}[1h]) > 0", "{{name}} on {{host}}")],
    ),
];

const POSTGRES: &[Panel] = &[
    lines("Log-ins work", "bool_on_off", &[("pg_up{host=~\"$host\"}", "{{host}}")]),
    lines(
        "Connections",
        "short",
        &[("sum by (host, datname) (pg_stat_database_numbackends{host=~\"$host\"})", "{{datname}} on {{host}}")],
    ),
    lines(
        "Transactions",
        "ops",
        &[
            ("sum by (host, datname) (rate(pg_stat_database_xact_commit{host=~\"$host\"}[5m]))", "{{datname}} commits"),
            (
                "sum by (host, datname) (rate(pg_stat_database_xact_rollback{host=~\"$host\"}[5m]))",
                "{{datname}} rollbacks",
            ),
        ],
    ),
    lines("Size", "bytes", &[("pg_database_size_bytes{host=~\"$host\"}", "{{datname}} on {{host}}")]),
    lines(
        "Found in memory",
        "percentunit",
        &[(
            "sum by (host) (rate(pg_stat_database_blks_hit{host=~\"$host\"}[5m])) / clamp_min(sum by (host) (rate(pg_stat_database_blks_hit{host=~\"$host\"}[5m]) + rate(pg_stat_database_blks_read{host=~\"$host\"}[5m])), 1)",
            "{{host}}",
        )],
    ),
];

/// The dashboards of a fleet by file name: those whose metrics somebody collects.
pub(super) fn all(model: &Model<'_>) -> Vec<(&'static str, Value)> {
    let mut all = Vec::new();
    let monitoring = &model.fleet.monitoring;
    if monitoring.prometheus.is_some() {
        let scrapes = model.scrapes();
        let has = |job: &str| scrapes.iter().any(|scrape| scrape.job == job);
        all.push(("fleet", dashboard("fleet", "Fleet", None, FLEET)));
        for (name, title, job, panels) in [
            ("hosts", "Hosts", "node", HOSTS),
            ("containers", "Containers", "cadvisor", CONTAINERS),
            ("postgres", "PostgreSQL", "postgres", POSTGRES),
        ] {
            if has(job) {
                let hosts = format!("label_values(up{{job=\"{job}\"}}, host)");
                all.push((name, dashboard(name, title, Some(&hosts), panels)));
            }
        }
    }
    if monitoring.loki.is_some() {
        all.push(("logs", logs()));
    }
    all
}

fn dashboard(name: &str, title: &str, hosts: Option<&str>, panels: &[Panel]) -> Value {
    let source = json!({"type": "prometheus", "uid": PROMETHEUS});
    let panels = panels.iter().enumerate().map(|(index, panel)| {
        let asks = panel.asks.iter().enumerate().map(|(index, (expr, legend))| {
            let letter = char::from(b'A' + u8::try_from(index).unwrap_or(0));
            json!({"refId": letter.to_string(), "datasource": source, "expr": expr, "legendFormat": legend})
        });
        json!({
            "id": index + 1, "title": panel.title, "type": panel.kind, "datasource": source,
            "gridPos": {"h": 8, "w": 12, "x": (index % 2) * 12, "y": (index / 2) * 8},
            "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
            "targets": asks.collect::<Vec<_>>()
        })
    });
    let variables = hosts.map(|query| {
        json!({
            "name": "host", "label": "Host", "type": "query", "datasource": source, "refresh": 2,
            "query": {"query": query, "refId": "host"}, "multi": true, "includeAll": true,
            "current": {"text": "All", "value": "$__all"}
        })
    });
    frame(name, title, panels.collect(), variables.into_iter().collect())
}

fn logs() -> Value {
    let source = json!({"type": "loki", "uid": LOKI});
    let variable = |name: &str, label: &str| {
        json!({
            "name": name, "label": label, "type": "query", "datasource": source, "refresh": 2,
            "query": {"label": name, "refId": name, "stream": "", "type": 1}, "multi": true, "includeAll": true,
            // Loki refuses a question whose every part matches a stream without labels.
            "allValue": ".+", "current": {"text": "All", "value": "$__all"}
        })
    };
    let selector = "{host=~\"$host\",service=~\"$service\"}";
    let target = |expr: String| json!([{"refId": "A", "datasource": source, "expr": expr}]);
    let panels = vec![
        json!({
            "id": 1, "title": "Lines", "type": "timeseries", "datasource": source,
            "gridPos": {"h": 6, "w": 24, "x": 0, "y": 0}, "fieldConfig": {"defaults": {"unit": "short"}, "overrides": []},
            "targets": target(format!("sum by (service) (count_over_time({selector}[$__auto]))"))
        }),
        json!({
            "id": 2, "title": "Log", "type": "logs", "datasource": source,
            "gridPos": {"h": 18, "w": 24, "x": 0, "y": 6}, "options": {"showTime": true, "wrapLogMessage": true, "sortOrder": "Descending"},
            "targets": target(format!("{selector} |= `$search`"))
        }),
    ];
    let search = json!({"name": "search", "label": "Text", "type": "textbox", "query": "", "current": {"text": "", "value": ""}});
    frame("logs", "Logs", panels, vec![variable("host", "Host"), variable("service", "Service"), search])
}

fn frame(name: &str, title: &str, panels: Vec<Value>, variables: Vec<Value>) -> Value {
    json!({
        "uid": format!("plumbline-{name}"), "title": title, "tags": ["plumbline"], "editable": false, "schemaVersion": 39,
        "refresh": "1m", "time": {"from": "now-6h", "to": "now"}, "timezone": "browser",
        "templating": {"list": variables}, "panels": panels
    })
}
