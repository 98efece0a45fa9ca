//! This machine, looked at and not changed.

use serde_json::json;

use crate::{desired, run};

#[test]
fn facts_of_this_machine() {
    let facts = run(&["facts", "local"], "").expect(0).json();
    assert_eq!(facts["schema"], "host.facts/v1");
    assert!(facts["memory_bytes"].as_u64().unwrap() > 0);
    assert!(!facts["hostname"].as_str().unwrap().is_empty());
}

#[test]
fn what_runs_on_this_machine() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    assert!(run(&["facts", "local"], "").expect(0).json()["running"].is_null(), "only where it is asked for");
    let facts = run(&["facts", "local", "--running"], "").expect(0).json();
    let running = &facts["running"];
    let ports = running["ports"].as_array().unwrap();
    let ours = ports.iter().find(|found| found["port"] == port).unwrap();
    assert_eq!((&ours["proto"], &ours["address"]), (&json!("tcp"), &json!("127.0.0.1")));
    // The name of this test's program, which holds the socket.
    assert!(ours["program"].as_str().is_some_and(|program| program.starts_with("it-")), "{ours}");
    if std::path::Path::new("/usr/bin/apt-mark").exists() {
        assert!(!running["packages"].as_array().unwrap().is_empty());
    }
    let text = run(&["facts", "local", "--running", "--output", "text"], "").expect(0).stdout;
    assert!(text.contains("packages"), "{text}");
}

#[test]
fn a_plan_for_this_machine() {
    let document = desired(
        "here",
        &json!([
        {"id": "a", "file": {"path": "/etc/plumbline-test-that-is-not-there", "content": "x"}},
        {"id": "b", "command": {"argv": ["true"], "creates": "/etc/passwd"}},
        {"id": "c", "command": {"argv": ["false"], "unless": ["false"]}}]),
    );
    let plan = run(&["plan", "--target", "local"], &document.to_string()).expect(0).json();
    assert_eq!(plan["target"], "local");
    assert_eq!(plan["summary"], json!({"create": 1, "update": 0, "delete": 0, "run": 1, "unchanged": 1}));
}
