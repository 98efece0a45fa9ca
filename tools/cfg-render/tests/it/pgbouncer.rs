//! PgBouncer before PostgreSQL: what is asked for where, and what is refused.

use serde_json::{Value, json};

use crate::fleet::merged;
use crate::run::{cfg_render, document, files};

fn fleet() -> Value {
    json!({
        "schema": "fleet/v1", "name": "pooled", "domain": "pooled.test",
        "networks": {"lan": {"cidrs": ["10.1.0.0/16"]}},
        "defaults": {"host": {"os": "debian-12", "ssh": {"keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me"]}}},
        "hosts": {"db": {"addresses": {"public": ["192.0.2.1"], "lan": ["10.1.0.1"]}}, "web": {"addresses": {"public": ["192.0.2.2"], "lan": ["10.1.0.2"]}}},
        "databases": {"main": {"host": "db", "bind": ["lan"], "pgbouncer": {"size": 3, "settings": {"server_idle_timeout": "60"}}}},
        "services": {
            "shop": {
                "host": "web", "run": {"systemd": {"exec": ["/usr/bin/true"]}}, "env": {"URL": {"database": "shop-x", "attr": "url"}},
                "databases": [{"name": "shop-x", "owner": "shop", "password": {"secret": "shop-db"}, "pool": {}}], "backup": {"none": "test"}
            },
            "jobs": {
                "host": "db", "run": {"systemd": {"exec": ["/usr/bin/true"]}}, "env": {"PORT": {"database": "jobs", "attr": "port"}},
                "databases": [{"password": {"secret": "jobs-db"}, "pool": {"mode": "session", "size": 2}}], "backup": {"none": "test"}
            },
            "plain": {
                "host": "web", "run": {"systemd": {"exec": ["/usr/bin/true"]}}, "env": {"PORT": {"database": "plain", "attr": "port"}},
                "databases": [{"password": {"secret": "plain-db"}}], "backup": {"none": "test"}
            }
        },
        "secrets": {"shop-db": {}, "jobs-db": {}, "plain-db": {}}
    })
}

fn file(all: &[(String, String)], path: &str) -> String {
    all.iter().find(|(known, _)| known == path).unwrap_or_else(|| panic!("{path} is there")).1.clone()
}

#[test]
fn pooled_databases_are_asked_for_at_the_pooler() {
    let fleet = fleet();
    let (db, web) = (files(&fleet, "db"), files(&fleet, "web"));
    let secrets = document(&["secrets", "--host", "web"], &fleet).to_string();
    assert!(secrets.contains("@@secret:shop-db@@@10.1.0.1:6432/shop-x"), "{secrets}");
    assert!(file(&web, "/etc/systemd/system/plain.service").contains("PORT=5432"));
    let jobs = file(&db, "/etc/systemd/system/jobs.service");
    assert!(jobs.contains("PORT=6432") && jobs.contains("After=pgbouncer.service"), "{jobs}");
    // Both stay open to the host that uses both, and to nobody else.
    let firewall = file(&db, "/etc/nftables.conf");
    assert!(firewall.contains("ip saddr 10.1.0.2 tcp dport { 5432, 6432 }"), "{firewall}");
    let health = document(&["health", "--from", "db"], &fleet);
    let checks = health["checks"].as_array().unwrap();
    let check = |id: &str| checks.iter().find(|check| check["id"] == id).unwrap_or_else(|| panic!("{id}"));
    assert_eq!(check("db.main.pgbouncer")["unit"]["name"], "pgbouncer.service");
    let login = check("db.main.database.shop-x");
    assert_eq!(
        (&login["needs"][0], &login["postgres"]["address"]),
        (&json!("db.main.pgbouncer"), &json!("127.0.0.1:6432"))
    );
    assert_eq!(check("db.main.database.plain")["postgres"]["address"], "127.0.0.1:5432");
    // No password is in any file of the pooler.
    assert!(
        db.iter().filter(|(path, _)| path.starts_with("/etc/pgbouncer")).all(|(_, text)| !text.contains("@@secret"))
    );
}

#[test]
fn a_pooler_that_cannot_be_is_refused() {
    for (patch, place, code) in [
        (json!({"databases": {"main": {"pgbouncer": null}}}), "/services/jobs/databases/0/pool", "no-pooler"),
        (
            json!({"services": {"plain": {"databases": [{"pool": {}}], "host": "db"}}}),
            "/services/plain/databases/0/pool",
            "impossible-login",
        ),
        (json!({"databases": {"main": {"port": 6432}}}), "/databases/main/pgbouncer", "port-clash"),
        (
            json!({"services": {"shop": {"databases": [{"name": "a b", "password": {"secret": "shop-db"}, "pool": {}}], "env": null}}}),
            "/services/shop/databases/0/name",
            "unrepresentable",
        ),
        (
            json!({"databases": {"main": {"pgbouncer": {"bind": ["moon"]}}}}),
            "/databases/main/pgbouncer/bind/0",
            "unknown-ref",
        ),
    ] {
        let fleet = merged(fleet(), patch);
        let output = cfg_render(&["check"], &fleet.to_string());
        let text = String::from_utf8_lossy(&output.stdout);
        let found: Value = serde_json::from_str(&text).unwrap();
        let hit =
            found["findings"].as_array().unwrap().iter().any(|one| one["code"] == code && one["pointer"] == place);
        assert!(hit && output.status.code() == Some(1), "{code} at {place}: {text}");
    }
}
