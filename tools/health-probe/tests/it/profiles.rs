//! What programs say when they are well and when they are not, as their sources have it, against the profile of each.
//! The bodies stand in the sources that `PROFILES.md` names.

use std::io::{Read, Write};

use serde_json::{Value, json};

use crate::server::{answer, head, serve};
use crate::tool::{Output, run};

/// An answer: status line and body.
type Said = (&'static str, &'static str);

/// A profile, the path that it must ask, what is healthy, and what is not.
struct Fixture {
    profile: &'static str,
    path: &'static str,
    good: &'static [Said],
    bad: &'static [Said],
}

const fn fixture(profile: &'static str, path: &'static str, good: &'static [Said], bad: &'static [Said]) -> Fixture {
    Fixture { profile, path, good, bad }
}

const OK: &str = "200 OK";
const DOWN: &str = "503 Service Unavailable";
const ERROR: &str = "500 Internal Server Error";
/// A page that a proxy shows for every name and path: it must not pass for a program that says something particular.
const PAGE: Said = (OK, "<!doctype html><title>Welcome to nginx!</title>");

const FIXTURES: &[Fixture] = &[
    fixture(
        "acme",
        "/directory",
        &[(OK, r#"{"newNonce":"https://acme.example/new-nonce","newAccount":"https://acme.example/a"}"#)],
        &[(DOWN, r#"{"type":"urn:ietf:params:acme:error:rateLimited"}"#), PAGE],
    ),
    fixture("alertmanager", "/-/ready", &[(OK, "OK")], &[(DOWN, "")]),
    fixture("alloy", "/-/ready", &[(OK, "Alloy is ready.\n")], &[(DOWN, "Config failed to load.\n")]),
    fixture(
        "appview",
        "/xrpc/_health",
        &[(OK, r#"{"version":"0.0.1"}"#)],
        &[(DOWN, r#"{"version":"0.0.1","error":"Service Unavailable"}"#), PAGE],
    ),
    fixture("authentik", "/-/health/ready/", &[(OK, ""), ("204 No Content", "")], &[(DOWN, "")]),
    fixture("backrest", "/", &[(OK, "<html><head><title>Backrest</title></head></html>")], &[(ERROR, ""), PAGE]),
    fixture(
        "caddy",
        "/config/",
        &[(OK, r#"{"admin":{"listen":"127.0.0.1:2019"}}"#), (OK, "null")],
        &[("403 Forbidden", r#"{"error":"host not allowed: 10.0.0.1"}"#)],
    ),
    fixture("cadvisor", "/healthz", &[(OK, "ok")], &[(DOWN, ""), PAGE]),
    fixture(
        "cloudflared",
        "/ready",
        &[(OK, r#"{"status":200,"readyConnections":4,"connectorId":"1"}"#)],
        &[(DOWN, r#"{"status":503,"readyConnections":0,"connectorId":"1"}"#)],
    ),
    fixture("cockpit", "/ping", &[(OK, r#"{ "service": "cockpit" }"#)], &[PAGE, (DOWN, "")]),
    fixture(
        "constellation",
        "/",
        &[(
            OK,
            r#"{"help":"open this URL in a web browser","days_indexed":12,"stats":{"dids":1,"targetables":2,"linking_records":3}}"#,
        )],
        &[(ERROR, "")],
    ),
    fixture(
        "decidim",
        "/",
        &[(OK, "<html></html>"), ("302 Found", "")],
        &[(ERROR, "We're sorry, but something went wrong.")],
    ),
    fixture(
        "did-web",
        "/.well-known/did.json",
        &[(OK, r#"{"@context":["https://www.w3.org/ns/did/v1"],"id":"did:web:knot.example.org"}"#)],
        &[PAGE, ("404 Not Found", "")],
    ),
    fixture(
        "espocrm",
        "/",
        &[(OK, "<p class=\"credit small\">&copy; 2026 <a href=\"https://www.espocrm.com\">EspoCRM, Inc.</a></p>")],
        &[(ERROR, "Bad server response"), PAGE],
    ),
    fixture(
        "flaresolverr",
        "/health",
        &[(OK, r#"{"status": "ok"}"#)],
        &[(ERROR, r#"{"error": "Unknown error", "status_code": 500}"#), PAGE],
    ),
    fixture(
        "forgejo",
        "/api/healthz",
        &[(
            OK,
            r#"{"status":"pass","description":"Forgejo","checks":{"cache:ping":[{"status":"pass"}],"database:ping":[{"status":"pass"}]}}"#,
        )],
        &[
            (
                "424 Failed Dependency",
                r#"{"status":"fail","description":"Forgejo","checks":{"cache:ping":[{"status":"pass"}],"database:ping":[{"status":"fail"}]}}"#,
            ),
            PAGE,
        ],
    ),
    fixture(
        "gitea",
        "/api/healthz",
        &[(OK, r#"{"status":"pass","description":"Gitea","checks":{"database:ping":[{"status":"pass"}]}}"#)],
        &[("424 Failed Dependency", r#"{"status":"fail","checks":{"database:ping":[{"status":"fail"}]}}"#)],
    ),
    fixture(
        "grafana",
        "/api/health",
        &[(OK, r#"{"commit":"1","database":"ok","version":"12.1.1"}"#)],
        &[(DOWN, r#"{"commit":"1","database":"failing","version":"12.1.1"}"#), PAGE],
    ),
    fixture("headscale", "/health", &[(OK, r#"{"status":"pass"}"#)], &[(ERROR, r#"{"status":"fail"}"#), PAGE]),
    fixture(
        "home-assistant",
        "/manifest.json",
        &[(OK, r##"{"background_color":"#FFFFFF","name":"Home Assistant","short_name":"Home Assistant"}"##)],
        &[("404 Not Found", ""), PAGE],
    ),
    fixture("homepage", "/api/healthcheck", &[(OK, "up")], &[(ERROR, "Internal Server Error"), PAGE]),
    fixture(
        "indigo-relay",
        "/xrpc/_health",
        &[(OK, r#"{"status":"ok"}"#)],
        &[(ERROR, r#"{"status":"error","msg":"can't connect to database"}"#), PAGE],
    ),
    fixture("jackett", "/UI/Login", &[("302 Found", "")], &[(ERROR, ""), ("404 Not Found", "")]),
    fixture("jellyfin", "/health", &[(OK, "Healthy")], &[(DOWN, "Unhealthy"), (DOWN, "Degraded"), PAGE]),
    fixture("knot", "/", &[(OK, "This is a knot server. More info at https://tangled.sh")], &[(ERROR, ""), PAGE]),
    fixture(
        "leantime",
        "/auth/login",
        &[(OK, "<html><title>Leantime</title></html>")],
        &[("303 See Other", ""), (ERROR, "")],
    ),
    fixture(
        "litellm",
        "/health/readiness",
        &[(OK, r#"{"status":"connected","db":"connected","cache":null,"litellm_version":"1.40.21"}"#)],
        &[(DOWN, r#"{"detail":"Service Unhealthy (db not reachable)"}"#), PAGE],
    ),
    fixture(
        "loki",
        "/ready",
        &[(OK, "ready\n")],
        &[(DOWN, "Ingester not ready: waiting for 15s after being ready\n"), PAGE],
    ),
    fixture("lycan", "/.well-known/did.json", &[(OK, r#"{"id":"did:web:lycan.example.org"}"#)], &[(ERROR, ""), PAGE]),
    fixture("n8n", "/healthz/readiness", &[(OK, r#"{"status":"ok"}"#)], &[(DOWN, r#"{"status":"error"}"#)]),
    fixture(
        "nextcloud",
        "/status.php",
        &[(OK, r#"{"installed":true,"maintenance":false,"needsDbUpgrade":false,"version":"31.0.8.1"}"#)],
        &[
            (OK, r#"{"installed":true,"maintenance":true,"needsDbUpgrade":false}"#),
            (OK, r#"{"installed":false,"maintenance":false,"needsDbUpgrade":false}"#),
            (OK, r#"{"installed":true,"maintenance":false,"needsDbUpgrade":true}"#),
            (ERROR, "Internal Server Error"),
            PAGE,
        ],
    ),
    fixture(
        "node_exporter",
        "/metrics",
        &[(OK, "# TYPE node_exporter_build_info gauge\nnode_exporter_build_info{version=\"1.5.0\"} 1\n")],
        &[(ERROR, ""), PAGE],
    ),
    fixture("ollama", "/api/version", &[(OK, r#"{"version":"0.12.0"}"#)], &[(ERROR, ""), PAGE]),
    fixture("onlyoffice", "/healthcheck", &[(OK, "true")], &[(OK, "false"), ("502 Bad Gateway", "")]),
    fixture(
        "openclaw",
        "/ready",
        &[(OK, r#"{"ready":true}"#)],
        &[(DOWN, r#"{"ready":false,"failing":["telegram"],"uptimeMs":12}"#), PAGE],
    ),
    fixture(
        "otbr",
        "/node/state",
        &[(OK, "\"leader\""), (OK, "\"router\"")],
        &[(OK, "\"detached\""), (OK, "\"disabled\"")],
    ),
    fixture("outline", "/_health", &[(OK, "OK")], &[(ERROR, "Internal Server Error"), PAGE]),
    fixture(
        "pds",
        "/xrpc/_health",
        &[(OK, r#"{"version":"0.4.193"}"#)],
        &[(DOWN, r#"{"version":"0.4.193","error":"Service Unavailable"}"#), PAGE],
    ),
    fixture(
        "picoclaw",
        "/ready",
        &[(OK, r#"{"status":"ready","uptime":"1m"}"#)],
        &[(DOWN, r#"{"status":"not ready","checks":{"provider":{"name":"provider","status":"fail"}}}"#), PAGE],
    ),
    fixture(
        "plc",
        "/_health",
        &[(OK, r#"{"version":"0.0.1"}"#)],
        &[(DOWN, r#"{"version":"0.0.1","error":"Service Unavailable"}"#), PAGE],
    ),
    fixture(
        "postgres_exporter",
        "/metrics",
        &[(OK, "# TYPE pg_up gauge\npg_up 1\n")],
        &[(OK, "# TYPE pg_up gauge\npg_up 0\n"), PAGE],
    ),
    fixture("prometheus", "/-/ready", &[(OK, "Prometheus Server is Ready.\n")], &[(DOWN, "Service Unavailable")]),
    fixture("prowlarr", "/ping", &[(OK, r#"{"status": "OK"}"#)], &[(ERROR, r#"{"status": "Error"}"#), PAGE]),
    fixture(
        "quickdid",
        "/xrpc/com.atproto.identity.resolveHandle",
        &[(
            "400 Bad Request",
            r#"{"error":"InvalidRequest","message":"Error: Params must have the property \"handle\""}"#,
        )],
        &[(DOWN, ""), PAGE],
    ),
    fixture("radarr", "/ping", &[(OK, r#"{"status": "OK"}"#)], &[(ERROR, r#"{"status": "Error"}"#)]),
    fixture(
        "radicle-httpd",
        "/api/v1",
        &[(OK, r#"{"message":"Welcome!","service":"radicle-httpd","version":"0.20.0","nid":"z6Mk"}"#)],
        &[PAGE, (ERROR, "")],
    ),
    fixture("slingshot", "/", &[(OK, "<title>Slingshot: atproto edge record cache</title>")], &[(ERROR, ""), PAGE]),
    fixture("sonarr", "/ping", &[(OK, r#"{"status": "OK"}"#)], &[(ERROR, r#"{"status": "Error"}"#)]),
    fixture("spacedust", "/", &[(OK, "<title>Spacedust documentation</title>")], &[(ERROR, ""), PAGE]),
    fixture(
        "spindle",
        "/",
        &[(OK, "This is a spindle server. More info at https://tangled.sh/")],
        &[(ERROR, ""), PAGE],
    ),
    fixture(
        "stalwart",
        "/healthz/ready",
        &[(OK, r#"{"type":"about:blank","status":200,"title":"OK","detail":"OK"}"#)],
        &[(DOWN, r#"{"type":"about:blank","status":503,"title":"Service Unavailable"}"#)],
    ),
    fixture(
        "traefik",
        "/ping",
        &[(OK, "OK")],
        &[(DOWN, "Service Unavailable"), ("404 Not Found", "404 page not found\n")],
    ),
    fixture(
        "transmission",
        "/transmission/rpc",
        &[("409 Conflict", "<h1>409: Conflict</h1>"), ("401 Unauthorized", "<h1>401: Unauthorized</h1>")],
        &[("403 Forbidden", "<h1>403: Forbidden</h1>"), (ERROR, "")],
    ),
    fixture("vaultwarden", "/alive", &[(OK, r#""2026-11-25T22:00:00.000000Z""#)], &[(DOWN, ""), (ERROR, "")]),
    fixture(
        "zabbix-web",
        "/",
        &[(OK, "<title>Zabbix docker: Zabbix</title><form name=\"login\">")],
        &[(OK, "<title>Warning [refreshed every 30 sec.]</title><h1>Database error</h1>Zabbix"), (ERROR, ""), PAGE],
    ),
    fixture("zigbee2mqtt", "/", &[(OK, "<title>Zigbee2MQTT</title>")], &[(ERROR, "")]),
];

/// Profiles that are no HTTP: their tests stand in this file and in `programs`.
const OTHERS: &[&str] = &[
    "firehose",
    "jetstream",
    "matter-server",
    "mcp",
    "mosquitto",
    "piper",
    "radicle-node",
    "s3",
    "tailscaled",
    "whisper",
    "wobbler",
    "zabbix-agent",
    "zabbix-server",
];

/// A server that says this at this path, and 404 elsewhere.
fn at(path: &'static str, said: Said) -> u16 {
    serve(move |mut stream| {
        let head = head(&mut stream);
        let asked = head.split(' ').nth(1).unwrap_or_default();
        let kind = if said.1.starts_with('{') || said.1.starts_with('"') {
            "application/json; charset=utf-8"
        } else {
            "text/html"
        };
        let right = format!(
            "HTTP/1.1 {}\r\nContent-Type: {kind}\r\nLocation: /elsewhere\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
            said.0,
            said.1.len(),
            said.1
        );
        let _ = stream.write_all(if asked == path { right } else { answer("404 Not Found", "") }.as_bytes());
    })
}

#[test]
fn programs_that_are_well_pass_and_those_that_are_not_fail() {
    let mut checks = Vec::new();
    for fixture in FIXTURES {
        let mut add = |word: &str, number: usize, said: Said| {
            checks.push(json!({
                "id": format!("{} {word} {number}", fixture.profile),
                "profile": fixture.profile,
                "http": {"url": format!("http://127.0.0.1:{}/", at(fixture.path, said)), "redirects": 0}
            }));
        };
        fixture.good.iter().enumerate().for_each(|(number, said)| add("good", number, *said));
        fixture.bad.iter().enumerate().for_each(|(number, said)| add("bad", number, *said));
    }
    let output = run(&["run", "--no-second-look"], Value::Array(checks));
    let report = output.json();
    for check in report["checks"].as_array().unwrap() {
        let wanted = if check["id"].as_str().unwrap().contains(" good ") { "up" } else { "down" };
        assert_eq!(check["state"], wanted, "{check}");
    }
    assert_eq!(
        report["checks"].as_array().unwrap().len(),
        FIXTURES.iter().map(|one| one.good.len() + one.bad.len()).sum::<usize>()
    );
    evidence(&output);
}

/// A body that names what fails is evidence.
fn evidence(output: &Output) {
    let of = |id: &str| output.check(id)["evidence"].clone();
    assert_eq!(of("grafana bad 0"), json!(["database: failing"]));
    assert_eq!(of("forgejo bad 0"), json!(["database:ping: fail"]));
    assert_eq!(of("openclaw bad 0"), json!(["telegram: failing"]));
    assert_eq!(of("picoclaw bad 0"), json!(["provider: fail"]));
    assert_eq!(output.check("nextcloud bad 0")["message"], "/maintenance in the body is \"true\", wanted false");
}

#[test]
fn every_profile_has_its_fixtures() {
    let table = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/PROFILES.md")).unwrap();
    let names = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned));
    let mut names: Vec<String> = names.collect();
    names.sort();
    let mut tested: Vec<String> =
        FIXTURES.iter().map(|one| one.profile).chain(OTHERS.iter().copied()).map(str::to_owned).collect();
    tested.sort();
    assert_eq!(names, tested);
}

/// The evidence of programs goes to the root cause that they suffer from.
#[test]
fn what_programs_say_of_their_parts_stands_with_the_root_cause() {
    let failing = at("/api/health", (DOWN, r#"{"database":"failing"}"#));
    let checks = json!([
        {"id": "postgres", "tcp": {"address": "127.0.0.1:1"}},
        {"id": "grafana", "needs": ["postgres"], "profile": "grafana", "http": {"url": format!("http://127.0.0.1:{failing}/")}}
    ]);
    let report = run(&["run", "--no-second-look"], checks).json();
    assert_eq!(report["root_causes"][0]["id"], "postgres");
    assert_eq!(report["root_causes"][0]["evidence"], json!(["grafana: database: failing"]));
}

#[test]
fn a_few_words_over_tcp() {
    // Bytes as the Wyoming protocol has them: a line of JSON, then its data.
    let wyoming = |answer: &'static [u8]| {
        serve(move |mut stream| {
            let mut heard = [0; 64];
            let length = stream.read(&mut heard).unwrap_or_default();
            if heard.get(..length) == Some(b"{\"type\":\"describe\"}\n") {
                let _ = stream.write_all(answer);
            }
        })
    };
    let info = wyoming(b"{\"type\": \"info\", \"version\": \"1.8.0\", \"data_length\": 2}\n{}");
    let error = wyoming(b"{\"type\": \"error\"}\n");
    let mqtt = |code: u8| {
        serve(move |mut stream| {
            let _ = stream.read(&mut [0; 64]);
            let _ = stream.write_all(&[0x20, 2, 0, code]);
        })
    };
    let agent = |answer: &'static [u8]| {
        serve(move |mut stream| {
            let _ = stream.read(&mut [0; 64]);
            let _ = stream.write_all(answer);
        })
    };
    let tcp = |id: &str, profile: &str, port: u16| json!({"id": id, "profile": profile, "timeout": "2s", "tcp": {"address": format!("127.0.0.1:{port}")}});
    let checks = json!([
        tcp("piper", "piper", info),
        tcp("whisper", "whisper", error),
        tcp("mqtt", "mosquitto", mqtt(0)),
        tcp("mqtt asks for a login", "mosquitto", mqtt(5)),
        tcp("mqtt is not there", "mosquitto", mqtt(3)),
        tcp("agent", "zabbix-agent", agent(b"ZBXD\x01\x01\0\0\0\0\0\0\x001")),
        tcp("agent is not ours", "zabbix-agent", agent(b"")),
        tcp("server", "zabbix-server", agent(b"")),
        tcp("s3", "s3", agent(b"")),
    ]);
    let output = run(&["run", "--no-second-look"], checks);
    for (id, state) in [
        ("piper", "up"),
        ("whisper", "down"),
        ("mqtt", "up"),
        ("mqtt asks for a login", "up"),
        ("mqtt is not there", "down"),
        ("agent", "up"),
        ("agent is not ours", "down"),
        ("server", "up"),
        ("s3", "up"),
    ] {
        assert_eq!(output.check(id)["state"], state, "{id}: {}", output.check(id));
    }
    assert_eq!(output.check("whisper")["reason"], "banner_mismatch");
}

#[test]
fn a_profile_of_another_kind_is_said() {
    let checks = json!([{"id": "x", "profile": "jetstream", "http": {"url": "http://127.0.0.1:1/"}}]);
    let output = run(&["check"], checks);
    assert_eq!(output.code, 0);
    let finding = &output.json()["findings"][0];
    assert_eq!((finding["code"].as_str(), finding["level"].as_str()), (Some("profile-kind"), Some("warning")));
    assert!(finding["fix"].as_str().unwrap().contains("websocket"), "{finding}");
    let near = run(&["check"], json!([{"id": "x", "profile": "graphana", "http": {"url": "http://127.0.0.1:1/"}}]));
    assert!(near.json()["findings"][0]["fix"].as_str().unwrap().contains("grafana"), "{}", near.stdout);
}
