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

/// What a merge left in pieces would stay readable for who was taken off, and nobody would know.
#[test]
fn a_damaged_file_stops_the_rekey_of_its_tree() {
    let program = Program::new();
    tree(&program, &[&program.recipient]);
    for name in ["secrets/a.yaml", "secrets/b.yaml"] {
        program.write(name, "a: x\n");
        program.run(&["encrypt", "--in-place", name]).ok();
    }
    let other = program.run(&["keygen", "other.key"]).ok().json()["recipients"][0].as_str().unwrap().to_owned();
    tree(&program, &[&program.recipient, &other]);
    let good = program.read("secrets/a.yaml");
    program.write("secrets/b.yaml", program.read("secrets/b.yaml").replacen("sops:", "<<<<<<< ours\nsops:", 1));
    program.write("secrets/notes.md", "of sops: a value is ENC[AES256_GCM,data:...]\n");
    let ran = program.run(&["rekey", "secrets"]).fails(65);
    assert!(ran.stderr.contains("secrets/b.yaml") && ran.stderr.contains("no file was changed"), "{}", ran.stderr);
    assert_eq!(program.read("secrets/a.yaml"), good);
    program.run(&["rekey", "secrets/a.yaml", "secrets/notes.md"]).ok();
    assert_ne!(program.read("secrets/a.yaml"), good);
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
    let lost = before.split("sops:").next().unwrap().to_owned();
    program.write("secrets/lost.yaml", lost);
    let error = program.run(&["rekey", "."]).fails(65).stderr;
    assert!(error.contains("lost.yaml") && error.contains("looks encrypted already, but the file is not"), "{error}");
    assert_eq!(program.read("secrets/a.yaml"), before, "one file is damaged, so none is changed");
    std::fs::remove_file(program.path("secrets/lost.yaml")).unwrap();
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

/// As `sops updatekeys`: the threshold of a file stays, and is never more than its groups.
#[test]
fn key_groups_keep_their_threshold() {
    let program = Program::new();
    let keys: Vec<String> = ["b", "c"]
        .iter()
        .map(|name| {
            let made = program.run(&["keygen", &format!("{name}.key")]).ok().json();
            made["recipients"][0].as_str().unwrap().to_owned()
        })
        .collect();
    let own = program.recipient.clone();
    let rules = |groups: &[&str], more: &str| {
        let groups: Vec<String> = groups.iter().map(|recipient| format!("{{age: [{recipient}]}}")).collect();
        program.write(".sops.yaml", format!("creation_rules:\n  - key_groups: [{}]\n{more}", groups.join(", ")));
    };
    let threshold = || {
        let text = program.read("x.yaml");
        text.lines().find_map(|line| line.trim().strip_prefix("shamir_threshold: ")).unwrap_or_default().to_owned()
    };
    program.write("all.key", program.read("age.key") + &program.read("b.key") + &program.read("c.key"));
    let all = ["rekey", "-i", "all.key", "x.yaml"];
    rules(&[&own, &keys[0], &keys[1]], "    shamir_threshold: 2\n");
    program.write("x.yaml", "a: secret\n");
    program.run(&["encrypt", "--in-place", "x.yaml"]).ok();
    assert_eq!(threshold(), "2");
    // A group fewer: two of two. A rule that says something else is pointed out and not followed.
    rules(&[&own, &keys[0]], "");
    program.run(&all).ok();
    assert_eq!(threshold(), "2");
    rules(&[&own, &keys[0], &keys[1]], "    shamir_threshold: 3\n");
    let ran = program.run(&all).ok().json();
    assert_eq!(threshold(), "2");
    assert!(ran["warnings"][0].as_str().unwrap().contains("--threshold 3"), "{ran}");
    assert_eq!(program.run(&all).ok().json()["changed"], false);
    program.run(&[&all[..], &["--threshold", "3"]].concat()).ok();
    assert_eq!(threshold(), "3");
    program.run(&["decrypt", "x.yaml"]).fails(77);
    assert_eq!(program.run(&["decrypt", "-i", "all.key", "x.yaml"]).ok().text(), "a: secret\n");
    // No groups any more.
    program.write(".sops.yaml", format!("creation_rules:\n  - age: {own}\n"));
    program.run(&all).ok();
    assert_eq!((threshold(), program.decrypt("x.yaml")), (String::new(), "a: secret\n".into()));
}
