//! Every check: a fleet that it has nothing against, and one that it finds fault with, at the right place.

use std::time::{Duration, Instant};

use cfg_render::check::check;
use contract::{Finding, Level};
use serde_json::{Value, json};

use crate::fleet::{fleet, merged, patched};

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

/// The good fleet has nothing of this code; with the patch there is, at this place, with a remedy.
fn bad(code: &str, place: &str, patch: Value) {
    let good = findings(base());
    assert!(good.iter().all(|finding| finding.code != code), "{code} on the good fleet:\n{}", show(&good));
    let found = findings(merged(base(), patch));
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
fn ports() {
    let clash = |port: Value| json!({ "services": { "worker": { "ports": { "http": port } } } });
    bad("port-clash", "/services/worker/ports/http", clash(json!({ "port": 8000, "bind": "vpn" })));
    bad("port-clash", "/services/worker/ports/http", clash(json!({ "port": 8000, "bind": "any", "proto": "both" })));
    bad("port-clash", "/services/worker/ports/http", clash(json!(22)));
    bad("port-clash", "/services/worker/ports/http", clash(json!(9100)));
    bad("port-clash", "/services/worker/ports/http", clash(json!(5432)));
    bad("port-clash", "/services/site/ports/x", json!({ "services": { "site": { "ports": { "x": 443 } } } }));
    good("port-clash", clash(json!(8000)));
    good("port-clash", clash(json!({ "port": 8000, "bind": "vpn", "proto": "udp" })));
    good("port-clash", clash(json!({ "port": 22, "publish": false })));
    // What is not ours may describe the host's own sshd.
    good(
        "port-clash",
        json!({ "services": { "sh": { "host": "back", "run": { "external": {} }, "ports": { "ssh": 22 } } } }),
    );
}

#[test]
fn hostnames() {
    bad(
        "hostname-clash",
        "/services/site/proxy/0/names/0",
        json!({ "services": { "site": { "proxy": [{ "names": ["APP.example.net."] }] } } }),
    );
    bad(
        "hostname-clash",
        "/services/site/proxy/1/names/0",
        json!({ "services": { "site": { "proxy": [{}, { "names": ["site.example.net"] }] } } }),
    );
    good(
        "hostname-clash",
        json!({ "services": { "site": { "proxy": [{ "names": ["app.example.net"], "path": "/docs" }] } } }),
    );
    bad(
        "bad-hostname",
        "/services/site/proxy/0/names/0",
        json!({ "services": { "site": { "proxy": [{ "names": ["a_b.example.net"] }] } } }),
    );
    bad(
        "bad-hostname",
        "/services/site/proxy/0/names/0",
        json!({ "services": { "site": { "proxy": [{ "names": ["a.*.example.net"] }] } } }),
    );
    good(
        "bad-hostname",
        json!({ "services": { "site": { "proxy": [{ "names": ["bücher.example.net", "*.example.net"] }] } } }),
    );
    bad("no-name", "/services/site/proxy/0", json!({ "domain": null, "services": { "site": { "proxy": [{}] } } }));
    bad(
        "no-edge",
        "/services/plc/proxy/0",
        json!({ "services": { "plc": { "proxy": [{ "names": ["plc.example.net"] }] } } }),
    );
    bad(
        "shadowed-wildcard",
        "/services/app/proxy/0",
        json!({ "services": { "site": { "proxy": [{ "names": ["*.example.net"], "tls": "acme-dns" }] } } }),
    );
}

#[test]
fn dns() {
    let record = |record: Value| json!({ "dns": { "zones": { "example.net": { "records": [record] } } } });
    bad("dns-collision", "/dns/zones/example.net/records/0", record(json!({ "name": "app", "CNAME": "x.test." })));
    bad("dns-collision", "/dns/zones/example.net/records/0", record(json!({ "name": "@", "CNAME": "x.test." })));
    bad(
        "dns-collision",
        "/dns/zones/example.net/records/1",
        json!({ "dns": { "zones": { "example.net": { "records": [{ "name": "x", "TXT": ["a"] }, { "name": "X", "CNAME": "y.test." }] } } } }),
    );
    bad(
        "outside-zone",
        "/dns/zones/example.net/records/0/name",
        record(json!({ "name": "x.example.org.", "TXT": ["a"] })),
    );
    good("dns-collision", record(json!({ "name": "app", "A": ["192.0.2.77"] })));
    let on_back = json!({ "defaults": { "host": { "proxy": {} } }, "hosts": { "back": { "addresses": { "public": ["192.0.2.2"] } } }, "services": {
        "worker": { "ports": { "http": 1 }, "proxy": [{ "names": ["example.net"] }] } } });
    bad("dns-collision", "/services/worker/proxy/0", on_back);
    bad(
        "name-without-zone",
        "/services/site/proxy/0",
        json!({ "services": { "site": { "proxy": [{ "names": ["www.elsewhere.net"] }] } } }),
    );
    bad(
        "no-address",
        "/services/app/proxy/0",
        json!({ "services": { "app": { "proxy": [{ "names": ["app.example.net"] }] } } }),
    );
}

#[test]
fn dependencies() {
    let patch = json!({ "services": { "app": { "needs": ["third"] }, "third": { "host": "back", "run": { "external": {} }, "needs": ["worker"] } } });
    bad("dependency-cycle", "/services/app/needs/0", patch.clone());
    let found = findings(merged(base(), patch));
    let hit = found.iter().find(|finding| finding.code == "dependency-cycle").unwrap();
    assert!(hit.message.ends_with("app, third, worker"), "{}", hit.message);
    assert_eq!(hit.related.len(), 2);
    bad("needs-itself", "/services/app/needs/0", json!({ "services": { "app": { "needs": ["app"] } } }));
    good("dependency-cycle", json!({ "services": { "app": { "wants": ["worker"] } } }));
}

#[test]
fn exposure() {
    bad(
        "public-plaintext",
        "/services/site/proxy/0/tls",
        json!({ "services": { "site": { "proxy": [{ "tls": "none" }] } } }),
    );
    good(
        "public-plaintext",
        json!({ "services": { "site": { "proxy": [{ "names": ["x.example.net"], "tls": "none", "from": ["lan"] }] } } }),
    );
    let code = "public-unauthenticated-admin";
    good(
        code,
        json!({ "services": { "site": { "proxy": [{ "names": ["x.example.net"], "tls": "none", "accept_risk": ["public-plaintext"] }] } } }),
    );
    bad(code, "/hosts/edge/allow/0", json!({ "hosts": { "edge": { "allow": [{ "port": "9000-9100" }] } } }));
    bad(code, "/databases/main", json!({ "databases": { "main": { "bind": ["public"] } } }));
    bad(
        code,
        "/services/app/expose/0",
        json!({ "services": { "app": { "ports": { "r": { "port": 6379, "bind": "any" } }, "expose": [{ "port": "r" }] } } }),
    );
    let prometheus = json!({ "host": "edge", "run": { "package": {} }, "ports": { "http": 9090 }, "proxy": [{}], "backup": { "none": "small" } });
    bad(
        code,
        "/services/prometheus/proxy/0",
        json!({ "services": { "prometheus": prometheus }, "monitoring": { "prometheus": {} } }),
    );
    good(code, json!({ "hosts": { "edge": { "allow": [{ "port": 9100, "from": ["vpn"] }] } } }));
    bad(
        "access-without-tunnel",
        "/services/site/proxy/0/auth",
        json!({ "access": { "a": { "people": ["ann"] } }, "services": { "site": { "proxy": [{ "auth": { "access": "a" } }] } } }),
    );
}

#[test]
fn access() {
    bad("lockout", "/defaults/host/ssh/keys", json!({ "defaults": { "host": { "ssh": { "groups": [] } } } }));
    bad(
        "lockout",
        "/hosts/edge/ssh/from",
        json!({ "hosts": { "edge": { "ssh": { "groups": ["admins"], "from": [] } } } }),
    );
    bad(
        "lockout",
        "/hosts/edge/ssh/root",
        json!({ "hosts": { "edge": { "ssh": { "groups": ["admins"], "root": "no" } } } }),
    );
    bad(
        "lockout",
        "/hosts/edge/ssh/user",
        json!({ "hosts": { "edge": { "ssh": { "groups": ["admins"], "user": "ann", "become": "sudo" } } } }),
    );
    bad(
        "lockout",
        "/hosts/edge/ssh/user",
        json!({ "hosts": { "edge": { "ssh": { "groups": ["admins"], "user": "ann" }, "users": { "ann": { "admin": true } } } } }),
    );
    bad(
        "lockout",
        "/hosts/edge/ssh/from",
        json!({ "networks": { "far": { "tailscale": {} } }, "hosts": { "edge": { "ssh": { "groups": ["admins"], "from": ["far"] } } } }),
    );
    bad("lockout", "/hosts/edge", json!({ "hosts": { "edge": { "addresses": null } } }));
    good(
        "lockout",
        json!({ "hosts": { "edge": { "ssh": { "groups": ["admins"], "user": "ann", "become": "sudo", "root": "no" }, "users": { "ann": { "admin": true } } } } }),
    );
    let ssh = |via: &str| json!({ "ssh": { "groups": ["admins"], "via": via } });
    bad("via-cycle", "/hosts/edge/ssh/via", json!({ "hosts": { "edge": ssh("back"), "back": ssh("edge") } }));
}

#[test]
fn keys() {
    let blob = "AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv";
    let host = |key: String| json!({ "hosts": { "edge": { "host_keys": [key] } } });
    bad("bad-host-key", "/hosts/edge/host_keys/0", host(format!("SHA256:{blob}")));
    bad("bad-host-key", "/hosts/edge/host_keys/0", host(format!("ssh-ed25519 {}", &blob[..40])));
    bad("bad-host-key", "/hosts/edge/host_keys/0", host(format!("ssh-rsa {blob}")));
    good("bad-host-key", host(format!("ssh-ed25519 {blob}")));
    let person = |key: String| json!({ "people": { "ann": { "ssh_keys": [key] } } });
    bad("bad-ssh-key", "/people/ann/ssh_keys/0", person("ssh-ed25519".into()));
    bad("bad-ssh-key", "/people/ann/ssh_keys/0", person(format!("ssh-dss {blob}")));
    good("bad-ssh-key", person(format!("restrict,pty ssh-ed25519 {blob} ann@desk")));
    let recipient = |key: &str| json!({ "hosts": { "edge": { "secrets": { "recipient": key } } } });
    bad("bad-recipient", "/hosts/edge/secrets/recipient", recipient("age1short"));
    good("bad-recipient", recipient("age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq"));
    good("bad-recipient", recipient(&format!("ssh-ed25519 {blob}")));
}

#[test]
fn secrets() {
    let env = |key: &str, value: &str| json!({ "services": { "worker": { "env": { key: value } } } });
    let at = |key: &str| format!("/services/worker/env/{key}");
    for (key, value) in [
        ("SMTP_PASSWORD", "canary-hunter2"),
        ("API_TOKEN", "canary"),
        ("URL", "postgres://app:canary@db/app"),
        ("ANY", "-----BEGIN OPENSSH PRIVATE KEY-----\ncanary"),
        ("ID", "AKIAIOSFODNN7EXAMPLE"),
    ] {
        bad("plaintext-secret", &at(key), env(key, value));
        let found = findings(merged(base(), env(key, value)));
        assert!(found.iter().all(|f| !f.message.contains("canary") && !f.message.contains("AKIA")), "{}", show(&found));
    }
    let random = findings(merged(base(), env("SALT", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b")));
    assert!(random.iter().any(|f| f.code == "plaintext-secret" && f.level == Level::Warning), "{}", show(&random));
    for (key, value) in [
        ("PASSWORD_FILE", "/run/secrets/x"),
        ("TOKEN", ""),
        ("TOKEN_TTL", "3600"),
        ("AUTH_SECRET", "/run/secrets/auth"),
        ("ALLOW_PASSWORD", "false"),
        ("MONKEY", "banana"),
        ("URL", "https://user@example.net/"),
    ] {
        good("plaintext-secret", env(key, value));
    }
    bad(
        "secret-backend-missing",
        "/hosts/back/secrets/backend",
        json!({ "hosts": { "back": { "secrets": { "backend": "none" } } } }),
    );
    bad(
        "secret-backend-missing",
        "/hosts/back/secrets/backend",
        json!({ "hosts": { "back": { "secrets": { "backend": "agenix" } } } }),
    );
    bad("unused-secret", "/secrets/old", json!({ "secrets": { "old": {} } }));
    bad("bad-reference", "/secrets/restic/reference", json!({ "secrets": { "restic": { "reference": "vault:x" } } }));
    good("bad-reference", json!({ "secrets": { "restic": { "reference": "op://home/restic/password" } } }));
}

#[test]
fn backups() {
    let worker = |paths: Value| json!({ "services": { "worker": { "backup": { "none": null, "paths": paths } } } });
    bad("backup-overlap", "/services/worker/backup/paths/0", worker(json!(["/var/lib/app/"])));
    bad("backup-overlap", "/services/worker/backup/paths/0", worker(json!(["/var/lib/app/cache"])));
    bad("backup-overlap", "/services/app/backup/paths/0", worker(json!(["/var/lib"])));
    bad("backup-overlap", "/services/worker/backup/paths/0", worker(json!(["/var/lib/postgresql/17/main"])));
    bad(
        "backup-overlap",
        "/services/worker/backup/paths/0",
        merged(worker(json!(["/srv"])), json!({ "backups": { "repositories": { "b2": { "uri": "/srv/restic" } } } })),
    );
    good("backup-overlap", worker(json!(["/var/lib/app2"])));
    bad("no-backup-plan", "/services/app/backup/paths/0", json!({ "backups": { "plans": { "weekly": {} } } }));
    bad(
        "no-backup-plan",
        "/services/app/backup/paths/0",
        json!({ "hosts": { "back": { "backup": { "none": "why" } } } }),
    );
    bad("no-repository", "/backups/plans/nightly", json!({ "backups": { "repositories": null } }));
    bad("unbacked-state", "/services/worker", json!({ "services": { "worker": { "backup": null } } }));
}

#[test]
fn databases() {
    bad(
        "database-clash",
        "/services/worker/databases/0",
        json!({ "services": { "worker": { "databases": [{ "name": "app" }] } } }),
    );
    bad(
        "risky-trust",
        "/databases/main/hba/profile",
        json!({ "databases": { "main": { "hba": { "profile": "declared-trust" } } } }),
    );
    bad(
        "risky-trust",
        "/services/worker/databases/0/auth",
        json!({ "services": { "worker": { "databases": [{ "auth": "trust" }] } } }),
    );
    good(
        "risky-trust",
        json!({ "databases": { "main": { "hba": { "profile": "declared-trust" }, "accept_risk": ["risky-trust"] } } }),
    );
    bad(
        "impossible-login",
        "/services/app/databases/0",
        json!({ "services": { "app": { "databases": [{ "name": "app" }] } } }),
    );
    bad(
        "impossible-login",
        "/services/worker/databases/0",
        json!({ "services": { "worker": { "databases": [{ "auth": "scram" }] } } }),
    );
    let away = json!({ "services": { "site": { "databases": [{ "password": { "secret": "restic" } }] } } });
    bad("unreachable-database", "/services/site/databases/0", away.clone());
    good("unreachable-database", merged(away, json!({ "databases": { "main": { "bind": ["vpn"] } } })));
    let managed = json!({ "host": null, "external": { "address": "10.1.0.9", "network": "lan" }, "admin": { "password": { "secret": "restic" } } });
    bad(
        "unreachable-database",
        "/services/site/databases/0",
        json!({ "databases": { "main": managed }, "services": { "site": { "databases": [{ "password": { "secret": "restic" } }] } } }),
    );
}

#[test]
fn certificates() {
    let site = |route: Value| json!({ "services": { "site": { "proxy": [route] } } });
    let at = "/services/site/proxy/0";
    let tls = "/services/site/proxy/0/tls";
    let code = "cert-impossible";
    bad(code, at, site(json!({ "names": ["*.example.net"] })));
    bad(code, tls, site(json!({ "names": ["x.test"], "tls": "acme" })));
    bad(code, tls, site(json!({ "names": ["x.example.net"], "from": ["vpn"], "tls": "acme" })));
    bad(code, tls, site(json!({ "names": ["x.example.net"], "tls": "tunnel" })));
    bad(code, tls, site(json!({ "names": ["x.elsewhere.net"], "tls": "acme-dns" })));
    bad(code, tls, site(json!({ "names": ["x.example.net"], "tls": "on-demand" })));
    bad(
        code,
        at,
        merged(
            site(json!({ "names": ["x.example.net"] })),
            json!({ "hosts": { "edge": { "proxy": { "http_port": 8080 } } } }),
        ),
    );
    bad(
        code,
        at,
        merged(site(json!({ "names": ["x.test"] })), json!({ "certificates": { "domains": ["lab.internal"] } })),
    );
    good(code, site(json!({ "names": ["*.example.net"], "tls": "acme-dns" })));
    good(code, site(json!({ "names": ["x.test"] })));
    good(code, site(json!({ "names": ["x.example.net"], "from": ["vpn"] })));
}

#[test]
fn proxies() {
    let edge = |proxy: Value| json!({ "hosts": { "edge": { "proxy": proxy } } });
    let code = "unsupported-feature";
    let cases = [
        ("http3", json!({ "http3": true, "version": "1.22.1" })),
        ("ktls", json!({ "kind": "caddy", "ktls": true })),
        ("early_data", json!({ "kind": "caddy", "early_data": true })),
        ("limits", json!({ "kind": "caddy", "limits": { "rate": "10r/s" } })),
        ("acme", json!({ "kind": "caddy", "acme": { "challenge": "dns-01" } })),
        ("on_demand", json!({ "on_demand": { "ask": "http://127.0.0.1:1/" } })),
        ("image", json!({ "kind": "traefik" })),
    ];
    for (key, proxy) in cases {
        bad(code, &format!("/hosts/edge/proxy/{key}"), edge(proxy));
    }
    good(code, edge(json!({ "http3": true, "ktls": true, "early_data": true })));
    good(
        code,
        edge(json!({ "kind": "caddy", "limits": { "rate": "10r/s" }, "modules": ["http.handlers.rate_limit"] })),
    );
    bad(
        code,
        "/hosts/edge/proxy/http3",
        merged(edge(json!({ "http3": true })), json!({ "hosts": { "edge": { "os": "debian-12" } } })),
    );
    bad(
        code,
        "/services/app/proxy/0/scheme",
        json!({ "services": { "app": { "proxy": [{ "names": ["app.example.net"], "via": "edge", "scheme": "ssh" }] } } }),
    );
    bad(code, "/services/app/run/container", json!({ "hosts": { "back": { "containers": null } } }));
    bad(
        code,
        "/services/worker/run/nixos",
        json!({ "services": { "worker": { "run": { "systemd": null, "nixos": { "module": "services.x" } } } } }),
    );
    bad(code, "/hosts/edge/disk", json!({ "hosts": { "edge": { "disk": { "device": "/dev/sda" } } } }));
    let code = "unreachable-upstream";
    let port = |bind: &str| json!({ "services": { "app": { "ports": { "http": { "bind": bind } } } } });
    bad(code, "/services/app/proxy/0", port("local"));
    bad(code, "/services/app/proxy/0", port("lan"));
    good(code, port("any"));
    bad(code, "/services/app/proxy/0", json!({ "hosts": { "edge": { "addresses": { "vpn": null } } } }));
    bad(
        code,
        "/services/app/expose/0",
        merged(port("local"), json!({ "services": { "app": { "proxy": [], "expose": [{ "from": ["lan"] }] } } })),
    );
    bad(
        code,
        "/services/app/expose/0",
        merged(port("lan"), json!({ "services": { "app": { "proxy": [], "expose": [{ "via": "edge" }] } } })),
    );
}

#[test]
fn addresses_and_paths() {
    bad(
        "address-outside-network",
        "/hosts/edge/addresses/vpn/0",
        json!({ "hosts": { "edge": { "addresses": { "vpn": ["10.0.0.1"] } } } }),
    );
    bad(
        "address-outside-network",
        "/hosts/edge/addresses/public/0",
        json!({ "hosts": { "edge": { "addresses": { "public": ["127.0.0.1"] } } } }),
    );
    bad(
        "duplicate-address",
        "/hosts/edge/addresses/vpn/0",
        json!({ "hosts": { "edge": { "addresses": { "vpn": ["100.64.0.2"] } } } }),
    );
    let file = json!({ "content": "x" });
    bad(
        "file-clash",
        "/services/site/files/~1etc~1x",
        json!({ "hosts": { "edge": { "files": { "/etc/x": file } } }, "services": { "site": { "files": { "/etc/x": file } } } }),
    );
    good(
        "file-clash",
        json!({ "hosts": { "back": { "files": { "/etc/x": file } } }, "services": { "site": { "files": { "/etc/x": file } } } }),
    );
    bad(
        "bad-path",
        "/services/site/run/static/root",
        json!({ "services": { "site": { "run": { "static": { "root": "srv" } } } } }),
    );
    bad(
        "bad-path",
        "/services/app/backup/paths/0",
        json!({ "services": { "app": { "backup": { "paths": ["/var/../etc"] } } } }),
    );
}

#[test]
fn watching() {
    let prometheus = json!({ "services": { "prometheus": { "host": "edge", "run": { "package": {} }, "ports": { "http": 9090 }, "backup": { "none": "small" } } }, "monitoring": { "prometheus": {} } });
    let mut bare = prometheus.clone();
    bare["defaults"] = json!({ "host": { "agents": null } });
    bad("unmonitored", "/hosts/edge", bare);
    let mut silent = prometheus.clone();
    silent["services"]["app"] = json!({ "ports": null, "proxy": null });
    bad("unmonitored", "/services/app", silent);
    good("unmonitored", prometheus);
    for image in ["app", "registry:5000/app", "app:latest"] {
        bad(
            "image-not-pinned",
            "/services/app/run/container/image",
            json!({ "services": { "app": { "run": { "container": { "image": image } } } } }),
        );
    }
    good(
        "image-not-pinned",
        json!({ "services": { "app": { "run": { "container": { "image": "registry:5000/app@sha256:00" } } } } }),
    );
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
    let (small, large) = (time(400), time(4000));
    assert!(large < small * 25, "400 services take {small:?}, 4000 take {large:?}");
}
