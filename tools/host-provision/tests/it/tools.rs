//! Tools on hosts: streams of any bytes and any size, in both directions at once.

use std::io::{Read, Write};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::full_tier;
use crate::lab::Lab;

fn start(lab: &Lab, more: &[&str], command: &[&str]) -> Child {
    crate::controller()
        .args(["run", "lab1", "--installed", "--hosts", lab.inventory.path().to_str().unwrap()])
        .args(["-i", lab.document["key"].as_str().unwrap()])
        .args(more)
        .arg("--")
        .args(command)
        .env("HOME", "/nonexistent")
        .env_remove("SSH_AUTH_SOCK")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Bytes that are no text and do not repeat soon.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

fn both_ways(lab: &Lab, more: &[&str], size: usize) {
    let sent = noise(size);
    let mut child = start(lab, more, &["cat"]);
    let mut stdin = child.stdin.take().unwrap();
    let copy = sent.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&copy).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout.len(), sent.len());
    assert!(output.stdout == sent, "other bytes came back");
}

#[test]
fn streams_of_any_bytes_in_both_directions() {
    let Some(lab) = Lab::boot() else { return };
    let size = if full_tier() { 100 << 20 } else { 8 << 20 };
    both_ways(&lab, &[], size);
    both_ways(&lab, &["--transport", "openssh"], 3 << 20);
    both_ways(&lab, &[], 0);

    // Input is handed on as it comes, not when it has ended.
    let mut child = start(&lab, &[], &["sed", "-u", "s/^/got /"]);
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    for line in ["one\n", "two\n"] {
        stdin.write_all(line.as_bytes()).unwrap();
        let mut answer = vec![0; line.len() + 4];
        stdout.read_exact(&mut answer).unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), format!("got {line}"));
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());

    // A tool that does not read all of its input ends the call all the same.
    let mut child = start(&lab, &[], &["head", "-c", "3"]);
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&noise(4 << 20))));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(0), noise(3)));

    // Half of the input is never taken for all of it: the tool is ended, and the host says why.
    let mut child = start(&lab, &[], &["sh", "-c", "cat >/srv/part && touch /srv/whole"]);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"first half").unwrap();
    let begun = Instant::now();
    while lab.exec("cat /srv/part 2>/dev/null") != "first half" && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    drop(stdin);
    while lab.exec("pgrep -f /srv/part").lines().count() > 1 && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(lab.exec("cat /srv/part; ls /srv/whole 2>/dev/null"), "first half");

    // A tool that reads nothing outlives its connection, and attach shows what it wrote.
    let mut child = start(&lab, &["-v"], &["sh", "-c", "echo begun; sleep 2; echo ended; exit 5"]);
    drop(child.stdin.take());
    let mut line = [0; 6];
    child.stdout.take().unwrap().read_exact(&mut line).unwrap();
    assert_eq!(&line, b"begun\n");
    child.kill().unwrap();
    let said = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    let id = lab.exec("ls -t /run/plumbline/tools | head -n 1");
    let attached = lab.call(&["attach", "lab1", &id], "").expect(5);
    assert_eq!(attached.stdout, "begun\nended\n", "{said}");
}

/// What is sent is for the processor that the host has, whatever the inventory says of it; that it is wrong is told with the
/// place to correct.
#[test]
fn a_tool_for_the_processor_of_the_host() {
    let Some(lab) = Lab::boot() else { return };
    let shelf = tempfile::tempdir().unwrap();
    let helper = std::fs::read(crate::library().join(std::env::consts::ARCH).join("host-provision-helper")).unwrap();
    let place = |arch: &str, tool: &str, bytes: &[u8]| {
        std::fs::create_dir_all(shelf.path().join(arch)).unwrap();
        std::fs::write(shelf.path().join(arch).join(tool), bytes).unwrap();
    };
    // ELF calls its processor at byte 18: 183 is aarch64.
    let mut foreign = helper.clone();
    foreign[18] = 183;
    place("x86_64", "backup-plan", &helper);
    place("x86_64", "host-provision-helper", &helper);
    for tool in ["backup-plan", "host-provision-helper", "elsewhere"] {
        place("aarch64", tool, &foreign);
    }
    let inventory = std::fs::read_to_string(lab.inventory.path()).unwrap();
    let call = |arch: &str, words: &[&str], more: &[&str], document: &str| {
        std::fs::write(lab.inventory.path(), inventory.replace("x86_64", arch)).unwrap();
        let mut command = crate::controller();
        command.args(words).args(["--hosts", lab.inventory.path().to_str().unwrap()]);
        command.args(["-i", lab.document["key"].as_str().unwrap()]).args(more).env("PLUMBLINE_LIB", shelf.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(document.as_bytes());
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let run_as = |arch: &str, tool: &str| call(arch, &["run", "lab1"], &["--", tool, "probe"], "");
    let is_told = |arch: &str, said: &str| {
        said.contains("wrong at /hosts/0/arch") && said.contains(&format!("not {arch} but x86_64"))
    };
    let foreign_came =
        || !lab.exec(&format!("ls /var/lib/plumbline/bin/{}", host_provision::engine::sha256(&foreign))).is_empty();

    // On a fresh host too, with and without a tool for the one that the inventory names.
    for arch in ["aarch64", "armv7"] {
        let (code, said) = run_as(arch, "backup-plan");
        assert!(code == Some(0) && is_told(arch, &said) && !foreign_came(), "{code:?} {said}");
    }
    assert_eq!(run_as("x86_64", "backup-plan"), (Some(0), String::new()));
    // Nothing is sent twice for it, and all that items name is for the same processor.
    let items = json!([{"id": "t", "tool": {"name": "backup-plan", "path": "/usr/local/bin/backup-plan"}}]);
    let document = crate::desired("lab1", &items).to_string();
    for changed in [true, false] {
        let (code, said) = call("aarch64", &["apply", "-v"], &[], &document);
        assert!(code == Some(0) && is_told("aarch64", &said) && !said.contains("sending the helper"), "{said}");
        assert_eq!(said.contains("/usr/local/bin/backup-plan") || said.contains("run "), changed, "{said}");
    }
    assert_eq!(lab.exec("/usr/local/bin/backup-plan probe && echo runs"), "runs");
    // There is none for the processor that it has.
    let (code, said) = run_as("aarch64", "elsewhere");
    assert!(code == Some(69) && said.contains("/x86_64/elsewhere") && !foreign_came(), "{code:?} {said}");
}
