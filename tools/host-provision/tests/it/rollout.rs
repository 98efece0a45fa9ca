//! Several hosts in order, with a gate; and hosts that go on by themselves.

use serde_json::{Value, json};

use crate::lab::{Lab, lab};
use crate::{desired, run};

#[test]
fn a_host_brings_itself_back() {
    let Some(host) = Lab::boot() else { return };
    let document = desired("lab1", &json!([{"id": "a", "file": {"path": "/etc/kept", "content": "as declared\n"}}]));
    let pull = run(&["pull", "--every", "1h"], &document.to_string()).expect(0).json();
    assert_eq!(pull["owner"], "pull-fleet");
    host.apply(&pull).expect(0);
    assert_eq!(host.exec("systemctl is-active plumbline-pull-fleet.timer; systemctl is-enabled plumbline-pull-fleet.timer; stat -c %a /var/lib/plumbline/pull/fleet.json"), "active\nenabled\n600");
    for text in ["", "by hand"] {
        host.exec(&format!("printf '%s' '{text}' >/etc/kept; systemctl start plumbline-pull-fleet.service"));
        assert_eq!(
            host.exec("cat /etc/kept"),
            "as declared",
            "{}",
            host.exec("journalctl -u plumbline-pull-fleet --no-pager | tail")
        );
    }
    assert_eq!(host.apply(&pull).expect(0).json()["changed"], false);
    // No longer wanted: the timer goes, what it kept stays declared by its owner.
    host.apply(&desired("lab1", &json!([]))).expect(0);
    let mut none = desired("lab1", &json!([]));
    none["owner"] = json!("pull-fleet");
    host.apply(&none).expect(0);
    assert_eq!(
        host.exec("systemctl list-timers --all --no-legend 'plumbline-pull*'; ls /etc/systemd/system | grep pull"),
        ""
    );
    run(&["pull", "--every", "1s"], &document.to_string()).expect(2);
}

/// Three hosts: the second one's gate says no, so that it goes back and the third is not begun.
#[test]
fn a_rollout_stops_where_it_is_not_well() {
    let Some(first) = Lab::boot() else { return };
    let pid = std::process::id().to_string();
    let name = format!("hr{pid}");
    let (code, text) = lab(&["up", "3", "--name", &name, "--until-pid", &pid]);
    assert_eq!(code, 0);
    drop(first);
    let document: Value = serde_json::from_str(&text).unwrap();
    let hosts: Vec<Value> = document["hosts"].as_array().unwrap().iter().enumerate().map(|(order, host)| {
        json!({"name": host["name"], "os": "debian-12", "arch": "x86_64", "order": order, "host_keys": [host["host_key"]],
            "addresses": [{"address": host["address"], "port": 22, "user": "root"}]})
    }).collect();
    let inventory = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(inventory.path(), json!({"schema": "hosts.inventory/v1", "hosts": hosts}).to_string()).unwrap();
    let documents: Vec<String> = ["lab3", "lab1", "lab2"]
        .iter()
        .map(|name| desired(name, &json!([{"id": "a", "file": {"path": "/etc/rolled", "content": "out"}}])).to_string())
        .collect();
    let key = document["key"].as_str().unwrap();
    let flags = ["--hosts", inventory.path().to_str().unwrap(), "-i", key];
    let args: Vec<&str> =
        ["apply", "--in-order", "--jobs", "3", "--gate", "test $HOST != lab2"].iter().chain(&flags).copied().collect();
    let ran = run(&args, &documents.join("\n")).expect(3);
    let results: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let outcomes: Vec<(&str, &str)> =
        results.iter().map(|result| (result["host"].as_str().unwrap(), result["outcome"].as_str().unwrap())).collect();
    assert_eq!(outcomes, [("lab1", "done"), ("lab2", "rolled_back"), ("lab3", "not_started")]);
    let there = |number: &str| {
        let output = std::process::Command::new(crate::lab::program())
            .args(["--lab", &name, "exec", number, "--", "cat", "/etc/rolled"])
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!((there("1"), there("2"), there("3")), ("out".into(), String::new(), String::new()));
    // Well now: all three, the first has nothing to do.
    let args: Vec<&str> = ["apply", "--in-order", "--gate", "true"].iter().chain(&flags).copied().collect();
    let ran = run(&args, &documents.join("\n")).expect(0);
    assert_eq!(ran.stdout.matches("\"changed\":true").count(), 2, "{}", ran.stdout);
    // All at once.
    let args: Vec<&str> = ["apply", "--jobs", "3"].iter().chain(&flags).copied().collect();
    let ran = run(&args, &documents.join("\n")).expect(0);
    assert_eq!(ran.stdout.matches("\"changed\":false").count(), 3, "{}", ran.stdout);
    lab(&["--lab", &name, "down"]);
}
