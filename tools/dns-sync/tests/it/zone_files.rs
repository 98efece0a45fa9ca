//! Zone files on the controller.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::peer::have;
use crate::program::{Run, counts, desired, run};

fn document(mode: &str, records: Value) -> String {
    desired(&json!({"zonefile": {"directory": "zones"}}), mode, records)
}

fn directory() -> TempDir {
    let directory = TempDir::new().unwrap();
    std::fs::create_dir(directory.path().join("zones")).unwrap();
    directory
}

fn file(directory: &TempDir) -> String {
    std::fs::read_to_string(directory.path().join("zones/example.org.zone")).unwrap()
}

fn go(directory: &TempDir, args: &[&str], stdin: &str) -> Run {
    run(directory.path(), args, stdin)
}

/// Shows a zone file to the checkers of BIND and Knot.
#[track_caller]
pub(crate) fn accepted(text: &str) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("example.org.zone");
    std::fs::write(&path, text).unwrap();
    let check = |program: &str, args: &[&str]| {
        let output = Command::new(program)
            .env("PATH", std::env::var("PATH").unwrap_or_default() + ":/usr/sbin")
            .args(args)
            .arg(&path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program}: {said}\n{text}");
    };
    if have("named-checkzone", "apt-get install bind9-utils") {
        check(
            "named-checkzone",
            &["-i", "none", "-k", "ignore", "-M", "ignore", "-n", "ignore", "-r", "ignore", "example.org"],
        );
    }
    if have("kzonecheck", "apt-get install knot-dnssecutils") {
        check("kzonecheck", &["-o", "example.org"]);
    }
}

#[test]
fn a_file_is_made_and_kept() {
    let directory = directory();
    let first = document("owned", json!([{"name": "www", "A": ["192.0.2.1"]}, {"name": "@", "TXT": ["hello; world"]}]));
    let plan = go(&directory, &["plan"], &first).json(0);
    assert_eq!(counts(&plan), (2, 0, 0));
    assert!(plan["warnings"][0].as_str().unwrap().contains("no zone file yet"));
    go(&directory, &["apply"], &first).json(0);
    let text = file(&directory);
    accepted(&text);
    assert!(text.starts_with("example.org.\t3600\tIN\tSOA\tlocalhost. hostmaster.example.org. 1 "), "{text}");
    assert!(text.contains("www.example.org.\t3600\tIN\tA\t192.0.2.1\n"), "{text}");
    // Nothing changes: neither the serial nor a byte.
    go(&directory, &["plan", "--check"], &first).json(0);
    assert_eq!(counts(&go(&directory, &["apply"], &first).json(0)), (0, 0, 0));
    assert_eq!(file(&directory), text);
    let second = document("owned", json!([{"name": "www", "A": ["192.0.2.2"]}]));
    assert_eq!(counts(&go(&directory, &["apply"], &second).json(0)), (0, 1, 1));
    assert!(file(&directory).contains(" hostmaster.example.org. 2 "));
    let left: Vec<_> = std::fs::read_dir(directory.path().join("zones")).unwrap().collect();
    assert_eq!(left.len(), 1, "no temporary file stays");
}

#[test]
fn a_file_of_a_person_keeps_its_records() {
    let directory = directory();
    let text = "$TTL 1h\n@ IN SOA ns hostmaster ( 4294967295 2h 15m 2w 5m )\n NS ns\nns A 192.0.2.53\nold 60 A 192.0.2.9 ; theirs\n";
    std::fs::write(directory.path().join("zones/example.org.zone"), text).unwrap();
    let wanted = document("owned", json!([{"name": "www", "CNAME": "ns"}]));
    go(&directory, &["apply"], &wanted).json(0);
    let now = file(&directory);
    accepted(&now);
    assert!(now.contains(" hostmaster.example.org. 1 7200"), "the serial goes round and leaves out 0: {now}");
    assert!(now.contains("old.example.org.\t60\tIN\tA\t192.0.2.9"), "{now}");
    let whole = document("whole-zone", json!([{"name": "www", "CNAME": "ns"}, {"name": "ns", "A": ["192.0.2.53"]}]));
    assert_eq!(counts(&go(&directory, &["apply"], &whole).json(0)), (0, 0, 1));
    assert!(!file(&directory).contains("old.example.org"));
}

#[test]
fn a_bad_file_is_left_alone() {
    let directory = directory();
    let path = directory.path().join("zones/example.org.zone");
    std::fs::write(&path, "@ 60 IN SOA ns h 1 2 3 4 5\nwww 60 IN AA 192.0.2.1\n").unwrap();
    let wanted = document("owned", json!([{"name": "www", "A": ["192.0.2.1"]}]));
    for verb in ["plan", "apply"] {
        let error = go(&directory, &[verb], &wanted).fails(65, "bad_zone_file");
        assert!(error["message"].as_str().unwrap().starts_with("line 2: "), "{error}");
    }
    std::fs::write(&path, "www 60 IN A 192.0.2.1\n").unwrap();
    go(&directory, &["plan"], &wanted).fails(65, "no_soa");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "www 60 IN A 192.0.2.1\n");
}

#[test]
fn paths_stay_below_the_base() {
    let directory = directory();
    let wanted = document("owned", json!([{"name": "www", "A": ["192.0.2.1"]}]));
    let out = wanted
        .replace("\"zones\",", "\"../zones\",")
        .replace("{\"directory\":\"zones\"}", "{\"directory\":\"../zones\"}");
    go(&directory, &["plan"], &out).fails(65, "path_leads_out");
    let elsewhere = TempDir::new().unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), directory.path().join("link")).unwrap();
    let link = wanted.replace("{\"directory\":\"zones\"}", "{\"directory\":\"link\"}");
    go(&directory, &["apply"], &link).fails(65, "path_leads_out");
    let missing = wanted.replace("{\"directory\":\"zones\"}", "{\"directory\":\"nowhere\"}");
    go(&directory, &["plan"], &missing).fails(66, "io");
    let base = directory.path().display().to_string();
    run(Path::new("/"), &["apply", "--base", &base], &wanted).json(0);
    file(&directory);
}

#[test]
fn a_write_that_fails_loses_nothing() {
    let directory = directory();
    let wanted = document("owned", json!([{"name": "www", "A": ["192.0.2.1"]}]));
    go(&directory, &["apply"], &wanted).json(0);
    let before = file(&directory);
    // No file may grow: the nearest thing to a full disk that needs no mount.
    let other = document("owned", json!([{"name": "www", "A": ["192.0.2.2"]}]));
    let path = directory.path().join("zones/example.org.zone");
    let script = format!("ulimit -f 0; trap '' XFSZ; exec '{}' apply --output json", env!("CARGO_BIN_EXE_dns-sync"));
    std::fs::write(directory.path().join("wanted.json"), &other).unwrap();
    let output = Command::new("sh")
        .current_dir(directory.path())
        .args(["-c", &script])
        .stdin(std::fs::File::open(directory.path().join("wanted.json")).unwrap())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(73), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(std::fs::read_to_string(path).unwrap(), before);
}

#[test]
fn phases_select_and_remove_nothing() {
    let directory = directory();
    let records = json!([
        {"name": "acme", "when": "before", "A": ["192.0.2.1"]},
        {"name": "www", "A": ["192.0.2.1"]},
    ]);
    let both = document("owned", records);
    let plan = go(&directory, &["plan", "--phase", "before"], &both).json(0);
    assert_eq!(plan["zones"][0]["changes"][0]["name"], "acme.example.org.");
    assert_eq!(counts(&go(&directory, &["apply", "--phase", "before"], &both).json(0)), (1, 0, 0));
    go(&directory, &["apply", "--phase", "after"], &both).json(0);
    let one = document("owned", json!([{"name": "acme", "when": "before", "A": ["192.0.2.1"]}]));
    assert_eq!(counts(&go(&directory, &["plan", "--phase", "before"], &one).json(0)), (0, 0, 0));
    let plan = go(&directory, &["plan"], &one).expect(0).stdout.clone();
    go(&directory, &["apply", "--phase", "before"], &plan).fails(2, "usage");
    assert_eq!(counts(&go(&directory, &["apply"], &plan).json(0)), (0, 0, 1));
}

#[test]
fn a_plan_reads_well() {
    let directory = directory();
    let wanted =
        document("owned", json!([{"name": "www", "ttl": 300, "A": ["192.0.2.1"]}, {"name": "mail.lab", "TXT": ["x"]}]));
    let text = go(&directory, &["plan", "--output", "text"], &wanted).expect(0).stdout.clone();
    let wanted = "\
example.org. (p, owned)
  + mail.lab  TXT  \"x\"  TTL 3600
  + www       A    192.0.2.1  TTL 300
warning: example.org.: there is no zone file yet; an apply makes it
Plan: 2 to create, 0 to update, 0 to delete; 0 unchanged.
";
    assert_eq!(text, wanted);
}
