//! Command line and documents.

use serde_json::json;

use crate::{desired, run};

#[test]
fn all_that_is_wrong_is_said_in_one_run() {
    let mut document = desired(
        "web1",
        &json!([
            {"id": "a", "file": {"path": "etc/x", "content": "1"}},
            {"id": "a", "file": {"path": "/etc/y"}},
            {"id": "b", "command": {"argv": ["true"]}},
            {"id": "c", "file": {"path": "/etc/z", "content": "pw=@@secret:db@@"}, "notify": ["run:nothing", "explode:x"]},
            {"id": "d", "file": {"path": "/etc/z", "content": "again", "set": "none", "validate": ["true"]}},
            {"id": "e"},
            {"id": "f", "packages": {"present": ["--purge", "good"]}},
            {"id": "g", "user": {"name": "-x"}, "group": {"name": "g"}}
        ]),
    );
    document["access"] = json!({"ssh_ports": [], "login_users": []});
    let ran = run(&["plan", "--target", "sandbox:/tmp/none", "--log-format", "json"], &document.to_string()).expect(65);
    assert_eq!(ran.stdout, "");
    for code in [
        "bad_path",
        "duplicate_id",
        "file_content",
        "unconditional_command",
        "placeholder",
        "unknown_handler",
        "duplicate_path",
        "unknown_set",
        "validate_path",
        "item_kind",
        "bad_package",
        "bad_name",
        "no_ssh_port",
        "no_login_user",
    ] {
        assert!(ran.stderr.contains(&format!("\"code\":\"{code}\"")), "{code}: {}", ran.stderr);
    }
    assert!(ran.stderr.contains("/items/2/command"));
}

#[test]
fn unknown_words_are_met_with_near_ones() {
    let ran = run(&["plan"], r#"{"schema":"host.desired/v1","host":"a","owner":"f","items":[{"id":"x","fil":{}}]}"#)
        .expect(65);
    assert!(ran.stderr.contains("did you mean \"file\"?"), "{}", ran.stderr);
    let ran = run(&["plan"], &desired("web1", &json!([])).to_string()).expect(2);
    assert!(ran.stderr.contains("--hosts INVENTORY"), "{}", ran.stderr);
    let inventory = tempfile::NamedTempFile::new().unwrap();
    let hosts = json!({"schema": "hosts.inventory/v1", "hosts": [
        {"name": "web1", "os": "debian-12", "arch": "x86_64", "addresses": [{"address": "127.0.0.1", "port": 1, "user": "root"}]}]});
    std::fs::write(inventory.path(), hosts.to_string()).unwrap();
    let path = inventory.path().to_str().unwrap();
    let ran = run(&["facts", "wep1", "--hosts", path], "").expect(2);
    assert!(ran.stderr.contains("did you mean \"web1\"?"), "{}", ran.stderr);
    // Nothing listens on port 1.
    let ran = run(&["facts", "web1", "--hosts", path], "").expect(75);
    assert!(ran.stderr.contains("does not answer"), "{}", ran.stderr);
}

#[test]
fn a_host_that_is_not_reached_has_a_line_of_its_own() {
    let two: Vec<String> = ["a", "b"].iter().map(|host| desired(host, &json!([])).to_string()).collect();
    let ran = run(&["apply", "--target", "ssh://root@127.0.0.1:1"], &two.join("\n")).expect(75);
    let lines: Vec<serde_json::Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    for line in lines {
        assert_eq!(line["outcome"], "not_started");
        assert_eq!(line["error"]["code"], "unreachable");
        assert!(line.get("run").is_none());
    }
    let twice = [two[0].clone(), two[0].clone()].join("\n");
    run(&["apply", "--target", "local"], &twice).expect(65);
}

#[test]
fn what_a_sandbox_cannot_do_is_listed() {
    let directory = tempfile::tempdir().unwrap();
    let target = format!("sandbox:{}", directory.path().display());
    let items = json!([{"id": "m", "mount": {"path": "/srv", "device": "LABEL=x", "fstype": "ext4"}}]);
    let plan = run(&["plan", "--target", &target], &desired("a", &items).to_string()).expect(0).json();
    assert_eq!(plan["not_run"][0]["name"], "/srv", "{plan}");
}

#[test]
fn help_is_complete() {
    let ran = run(&["--help"], "").expect(0);
    for verb in
        ["plan", "apply", "facts", "run", "attach", "confirm", "rollback", "keyscan", "stale plan", "host.plan/v1"]
    {
        assert!(ran.stdout.contains(verb), "{verb}");
    }
}
