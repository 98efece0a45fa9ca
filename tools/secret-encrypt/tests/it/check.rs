//! check: findings with their places, codes and remedies, without a key.

use serde_json::{Value, json};

use crate::program::{Program, finish};

fn findings(program: &Program, args: &[&str]) -> Vec<Value> {
    let ran = program.run(&[&["check"], args].concat());
    assert!([0, 1].contains(&ran.code), "{}", ran.stderr);
    let json = ran.json();
    let found = json["findings"].as_array().unwrap().clone();
    let errors = found.iter().any(|finding| finding["level"] == "error");
    assert_eq!(ran.code, i32::from(errors), "exit 1 if there is an error");
    found
}

fn brief(found: &[Value]) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    found.iter().map(|found| (text(&found["level"]), text(&found["code"]), text(&found["pointer"]))).collect()
}

fn three(level: &str, code: &str, pointer: &str) -> (String, String, String) {
    (level.into(), code.into(), pointer.into())
}

fn sealed(program: &Program, name: &str, text: &str) {
    program.write(name, text);
    program.encrypt(name);
}

/// Seed 001 keeps secrets/age-key.txt in the tree, ignored.
#[test]
fn git_says_how_bad_a_private_key_is() {
    let program = Program::new();
    let git = |args: &[&str]| finish(program.command("git").args(args), "").ok();
    let level = || {
        let found = findings(&program, &["secrets"]);
        assert_eq!(found[0]["code"], "private-key");
        (found[0]["level"].as_str().unwrap().to_owned(), found[0]["message"].as_str().unwrap().to_owned())
    };
    program.write("secrets/age-key.txt", program.read("age.key"));
    let (outside, message) = level();
    assert!(outside == "error" && message.contains("no git repository"), "{message}");
    git(&["init", "--quiet"]);
    let (untracked, message) = level();
    assert!(untracked == "error" && message.contains("git would add it"), "{message}");
    program.write(".gitignore", "secrets/*key*\n");
    let (ignored, message) = level();
    assert!(ignored == "note" && message.contains("git ignores it"), "{message}");
    git(&["add", "--force", "secrets/age-key.txt"]);
    let (tracked, message) = level();
    assert!(tracked == "error" && message.contains("git tracks it"), "ignored or not: {message}");
    let ran = finish(
        program.command(env!("CARGO_BIN_EXE_secret-encrypt")).env("PATH", "/nowhere").args(["check", "secrets"]),
        "",
    );
    assert!(ran.fails(1).text().contains("git is not installed"));
}

#[test]
fn damage_is_named_by_its_place() {
    let program = Program::new();
    sealed(&program, "x.yaml", "a:\n  b: one\nc: two\n");
    let good = program.read("x.yaml");
    let line = |key: &str| good.lines().find(|line| line.trim_start().starts_with(key)).unwrap().to_owned();
    let cases = [
        (good.replacen(&line("b:"), "  b: hunter2", 1), three("error", "plaintext", "/a/b")),
        (good.replacen(&line("b:"), &line("b:").replace(",iv:", ",vi:"), 1), three("error", "malformed-value", "/a/b")),
        (good.replacen(&(line("mac:") + "\n"), "", 1), three("error", "mac-missing", "/sops/mac")),
        (good[..good.find("sops:").unwrap()].to_owned(), three("error", "sops-block-missing", "/a/b")),
        (
            good.replacen("unencrypted_suffix: _unencrypted", "unencrypted_suffix: _u\n    encrypted_suffix: _e", 1),
            three("error", "bad-metadata", "/sops"),
        ),
        (good.replacen("a:\n", "<<<<<<< ours\na:\n=======\n>>>>>>> theirs\n", 1), three("error", "merge-conflict", "")),
        (good.replacen("a:\n", "a: [\n", 1), three("error", "malformed", "")),
    ];
    for (text, expected) in cases {
        assert_ne!(text, good, "{expected:?}");
        program.write("x.yaml", &text);
        let found = findings(&program, &["x.yaml"]);
        assert_eq!(brief(&found), [expected], "{text}");
        assert!(found[0]["fix"].is_string() && found[0]["file"] == "x.yaml", "{found:?}");
        assert!(!found[0].to_string().contains("hunter2"), "no value is repeated");
    }
}

#[test]
fn plaintext_and_recipients_say_where_and_who() {
    let program = Program::new();
    let other = program.run(&["keygen", "other.key"]).ok().json()["recipients"][0].as_str().unwrap().to_owned();
    program.write(
        ".sops.yaml",
        format!(
            "creation_rules:\n  - path_regex: ^secrets/\n    encrypted_regex: ^(password|token)$\n    age: {}\n",
            program.recipient
        ),
    );
    program.write("secrets/clear.yaml", "user: me\ndb:\n  password: hunter2\nlist:\n  - token: t\n");
    program.write("secrets/nothing.yaml", "user: me\n");
    program.write("secrets/drift.yaml", "password: x\n");
    program.run(&["encrypt", "--in-place", "-r", &other, "secrets/drift.yaml"]).ok();
    let found = findings(&program, &["secrets"]);
    assert_eq!(
        brief(&found),
        [three("error", "plaintext", ""), three("error", "recipients-drift", "/sops"), three("note", "plaintext", "")]
    );
    assert_eq!(found[0]["related"], json!(["/db/password", "/list/0/token"]));
    assert_eq!(found[0]["fix"], "secret-encrypt encrypt --in-place secrets/clear.yaml");
    assert!(!found[0].to_string().contains("hunter2"));
    let message = found[1]["message"].as_str().unwrap();
    assert!(message.contains(&program.recipient[..24]) && message.contains(&other[..24]), "{message}");
    assert_eq!(found[1]["related"], json!(["/sops/age/0"]));
    // What git ignores cannot leak through git: a working copy in clear is a warning.
    finish(program.command("git").args(["init", "--quiet"]), "").ok();
    program.write(".gitignore", "clear.yaml\n");
    let found = findings(&program, &["secrets/clear.yaml"]);
    assert_eq!(brief(&found), [three("warning", "plaintext", "")]);
}

#[test]
fn what_sops_nix_would_choke_on() {
    let program = Program::new();
    sealed(
        &program,
        "x.yaml",
        "port: 80\non: true\nwhen: 2001-12-14\nlist:\n  - x\na/b: c\nok: text\nnested:\n  ok: text\nclear_unencrypted: 5\n",
    );
    sealed(&program, "x.json", "{\"top\": \"x\", \"in\": {\"side\": \"y\"}}\n");
    sealed(&program, "many.yaml", "a: b\n---\nc: d\n");
    finish(program.command("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", "id"]), "").ok();
    program.write("ssh.yaml", "a: b\n");
    program.run(&["encrypt", "--in-place", "-r", program.read("id.pub").trim(), "ssh.yaml"]).ok();
    let lint = |name: &str| brief(&findings(&program, &["--sops-nix", name]));
    let mut yaml = lint("x.yaml");
    yaml.sort_by(|a, b| a.2.cmp(&b.2));
    assert_eq!(
        yaml,
        [
            three("warning", "sops-nix-slash", "/a~1b"),
            three("warning", "sops-nix-type", "/clear_unencrypted"),
            three("warning", "sops-nix-list", "/list/0"),
            three("warning", "sops-nix-type", "/on"),
            three("warning", "sops-nix-type", "/port"),
            three("warning", "sops-nix-type", "/when"),
        ]
    );
    assert_eq!(lint("x.json"), [three("warning", "sops-nix-nested-json", "/in/side")]);
    assert_eq!(lint("many.yaml"), [three("warning", "sops-nix-documents", "")]);
    assert_eq!(lint("ssh.yaml"), [three("warning", "sops-nix-ssh-only", "/sops/age")]);
    assert_eq!(
        findings(&program, &["x.yaml", "x.json", "many.yaml", "ssh.yaml"]),
        [] as [Value; 0],
        "only where it is asked for"
    );
}

#[test]
fn a_key_opens_everything_that_a_manifest_names_or_not() {
    let program = Program::new();
    let host = program.run(&["keygen", "host.key"]).ok().json()["recipients"][0].as_str().unwrap().to_owned();
    program.write("secrets/web1.yaml", "db: x\nempty: \"\"\nmap:\n  a: b\n");
    program.run(&["encrypt", "--in-place", "-r", &host, "secrets/web1.yaml"]).ok();
    sealed(&program, "secrets/fleet.yaml", "shared: y\n");
    let manifest = |secrets: Value| {
        program.write("manifest.json", json!({"schema": "secrets.manifest/v1", "secrets": secrets}).to_string());
    };
    let proof =
        |key: &str| findings(&program, &["secrets", "--manifest", "manifest.json", "--can-open", "--identity", key]);
    let db = json!({"name": "db", "file": "secrets/web1.yaml", "pointer": "/db"});
    let shared = json!({"name": "shared", "file": "secrets/fleet.yaml", "pointer": "/shared"});
    manifest(json!([db]));
    assert_eq!(proof("host.key"), [] as [Value; 0]);
    manifest(json!([db, shared]));
    let found = proof("host.key");
    assert_eq!(brief(&found), [three("error", "no-key", "/shared")]);
    let text = found[0].to_string();
    assert!(
        text.contains("the secret shared") && text.contains("secrets/fleet.yaml") && text.contains(&program.recipient),
        "{text}"
    );
    manifest(json!([db, {"name": "gone", "file": "secrets/web1.yaml", "pointer": "/dbb", "generator": {"uuid": {}}},
        {"name": "empty", "file": "secrets/web1.yaml", "pointer": "/empty"}]));
    let found = proof("host.key");
    assert!(
        found.iter().any(|found| found["code"] == "empty-secret")
            && found.iter().any(|found| found["fix"] == "secret-encrypt create --missing MANIFEST"),
        "{found:?}"
    );
    // Tampering is found by whoever holds a key.
    program.write(
        "secrets/web1.yaml",
        program.read("secrets/web1.yaml").replacen("lastmodified: \"20", "lastmodified: \"19", 1),
    );
    manifest(json!([db]));
    assert_eq!(brief(&proof("host.key")), [three("error", "mac-mismatch", "/db")]);
}

#[test]
fn what_a_killed_run_left_is_found() {
    let program = Program::new();
    sealed(&program, "secrets/x.yaml", "a: b\n");
    program.write(&format!("secrets/.x.yaml.{}-0123abcd.staged", i32::MAX), program.read("secrets/x.yaml"));
    program.write("secrets/.plumbline-journal.json", "{\"files\": []}");
    let found = findings(&program, &["secrets"]);
    assert_eq!(brief(&found), [three("warning", "interrupted-run", ""), three("note", "left-over", "")]);
    program.run(&["rekey", "-r", &program.recipient, "secrets"]).ok();
    program.run(&["rekey", "-r", &program.recipient, "secrets"]).ok();
    assert_eq!(findings(&program, &["secrets"]), [] as [Value; 0]);
}
