use serde_json::{Value, json};

use crate::server::{answer, free_port, http};
use crate::tool::run;

/// The fleet of three Debian servers: PostgreSQL, Redis, Authentik, Traefik, the apps and their public names.
fn fleet(postgres: u16, authentik: u16, traefik: u16, app: u16) -> Value {
    let url = |port: u16| json!({"url": format!("http://127.0.0.1:{port}/")});
    let mut checks = vec![
        json!({"id": "postgres", "tcp": {"address": format!("127.0.0.1:{postgres}")}}),
        json!({"id": "authentik", "needs": ["postgres"], "http": url(authentik)}),
        json!({"id": "traefik", "http": url(traefik)}),
        json!({"id": "gateway-public", "needs": ["traefik", "authentik"], "http": url(authentik)}),
    ];
    for name in ["outline", "decidim", "nextcloud", "espocrm", "leantime"] {
        checks.push(json!({"id": name, "needs": ["postgres"], "wants": ["authentik"], "http": url(app)}));
        checks.push(json!({"id": format!("{name}-public"), "needs": ["traefik", name], "http": url(if traefik == 1 { 1 } else { app })}));
    }
    json!(checks)
}

fn roots(report: &Value) -> Vec<String> {
    report["root_causes"].as_array().unwrap().iter().map(|root| root["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn postgres_down_is_one_root_cause_for_all_apps() {
    let broken = http(answer("500 Internal Server Error", "{}"));
    let good = http(answer("200 OK", "fine"));
    let output = run(&["run"], fleet(free_port(), broken, good, broken));
    let report = output.json();
    assert_eq!(output.code, 1);
    assert_eq!(roots(&report), ["postgres"]);
    assert_eq!(report["root_causes"][0]["reason"], "connect_refused");
    // Authentik, its gateway, five apps and their five public names.
    assert_eq!(report["root_causes"][0]["impacts"].as_array().unwrap().len(), 12);
    assert_eq!(output.check("traefik")["state"], "up");
    assert_eq!(output.check("outline")["blocked_by"], json!(["postgres"]));
}

#[test]
fn authentik_down_only_weakens_the_apps() {
    let good = http(answer("200 OK", "fine"));
    let output = run(&["run"], fleet(good, free_port(), good, good));
    let report = output.json();
    assert_eq!(roots(&report), ["authentik"]);
    assert_eq!(report["root_causes"][0]["degrades"].as_array().unwrap().len(), 5);
    assert_eq!(output.check("outline")["state"], "degraded");
    assert_eq!(output.check("outline")["message"], "works without authentik");
    assert_eq!(output.check("outline-public")["state"], "up");
    assert_eq!(output.check("gateway-public")["state"], "unreachable");
}

#[test]
fn traefik_down_blocks_the_public_names_only() {
    let good = http(answer("200 OK", "fine"));
    let output = run(&["run"], fleet(good, good, 1, good));
    assert_eq!(roots(&output.json()), ["traefik"]);
    assert_eq!(output.check("outline")["state"], "up");
    assert_eq!(output.check("outline-public")["state"], "unreachable");
}

#[test]
fn third_parties_never_fail_a_gate() {
    let good = http(answer("200 OK", "fine"));
    let checks = json!([
        {"id": "plc", "critical": false, "tcp": {"address": "127.0.0.1:1"}},
        {"id": "pds", "wants": ["plc"], "http": {"url": format!("http://127.0.0.1:{good}/")}}
    ]);
    let output = run(&["run"], checks.clone());
    assert_eq!((output.code, output.json()["status"].as_str().unwrap()), (0, "degraded"));
    assert_eq!(run(&["run", "--fail-on", "degraded"], checks).code, 1);
}

#[test]
fn a_host_of_silent_services_is_suspected() {
    let checks = json!([
        {"id": "web1", "node": {}},
        {"id": "a", "needs": ["web1"], "tcp": {"address": "127.0.0.1:1"}},
        {"id": "b", "needs": ["web1"], "tcp": {"address": "127.0.0.1:2"}}
    ]);
    let report = run(&["run", "--no-second-look"], checks).json();
    assert_eq!(report["suspects"][0]["id"], "web1");
}
