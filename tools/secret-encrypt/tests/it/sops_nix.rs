//! Against the install program of sops-nix, where somebody built it: no registry has it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::program::{Program, finish};

/// `$SOPS_INSTALL_SECRETS`. Its absence is no failure where peers have to be there.
fn install_program() -> Option<PathBuf> {
    let found = std::env::var_os("SOPS_INSTALL_SECRETS").map(PathBuf::from);
    if found.is_none() {
        eprintln!(
            "skipped: sops-install-secrets of sops-nix (install: git clone https://github.com/Mic92/sops-nix, there \
             go build ./pkgs/sops-install-secrets, and set SOPS_INSTALL_SECRETS to the program that this makes)"
        );
    }
    found
}

/// What is in the files, by the name of each secret: the file, the key in it, the value.
const SECRETS: [(&str, &str, &str, &str); 9] = [
    ("plain", "web1.yaml", "plain", "hunter2"),
    ("deep", "web1.yaml", "db/app/password", "p@ss 'w' # ü"),
    ("block", "web1.yaml", "block", "-----BEGIN X-----\nabc\n\n  def\n-----END X-----\n"),
    ("folded", "web1.yaml", "folded", "one two"),
    ("top", "web1.json", "top", "quote \" and \\ and <&>"),
    ("dotenv", "web1.env", "", "# about\nA=1\nB=two words\n"),
    ("ini", "web1.ini", "", "[s]\na = 1\n"),
    ("binary", "web1.bin", "", "\u{0}\u{1}binary"),
    ("whole", "whole.yaml", "", "a: 1\nb: x\n"),
];

/// Every file that the secrets need, encrypted by us.
fn files(program: &Program, recipient: &str) {
    let yaml = "# of the shop\nplain: hunter2 # behind\ndb:\n  # inside\n  app: {password: \"p@ss 'w' # ü\"}\nlist:\n  - 1\n  # between\n  - two\n\
        block: |\n  -----BEGIN X-----\n  abc\n\n    def\n  -----END X-----\nfolded: >-\n  one\n  two\nport: 8080\nold: yes\nwhen: 2001-12-14\n";
    let contents = [
        ("web1.yaml", yaml),
        ("web1.json", "{\"top\": \"quote \\\" and \\\\ and <&>\", \"n\": {\"a\": [1, null, true]}}"),
        ("web1.env", SECRETS[5].3),
        ("web1.ini", SECRETS[6].3),
        ("web1.bin", SECRETS[7].3),
        ("whole.yaml", SECRETS[8].3),
    ];
    for (name, content) in contents {
        program.write(name, content);
        program.run(&["encrypt", "--in-place", "-r", recipient, name]).ok();
    }
}

/// The manifest as the NixOS module writes it, in the mode of a user, whose files are in the runtime directory.
fn manifest(program: &Program, keys: &Value) -> Value {
    let secrets = SECRETS.map(|(name, file, key, _)| {
        let format = match Path::new(file).extension().and_then(|extension| extension.to_str()) {
            Some("bin") => "binary",
            Some("env") => "dotenv",
            other => other.unwrap_or_default(),
        };
        json!({"name": name, "key": key, "path": format!("%r/secrets/{name}"), "sopsFile": program.path(file), "format": format,
            "mode": "0440", "restartUnits": [], "reloadUnits": []})
    });
    let placeholders: serde_json::Map<String, Value> =
        SECRETS.iter().map(|(name, ..)| ((*name).to_owned(), json!(format!("<SOPS:{name}:PLACEHOLDER>")))).collect();
    let mut manifest = json!({
        "secrets": secrets,
        "templates": [{"name": "app.env", "content": "PASSWORD=<SOPS:plain:PLACEHOLDER>\n", "path": "%r/secrets/rendered/app.env",
            "mode": "0400", "restartUnits": [], "reloadUnits": []}],
        "placeholderBySecretName": placeholders,
        "secretsMountPoint": "%r/secrets.d", "symlinkPath": "%r/secrets", "keepGenerations": 1, "userMode": true,
        "logging": {"keyImport": false, "secretChanges": false}
    });
    manifest.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    manifest
}

/// All formats, for an age key and for the age recipient that follows from the SSH key of a host.
#[test]
fn its_install_program_takes_what_we_write() {
    let Some(install) = install_program() else { return };
    for with_host_key in [false, true] {
        let program = Program::new();
        let keygen = ["-q", "-t", "ed25519", "-N", "", "-f", "host_key"];
        finish(program.command("ssh-keygen").args(keygen), "").ok();
        let (recipient, keys) = if with_host_key {
            let recipient = program.run(&["recipient", "--output", "text", "host_key.pub"]).ok().text();
            (recipient.trim().to_owned(), json!({"ageSshKeyPaths": [program.path("host_key")]}))
        } else {
            (program.recipient.clone(), json!({"ageKeyFile": program.path("age.key")}))
        };
        files(&program, &recipient);
        program.write("manifest.json", manifest(&program, &keys).to_string());
        let runtime = tempfile::tempdir_in("/dev/shm").unwrap();
        let run = |mode: &str| {
            let mut command = program.command(&install);
            command.env_remove("SOPS_AGE_KEY_FILE").env("HOME", "/var/empty").env("XDG_RUNTIME_DIR", runtime.path());
            finish(command.args([&format!("-check-mode={mode}"), "-ignore-passwd", "manifest.json"]), "").ok()
        };
        // The first two are what a build of NixOS runs, without a key; the last is the activation.
        for mode in ["manifest", "sopsfile", "off"] {
            run(mode);
        }
        for (name, _, _, value) in SECRETS {
            let installed = runtime.path().join("secrets").join(name);
            assert_eq!(fs::read_to_string(&installed).unwrap(), value, "{name}");
            assert_eq!(fs::metadata(&installed).unwrap().permissions().mode() & 0o777, 0o440, "{name}");
        }
        let rendered = runtime.path().join("secrets/rendered/app.env");
        assert_eq!(fs::read_to_string(rendered).unwrap(), "PASSWORD=hunter2\n");
        // A value that we changed arrives too.
        let identity = program.path("host_key");
        let identity = if with_host_key { identity } else { program.path("age.key") };
        program.run_with(&["set", "-i", identity.to_str().unwrap(), "web1.yaml", "/plain"], "hunter3").ok();
        run("off");
        assert_eq!(fs::read_to_string(runtime.path().join("secrets/plain")).unwrap(), "hunter3");
    }
}

/// As root in a mount namespace of its own, for the same secrets: the same places, contents, owners and modes as ours.
#[test]
fn materialize_does_what_its_install_program_does() {
    let Some(install) = install_program() else { return };
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: secrets with owners (install: run as root)");
        return;
    }
    let program = Program::new();
    files(&program, &program.recipient);
    let mut theirs = manifest(&program, &json!({"ageKeyFile": program.path("age.key"), "userMode": false}));
    let root = tempfile::tempdir_in("/dev/shm").unwrap();
    let place = |name: &str| root.path().join("theirs").join(name).display().to_string();
    theirs["secretsMountPoint"] = json!(place("run/secrets.d"));
    theirs["symlinkPath"] = json!(place("run/secrets"));
    let (mut ours, names) = (Vec::new(), SECRETS.map(|(name, ..)| name));
    for (index, (name, file, key, _)) in SECRETS.into_iter().enumerate() {
        theirs["secrets"][index]["path"] = json!(place(&format!("run/secrets/{name}")));
        (theirs["secrets"][index]["owner"], theirs["secrets"][index]["group"]) = (json!("daemon"), json!("mail"));
        let pointer = if key.is_empty() { String::new() } else { format!("/{key}") };
        ours.push(
            json!({"name": name, "file": file, "pointer": pointer, "owner": "daemon", "group": "mail", "mode": "0440"}),
        );
    }
    (theirs["secrets"][0]["path"], ours[0]["link"]) = (json!(place("etc/app/token")), json!("/etc/app/token"));
    (theirs["templates"][0]["path"], theirs["templates"][0]["owner"]) = (json!(place("opt/.env")), json!("daemon"));
    let ours = json!({"schema": "secrets.manifest/v1", "secrets": ours, "templates": [
        {"name": "app.env", "text": "PASSWORD=@@secret:plain@@\n", "owner": "daemon", "link": "/opt/.env"}]});
    program.write("theirs.json", theirs.to_string());
    program.write("ours.json", ours.to_string());
    fs::create_dir_all(root.path().join("ours/etc")).unwrap();
    for file in ["passwd", "group"] {
        fs::copy(Path::new("/etc").join(file), root.path().join("ours/etc").join(file)).unwrap();
    }
    let ours_root = root.path().join("ours").display().to_string();
    program.run(&["materialize", "ours.json", "--root", &ours_root]).ok();
    // What it mounts is seen, and goes, with the namespace alone.
    let list =
        "cd \"$0\" && find -L run/secrets etc/app opt -type f -exec stat -L -c '%a %U %G %n' {} + -exec cat {} +";
    let listed = |side: &str, before: &str| {
        let script = format!("set -e; {before} {list} | sort");
        let folder = root.path().join(side);
        let mut command = program.command("unshare");
        command.args(["--mount", "--propagation", "private", "bash", "-c", &script]).arg(folder).arg(&install);
        finish(command.env_remove("SOPS_AGE_KEY_FILE").env("HOME", program.directory.path()), "").ok().text()
    };
    let installed = listed("theirs", "\"$1\" theirs.json 1>&2;");
    assert!(
        names.iter().all(|name| installed.contains(&format!("440 daemon mail run/secrets/{name}\n"))),
        "{installed}"
    );
    let materialized = listed("ours", "mount -t tmpfs run /run; ln -s \"$0\"/run/secrets /run/secrets;");
    assert_eq!(installed, materialized);
    let directory = |side: &str| fs::metadata(root.path().join(side).join("run/secrets.d")).unwrap().mode() & 0o777;
    assert_eq!(directory("ours"), 0o751);
}

/// What `check --sops-nix` warns of is what the program really does not take.
#[test]
fn its_install_program_chokes_on_what_check_finds() {
    let Some(install) = install_program() else { return };
    let program = Program::new();
    finish(program.command("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", "host_key"]), "").ok();
    let ssh = program.read("host_key.pub");
    let age = program.recipient.clone();
    let cases = [
        ("good.yaml", "a: x\n", "a", age.as_str(), None),
        ("type.yaml", "a: 8080\n", "a", &age, Some("sops-nix-type")),
        ("list.yaml", "a:\n  - x\n", "a/0", &age, Some("sops-nix-list")),
        ("nested.json", "{\"a\": {\"b\": \"x\"}}", "a/b", &age, Some("sops-nix-nested-json")),
        ("slash.yaml", "a/b: x\n", "a/b", &age, Some("sops-nix-slash")),
        ("documents.yaml", "b: x\n---\na: x\n", "a", &age, Some("sops-nix-documents")),
        ("ssh.yaml", "a: x\n", "a", ssh.trim(), Some("sops-nix-ssh-only")),
    ];
    for (name, text, key, recipient, code) in cases {
        program.write(name, text);
        program.run(&["encrypt", "--in-place", "-r", recipient, name]).ok();
        let found = program.run(&["check", "--sops-nix", name]).ok().json();
        assert_eq!(
            found["findings"].as_array().unwrap().first().map(|found| &found["code"]),
            code.map(Value::from).as_ref()
        );
        let runtime = tempfile::tempdir_in("/dev/shm").unwrap();
        let mut manifest = manifest(
            &program,
            &json!({"ageSshKeyPaths": [program.path("host_key")], "ageKeyFile": program.path("age.key")}),
        );
        manifest["templates"] = json!([]);
        let format =
            if Path::new(name).extension().is_some_and(|extension| extension == "json") { "json" } else { "yaml" };
        manifest["secrets"] = json!([{"name": "s", "key": key, "path": "%r/secrets/s", "sopsFile": program.path(name), "format": format,
            "mode": "0400", "restartUnits": [], "reloadUnits": []}]);
        program.write("manifest.json", manifest.to_string());
        let mut command = program.command(&install);
        command.env_remove("SOPS_AGE_KEY_FILE").env("HOME", "/var/empty").env("XDG_RUNTIME_DIR", runtime.path());
        let ran = finish(command.args(["-ignore-passwd", "manifest.json"]), "");
        assert_eq!(ran.code, i32::from(code.is_some()), "{name}: {}", ran.stderr);
    }
}
