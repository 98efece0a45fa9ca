//! The five set-ups, as far as one machine can play them: the checks come from `cfg-render health` on the fleets of this
//! repository, and are aimed at small servers that behave as the services would. systemd is played by a script.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::server::{answer, free_port, head, http, serve};
use crate::tool::{Output, command, run};

/// The renderer, which a build of the workspace puts beside us.
fn renderer() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_BIN_EXE_health-probe")).with_file_name("cfg-render");
    if path.is_file() {
        return Some(path);
    }
    assert!(std::env::var_os("PLUMBLINE_REQUIRE_PEERS").is_none_or(|value| value != "1"), "missing: cfg-render");
    eprintln!("skipped: cfg-render (install: cargo build -p cfg-render)");
    None
}

/// What `cfg-render health` derives from a fleet.
fn derived(renderer: &Path, seed: &str, from: &str, with: &[&str]) -> Value {
    let fleet = format!("{}/../../pipelines/fleets/seed-{seed}.json", env!("CARGO_MANIFEST_DIR"));
    let mut command = std::process::Command::new(renderer);
    command.args(["health", "--quiet", "--from", from]);
    for host in with {
        command.args(["--with", host]);
    }
    let output = command.arg(fleet).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A place where the services of a fleet are played.
struct Town {
    directory: tempfile::TempDir,
    /// PEM of the authority that signed the certificate of every edge.
    ca: String,
    /// Where each service listens, and what else is asked for.
    ports: HashMap<String, u16>,
    failed_units: Vec<&'static str>,
}

/// A script that says of each unit what systemd would.
const SYSTEMCTL: &str = r#"#!/bin/sh
seen=""
for word; do
  [ "$word" = -- ] && { seen=yes; continue; }
  [ -n "$seen" ] || continue
  echo "Id=$word"; echo LoadState=loaded; echo NRestarts=0
  case " $FAILED_UNITS " in
    *" $word "*) printf 'Type=simple\nActiveState=failed\nSubState=failed\nResult=exit-code\nExecMainStatus=1\n\n' ;;
    *) printf 'Type=simple\nActiveState=active\nSubState=running\nResult=success\nExecMainStatus=0\n\n' ;;
  esac
done
"#;

impl Town {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let systemctl = directory.path().join("systemctl");
        std::fs::write(&systemctl, SYSTEMCTL).unwrap();
        std::fs::set_permissions(&systemctl, std::fs::Permissions::from_mode(0o755)).unwrap();
        let ssh = serve(|mut stream| {
            let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u7\r\n");
            let _ = stream.read(&mut [0; 64]);
        });
        let ports = HashMap::from([("ssh".to_owned(), ssh), ("closed".to_owned(), free_port())]);
        Self { directory, ca: String::new(), ports, failed_units: Vec::new() }
    }

    fn put(&mut self, name: &str, port: u16) {
        self.ports.insert(name.to_owned(), port);
    }

    /// An edge that speaks TLS for these names and answers as `backend` says for a name.
    fn edge(&mut self, name: &str, names: &[&str], backend: impl Fn(&str) -> String + Send + Sync + 'static) {
        let authority = crate::edge::authority_of("test root");
        self.ca.push_str(&authority.0);
        let port = crate::edge::server_of(&authority.1, names, backend);
        self.put(name, port);
    }

    /// Aims a check at where its service is played. What no port was put for is refused.
    fn aim(&self, check: &mut Value) {
        let id = check["id"].as_str().unwrap().to_owned();
        let is_closed = id.contains(".closed.");
        let name = if is_closed {
            "closed".to_owned()
        } else if check["ssh"].is_object() {
            "ssh".to_owned()
        } else if check["http"]["connect"].is_string() {
            let at = check["http"]["connect"].as_str().unwrap().split(':').next().unwrap().to_owned();
            format!("edge {at}")
        } else {
            // `host.service.port`, or `cluster.postgres`.
            let parts: Vec<&str> = id.split('.').collect();
            parts[parts.len().saturating_sub(2)].to_owned()
        };
        let address = format!("127.0.0.1:{}", self.ports.get(&name).copied().unwrap_or(1));
        if check["http"]["connect"].is_string() {
            check["http"]["connect"] = json!(address);
        } else if let Some(url) = check["http"]["url"].as_str() {
            let path = url.splitn(4, '/').nth(3).unwrap_or_default();
            check["http"]["url"] = json!(format!("http://{address}/{path}"));
        }
        if let Some(url) = check["websocket"]["url"].as_str() {
            check["websocket"]["url"] =
                json!(format!("ws://{address}/{}", url.splitn(4, '/').nth(3).unwrap_or_default()));
        }
        for kind in ["tcp", "tls", "postgres", "redis", "ssh", "mail"] {
            if check[kind]["address"].is_string() {
                check[kind]["address"] = json!(address);
            }
        }
        if check["disk"].is_object() {
            // How full this machine is says nothing about the fleet.
            check["disk"]["warn_percent"] = json!(100);
            check["disk"]["fail_percent"] = json!(100);
        }
        // A check of nothing else is left without the empty objects that looking for it made.
        check.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    }

    /// Runs the checks of a vantage, with the reports of others.
    fn look(&self, mut checks: Value, with: &[PathBuf]) -> Output {
        checks["checks"].as_array_mut().unwrap().iter_mut().for_each(|check| self.aim(check));
        if !self.ca.is_empty() {
            checks["defaults"]["ca"] = json!(self.ca);
        }
        let path = std::env::var("PATH").unwrap_or_default();
        let mut args = vec!["run".to_owned(), "--no-second-look".into(), "--timeout".into(), "10s".into()];
        for report in with {
            args.extend(["--with".to_owned(), report.display().to_string()]);
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut command = command(&args);
        command.env("PATH", format!("{}:{path}", self.directory.path().display()));
        command.env("FAILED_UNITS", self.failed_units.join(" "));
        crate::tool::output_of(command, &checks.to_string())
    }

    /// Looks from every host and then from the controller, as the pipelines do.
    fn look_from_everywhere(&self, renderer: &Path, seed: &str, hosts: &[&str]) -> Output {
        let reports: Vec<PathBuf> = hosts
            .iter()
            .map(|host| {
                let output = self.look(derived(renderer, seed, host, &[]), &[]);
                assert!([0, 1].contains(&output.code), "{host}: {}", output.stderr);
                let path = self.directory.path().join(format!("{host}.json"));
                std::fs::write(&path, &output.stdout).unwrap();
                path
            })
            .collect();
        let output = self.look(derived(renderer, seed, "controller", hosts), &reports);
        assert!([0, 1].contains(&output.code), "{}", output.stderr);
        output
    }
}

fn roots(output: &Output) -> Vec<String> {
    let report = output.json();
    report["root_causes"].as_array().unwrap().iter().map(|root| root["id"].as_str().unwrap().to_owned()).collect()
}

fn state(output: &Output, id: &str) -> String {
    output.check(id)["state"].as_str().unwrap().to_owned()
}

/// What is down in a set-up 004.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Down {
    Nothing,
    Postgres,
    Authentik,
    Traefik,
}

const APPS: [&str; 6] = ["decidim", "outline", "nextcloud", "espocrm", "leantime", "onlyoffice"];

/// Set-up 004: three servers, a managed PostgreSQL, single sign-on.
fn three_servers(down: Down) -> Town {
    let mut town = Town::new();
    let database = down != Down::Postgres;
    if database {
        // The server asks for a password, which is all that a stranger learns.
        let port = serve(|mut stream| {
            let _ = stream.read(&mut [0; 256]);
            let _ = stream.write_all(b"R\0\0\0\x08\0\0\0\x03");
        });
        town.put("pg", port);
    }
    let page = move |service: &str| -> String {
        match (service, database) {
            ("grafana", true) => answer("200 OK", r#"{"database":"ok"}"#),
            ("grafana", false) => answer("503 Service Unavailable", r#"{"database":"failing"}"#)
                .replace("Connection", "Content-Type: application/json\r\nConnection"),
            ("loki", _) => answer("200 OK", "ready\n"),
            ("prometheus" | "node" | "cadvisor" | "alloy", _) => answer("200 OK", "node_exporter_build_info 1\n"),
            ("onlyoffice", true) => answer("200 OK", "true"),
            ("authentik", true) if down == Down::Authentik => answer("502 Bad Gateway", ""),
            (_, true) => answer("200 OK", "fine"),
            (_, false) => answer("500 Internal Server Error", "no database"),
        }
    };
    for service in [
        "grafana",
        "loki",
        "prometheus",
        "node",
        "cadvisor",
        "alloy",
        "n8n",
        "wobbler",
        "zabbix",
        "zabbix-server",
        "authentik",
    ]
    .iter()
    .chain(&APPS)
    {
        if *service != "authentik" || down != Down::Authentik {
            town.put(service, http(page(service)));
        }
    }
    town.put("website", http(answer("200 OK", "hello")));
    let edges: [(&str, &[(&str, &str)]); 3] = [
        (
            "edge 203.0.113.3",
            &[
                ("voting.example.org", "decidim"),
                ("wiki.example.org", "outline"),
                ("cloud.example.org", "nextcloud"),
                ("espo.example.org", "espocrm"),
                ("leantime.example.org", "leantime"),
                ("onlyoffice.example.org", "onlyoffice"),
            ],
        ),
        (
            "edge 203.0.113.5",
            &[("grafana.example.cc", "grafana"), ("zabbix.example.cc", "zabbix"), ("wobbler.example.cc", "wobbler")],
        ),
        ("edge 203.0.113.2", &[("gateway.example.org", "authentik")]),
    ];
    for (edge, sites) in edges {
        if edge == "edge 203.0.113.3" && down == Down::Traefik {
            continue;
        }
        let names: Vec<&str> = sites.iter().map(|(name, _)| *name).collect();
        let services: HashMap<String, String> =
            sites.iter().map(|(name, service)| ((*name).into(), (*service).into())).collect();
        town.edge(edge, &names, move |name| {
            services.get(name).map_or_else(|| answer("404 Not Found", ""), |service| page(service))
        });
    }
    if down == Down::Traefik {
        // One server's proxy; the unit has one name on all three, so only this host is asked with it.
        town.failed_units.push("traefik.service");
    }
    town
}

const HOSTS: [&str; 3] = ["tools-prod", "management", "authentik-prod"];

#[test]
fn seed_004_all_is_well() {
    let Some(renderer) = renderer() else { return };
    let output = three_servers(Down::Nothing).look_from_everywhere(&renderer, "004", &HOSTS);
    assert_eq!(output.json()["status"], "up", "{}", output.stdout);
}

#[test]
fn seed_004_postgresql_down_is_one_root_cause_for_all_apps() {
    let Some(renderer) = renderer() else { return };
    let output = three_servers(Down::Postgres).look_from_everywhere(&renderer, "004", &HOSTS);
    assert_eq!(roots(&output), ["pg.postgres"], "{}", output.stdout);
    assert_eq!(output.code, 1);
    let root = output.json()["root_causes"][0].clone();
    // Three hosts saw it, and it is one thing.
    let seen = output.check("pg.postgres")["vantage"].as_str().unwrap().to_owned();
    assert!(HOSTS.iter().all(|host| seen.contains(host)), "{seen}");
    for app in APPS.iter().chain(&["authentik", "grafana", "zabbix", "wobbler"]) {
        assert_eq!(state(&output, &format!("{app}.https")), "unreachable", "{app}");
        assert!(root["impacts"].as_array().unwrap().contains(&json!(format!("{app}.https"))), "{app}: {root}");
    }
    assert_eq!(state(&output, "tools-prod.proxy"), "up");
    // Grafana says itself what it lacks.
    let evidence = root["evidence"].as_array().unwrap();
    assert!(evidence.iter().any(|part| part.as_str().unwrap().ends_with("database: failing")), "{evidence:?}");
}

#[test]
fn seed_004_authentik_down_stops_logins_and_weakens_apps() {
    let Some(renderer) = renderer() else { return };
    let output = three_servers(Down::Authentik).look_from_everywhere(&renderer, "004", &HOSTS);
    assert_eq!(roots(&output), ["authentik-prod.authentik.check-0"], "{}", output.stdout);
    // Nobody can log in.
    assert_eq!(state(&output, "authentik.https"), "unreachable");
    // The apps that send people there to log in work, without it.
    for app in ["decidim", "outline", "grafana"] {
        assert_eq!(state(&output, &format!("{app}.https")), "degraded", "{app}");
        let message = output.check(&format!("{app}.https"))["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with("works without authentik-prod.authentik"), "{message}");
    }
    for app in ["nextcloud", "espocrm", "leantime", "onlyoffice"] {
        assert_eq!(state(&output, &format!("{app}.https")), "up", "{app}");
    }
}

#[test]
fn seed_004_traefik_down_blocks_names_but_no_services() {
    let Some(renderer) = renderer() else { return };
    let mut town = three_servers(Down::Traefik);
    let mut reports = Vec::new();
    for host in HOSTS {
        // The unit fails on this server only.
        town.failed_units = if host == "tools-prod" { vec!["traefik.service"] } else { Vec::new() };
        let output = town.look(derived(&renderer, "004", host, &[]), &[]);
        let path = town.directory.path().join(format!("{host}.json"));
        std::fs::write(&path, output.stdout).unwrap();
        reports.push(path);
    }
    let output = town.look(derived(&renderer, "004", "controller", &HOSTS), &reports);
    assert_eq!(roots(&output), ["tools-prod.proxy"], "{}", output.stdout);
    for app in APPS {
        assert_eq!(state(&output, &format!("{app}.https")), "unreachable", "{app}");
    }
    assert_eq!(state(&output, "tools-prod.outline.check-0"), "up");
    assert_eq!(state(&output, "tools-prod.decidim.http"), "up");
    assert_eq!(state(&output, "authentik.https"), "up");
    assert_eq!(state(&output, "grafana.https"), "up");
}

/// Set-up 000: base, infrastructure, services and monitoring of one VPS.
fn vps() -> Town {
    let mut town = Town::new();
    let postgres = serve(|mut stream| {
        let _ = stream.read(&mut [0; 256]);
        let _ = stream.write_all(b"R\0\0\0\x08\0\0\0\x03");
    });
    town.put("postgres", postgres);
    for service in ["pds", "knot", "spindle", "spacedust", "slingshot", "lycan", "quickdid", "prometheus", "node"] {
        town.put(service, http(answer("200 OK", r#"{"version":"0.4"}"#)));
    }
    town.put("grafana", http(answer("200 OK", r#"{"database":"ok"}"#)));
    town
}

#[test]
fn seed_000_each_layer_explains_what_stands_on_it() {
    let Some(renderer) = renderer() else { return };
    let checks = derived(&renderer, "000", "snek", &[]);
    let mut town = vps();
    let output = town.look(checks.clone(), &[]);
    assert_eq!(output.json()["status"], "up", "{}", output.stdout);
    // Data: without PostgreSQL no Lycan; the unit is the cause, and not the port that is closed because of it.
    town.failed_units = vec!["postgresql.service", "lycan.service"];
    town.put("postgres", free_port());
    town.put("lycan", free_port());
    let output = town.look(checks.clone(), &[]);
    assert_eq!(roots(&output), ["snek.postgres.unit"], "{}", output.stdout);
    for id in ["snek.postgres.postgres", "snek.lycan.unit", "snek.lycan.http"] {
        assert_eq!(state(&output, id), "unreachable", "{id}");
    }
    assert_eq!(state(&output, "snek.pds.check-0"), "up");
    // Services: Spindle builds what Knot holds. Monitoring: Grafana shows what Prometheus has.
    let mut town = vps();
    town.failed_units = vec!["knot.service", "spindle.service", "prometheus.service", "grafana.service"];
    for service in ["knot", "spindle", "prometheus", "grafana"] {
        town.put(service, free_port());
    }
    let output = town.look(checks, &[]);
    let mut found = roots(&output);
    found.sort();
    assert_eq!(found, ["snek.knot.unit", "snek.prometheus.unit"], "{}", output.stdout);
    assert_eq!(output.check("snek.spindle.http")["blocked_by"], json!(["snek.knot.unit"]));
    assert_eq!(output.check("snek.grafana.check-0")["blocked_by"], json!(["snek.prometheus.unit"]));
}

#[test]
fn seed_000_third_parties_are_wanted_and_never_fail_the_gate() {
    let Some(renderer) = renderer() else { return };
    // Nothing of the network is there: no PLC, no relay, no Jetstream, no AppView.
    let mut town = vps();
    town.edge("edge 203.0.113.10", &["pds.snek.cc", "knot.snek.cc", "grafana.snek.cc"], |_| {
        answer("200 OK", r#"{"version":"0.4"}"#)
    });
    let output = town.look(derived(&renderer, "000", "controller", &[]), &[]);
    let report = output.json();
    assert_eq!((output.code, report["status"].as_str().unwrap()), (0, "degraded"), "{}", output.stdout);
    for id in ["plc.https", "relay-firehose.https", "appview.https"] {
        assert_eq!((state(&output, id).as_str(), &output.check(id)["critical"]), ("down", &json!(false)), "{id}");
    }
    assert!(report["root_causes"].as_array().unwrap().iter().all(|root| root["critical"] == json!(false)));
}

#[test]
fn seed_001_a_unit_of_a_user() {
    let mut town = Town::new();
    town.put(
        "openclaw",
        http(
            answer("503 Service Unavailable", r#"{"ready":false,"failing":["telegram"]}"#)
                .replace("Connection", "Content-Type: application/json; charset=utf-8\r\nConnection"),
        ),
    );
    let checks = json!({"schema": "health.checks/v1", "vantage": "vps-x86", "checks": [
        {"id": "gateway", "group": "openclaw", "unit": {"name": "openclaw-gateway.service", "scope": "user:openclaw"}},
        {"id": "vps.openclaw.http", "needs": ["gateway"], "profile": "openclaw", "http": {"url": "http://127.0.0.1:18789/"}}
    ]});
    let output = town.look(checks.clone(), &[]);
    // The unit runs, and the gateway says itself what it lacks.
    assert_eq!(output.check("gateway")["target"], "openclaw-gateway.service of openclaw");
    assert_eq!(
        (state(&output, "gateway"), roots(&output)),
        ("up".into(), vec!["vps.openclaw.http".into()]),
        "{}",
        output.stdout
    );
    assert_eq!(output.check("vps.openclaw.http")["evidence"], json!(["telegram: failing"]));
    town.failed_units = vec!["openclaw-gateway.service"];
    let output = town.look(checks, &[]);
    assert_eq!(roots(&output), ["gateway"]);
    assert_eq!(output.check("gateway")["reason"], "unit_failed");
}

#[test]
fn seed_002_mail_submission_and_the_sinkhole() {
    let Some(renderer) = renderer() else { return };
    let (ca, issuer) = crate::edge::authority_of("mail root");
    let submission = crate::edge::submission_of(&issuer, "127.0.0.1");
    let mut town = Town::new();
    town.put("stalwart", submission);
    town.put("vaultwarden", http(answer("200 OK", "\"2026\"")));
    town.ca = ca;
    let output = town.look(derived(&renderer, "002", "id3-eniac", &[]), &[]);
    assert_eq!(state(&output, "id3-eniac.stalwart.check-0"), "up", "{}", output.stdout);
    // A server that does not offer STARTTLS would take passwords in clear.
    let clear = serve(|mut stream| {
        let _ = stream.write_all(b"220 mail.example.org ESMTP\r\n");
        while stream.read(&mut [0; 256]).is_ok_and(|read| read > 0) {
            let _ = stream.write_all(b"250-mail.example.org\r\n250 AUTH PLAIN\r\n");
        }
    });
    town.put("stalwart", clear);
    let output = town.look(derived(&renderer, "002", "id3-eniac", &[]), &[]);
    assert_eq!(output.check("id3-eniac.stalwart.check-0")["reason"], "tls_handshake", "{}", output.stdout);
    // nginx's 444: a name that nobody serves is closed without an answer, and an answer there is a fault.
    let sinkhole = serve(|mut stream| {
        if !head(&mut stream).to_ascii_lowercase().contains("host: git.example.org") {
            return;
        }
        let _ = stream.write_all(answer("200 OK", "forgejo").as_bytes());
    });
    let look = |port: u16| {
        let connect = format!("127.0.0.1:{port}");
        run(
            &["run", "--no-second-look"],
            json!([
                {"id": "site", "http": {"url": "http://git.example.org/", "connect": connect}},
                {"id": "sinkhole", "critical": false, "http": {"url": "http://unknown.invalid/", "connect": connect, "closes": true}}
            ]),
        )
    };
    let output = look(sinkhole);
    assert_eq!((state(&output, "site").as_str(), state(&output, "sinkhole").as_str()), ("up", "up"));
    let output = look(http(answer("200 OK", "every name is served")));
    assert_eq!(output.check("sinkhole")["reason"], "http_answered");
}
