//! set, unset, create, keygen, recipient.

use serde_json::json;

use crate::program::{Program, finish};

#[test]
fn values_are_put_and_taken_away_where_they_belong() {
    let program = Program::new();
    program.write("x.yaml", "# top\na: one # first\n\nb:\n  c: two\n  l:\n    - x\n    - y\n\n# end\n");
    program.encrypt("x.yaml");
    program
        .run_with(
            &["set", "x.yaml"],
            r#"{"/b/d": "three", "/z": 5, "/b/l/-": "z", "/b/l/0": "X", "/deep/er/est": true}"#,
        )
        .ok();
    program.run(&["set", "x.yaml", "/pw", "--generate", "password=20"]).ok();
    let text = program.decrypt("x.yaml");
    let (head, tail) = text.split_once("pw: ").unwrap();
    assert_eq!(tail.lines().next().unwrap().len(), 20);
    assert_eq!(
        head,
        "# top\na: one # first\n\nb:\n  c: two\n  l:\n    - X\n    - y\n    - z\n  d: three\ndeep:\n  er:\n    est: true\nz: 5\n"
    );
    assert!(tail.ends_with("\n\n# end\n"), "{tail}");
    let again = program.run(&["set", "x.yaml", "/pw", "--generate", "password=20", "--if-missing"]).ok().json();
    assert_eq!(again["changed"], false);
    program.run(&["unset", "x.yaml", "/pw", "/deep/er/est", "/b/l/1", "/z"]).ok();
    assert_eq!(
        program.decrypt("x.yaml"),
        "# top\na: one # first\n\nb:\n  c: two\n  l:\n    - X\n    - z\n  d: three\ndeep:\n  er: {}\n\n# end\n"
    );
    let near = program.run(&["unset", "x.yaml", "/b/cc"]).fails(65);
    assert!(near.stderr.contains("did you mean /b/c"), "{}", near.stderr);
}

/// What is left is a mapping that can be read, decrypted and filled again.
#[test]
fn the_last_value_goes_and_another_comes() {
    let program = Program::new();
    for (name, text, left) in [
        ("x.yaml", "# top\na: one\n", "# top\n{}\n"),
        ("x.json", "{\"a\": \"one\"}\n", "{}\n"),
        ("x.env", "a=one\n", ""),
        ("x.ini", "[s]\na = one\n", "[s]\n"),
    ] {
        program.write(name, text);
        program.encrypt(name);
        let pointer = if name == "x.ini" { "/s/a" } else { "/a" };
        program.run(&["unset", name, pointer]).ok();
        assert_eq!(program.decrypt(name), left, "{name}");
        program.run_with(&["set", name, pointer], "two").ok();
        assert!(program.decrypt(name).contains("two"), "{name}");
    }
}

#[test]
fn a_comment_behind_the_header_of_a_block_stays() {
    let program = Program::new();
    program.write("x.yaml", "a: | # why\n  one\n  two\nl:\n  - >-  # the first\n    x\n    y\nb: 1\n");
    program.encrypt("x.yaml");
    program.run_with(&["set", "x.yaml"], r#"{"/a": "three\nfour\n", "/l/0": "z"}"#).ok();
    assert_eq!(program.decrypt("x.yaml"), "a: | # why\n  three\n  four\nl:\n  - z  # the first\nb: 1\n");
    program.run_with(&["set", "x.yaml", "/a"], "five # six").ok();
    assert_eq!(program.decrypt("x.yaml"), "a: \"five # six\" # why\nl:\n  - z  # the first\nb: 1\n");
}

#[test]
fn json_keeps_its_form() {
    let program = Program::new();
    program.write("x.json", "{\n  \"a\": 1,\n  \"b\": {\"c\": [true]}\n}\n");
    program.encrypt("x.json");
    program.run_with(&["set", "x.json"], r#"{"/b/d": "x", "/e": {"f": null}}"#).ok();
    assert_eq!(
        program.decrypt("x.json"),
        "{\n  \"a\": 1,\n  \"b\": {\"c\": [true],\"d\": \"x\"},\n  \"e\": {\"f\":null}\n}\n"
    );
    program.run(&["unset", "x.json", "/a", "/b/c"]).ok();
    assert_eq!(program.decrypt("x.json"), "{\n  \"b\": {\"d\": \"x\"},\n  \"e\": {\"f\":null}\n}\n");
}

#[test]
fn missing_secrets_are_made_and_none_is_replaced() {
    let program = Program::new();
    program
        .write(".sops.yaml", format!("creation_rules:\n  - path_regex: ^secrets/\n    age: {}\n", program.recipient));
    let manifest = json!({"schema": "secrets.manifest/v1", "secrets": [
        {"name": "db", "file": "secrets/web1.yaml", "pointer": "/db", "generator": {"password": {"length": 24}}},
        {"name": "key", "file": "secrets/web1.yaml", "pointer": "/keys/app", "generator": {"hex": {"bytes": 16}}},
        {"name": "given", "file": "secrets/web1.yaml", "pointer": "/given"}]});
    program.write("manifest.json", manifest.to_string());
    let result = program.run(&["create", "--missing", "manifest.json"]).ok().json();
    assert_eq!(result["added"], json!(["db", "key"]));
    assert_eq!(result["warnings"].as_array().unwrap().len(), 1);
    let first = program.read("secrets/web1.yaml");
    assert_eq!(program.run(&["decrypt", "secrets/web1.yaml", "--pointer", "/db"]).ok().text().len(), 24);
    assert_eq!(program.run(&["create", "--missing", "manifest.json"]).ok().json()["changed"], false);
    assert_eq!(program.read("secrets/web1.yaml"), first);
    program.run_with(&["set", "secrets/web1.yaml", "/given"], "x").ok();
    program.run(&["check", ".", "--manifest", "manifest.json", "--can-open", "--identity", "age.key"]).fails(1);
    program.write(".gitignore", "age.key\n");
    let findings = program.run(&["check", "secrets", "--manifest", "manifest.json", "--can-open"]).ok().json();
    assert_eq!(findings["findings"], json!([]));
}

#[test]
fn recipients_of_every_kind_of_key() {
    let program = Program::new();
    program.run(&["set", "nothing.yaml", "/a", "--generate", "ssh-key"]).fails(66);
    program.write("x.yaml", "k: v\n");
    program.encrypt("x.yaml");
    program.run(&["set", "x.yaml", "/key", "--generate", "ssh-key"]).ok();
    let key = program.run(&["decrypt", "x.yaml", "--pointer", "/key"]).ok().text();
    program.write("id", &key);
    let recipient = program.run(&["recipient", "id"]).ok().json()["recipients"][0].as_str().unwrap().to_owned();
    assert!(recipient.starts_with("age1"));
    assert_eq!(
        program.run(&["recipient", "--output", "text", "age.key"]).ok().text(),
        format!("{}\n", program.recipient)
    );
    program.write("y.yaml", "a: for the host\n");
    program.run(&["encrypt", "--in-place", "-r", &recipient, "y.yaml"]).ok();
    assert_eq!(program.run(&["decrypt", "-i", "id", "y.yaml"]).ok().text(), "a: for the host\n");
    program.run_with(&["recipient"], "# comment only\n").fails(65);
    // Every key of ssh-keyscan that has no recipient is named.
    let scanned = format!("h ssh-ed25519 {}\nh ssh-rsa AAAA\nh ecdsa-sha2-nistp256 AAAA\n", "AAAA");
    let ran = program.run_with(&["recipient"], scanned).fails(65);
    assert!(ran.stderr.contains("no key in it that has an age recipient"), "{}", ran.stderr);
    finish(program.command("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", "host"]), "").ok();
    let public = program.read("host.pub");
    let ran = program.run_with(&["recipient"], format!("h {public}h ssh-rsa AAAA\nh ecdsa-sha2-nistp256 AAAA\n")).ok();
    let warnings = ran.json()["warnings"].to_string();
    assert!(warnings.contains("not ssh-rsa") && warnings.contains("not ecdsa-sha2-nistp256"), "{warnings}");
}

/// One value changes three lines (two within one second of the last change), in every format.
#[test]
fn a_changed_value_is_a_diff_of_three_lines() {
    let program = Program::new();
    let files = [
        ("x.yaml", "# c\na: one\nb:\n  - two\n", "/a"),
        ("x.json", "{\n  \"a\": \"one\",\n  \"b\": [\"two\"]\n}\n", "/a"),
        ("x.env", "A=one\n# c\nB=two\n", "/A"),
        ("x.ini", "; c\n[a]\nk = one\n\n[b]\nk = two\n", "/a/k"),
    ];
    for (name, text, pointer) in files {
        program.write(name, text);
        program.encrypt(name);
        let before = program.read(name);
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let done = program.run_with(&["set", name, pointer], "other").ok().json();
        assert_eq!(done["updated"], json!([pointer]));
        let after = program.read(name);
        let differing = before.lines().zip(after.lines()).filter(|(a, b)| a != b).count();
        assert_eq!((differing, before.lines().count()), (3, after.lines().count()), "{name}\n{before}\n{after}");
        // The same again writes nothing, not even the time.
        assert_eq!(program.run_with(&["set", name, pointer], "other").ok().json()["changed"], false);
        assert_eq!(program.read(name), after);
        // A generated value, and back to where it was.
        let new = if name == "x.ini" { "/a/NEW" } else { "/NEW" };
        program.run(&["set", name, new, "--generate", "base64=24"]).ok();
        assert_eq!(program.run(&["decrypt", name, "--pointer", new]).ok().text().len(), 32);
        program.run(&["unset", name, new]).ok();
        assert_eq!(program.decrypt(name), text.replacen("one", "other", 1));
        let dry = program.run_with(&["set", "--dry-run", name, pointer], "third").ok().json();
        assert_eq!((&dry["changed"], program.decrypt(name).contains("third")), (&json!(true), false));
    }
}

#[test]
fn every_generator_makes_what_it_says() {
    let program = Program::new();
    program.write(".sops.yaml", format!("creation_rules:\n  - age: {}\n", program.recipient));
    let kinds = ["hex", "base64", "password", "ed25519", "secp256k1", "ssh_key", "uuid"];
    let generator = |kind: &str| match kind {
        "hex" | "base64" => json!({kind: {"bytes": 32}}),
        "password" => json!({kind: {"length": 40}}),
        _ => json!({kind: {}}),
    };
    let secret = |kind: &&str| json!({"name": kind.replace('_', "-"), "file": "new/all.yaml", "pointer": format!("/{kind}"), "generator": generator(kind)});
    let secrets: Vec<_> = kinds.iter().map(secret).collect();
    program.write("manifest.json", json!({"schema": "secrets.manifest/v1", "secrets": secrets}).to_string());
    let dry = program.run(&["create", "--missing", "--dry-run", "manifest.json"]).ok().json();
    assert_eq!(dry["added"].as_array().unwrap().len(), 7);
    assert!(!program.path("new").exists());
    program.run(&["create", "--missing", "manifest.json"]).ok();
    let value = |kind: &str| program.run(&["decrypt", "new/all.yaml", "--pointer", &format!("/{kind}")]).ok().text();
    assert!(value("hex").len() == 64 && value("hex").bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!(value("base64").len(), 44);
    assert!(value("password").len() == 40 && value("password").bytes().all(|byte| byte.is_ascii_alphanumeric()));
    assert_eq!(value("secp256k1").len(), 64);
    assert_eq!(value("uuid").len(), 36);
    for (kind, program_name, args) in [("ssh_key", "ssh-keygen", ["-y", "-f"]), ("ed25519", "openssl", ["pkey", "-in"])]
    {
        program.write(kind, value(kind));
        std::fs::set_permissions(program.path(kind), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        if let Some(real) = crate::program::peer(program_name, "apt-get install openssh-client openssl") {
            crate::program::finish(program.command(&real).args(args).arg(kind), "").ok();
        }
    }
    let first = program.read("new/all.yaml");
    assert_eq!(program.run(&["create", "--missing", "manifest.json"]).ok().json()["changed"], false);
    assert_eq!(program.read("new/all.yaml"), first, "what is there is never replaced");
}

/// An alias is a place of its own once it is encrypted. In clear it is not, and what it stands for cannot go alone.
#[test]
fn a_value_with_an_alias_elsewhere_is_changed_alone_or_not_at_all() {
    let program = Program::new();
    program.write("x.yaml", "f: &anc one\ng: *anc\nh_unencrypted: &other one\ni_unencrypted: *other\n");
    program.encrypt("x.yaml");
    program.run_with(&["set", "x.yaml", "/f"], "two").ok();
    assert!(program.decrypt("x.yaml").starts_with("f: two\ng: one\n"));
    let before = program.read("x.yaml");
    let refused = program.run_with(&["set", "x.yaml", "/h_unencrypted"], "two").fails(65);
    assert!(refused.stderr.contains("alias"), "{}", refused.stderr);
    assert_eq!(program.read("x.yaml"), before);
    program.run_with(&["set", "x.yaml", "/i_unencrypted"], "two").ok();
    program.run_with(&["set", "x.yaml", "/h_unencrypted"], "three").ok();
    assert_eq!(program.run(&["decrypt", "x.yaml", "--pointer", "/h_unencrypted"]).ok().text(), "three");
}

/// An element without a value has its place at the dash, not in the comment behind it.
#[test]
fn an_element_without_a_value_is_filled_before_its_comment() {
    let program = Program::new();
    program.write("x.yaml", "d:\n-  # inline\n- two\n");
    program.encrypt("x.yaml");
    program.run_with(&["set", "x.yaml", "/d/0"], "one").ok();
    assert!(!program.read("x.yaml").contains("one"), "{}", program.read("x.yaml"));
    assert_eq!(program.run(&["decrypt", "x.yaml", "--pointer", "/d/0"]).ok().text(), "one");
    assert_eq!(program.run(&["decrypt", "x.yaml", "--pointer", "/d/1"]).ok().text(), "two");
}
