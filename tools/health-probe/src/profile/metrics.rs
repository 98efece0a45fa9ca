//! What watches: metrics, logs, alerts.

use super::{Depth, Expect, Profile};

pub(super) const PROFILES: &[Profile] = &[
    Profile::http(
        "alertmanager",
        "/-/ready",
        Depth::Ready,
        "prometheus/alertmanager docs/management_api.md: 200 when ready to serve traffic; /-/healthy is always 200",
    ),
    Profile::http(
        "alloy",
        "/-/ready",
        Depth::Ready,
        "grafana.com/docs/alloy/latest/reference/http: 503 until its configuration is loaded; /-/healthy names bad components",
    ),
    Profile::http(
        "cadvisor",
        "/healthz",
        Depth::Shallow,
        "google/cadvisor cmd/internal/healthz/healthz.go: always 200 and ok",
    )
    .expect(&[Expect::Contains("ok")]),
    Profile::http(
        "grafana",
        "/api/health",
        Depth::Deep,
        "grafana/grafana pkg/api/health_test.go: 503 and \"failing\" where the database is gone; the answer is cached for some seconds",
    )
    .expect(&[Expect::Text("/database", "ok")]),
    Profile::http(
        "loki",
        "/ready",
        Depth::Ready,
        "grafana/loki pkg/loki/loki.go (readyHandler): `ready`; 503 and what is missing before",
    )
    .expect(&[Expect::Contains("ready")]),
    Profile::http(
        "node_exporter",
        "/metrics",
        Depth::Shallow,
        "prometheus/node_exporter node_exporter.go: its own build stands among the metrics",
    )
    .expect(&[Expect::Contains("node_exporter_build_info")]),
    Profile::http(
        "postgres_exporter",
        "/metrics",
        Depth::Deep,
        "prometheus-community/postgres_exporter README: pg_up says whether the last scrape could connect",
    )
    .expect(&[Expect::Contains("\npg_up 1")]),
    Profile::http(
        "prometheus",
        "/-/ready",
        Depth::Ready,
        "prometheus/prometheus docs/management_api.md: 503 while it replays its log; /-/healthy is always 200",
    ),
    Profile::tcp(
        "zabbix-agent",
        "zabbix.com/documentation, passive checks: the header ZBXD\\1 with a length, then the value; who is not in Server= gets nothing",
    )
    .talk("ZBXD\x01\x0a\x00\x00\x00\x00\x00\x00\x00agent.ping", "(?s)^ZBXD\\x01.{8}1"),
    Profile::tcp("zabbix-server", "TCP only: its trapper answers only to the hosts that it knows"),
    Profile::http(
        "zabbix-web",
        "/",
        Depth::Deep,
        "zabbix/zabbix ui/include/config.inc.php: the login page; a dead database is a page with status 200 as well, which says \"Database error\"",
    )
    .expect(&[Expect::Contains("Zabbix"), Expect::Lacks("Database error")]),
];
