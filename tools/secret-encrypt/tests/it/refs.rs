//! References: catalogues, their form, and sealing through scripted `op` and `scw` that behave as the real ones.

use serde_json::{Value, json};

use crate::program::{Program, Ran, finish};

const CANARY: &str = "canary-from-the-vault";

/// `op read` of the 1Password CLI 2: one reference, the value on standard output, errors on standard error with exit 1.
const OP: &str = r#"#!/bin/sh
printf '%s\n' "$*" >> "$HOME/asked"
[ -n "$OP_SERVICE_ACCOUNT_TOKEN" ] || { echo '[ERROR] 2026/11/25 10:00:00 No accounts configured for use with 1Password CLI.' >&2; exit 1; }
[ "$1" = read ] && [ "$2" = --no-newline ] && [ $# -eq 3 ] || { echo "[ERROR] unknown command" >&2; exit 1; }
case $3 in
  op://home/restic/password) printf 'canary-from-the-vault' ;;
  'op://Home Lab/mail/smtp/token') cat "$HOME/token" ;;
  op://home/key/private) printf 'line one\nline two\n' ;;
  *) echo "[ERROR] 2026/11/25 10:00:00 could not read secret '$3': could not find item" >&2; exit 1 ;;
esac
"#;

/// `scw secret version access-by-path`: key=value arguments, `data` in base64.
const SCW: &str = r#"#!/bin/sh
printf '%s\n' "$*" >> "$HOME/asked"
case "$*" in
  "secret version access-by-path secret-name=db secret-path=/ revision=latest_enabled --output=json") data=$(printf 'scw-value' | base64) ;;
  "secret version access-by-path secret-name=pair secret-path=/team revision=2 --output=json") data=$(printf '{"user": "u", "password": "p"}' | base64) ;;
  *) echo "Cannot find resource 'secret'" >&2; exit 1 ;;
esac
printf '{"secret_id":"0","revision":1,"data":"%s","data_crc32":null,"type":"opaque"}\n' "$data"
"#;

struct Vault {
    program: Program,
}

impl Vault {
    fn new() -> Self {
        let program = Program::new();
        for (name, text) in [("bin/op", OP), ("bin/scw", SCW)] {
            program.write(name, text);
            std::process::Command::new("chmod").arg("755").arg(program.path(name)).status().unwrap();
        }
        program.write("token", "t1");
        program.write(
            ".sops.yaml",
            format!("creation_rules:\n  - path_regex: secrets/web1\\.yaml$\n    age: {}\n", program.recipient),
        );
        Self { program }
    }

    fn manifest() -> Value {
        json!({"schema": "secrets.manifest/v1", "host": "web1", "secrets": [
            {"name": "restic", "file": ".plumbline/secrets/web1.yaml", "pointer": "/restic", "reference": "op://home/restic/password"},
            {"name": "mail", "file": ".plumbline/secrets/web1.yaml", "pointer": "/mail", "reference": "op://Home Lab/mail/smtp/token"},
            {"name": "key", "file": ".plumbline/secrets/web1.yaml", "pointer": "/key", "reference": "op://home/key/private"},
            {"name": "db", "file": ".plumbline/secrets/web1.yaml", "pointer": "/db", "reference": "scw:db"},
            {"name": "user", "file": ".plumbline/secrets/web1.yaml", "pointer": "/pair/user", "reference": "scw:/team/pair@2#user"}]})
    }

    fn run(&self, args: &[&str]) -> Ran {
        let mut command = self.program.command(env!("CARGO_BIN_EXE_secret-encrypt"));
        let path = format!("{}:{}", self.program.path("bin").display(), std::env::var("PATH").unwrap());
        finish(command.env("PATH", path).env("OP_SERVICE_ACCOUNT_TOKEN", "ops_x").args(args), "")
    }
}

#[test]
fn references_of_a_manifest_are_sealed_and_a_second_run_changes_nothing() {
    let vault = Vault::new();
    let program = &vault.program;
    program.write("manifest.json", Vault::manifest().to_string());
    let planned = vault.run(&["refs", "seal", "--dry-run", "manifest.json"]).ok().json();
    assert_eq!(planned["added"].as_array().unwrap().len(), 5);
    assert!(!program.path("asked").exists() && !program.path(".plumbline").exists(), "a dry run asks nobody");
    let unsealed = vault.run(&["check", "secrets.none", "--manifest", "manifest.json"]);
    assert_eq!(unsealed.code, 66);
    let ran = vault.run(&["refs", "seal", "manifest.json"]).ok();
    assert!(!(ran.text() + &ran.stderr).contains(CANARY));
    let file = ".plumbline/secrets/web1.yaml";
    assert_eq!(program.mode(".plumbline/secrets"), 0o700);
    assert!(!program.read(file).contains(CANARY));
    for (pointer, value) in [
        ("/restic", CANARY),
        ("/mail", "t1"),
        ("/key", "line one\nline two\n"),
        ("/db", "scw-value"),
        ("/pair/user", "u"),
    ] {
        assert_eq!(program.run(&["decrypt", file, "--pointer", pointer]).ok().text(), value, "{pointer}");
    }
    assert!(program.read("asked").contains("read --no-newline op://Home Lab/mail/smtp/token"));
    let first = program.read(file);
    assert_eq!(vault.run(&["refs", "seal", "manifest.json"]).ok().json()["changed"], false);
    assert_eq!(program.read(file), first);
    // One value moves on: one value, the MAC and the time change.
    program.write("token", "t2");
    let third = vault.run(&["refs", "seal", "manifest.json"]).ok().json();
    assert_eq!(third["updated"], json!(["mail"]));
    let differing = first.lines().zip(program.read(file).lines()).filter(|(a, b)| a != b).count();
    assert!((2..=3).contains(&differing), "{differing}");
    vault.run(&["check", file, "--manifest", "manifest.json", "--can-open"]).ok();
}

#[test]
fn a_value_that_cannot_be_had_changes_nothing() {
    let vault = Vault::new();
    let program = &vault.program;
    let mut manifest = Vault::manifest();
    manifest["secrets"][0]["reference"] = json!("op://home/none/password");
    manifest["secrets"][3]["reference"] = json!("scw:none");
    program.write("manifest.json", manifest.to_string());
    let ran = vault.run(&["refs", "seal", "manifest.json"]).fails(69);
    assert!(
        ran.stderr.contains("could not find item") && ran.stderr.contains("Cannot find resource"),
        "all at once: {}",
        ran.stderr
    );
    assert!(!ran.stderr.contains("t1") && !program.path(".plumbline").exists());
    manifest["secrets"][0]["reference"] = json!("op://home/none");
    program.write("manifest.json", manifest.to_string());
    assert!(vault.run(&["refs", "seal", "manifest.json"]).fails(65).stderr.contains("a vault, an item and a field"));
    // Without the programs the message says what to install.
    program.write("manifest.json", Vault::manifest().to_string());
    let ran = finish(
        program.command(env!("CARGO_BIN_EXE_secret-encrypt")).env("PATH", "/nowhere").args([
            "refs",
            "seal",
            "manifest.json",
        ]),
        "",
    );
    assert!(ran.fails(69).stderr.contains("install the 1Password CLI"));
}

#[test]
fn a_file_for_the_host_alone_is_written_anew_and_others_are_never_lost() {
    let vault = Vault::new();
    let program = &vault.program;
    let host = program.run(&["keygen", "host.key"]).ok().json()["recipients"][0].as_str().unwrap().to_owned();
    program.write("manifest.json", Vault::manifest().to_string());
    vault.run(&["refs", "seal", "-r", &host, "manifest.json"]).ok();
    let again = vault.run(&["refs", "seal", "-r", &host, "manifest.json"]).ok().json();
    assert!(again["warnings"][0].as_str().unwrap().contains("make yourself a recipient"), "{again}");
    let file = ".plumbline/secrets/web1.yaml";
    assert_eq!(program.run(&["decrypt", "-i", "host.key", file, "--pointer", "/db"]).ok().text(), "scw-value");
    // Something else is in the file: it cannot be kept without a key, so nothing is written.
    finish(
        program.command(env!("CARGO_BIN_EXE_secret-encrypt")).args(["set", "-i", "host.key", file, "/precious"]),
        "mine",
    )
    .ok();
    let before = program.read(file);
    vault.run(&["refs", "seal", "-r", &host, "manifest.json"]).fails(77);
    assert_eq!(program.read(file), before);
}

#[test]
fn a_catalogue_stays_in_clear_and_is_checked_for_form() {
    let vault = Vault::new();
    let program = &vault.program;
    program
        .write(".sops.yaml", format!("creation_rules:\n  - path_regex: ^secrets/\n    age: {}\n", program.recipient));
    let catalogue =
        "# what is where\nrestic: op://home/restic/password\nmail:\n  token: op://Home Lab/mail/smtp/token\n";
    program.write("secrets/catalogue.yaml", catalogue);
    program.run(&["check", "secrets"]).ok();
    program.run(&["encrypt", "--in-place", "secrets/catalogue.yaml"]).ok();
    vault.run(&["refs", "seal", "--to", "sealed.yaml", "-r", &program.recipient, "secrets/catalogue.yaml"]).ok();
    assert_eq!(program.read("secrets/catalogue.yaml"), catalogue);
    assert_eq!(program.decrypt("sealed.yaml"), format!("mail:\n  token: t1\nrestic: {CANARY}\n"));
    assert_eq!(
        vault
            .run(&["refs", "seal", "--to", "sealed.yaml", "-r", &program.recipient, "secrets/catalogue.yaml"])
            .ok()
            .json()["changed"],
        false
    );
    program.write("secrets/catalogue.yaml", "restic: op://home/restic\nmail: op://home/m/x\n");
    let found = program.run(&["check", "secrets"]).fails(1).json();
    assert_eq!(
        (&found["findings"][0]["code"], &found["findings"][0]["pointer"]),
        (&json!("bad-reference"), &json!("/restic"))
    );
    // One value that is no reference makes it a file in clear.
    program.write("secrets/catalogue.yaml", "restic: op://home/restic/password\nmail: hunter2\n");
    let found = program.run(&["check", "secrets"]).fails(1).json();
    assert_eq!(
        (&found["findings"][0]["code"], &found["findings"][0]["related"]),
        (&json!("plaintext"), &json!(["/mail"]))
    );
    vault.run(&["refs", "seal", "--to", "sealed.yaml", "secrets/catalogue.yaml"]).fails(65);
}

#[test]
fn other_providers_are_declared() {
    let vault = Vault::new();
    let program = &vault.program;
    program.write("catalogue.env", "A=vault:kv/a\nB=op://home/restic/password\n");
    let provider = "vault=printf value-of-%s {}";
    let seal = |more: &[&str]| {
        vault.run(&[&["refs", "seal", "--to", "sealed.env", "-r", &program.recipient, "catalogue.env"], more].concat())
    };
    seal(&[]).fails(65);
    seal(&["--provider", "vault=kv"]).fails(2);
    seal(&["--provider", "op=cat {}"]).fails(2);
    seal(&["--provider", provider]).ok();
    assert_eq!(program.decrypt("sealed.env"), format!("A=value-of-kv/a\nB={CANARY}\n"));
}

/// A recipe runs anywhere: the rules are those of the fleet's directory, not those of where one happens to stand.
#[test]
fn rules_are_found_beside_the_files_of_another_directory() {
    let vault = Vault::new();
    let program = &vault.program;
    program.write("manifest.json", Vault::manifest().to_string());
    program.write("elsewhere/.sops.yaml", "creation_rules:\n  - path_regex: yaml\n    age: age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p\n");
    program.write("bare/empty", "");
    for place in ["elsewhere", "bare"] {
        let mut command = program.command(env!("CARGO_BIN_EXE_secret-encrypt"));
        let path = format!("{}:{}", program.path("bin").display(), std::env::var("PATH").unwrap());
        command.env("PATH", path).env("OP_SERVICE_ACCOUNT_TOKEN", "ops_x").current_dir(program.path(place));
        let base = program.directory.path();
        command.args(["refs", "seal", "--base"]).arg(base).arg(base.join("manifest.json"));
        finish(&mut command, "").ok();
        let sealed = program.path(".plumbline/secrets/web1.yaml");
        assert!(std::fs::read_to_string(&sealed).unwrap().contains(&program.recipient));
        std::fs::remove_file(sealed).unwrap();
    }
}
