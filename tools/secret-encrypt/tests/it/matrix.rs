//! Every rule in every format, several documents, recipients of other kinds: both directions with real sops.
#![allow(clippy::format_collect, reason = "short texts of tests")]

use std::path::Path;

use serde_json::{Value, json};

use crate::program::{Program, finish, peer_folder, sops};

const RULES: [&str; 9] = [
    "encrypted_regex: ^(data|token)$",
    "unencrypted_regex: ^meta",
    "encrypted_suffix: _secret",
    "unencrypted_suffix: _clear",
    "encrypted_comment_regex: seal",
    "unencrypted_comment_regex: leave",
    "encrypted_regex: ^data$\n    mac_only_encrypted: true",
    "unencrypted_suffix: _clear\n    mac_only_encrypted: true",
    "encrypted_comment_regex: seal\n    mac_only_encrypted: true",
];

const FILES: [(&str, &str); 4] = [
    (
        "x.yaml",
        "meta: one\ndata:\n  inner: two\n  # seal this\n  list:\n    - 1\n    - two_secret\ntoken: 3\na_secret: four\nb_clear: five\n\
        # seal this\nsealed: six\n# leave this\nleft: 7.5\n---\ndata: second\n# leave that\nother: 8\nb_clear:\n  deep: nine\n",
    ),
    (
        "x.json",
        "{\"meta\": {\"data\": 1}, \"data\": [true, null, 1.5, \"x\"], \"a_secret\": {\"b_clear\": \"y\"}, \"token\": 3}\n",
    ),
    ("x.env", "meta=one\ndata=two\ntoken=3\n# seal this\na_secret=four\n# leave this\nb_clear=five\nlast=six\n"),
    (
        "x.ini",
        "[meta]\ndata = one\n; seal this\ntoken = 3\nnext = 4\n\n; leave this\n[data]\na_secret = five\n# seal that\nb_clear = six\nlast = 7\n\n\
        ; seal these\n[more]\nleft = 8\n",
    ),
];

fn with_rule(rule: &str) -> Program {
    let program = Program::new();
    let me = &program.recipient;
    program.write(".sops.yaml", format!("creation_rules:\n  - age: {me}\n    {rule}\n"));
    program
}

/// Where values are encrypted, by their places; comments left out, which programs place differently.
fn sealed_places(program: &Program, name: &str) -> Vec<String> {
    fn walk(value: &Value, path: &str, out: &mut Vec<String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| walk(value, &format!("{path}/{key}"), out)),
            Value::Array(list) => {
                list.iter().enumerate().for_each(|(at, value)| walk(value, &format!("{path}/{at}"), out));
            }
            Value::String(text) if text.starts_with("ENC[") => out.push(path.to_owned()),
            _ => {}
        }
    }
    let text = program.read(name);
    let mut out = Vec::new();
    if Path::new(name).extension().is_some_and(|extension| extension == "json") {
        let mut json: Value = serde_json::from_str(&text).unwrap();
        json.as_object_mut().unwrap().remove("sops");
        walk(&json, "", &mut out);
        out.sort();
        return out;
    }
    let own = |line: &&str| !line.trim_start().starts_with(['#', ';']) && line.contains("ENC[");
    let mut inside = false;
    for line in text.lines() {
        // The block of YAML is indented, that of dotenv has its prefix, that of INI is the last section.
        inside = if line == "sops:" || line == "[sops]" {
            true
        } else {
            inside && (line.starts_with(' ') || name == "x.ini")
        };
        if !inside && !line.starts_with("sops_") && own(&line) {
            let key = line.split(['=', ':']).next().unwrap_or_default();
            out.push(key.trim().trim_start_matches("- ").to_owned());
        }
    }
    out
}

#[test]
fn every_rule_in_every_format() {
    let Some(sops) = sops() else { return };
    for rule in RULES {
        let program = with_rule(rule);
        for (name, text) in FILES {
            if rule.contains("comment") && name == "x.json" {
                continue;
            }
            program.write(name, text);
            program.run(&["encrypt", "--in-place", name]).ok();
            let ours = sealed_places(&program, name);
            let sops_reads = finish(program.command(&sops).args(["decrypt", name]), "");
            assert_eq!(sops_reads.code, 0, "{rule} {name}: {}\n{}", sops_reads.stderr, program.read(name));
            assert_eq!(program.decrypt(name), text, "{rule} {name}");
            program.write(name, text);
            finish(program.command(&sops).args(["encrypt", "--in-place", name]), "").ok();
            assert_eq!(ours, sealed_places(&program, name), "{rule} {name}");
            let ran = program.run(&["decrypt", "--json", name]);
            assert_eq!(ran.code, 0, "{rule} {name}: {}\n{}", ran.stderr, program.read(name));
            let ours = ran.json();
            program.write(&format!("plain-{name}"), text);
            let plain = finish(
                program.command(env!("CARGO_BIN_EXE_secret-encrypt")).args([
                    "encrypt",
                    "--to",
                    name,
                    &format!("plain-{name}"),
                ]),
                "",
            );
            plain.ok();
            assert_eq!(program.run(&["decrypt", "--json", name]).ok().json(), ours, "{rule} {name}");
        }
    }
}

#[test]
fn several_documents_both_ways() {
    let Some(sops) = sops() else { return };
    let program = with_rule("unencrypted_suffix: _clear");
    let text = "# one\na: 1\n---\n# two\nb: [x, z]\nc_clear: z\n---\nd:\n  e: true\n";
    program.write("x.yaml", text);
    program.run(&["encrypt", "--in-place", "x.yaml"]).ok();
    let theirs = finish(program.command(&sops).args(["decrypt", "x.yaml"]), "").ok();
    assert!(!theirs.stderr.contains("unencrypted comment"), "{}", theirs.stderr);
    assert_eq!(theirs.text().replace("    ", "  ").replace("b:\n  - x\n  - z\n", "b: [x, z]\n"), text);
    assert_eq!(program.decrypt("x.yaml"), text);
    program.write("x.yaml", text);
    finish(program.command(&sops).args(["encrypt", "--in-place", "x.yaml"]), "").ok();
    assert_eq!(program.decrypt("x.yaml").replace("    ", "  ").replace("b:\n  - x\n  - z\n", "b: [x, z]\n"), text);
    // A value of the first document is changed; sops still reads all of them.
    program.run_with(&["set", "x.yaml", "/a"], "2\n").ok();
    finish(program.command(&sops).args(["decrypt", "x.yaml"]), "").ok();
}

/// Entries that only sops can use, with every key that it writes for them.
fn foreign() -> Value {
    json!({
        "pgp": [{"created_at": "2023-01-17T13:06:50Z", "enc": "-----BEGIN PGP MESSAGE-----\n\nhQEMA/m6nevQP1fAAQf\n=3Rkj\n-----END PGP MESSAGE-----", "fp": "7FB89715AADA920D65D25E63F9BA9DEBD03F57C0"}],
        "kms": [{"arn": "arn:aws:kms:us-east-1:656532927350:key/920aff2e-c5f1", "aws_profile": "", "context": {"Role": "web:app"}, "created_at": "2023-01-17T13:06:50Z", "enc": "AQICAHg=", "role": "arn:aws:iam::1:role/x"}],
        "gcp_kms": [{"created_at": "2023-01-17T13:06:50Z", "enc": "CiQA==", "resource_id": "projects/p/locations/global/keyRings/r/cryptoKeys/k"}],
        "hckms": [{"created_at": "2023-01-17T13:06:50Z", "enc": "abc", "key_id": "tr-west-1:abc-123"}],
        "azure_kv": [{"created_at": "2023-01-17T13:06:50Z", "enc": "x_y-z", "name": "key", "vault_url": "https://v.vault.azure.net", "version": "0123456789"}],
        "hc_vault": [{"created_at": "2023-01-17T13:06:50Z", "enc": "vault:v1:abc=", "engine_path": "transit", "key_name": "k", "vault_address": "https://127.0.0.1:8200"}]
    })
}

/// The lines of these entries in a flat format.
fn flat(prefix: &str, value: &Value) -> String {
    match value {
        Value::Object(map) => map.iter().map(|(key, value)| flat(&format!("{prefix}__map_{key}"), value)).collect(),
        Value::Array(list) => {
            list.iter().enumerate().map(|(at, value)| flat(&format!("{prefix}__list_{at}"), value)).collect()
        }
        Value::String(text) => format!("{prefix}={}\n", text.replace('\n', "\\n")),
        other => format!("{prefix}={other}\n"),
    }
}

#[test]
fn recipients_of_other_kinds_are_kept() {
    for (name, text) in [
        ("x.yaml", "a: b\n"),
        ("x.json", "{\n  \"s\": {\"a\": \"b\"}\n}\n"),
        ("x.env", "a=b\n"),
        ("x.ini", "[s]\na=b\n"),
        ("x.bin", "b"),
    ] {
        let program = Program::new();
        program.run(&["keygen", "new.key"]).ok();
        let new = program.run(&["recipient", "new.key"]).ok().json()["recipients"][0].as_str().unwrap().to_owned();
        program.write(name, text);
        program.encrypt(name);
        let sealed = program.read(name);
        let flat_lines = |prefix: &str| {
            foreign()
                .as_object()
                .unwrap()
                .iter()
                .map(|(kind, list)| flat(&format!("{prefix}{kind}"), list))
                .collect::<String>()
        };
        let with = match name {
            "x.yaml" => sealed.replacen("sops:\n", &format!("sops:\n{}", yaml(&foreign(), 4)), 1),
            "x.env" => sealed + &flat_lines("sops_"),
            "x.ini" => sealed + &flat_lines(""),
            _ => {
                let mut json: Value = serde_json::from_str(&sealed).unwrap();
                for (kind, list) in foreign().as_object().unwrap() {
                    json["sops"][kind] = list.clone();
                }
                serde_json::to_string_pretty(&json).unwrap()
            }
        };
        program.write(name, &with);
        let kept = |what: &str| {
            let now = program.read(name);
            match name {
                "x.json" | "x.bin" => {
                    let json: Value = serde_json::from_str(&now).unwrap();
                    for (kind, list) in foreign().as_object().unwrap() {
                        assert_eq!(json["sops"][kind], *list, "{name} {what} {kind}");
                    }
                }
                _ => {
                    let squeezed = |text: &str| text.replace([' ', '"'], "");
                    for line in with.lines().filter(|line| !line.contains("type:str") && !line.contains("lastmodified"))
                    {
                        assert!(squeezed(&now).contains(&squeezed(line)), "{name} {what} lost {line}\n{now}");
                    }
                }
            }
        };
        let pointer = match name {
            "x.yaml" | "x.env" => "/a",
            "x.bin" => "",
            _ => "/s/a",
        };
        if name == "x.bin" {
            program.write("plain.bin", "c");
            program.run(&["encrypt", "--to", name, "plain.bin"]).ok();
        } else {
            program.run_with(&["set", name, pointer], "c").ok();
        }
        kept("set");
        program.write(".sops.yaml", format!("creation_rules:\n  - age: {},{new}\n", program.recipient));
        program.run(&["rekey", name]).ok();
        kept("rekey");
        let value = program.run(&["decrypt", "-i", "new.key", name, "--pointer", pointer]).ok().text();
        assert_eq!(value, "c", "{name}");
        if let Some(sops) = sops() {
            finish(program.command(&sops).args(["decrypt", name]), "").ok();
        }
    }
}

/// Block YAML of entries, as sops writes them.
fn yaml(value: &Value, indent: usize) -> String {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| match value {
                Value::String(text) if text.contains('\n') => {
                    let lines: String = text
                        .lines()
                        .map(|line| if line.is_empty() { "\n".into() } else { format!("{pad}    {line}\n") })
                        .collect();
                    format!("{pad}{key}: |-\n{lines}")
                }
                Value::String(text) => format!("{pad}{key}: {}\n", Value::from(text.as_str())),
                other => format!("{pad}{key}:\n{}", yaml(other, indent + 4)),
            })
            .collect(),
        Value::Array(list) => {
            list.iter().map(|item| format!("{pad}- {}", yaml(item, indent + 2).trim_start())).collect()
        }
        _ => String::new(),
    }
}

/// An independent reader (npm sops-age) gets the same values out of what we write.
#[test]
fn an_independent_reader() {
    let Some(home) = peer_folder("age-npm", "tests/peers age-npm") else { return };
    let program = Program::new();
    std::os::unix::fs::symlink(home.join("node_modules"), program.path("node_modules")).unwrap();
    program.write(
        "read.mjs",
        "import { decryptSops } from 'sops-age';\nimport { readFileSync } from 'node:fs';\n\
        const key = readFileSync('age.key', 'utf8').split('\\n').find((line) => line.startsWith('AGE-SECRET-KEY'));\n\
        const out = await decryptSops({ path: process.argv[2], secretKey: key });\nconsole.log(JSON.stringify(out));\n",
    );
    for (name, text, expected) in [
        ("x.yaml", "a: one # c\nb:\n  - 2\n  - true\n  - c: 1.5\n", json!({"a": "one", "b": [2, true, {"c": 1.5}]})),
        ("x.json", "{\"a\": \"ünï\", \"b\": {\"c\": [1, false]}}", json!({"a": "ünï", "b": {"c": [1, false]}})),
        ("x.env", "# about\nA=1\nB=two words\n", json!({"A": "1", "B": "two words"})),
    ] {
        program.write(name, text);
        program.encrypt(name);
        let theirs = finish(program.command("node").args(["read.mjs", name]), "").ok().json();
        assert_eq!(theirs, expected, "{name}");
    }
}
