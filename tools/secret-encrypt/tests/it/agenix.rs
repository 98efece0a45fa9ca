//! agenix trees, with the real age.

use serde_json::json;

use crate::program::{Program, finish, peer};

const CANARY: &str = "canary-age\n";

fn age() -> Option<std::path::PathBuf> {
    peer("age", "apt-get install age").filter(|_| peer("ssh-keygen", "apt-get install openssh-client").is_some())
}

/// A tree of agenix: a host key, an administrator, two secrets, made by the real program.
fn tree(age: &std::path::Path) -> (Program, String) {
    let program = Program::new();
    finish(program.command("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", "host"]), "").ok();
    let host = program.read("host.pub").trim().to_owned();
    let rules = json!({
        "secrets/db.age": {"publicKeys": [program.recipient, host]},
        "secrets/app.env.age": {"publicKeys": [host], "armor": true},
    });
    program.write("secrets.json", rules.to_string());
    std::fs::create_dir(program.path("secrets")).unwrap();
    let both = ["-r", &program.recipient, "-r", &host, "-o", "secrets/db.age"];
    finish(program.command(age).args(both), CANARY).ok();
    finish(program.command(age).args(["-a", "-r", &host, "-o", "secrets/app.env.age"]), "A=1\n# c\nB=two\n").ok();
    (program, host)
}

#[test]
fn age_files_are_read_written_checked_and_rekeyed() {
    let Some(age) = age() else { return };
    let (program, host) = tree(&age);
    let real = |key: &str, name: &str| finish(program.command(&age).args(["-d", "-i", key, name]), "");
    assert_eq!(program.decrypt("secrets/db.age"), CANARY);
    assert_eq!(program.run(&["decrypt", "-i", "host", "secrets/app.env.age"]).ok().text(), "A=1\n# c\nB=two\n");
    program.run(&["decrypt", "secrets/app.env.age"]).fails(77);
    program.run(&["check", "secrets", "--agenix", "secrets.json"]).ok();
    // Written: the real program reads it; the same again writes nothing.
    program.write("new", "next");
    program.run(&["encrypt", "--agenix", "secrets.json", "--to", "secrets/db.age", "new"]).ok();
    assert_eq!(
        (real("host", "secrets/db.age").ok().text(), real("age.key", "secrets/db.age").ok().text()),
        ("next".into(), "next".into())
    );
    assert_eq!(
        program.run(&["encrypt", "--agenix", "secrets.json", "--to", "secrets/db.age", "new"]).ok().json()["changed"],
        false
    );
    program.run(&["encrypt", "--to", "secrets/db.age", "new"]).fails(78);
    // Another host: check sees it without a key, rekey does it for all or none.
    finish(program.command("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", "second"]), "").ok();
    let second = program.read("second.pub").trim().to_owned();
    let rules = json!({
        "secrets/db.age": {"publicKeys": [program.recipient, second]},
        "secrets/app.env.age": {"publicKeys": [host, second], "armor": true},
        "secrets/later.age": {"publicKeys": [host]},
    });
    program.write("secrets.json", rules.to_string());
    program.write("secrets/stray.age", "in clear");
    let found = program.run(&["check", "secrets", "--agenix", "secrets.json"]).fails(1).json();
    let codes: Vec<_> =
        found["findings"].as_array().unwrap().iter().map(|found| found["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["recipients-drift", "recipients-drift", "malformed", "age-missing"], "{found}");
    std::fs::remove_file(program.path("secrets/stray.age")).unwrap();
    let before = std::fs::read(program.path("secrets/db.age")).unwrap();
    program.run(&["rekey", "--agenix", "secrets.json", "secrets"]).fails(77);
    assert_eq!(
        std::fs::read(program.path("secrets/db.age")).unwrap(),
        before,
        "one cannot be opened, so none is changed"
    );
    let done =
        program.run(&["rekey", "--agenix", "secrets.json", "-i", "host", "-i", "age.key", "secrets"]).ok().json();
    assert_eq!(done["files"], json!(["secrets/app.env.age", "secrets/db.age"]));
    assert_eq!(real("second", "secrets/db.age").ok().text(), "next");
    assert_eq!(real("second", "secrets/app.env.age").ok().text(), "A=1\n# c\nB=two\n");
    assert!(program.read("secrets/app.env.age").starts_with("-----BEGIN AGE"));
    assert_ne!(real("host", "secrets/db.age").code, 0);
    // What can be known to be right is left alone: SSH recipients have tags.
    let again = program.run(&["rekey", "--agenix", "secrets.json", "-i", "second", "secrets"]).ok().json();
    assert_eq!(again["files"], json!(["secrets/db.age"]));
}

#[test]
fn a_tree_moves_to_sops_and_back() {
    let Some(age) = age() else { return };
    let (program, _) = tree(&age);
    program.run(&["convert", "--to", "sops"]).fails(77);
    assert!(!program.path(".sops.yaml").exists());
    let args = ["convert", "--to", "sops", "--remove", "-i", "host", "-i", "age.key"];
    let done = program.run(&args).ok().json();
    assert_eq!(done["files"], json!([".sops.yaml", "secrets/app.env", "secrets/db.sops"]));
    assert!(!program.path("secrets/db.age").exists() && !program.path("secrets/app.env.age").exists());
    assert_eq!(program.decrypt("secrets/db.sops"), CANARY);
    assert_eq!(program.run(&["decrypt", "-i", "host", "secrets/app.env"]).ok().text(), "A=1\n# c\nB=two\n");
    program.run(&["check", "secrets"]).ok();
    // And back.
    std::fs::remove_file(program.path("secrets.json")).unwrap();
    let back =
        program.run(&["convert", "--to", "agenix", "--remove", "-i", "host", "-i", "age.key", "secrets"]).ok().json();
    assert_eq!(back["files"], json!(["secrets/app.env.age", "secrets/db.age", "secrets.json", "secrets.nix"]));
    let real = |key: &str, name: &str| finish(program.command(&age).args(["-d", "-i", key, name]), "").ok().text();
    assert_eq!(real("age.key", "secrets/db.age"), CANARY);
    assert_eq!(program.run(&["decrypt", "-i", "host", "secrets/app.env.age"]).ok().text(), "A=1\n# c\nB=two\n");
    program.run(&["check", "secrets", "--agenix", "secrets.json"]).ok();
    assert_eq!(program.read("secrets.nix"), "builtins.fromJSON (builtins.readFile ./secrets.json)\n");
}

#[test]
fn many_secrets_become_one_file_and_one_file_many_secrets() {
    let Some(age) = age() else { return };
    let (program, _) = tree(&age);
    let args = ["convert", "--to", "sops", "--into", "web1.yaml", "-i", "host", "-i", "age.key"];
    let refused = program.run(&args).fails(76);
    assert!(refused.stderr.contains("different recipients"), "{}", refused.stderr);
    program.run(&[&args[..], &["-r", &program.recipient]].concat()).ok();
    assert_eq!(program.run(&["decrypt", "web1.yaml", "--pointer", "/secrets/db"]).ok().text(), CANARY);
    assert_eq!(
        program.run(&["decrypt", "web1.yaml", "--pointer", "/secrets/app.env"]).ok().text(),
        "A=1\n# c\nB=two\n"
    );
    program.run(&[&args[..], &["-r", &program.recipient]].concat()).fails(73);
    let split = ["convert", "--to", "agenix", "--split", "--agenix", "split/secrets.json", "web1.yaml"];
    assert!(program.run(&split).fails(65).stderr.contains("is not below the rules"));
    program.run(&["convert", "--to", "agenix", "--split", "--agenix", "all.json", "web1.yaml"]).ok();
    let real = finish(program.command(&age).args(["-d", "-i", "age.key", "web1/secrets/db.age"]), "").ok();
    assert_eq!(real.text(), CANARY);
}

#[test]
fn an_age_file_is_a_secret_of_a_manifest() {
    let Some(age) = age() else { return };
    let (program, _) = tree(&age);
    let manifest = json!({"schema": "secrets.manifest/v1", "secrets": [
        {"name": "db", "file": "secrets/db.age", "pointer": ""},
        {"name": "later", "file": "secrets/later.age", "pointer": "", "generator": {"hex": {"bytes": 16}}}]});
    program.write("manifest.json", manifest.to_string());
    let rules: serde_json::Value = serde_json::from_str(&program.read("secrets.json")).unwrap();
    let mut rules = rules;
    rules["secrets/later.age"] = json!({"publicKeys": [program.recipient]});
    program.write("secrets.json", rules.to_string());
    assert_eq!(
        program.run(&["create", "--missing", "--agenix", "secrets.json", "manifest.json"]).ok().json()["added"],
        json!(["later"])
    );
    assert_eq!(
        program.run(&["create", "--missing", "--agenix", "secrets.json", "manifest.json"]).ok().json()["changed"],
        false
    );
    assert_eq!(program.decrypt("secrets/later.age").len(), 32);
    program.run(&["check", "secrets", "--manifest", "manifest.json", "--can-open"]).ok();
    let script = "cat \"$CREDENTIALS_DIRECTORY/db\"";
    assert_eq!(program.run(&["exec", "--manifest", "manifest.json", "--", "sh", "-c", script]).ok().text(), CANARY);
    // A changed byte is found, and nothing of the secret is printed.
    let mut bytes = std::fs::read(program.path("secrets/db.age")).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(program.path("secrets/db.age"), &bytes).unwrap();
    let ran = program.run(&["decrypt", "secrets/db.age"]).fails(65);
    assert!(!ran.stderr.contains("canary"));
    for cut in (0..bytes.len()).step_by(37) {
        std::fs::write(program.path("secrets/db.age"), &bytes[..cut]).unwrap();
        program.run(&["decrypt", "secrets/db.age"]).fails(65);
    }
}
