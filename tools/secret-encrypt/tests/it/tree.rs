//! check and rekey over a tree.

use serde_json::Value;

use crate::program::Program;

fn tree(program: &Program, recipients: &[&str]) {
    let list = recipients.join(",");
    program
        .write(".sops.yaml", format!("creation_rules:\n  - path_regex: ^secrets/.*\\.(yaml|json)$\n    age: {list}\n"));
}

fn codes(findings: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    findings["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| (text(&finding["code"]), text(&finding["file"])))
        .collect()
}

#[test]
fn what_is_wrong_is_found_without_a_key() {
    let program = Program::new();
    tree(&program, &[&program.recipient]);
    program.write("secrets/good.yaml", "a: 1\n");
    program.run(&["encrypt", "--in-place", "secrets/good.yaml"]).ok();
    std::fs::create_dir(program.path("keys")).unwrap();
    std::fs::rename(program.path("age.key"), program.path("keys/age.key")).unwrap();
    program.run(&["check", "secrets"]).ok();
    program.write("secrets/forgotten.yaml", "a: 1\n");
    program.write("secrets/partial.yaml", program.read("secrets/good.yaml").replacen("a: ", "b: clear\na: ", 1));
    let other = program.run(&["keygen", "keys/other.key"]).ok().json()["recipients"][0].as_str().unwrap().to_owned();
    program.write("secrets/drift.yaml", "a: 1\n");
    program.run(&["encrypt", "--in-place", "-r", &other, "secrets/drift.yaml"]).ok();
    program.write("readme.md", "AGE-SECRET-KEY-1 is what keys begin with\n");
    let found = codes(&program.run(&["check"]).fails(1).json());
    let pair = |code: &str, file: &str| (code.to_owned(), file.to_owned());
    assert_eq!(
        found,
        [
            pair("private-key", "keys/age.key"),
            pair("private-key", "keys/other.key"),
            pair("recipients-drift", "secrets/drift.yaml"),
            pair("plaintext", "secrets/forgotten.yaml"),
            pair("plaintext", "secrets/partial.yaml"),
        ]
    );
}

#[test]
fn all_files_are_rekeyed_or_none() {
    let program = Program::new();
    tree(&program, &[&program.recipient]);
    let other = program.run(&["keygen", "other.key"]).ok().json()["recipients"][0].as_str().unwrap().to_owned();
    for name in ["secrets/a.yaml", "secrets/b.json"] {
        program.write(name, if name.ends_with("json") { "{\"a\": \"x\"}" } else { "# c\na: x\n" });
        program.run(&["encrypt", "--in-place", name]).ok();
    }
    program.write("secrets/foreign.yaml", "a: x\n");
    program.run(&["encrypt", "--in-place", "-r", &other, "secrets/foreign.yaml"]).ok();
    tree(&program, &[&program.recipient, &other]);
    let before = program.read("secrets/a.yaml");
    program.run(&["rekey", "--dry-run", "--check", "."]).fails(1);
    program.run(&["rekey", "."]).fails(77);
    assert_eq!(program.read("secrets/a.yaml"), before, "one file cannot be opened, so none is changed");
    std::fs::remove_file(program.path("secrets/foreign.yaml")).unwrap();
    let result = program.run(&["rekey", "."]).ok().json();
    assert_eq!(result["files"], serde_json::json!(["secrets/a.yaml", "secrets/b.json"]));
    for name in ["secrets/a.yaml", "secrets/b.json"] {
        assert!(program.run(&["decrypt", "-i", "other.key", name]).ok().text().contains('x'));
    }
    let value = |text: &str| text.lines().find(|line| line.starts_with("a:")).unwrap().to_owned();
    assert_eq!(value(&before), value(&program.read("secrets/a.yaml")), "values keep their ciphertext");
    assert_eq!(program.run(&["rekey", "."]).ok().json()["changed"], false);
    program.run(&["rekey", "--rotate", "."]).ok();
    assert_ne!(value(&before), value(&program.read("secrets/a.yaml")));
    assert_eq!(program.decrypt("secrets/a.yaml"), "# c\na: x\n");
}

#[test]
fn recipients_of_other_kinds_are_kept() {
    let program = Program::new();
    program.write("x.yaml", "a: x\n");
    program.encrypt("x.yaml");
    let pgp = "    pgp:\n        - created_at: \"2019-08-29T22:42:03Z\"\n          enc: |-\n            -----BEGIN PGP MESSAGE-----\n\n            wcBM\n            =ft04\n            -----END PGP MESSAGE-----\n          fp: FBC7B9E2A4F9289AC0C1D4843D16CEE4A27381B4\n";
    program.write(
        "x.yaml",
        program.read("x.yaml").replacen("    unencrypted_suffix", &format!("{pgp}    unencrypted_suffix"), 1),
    );
    program.run_with(&["set", "x.yaml", "/b"], "y").ok();
    assert!(program.read("x.yaml").contains(pgp));
    let other = program.run(&["keygen", "other.key"]).ok().json()["recipients"][0].as_str().unwrap().to_owned();
    program.run(&["rekey", "-r", &program.recipient, "-r", &other, "x.yaml"]).ok();
    assert!(program.read("x.yaml").contains(pgp), "{}", program.read("x.yaml"));
    program.run(&["rekey", "--rotate", "-r", &other, "x.yaml"]).fails(76);
}
