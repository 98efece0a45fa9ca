//! What is left in memory, and what hostile files cost.
#![allow(clippy::format_collect, reason = "short texts of tests")]

use std::os::unix::process::CommandExt;

use serde_json::json;

use crate::program::{Program, finish, skipped};

/// Looks for byte strings (in hex) in every mapping of its parent that can be written.
const SEARCH: &str = r#"
import os, sys
parent = os.getppid()
wanted = [bytes.fromhex(word) for word in sys.argv[1:]]
found = []
with open(f"/proc/{parent}/mem", "rb") as memory:
    for line in open(f"/proc/{parent}/maps"):
        span, rights = line.split()[:2]
        if not rights.startswith("rw"):
            continue
        start, end = (int(part, 16) for part in span.split("-"))
        try:
            memory.seek(start)
            content = memory.read(end - start)
        except OSError:
            continue
        found += [f"{at} in {line}" for at, word in enumerate(wanted) if word in content]
print(len(wanted), found)
"#;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// While the child runs, its parent has neither the value, nor the data key, nor the identity any more.
#[test]
fn nothing_is_left_in_memory() {
    if !rustix::process::geteuid().is_root() {
        skipped("the memory of another process", "run as root");
        return;
    }
    let program = Program::new();
    let value = "canary-4711-canary-4711-canary";
    program.write("x.yaml", format!("db: {value}\n"));
    program.encrypt("x.yaml");
    let identity = program.read("age.key").lines().find(|line| line.starts_with("AGE-SECRET")).unwrap().to_owned();
    // The data key of the file, taken out of its block by the age crate.
    let text = program.read("x.yaml");
    let armored = text.split("-----BEGIN AGE ENCRYPTED FILE-----").nth(1).unwrap();
    let body: String =
        armored.split("-----END").next().unwrap().split_whitespace().map(|line| format!("{line}\n")).collect();
    let armored = format!("-----BEGIN AGE ENCRYPTED FILE-----\n{body}-----END AGE ENCRYPTED FILE-----\n");
    let key: age::x25519::Identity = identity.parse().unwrap();
    let data_key = age::decrypt(&key, armored.as_bytes()).unwrap();
    assert_eq!(data_key.len(), 32);
    program.write("search.py", SEARCH);
    let secrets = [json!({"name": "db", "file": "x.yaml", "pointer": "/db"})];
    program.write("manifest.json", json!({"schema": "secrets.manifest/v1", "secrets": secrets}).to_string());
    let words = [hex(value.as_bytes()), hex(&data_key), hex(identity.as_bytes())];
    let mut command = program.command(env!("CARGO_BIN_EXE_secret-encrypt"));
    command.args(["exec", "--manifest", "manifest.json", "--", "python3", "search.py"]).args(&words);
    let ran = finish(&mut command, "").ok();
    assert_eq!(ran.text(), "3 []\n", "{}", ran.stderr);
}

/// Runs the program with at most this much address space.
fn limited(program: &Program, mebibytes: u64, args: &[&str]) -> crate::program::Ran {
    let mut command = program.command("sh");
    command.arg0("sh").args(["-c", &format!("ulimit -v {}; exec \"$0\" \"$@\"", mebibytes * 1024)]);
    finish(command.arg(env!("CARGO_BIN_EXE_secret-encrypt")).args(args), "")
}

#[test]
fn large_values_and_bombs_are_bounded() {
    let program = Program::new();
    // A scalar of 100 MB is above the limit of a file, and is not even read.
    program.write("big.yaml", "a: ".to_owned() + &"x".repeat(100 << 20) + "\n");
    let ran = limited(&program, 64, &["encrypt", "-r", &program.recipient, "big.yaml"]).fails(65);
    assert!(ran.stderr.contains("64 MiB"), "{}", ran.stderr);
    // One of 4 MB is carried, in memory that is a small multiple of it.
    let large = "a: ".to_owned() + &"x".repeat(4 << 20) + "\n";
    program.write("large.yaml", &large);
    limited(&program, 300, &["encrypt", "--in-place", "-r", &program.recipient, "large.yaml"]).ok();
    assert!(limited(&program, 300, &["decrypt", "large.yaml"]).ok().text() == large);
    let deep: String = (0..10_000).fold(String::new(), |text, _| text + "[");
    let nested = [
        ("deep.yaml", format!("a: {deep}")),
        ("deep.json", format!("{{\"a\": {deep}")),
        ("flow.yaml", "a: ".to_owned() + &"{a: ".repeat(10_000)),
        ("keys.yaml", "? ".repeat(10_000)),
        ("dashes.yaml", "a:\n".to_owned() + &"- ".repeat(10_000) + "x\n"),
        ("anchors.yaml", (0..2_000).fold(String::from("a: &a x\n"), |text, at| text + &format!("k{at}: [*a, *a]\n"))),
        (
            "bomb.yaml",
            (0..30).fold(String::from("a0: &a0 [x, x]\n"), |text, at| {
                text + &format!("a{}: &a{} [*a{at}, *a{at}]\n", at + 1, at + 1)
            }),
        ),
        (
            "comments.yaml",
            "# a comment like any other\n".repeat(5_000)
                + &(0..2_000).map(|at| format!("k{at}: x\n")).collect::<String>(),
        ),
        ("long-keys.yaml", {
            let way: String = (0..60).map(|at| format!("{}{}:\n", " ".repeat(at), "k".repeat(10_000))).collect();
            way + &(0..2_000).map(|at| format!("{}v{at}: x\n", " ".repeat(60))).collect::<String>()
        }),
        ("long-keys.json", {
            let way = format!("{{\"{}\":", "k".repeat(10_000)).repeat(60);
            let values: Vec<String> = (0..2_000).map(|at| format!("\"v{at}\": 1")).collect();
            format!("{way}{{{}}}{}", values.join(","), "}".repeat(60))
        }),
        ("sections.ini", (0..5_000).map(|at| format!("; about\n[s{at}] ; it\nk = v\n")).collect()),
        ("section.ini", "[".repeat(10_000)),
        ("open.ini", "a = `".to_owned() + &"x\n".repeat(10_000)),
    ];
    for (name, text) in nested {
        program.write(name, &text);
        let begun = std::time::Instant::now();
        let ran = limited(&program, 600, &["encrypt", "--in-place", "-r", &program.recipient, name]);
        assert!([0, 65].contains(&ran.code), "{name}: {} {}", ran.code, ran.stderr);
        assert!(begun.elapsed().as_secs() < 60, "{name} took {:?}", begun.elapsed());
        if ran.code == 65 {
            assert_eq!(program.read(name), text);
        }
    }
}
