//! The program that sops-nix installs secrets with on a host reads every format that we write. No registry has it: it is looked
//! for where peers lie and on the path, and its absence is never a failure.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::program::{Program, finish};

fn install_program() -> Option<PathBuf> {
    let own = std::env::var_os("PLUMBLINE_PEERS").map(|peers| PathBuf::from(peers).join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = own.into_iter().chain(std::env::split_paths(&path));
    let found = places.find_map(|place| Some(place.join("sops-install-secrets")).filter(|file| file.is_file()));
    if found.is_none() {
        eprintln!(
            "skipped: sops-install-secrets (install: build pkgs/sops-install-secrets of Mic92/sops-nix into the path)"
        );
    }
    found
}

#[test]
fn it_installs_what_we_write() {
    let Some(install) = install_program() else { return };
    let program = Program::new();
    // A host has its SSH key; what is written is for the age recipient that follows from it.
    program.write("x.yaml", "k: v\n");
    program.encrypt("x.yaml");
    program.run(&["set", "x.yaml", "/key", "--generate", "ssh-key"]).ok();
    let key = program.run(&["decrypt", "x.yaml", "--pointer", "/key"]).ok().text();
    program.write("ssh_host_ed25519_key", &key);
    std::fs::set_permissions(program.path("ssh_host_ed25519_key"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .unwrap();
    let host =
        program.run(&["recipient", "ssh_host_ed25519_key"]).ok().json()["recipients"][0].as_str().unwrap().to_owned();
    let files = [
        ("a.yaml", "yaml", "nested/deep", "top: x # c\nnested:\n  # about\n  deep: |\n    several\n    lines\n"),
        ("b.json", "json", "token", "{\"token\": \"ünï \\\"q\\\"\", \"n\": 1}\n"),
        ("c.env", "dotenv", "", "# about\nA=1\n\nB=two words\n"),
        ("d.ini", "ini", "", "; about\n[s]\na = 1\nb = `x#y`\n"),
        ("e.bin", "binary", "", "raw \u{1} bytes"),
    ];
    let mut secrets = Vec::new();
    for (file, format, key, text) in files {
        program.write(file, text);
        program.run(&["encrypt", "--in-place", "-r", &host, file]).ok();
        secrets.push(json!({
            "name": file, "key": key, "path": program.path(&format!("links/{file}")), "owner": null, "uid": 0, "group": null, "gid": 0,
            "sopsFile": program.path(file), "format": format, "mode": "0400", "restartUnits": [], "reloadUnits": []
        }));
    }
    let manifest: Value = json!({
        "secrets": secrets, "templates": [], "placeholderBySecretName": {}, "secretsMountPoint": program.path("secrets.d"),
        "symlinkPath": program.path("secrets"), "keepGenerations": 1, "sshKeyPaths": [], "gnupgHome": "", "ageKeyFile": "",
        "ageSshKeyPaths": [program.path("ssh_host_ed25519_key")], "useTmpfs": false, "userMode": true,
        "logging": {"keyImport": false, "secretChanges": false}
    });
    program.write("manifest.json", manifest.to_string());
    std::fs::create_dir(program.path("links")).unwrap();
    let mut command = program.command(install);
    command.env("XDG_RUNTIME_DIR", program.path("")).args(["-ignore-passwd", "manifest.json"]);
    finish(&mut command, "").ok();
    let installed = |name: &str| program.read(&format!("secrets/{name}"));
    assert_eq!(installed("a.yaml"), "several\nlines\n");
    assert_eq!(installed("b.json"), "ünï \"q\"");
    assert_eq!(installed("e.bin"), "raw \u{1} bytes");
    for value in ["A=1", "B=two words"] {
        assert!(installed("c.env").contains(value), "{}", installed("c.env"));
    }
    for value in ["a = 1", "b = `x#y`", "[s]"] {
        assert!(installed("d.ini").contains(value), "{}", installed("d.ini"));
    }
}
