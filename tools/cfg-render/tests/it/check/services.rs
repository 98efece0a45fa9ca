//! Checks of services: names, dependencies, exposure, secrets, backups, databases.

use contract::Level;
use serde_json::{Value, json};

use super::{bad, base, findings, good, show};
use crate::fleet::merged;

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
