//! What watches the fleet: Alertmanager, Grafana, Loki, Alloy, cAdvisor, Zabbix, each read by its own program where that can
//! be had here, else judged by the published schema.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::run::{document, files, fleet as seed, given_peer, peer, say};
use crate::traefik::{schema, yaml};

fn fleet(run: &dyn Fn(&str) -> Value) -> Value {
    json!({
        "schema": "fleet/v1", "name": "watch", "domain": "watch.test",
        "people": {"ann": {"emails": ["ann@watch.test"], "groups": ["oncall"]}, "bob": {"emails": ["bob@watch.test"]}},
        "networks": {"lan": {"cidrs": ["10.1.0.0/16"]}},
        "defaults": {"host": {"os": "debian-13", "ssh": {"from": ["lan"], "keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me"]}}},
        "hosts": {
            "mon": {"addresses": {"lan": ["10.1.0.1"]}, "containers": {"engine": "docker"}},
            "app": {"addresses": {"lan": ["10.1.0.2"]}, "containers": {"engine": "docker"},
                "agents": {"node_exporter": {}, "cadvisor": {"image": "gcr.io/cadvisor/cadvisor:v0.52.1"}, "alloy": {"image": "docker.io/grafana/alloy:v1.10.1"}, "zabbix_agent": {}}}
        },
        "services": {
            "prometheus": {"host": "mon", "run": run("prometheus"), "ports": {"http": 9090}, "backup": {"none": "a test"}},
            "alertmanager": {"host": "mon", "run": run("prometheus-alertmanager"), "ports": {"http": 9093}, "backup": {"none": "a test"}},
            "grafana": {"host": "mon", "run": run("grafana"), "ports": {"http": 3000}, "backup": {"none": "a test"}, "proxy": [{"names": ["grafana.watch.test"], "from": ["lan"]}]},
            "loki": {"host": "mon", "run": run("loki"), "ports": {"http": {"port": 3100, "bind": "lan"}}, "backup": {"none": "a test"}},
            "zabbix-server": {"host": "mon", "run": {"container": {"image": "docker.io/zabbix/zabbix-server-pgsql:7"}}, "ports": {"server": {"port": 10051, "bind": "lan"}}, "backup": {"none": "a test"}}
        },
        "mailers": {"mail": {"host": "smtp.watch.test", "from": "a \"b\" <x@watch.test>", "user": "x", "password": {"secret": "smtp"}}},
        "buckets": {"logs": {"purpose": "logs", "endpoint": "https://s3.watch.test", "region": "r1", "access_key": {"secret": "s3-id"}, "secret_key": {"secret": "s3-key"}}},
        "monitoring": {"network": "lan", "prometheus": {}, "alertmanager": {"mailer": "mail", "groups": ["oncall"]}, "grafana": {"admin_password": {"secret": "admin"}},
            "loki": {"retention": "31d"}, "zabbix": {}},
        "secrets": {"smtp": {}, "admin": {}, "s3-id": {}, "s3-key": {}}
    })
}

fn contained(name: &str) -> Value {
    json!({"container": {"image": format!("docker.io/example/{name}:1")}})
}

fn packaged(name: &str) -> Value {
    json!({"package": {"packages": [name]}})
}

fn of(all: &[(String, String)], path: &str) -> String {
    all.iter().find(|(known, _)| known == path).unwrap_or_else(|| panic!("{path}")).1.clone()
}

#[test]
fn amtool_reads_whom_alerts_reach() {
    let Some(amtool) = peer("amtool", "apt-get install prometheus-alertmanager=0.25.0-1+b4") else { return };
    for run in [&contained as &dyn Fn(&str) -> Value, &packaged] {
        let all = files(&fleet(run), "mon");
        let text = of(&all, "/etc/prometheus/alertmanager.yml");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alertmanager.yml");
        fs::write(&path, &text).unwrap();
        let (good, said) = say(Command::new(&amtool).arg("check-config").arg(&path));
        assert!(good && said.contains("1 receivers"), "{said}\n{text}");
        let (good, said) = say(Command::new(&amtool)
            .args(["config", "routes", "test", "severity=critical", "--config.file"])
            .arg(&path));
        assert!(good && said.contains("people"), "{said}");
        // One of the group, and nobody else.
        assert!(text.contains("ann@watch.test") && !text.contains("bob@watch.test"), "{text}");
        assert!(of(&all, "/etc/prometheus/prometheus.yml").contains("127.0.0.1:9093"));
    }
}

#[test]
fn what_is_filled_for_a_container_is_its_user_s_alone() {
    let mut fleet = fleet(&contained);
    fleet["monitoring"]["loki"]["bucket"] = json!("logs");
    let template = |fleet: &Value| {
        let manifest = document(&["secrets", "--host", "mon"], fleet);
        let all = manifest["templates"].as_array().unwrap();
        let found = all.iter().find(|template| template["name"] == "loki.yml").unwrap();
        (found["owner"].clone(), found["mode"].clone())
    };
    assert_eq!(template(&fleet), (json!("10001"), json!("0400")));
    fleet["services"]["loki"]["run"]["container"]["user"] = json!("472:472");
    assert_eq!(template(&fleet), (json!("472"), json!("0400")));
    fleet["services"]["loki"]["run"] = packaged("loki");
    assert_eq!(template(&fleet), (json!("loki"), json!("0400")));
    let manifest = document(&["secrets", "--host", "authentik-prod"], &seed("seed-004.json"));
    for template in manifest["templates"].as_array().unwrap() {
        let mode = template["mode"].as_str().unwrap();
        assert!(mode.ends_with("00"), "{} is open to others: {mode}", template["name"]);
    }
}

#[test]
fn loki_fits_its_schema_and_starts_its_retention() {
    let all = files(&fleet(&contained), "mon");
    let text = of(&all, "/etc/loki/config.yml");
    let Some(value) = yaml(&text) else { return };
    assert_eq!(value["compactor"]["delete_request_store"], "filesystem");
    assert_eq!(value["limits_config"]["retention_period"], "744h");
    assert_eq!(
        (&value["server"]["http_listen_address"], &value["server"]["http_listen_port"]),
        (&json!("10.1.0.1"), &json!(3100))
    );
    let Some(schema) = schema("loki.json") else { return };
    let validator = jsonschema::validator_for(&schema).unwrap();
    let problems: Vec<_> =
        validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(problems.is_empty(), "{problems:#?}\n{text}");
}

#[test]
fn grafana_finds_its_sources_and_dashboards() {
    let all = files(&fleet(&contained), "mon");
    let sources = of(&all, "/etc/grafana/provisioning/datasources/plumbline.yaml");
    for part in ["http://127.0.0.1:9090", "http://10.1.0.1:3100", "http://127.0.0.1:9093", "apiVersion: 1"] {
        assert!(sources.contains(part), "{part}\n{sources}");
    }
    let mut uids = Vec::new();
    for name in ["fleet", "hosts", "containers", "logs"] {
        let dashboard: Value =
            serde_json::from_str(&of(&all, &format!("/etc/grafana/dashboards/{name}.json"))).unwrap();
        assert!(dashboard["panels"].as_array().unwrap().len() >= 2, "{name}");
        uids.push(dashboard["uid"].as_str().unwrap().to_owned());
    }
    uids.dedup();
    assert_eq!(uids.len(), 4);
    let compose = of(&all, "/opt/grafana/compose.yaml");
    for part in [
        "GF_SERVER_HTTP_ADDR: \"127.0.0.1\"",
        "GF_SERVER_ROOT_URL: \"https://grafana.watch.test\"",
        "/etc/grafana/dashboards:/etc/grafana/dashboards:ro",
        "network_mode: \"host\"",
    ] {
        assert!(compose.contains(part), "{part}\n{compose}");
    }
}

#[test]
fn every_question_of_the_dashboards_is_one() {
    let Some(promtool) = peer("promtool", "apt-get install prometheus=2.42.0+ds-5+deb12u1") else { return };
    let all = files(&fleet(&contained), "mon");
    let mut rules = Vec::new();
    for (_, text) in
        all.iter().filter(|(path, _)| path.starts_with("/etc/grafana/dashboards/") && !path.ends_with("/logs.json"))
    {
        let dashboard: Value = serde_json::from_str(text).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                rules.push(json!({"record": format!("q{}", rules.len()), "expr": target["expr"].as_str().unwrap().replace("$host", ".*")}));
            }
        }
    }
    assert!(rules.len() > 15);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.json");
    fs::write(&path, json!({"groups": [{"name": "g", "rules": rules}]}).to_string()).unwrap();
    let (good, said) = say(Command::new(promtool).args(["check", "rules"]).arg(&path));
    assert!(good, "{said}");
}

/// Prometheus' own tests of rules: what fires, when, with which words, and what does not.
#[test]
fn alerts_fire_when_and_as_the_fleet_says() {
    let Some(promtool) = peer("promtool", "apt-get install prometheus=2.42.0+ds-5+deb12u1") else { return };
    const SUMMARY: &str = "{{ $labels.x }} \"quoted\" 'and' `ticked` \\ {{ .Value }} %s";
    let mut fleet = fleet(&packaged);
    fleet["monitoring"]["prometheus"]["alerts"] = json!([
        {"name": "TooMany", "expr": "sum by (job) (jobs_waiting) > 5", "for": "2m", "severity": "warning", "summary": SUMMARY, "labels": {"team": "a\"b {{ .Value }}"}}
    ]);
    let all = files(&fleet, "mon");
    let rules = of(&all, "/etc/prometheus/rules/plumbline.yml");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rules.yml"), &rules).unwrap();
    let fires = |name: &str, at: &str, labels: Value, summary: &str| json!({"alertname": name, "eval_time": at, "exp_alerts": [{"exp_labels": labels, "exp_annotations": {"summary": summary}}]});
    let silent = |name: &str, at: &str| json!({"alertname": name, "eval_time": at, "exp_alerts": []});
    let node = |series: &str| format!("{series}, job=\"node\", instance=\"i\", host=\"app\"}}");
    let test = json!({
        "rule_files": ["rules.yml"], "evaluation_interval": "1m",
        "tests": [{
            "interval": "1m",
            "input_series": [
                {"series": "up{job=\"node\", instance=\"i\", host=\"app\"}", "values": "1x9 0x30"},
                {"series": node("node_filesystem_size_bytes{mountpoint=\"/srv\", fstype=\"ext4\""), "values": "100x60"},
                {"series": node("node_filesystem_avail_bytes{mountpoint=\"/srv\", fstype=\"ext4\""), "values": "11x9 9x50"},
                {"series": node("node_filesystem_size_bytes{mountpoint=\"/run\", fstype=\"tmpfs\""), "values": "100x60"},
                {"series": node("node_filesystem_avail_bytes{mountpoint=\"/run\", fstype=\"tmpfs\""), "values": "1x60"},
                {"series": "node_memory_MemAvailable_bytes{host=\"app\"}", "values": "6x9 4x50"},
                {"series": "node_memory_MemTotal_bytes{host=\"app\"}", "values": "100x60"},
                {"series": "jobs_waiting{job=\"queue\"}", "values": "9x60"}
            ],
            "alert_rule_test": [
                // Down since minute 10, for five minutes.
                silent("TargetDown", "14m"),
                fires("TargetDown", "15m", json!({"severity": "critical", "job": "node", "instance": "i", "host": "app"}), "node on app gives no metrics"),
                silent("DiskFull", "24m"),
                fires("DiskFull", "25m", json!({"severity": "warning", "job": "node", "instance": "i", "host": "app", "mountpoint": "/srv", "fstype": "ext4"}), "/srv on app is nearly full"),
                silent("MemoryLow", "24m"),
                fires("MemoryLow", "25m", json!({"severity": "warning", "host": "app"}), "app has hardly any memory left"),
                silent("TooMany", "1m"),
                fires("TooMany", "2m", json!({"severity": "warning", "job": "queue", "team": "a\"b {{ .Value }}"}), SUMMARY)
            ]
        }]
    });
    let path = folder.path().join("test.yml");
    fs::write(&path, test.to_string()).unwrap();
    let (good, said) = say(Command::new(promtool).args(["test", "rules"]).arg(&path));
    assert!(good, "{said}\n{rules}");
}

#[test]
fn logs_come_with_the_name_of_the_service() {
    let fleet = fleet(&contained);
    let all = files(&fleet, "app");
    let alloy = of(&all, "/etc/alloy/config.alloy");
    assert!(alloy.contains("url = \"http://10.1.0.1:3100/loki/api/v1/push\""), "{alloy}");
    assert!(
        alloy.contains("__meta_docker_container_label_com_docker_compose_project")
            && alloy.contains("loki.source.journal"),
        "{alloy}"
    );
    // Braces, brackets and quotes close again.
    for (open, close) in [('{', '}'), ('[', ']')] {
        assert_eq!(alloy.matches(open).count(), alloy.matches(close).count());
    }
    assert!(of(&all, "/opt/alloy/compose.yaml").contains("--server.http.listen-addr=10.1.0.2:12345"));
    let cadvisor = of(&all, "/opt/cadvisor/compose.yaml");
    assert!(cadvisor.contains("\"10.1.0.2:8080:8080/tcp\""), "{cadvisor}");
    // A published port does not pass the input chain: its guard lets Prometheus in, and nobody else.
    let nft = of(&all, "/etc/nftables.conf");
    assert!(nft.contains("ip saddr 10.1.0.1 meta l4proto tcp ct status dnat ct original proto-dst"), "{nft}");
    let mon = of(&files(&fleet, "mon"), "/etc/nftables.conf");
    // Its agent reports to the Zabbix server there, too.
    assert!(mon.contains("ip saddr 10.1.0.2 tcp dport { 3100, 10051 } accept"), "{mon}");
}

/// What Alloy's rules make of the labels of a source: each rule of the block takes the value of its source label, which must
/// match as a whole, and sets another.
fn relabelled(alloy: &str, block: &str, labels: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> =
        labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let body = alloy.split(&format!("{block} {{\n")).nth(1).unwrap().split("\n}\n").next().unwrap();
    for rule in body.split("rule {").skip(1) {
        let of = |key: &str| {
            let line = rule.lines().find(|line| line.trim_start().starts_with(key))?;
            let text = line.split_once('=')?.1.trim().trim_start_matches('[').trim_end_matches(']');
            Some(serde_json::from_str::<String>(text).unwrap())
        };
        let value = all.get(&of("source_labels").unwrap()).cloned().unwrap_or_default();
        let regex = regex::Regex::new(&format!("^(?:{})$", of("regex").unwrap_or_else(|| "(.*)".into()))).unwrap();
        let Some(found) = regex.captures(&value) else {
            if of("action").as_deref() == Some("keep") {
                return BTreeMap::new();
            }
            continue;
        };
        let Some(target) = of("target_label") else { continue };
        let mut made = String::new();
        found.expand(&of("replacement").unwrap_or_else(|| "$1".into()), &mut made);
        all.insert(target, made);
    }
    all.retain(|name, value| !name.starts_with("__") && !value.is_empty());
    all
}

#[test]
fn lines_are_labelled_with_their_service() {
    let alloy = of(&files(&fleet_of_logs(), "app"), "/etc/alloy/config.alloy");

    // What the engine says of a container of a project, and the journal of a unit.
    let container = relabelled(
        &alloy,
        "discovery.relabel \"containers\"",
        &[
            ("__meta_docker_container_label_com_docker_compose_project", "shop"),
            ("__meta_docker_container_name", "/shop-web-1"),
        ],
    );
    assert_eq!(container["service"], "shop");
    assert_eq!(container["container"], "shop-web-1");
    let journal = relabelled(
        &alloy,
        "loki.relabel \"journal\"",
        &[("__journal__systemd_unit", "backup.timer"), ("__journal_priority_keyword", "warning")],
    );
    assert_eq!((journal["service"].as_str(), journal["level"].as_str()), ("backup", "warning"));
    assert!(alloy.contains("external_labels = {\"host\" = \"app\"}") && alloy.contains("{\"job\" = \"containers\"}"));
}

/// Loki refuses a question of which every part matches a stream without labels ("queries require at least one regexp or equality
/// matcher that does not have an empty-compatible value").
#[test]
fn the_dashboard_of_logs_opens_with_a_question_that_loki_takes() {
    let all = files(&fleet(&contained), "mon");
    let dashboard: Value = serde_json::from_str(&of(&all, "/etc/grafana/dashboards/logs.json")).unwrap();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let queries: Vec<&Value> = variables.iter().filter(|variable| variable["type"] == "query").collect();
    assert_eq!(queries.len(), 2);
    for variable in queries {
        let everything = variable["allValue"].as_str().unwrap();
        assert!(!regex::Regex::new(&format!("^(?:{everything})$")).unwrap().is_match(""), "{variable}");
    }
}

/// The fleet with a service of a timer and one in a container.
fn fleet_of_logs() -> Value {
    let mut fleet = fleet(&contained);
    fleet["services"]["shop"] = json!({"host": "app", "run": {"containers": {"web": {"image": "docker.io/example/shop:1"}}}, "backup": {"none": "a test"}});
    fleet
}

/// What Alloy itself writes for a file is that file.
#[test]
fn alloy_has_nothing_to_format() {
    let how = "Alloy 1.10 or newer from github.com/grafana/alloy, which the Go proxy does not have";
    let Some(alloy) = given_peer("PLUMBLINE_ALLOY", how) else { return };
    let mut all: Vec<String> =
        ["app"].map(|host| of(&files(&fleet(&contained), host), "/etc/alloy/config.alloy")).into();
    let seed = seed("seed-004.json");
    all.extend(["tools-prod", "authentik-prod"].map(|host| of(&files(&seed, host), "/etc/alloy/config.alloy")));
    // With Podman every line is in the journal.
    let mut podman = fleet(&contained);
    podman["hosts"]["app"]["os"] = json!("debian-13");
    podman["hosts"]["app"]["containers"] = json!({"engine": "podman"});
    all.push(of(&files(&podman, "app"), "/etc/alloy/config.alloy"));
    for text in all {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.alloy");
        fs::write(&path, &text).unwrap();
        let (good, said) = say(Command::new(&alloy).args(["fmt", "--test"]).arg(&path));
        assert!(good, "{said}\n{text}");
        fs::write(&path, text.replacen('{', "", 1)).unwrap();
        assert!(!say(Command::new(&alloy).args(["fmt", "--test"]).arg(&path)).0, "it reads what it is given");
    }
}

#[test]
fn the_zabbix_agent_reads_its_file() {
    let all = files(&fleet(&contained), "app");
    let text = of(&all, "/etc/zabbix/zabbix_agentd.conf.d/plumbline.conf");
    assert!(text.contains("Server=10.1.0.1\n") && text.contains("ServerActive=10.1.0.1:10051\n"), "{text}");
    let Some(agent) = peer("zabbix_agentd", "apt-get install zabbix-agent") else { return };
    let folder = tempfile::tempdir().unwrap();
    let conf = folder.path().join("plumbline.conf");
    fs::write(&conf, &text).unwrap();
    // As Debian's own file does, which says other things first.
    let main = folder.path().join("main.conf");
    fs::write(
        &main,
        format!("Server=127.0.0.1\nServerActive=127.0.0.1\nHostname=Zabbix server\nInclude={}\n", conf.display()),
    )
    .unwrap();
    let (good, said) = say(Command::new(agent).arg("-c").arg(&main).args(["-t", "agent.hostname"]));
    assert!(good && said.contains("[s|app]"), "{said}");
}

#[test]
fn the_fourth_set_up_is_rendered_whole() {
    let fleet = seed("seed-004.json");
    for host in ["tools-prod", "management", "authentik-prod"] {
        let output = crate::run::cfg_render(&["host", "--host", host], &fleet.to_string());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{host}: {said}");
        let missing: Vec<_> = said.lines().filter(|line| line.contains("not rendered yet")).collect();
        // The one thing of it that nobody makes yet.
        assert!(
            missing.iter().all(|line| line.contains("in a bucket") || line.contains("start page")),
            "{host}: {missing:#?}"
        );
    }
}
