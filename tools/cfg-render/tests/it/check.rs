//! Every check: a fleet that it has nothing against, and one that it finds fault with, at the right place.

use std::time::{Duration, Instant};

use cfg_render::check::check;
use cfg_render::host::render;
use cfg_render::model::Model;
use contract::Finding;
use serde_json::{Value, json};

use crate::fleet::{fleet, merged, patched};

mod hosts;
mod overrides;
mod services;

/// Two hosts on a network, a database, a proxy, backups, secrets: a good fleet with something of everything.
fn base() -> Value {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me@laptop";
    json!({
        "schema": "fleet/v1", "name": "good", "domain": "example.net", "email": "ops@example.net",
        "people": { "ann": { "groups": ["admins"], "ssh_keys": [key], "emails": ["ann@example.net"] } },
        "networks": { "vpn": { "tailscale": {} }, "lan": { "cidrs": ["10.1.0.0/24"] } },
        "defaults": { "host": { "os": "debian-13", "ssh": { "groups": ["admins"] }, "agents": { "node_exporter": {} } } },
        "hosts": {
            "edge": { "addresses": { "public": ["192.0.2.1"], "vpn": ["100.64.0.1"] } },
            "back": { "addresses": { "vpn": ["100.64.0.2"], "lan": ["10.1.0.2"] }, "containers": { "engine": "docker" } }
        },
        "databases": { "main": { "host": "back" } },
        "services": {
            "site": { "host": "edge", "run": { "static": { "root": "/srv/site" } }, "proxy": [{ "names": ["example.net"] }] },
            "app": {
                "host": "back", "run": { "container": { "image": "registry.example.net/app:1.2", "volumes": ["/var/lib/app:/data"] } },
                "ports": { "http": { "port": 8000, "container_port": 80, "bind": "vpn" } },
                "proxy": [{ "names": ["app.example.net"], "via": "edge" }],
                "databases": [{ "password": { "secret": "app-db" } }],
                "env": { "DATABASE_URL": { "database": "app", "attr": "url" }, "SITE": { "service": "site", "attr": "url" } },
                "backup": { "paths": ["/var/lib/app"] }
            },
            "worker": {
                "host": "back", "run": { "systemd": { "exec": ["/usr/bin/worker"] } }, "needs": ["app"],
                "databases": [{ "name": "jobs" }], "backup": { "none": "it keeps nothing" }
            },
            "plc": { "run": { "external": { "url": "https://plc.directory" } } }
        },
        "dns": {
            "providers": { "cf": { "cloudflare": { "token": { "secret": "cf-token" } } } },
            "zones": { "example.net": { "records": [{ "name": "@", "MX": [{ "preference": 10, "exchange": "mx.mail.test." }] }] } }
        },
        "backups": {
            "repositories": { "b2": { "uri": "b2:bucket:{host}", "password": { "secret": "restic" }, "offsite": true } },
            "plans": { "nightly": {} }
        },
        "secrets": { "app-db": {}, "cf-token": {}, "restic": {} }
    })
}

fn findings(value: Value) -> Vec<Finding> {
    check(&fleet(value))
}

fn show(found: &[Finding]) -> String {
    let lines = found.iter().map(|f| format!("  {:?} {} {} {} ({:?})", f.level, f.code, f.pointer, f.message, f.fix));
    lines.collect::<Vec<_>>().join("\n")
}

/// As `host --all --keep-going` does with a fleet that is not good.
fn render_all(value: Value) {
    let fleet = fleet(value);
    let resolved = fleet.resolved();
    let model = Model::new(&fleet, &resolved);
    for host in model.hosts() {
        render(&model, host);
    }
}

/// The good fleet has nothing of this code; with the patch there is, at this place, with a remedy.
fn bad(code: &str, place: &str, patch: Value) {
    let good = findings(base());
    assert!(good.iter().all(|finding| finding.code != code), "{code} on the good fleet:\n{}", show(&good));
    let found = findings(merged(base(), patch.clone()));
    // What is wrong is named, and is no reason to fall over either.
    render_all(merged(base(), patch));
    let hit = found.iter().find(|finding| finding.code == code && finding.pointer.as_str() == place);
    let hit = hit.unwrap_or_else(|| panic!("no {code} at {place}, but\n{}", show(&found)));
    assert!(hit.fix.as_ref().is_some_and(|fix| !fix.is_empty()), "{code} has no remedy");
    assert!(!hit.message.ends_with('.') && hit.message.len() > 10, "{}", hit.message);
    for related in &hit.related {
        assert_ne!(related, &hit.pointer, "{code} is related to itself");
    }
}

/// With this patch there is nothing of this code.
fn good(code: &str, patch: Value) {
    let found = findings(merged(base(), patch));
    assert!(found.iter().all(|finding| finding.code != code), "{code} where there should be none:\n{}", show(&found));
}

#[test]
fn the_good_fleet_is_good() {
    let found = findings(base());
    assert!(found.is_empty(), "\n{}", show(&found));
    let found = findings(patched(json!({})));
    assert!(found.is_empty(), "\n{}", show(&found));
}

#[test]
fn names() {
    bad("bad-name", "/services/My App", json!({ "services": { "My App": { "run": { "external": {} } } } }));
    bad("bad-name", "/name", json!({ "name": "Good" }));
    bad("bad-name", "/hosts/edge/users/Ann", json!({ "hosts": { "edge": { "users": { "Ann": {} } } } }));
    bad("bad-name", "/services/app/ports/HTTP", json!({ "services": { "app": { "ports": { "HTTP": 1 } } } }));
    bad("reserved-name", "/networks/public", json!({ "networks": { "public": {} } }));
    bad("reserved-name", "/hosts/local", json!({ "hosts": { "local": { "addresses": { "lan": ["10.1.0.9"] } } } }));
    bad("name-clash", "/services/main", json!({ "services": { "main": { "run": { "external": {} } } } }));
}

#[test]
fn references() {
    let cases = [
        ("/hosts/edge/like", json!({ "hosts": { "edge": { "like": "bck" } } })),
        ("/services/app/host", json!({ "services": { "app": { "host": "bakc" } } })),
        ("/services/app/proxy/0/via", json!({ "services": { "app": { "proxy": [{ "via": "egde" }] } } })),
        ("/services/app/proxy/0/from/0", json!({ "services": { "app": { "proxy": [{ "from": ["internet"] }] } } })),
        ("/services/app/proxy/0/port", json!({ "services": { "app": { "proxy": [{ "port": "htp" }] } } })),
        ("/services/app/proxy/0/tunnel", json!({ "services": { "app": { "proxy": [{ "tunnel": "main" }] } } })),
        (
            "/services/app/proxy/0/auth/access",
            json!({ "services": { "app": { "proxy": [{ "auth": { "access": "x" } }] } } }),
        ),
        ("/services/worker/needs/0", json!({ "services": { "worker": { "needs": ["ap"] } } })),
        ("/services/worker/needs_any/0/1", json!({ "services": { "worker": { "needs_any": [["app", "b"]] } } })),
        (
            "/services/worker/databases/0/cluster",
            json!({ "services": { "worker": { "databases": [{ "cluster": "mian" }] } } }),
        ),
        ("/services/worker/buckets/0", json!({ "services": { "worker": { "buckets": ["b"] } } })),
        ("/services/worker/mailer", json!({ "services": { "worker": { "mailer": "m" } } })),
        ("/services/worker/sso/provider", json!({ "services": { "worker": { "sso": { "provider": "x" } } } })),
        (
            "/services/worker/env/A/service",
            json!({ "services": { "worker": { "env": { "A": { "service": "x", "attr": "url" } } } } }),
        ),
        (
            "/services/worker/env/A/attr",
            json!({ "services": { "worker": { "env": { "A": { "service": "app", "attr": "urll" } } } } }),
        ),
        (
            "/services/worker/env/A/bucket",
            json!({ "services": { "worker": { "env": { "A": { "bucket": "x", "attr": "url" } } } } }),
        ),
        ("/services/worker/env/A", json!({ "services": { "worker": { "env": { "A": { "secret": "nope" } } } } })),
        ("/services/worker/secrets/0", json!({ "services": { "worker": { "secrets": ["nope"] } } })),
        ("/hosts/edge/addresses/wan", json!({ "hosts": { "edge": { "addresses": { "wan": ["192.0.2.9"] } } } })),
        ("/hosts/edge/ssh/people/0", json!({ "hosts": { "edge": { "ssh": { "people": ["anne"] } } } })),
        ("/hosts/edge/ssh/groups/0", json!({ "hosts": { "edge": { "ssh": { "groups": ["admin"] } } } })),
        ("/hosts/edge/allow/0/from/0", json!({ "hosts": { "edge": { "allow": [{ "port": 1, "from": ["x"] }] } } })),
        ("/hosts/edge/fail2ban/ignore/0", json!({ "hosts": { "edge": { "fail2ban": { "ignore": ["x"] } } } })),
        ("/hosts/edge/backup/plan", json!({ "hosts": { "edge": { "backup": { "plan": "x" } } } })),
        (
            "/backups/plans/nightly/repositories/0",
            json!({ "backups": { "plans": { "nightly": { "repositories": ["x"] } } } }),
        ),
        ("/databases/main/host", json!({ "databases": { "main": { "host": "x" } } })),
        ("/dns/zones/example.net/provider", json!({ "dns": { "zones": { "example.net": { "provider": "x" } } } })),
        ("/dns/zones/example.net/wildcard", json!({ "dns": { "zones": { "example.net": { "wildcard": "x" } } } })),
        (
            "/dns/zones/example.net/views/x",
            json!({ "dns": { "zones": { "example.net": { "views": { "x": { "provider": "cf" } } } } } }),
        ),
        ("/tunnels/t/host", json!({ "tunnels": { "t": { "host": "x", "credentials": { "secret": "restic" } } } })),
        ("/access/a/people/0", json!({ "access": { "a": { "people": ["x"] } } })),
        ("/sso/s/service", json!({ "sso": { "s": { "service": "x" } } })),
        ("/mailers/m/service", json!({ "mailers": { "m": { "host": "h", "from": "f", "service": "x" } } })),
        ("/portal/service", json!({ "portal": { "service": "x" } })),
        ("/monitoring/prometheus/service", json!({ "monitoring": { "prometheus": {} } })),
        ("/operations/o/restart", json!({ "operations": { "o": { "restart": "x" } } })),
        ("/rollout/order/0/1", json!({ "rollout": { "order": [["edge", "x"]] } })),
        ("/secrets/restic/hosts/0", json!({ "secrets": { "restic": { "hosts": ["x"] } } })),
    ];
    for (place, patch) in cases {
        bad("unknown-ref", place, patch);
    }
    bad("disabled-ref", "/services/worker/needs/0", json!({ "services": { "app": { "enable": false } } }));
    bad("disabled-ref", "/services/app/proxy/0/via", json!({ "hosts": { "edge": { "enable": false } } }));
    bad(
        "like-cycle",
        "/hosts/edge/like",
        json!({ "hosts": { "edge": { "like": "back" }, "back": { "like": "edge" } } }),
    );
    good(
        "unknown-ref",
        json!({ "hosts": { "edge": { "fail2ban": { "ignore": ["vpn", "10.0.0.0/8", "192.0.2.7"] } } } }),
    );
}

#[test]
fn a_near_name_is_proposed() {
    let found = findings(merged(base(), json!({ "services": { "worker": { "needs": ["ap"] } } })));
    let hit = found.iter().find(|finding| finding.code == "unknown-ref").unwrap();
    assert_eq!(hit.fix.as_deref(), Some("did you mean \"app\"?"));
}

#[test]
fn shapes() {
    let cases = [
        ("/services/worker/env/A", json!({ "services": { "worker": { "env": { "A": { "attr": "url" } } } } })),
        ("/services/worker/health/0", json!({ "services": { "worker": { "health": [{ "id": "x" }] } } })),
        ("/services/worker/health/0", json!({ "services": { "worker": { "health": [{ "http": {}, "tcp": {} }] } } })),
        ("/hosts/edge/files/~1etc~1motd", json!({ "hosts": { "edge": { "files": { "/etc/motd": {} } } } })),
        ("/databases/main", json!({ "databases": { "main": { "external": { "address": "db" } } } })),
        ("/operations/o", json!({ "operations": { "o": {} } })),
        ("/dns/providers/p", json!({ "dns": { "providers": { "p": {} } } })),
        (
            "/dns/zones/example.net/records/0",
            json!({ "dns": { "zones": { "example.net": { "records": [{ "name": "x" }] } } } }),
        ),
        ("/secrets/restic/generator", json!({ "secrets": { "restic": { "generator": {} } } })),
    ];
    for (place, patch) in cases {
        bad("one-of", place, patch);
    }
    bad("missing-key", "/hosts/edge", json!({ "defaults": { "host": { "os": null } } }));
    bad("missing-key", "/services/worker", json!({ "services": { "worker": { "host": null } } }));
    bad(
        "missing-key",
        "/services/worker/run/systemd",
        json!({ "services": { "worker": { "run": { "systemd": { "exec": [] } } } } }),
    );
    let pair = json!({ "containers": { "a": { "image": "a:1" }, "b": { "image": "b:1" } }, "container": null });
    bad("missing-key", "/services/app/ports/http", json!({ "services": { "app": { "run": pair } } }));
}

#[test]
fn accepted_risks() {
    bad(
        "unknown-risk",
        "/hosts/edge/accept_risk/0",
        json!({ "hosts": { "edge": { "accept_risk": ["duplicate-adress"] } } }),
    );
    good("unknown-risk", json!({ "hosts": { "edge": { "accept_risk": ["duplicate-address"] } } }));
}

#[test]
fn all_problems_come_in_one_run_and_in_order() {
    let found = findings(merged(
        base(),
        json!({
            "hosts": { "edge": { "addresses": { "vpn": ["10.0.0.1"] }, "allow": [{ "port": 9100 }] } },
            "services": { "worker": { "needs": ["ap"], "ports": { "http": 22 } } },
            "secrets": { "old": {} }
        }),
    ));
    let codes: Vec<&str> = found.iter().map(|finding| finding.code.as_str()).collect();
    assert_eq!(
        codes,
        ["address-outside-network", "public-unauthenticated-admin", "unknown-ref", "port-clash", "unused-secret"],
        "\n{}",
        show(&found)
    );
}

/// Ten times the services take about ten times as long.
#[test]
fn checks_grow_with_the_fleet_only() {
    let big = |count: usize| {
        let mut value = base();
        let services = value["services"].as_object_mut().unwrap();
        for index in 0..count {
            let name = format!("s{index}");
            let previous = format!("s{}", index.saturating_sub(1));
            services.insert(
                name.clone(),
                json!({
                    "host": "edge", "run": { "systemd": { "exec": ["/usr/bin/true"] } }, "ports": { "http": 10_000 + index },
                    "proxy": [{ "names": [format!("{name}.example.net")] }], "needs": if index == 0 { json!([]) } else { json!([previous]) },
                    "backup": { "paths": [format!("/var/lib/{name}")] }
                }),
            );
        }
        fleet(value)
    };
    let time = |count| {
        let fleet = big(count);
        let fastest = (0..3).map(|_| {
            let start = Instant::now();
            let found = check(&fleet);
            assert!(found.is_empty(), "\n{}", show(&found));
            start.elapsed()
        });
        fastest.min().unwrap_or(Duration::ZERO)
    };
    let (small, large) = (time(100), time(1000));
    assert!(large < small * 30, "100 services take {small:?}, 1000 take {large:?}");
}
