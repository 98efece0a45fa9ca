//! The routes of a tunnel that is managed on the host, read by cloudflared itself.

use std::process::Command;

use serde_json::json;

use crate::run::{cfg_render, files, given_peer, say};

#[test]
fn cloudflared_leads_each_request_where_the_fleet_says() {
    let Some(cloudflared) = given_peer(
        "PLUMBLINE_CLOUDFLARED",
        "build it from github.com/cloudflare/cloudflared: go build -mod=vendor ./cmd/cloudflared",
    ) else {
        return;
    };
    let service = |port: u16, routes: serde_json::Value| json!({"host": "home", "run": {"systemd": {"exec": ["/bin/true"]}}, "ports": {"http": port}, "backup": {"none": "a test"}, "proxy": routes});
    let fleet = json!({
        "schema": "fleet/v1", "name": "tunnels", "domain": "example.org",
        "hosts": {"home": {"os": "debian-12", "addresses": {"public": ["192.0.2.1"]},
            "ssh": {"keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me"]}}},
        "dns": {"providers": {"cf": {"cloudflare": {"token": {"secret": "cf"}}}}, "zones": {"example.org": {"provider": "cf"}}},
        "tunnels": {"main": {"host": "home", "managed": "local", "id": "6ff42ae2-765d-4adf-8112-31c55c1551ef", "credentials": {"secret": "tunnel"}}},
        "secrets": {"cf": {}, "tunnel": {}},
        "services": {
            "app": service(3000, json!([
                {"names": ["app.example.org"], "tunnel": "main"},
                {"names": ["app.example.org"], "path": "/api/v1.0+x(y)", "port": "http", "tunnel": "main"}
            ])),
            "any": service(3001, json!([{"names": ["*.example.org"], "tunnel": "main"}])),
            "login": service(2022, json!([{"names": ["ssh.example.org"], "tunnel": "main", "scheme": "ssh"}])),
            "screen": service(3389, json!([{"names": ["rdp.example.org"], "tunnel": "main", "scheme": "rdp"}])),
            "own": service(8443, json!([{"names": ["own.example.org"], "tunnel": "main", "scheme": "https"}])),
            "bytes": service(9418, json!([{"names": ["git.example.org"], "tunnel": "main", "scheme": "tcp"}]))
        }
    });
    let text = files(&fleet, "home").into_iter().find(|(path, _)| path == "/etc/cloudflared/main.yml").unwrap().1;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("main.yml");
    std::fs::write(&path, &text).unwrap();
    let ask = |words: &[&str]| {
        let mut command = Command::new(&cloudflared);
        say(command.arg("--config").arg(&path).args(["tunnel", "ingress"]).args(words).env("HOME", folder.path()))
    };
    let (good, said) = ask(&["validate"]);
    assert!(good && said.contains("OK"), "{said}\n{text}");
    for (url, service) in [
        ("https://app.example.org/", "http://127.0.0.1:3000"),
        ("https://app.example.org/api/v1.0+x(y)/z", "http://127.0.0.1:3000"),
        ("https://else.example.org/", "http://127.0.0.1:3001"),
        ("https://ssh.example.org/", "ssh://127.0.0.1:2022"),
        ("https://rdp.example.org/", "rdp://127.0.0.1:3389"),
        ("https://own.example.org/", "https://127.0.0.1:8443"),
        ("https://git.example.org/", "tcp://127.0.0.1:9418"),
        ("https://example.net/", "http_status:404"),
    ] {
        let (good, said) = ask(&["rule", url]);
        assert!(good && said.contains(&format!("service: {service}\n")), "{url}: {said}\n{text}");
    }
    let (_, said) = ask(&["rule", "https://app.example.org/api/v1.0+x(y)/z"]);
    assert!(said.contains("path: ^/api/v1\\.0\\+x\\(y\\)"), "{said}");
    let (_, said) = ask(&["rule", "https://app.example.org/api/v1.0+x"]);
    assert!(!said.contains("path:"), "{said}");
}

#[test]
fn what_a_tunnel_does_not_speak_is_refused() {
    for scheme in ["h2c", "fastcgi"] {
        let fleet = json!({
            "schema": "fleet/v1", "name": "tunnels", "domain": "example.org",
            "hosts": {"home": {"os": "debian-12", "addresses": {"public": ["192.0.2.1"]},
                "ssh": {"keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me"]}}},
            "dns": {"providers": {"cf": {"cloudflare": {"token": {"secret": "cf"}}}}, "zones": {"example.org": {"provider": "cf"}}},
            "tunnels": {"main": {"host": "home", "credentials": {"secret": "tunnel"}}},
            "secrets": {"cf": {}, "tunnel": {}},
            "services": {"app": {"host": "home", "run": {"systemd": {"exec": ["/bin/true"]}}, "ports": {"http": 3000}, "backup": {"none": "a test"},
                "proxy": [{"names": ["app.example.org"], "tunnel": "main", "scheme": scheme}]}}
        });
        let output = cfg_render(&["check"], &fleet.to_string());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("unsupported-feature") && said.contains("/services/app/proxy/0/scheme"), "{said}");
    }
}
