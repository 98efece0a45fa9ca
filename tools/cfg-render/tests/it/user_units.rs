//! Units of a user on Debian: files that systemd reads, and the user's manager that starts them.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::run::{document, files_of, peer, say};

fn fleet() -> Value {
    json!({
        "schema": "fleet/v1", "name": "mine",
        "hosts": {"a": {"os": "debian-12", "addresses": {"public": ["192.0.2.10"]}, "users": {"ann": {"linger": true}},
            "ssh": {"keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me"]}}},
        "services": {
            "agent": {"host": "a", "user": "ann", "description": "50% of \"it\"", "env": {"A": "b $c", "TOKEN": {"secret": "token"}},
                "env_secrets": ["more"], "secrets": ["token"],
                "run": {"systemd": {"exec": ["/usr/bin/env", "a b", "100%"], "user_unit": true}}, "backup": {"none": "a test"}},
            "tidy": {"host": "a", "user": "ann", "run": {"systemd": {"exec": ["/bin/true"], "user_unit": true, "calendar": "daily"}}, "backup": {"none": "a test"}},
            "system": {"host": "a", "needs": ["agent"], "run": {"systemd": {"exec": ["/bin/true"]}}, "backup": {"none": "a test"}}
        },
        "secrets": {"token": {}, "more": {}}
    })
}

#[test]
fn systemd_reads_units_of_a_user_without_a_word() {
    let Some(analyze) = peer("systemd-analyze", "apt-get install systemd") else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut units = Vec::new();
    for (path, text) in files_of(&document(&["host", "--host", "a"], &fleet())) {
        if let Some(name) = path.strip_prefix("/etc/systemd/user/") {
            assert!(text.contains("ConditionUser=ann\n"), "only one user's manager takes it: {text}");
            let file = folder.path().join(name);
            fs::write(&file, text).unwrap();
            units.push(file);
        }
    }
    assert_eq!(units.len(), 3, "{units:?}");
    let (good, said) = say(Command::new(&analyze)
        .env("SYSTEMD_UNIT_PATH", format!("{}:", folder.path().display()))
        .env("XDG_RUNTIME_DIR", folder.path())
        .args(["--user", "verify", "--man=no", "--recursive-errors=no"])
        .args(&units));
    assert!(good && said.trim().is_empty(), "{said}");
}

#[test]
fn the_manager_of_the_user_starts_them_and_reads_their_secrets() {
    let desired = document(&["host", "--host", "a"], &fleet());
    let units: Vec<&Value> = desired["items"].as_array().unwrap().iter().filter_map(|item| item.get("unit")).collect();
    let of = |name: &str| units.iter().find(|unit| unit["name"] == name).copied();
    for name in ["agent.service", "tidy.timer"] {
        let unit = of(name).unwrap();
        assert_eq!((&unit["scope"], &unit["state"]), (&json!("user:ann"), &json!("started")), "{name}");
    }
    assert!(of("tidy.service").is_none(), "its timer starts it");
    let all = files_of(&desired);
    let agent = &all.iter().find(|(path, _)| path == "/etc/systemd/user/agent.service").unwrap().1;
    assert!(
        agent.contains("EnvironmentFile=/run/secrets/rendered/agent.env\nEnvironmentFile=/run/secrets/more\n"),
        "{agent}"
    );
    // It cannot wait for the system's unit of secrets, and so tries until they are there.
    assert!(agent.contains("StartLimitIntervalSec=0\n") && agent.contains("Restart=on-failure\n"), "{agent}");
    let system = &all.iter().find(|(path, _)| path == "/etc/systemd/system/system.service").unwrap().1;
    assert!(!system.contains("agent.service"), "the system's manager knows no unit of a user: {system}");
    let manifest = document(&["secrets", "--host", "a"], &fleet());
    let secret = |name: &str| {
        manifest["secrets"].as_array().unwrap().iter().find(|secret| secret["name"] == name).unwrap().clone()
    };
    for name in ["token", "more"] {
        assert_eq!(secret(name)["owner"], "ann", "{name}");
        assert!(secret(name).get("units").is_none(), "{name}: no unit of the system reads it");
    }
    let template = manifest["templates"].as_array().unwrap().iter().find(|one| one["name"] == "agent.env").unwrap();
    assert_eq!(template["owner"], "ann");
    let report = document(&["health", "--from", "a"], &fleet());
    let check = report["checks"].as_array().unwrap().iter().find(|check| check["id"] == "a.agent.unit").unwrap();
    assert_eq!(check["unit"], json!({"name": "agent.service", "scope": "user:ann"}));
}
