//! kill -9 at any moment, full and read-only disks, two runs at once: each file old or new, a tree all old or all new.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::program::{Program, finish, full_tier, skipped};

const FILES: [&str; 5] = ["secrets/a.yaml", "secrets/b.json", "secrets/c.env", "secrets/in/d.yaml", "secrets/in/e.bin"];

fn tree(program: &Program) {
    for (index, name) in FILES.iter().enumerate() {
        let text = match name.rsplit('.').next().unwrap() {
            "json" => format!("{{\"k\": \"value {index}\"}}\n"),
            "env" => format!("K=value {index}\n"),
            _ => format!("k: value {index}\n"),
        };
        program.write(name, text);
        program.run(&["encrypt", "--in-place", name]).ok();
    }
}

fn rules(program: &Program, recipients: &[&str]) {
    program.write(
        ".sops.yaml",
        format!("creation_rules:\n  - path_regex: ^secrets/\n    age: {}\n", recipients.join(",")),
    );
}

/// Names of hidden files below `secrets`: nothing of ours stays behind.
fn hidden(program: &Program) -> Vec<String> {
    let list = |name: &str| {
        let entries = fs::read_dir(program.path(name)).unwrap().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(|name| name.starts_with('.'))
    };
    list("secrets").chain(list("secrets/in")).collect::<Vec<_>>()
}

/// Runs a command and kills it after a part of the time that it takes, from 0 to 1.
fn kill_after(program: &Program, args: &[&str], stdin: &str, whole: Duration, part: f64) {
    use std::io::Write;
    let mut command = program.command(env!("CARGO_BIN_EXE_secret-encrypt"));
    let mut child =
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    std::thread::sleep(whole.mul_f64(part));
    let _ = child.kill();
    child.wait().unwrap();
}

#[test]
fn a_killed_rekey_is_all_or_nothing() {
    let program = Program::new();
    let other = program.run(&["keygen", "other.key"]).ok().json()["recipients"][0].as_str().unwrap().to_owned();
    rules(&program, &[&program.recipient]);
    tree(&program);
    let rounds = if full_tier() { 200 } else { 12 };
    let (mut forward, mut whole) = (0, Duration::ZERO);
    for round in 0..=rounds {
        let wanted: &[&str] = if round % 2 == 0 { &[&program.recipient, &other] } else { &[&program.recipient] };
        rules(&program, wanted);
        if round == 0 {
            let started = Instant::now();
            program.run(&["rekey", "secrets"]).ok();
            whole = started.elapsed();
            continue;
        }
        // Most of the kills in the last part of the run, where files are put into their places.
        let part = if round % 4 == 0 { f64::from(round % 40) / 40.0 } else { 0.75 + f64::from(round % 13) / 40.0 };
        kill_after(&program, &["rekey", "secrets"], "", whole, part);
        let journal = fs::read_dir(program.path("secrets"))
            .unwrap()
            .flatten()
            .any(|entry| entry.file_name() == ".plumbline-journal.json");
        // A run that changes nothing itself brings the tree to one state.
        let ran = program.run_with(&["set", FILES[0], "/k", "--if-missing"], "x").ok();
        assert_eq!(journal, ran.stderr.contains("interrupted"), "{}", ran.stderr);
        forward += usize::from(journal);
        let new = FILES.iter().filter(|name| program.read(name).contains(&other)).count();
        assert!(new == 0 || new == FILES.len(), "round {round}: {new} of {} files are for both", FILES.len());
        for (index, name) in FILES.iter().enumerate() {
            assert!(program.decrypt(name).contains(&format!("value {index}")), "{name}");
        }
    }
    program.run(&["rekey", "secrets"]).ok();
    assert_eq!(hidden(&program), [] as [&str; 0]);
    eprintln!("{rounds} kills, {forward} of them while files were put into their places");
}

#[test]
fn every_writing_verb_leaves_files_old_or_new() {
    let program = Program::new();
    rules(&program, &[&program.recipient]);
    program.write("secrets/a.yaml", "k: old\nother: kept\n");
    program.run(&["encrypt", "--in-place", "secrets/a.yaml"]).ok();
    program.write("base.yaml", program.read("secrets/a.yaml"));
    program.write("theirs.yaml", program.read("secrets/a.yaml"));
    program.run_with(&["set", "theirs.yaml", "/k"], "theirs").ok();
    program.write("plain.yaml", "k: encrypted anew\nother: kept\n");
    let manifest = serde_json::json!({"schema": "secrets.manifest/v1", "secrets": [
        {"name": "made", "file": "secrets/a.yaml", "pointer": "/made", "generator": {"hex": {"bytes": 16}}}]});
    program.write("manifest.json", manifest.to_string());
    let verbs: [(&[&str], &str); 6] = [
        (&["set", "secrets/a.yaml", "/k"], "set"),
        (&["unset", "secrets/a.yaml", "/k"], ""),
        (&["create", "--missing", "manifest.json"], ""),
        (&["merge", "base.yaml", "secrets/a.yaml", "theirs.yaml", "secrets/a.yaml"], ""),
        (&["encrypt", "--to", "secrets/a.yaml", "plain.yaml"], ""),
        (&["set", "--many"], "{\"file\": \"secrets/a.yaml\", \"set\": {\"/k\": \"many\", \"/new\": \"x\"}}"),
    ];
    let rounds = if full_tier() { 34 } else { 2 };
    for (args, stdin) in verbs {
        for round in 0..rounds {
            let before = program.read("base.yaml");
            program.write("secrets/a.yaml", &before);
            let part = f64::from(round * 7 % rounds) / f64::from(rounds) * 0.5 + 0.5;
            kill_after(&program, args, stdin, Duration::from_millis(60), part);
            let after = program.read("secrets/a.yaml");
            assert!(program.decrypt("secrets/a.yaml").contains("other: kept"), "{args:?}\n{after}");
        }
    }
    program.run_with(&["set", "secrets/a.yaml", "/k"], "last").ok();
    let left: Vec<_> =
        fs::read_dir(program.path("secrets")).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["a.yaml"], "what killed runs left is swept");
}

/// A move takes files away and makes others: both or neither.
#[test]
fn a_killed_convert_has_moved_everything_or_nothing() {
    let program = Program::new();
    let names = ["a", "b", "c"];
    let keys = serde_json::json!({"publicKeys": [program.recipient]});
    let rules: serde_json::Map<_, _> = names.iter().map(|name| (format!("t/{name}.age"), keys.clone())).collect();
    let rounds = if full_tier() { 100 } else { 6 };
    let args = ["convert", "--to", "sops", "--remove"];
    let mut whole = Duration::ZERO;
    for round in 0..=rounds {
        let _ = fs::remove_dir_all(program.path("t"));
        let _ = fs::remove_file(program.path(".sops.yaml"));
        program.write("secrets.json", serde_json::Value::from(rules.clone()).to_string());
        fs::create_dir(program.path("t")).unwrap();
        for name in names {
            program.run_with(&["encrypt", "--agenix", "secrets.json", "--to", &format!("t/{name}.age")], name).ok();
        }
        if round == 0 {
            let started = Instant::now();
            program.run(&args).ok();
            whole = started.elapsed();
            continue;
        }
        kill_after(&program, &args, "", whole, 0.7 + f64::from(round % 11) / 30.0);
        program.run(&["rekey", "."]).ok();
        let there = |end: &str| names.iter().filter(|name| program.path(&format!("t/{name}.{end}")).exists()).count();
        assert!([(3, 0), (0, 3)].contains(&(there("age"), there("sops"))), "{} {}", there("age"), there("sops"));
        let end = if there("age") == 3 { "age" } else { "sops" };
        assert!(names.iter().all(|name| program.decrypt(&format!("t/{name}.{end}")) == *name));
    }
}

#[test]
fn two_runs_at_once_lose_nothing() {
    let program = Program::new();
    program.write("x.yaml", "k: v\n");
    program.encrypt("x.yaml");
    let children: Vec<_> = (0..6)
        .map(|index| {
            let mut command = program.command(env!("CARGO_BIN_EXE_secret-encrypt"));
            command.args(["set", "x.yaml", &format!("/n{index}"), "--generate", "hex=8"]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let text = program.decrypt("x.yaml");
    assert_eq!(text.lines().count(), 7, "{text}");
}

/// A small disk of its own, in a mount namespace that ends with the script.
#[test]
fn full_and_read_only_disks_change_nothing() {
    if !rustix::process::geteuid().is_root() {
        skipped("a disk of its own", "run as root");
        return;
    }
    let program = Program::new();
    let other = program.run(&["keygen", "other.key"]).ok().json()["recipients"][0].as_str().unwrap().to_owned();
    fs::create_dir(program.path("disk")).unwrap();
    program.write("script", format!(
        r#"set -u
mount -t tmpfs -o size=96k small disk || exit 99
se() {{ "$SE" "$@"; }}
for name in a b c d; do printf 'k: value-%s\n' $name > disk/$name.yaml; se encrypt --in-place -r {own} disk/$name.yaml > /dev/null || exit 98; done
sha256sum disk/*.yaml > before
cp disk/a.yaml base.yaml
# Room for two files of four.
head -c 1000000 /dev/zero > disk/filler 2> /dev/null
truncate -s -8192 disk/filler
say() {{ printf '%s %s\n' "$1" "$2"; sha256sum --check --quiet before || echo CHANGED "$1"; ls -A disk | grep -v -e '^[abcd].yaml$' -e '^filler$'; }}
se rekey -r {own} -r {other} disk > out 2> err; say rekey-full $?; cat err >> errs
head -c 1000000 /dev/zero > disk/filler 2> /dev/null
echo canary-value | se set disk/a.yaml /k > out 2> err; say set-full $?; cat err >> errs
se unset disk/a.yaml /k > out 2> err; say unset-full $?; cat err >> errs
mount -o remount,ro disk || exit 97
echo canary-value | se set disk/a.yaml /k > out 2> err; say set-ro $?; cat err >> errs
se rekey -r {own} -r {other} disk > out 2> err; say rekey-ro $?; cat err >> errs
se rekey --rotate -r {own} disk > out 2> err; say rotate-ro $?; cat err >> errs
cp disk/b.yaml theirs.yaml
se merge base.yaml disk/a.yaml theirs.yaml disk/a.yaml > out 2> err; say merge-ro $?; cat err >> errs
se decrypt disk/a.yaml > /dev/null || echo CANNOT READ
"#,
        own = program.recipient,
    ));
    let mut command = program.command("unshare");
    command.args(["--mount", "sh", "script"]).env("SE", env!("CARGO_BIN_EXE_secret-encrypt"));
    let ran = finish(&mut command, "");
    if [99, 1].contains(&ran.code) && ran.text().is_empty() {
        skipped("a disk of its own", "allow mount namespaces");
        return;
    }
    assert_eq!(ran.code, 0, "{} {}", ran.text(), ran.stderr);
    let lines: Vec<String> = ran.text().lines().map(str::to_owned).collect();
    assert_eq!(
        lines,
        ["rekey-full 73", "set-full 73", "unset-full 73", "set-ro 73", "rekey-ro 73", "rotate-ro 73", "merge-ro 73"],
        "{}",
        program.read("errs")
    );
    let said = program.read("errs");
    assert!(said.contains("free some space") && said.contains("mounted read-only"), "{said}");
    assert!(!said.contains("canary") && !said.contains("panicked"), "{said}");
}

#[test]
fn links_are_never_followed_for_writing() {
    let program = Program::new();
    rules(&program, &[&program.recipient]);
    tree(&program);
    let other = program.run(&["keygen", "other.key"]).ok().json()["recipients"][0].as_str().unwrap().to_owned();
    program.write("elsewhere.yaml", program.read(FILES[0]));
    fs::remove_file(program.path(FILES[0])).unwrap();
    std::os::unix::fs::symlink("../elsewhere.yaml", program.path(FILES[0])).unwrap();
    let before = program.read("elsewhere.yaml");
    rules(&program, &[&program.recipient, &other]);
    // In a tree a link is no file of it; by name it is refused, and then nothing is changed.
    program.run(&["rekey", "secrets"]).ok();
    assert_eq!(program.read("elsewhere.yaml"), before);
    let second = program.read(FILES[1]);
    program.run(&["rekey", "--rotate", FILES[0], FILES[1]]).fails(76);
    program
        .run_with(&["set", "--many"], format!("{{\"file\": \"{}\", \"set\": {{\"/k\": \"x\"}}}}", FILES[0]))
        .fails(76);
    assert_eq!((program.read("elsewhere.yaml"), program.read(FILES[1])), (before, second));
}

#[test]
fn a_closed_pipe_ends_a_reader_and_no_writer() {
    let program = Program::new();
    program.write("x.yaml", "k: v\n");
    program.encrypt("x.yaml");
    let shell = |script: &str| {
        finish(
            Command::new("bash")
                .args(["-c", script])
                .current_dir(program.directory.path())
                .env_clear()
                .env("PATH", std::env::var_os("PATH").unwrap())
                .env("SE", env!("CARGO_BIN_EXE_secret-encrypt"))
                .env("SOPS_AGE_KEY_FILE", program.path("age.key"))
                .env("HOME", program.directory.path()),
            "",
        )
    };
    let read = shell("{ sleep 0.2; \"$SE\" decrypt x.yaml; echo $? >&2; } | true");
    assert_eq!(read.stderr, "0\n");
    shell(
        "{ sleep 0.2; \"$SE\" rekey --rotate -r $(\"$SE\" recipient --output text age.key) x.yaml; echo $? >&2; } | true",
    );
    assert_eq!(program.decrypt("x.yaml"), "k: v\n");
    let full = shell("\"$SE\" decrypt x.yaml > /dev/full; echo $?");
    assert_eq!(full.text(), "74\n", "{}", full.stderr);
}
