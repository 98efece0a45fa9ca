//! Secrets into RAM: generations, owners, modes, links, templates, units; and exec.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::program::{Program, Ran, finish};

/// A root directory in RAM.
struct Host {
    program: Program,
    root: tempfile::TempDir,
}

fn ids() -> (String, String) {
    (rustix::process::getuid().as_raw().to_string(), rustix::process::getgid().as_raw().to_string())
}

impl Host {
    fn new() -> Self {
        let program = Program::new();
        program.write("secrets/web1.yaml", "db: \"p@ss 'w'\"\ntoken: abc\nnum: 5\n");
        program.run(&["encrypt", "--in-place", "-r", &program.recipient, "secrets/web1.yaml"]).ok();
        Self { program, root: tempfile::tempdir_in("/dev/shm").unwrap() }
    }

    fn manifest() -> Value {
        let (uid, gid) = ids();
        json!({"schema": "secrets.manifest/v1", "host": "web1", "secrets": [
            {"name": "db", "file": "secrets/web1.yaml", "pointer": "/db", "owner": uid, "group": gid, "units": ["app.service"]},
            {"name": "token", "file": "secrets/web1.yaml", "pointer": "/token", "owner": uid, "group": gid, "mode": "0440",
             "link": "/etc/app/token", "reload_units": ["proxy.service"]}],
         "templates": [{"name": "app.env", "text": "URL=postgres://u:@@secret:db@@@h/x\n", "owner": uid, "group": gid, "escape": "url",
             "link": "/opt/app/.env", "units": ["app.service", "worker.service"]}]})
    }

    fn materialize(&self, manifest: &Value, more: &[&str]) -> Ran {
        self.program.write("manifest.json", manifest.to_string());
        let root = self.root.path().to_str().unwrap();
        self.program.run(&[&["materialize", "manifest.json", "--root", root], more].concat())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }
}

#[test]
fn values_links_templates_and_units() {
    let host = Host::new();
    let result = host.materialize(&Host::manifest(), &[]).ok().json();
    assert_eq!(result["generation"], 1);
    assert_eq!(result["added"], json!(["db", "token", "rendered/app.env"]));
    assert_eq!(result["units"], json!(["app.service", "worker.service"]));
    assert_eq!(result["reload_units"], json!(["proxy.service"]));
    assert_eq!(fs::read_to_string(host.path("run/secrets/db")).unwrap(), "p@ss 'w'");
    assert_eq!(
        fs::read_to_string(host.path("run/secrets/rendered/app.env")).unwrap(),
        "URL=postgres://u:p%40ss%20%27w%27@h/x\n"
    );
    let mode = |name: &str| fs::metadata(host.path(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("run/secrets/db"), mode("run/secrets/token"), mode("run/secrets.d/1")), (0o400, 0o440, 0o751));
    assert_eq!(fs::read_link(host.path("etc/app/token")).unwrap().to_str(), Some("/run/secrets/token"));
    assert_eq!(fs::read_link(host.path("opt/app/.env")).unwrap().to_str(), Some("/run/secrets/rendered/app.env"));
    let stored: Value =
        serde_json::from_slice(&fs::read(host.path("run/plumbline/secrets.result.json")).unwrap()).unwrap();
    assert_eq!(stored, result);

    let again = host.materialize(&Host::manifest(), &[]).ok().json();
    assert_eq!((&again["changed"], &again["generation"], &again["units"]), (&json!(false), &json!(1), &json!([])));

    host.program.run_with(&["set", "secrets/web1.yaml", "/token"], "new").ok();
    let mut manifest = Host::manifest();
    manifest["templates"] = json!([]);
    let third = host.materialize(&manifest, &[]).ok().json();
    assert_eq!((&third["updated"], &third["removed"]), (&json!(["token"]), &json!(["rendered/app.env"])));
    assert_eq!((&third["units"], &third["generation"]), (&json!([]), &json!(2)));
    assert!(!host.path("run/secrets.d/1").exists() && fs::symlink_metadata(host.path("opt/app/.env")).is_err());
    assert_eq!(fs::read_to_string(host.path("run/secrets/token")).unwrap(), "new");
}

#[test]
fn all_problems_at_once_and_nothing_changes() {
    let host = Host::new();
    host.materialize(&Host::manifest(), &[]).ok();
    let mut manifest = Host::manifest();
    manifest["secrets"][0]["owner"] = json!("nobody-knows");
    manifest["secrets"][1]["group"] = json!("no-group");
    let ran = host.materialize(&manifest, &["--log-format", "json"]).fails(65);
    assert!(
        ran.stderr.contains("the secret db belongs to the user nobody-knows") && ran.stderr.contains("no-group"),
        "{}",
        ran.stderr
    );
    let mut manifest = Host::manifest();
    manifest["templates"][0]["text"] = json!("@@secret:dbb@@ @@secret:Hunter2 canary@@");
    let ran = host.materialize(&manifest, &[]).fails(65);
    assert!(ran.stderr.contains("did you mean db?") && !ran.stderr.contains("canary"), "{}", ran.stderr);
    let mut manifest = Host::manifest();
    manifest["secrets"][0]["pointer"] = json!("/dbx");
    assert!(host.materialize(&manifest, &[]).fails(65).stderr.contains("did you mean /db"));
    fs::remove_file(host.path("etc/app/token")).unwrap();
    fs::write(host.path("etc/app/token"), "mine").unwrap();
    host.program.run_with(&["set", "secrets/web1.yaml", "/db"], "next").ok();
    host.materialize(&Host::manifest(), &[]).fails(76);
    assert_eq!(fs::read_to_string(host.path("etc/app/token")).unwrap(), "mine");
    assert_eq!(fs::read_to_string(host.path("run/secrets/db")).unwrap(), "p@ss 'w'", "the old generation stays");
}

#[test]
fn a_disk_needs_consent() {
    let host = Host::new();
    host.program.write("manifest.json", Host::manifest().to_string());
    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let root = disk.path().to_str().unwrap();
    let refused = host.program.run(&["materialize", "manifest.json", "--root", root]).fails(76);
    let consent = format!("disk:{root}/run/secrets.d");
    assert!(refused.stderr.contains(&format!("--allow {consent}")), "{}", refused.stderr);
    host.program.run(&["materialize", "manifest.json", "--root", root, "--allow", &consent]).ok();
    assert!(disk.path().join("run/secrets/db").exists());
}

#[test]
fn secrets_for_users_come_first() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: secrets for users belong to root (install: run as root)");
        return;
    }
    let host = Host::new();
    let mut manifest = Host::manifest();
    manifest["secrets"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "hash", "file": "secrets/web1.yaml", "pointer": "/num", "needed_for_users": true}));
    manifest["secrets"][0]["owner"] = json!("not-yet");
    host.materialize(&manifest, &["--for-users"]).ok();
    assert_eq!(fs::read_to_string(host.path("run/secrets-for-users/hash")).unwrap(), "5");
    assert!(!host.path("run/secrets").exists());
    host.materialize(&manifest, &[]).fails(65);
}

#[test]
fn exec_hands_secrets_to_one_program() {
    let host = Host::new();
    host.program.write("manifest.json", Host::manifest().to_string());
    let script = "stat -c %a \"$CREDENTIALS_DIRECTORY\"; ls \"$CREDENTIALS_DIRECTORY\"; cat \"$CREDENTIALS_DIRECTORY/token\"; echo; \
        echo \"$CREDENTIALS_DIRECTORY\"; exit 7";
    let ran = host.program.run(&["exec", "--manifest", "manifest.json", "--only", "token", "--", "sh", "-c", script]);
    assert_eq!(ran.code, 7, "{}", ran.stderr);
    let text = ran.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..3], ["700", "token", "abc"]);
    assert!(!PathBuf::from(lines[3]).exists(), "the directory is gone");
    host.program.run(&["exec", "--manifest", "manifest.json", "--", "/nowhere"]).fails(69);
    host.program.run(&["exec", "--manifest", "manifest.json", "--only", "tokn", "--", "true"]).fails(2);
}

#[test]
fn exec_cleans_up_after_a_signal() {
    let host = Host::new();
    host.program.write("manifest.json", Host::manifest().to_string());
    let mut command = host.program.command(env!("CARGO_BIN_EXE_secret-encrypt"));
    let script = "echo \"$CREDENTIALS_DIRECTORY\" > where; exec sleep 60";
    let mut child = command.args(["exec", "--manifest", "manifest.json", "--", "sh", "-c", script]).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while fs::read_to_string(host.program.path("where")).map_or(true, |text| !text.ends_with('\n'))
        && Instant::now() < until
    {
        std::thread::sleep(Duration::from_millis(20));
    }
    let directory = PathBuf::from(host.program.read("where").trim_end());
    assert!(directory.join("db").exists());
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(!directory.exists());
    let _ = finish(&mut host.program.command("true"), "");
}

#[test]
fn exec_through_pipes_leaves_nothing_in_a_file() {
    let host = Host::new();
    host.program.write("manifest.json", Host::manifest().to_string());
    host.program.write("tmp/.keep", "");
    let script = "cd \"$CREDENTIALS_DIRECTORY\"; stat -c '%A %a' token; cat token; cat token db; pwd";
    let mut command = host.program.command(env!("CARGO_BIN_EXE_secret-encrypt"));
    command.env("XDG_RUNTIME_DIR", host.program.path("tmp"));
    command.args(["exec", "--pipes", "--manifest", "manifest.json", "--", "sh", "-c", script]);
    let ran = finish(&mut command, "").ok();
    let text = ran.text();
    let (head, directory) = text.trim_end().rsplit_once("w'").unwrap();
    assert_eq!(head, "prw------- 600\nabcabcp@ss '");
    assert!(directory.contains("/tmp/plumbline-exec-") && !PathBuf::from(directory).exists(), "{directory}");
}

#[test]
fn exec_can_be_tried_first() {
    let host = Host::new();
    host.program.write("manifest.json", Host::manifest().to_string());
    let ran = host.program.run(&["exec", "--dry-run", "--manifest", "manifest.json", "--", "touch", "ran"]).ok().json();
    assert_eq!(ran["added"], json!(["db", "token"]));
    assert!(!host.program.path("ran").exists());
}

/// A killed run leaves the old generation or the new one, never a part of one.
#[test]
fn a_killed_materialize_leaves_one_whole_generation() {
    let host = Host::new();
    host.materialize(&Host::manifest(), &[]).ok();
    let root = host.root.path().to_str().unwrap().to_owned();
    let rounds = if crate::program::full_tier() { 100 } else { 6 };
    for round in 0..rounds {
        host.program.run_with(&["set", "secrets/web1.yaml", "/token"], format!("token {round}")).ok();
        let mut command = host.program.command(env!("CARGO_BIN_EXE_secret-encrypt"));
        let mut child = command
            .args(["materialize", "manifest.json", "--root", &root])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(5 + 60 * round / rounds));
        let _ = child.kill();
        child.wait().unwrap();
        assert_eq!(fs::read_to_string(host.path("run/secrets/db")).unwrap(), "p@ss 'w'");
        assert!(fs::read_to_string(host.path("run/secrets/rendered/app.env")).unwrap().ends_with("@h/x\n"));
        let done = host.materialize(&Host::manifest(), &[]).ok().json();
        assert_eq!(fs::read_to_string(host.path("run/secrets/token")).unwrap(), format!("token {round}"), "{done}");
    }
    let left: Vec<_> =
        fs::read_dir(host.path("run/secrets.d")).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left.len(), 1, "{left:?}");
}
