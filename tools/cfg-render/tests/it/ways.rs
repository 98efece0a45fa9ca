//! Which way connections take where hosts have several networks, both families of addresses, or names in other scripts.

use serde_json::{Value, json};

use crate::run::{cfg_render, document, files};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me";

fn service(host: &str, port: Value) -> Value {
    json!({"host": host, "run": {"systemd": {"exec": ["/bin/true"]}}, "ports": {"http": port}, "backup": {"none": "a test"}})
}

fn fleet() -> Value {
    let mut fleet = json!({
        "schema": "fleet/v1", "name": "ways", "domain": "ways.test", "email": "ops@ways.test",
        "networks": {
            "adm": {"cidrs": ["10.1.0.0/24", "fd00:1::/64"]},
            "lan": {"cidrs": ["10.2.0.0/24", "fd00:2::/64"]}
        },
        "defaults": {"host": {"os": "debian-12", "ssh": {"from": ["adm"], "keys": [KEY]}}},
        "hosts": {
            "edge": {"addresses": {"public": ["203.0.113.5"], "adm": ["10.1.0.1", "fd00:1::1"], "lan": ["10.2.0.1", "fd00:2::1"]}},
            "back": {"addresses": {"adm": ["10.1.0.2"], "lan": ["fd00:2::2", "10.2.0.2"]}},
            "far": {"addresses": {"public": ["203.0.113.9"]}}
        },
        "services": {
            "web": service("back", json!({"port": 3000, "bind": "lan"})),
            "git": service("back", json!({"port": 9418, "bind": "lan"})),
            "faraway": service("far", json!(3000))
        }
    });
    fleet["services"]["web"]["proxy"] = json!([{"names": ["web.ways.test"], "via": "edge"}]);
    fleet["services"]["git"]["expose"] = json!([{"via": "edge", "on_port": 1111}]);
    fleet["services"]["faraway"]["proxy"] =
        json!([{"names": ["far.ways.test"], "via": "edge", "backend": {"through": "proxy", "tls": "internal"}}]);
    fleet
}

fn findings(fleet: &Value) -> Vec<(String, String, String)> {
    let output = cfg_render(&["check", "--output", "json"], &fleet.to_string());
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
    let all = found["findings"].as_array().unwrap();
    all.iter().map(|one| (text(one, "code"), text(one, "pointer"), text(one, "message"))).collect()
}

fn file(fleet: &Value, host: &str, path: &str) -> String {
    let all = files(fleet, host);
    all.into_iter().find(|(known, _)| known == path).unwrap_or_else(|| panic!("no {path}")).1
}

/// The edge asks where the port is bound, and the other host lets it in with the address that it has there, and no other.
#[test]
fn the_firewall_opens_for_the_address_with_which_an_edge_comes() {
    let fleet = fleet();
    assert_eq!(findings(&fleet), []);
    let site = file(&fleet, "edge", "/etc/nginx/plumbline.d/web.ways.test.conf");
    assert!(site.contains("proxy_pass http://[fd00:2::2]:3000;"), "{site}");
    let rules = file(&fleet, "back", "/etc/nftables.conf");
    assert!(rules.contains("ip6 saddr fd00:2::1 tcp dport { 3000, 9418 } accept"), "{rules}");
    assert!(!rules.contains("10.1.0.1") && !rules.contains("saddr 10.2.0.1"), "{rules}");

    // Metrics too: the exporter listens on the network of monitoring.
    let mut watched = fleet;
    watched["hosts"]["back"]["agents"] = json!({"node_exporter": {}});
    watched["monitoring"] = json!({"network": "lan", "prometheus": {}});
    watched["services"]["prometheus"] = json!({"host": "edge", "run": {"package": {"packages": ["prometheus"]}}, "ports": {"http": 9090}, "backup": {"none": "a test"}});
    let asked = file(&watched, "edge", "/etc/prometheus/prometheus.yml");
    assert!(asked.contains("[fd00:2::2]:9100"), "{asked}");
    let rules = file(&watched, "back", "/etc/nftables.conf");
    assert!(rules.contains("ip6 saddr fd00:2::1 tcp dport { 3000, 9100, 9418 } accept"), "{rules}");
}

/// As the fix of `unreachable-upstream` proposes.
#[test]
fn two_hosts_may_meet_on_the_internet_with_tls_between_them() {
    let fleet = fleet();
    let site = file(&fleet, "edge", "/etc/nginx/plumbline.d/far.ways.test.conf");
    assert!(site.contains("proxy_pass https://203.0.113.9:443;") && site.contains("proxy_ssl_verify on;"), "{site}");
    let rules = file(&fleet, "far", "/etc/nftables.conf");
    assert!(rules.contains("ip saddr 203.0.113.5 tcp dport 443 accept"), "{rules}");
    assert!(!rules.contains("\t\ttcp dport"), "nobody else gets in: {rules}");
}

#[test]
fn ways_that_lead_nowhere_are_found() {
    let mut fleet = fleet();
    fleet["hosts"]["edge"]["addresses"]["lan"] = json!(["10.2.0.1"]);
    let found = findings(&fleet);
    let family = "host back is reached by IPv6 on network lan, and host edge has no such address there";
    for place in ["/services/web/proxy/0", "/services/git/expose/0"] {
        let is = |one: &&(String, String, String)| one.0 == "unreachable-upstream" && one.1 == place;
        assert!(found.iter().find(is).is_some_and(|one| one.2.contains(family)), "{place}: {found:#?}");
    }

    // Nothing passes another port on where the service itself listens.
    let mut own = self::fleet();
    own["services"]["own"] = service("edge", json!({"port": 2222, "bind": "any"}));
    own["services"]["own"]["expose"] = json!([{"on_port": 22222}]);
    let found = findings(&own);
    let is = |place: &str| found.iter().any(|one| one.0 == "unreachable-upstream" && one.1 == place);
    assert!(is("/services/own/expose/0/on_port"), "{found:#?}");
    own["services"]["own"]["expose"] = json!([{"on_port": 2222}]);
    assert_eq!(findings(&own), []);
    // What is bound to one network is not reached from the internet.
    own["services"]["own"]["ports"]["http"]["bind"] = json!("lan");
    let found = findings(&own);
    let is = |place: &str| found.iter().any(|one| one.0 == "unreachable-upstream" && one.1 == place);
    assert!(is("/services/own/expose/0"), "{found:#?}");
    own["services"]["own"]["expose"] = json!([{"from": ["lan"]}]);
    assert_eq!(findings(&own), []);
}

/// A name is written in its own script in the fleet, and as DNS has it everywhere else: units, files, secrets, records.
#[test]
fn names_in_other_scripts_are_ascii_in_all_that_is_made() {
    for (kind, image) in [("nginx", None), ("traefik", Some("docker.io/library/traefik:v3.5")), ("caddy", None)] {
        let mut fleet = fleet();
        fleet["hosts"]["edge"]["containers"] = json!({"engine": "docker"});
        fleet["hosts"]["edge"]["proxy"] = json!({"kind": kind});
        if let Some(image) = image {
            fleet["hosts"]["edge"]["proxy"]["image"] = json!(image);
        }
        fleet["hosts"]["edge"]["proxy"]["acme"] = json!({});
        fleet["services"]["web"]["proxy"] = json!([
            {"names": ["B\u{fc}cher.net", "m\u{fc}ller.b\u{fc}cher.net"], "via": "edge"},
            {"names": ["b\u{e4}cher.net"], "via": "edge", "tls": "internal"},
            {"names": ["xn--strae-oqa.xn--bcher-kva.net"], "via": "edge", "tls": "internal"}
        ]);
        fleet["dns"] = json!({"providers": {"cf": {"cloudflare": {"token": {"secret": "cf"}}}}, "zones": {"b\u{fc}cher.net": {}, "b\u{e4}cher.net": {}}});
        fleet["secrets"] = json!({"cf": {}});
        assert_eq!(findings(&fleet), [], "{kind}");
        let desired = document(&["host", "--host", "edge"], &fleet);
        let items = desired["items"].to_string();
        assert!(items.is_ascii(), "{kind}: {}", items.split(',').find(|part| !part.is_ascii()).unwrap());
        assert!(items.contains("xn--mller-kva.xn--bcher-kva.net"), "{kind}");
        let zones = document(&["dns"], &fleet);
        let zone = zones["zones"].as_array().unwrap().iter().find(|zone| zone["name"] == "b\u{fc}cher.net").unwrap();
        let mut names: Vec<_> =
            zone["records"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(names, ["@", "xn--mller-kva", "xn--strae-oqa"], "{kind}");
        // Leaves of two names that differ in such a letter only have two keys.
        let mut other = fleet.clone();
        other["services"]["web"]["proxy"][0]["tls"] = json!("internal");
        let secrets = document(&["secrets", "--host", "edge"], &other).to_string();
        assert!(
            secrets.contains("tls-edge-xn--bcher-kva-net") && secrets.contains("tls-edge-xn--bcher-gra-net"),
            "{secrets}"
        );
    }
}

/// Grafana without its sources, or Prometheus that tells nobody, looks like a fleet in which all is well.
#[test]
fn what_watches_the_fleet_reaches_one_another() {
    let mut fleet = fleet();
    let role = |host: &str, port: Value| json!({"host": host, "run": {"package": {}}, "ports": {"http": port}, "backup": {"none": "a test"}});
    for (name, host, port) in [("grafana", "edge", 3000), ("prometheus", "back", 9090), ("alertmanager", "back", 9093)]
    {
        fleet["services"][name] = role(host, json!(port));
        fleet["monitoring"][name] = json!({});
    }
    let mut found = findings(&fleet);
    found.retain(|one| one.1.starts_with("/monitoring"));
    assert_eq!(found.len(), 2, "{found:#?}");
    for (one, whom) in found.iter().zip(["alertmanager", "prometheus"]) {
        assert_eq!((one.0.as_str(), one.1.as_str()), ("unreachable-upstream", "/monitoring/grafana"));
        assert!(one.2.contains(&format!("does not reach service {whom}")) && one.2.contains("loopback"), "{one:?}");
    }
    for (name, port) in [("prometheus", 9090), ("alertmanager", 9093)] {
        fleet["services"][name]["ports"]["http"] = json!({"port": port, "bind": "lan"});
    }
    assert!(!findings(&fleet).iter().any(|one| one.1.starts_with("/monitoring")), "{:#?}", findings(&fleet));

    // By their role they come from the packages that Debian has, under the names that their units have there.
    let items = |fleet: &Value, host: &str| {
        let desired = document(&["host", "--host", host], fleet);
        let all = desired["items"].as_array().unwrap().clone();
        let packages = all.iter().filter_map(|item| item["packages"]["present"].as_array()).flatten();
        let units = all.iter().filter_map(|item| item["unit"]["name"].as_str());
        packages.filter_map(Value::as_str).chain(units).map(str::to_owned).collect::<Vec<_>>()
    };
    let has = |items: &[String], name: &str| items.iter().any(|item| item == name);
    let back = items(&fleet, "back");
    assert!(has(&back, "prometheus-alertmanager") && has(&back, "prometheus-alertmanager.service"), "{back:?}");
    assert!(!has(&back, "alertmanager") && !has(&back, "alertmanager.service"), "{back:?}");
    let edge = items(&fleet, "edge");
    assert!(has(&edge, "grafana") && has(&edge, "grafana-server.service"), "{edge:?}");
}

#[test]
fn zabbix_comes_from_the_packages_that_debian_has() {
    let mut fleet = fleet();
    fleet["databases"] = json!({"main": {"host": "back"}});
    fleet["services"]["zabbix-server"] = json!({"host": "back", "run": {"package": {}}, "ports": {"server": {"port": 10051, "bind": "lan"}}, "databases": [{"password": {"secret": "zabbix"}}], "backup": {"none": "a test"}});
    fleet["services"]["zabbix-web"] =
        json!({"host": "back", "run": {"package": {}}, "ports": {"http": 8080}, "backup": {"none": "a test"}});
    fleet["monitoring"] = json!({"zabbix": {"web": "zabbix-web"}});
    fleet["secrets"] = json!({"zabbix": {}});
    let desired = document(&["host", "--host", "back"], &fleet);
    let all = desired["items"].as_array().unwrap();
    let packages: Vec<_> = all.iter().filter_map(|item| item["packages"]["present"].as_array()).flatten().collect();
    for (name, there) in
        [("zabbix-server-pgsql", true), ("zabbix-frontend-php", true), ("zabbix-server", false), ("zabbix-web", false)]
    {
        assert_eq!(packages.iter().any(|package| **package == name), there, "{name}: {packages:?}");
    }
}

#[test]
fn whoever_may_run_an_operation_is_on_its_host() {
    let mut fleet = fleet();
    fleet["hosts"]["edge"]["users"] = json!({"agent": {"keys": [KEY]}});
    fleet["operations"] = json!({"again": {"restart": "web", "users": ["agent"]}});
    let found = findings(&fleet);
    let one = found.iter().find(|one| one.1 == "/operations/again/users/0").unwrap_or_else(|| panic!("{found:#?}"));
    assert!(one.0 == "unknown-ref" && one.2.contains("host back does not have"), "{one:?}");
    fleet["hosts"]["back"]["users"] = json!({"agent": {"keys": [KEY]}});
    assert_eq!(findings(&fleet), []);
}

/// The place that the warning names is the one of the engine that is used.
#[test]
fn a_secret_in_the_environment_names_where_the_engine_keeps_it() {
    for (engine, place) in [("docker", "/var/lib/docker/containers/"), ("podman", "/var/lib/containers/storage/")] {
        let mut fleet = fleet();
        fleet["hosts"]["back"]["os"] = json!("debian-13");
        fleet["hosts"]["back"]["containers"] = json!({"engine": engine});
        fleet["services"]["web"]["run"] = json!({"container": {"image": "docker.io/x/web:1"}});
        fleet["services"]["web"]["env"] = json!({"TOKEN": {"secret": "token"}});
        fleet["secrets"] = json!({"token": {}});
        let found = findings(&fleet);
        let is = |one: &(String, String, String)| one.0 == "secret-in-environment" && one.2.contains(place);
        assert!(found.iter().any(is), "{engine}: {found:#?}");
    }
}

/// Nobody else has them: the edge asks the proxy there, which is nginx or Caddy, whatever the edge is.
#[test]
fn files_on_another_host_are_served_by_the_proxy_there() {
    for edge in [json!({"kind": "nginx"}), json!({"kind": "traefik", "image": "docker.io/library/traefik:v3.5"})] {
        let mut fleet = fleet();
        fleet["hosts"]["edge"]["containers"] = json!({"engine": "docker"});
        fleet["hosts"]["edge"]["proxy"] = edge.clone();
        fleet["hosts"]["edge"]["proxy"]["acme"] = json!({});
        fleet["services"]["site"] = json!({"host": "back", "run": {"static": {"root": "/srv/www"}}, "backup": {"none": "a test"},
            "proxy": [{"names": ["files.ways.test"], "via": "edge"}]});
        assert_eq!(findings(&fleet), [], "{edge}");
        let at_edge = document(&["host", "--host", "edge"], &fleet).to_string();
        assert!(at_edge.contains("http://10.1.0.2:80"), "{edge}");
        let there = file(&fleet, "back", "/etc/nginx/plumbline.d/files.ways.test.conf");
        assert!(there.contains("root /srv/www;"), "{there}");
        let rules = file(&fleet, "back", "/etc/nftables.conf");
        assert!(rules.contains("ip saddr 10.1.0.1 tcp dport 80 accept"), "{rules}");
    }
    // Traefik itself has none to serve.
    let mut own = fleet();
    own["hosts"]["edge"]["containers"] = json!({"engine": "docker"});
    own["hosts"]["edge"]["proxy"] = json!({"kind": "traefik", "image": "docker.io/library/traefik:v3.5", "acme": {}});
    own["services"]["site"] = json!({"host": "edge", "run": {"static": {"root": "/srv/www"}}, "backup": {"none": "a test"}, "proxy": [{"names": ["files.ways.test"]}]});
    assert!(findings(&own).iter().any(|one| one.1 == "/services/site/proxy/0" && one.2 == "Traefik serves no files"));
}

/// Paths for which there is no entry: nginx would show the page of its package, and Caddy an empty one that says 200.
#[test]
fn paths_without_an_entry_are_not_found() {
    for (kind, path, line) in [
        ("nginx", "/etc/nginx/plumbline.d/web.ways.test.conf", "location / {\n        return 404;\n    }"),
        ("caddy", "/etc/caddy/Caddyfile", "\thandle {\n\t\trespond 404\n\t}"),
    ] {
        let mut fleet = fleet();
        fleet["hosts"]["edge"]["proxy"] = json!({"kind": kind});
        assert!(!file(&fleet, "edge", path).contains(line), "{kind}: there is an entry for all paths");
        fleet["services"]["web"]["proxy"][0]["path"] = json!("/api");
        let text = file(&fleet, "edge", path);
        assert_eq!(text.matches(line).count(), 1, "{text}");
    }
}
