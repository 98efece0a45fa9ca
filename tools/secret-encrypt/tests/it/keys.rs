//! Recipients and identities of every kind, against real sops, the TypeScript age and a plugin.

use std::path::PathBuf;
use std::process::Command;

use bech32::{Bech32, Hrp};

use crate::program::{Program, finish, peer, peer_folder, sops};

fn recipient_of(program: &Program, args: &[&str]) -> String {
    program.run(args).ok().json()["recipients"][0].as_str().unwrap().to_owned()
}

/// What real sops makes for a recipient we open with `identity`, and the other way round with `env` for sops.
fn both_ways(program: &Program, recipient: &str, identity: &str, env: &[(&str, PathBuf)]) {
    program.write("ours.yaml", "a: by us # c\n");
    program.run(&["encrypt", "--in-place", "-r", recipient, "ours.yaml"]).ok();
    assert_eq!(program.run(&["decrypt", "-i", identity, "ours.yaml"]).ok().text(), "a: by us # c\n");
    program.run(&["decrypt", "ours.yaml"]).fails(77);
    let Some(sops) = sops() else { return };
    let with = |args: &[&str]| {
        let mut command = program.command(&sops);
        command.env_remove("SOPS_AGE_KEY_FILE").envs(env.iter().map(|(name, path)| (*name, path))).args(args);
        finish(&mut command, "")
    };
    assert_eq!(with(&["decrypt", "--extract", "[\"a\"]", "ours.yaml"]).ok().text(), "by us");
    program.write("theirs.yaml", "a: by sops\n");
    with(&["encrypt", "--in-place", "--age", recipient, "theirs.yaml"]).ok();
    assert_eq!(program.run(&["decrypt", "-i", identity, "theirs.yaml"]).ok().text(), "a: by sops\n");
}

#[test]
fn post_quantum() {
    let program = Program::new();
    let recipient = recipient_of(&program, &["keygen", "--pq", "pq.key"]);
    assert!(recipient.starts_with("age1pq1") && recipient.len() == 1959);
    assert!(program.read("pq.key").contains("AGE-SECRET-KEY-PQ-1"));
    assert_eq!(recipient_of(&program, &["recipient", "pq.key"]), recipient);
    both_ways(&program, &recipient, "pq.key", &[("SOPS_AGE_KEY_FILE", program.path("pq.key"))]);
    program.write("mixed.yaml", "a: b\n");
    let ran = program.run(&["encrypt", "--in-place", "-r", &recipient, "-r", &program.recipient, "mixed.yaml"]).ok();
    assert!(ran.stderr.contains("post-quantum"), "{}", ran.stderr);
    for key in ["pq.key", "age.key"] {
        assert_eq!(program.run(&["decrypt", "-i", key, "mixed.yaml"]).ok().text(), "a: b\n");
    }
    program.write("bad.yaml", "a: b\n");
    let damaged = recipient.replacen('q', "p", 40);
    program.run(&["encrypt", "-r", &damaged, "bad.yaml"]).fails(2);
    program.write("bad.key", program.read("pq.key").replace("PQ-1", "PQ-1Q"));
    program.run(&["decrypt", "-i", "bad.key", "mixed.yaml"]).fails(78);
}

/// The data key of a file is opened, and wrapped anew, by an implementation of age that shares nothing with ours.
#[test]
fn post_quantum_and_classical_with_the_typescript_age() {
    let Some(home) = peer_folder("age-npm", "tests/peers age-npm") else { return };
    let program = Program::new();
    recipient_of(&program, &["keygen", "--pq", "pq.key"]);
    let script = r#"
import * as age from "age-encryption";
import { readFileSync, writeFileSync } from "node:fs";
const [file, keys] = process.argv.slice(2);
const document = JSON.parse(readFileSync(file, "utf8"));
const identity = readFileSync(keys, "utf8").split("\n").find((line) => line.startsWith("AGE-SECRET-KEY"));
const opener = new age.Decrypter();
opener.addIdentity(identity);
const entry = document.sops.age[0];
const key = await opener.decrypt(age.armor.decode(entry.enc));
if (key.length !== 32) throw new Error("the data key has " + key.length + " bytes");
const wrapper = new age.Encrypter();
wrapper.addRecipient(entry.recipient);
entry.enc = age.armor.encode(await wrapper.encrypt(key));
writeFileSync(file, JSON.stringify(document));
"#;
    // Node looks for packages beside the script.
    std::os::unix::fs::symlink(home.join("node_modules"), program.path("node_modules")).unwrap();
    program.write("rewrap.mjs", script);
    for key in ["pq.key", "age.key"] {
        let recipient = recipient_of(&program, &["recipient", key]);
        program.write("x.json", "{\"a\": \"secret\"}");
        program.run(&["encrypt", "--in-place", "-r", &recipient, "x.json"]).ok();
        let before = program.read("x.json");
        finish(program.command("node").args(["rewrap.mjs", "x.json", key]), "").ok();
        assert_ne!(program.read("x.json"), before);
        assert_eq!(program.run(&["decrypt", "-i", key, "x.json", "--pointer", "/a"]).ok().text(), "secret");
    }
}

fn ssh_keygen(program: &Program, kind: &str, file: &str, passphrase: &str) -> String {
    let mut command = Command::new("ssh-keygen");
    command
        .args(["-q", "-t", kind, "-b", "2048", "-a", "4", "-N", passphrase, "-C", "someone", "-f"])
        .arg(program.path(file));
    finish(&mut command, "").ok();
    program.read(&format!("{file}.pub")).trim().to_owned()
}

#[test]
fn ssh_keys() {
    if peer("ssh-keygen", "apt-get install openssh-client").is_none() {
        return;
    }
    for kind in ["ed25519", "rsa"] {
        let program = Program::new();
        let public = ssh_keygen(&program, kind, "id", "");
        both_ways(&program, &public, "id", &[("SOPS_AGE_SSH_PRIVATE_KEY_FILE", program.path("id"))]);
    }
}

#[test]
fn ssh_keys_with_a_passphrase() {
    if peer("ssh-keygen", "apt-get install openssh-client").is_none() {
        return;
    }
    for kind in ["ed25519", "rsa"] {
        let program = Program::new();
        let public = ssh_keygen(&program, kind, "id", "open sesame");
        let mut recipients = vec![public];
        if kind == "ed25519" {
            // Without the passphrase: the public half is not encrypted.
            recipients.push(recipient_of(&program, &["recipient", "id"]));
        }
        for recipient in recipients {
            program.write("x.yaml", "a: b\n");
            program.run(&["encrypt", "--in-place", "-r", &recipient, "x.yaml"]).ok();
            let decrypt = |name: &str, value: &str| {
                let mut command = program.command(env!("CARGO_BIN_EXE_secret-encrypt"));
                finish(command.args(["decrypt", "-i", "id", "x.yaml"]).env(name, value), "")
            };
            assert_eq!(decrypt("AGE_PASSPHRASE", "open sesame").ok().text(), "a: b\n");
            let wrong = decrypt("AGE_PASSPHRASE", "close sesame").fails(78);
            assert!(
                wrong.stderr.contains("passphrase does not fit") && !wrong.stderr.contains("sesame"),
                "{}",
                wrong.stderr
            );
            assert!(detached(&program, &["decrypt", "-i", "id", "x.yaml"]).contains("AGE_PASSPHRASE_FD"));
        }
        // A file for somebody else asks for nothing.
        program.write("y.yaml", "a: b\n");
        program.encrypt("y.yaml");
        let ran = program.run(&["decrypt", "-i", "id", "-i", "age.key", "y.yaml"]).ok();
        assert!(ran.stderr.is_empty(), "{}", ran.stderr);
    }
}

/// Runs the program without any terminal; what it says on standard error.
fn detached(program: &Program, args: &[&str]) -> String {
    let mut command = program.command("setsid");
    let ran = finish(command.arg("-w").arg(env!("CARGO_BIN_EXE_secret-encrypt")).args(args), "");
    assert_eq!(ran.code, 78, "{}", ran.stderr);
    ran.stderr
}

/// Runs a shell line on a terminal of its own, types a passphrase, and gives what the terminal showed.
fn on_a_terminal(program: &Program, line: &str, typed: &str) -> String {
    let mut command = program.command("script");
    command.args(["-qec", line, "/dev/null"]);
    finish(&mut command, format!("{typed}\n")).text()
}

#[test]
fn identity_files_with_a_passphrase() {
    let program = Program::new();
    let mut recipient = age::scrypt::Recipient::new("open sesame".to_owned().into());
    recipient.set_work_factor(10);
    let bytes = age::encrypt(&recipient, program.read("age.key").as_bytes()).unwrap();
    program.write("raw.age", &bytes);
    let armored = age::encrypt_and_armor(&recipient, program.read("age.key").as_bytes()).unwrap();
    program.write("armored.age", armored);
    program.write("x.yaml", "a: b\n");
    program.encrypt("x.yaml");
    for file in ["raw.age", "armored.age"] {
        let mut command = program.command("sh");
        let ours = env!("CARGO_BIN_EXE_secret-encrypt");
        command.args(["-c", "exec \"$0\" decrypt -i \"$1\" x.yaml 3<pass", ours, file]).env("AGE_PASSPHRASE_FD", "3");
        program.write("pass", "open sesame\n");
        assert_eq!(finish(&mut command, "").ok().text(), "a: b\n");
        program.write("pass", "wrong\n");
        finish(&mut command, "").fails(78);
        assert!(detached(&program, &["decrypt", "-i", file, "x.yaml"]).contains("no terminal to ask"));
        if peer("script", "apt-get install bsdutils").is_some() {
            let shown = on_a_terminal(&program, &format!("{ours} decrypt -i {file} x.yaml"), "open sesame");
            assert!(shown.contains("passphrase of the identity file") && shown.contains("a: b"), "{shown}");
        }
    }
    program.write("other.age", age::encrypt(&age::x25519::Identity::generate().to_public(), b"x").unwrap());
    program.run(&["decrypt", "-i", "other.age", "x.yaml"]).fails(78);
}

#[test]
fn commands_that_print_identities() {
    let program = Program::new();
    program.write("x.yaml", "a: b\n");
    program.encrypt("x.yaml");
    program.write("print key", "#!/bin/sh\n[ \"$SOPS_AGE_RECIPIENT\" = \"$1\" ] && cat age.key\n");
    let run = |command: &str| {
        let mut ran = program.command(env!("CARGO_BIN_EXE_secret-encrypt"));
        ran.env_remove("SOPS_AGE_KEY_FILE").env("SOPS_AGE_KEY_CMD", command).args(["decrypt", "x.yaml"]);
        finish(&mut ran, "")
    };
    assert_eq!(run(&format!("sh 'print key' {}", program.recipient)).ok().text(), "a: b\n");
    run("sh 'print key' somebody").fails(78);
    run("sh 'print key").fails(78);
}

/// A plugin as the specification says (C2SP age-plugin.md): it hides the file key from nobody, but it is a program of its own.
const PLUGIN: &str = r#"#!/usr/bin/env python3
import base64, sys
def read():
    head = sys.stdin.buffer.readline().decode().rstrip("\n").split(" ")
    body = ""
    while True:
        line = sys.stdin.buffer.readline().decode().rstrip("\n")
        body += line
        if len(line) < 64:
            return head[1:], base64.b64decode(body + "=" * (-len(body) % 4))
def write(words, body=b""):
    text = base64.b64encode(body).decode().rstrip("=")
    lines = [text[at:at + 64] for at in range(0, len(text), 64)]
    if not lines or len(lines[-1]) == 64:
        lines.append("")
    sys.stdout.write("-> " + " ".join(words) + "\n" + "\n".join(lines) + "\n")
    sys.stdout.flush()
def flip(data):
    return bytes(byte ^ 0x5a for byte in data)
keys, stanzas = [], []
while True:
    words, body = read()
    if words[0] == "wrap-file-key": keys.append(body)
    if words[0] == "recipient-stanza" and words[2] == "flipped": stanzas.append((words[1], body))
    if words[0] == "done": break
if sys.argv[1] == "--age-plugin=recipient-v1":
    for index, key in enumerate(keys):
        write(["recipient-stanza", str(index), "flipped"], flip(key))
        read()
else:
    for index, body in stanzas:
        write(["request-secret"], b"PIN of the token")
        words, pin = read()
        if pin != b"1234":
            write(["error", "stanza", index, "0"], b"wrong PIN"); read(); continue
        write(["file-key", index], flip(body))
        read()
write(["done"])
"#;

#[test]
fn plugins() {
    let program = Program::new();
    let text = |hrp: &str, upper: bool| {
        let hrp = Hrp::parse(hrp).unwrap();
        if upper { bech32::encode_upper::<Bech32>(hrp, &[7; 8]) } else { bech32::encode::<Bech32>(hrp, &[7; 8]) }
            .unwrap()
    };
    let recipient = text("age1flip", false);
    program.write("id.key", text("age-plugin-flip-", true) + "\n");
    program.write("x.yaml", "a: b\n");
    let missing = program.run(&["encrypt", "-r", &recipient, "x.yaml"]).fails(69);
    assert!(missing.stderr.contains("age-plugin-flip"), "{}", missing.stderr);
    program.write("bin/age-plugin-flip", PLUGIN);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(program.path("bin/age-plugin-flip"), mode).unwrap();
    let with = |binary: PathBuf, pin: &str, args: &[&str]| {
        let mut command = program.command(binary);
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", program.path("bin").display())).env("AGE_PASSPHRASE", pin);
        finish(command.env("SOPS_AGE_KEY_FILE", program.path("id.key")).args(args), "")
    };
    let ours = || PathBuf::from(env!("CARGO_BIN_EXE_secret-encrypt"));
    with(ours(), "", &["encrypt", "--in-place", "-r", &recipient, "x.yaml"]).ok();
    assert_eq!(with(ours(), "1234", &["decrypt", "x.yaml"]).ok().text(), "a: b\n");
    with(ours(), "4321", &["decrypt", "x.yaml"]).fails(77);
    let (Some(sops), Some(_)) = (sops(), peer("script", "apt-get install bsdutils")) else { return };
    program.write("y.yaml", "a: by sops\n");
    with(sops.clone(), "", &["encrypt", "--in-place", "--age", &recipient, "y.yaml"]).ok();
    assert_eq!(with(ours(), "1234", &["decrypt", "y.yaml"]).ok().text(), "a: by sops\n");
    // Sops asks for the PIN on the terminal.
    let line = format!(
        "PATH={}:$PATH SOPS_AGE_KEY_FILE={} {} decrypt x.yaml",
        program.path("bin").display(),
        program.path("id.key").display(),
        sops.display()
    );
    let shown = on_a_terminal(&program, &line, "1234");
    assert!(shown.contains("a: b"), "{shown}");
}
