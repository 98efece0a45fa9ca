//! Published files of sops and sops-nix, where they are on this machine.

use std::path::PathBuf;

use serde_json::json;

use crate::program::{Program, skipped};

/// A folder of published files: `$PLUMBLINE_VECTORS/NAME`, and for sops its own source, which Go keeps when sops is installed.
fn vectors(name: &str) -> Option<PathBuf> {
    let given = std::env::var_os("PLUMBLINE_VECTORS").map(|folder| PathBuf::from(folder).join(name));
    let found = given.into_iter().chain(if name == "sops" { source_of_sops() } else { None });
    let found = found.into_iter().find(|folder| folder.is_dir());
    if found.is_none() && name == "sops" {
        skipped("the published files of sops", "tests/peers sops, or set PLUMBLINE_VECTORS to a folder with sops/");
    } else if found.is_none() {
        // No registry has them, so that their absence is no failure where peers have to be there.
        eprintln!("skipped: the published files of sops-nix ({HOW_SOPS_NIX})");
    }
    found
}

const HOW_SOPS_NIX: &str = "install: copy pkgs/sops-install-secrets/test-assets of https://github.com/Mic92/sops-nix to sops-nix/ \
    in a folder, and set PLUMBLINE_VECTORS to it";

/// Nothing is downloaded: what is not there is skipped.
fn source_of_sops() -> Option<PathBuf> {
    let mut go = std::process::Command::new("go");
    go.env("GOPROXY", "off").args(["mod", "download", "-json", "github.com/getsops/sops/v3@v3.13.3"]);
    let module: serde_json::Value = serde_json::from_slice(&go.output().ok()?.stdout).ok()?;
    Some(PathBuf::from(module["Dir"].as_str()?).join("functional-tests/res"))
}

#[test]
fn sops_nix_by_age_key_and_by_converted_host_key() {
    let Some(vectors) = vectors("sops-nix") else { return };
    let program = Program::new();
    let file = vectors.join("secrets.yaml");
    let file = file.to_str().unwrap();
    for key in ["age-keys.txt", "ssh-ed25519-key"] {
        let key = vectors.join(key);
        let value = program.run(&["decrypt", "-i", key.to_str().unwrap(), file, "--pointer", "/nested/test/file"]).ok();
        assert_eq!(value.text(), "another value");
    }
    let public = vectors.join("ssh-ed25519-key.pub");
    let private = vectors.join("ssh-ed25519-key");
    for key in [public, private] {
        let recipients = program.run(&["recipient", key.to_str().unwrap()]).ok().json()["recipients"].clone();
        assert_eq!(recipients, json!(["age1a8pk4akrdamj7nvqy3zywgtny8dxz7t5xzu7u8v9mhrayp9freqsqatyrs"]));
    }
    program.run(&["decrypt", file]).fails(77);
}

/// The published files are for PGP. Metadata is not under the MAC, so their data keys (published with the test keys) are
/// wrapped for our identity in its place.
#[test]
fn published_files_by_their_data_keys() {
    let files = [
        ("sops/comments.enc.yaml", "61bec946f5783fd4cea3d1b1ce407fce2b6e81fc301cc539c422015e27f6d1be"),
        ("sops/format.enc.env", "322d9a97997823fb2bf42f55a6c26100cbaf0520cf88bb7ebee1cf47dd6d318d"),
        ("sops/format.enc.json", "9f6aeda6383502c38f7dae6fbbb8cb6890582adb0335effa8952fe590d7a9596"),
        ("sops/format.enc.yaml", "af5e68dd342b72c6a0475f81a50da4fde898f4b7742c92cbcf1668211411f4e4"),
        ("sops/multiple_keys.yaml", "1e1db61c6b93c001caa9ce34a9d68448eee8a3c69336697eab36bb92327ce786"),
        ("sops-nix/secrets.json", "f7820264ffb2476c375f41af3f6fc4b6ed53775ee4338a73dbfd09f0c15c3b80"),
        ("sops-nix/secrets.env", "d47a66aa0fc88f3a593ea2640ff1f7608f80e134bb40ed668555c936f1dd8e19"),
        ("sops/format.enc.ini", "ce46fd76883106d55913ff2207e160bbeac65a71d6e1cf84c510614bed6f8ccd"),
        ("sops/format-2.enc.ini", "200b251d35608cb3451d26d95d0f6c4580575d8f61d908b6d224fc488c65263f"),
        ("sops-nix/secrets.ini", "0e3422dcdc60ebecac85f9257df7f890d445263372b98d959367cd64f4fb918b"),
        ("sops-nix/secrets.bin", "76b56cbf2679698e51d455d051e8a270b0ca75bbaca9fc16c5c47c17d767346a"),
    ];
    let program = Program::new();
    for (name, key) in files {
        let key: Vec<u8> = (0..32).map(|at| u8::from_str_radix(&key[at * 2..at * 2 + 2], 16).unwrap()).collect();
        let recipient: age::x25519::Recipient = program.recipient.parse().unwrap();
        let enc = age::encrypt_and_armor(&recipient, &key).unwrap();
        let (folder, local) = name.split_once('/').unwrap();
        let Some(vectors) = vectors(folder) else { continue };
        let text = std::fs::read_to_string(vectors.join(local)).unwrap();
        let with_key = match local.rsplit('.').next().unwrap() {
            "yaml" => {
                let enc = enc.trim_end().lines().fold(String::new(), |out, line| format!("{out}\n            {line}"));
                let text = text.replace("    age: []\n", "");
                text.replacen(
                    "\nsops:\n",
                    &format!("\nsops:\n    age:\n        - recipient: {}\n          enc: |{enc}\n", program.recipient),
                    1,
                )
            }
            // Either form of line breaks is read: as `\n`, and as 3.13.0 and 3.13.1 wrote them.
            "ini" if local.starts_with("format-2") => format!(
                "{}\nage__list_0__map_enc = \"\"\"{enc}\"\"\"\nage__list_0__map_recipient = {}\n",
                text.trim_end(),
                program.recipient
            ),
            "ini" => format!(
                "{}\nage__list_0__map_enc = {}\nage__list_0__map_recipient = {}\n",
                text.trim_end(),
                enc.replace('\n', "\\n"),
                program.recipient
            ),
            "env" => format!(
                "{}\nsops_age__list_0__map_enc={}\nsops_age__list_0__map_recipient={}\n",
                text.trim_end(),
                enc.replace('\n', "\\n"),
                program.recipient
            ),
            _ => {
                let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
                json["sops"]["age"] = json!([{"enc": enc, "recipient": program.recipient}]);
                json.to_string()
            }
        };
        program.write(local, with_key);
        let ran = program.run(&["decrypt", local]).ok();
        assert!(!ran.text().contains("ENC["), "{name}: {}", ran.text());
    }
    if program.path("comments.enc.yaml").exists() {
        assert!(program.decrypt("comments.enc.yaml").contains("this-is-a-comment"));
    }
}

#[test]
fn a_file_without_mac_is_refused() {
    let Some(vectors) = vectors("sops") else { return };
    let program = Program::new();
    let text = std::fs::read_to_string(vectors.join("no_mac.yaml")).unwrap();
    program.write("no_mac.yaml", text);
    let ran = program.run(&["check", "no_mac.yaml"]).fails(1).json();
    assert!(ran["findings"].to_string().contains("mac-missing"), "{ran}");
}
