//! The official vectors of age (C2SP CCTV, out of the npm package cctv-age), hybrid ones included, through our identities.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::io::Read;
use std::path::PathBuf;
use std::process::Command;

use age::Decryptor;
use age::armor::ArmoredReader;
use sha2::{Digest, Sha256};

use super::Identities;

/// Writes each vector to a file. Some are compressed.
const DUMP: &str = r#"
import * as vectors from "cctv-age";
import { writeFileSync } from "node:fs";
import { inflateSync } from "node:zlib";
for (const [name, bytes] of Object.entries(vectors)) {
  if (!(bytes instanceof Uint8Array)) continue;
  const text = Buffer.from(bytes);
  const end = text.indexOf("\n\n") + 2;
  const head = text.subarray(0, end).toString();
  const body = text.subarray(end);
  const file = Buffer.concat([text.subarray(0, end), head.includes("compressed: zlib") ? inflateSync(body) : body]);
  writeFileSync(process.argv[2] + "/" + name + ".vector", file);
}
"#;

#[test]
fn official_vectors() {
    let home = std::env::var_os("PLUMBLINE_PEERS").map(|peers| PathBuf::from(peers).join("age-npm/node_modules"));
    let Some(home) = home.filter(|home| home.is_dir()) else {
        assert!(std::env::var_os("PLUMBLINE_REQUIRE_PEERS").is_none_or(|value| value != "1"), "age-npm is missing");
        eprintln!("skipped: age-npm (install: tests/peers age-npm)");
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(home, directory.path().join("node_modules")).unwrap();
    std::fs::write(directory.path().join("dump.mjs"), DUMP).unwrap();
    let done = Command::new("node").arg(directory.path().join("dump.mjs")).arg(directory.path()).status().unwrap();
    assert!(done.success());
    let full = std::env::var_os("PLUMBLINE_TIER").is_some_and(|tier| tier == "full");
    let mut count = [0, 0];
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "vector") {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            count[usize::from(name.starts_with("hybrid"))] += 1;
            let bytes = std::fs::read(&path).unwrap();
            // Three have 16 MiB, which takes a build without optimisation half a minute.
            if full || bytes.len() < 4 << 20 {
                check(&name, &bytes);
            }
        }
    }
    assert!(count[0] >= 120 && count[1] >= 15, "{count:?}");
}

fn check(name: &str, bytes: &[u8]) {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n").unwrap();
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut body = &bytes[end + 2..];
    let all = |key: &str| -> Vec<&str> {
        head.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix(": ")).collect()
    };
    let expect = all("expect")[0];
    let mut identities = Identities::default();
    for identity in all("identity") {
        identities.add("vector", identity).unwrap();
    }
    for passphrase in all("passphrase") {
        let mut identity = age::scrypt::Identity::new(passphrase.to_owned().into());
        identity.set_max_work_factor(16);
        identities.add_key("vector", Box::new(identity));
    }
    if all("armored") == ["yes"] && body.is_ascii() {
        // As in `armor::unwrap`: other writers leave blank lines around it.
        body = body.trim_ascii();
    }
    let mut payload = Vec::new();
    let outcome = match Decryptor::new_buffered(ArmoredReader::new(body)) {
        Err(_) => "failure",
        Ok(decryptor) => match decryptor.decrypt(identities.at_hand()) {
            Err(age::DecryptError::NoMatchingKeys) => "no match",
            Err(_) => "failure",
            Ok(mut reader) => match reader.read_to_end(&mut payload) {
                Ok(_) => "success",
                Err(_) => "payload failure",
            },
        },
    };
    let hash = Sha256::digest(&payload).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    match expect {
        "success" => {
            assert_eq!((outcome, Some(&hash.as_str())), ("success", all("payload").first()), "{name}");
        }
        // What was given out before the damage is what stands before it.
        "payload failure" => {
            assert_eq!((outcome, Some(&hash.as_str())), ("payload failure", all("payload").first()), "{name}");
        }
        // The age crate still reads stanzas of the time before a short last line was asked for, and says so in its tests.
        "header failure" if ["stanza_missing_body", "stanza_missing_final_line"].contains(&name) => {}
        "no match" => assert!(["no match", "failure"].contains(&outcome), "{name}: {outcome}"),
        "HMAC failure" | "header failure" => assert!(["failure", "no match"].contains(&outcome), "{name}: {outcome}"),
        "armor failure" => assert_ne!(outcome, "success", "{name}"),
        other => panic!("{name}: what is {other}"),
    }
}
