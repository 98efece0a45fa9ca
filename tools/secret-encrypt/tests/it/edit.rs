//! set, unset, create, keygen, recipient.

use serde_json::json;

use crate::program::Program;

#[test]
fn values_are_put_and_taken_away_where_they_belong() {
    let program = Program::new();
    program.write("x.yaml", "# top\na: one # first\n\nb:\n  c: two\n  l:\n    - x\n    - y\n\n# end\n");
    program.encrypt("x.yaml");
    program
        .run_with(
            &["set", "x.yaml"],
            r#"{"/b/d": "three", "/z": 5, "/b/l/-": "z", "/b/l/0": "X", "/deep/er/est": true}"#,
        )
        .ok();
    program.run(&["set", "x.yaml", "/pw", "--generate", "password=20"]).ok();
    let text = program.decrypt("x.yaml");
    let (head, tail) = text.split_once("pw: ").unwrap();
    assert_eq!(tail.lines().next().unwrap().len(), 20);
    assert_eq!(
        head,
        "# top\na: one # first\n\nb:\n  c: two\n  l:\n    - X\n    - y\n    - z\n  d: three\ndeep:\n  er:\n    est: true\nz: 5\n"
    );
    assert!(tail.ends_with("\n\n# end\n"), "{tail}");
    let again = program.run(&["set", "x.yaml", "/pw", "--generate", "password=20", "--if-missing"]).ok().json();
    assert_eq!(again["changed"], false);
    program.run(&["unset", "x.yaml", "/pw", "/deep/er/est", "/b/l/1", "/z"]).ok();
    assert_eq!(
        program.decrypt("x.yaml"),
        "# top\na: one # first\n\nb:\n  c: two\n  l:\n    - X\n    - z\n  d: three\ndeep:\n  er: {}\n\n# end\n"
    );
    let near = program.run(&["unset", "x.yaml", "/b/cc"]).fails(65);
    assert!(near.stderr.contains("did you mean /b/c"), "{}", near.stderr);
}

#[test]
fn json_keeps_its_form() {
    let program = Program::new();
    program.write("x.json", "{\n  \"a\": 1,\n  \"b\": {\"c\": [true]}\n}\n");
    program.encrypt("x.json");
    program.run_with(&["set", "x.json"], r#"{"/b/d": "x", "/e": {"f": null}}"#).ok();
    assert_eq!(
        program.decrypt("x.json"),
        "{\n  \"a\": 1,\n  \"b\": {\"c\": [true],\"d\": \"x\"},\n  \"e\": {\"f\":null}\n}\n"
    );
    program.run(&["unset", "x.json", "/a", "/b/c"]).ok();
    assert_eq!(program.decrypt("x.json"), "{\n  \"b\": {\"d\": \"x\"},\n  \"e\": {\"f\":null}\n}\n");
}

#[test]
fn missing_secrets_are_made_and_none_is_replaced() {
    let program = Program::new();
    program
        .write(".sops.yaml", format!("creation_rules:\n  - path_regex: ^secrets/\n    age: {}\n", program.recipient));
    let manifest = json!({"schema": "secrets.manifest/v1", "secrets": [
        {"name": "db", "file": "secrets/web1.yaml", "pointer": "/db", "generator": {"password": {"length": 24}}},
        {"name": "key", "file": "secrets/web1.yaml", "pointer": "/keys/app", "generator": {"hex": {"bytes": 16}}},
        {"name": "given", "file": "secrets/web1.yaml", "pointer": "/given"}]});
    program.write("manifest.json", manifest.to_string());
    let result = program.run(&["create", "--missing", "manifest.json"]).ok().json();
    assert_eq!(result["added"], json!(["db", "key"]));
    assert_eq!(result["warnings"].as_array().unwrap().len(), 1);
    let first = program.read("secrets/web1.yaml");
    assert_eq!(program.run(&["decrypt", "secrets/web1.yaml", "--pointer", "/db"]).ok().text().len(), 24);
    assert_eq!(program.run(&["create", "--missing", "manifest.json"]).ok().json()["changed"], false);
    assert_eq!(program.read("secrets/web1.yaml"), first);
    program.run_with(&["set", "secrets/web1.yaml", "/given"], "x").ok();
    program.run(&["check", ".", "--manifest", "manifest.json", "--can-open", "--identity", "age.key"]).fails(1);
    program.write(".gitignore", "age.key\n");
    let findings = program.run(&["check", "secrets", "--manifest", "manifest.json", "--can-open"]).ok().json();
    assert_eq!(findings["findings"], json!([]));
}

#[test]
fn recipients_of_every_kind_of_key() {
    let program = Program::new();
    program.run(&["set", "nothing.yaml", "/a", "--generate", "ssh-key"]).fails(66);
    program.write("x.yaml", "k: v\n");
    program.encrypt("x.yaml");
    program.run(&["set", "x.yaml", "/key", "--generate", "ssh-key"]).ok();
    let key = program.run(&["decrypt", "x.yaml", "--pointer", "/key"]).ok().text();
    program.write("id", &key);
    let recipient = program.run(&["recipient", "id"]).ok().json()["recipients"][0].as_str().unwrap().to_owned();
    assert!(recipient.starts_with("age1"));
    assert_eq!(
        program.run(&["recipient", "--output", "text", "age.key"]).ok().text(),
        format!("{}\n", program.recipient)
    );
    program.write("y.yaml", "a: for the host\n");
    program.run(&["encrypt", "--in-place", "-r", &recipient, "y.yaml"]).ok();
    assert_eq!(program.run(&["decrypt", "-i", "id", "y.yaml"]).ok().text(), "a: for the host\n");
    program.run_with(&["recipient"], "# comment only\n").fails(65);
}
