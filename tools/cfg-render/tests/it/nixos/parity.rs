//! What Debian hosts have and NixOS hosts must have too: operations, agents, Compose files, single sign-on, certificates.

use serde_json::{Value, json};

use super::{come_to, tree_of, written};
use crate::run::{cfg_render, document, is_root, peer, say};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me";

pub(super) fn fleet(proxy: &Value) -> Value {
    json!({
        "schema": "fleet/v1", "name": "parity", "domain": "parity.net", "email": "ops@parity.net",
        "networks": {"lan": {"cidrs": ["10.1.0.0/24"]}},
        "dns": {"providers": {"cf": {"cloudflare": {"token": {"secret": "dns-token"}}}}, "zones": {"parity.net": {"provider": "cf"}}},
        "hosts": {
            "box": {
                "os": "nixos-25.11", "addresses": {"public": ["192.0.2.1"], "lan": ["10.1.0.1"]}, "ssh": {"keys": [KEY]},
                "users": {"agent": {"keys": [KEY]}, "ann": {"linger": true}}, "containers": {"engine": "docker"}, "proxy": proxy,
                "agents": {"node_exporter": {}, "cadvisor": {"image": "gcr.io/cadvisor/cadvisor:v0.52.1"}, "alloy": {}, "zabbix_agent": {}}
            },
            "back": {"os": "nixos-25.11", "addresses": {"lan": ["10.1.0.2"]}, "ssh": {"keys": [KEY], "from": ["lan"]}}
        },
        "databases": {"main": {"host": "box"}},
        "services": {
            "app": {"host": "box", "run": {"systemd": {"exec": ["/run/current-system/sw/bin/true"]}},
                "login": {"user": "git", "keys_command": ["/run/current-system/sw/bin/keys", "%f"], "command": ["/run/current-system/sw/bin/door"]}, "backup": {"none": "a test"}},
            "mine": {"host": "box", "user": "ann", "env": {"TOKEN": {"secret": "mine-token"}},
                "run": {"systemd": {"exec": ["/run/current-system/sw/bin/true"], "user_unit": true, "calendar": "daily"}}, "backup": {"none": "a test"}},
            "project": {"host": "box", "run": {"compose": {"source": "compose/project.yaml"}}, "env": {"A": "b c", "TOKEN": {"secret": "token"}}, "backup": {"none": "a test"}},
            "web": {"host": "box", "run": {"container": {"image": "docker.io/library/x:1"}}, "backup": {"none": "a test"}},
            "authentik": {"host": "box", "run": {"containers": {"server": {"image": "ghcr.io/goauthentik/server:2025.8"}, "worker": {"image": "ghcr.io/goauthentik/server:2025.8"}}},
                "ports": {"http": {"port": 9000, "container": "server"}}, "proxy": [{"names": ["login.parity.net"], "tls": "acme-dns"}], "backup": {"none": "a test"}},
            "grafana": {"host": "box", "run": {"nixos": {"module": "services.grafana"}}, "ports": {"http": 3000},
                "proxy": [{"names": ["grafana.parity.net"], "tls": "internal"}],
                "sso": {"provider": "people", "client_secret": {"secret": "grafana-oidc"}}, "backup": {"none": "a test"}},
            "prometheus": {"host": "box", "run": {"nixos": {"module": "services.prometheus"}}, "ports": {"http": 9090}, "backup": {"none": "a test"}},
            "alertmanager": {"host": "box", "run": {"nixos": {"module": "services.prometheus.alertmanager"}}, "ports": {"http": 9093}, "backup": {"none": "a test"}},
            "loki": {"host": "box", "run": {"nixos": {"module": "services.loki"}}, "ports": {"http": {"port": 3100, "bind": "lan"}}, "backup": {"none": "a test"}},
            "zabbix-server": {"host": "box", "run": {"nixos": {"module": "services.zabbixServer", "units": ["zabbix-server.service"]}}, "user": "zabbix",
                "ports": {"server": {"port": 10051, "bind": "lan"}}, "databases": [{"cluster": "main", "name": "zabbix", "owner": "zabbix", "auth": "peer"}], "backup": {"none": "a test"}},
            "zabbix-web": {"host": "box", "run": {"nixos": {"module": "services.zabbixWeb", "units": ["httpd.service"]}}, "ports": {"http": 8090},
                "proxy": [{"names": ["zabbix.parity.net"], "tls": "internal"}], "backup": {"none": "a test"}},
            "p2p": {"host": "back", "run": {"systemd": {"exec": ["/run/current-system/sw/bin/true"]}},
                "ports": {"p2p": {"port": 8776, "bind": "lan", "proto": "both"}}, "expose": [{"port": "p2p", "from": ["public"], "via": "box"}], "backup": {"none": "a test"}}
        },
        "people": {"ann": {"emails": ["ann@parity.net"]}},
        "mailers": {"mail": {"host": "smtp.parity.net", "from": "x@parity.net", "password": {"secret": "smtp"}}},
        "sso": {"people": {"kind": "authentik", "service": "authentik"}},
        "buckets": {"logs": {"purpose": "logs", "endpoint": "https://s3.parity.net", "region": "r1", "access_key": {"secret": "s3-id"}, "secret_key": {"secret": "s3-key"}}},
        "monitoring": {"network": "lan", "prometheus": {}, "alertmanager": {"mailer": "mail", "people": ["ann"], "webhook": {"secret": "hook"}}, "grafana": {}, "loki": {"bucket": "logs"}, "zabbix": {"web": "zabbix-web"}},
        "operations": {
            "restart-app": {"restart": "app", "users": ["agent"]},
            "logs-authentik": {"logs": "authentik", "users": ["agent"]},
            "look": {"host": "box", "command": ["/run/current-system/sw/bin/ls", "{what}"], "users": ["agent"], "parameters": [{"name": "what", "pattern": "[a-z]+"}]}
        },
        "secrets": {"token": {}, "mine-token": {}, "grafana-oidc": {}, "s3-id": {}, "s3-key": {}, "dns-token": {}, "smtp": {}, "hook": {}}
    })
}

/// With the other backend of secrets, which has no templates of its own, and a secret that two services share.
pub(super) fn with_agenix() -> Value {
    let mut fleet = fleet(&json!({"kind": "nginx"}));
    fleet["hosts"]["box"]["secrets"] = json!({"backend": "agenix"});
    fleet["services"]["app"]["env"] = json!({"TOKEN": {"secret": "token"}});
    fleet["services"]["app"]["secrets"] = json!(["mine-token"]);
    fleet
}

fn come(proxy: &Value) -> Option<Value> {
    let store = tempfile::tempdir().unwrap();
    let fleet = fleet(proxy);
    let (_home, tree) = written(&fleet);
    let found = come_to(&fleet, store.path(), &tree)?;
    Some(found.unwrap_or_else(|error| panic!("{error}"))["box"].clone())
}

#[test]
fn operations_are_scripts_rules_of_sudo_and_a_forced_command() {
    let Some(host) = come(&json!({"kind": "nginx"})) else { return };
    let folder = "plumbline/operations";
    let script = &host["environment"]["etc"][&format!("{folder}/restart-app")];
    assert_eq!(script["mode"], "0755");
    let text = script["text"].as_str().unwrap();
    assert!(
        text.contains(
            "exec /run/current-system/sw/bin/timeout 60 /run/current-system/sw/bin/systemctl restart -- app.service"
        ),
        "{text}"
    );
    assert!(!text.contains("/usr/bin"), "{text}");
    let logs = host["environment"]["etc"][&format!("{folder}/logs-authentik")]["text"].as_str().unwrap();
    assert!(logs.contains("--unit docker-authentik-server.service --unit docker-authentik-worker.service"), "{logs}");
    let sudo = host["security"]["sudo"]["extraConfig"].as_str().unwrap();
    assert!(sudo.contains("agent ALL=(root) NOPASSWD: /etc/plumbline/operations/restart-app \"\"\n"), "{sudo}");
    assert!(sudo.contains("agent ALL=(root) NOPASSWD: /etc/plumbline/operations/look\n"), "{sudo}");
    let sshd = host["services"]["openssh"]["extraConfig"].as_str().unwrap();
    assert!(sshd.contains("Match User agent\n    ForceCommand /etc/plumbline/operations/dispatch-agent\n"), "{sshd}");
    assert!(sshd.ends_with("Match all\n"), "{sshd}");
    let tools: Value = serde_json::from_str(
        host["environment"]["etc"][&format!("{folder}/tools-agent.json")]["text"].as_str().unwrap(),
    )
    .unwrap();
    assert_eq!(tools["tools"].as_array().unwrap().len(), 3);
}

#[test]
fn a_service_has_a_login_of_its_own() {
    let Some(host) = come(&json!({"kind": "nginx"})) else { return };
    let git = &host["users"]["users"]["git"];
    assert_eq!(
        (&git["isSystemUser"], &git["home"], &git["shell"]),
        (&json!(true), &json!("/home/git"), &json!("/bin/sh"))
    );
    let sshd = host["services"]["openssh"]["extraConfig"].as_str().unwrap();
    let section = sshd.split("Match User git\n").nth(1).unwrap().split("Match").next().unwrap();
    for line in [
        "AuthorizedKeysCommand /run/current-system/sw/bin/keys %f",
        "AuthorizedKeysCommandUser nobody",
        "AuthorizedKeysFile none",
        "ForceCommand /run/current-system/sw/bin/door",
        "PermitTTY no",
    ] {
        assert!(section.lines().any(|own| own.trim() == line), "{line}: {section}");
    }
}

#[test]
fn agents_are_modules_and_every_line_of_a_container_names_its_service() {
    let Some(host) = come(&json!({"kind": "nginx"})) else { return };
    let services = &host["services"];
    assert_eq!(services["cadvisor"]["listenAddress"], "10.1.0.1");
    assert_eq!(services["cadvisor"]["port"], 8080);
    assert_eq!(services["alloy"]["extraFlags"][0], "--server.http.listen-addr=10.1.0.1:12345");
    let config = host["environment"]["etc"]["alloy/config.alloy"]["text"].as_str().unwrap();
    let rule = config
        .find("regex         = \"docker-authentik-server\\\\.service|docker-authentik-worker\\\\.service\"")
        .unwrap();
    assert!(config[rule..].contains("replacement   = \"authentik\""), "{config}");
    // Only projects of Compose write into the engine's own logs.
    assert!(config.contains("action        = \"keep\""), "{config}");
    assert_eq!(host["systemd"]["services"]["alloy"]["serviceConfig"]["SupplementaryGroups"], json!(["docker"]));
    assert_eq!(services["zabbixAgent"]["server"], "127.0.0.1,10.1.0.1,192.0.2.1");
    assert_eq!(services["zabbixAgent"]["settings"], json!({"Hostname": "box", "ServerActive": "10.1.0.1:10051"}));
}

#[test]
fn zabbix_has_its_tables_and_its_interface() {
    let Some(host) = come(&json!({"kind": "nginx"})) else { return };
    let server = &host["services"]["zabbixServer"];
    assert_eq!(server["database"]["createLocally"], false);
    assert_eq!(server["listen"], json!({"ip": "10.1.0.1", "port": 10051}));
    let start = host["systemd"]["services"]["zabbix-server"]["preStart"].as_str().unwrap();
    assert!(
        start.starts_with("export PGHOST=/run/postgresql PGPORT=5432 PGDATABASE=zabbix PGUSER=zabbix\n"),
        "{start}"
    );
    assert!(start.contains("-f \"/stub/zabbix/share/zabbix/database/postgresql/schema.sql\""), "{start}");
    let web = &host["services"]["zabbixWeb"];
    assert_eq!(web["httpd"]["virtualHost"]["listen"], json!([{"ip": "127.0.0.1", "port": 8090}]));
    assert_eq!(web["server"], json!({"address": "10.1.0.1", "port": 10051}));
    assert_eq!(web["hostname"], "zabbix.parity.net");
}

#[test]
fn alerts_reach_people_and_no_address_of_a_webhook_is_in_the_store() {
    let Some(host) = come(&json!({"kind": "nginx"})) else { return };
    let prometheus = &host["services"]["prometheus"];
    assert_eq!(prometheus["alertmanagers"][0]["static_configs"][0]["targets"], json!(["127.0.0.1:9093"]));
    let manager = &prometheus["alertmanager"];
    assert_eq!((&manager["port"], &manager["listenAddress"]), (&json!(9093), &json!("127.0.0.1")));
    let receiver = &manager["configuration"]["receivers"][0];
    assert_eq!(receiver["email_configs"][0]["to"], "ann@parity.net");
    let hook = json!([{"send_resolved": true, "url_file": "/run/credentials/alertmanager.service/webhook"}]);
    assert_eq!(receiver["webhook_configs"], hook);
    let credentials = &host["systemd"]["services"]["alertmanager"]["serviceConfig"]["LoadCredential"];
    assert_eq!(credentials, &json!(["smtp:/run/secrets/smtp", "webhook:/run/secrets/hook"]));
    assert!(host["sops"]["secrets"]["smtp"].get("owner").is_none(), "it has a user of the moment");
}

#[test]
fn a_compose_file_of_the_user_is_one_unit() {
    let Some(host) = come(&json!({"kind": "nginx"})) else { return };
    let unit = &host["systemd"]["services"]["project"];
    assert_eq!(unit["requires"], json!(["docker.service"]));
    let start = unit["serviceConfig"]["ExecStart"].as_str().unwrap();
    assert!(
        start.starts_with(
            "/stub/docker-compose/bin/docker-compose --project-name project --project-directory /opt/project --file /"
        ),
        "{start}"
    );
    assert!(start.ends_with("-project.yaml up --detach --remove-orphans --wait"), "{start}");
    let template = &host["sops"]["templates"]["project.env"];
    assert_eq!(template["content"], "A='b c'\nTOKEN='<placeholder of token>'\n");
    let link = &host["systemd"]["tmpfiles"]["settings"]["10-plumbline"]["/opt/project/.env"]["L+"]["argument"];
    assert_eq!(link, "/run/secrets/rendered/project.env");
    let mut podman = fleet(&json!({"kind": "nginx"}));
    podman["hosts"]["box"]["containers"]["engine"] = json!("podman");
    let tree = tree_of(&podman, "box");
    let text = tree["hosts/box/services/project.nix"].file.content.as_deref().unwrap();
    assert!(text.contains("DOCKER_HOST=unix:///run/podman/podman.sock"), "{text}");
}

#[test]
fn a_unit_of_a_user_runs_for_that_user_alone() {
    let Some(host) = come(&json!({"kind": "nginx"})) else { return };
    let unit = &host["systemd"]["user"]["services"]["mine"];
    assert_eq!(unit["unitConfig"]["ConditionUser"], "ann");
    assert_eq!(unit["serviceConfig"]["EnvironmentFile"], json!(["/run/secrets/rendered/mine.env"]));
    assert!(host["systemd"]["services"].get("mine").is_none(), "the system has no such unit");
    assert_eq!(host["systemd"]["user"]["timers"]["mine"]["unitConfig"]["ConditionUser"], "ann");
    let template = &host["sops"]["templates"]["mine.env"];
    assert_eq!((&template["owner"], template.get("restartUnits")), (&json!("ann"), None));
}

#[test]
fn single_sign_on_is_told_to_both_sides() {
    let Some(host) = come(&json!({"kind": "nginx"})) else { return };
    let unit = &host["systemd"]["services"]["grafana"]["serviceConfig"];
    let clear = unit["Environment"].as_array().unwrap();
    let url = "GF_AUTH_GENERIC_OAUTH_TOKEN_URL=https://login.parity.net/application/o/token/";
    assert!(clear.contains(&json!(url)), "{clear:?}");
    let env = host["sops"]["templates"]["grafana.env"]["content"].as_str().unwrap();
    assert_eq!(env, "GF_AUTH_GENERIC_OAUTH_CLIENT_SECRET=\"<placeholder of grafana-oidc>\"\n");
    let blueprint = &host["sops"]["templates"]["authentik-grafana.yaml"];
    let text = blueprint["content"].as_str().unwrap();
    assert!(text.contains("https://grafana.parity.net/login/generic_oauth"), "{text}");
    assert!(text.contains("client_secret: \"<placeholder of grafana-oidc>\""), "{text}");
    assert_eq!(
        blueprint["restartUnits"],
        json!(["docker-authentik-server.service", "docker-authentik-worker.service"])
    );
    let volumes = &host["virtualisation"]["oci-containers"]["containers"]["authentik-server"]["volumes"];
    let mount = "/run/secrets/rendered/authentik-grafana.yaml:/blueprints/plumbline/authentik-grafana.yaml:ro";
    assert!(volumes.as_array().unwrap().contains(&json!(mount)), "{volumes}");
}

#[test]
fn loki_gets_the_keys_of_its_bucket_from_its_environment() {
    let Some(host) = come(&json!({"kind": "nginx"})) else { return };
    let loki = &host["services"]["loki"];
    assert_eq!(loki["configuration"]["common"]["storage"]["s3"]["secret_access_key"], "${LOKI_S3_KEY}");
    assert_eq!(loki["extraFlags"], json!(["-config.expand-env=true"]));
    let env = host["sops"]["templates"]["loki.bucket.env"]["content"].as_str().unwrap();
    assert!(env.contains("LOKI_S3_ID=\"<placeholder of s3-id>\"\n"), "{env}");
}

#[test]
fn caddy_and_traefik_serve_certificates_that_they_do_not_get_themselves() {
    let Some(host) = come(&json!({"kind": "caddy"})) else { return };
    let site = &host["services"]["caddy"]["virtualHosts"]["https://login.parity.net"];
    assert_eq!(site["useACMEHost"], "login.parity.net");
    let certificate = &host["security"]["acme"]["certs"]["login.parity.net"];
    assert_eq!((&certificate["group"], &certificate["dnsProvider"]), (&json!("caddy"), &json!("cloudflare")));
    assert_eq!(certificate["credentialFiles"]["CLOUDFLARE_DNS_API_TOKEN_FILE"], "/run/secrets/dns-token");
    assert!(host["services"]["caddy"].get("package").is_none(), "the stock build does");
    let host = come(&json!({"kind": "traefik"})).unwrap();
    let certificates = host["services"]["traefik"]["dynamicConfigOptions"]["tls"]["certificates"].as_array().unwrap();
    let one = certificates.iter().find(|one| one["certFile"].as_str().unwrap().ends_with("-grafana.parity.net.pem"));
    assert_eq!(one.unwrap()["keyFile"], "/run/secrets/tls-box-grafana-parity-net");
    assert_eq!(host["sops"]["secrets"]["tls-box-grafana-parity-net"]["group"], "traefik");
}

#[test]
fn the_pooler_runs_as_the_server_s_owner_and_no_password_is_anywhere() {
    let mut fleet = fleet(&json!({"kind": "nginx"}));
    fleet["databases"]["main"] =
        json!({"host": "box", "bind": ["lan"], "pgbouncer": {"size": 3, "settings": {"server_idle_timeout": "60"}}});
    fleet["services"]["web"]["databases"] =
        json!([{"name": "web-x", "owner": "web", "password": {"secret": "token"}, "pool": {"mode": "session"}}]);
    let store = tempfile::tempdir().unwrap();
    let (_home, tree) = written(&fleet);
    let Some(found) = come_to(&fleet, store.path(), &tree) else { return };
    let host = found.unwrap_or_else(|error| panic!("{error}"))["box"].clone();
    let pooler = &host["services"]["pgbouncer"];
    assert_eq!(pooler["enable"], true);
    let settings = &pooler["settings"]["pgbouncer"];
    for (name, value) in [
        ("listen_port", json!(6432)),
        ("default_pool_size", json!(3)),
        ("server_idle_timeout", json!(60)),
        ("auth_type", json!("hba")),
        ("auth_user", json!("postgres")),
        ("auth_hba_file", json!("/etc/pgbouncer/pg_hba.conf")),
        ("listen_addr", json!("127.0.0.1,::1,10.1.0.1")),
    ] {
        assert_eq!(settings[name], value, "{name}: {settings}");
    }
    assert_eq!(
        pooler["settings"]["databases"]["web-x"],
        "host='/run/postgresql' port='5432' dbname='web-x' pool_mode='session'"
    );
    // The server knows its owner by the socket.
    let unit = &host["systemd"]["services"]["pgbouncer"]["serviceConfig"];
    assert_eq!((&unit["User"], &unit["Group"]), (&json!("postgres"), &json!("postgres")));
    let etc = &host["environment"]["etc"];
    assert_eq!(etc["pgbouncer/userlist.txt"]["text"], "\"postgres\" \"\"\n");
    let rules = etc["pgbouncer/pg_hba.conf"]["text"].as_str().unwrap();
    assert!(rules.contains("web-x") && !rules.contains("trust") && !rules.contains("0.0.0.0"), "{rules}");
    let output = cfg_render(&["check", "--output", "json"], &fleet.to_string());
    assert!(!String::from_utf8_lossy(&output.stdout).contains("not-rendered-yet"), "PgBouncer is rendered");
}

#[test]
fn caddy_gets_its_passwords_at_each_start_and_reload() {
    let mut fleet = fleet(&json!({"kind": "caddy"}));
    fleet["services"]["grafana"]["proxy"][0]["auth"] = json!({"basic": {"users": {"secret": "token"}}});
    let store = tempfile::tempdir().unwrap();
    let (_home, tree) = written(&fleet);
    let Some(found) = come_to(&fleet, store.path(), &tree) else { return };
    let host = found.unwrap_or_else(|error| panic!("{error}"))["box"].clone();
    let site = host["services"]["caddy"]["virtualHosts"]["https://grafana.parity.net"]["extraConfig"].as_str().unwrap();
    assert!(site.contains("basic_auth bcrypt grafana {\n\t\timport /run/plumbline-caddy/token/*"), "{site}");
    let unit = &host["systemd"]["services"]["caddy"];
    let step = "+/etc/plumbline/caddy-passwords token";
    assert_eq!(unit["serviceConfig"]["ExecStartPre"], json!([step]));
    let reload = unit["serviceConfig"]["ExecReload"].as_array().unwrap();
    assert_eq!((&reload[0], &reload[1]), (&json!(""), &json!(step)));
    assert!(
        reload[2]
            .as_str()
            .unwrap()
            .ends_with("/stub/caddy/bin/caddy reload --config /etc/caddy/caddy_config --adapter caddyfile --force")
    );
    let script = &host["environment"]["etc"]["plumbline/caddy-passwords"];
    assert_eq!(script["mode"], "0755");
    assert!(!script["text"].as_str().unwrap().contains("/usr/"), "NixOS has no /usr");
    let secret = &host["sops"]["secrets"]["token"];
    assert_eq!(secret["group"], "caddy");
    assert_eq!(secret["reloadUnits"], json!(["caddy.service"]), "a new password is known at once");
    let output = cfg_render(&["check", "--output", "json"], &fleet.to_string());
    assert!(!String::from_utf8_lossy(&output.stdout).contains("not-rendered-yet"), "it is rendered");
}

#[test]
fn tcp_and_udp_are_passed_on() {
    let Some(host) = come(&json!({"kind": "nginx"})) else { return };
    let socket = &host["systemd"]["sockets"]["plumbline-forward-p2p-p2p"];
    assert_eq!(socket["listenStreams"], json!(["8776"]));
    let udp = &host["systemd"]["services"]["plumbline-forward-p2p-p2p-udp"]["serviceConfig"]["ExecStart"];
    assert_eq!(udp, "/stub/socat/bin/socat -T 120 UDP6-LISTEN:8776,ipv6only=0,fork,reuseaddr UDP4:10.1.0.2:8776");
    let rules = host["networking"]["firewall"]["extraInputRules"].as_str().unwrap();
    assert!(rules.contains("tcp dport 8776 accept") && rules.contains("udp dport 8776 accept"), "{rules}");
}

#[test]
fn a_host_may_fetch_its_flake_itself() {
    let mut fleet = fleet(&json!({"kind": "nginx"}));
    fleet["hosts"]["box"]["nixos"] = json!({"remote": "git+https://git.parity.net/fleet?ref=main"});
    let desired = document(&["host", "--host", "box"], &fleet);
    let item = desired["items"].as_array().unwrap().iter().find_map(|item| item.get("nixos")).unwrap();
    assert_eq!(item["flake"], "git+https://git.parity.net/fleet?ref=main");
    assert!(item.get("files").is_none(), "nobody sends what the host fetches");
    let text = tree_of(&fleet, "box")["hosts/box/machine.nix"].file.content.clone().unwrap();
    assert!(text.contains("flake = \"git+https://git.parity.net/fleet?ref=main#box\";"), "{text}");
    assert!(text.contains("upgrade = false;") && !text.contains("--override-input"), "{text}");
}

#[test]
fn a_host_may_bring_itself_to_its_document() {
    let mut fleet = fleet(&json!({"kind": "nginx"}));
    fleet["hosts"]["box"]["nixos"] = json!({"pull": "1h"});
    let store = tempfile::tempdir().unwrap();
    let (_home, tree) = written(&fleet);
    let Some(found) = come_to(&fleet, store.path(), &tree) else { return };
    let host = found.unwrap_or_else(|error| panic!("{error}"))["box"].clone();
    assert_eq!(host["system"]["autoUpgrade"], json!({"enable": false}), "two would switch the system back and forth");
    let unit = &host["systemd"]["services"]["plumbline-pull-fleet"];
    // The places where `host-provision pull` puts the programs and the document.
    assert_eq!(
        unit["serviceConfig"]["ExecStart"],
        "/var/lib/plumbline/pull/lib/host-provision apply --target local --output json /var/lib/plumbline/pull/fleet.json"
    );
    assert_eq!((&unit["restartIfChanged"], &unit["unitConfig"]["X-StopOnRemoval"]), (&json!(false), &json!(false)));
    let timer = &host["systemd"]["timers"]["plumbline-pull-fleet"]["timerConfig"];
    assert_eq!((&timer["OnUnitActiveSec"], &timer["RandomizedDelaySec"]), (&json!(3600), &json!(360)));
}

#[test]
fn nothing_of_it_is_called_missing() {
    let output = cfg_render(&["check", "--output", "json"], &fleet(&json!({"kind": "nginx"})).to_string());
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let missing: Vec<_> =
        found["findings"].as_array().unwrap().iter().filter(|one| one["code"] == "not-rendered-yet").collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

/// On NixOS the rules of several modules come in no order that one could rely on; what turns away comes first, what the user
/// adds last.
#[test]
fn what_turns_away_comes_before_what_lets_in() {
    let store = tempfile::tempdir().unwrap();
    let mut fleet = fleet(&json!({"kind": "nginx"}));
    fleet["networks"]["tail"] = json!({"tailscale": {}});
    fleet["hosts"]["box"]["addresses"]["tail"] = json!(["100.64.0.1"]);
    fleet["hosts"]["box"]["firewall"] = json!({"new_connections": {"rate": "10r/s", "burst": 20}, "block": {"abuse": ["198.51.100.0/24", "2001:db8:bad::/48"]}});
    fleet["hosts"]["box"]["extra"] = json!({"nftables": ["tcp dport 7 drop"]});
    let (_home, tree) = written(&fleet);
    let Some(found) = come_to(&fleet, store.path(), &tree) else { return };
    let host = found.unwrap_or_else(|error| panic!("{error}"))["box"].clone();
    let rules = host["networking"]["firewall"]["extraInputRules"].as_str().unwrap();
    let lines: Vec<&str> = rules.lines().filter(|line| !line.is_empty()).collect();
    assert!(
        lines[0].ends_with("drop comment \"tail: forged address\"") && lines[0].contains("100.64.0.0/10"),
        "{rules}"
    );
    assert!(lines[2].contains("accept") && lines.last() == Some(&"tcp dport 7 drop"), "{rules}");

    let limits = &host["networking"]["nftables"]["tables"]["plumbline_limits"];
    assert_eq!(limits["family"], "inet");
    let text = limits["content"].as_str().unwrap();
    assert!(text.contains("limit rate over 10/second burst 20 packets"), "{text}");
    let unit = &host["systemd"]["services"]["plumbline-block-lists"];
    assert_eq!(unit["reloadIfChanged"], true, "a start anew would empty what was added here");
    assert_eq!(unit["serviceConfig"]["ExecReload"], "/stub/nftables/bin/nft -f /etc/plumbline/block-lists.nft");
    assert!(
        host["environment"]["etc"]["plumbline/block-lists.nft"]["source"].as_str().unwrap().ends_with("-block-lists")
    );
    let Some(nft) = peer("nft", "apt-get install nftables") else { return };
    if !is_root() {
        eprintln!("skipped: nft needs a network namespace (run as root)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let limits = folder.path().join("limits.nft");
    std::fs::write(&limits, format!("table inet plumbline_limits {{\n{text}}}\n")).unwrap();
    let lists = folder.path().join("lists.nft");
    let module = std::fs::read_to_string(tree.join("hosts/box/refused.nix")).unwrap();
    let text = module.split("\"block-lists\" ''\n").nth(1).unwrap().split("'';").next().unwrap();
    std::fs::write(&lists, text).unwrap();
    let script = format!(
        "set -e; {0} -f {1}; {0} -f {2}; {0} add element inet plumbline_lists block_abuse_4 '{{ 192.0.2.7 }}'; {0} -f {2}; {0} list ruleset",
        nft.display(),
        limits.display(),
        lists.display()
    );
    let (good, said) = say(std::process::Command::new("unshare").args(["-n", "sh", "-c", &script]));
    assert!(good && said.contains("192.0.2.7") && said.contains("198.51.100.0/24"), "what was added stays: {said}");
}

#[test]
fn an_overlay_has_its_server_its_tags_and_its_routes() {
    let store = tempfile::tempdir().unwrap();
    let mut fleet = fleet(&json!({"kind": "nginx"}));
    fleet["networks"]["tail"] = json!({"tailscale": {"login_server": "https://head.parity.net", "auth_key": {"secret": "tail-key"},
        "tags": ["tag:server"], "routes": {"box": ["10.1.0.0/24"]}}});
    fleet["secrets"]["tail-key"] = json!({});
    for (host, address) in [("box", "100.64.0.1"), ("back", "100.64.0.2")] {
        fleet["hosts"][host]["addresses"]["tail"] = json!([address]);
    }
    let (_home, tree) = written(&fleet);
    let Some(found) = come_to(&fleet, store.path(), &tree) else { return };
    let all = found.unwrap_or_else(|error| panic!("{error}"));
    let tailscale = &all["box"]["services"]["tailscale"];
    assert_eq!(
        tailscale["extraUpFlags"],
        json!(["--login-server=https://head.parity.net", "--advertise-tags=tag:server"])
    );
    assert_eq!(tailscale["extraSetFlags"], json!(["--accept-dns=false", "--advertise-routes=10.1.0.0/24"]));
    assert_eq!(
        (&tailscale["useRoutingFeatures"], &tailscale["authKeyFile"]),
        (&json!("server"), &json!("/run/secrets/tail-key"))
    );
    let other = &all["back"]["services"]["tailscale"];
    assert_eq!((&other["extraSetFlags"], &other["useRoutingFeatures"]), (&json!(["--accept-dns=false"]), &Value::Null));
    for host in ["box", "back"] {
        assert_eq!(all[host]["boot"]["kernel"]["sysctl"]["net.ipv6.ip_nonlocal_bind"], 1);
    }
}

/// sshd runs the forced command through the login shell, and that of a system user says no.
#[test]
fn a_system_user_of_operations_has_a_shell() {
    let store = tempfile::tempdir().unwrap();
    let mut fleet = fleet(&json!({"kind": "nginx"}));
    fleet["hosts"]["box"]["users"]["agent"]["system"] = json!(true);
    fleet["hosts"]["box"]["users"]["bot"] = json!({"system": true});
    let (_home, tree) = written(&fleet);
    let Some(found) = come_to(&fleet, store.path(), &tree) else { return };
    let users = found.unwrap_or_else(|error| panic!("{error}"))["box"]["users"]["users"].clone();
    assert_eq!(users["agent"]["shell"], "/bin/sh");
    assert_eq!(users["bot"]["shell"], Value::Null, "others keep the one that refuses");
    fleet["hosts"]["box"]["users"]["agent"]["shell"] = json!("/run/current-system/sw/bin/bash");
    let (_home, tree) = written(&fleet);
    let users = come_to(&fleet, store.path(), &tree).unwrap().unwrap()["box"]["users"]["users"].clone();
    assert_eq!(users["agent"]["shell"], "/run/current-system/sw/bin/bash");
}

/// A service on two hosts behind an edge elsewhere: each request goes to one of them, and one that is gone is passed over.
#[test]
fn each_proxy_shares_requests_among_hosts() {
    let store = tempfile::tempdir().unwrap();
    let back = |address: &str| json!({"os": "nixos-25.11", "addresses": {"lan": [address]}, "ssh": {"keys": [KEY], "from": ["lan"]}});
    let fleet = |kind: &str| {
        json!({
            "schema": "fleet/v1", "name": "many", "domain": "many.net", "email": "ops@many.net", "networks": {"lan": {"cidrs": ["10.9.0.0/24"]}},
            "hosts": {
                "web": {"os": "nixos-25.11", "addresses": {"public": ["192.0.2.1"], "lan": ["10.9.0.1"]}, "ssh": {"keys": [KEY]}, "proxy": {"kind": kind}},
                "one": back("10.9.0.2"), "two": back("10.9.0.3"),
            },
            "services": {"app": {"host": ["one", "two"], "run": {"systemd": {"exec": ["/run/current-system/sw/bin/true"]}},
                "ports": {"http": {"port": 8000, "bind": "lan"}}, "backup": {"none": "a test"}, "proxy": [{"names": ["app.many.net"], "via": "web"}]}}
        })
    };
    for kind in ["nginx", "caddy", "traefik"] {
        let fleet = fleet(kind);
        let found = cfg_render(&["check", "--output", "json"], &fleet.to_string());
        let found = String::from_utf8_lossy(&found.stdout).into_owned();
        assert!(!found.contains("not-rendered-yet"), "{found}");
        let (_home, tree) = written(&fleet);
        let Some(found) = come_to(&fleet, store.path(), &tree) else { return };
        let all = found.unwrap_or_else(|error| panic!("{kind}: {error}"));
        let services = &all["web"]["services"];
        match kind {
            "nginx" => {
                let target =
                    services["nginx"]["virtualHosts"]["app.many.net"]["locations"]["/"]["proxyPass"].as_str().unwrap();
                let upstreams = services["nginx"]["upstreams"].as_object();
                let text = services["nginx"]["commonHttpConfig"].as_str().unwrap();
                let name = target.strip_prefix("http://").unwrap();
                assert!(upstreams.is_none() && text.contains(&format!("upstream {name} {{")), "{target}: {text}");
                for server in ["server 10.9.0.2:8000", "server 10.9.0.3:8000"] {
                    assert!(text.contains(server), "{text}");
                }
            }
            "caddy" => {
                let site = services["caddy"]["virtualHosts"]["https://app.many.net"]["extraConfig"].as_str().unwrap();
                assert!(site.contains("reverse_proxy http://10.9.0.2:8000 http://10.9.0.3:8000 {"), "{site}");
                assert!(site.contains("lb_policy") && site.contains("fail_duration"), "{site}");
            }
            _ => {
                let balancer =
                    &services["traefik"]["dynamicConfigOptions"]["http"]["services"]["app-many-net-0"]["loadBalancer"];
                assert_eq!(
                    balancer["servers"],
                    json!([{"url": "http://10.9.0.2:8000"}, {"url": "http://10.9.0.3:8000"}])
                );
            }
        }
        for host in ["one", "two"] {
            let rules = all[host]["networking"]["firewall"]["extraInputRules"].as_str().unwrap();
            assert!(
                rules.contains("ip saddr 10.9.0.1 tcp dport 8000 accept comment \"app from web\""),
                "{host}: {rules}"
            );
        }
    }
}
