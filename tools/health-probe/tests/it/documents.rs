use serde_json::{Value, json};

use crate::tool::{run, run_text};

#[test]
fn everything_that_is_wrong_is_found_in_one_run() {
    let checks = json!([
        {"id": "a", "needs": ["b"], "tcp": {"address": "x:1", "banner": "("}},
        {"id": "b", "needs": ["a"], "tcp": {"address": "x"}},
        {"id": "b", "node": {}},
        {"id": "c", "wants": ["grafanna"]},
        {"id": "grafana", "profile": "grafanaa", "http": {"url": "ftp://x/"}},
        {"id": "e", "http": {"url": "http://x/", "method": "DELETE", "headers": [{"name": "Authorization", "value": "Bearer canary"}]}}
    ]);
    let output = run(&["check"], checks.clone());
    assert_eq!(output.code, 1, "{}", output.stderr);
    let found = output.json();
    let codes: Vec<&str> =
        found["findings"].as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap()).collect();
    for code in [
        "cycle",
        "bad-regex",
        "bad-address",
        "duplicate-id",
        "one-kind",
        "unknown-check",
        "unknown-profile",
        "bad-url",
        "bad-method",
        "literal-secret",
    ] {
        assert!(codes.contains(&code), "{code} is not in {codes:?}");
    }
    assert!(output.stdout.contains("did you mean \\\"grafana\\\"?"));
    assert!(output.stdout.contains("a -> b -> a") || output.stdout.contains("b -> a -> b"));
    assert!(!output.stdout.contains("canary"));
    // The same in run, which is no question: 65 and nothing on stdout.
    let output = run(&["run"], checks);
    assert_eq!((output.code, output.stdout.as_str()), (65, ""));
    assert!(!output.stderr.contains("canary"));
}

#[test]
fn no_checks_are_not_green() {
    assert_eq!(run(&["check"], json!([])).code, 1);
    assert_eq!(run(&["run"], json!([])).code, 65);
    assert_eq!(run(&["run", "--allow-empty"], json!([])).code, 0);
}

#[test]
fn unknown_keys_and_durations_have_a_place() {
    let output = run_text(&["run"], r#"{"schema":"health.checks/v1","checks":[{"id":"a","tcp":{"adress":"x:1"}}]}"#);
    assert_eq!(output.code, 65);
    assert!(output.stderr.contains("/checks/0/tcp/adress") && output.stderr.contains("address"), "{}", output.stderr);
    let output = run(&["run"], json!([{"id": "a", "timeout": "5", "node": {}}]));
    assert_eq!(output.code, 65);
    assert!(output.stderr.contains("/checks/0/timeout"), "{}", output.stderr);
}

#[test]
fn a_report_is_as_its_schema_says() {
    let checks = json!([
        {"id": "closed", "tcp": {"address": "127.0.0.1:1"}},
        {"id": "needs", "needs": ["closed"], "node": {}},
        {"id": "disk", "disk": {"path": "/", "fail_percent": 100, "warn_percent": 100}}
    ]);
    let report = run(&["run"], checks).json();
    let schema: Value = serde_json::from_str(&run_text(&["--schema", "health.report"], "").stdout).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<_> = validator.iter_errors(&report).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

#[test]
fn a_name_that_is_not_there_is_a_wrong_command_line() {
    let output = run(&["run", "--only", "databse"], json!([{"id": "database", "node": {}}]));
    assert_eq!(output.code, 2);
    assert!(output.stderr.contains("did you mean database?"), "{}", output.stderr);
}

#[test]
fn what_only_needs_is_looked_at_too() {
    let checks = json!([
        {"id": "db", "tcp": {"address": "127.0.0.1:1"}},
        {"id": "app", "needs": ["db"], "tcp": {"address": "127.0.0.1:1"}},
        {"id": "other", "tcp": {"address": "127.0.0.1:1"}}
    ]);
    let output = run(&["run", "--only", "app", "--no-second-look"], checks);
    assert_eq!(output.check("db")["state"], "down");
    assert_eq!(output.check("app")["state"], "unreachable");
    assert_eq!(output.check("other")["state"], "skipped");
}
