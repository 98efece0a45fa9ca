//! Tampering, hostile input, wrong keys: the right exit, nothing of a secret anywhere, the file untouched.

use crate::program::{Program, finish, sops};

const CANARY: &str = "hunter2-canary";

fn sealed(program: &Program) -> String {
    program.write("x.yaml", format!("a: {CANARY}\nb: other\nc:\n  d: 5\nl:\n  - one\n  - two\n"));
    program.encrypt("x.yaml");
    program.read("x.yaml")
}

#[test]
fn tampering_is_refused() {
    let program = Program::new();
    let good = sealed(&program);
    let line = |key: &str| good.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
    let swapped = good
        .replacen(&line("a:"), "A", 1)
        .replacen(&line("b:"), &line("a:").replacen("a:", "b:", 1), 1)
        .replacen("A\n", &(line("b:").replacen("b:", "a:", 1) + "\n"), 1);
    let items: Vec<&str> = good.lines().filter(|line| line.starts_with("  - ENC")).collect();
    let cases = [
        ("swapped", swapped),
        ("removed", good.replacen(&(line("b:") + "\n"), "", 1)),
        ("plain", good.replacen(&line("b:"), "b: other", 1)),
        ("retyped", good.replacen(&line("b:"), &line("b:").replace("type:str", "type:int"), 1)),
        ("moved", good.replacen(&line("b:"), &line("b:").replacen("b:", "z:", 1), 1)),
        ("order", good.replacen(items[0], "  - X", 1).replacen(items[1], items[0], 1).replacen("  - X", items[1], 1)),
        ("cut", good.replacen(&line("b:"), &line("b:")[..40], 1)),
        ("time", good.replace("lastmodified: \"20", "lastmodified: \"19")),
        (
            "no mac",
            good.lines()
                .filter(|line| !line.trim_start().starts_with("mac:"))
                .fold(String::new(), |all, line| all + line + "\n"),
        ),
        ("flipped", good.replacen("data:", "data:A", 1)),
    ];
    for (name, text) in cases {
        assert_ne!(text, good, "{name}");
        program.write("x.yaml", &text);
        for args in [&["decrypt", "x.yaml"][..], &["decrypt", "x.yaml", "--pointer", "/a"], &["unset", "x.yaml", "/a"]]
        {
            let ran = program.run(args).fails(65);
            assert!(!ran.stderr.contains(CANARY), "{name}: {}", ran.stderr);
        }
        assert_eq!(program.read("x.yaml"), text, "{name}");
    }
}

#[test]
fn every_truncation_ends_well() {
    let program = Program::new();
    let good = sealed(&program);
    for cut in (0..good.find("    mac:").unwrap()).step_by(97) {
        program.write("x.yaml", &good[..cut]);
        let ran = program.run(&["decrypt", "x.yaml"]);
        assert!([65, 77].contains(&ran.code) && ran.stdout.is_empty(), "{cut}: {ran:?}");
    }
}

#[test]
fn hostile_yaml_ends_well() {
    let program = Program::new();
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n".to_owned()
        + &('b'..='j')
            .map(|c| format!("{c}: &{c} [{0}]\n", vec![format!("*{}", (c as u8 - 1) as char); 10].join(",")))
            .collect::<Vec<_>>()
            .concat();
    let cases = [
        "[".repeat(10_000),
        "a: ".to_owned() + &"[".repeat(10_000),
        (0..10_000).fold(String::new(), |text, depth| text + &" ".repeat(depth.min(300)) + "a:\n"),
        bomb,
        "? [a]\n: b\n".into(),
        "a: 1\na: 2\n".into(),
        "1: x\n".into(),
        "- a\n".into(),
        "just text\n".into(),
        "a: *nothing\n".into(),
        "a: 9223372036854775808\n".into(),
        "\u{0}".into(),
        String::new(),
    ];
    for text in cases {
        program.write("x.yaml", &text);
        program.run(&["encrypt", "--in-place", "-r", &program.recipient, "x.yaml"]).fails(65);
        assert_eq!(program.read("x.yaml"), text);
    }
}

/// What grows with the square of a file stops a run for good; this took minutes once.
#[test]
fn long_comments_take_no_longer_than_their_lines() {
    let program = Program::new();
    let lines = "# c\n".repeat(20_000);
    for (name, text) in [
        ("x.yaml", format!("a: 1\n{lines}b: 2\n")),
        ("x.ini", format!("[a]\n{lines}b = 2\n")),
        ("x.env", format!("{lines}A=1\n")),
        ("y.yaml", "a:\n".to_owned() + &"  - x # y\n\n# z\n".repeat(5_000)),
    ] {
        program.write(name, &text);
        let begun = std::time::Instant::now();
        program.encrypt(name);
        assert!(begun.elapsed().as_secs() < 30, "{name}: {:?}", begun.elapsed());
        assert_eq!(program.decrypt(name), text);
    }
}

#[test]
fn wrong_keys_and_places() {
    let program = Program::new();
    let good = sealed(&program);
    program.run(&["keygen", "other.key"]).ok();
    program.run(&["decrypt", "-i", "other.key", "x.yaml"]).fails(77);
    program.run(&["decrypt", "-i", "nowhere.key", "x.yaml"]).fails(66);
    program.run(&["decrypt", "nowhere.yaml"]).fails(66);
    program.run(&["encrypt", "--in-place", "x.yaml"]).fails(78);
    program.run(&["encrypt", "--in-place", "-r", &program.recipient, "x.yaml"]).fails(65);
    let missing = program.run(&["decrypt", "x.yaml", "--pointer", "/c/e"]).fails(65);
    assert!(missing.stderr.contains("did you mean /c/d"), "{}", missing.stderr);
    program.run(&["decrypt", "x.yaml", "--pointer", "/c"]).fails(65);
    program.run(&["keygen", "age.key"]).fails(73);
    assert_eq!(program.mode("age.key"), 0o600);
    std::os::unix::fs::symlink("x.yaml", program.path("link.yaml")).unwrap();
    program.run_with(&["set", "link.yaml", "/a"], "v").fails(76);
    assert_eq!(program.read("x.yaml"), good);
}

#[test]
fn values_come_from_standard_input_and_are_not_repeated() {
    let program = Program::new();
    sealed(&program);
    for (args, stdin) in [
        (vec!["set", "x.yaml", "/a", "--json"], format!("{{\"{CANARY}")),
        (vec!["set", "x.yaml"], format!("[\"{CANARY}\"]")),
        (vec!["set", "x.yaml", "/a"], "ENC[".to_owned() + CANARY),
        (vec!["set", "x.yaml", "/a/b"], CANARY.to_owned()),
    ] {
        for format in ["text", "json"] {
            let mut args = args.clone();
            args.extend(["--log-format", format]);
            let ran = program.run_with(&args, &stdin).fails(65);
            assert!(!ran.stderr.contains(CANARY), "{}", ran.stderr);
        }
    }
    let ran = program.run_with(&["set", "x.yaml", "/a"], CANARY).ok();
    assert!(!(ran.text() + &ran.stderr).contains(CANARY));
    assert_eq!(ran.json()["changed"], false, "the same value changes nothing");
}

/// Every byte of what matters, in every format: nothing is given out, nothing is written, nobody panics.
#[test]
fn flipped_bits_are_found_in_every_format() {
    let program = Program::new();
    let step = if crate::program::full_tier() { 1 } else { 23 };
    for (name, text) in [
        ("x.yaml", format!("a: {CANARY}\n")),
        ("x.json", format!("{{\"a\": \"{CANARY}\"}}\n")),
        ("x.env", format!("A={CANARY}\n")),
        ("x.ini", format!("[s]\na = {CANARY}\n")),
        ("x.bin", CANARY.to_owned()),
    ] {
        program.write(name, &text);
        program.encrypt(name);
        let good = std::fs::read(program.path(name)).unwrap();
        let start = good.windows(4).position(|window| window == b"ENC[").unwrap();
        let end = start + good[start..].iter().position(|byte| *byte == b']').unwrap();
        for at in (start..end).step_by(step) {
            let mut bad = good.clone();
            bad[at] ^= 1;
            program.write(name, &bad);
            let ran = program.run(&["decrypt", name]).fails(65);
            assert!(!ran.stderr.contains(CANARY), "{name} {at}");
            assert_eq!(std::fs::read(program.path(name)).unwrap(), bad);
        }
        for cut in (1..good.len()).step_by(step * 5) {
            program.write(name, &good[..cut]);
            let ran = program.run(&["decrypt", name]);
            // What stands behind the MAC (a rule that is the usual one, the version) may be cut off; then all values are there.
            if ran.code == 0 {
                // A file that ends without a line break has none in clear; blanks see blanks_behind_the_block_are_nobodys.
                let out = ran.text();
                assert_eq!(out.trim_end_matches(' ').trim_end_matches('\n'), text.trim_end(), "{name} {cut}");
                let blanks = out.len() - out.trim_end_matches(' ').len();
                assert!(good[..cut].ends_with(&b" ".repeat(blanks)), "{name} {cut}: blanks that were not in the file");
                continue;
            }
            assert!([65, 77].contains(&ran.code) && ran.stdout.is_empty(), "{name} {cut}: {ran:?}");
            assert!(!ran.stderr.contains(CANARY), "{name} {cut}: {ran:?}");
        }
    }
}

/// Somebody without a key can put blanks and blank lines behind the block, and before it. The MAC of SOPS covers values only, and
/// so nobody can tell: sops reads such a file as well, and says nothing, because it writes all blanks anew. To refuse them would
/// be to refuse what an editor leaves at the end of a file. Values are what they were, to the last blank.
#[test]
fn blanks_behind_the_block_are_nobodys() {
    let program = Program::new();
    for (name, text) in [("x.yaml", "a: \"v  \"\n"), ("x.json", "{\"a\": \"v  \"}\n"), ("x.ini", "[s]\na = \"v  \"\n")]
    {
        program.write(name, text);
        program.encrypt(name);
        program.write(name, program.read(name) + "\n  ");
        assert_eq!(program.decrypt(name), text.to_owned() + "\n  ");
        let pointer = if name == "x.ini" { "/s/a" } else { "/a" };
        assert_eq!(program.run(&["decrypt", "--pointer", pointer, name]).ok().text(), "v  ");
        if let Some(sops) = sops() {
            finish(program.command(&sops).args(["decrypt", name]), "").ok();
        }
    }
}

/// Every verb that opens a file, with a file that was tampered with and with a wrong key.
#[test]
fn no_verb_writes_what_it_cannot_trust() {
    let program = Program::new();
    let good = sealed(&program);
    program.run(&["keygen", "other.key"]).ok();
    program.write("plain.yaml", format!("a: {CANARY}-2\n"));
    program.write("base.yaml", &good);
    program.run_with(&["set", "base.yaml", "/b"], "before").ok();
    program.write("theirs.yaml", &good);
    program.run_with(&["set", "theirs.yaml", "/b"], "theirs").ok();
    let manifest = r#"{"schema": "secrets.manifest/v1", "secrets": [{"name": "n", "file": "x.yaml", "pointer": "/n", "generator": {"uuid": {}}},
        {"name": "a", "file": "x.yaml", "pointer": "/a"}]}"#;
    program.write("manifest.json", manifest);
    let own = program.recipient.clone();
    let verbs: [&[&str]; 9] = [
        &["set", "x.yaml", "/b"],
        &["unset", "x.yaml", "/b"],
        &["rekey", "--rotate", "-r", &own, "x.yaml"],
        &["create", "--missing", "manifest.json"],
        &["encrypt", "--to", "x.yaml", "plain.yaml"],
        &["merge", "base.yaml", "x.yaml", "theirs.yaml"],
        &["convert", "--to", "agenix", "x.yaml"],
        &["exec", "--manifest", "manifest.json", "--only", "a", "--", "cat", "/dev/null"],
        &["materialize", "manifest.json", "--root", "/dev/shm/plumbline-never-made"],
    ];
    let swapped = good.replacen("lastmodified: \"20", "lastmodified: \"19", 1);
    for args in verbs {
        for (text, identity, codes) in [(&swapped, "age.key", [65, 65]), (&good, "other.key", [77, 77])] {
            program.write("x.yaml", text);
            let mut command = program.command(env!("CARGO_BIN_EXE_secret-encrypt"));
            command.env("SOPS_AGE_KEY_FILE", program.path(identity)).args(args);
            let ran = finish(&mut command, "new");
            assert!(codes.contains(&ran.code), "{args:?} {}: {}", ran.code, ran.stderr);
            let said = ran.text() + &ran.stderr;
            assert!(!said.contains(CANARY) && !said.contains("AGE-SECRET-KEY") && !said.contains("panicked"), "{said}");
            assert_eq!(&program.read("x.yaml"), text, "{args:?}");
        }
    }
    assert!(!std::path::Path::new("/dev/shm/plumbline-never-made").exists());
    // No key and no value in any file but where they belong.
    let found = finish(program.command("grep").args(["-rl", "-e", CANARY, "-e", "AGE-SECRET-KEY", "."]), "").text();
    let mut found: Vec<&str> = found.lines().collect();
    found.sort_unstable();
    assert_eq!(found, ["./age.key", "./other.key", "./plain.yaml"]);
}
