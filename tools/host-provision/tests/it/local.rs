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
