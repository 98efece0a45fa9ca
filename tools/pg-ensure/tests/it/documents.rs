//! What needs no server.

use crate::tool::run;

const GOOD: &str = r#"{"schema":"pg.desired/v1","owner":"fleet","cluster":{"name":"main","socket":{"directory":"/run/postgresql"}},
 "roles":[{"name":"app","login":true,"password":{"secret":"app-db"},"os_user":"app"},
          {"name":"ro","login":true,"os_user":"grafana"}],
 "databases":[{"name":"app","owner":"app","grants":[{"to":"ro","on":{"schema":"public"},"privileges":["USAGE"]}]}],
 "hba":{"networks":["10.0.0.0/8"]}}"#;

#[test]
fn a_good_document_has_no_findings() {
    let findings = run(&["check"], GOOD).ends(0).json();
    assert_eq!(findings["findings"].as_array().unwrap().len(), 0);
}

#[test]
fn the_readme_is_true() {
    let readme = include_str!("../../README.md");
    let document = readme.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(run(&["check"], document).ends(0).json()["findings"], serde_json::json!([]));
    let help = run(&["--help"], "").ends(0).stdout;
    for verb in ["check", "plan", "apply", "dump", "hba"] {
        assert!(readme.contains(&format!("pg-ensure {verb}")) && help.contains(&format!("\n  {verb} ")), "{verb}");
    }
}

#[test]
fn all_problems_are_found_in_one_run() {
    let bad = r#"{"schema":"pg.desired/v1","owner":"fleet","cluster":{"name":"main","tcp":{"host":"db.example.org","user":"x","tls":"disable"}},
 "roles":[{"name":"pg_app"},{"name":"a","member_of":[{"role":"b"}]},{"name":"b","member_of":[{"role":"a"}]},{"name":"a"},
          {"name":"eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee","settings":{"a b":"1"}}],
 "databases":[{"name":"template1"},{"name":"d","grants":[{"to":"a","on":{},"privileges":["SELECT"]},
   {"to":"a","on":{"schema":"public"},"privileges":["USGAE"]}]}]}"#;
    let findings = run(&["check"], bad).ends(1).json();
    let codes: Vec<_> = findings["findings"].as_array().unwrap().iter().map(|f| f["code"].as_str().unwrap()).collect();
    for code in ["tls-disabled", "bad-name", "member-loop", "duplicate-name", "bad-setting", "template", "grant-object"]
    {
        assert!(codes.contains(&code), "{code} is not in {codes:?}");
    }
    let privilege = findings["findings"].as_array().unwrap().iter().find(|f| f["code"] == "unknown-privilege").unwrap();
    assert_eq!(privilege["pointer"], "/databases/1/grants/1/privileges/0");
    assert_eq!(privilege["fix"], "did you mean USAGE?");
    // Other verbs refuse it before they look for a server.
    let planned = run(&["plan"], bad).ends(65);
    assert!(planned.stdout.is_empty() && planned.stderr.contains("tls"), "{planned:?}");
}

#[test]
fn access_rules_are_rendered() {
    let hba = run(&["hba"], GOOD).ends(0).stdout;
    assert_eq!(
        hba,
        "\
# TYPE  DATABASE     USER        ADDRESS       METHOD
local   all          \"postgres\"                peer
local   replication  \"postgres\"                peer
host    all          \"postgres\"  all           reject
local   \"app\"        \"app\"                     peer
host    \"app\"        \"app\"       10.0.0.0/8    scram-sha-256
local   \"app\"        \"ro\"                      peer map=plumbline
host    \"app\"        \"ro\"        10.0.0.0/8    scram-sha-256
local   all          all                       scram-sha-256
host    all          all         127.0.0.1/32  scram-sha-256
host    all          all         ::1/128       scram-sha-256
"
    );
    assert!(run(&["hba", "--ident"], GOOD).ends(0).stdout.contains("plumbline  \"grafana\"  \"ro\""));
    let trust = GOOD.replace(r#""networks""#, r#""profile":"declared-trust","networks""#);
    assert!(run(&["hba"], &trust).ends(65).stderr.contains("accept_risk"));
}

#[test]
fn a_missing_secret_is_named_and_a_missing_server_is_69() {
    let directory = tempfile::tempdir().unwrap();
    let secrets = directory.path().to_str().unwrap();
    let missing = run(&["plan", "--secrets-dir", secrets], GOOD).ends(78);
    assert!(missing.stderr.contains("app-db"), "{missing:?}");
    crate::tool::put_secret(directory.path(), "app-db", b"hunter2-canary");
    let nowhere = GOOD.replace("/run/postgresql", secrets);
    let gone = run(&["plan", "--secrets-dir", secrets, "--log-format", "json"], &nowhere).ends(69);
    assert!(gone.stdout.is_empty());
    let error: serde_json::Value = serde_json::from_str(&gone.stderr).unwrap();
    assert_eq!((&error["code"], &error["exit"]), (&"server_unreachable".into(), &69.into()));
    assert!(!gone.stderr.contains("canary"));
}

#[test]
fn a_literal_password_is_refused_and_not_repeated() {
    let literal = GOOD.replace(r#"{"secret":"app-db"}"#, r#""hunter2-canary""#);
    let refused = run(&["plan"], &literal).ends(65);
    assert!(!refused.stderr.contains("canary") && refused.stderr.contains("/roles/0/password"), "{refused:?}");
}
