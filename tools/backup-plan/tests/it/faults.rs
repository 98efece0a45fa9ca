//! What goes wrong on real hosts.

use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde_json::json;

use crate::house::{House, exists, is_root, step};

#[test]
fn secrets_passwords_and_repositories_that_are_wrong() {
    let Some(house) = House::build() else { return };
    let plan = house.plan(&house.sources(|_| {}));
    std::fs::remove_file(house.at("secrets/restic-password")).unwrap();
    let missing = house.run(&["run", &plan], "").ends(78);
    assert!(missing.stderr.contains("restic-password") && missing.stdout.is_empty());
    house.secret("restic-password", "right");
    house.run(&["run", &plan], "").ends(0);
    house.secret("restic-password", "wrong-canary");
    let wrong = house.run(&["run", &plan], "").ends(77);
    assert!(!wrong.stderr.contains("canary") && wrong.stderr.contains("does not accept the password"), "{wrong:?}");
    let judged = house.run(&["judge", &plan], "").ends(1).json();
    assert!(judged["repositories"][0]["problems"][0].as_str().unwrap().contains("password"));
    assert!(judged["problems"][0].as_str().unwrap().contains("the last run"), "{judged:#}");
    let no_init = house.plan(&house.sources(|sources| {
        sources["repositories"][0]["uri"] = json!(house.text("nowhere"));
        sources["repositories"][0]["init"] = json!(false);
    }));
    let gone = house.run(&["run", &no_init], "").ends(69);
    assert!(gone.stderr.contains("there is no repository"), "{gone:?}");
    assert!(!exists(&house.at("nowhere")));
}

#[test]
fn a_root_that_vanished_stops_the_run() {
    let Some(house) = House::build() else { return };
    let plan = house.plan(&house.sources(|_| {}));
    std::fs::remove_dir_all(house.at("data/other")).unwrap();
    let stopped = house.run(&["run", &plan], "").ends(69);
    assert!(stopped.stderr.contains("data/other"), "{stopped:?}");
    assert!(!exists(&house.at("repo")), "something was begun");
}

#[test]
fn two_runs_do_not_meet_and_a_killed_one_is_made_good() {
    let Some(house) = House::build() else { return };
    // Enough to be in the middle of.
    for index in 0..40 {
        let bytes: String = String::from_utf8(
            (0..300_000_u32).map(|i| (i.wrapping_mul(2_654_435_761).rotate_left(index) % 95 + 32) as u8).collect(),
        )
        .unwrap();
        house.put(&format!("data/app/blob{index}"), &bytes);
    }
    let plan = house.plan(&house.sources(|_| {}));
    let mut child = house.spawn(&["run", &plan]);
    let until = Instant::now() + Duration::from_secs(60);
    let locks = house.at("repo/locks");
    while !std::fs::read_dir(&locks).is_ok_and(|mut entries| entries.next().is_some()) {
        assert!(Instant::now() < until && child.try_wait().unwrap().is_none(), "the backup ended before it was killed");
        std::thread::sleep(Duration::from_millis(2));
    }
    let busy = house.run(&["run", &plan], "").ends(75);
    assert!(busy.stderr.contains("another run"), "{busy:?}");
    // The engine and its parent, as by the kernel or a power cut.
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    for pid in children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().unwrap())) {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
    std::thread::sleep(Duration::from_millis(300));
    let again = house.run(&["run", &plan], "").ends(0).json();
    assert_eq!(step(&again, "forget/local")["state"], "done", "{again:#}");
    house.restic(&["check"]);
}

#[test]
fn a_signal_ends_it_cleanly() {
    let Some(house) = House::build() else { return };
    let plan = house.plan(&house.sources(|sources| {
        sources["services"][0]["dumps"] = json!([{"id": "slow", "command": {"argv": ["sleep", "60"]}}]);
    }));
    let child = house.spawn(&["run", &plan]);
    let until = Instant::now() + Duration::from_secs(20);
    while !exists(&house.at("staging/slow.out.part")) {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(5));
    }
    rustix::process::kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert!(!exists(&house.at("staging/slow.out.part")));
}

/// A small file system of its own, unmounted in the end.
struct Tmpfs(std::path::PathBuf);

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_keeps_the_previous_dump() {
    let Some(house) = House::build() else { return };
    let staging = house.at("staging");
    std::fs::create_dir_all(&staging).unwrap();
    let mounted = is_root()
        && Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(&staging)
            .status()
            .is_ok_and(|s| s.success());
    if !mounted {
        assert!(std::env::var_os("PLUMBLINE_REQUIRE_PEERS").is_none(), "root is needed to mount a tmpfs");
        eprintln!("skipped: a full disk (needs root to mount a tmpfs)");
        return;
    }
    let _tmpfs = Tmpfs(staging);
    let sources = |bytes: &str| {
        house.sources(|sources| {
            sources["services"][0]["dumps"] =
                json!([{"id": "d", "command": {"argv": ["head", "-c", bytes, "/dev/zero"]}}]);
        })
    };
    let plan = house.plan(&sources("1000"));
    house.run(&["run", &plan], "").ends(0);
    let plan = house.plan(&sources("4000000"));
    let full = house.run(&["run", &plan], "").ends(74);
    assert!(full.stderr.contains("no space is left"), "{full:?}");
    assert_eq!(std::fs::metadata(house.at("staging/d.out")).unwrap().len(), 1000);
    assert!(!exists(&house.at("staging/d.out.part")));
}

#[test]
fn a_dump_that_fails_begins_no_backup() {
    let Some(house) = House::build() else { return };
    let plan = house.plan(&house.sources(|sources| {
        sources["services"][0]["dumps"] = json!([
            {"id": "bad", "command": {"argv": ["sh", "-c", "echo half; echo oh no >&2; exit 5"]}},
            {"id": "empty", "command": {"argv": ["true"]}},
            {"id": "good", "command": {"argv": ["echo", "fine"]}},
        ]);
    }));
    let failed = house.run(&["run", &plan], "");
    assert!(failed.stderr.contains("oh no"), "{failed:?}");
    assert!(
        !exists(&house.at("repo")) && !exists(&house.at("staging/bad.out")) && exists(&house.at("staging/good.out"))
    );
    assert!(!exists(&house.at("staging/empty.out")));
    let metrics = std::fs::read_to_string(house.at("state/metrics.prom")).unwrap();
    assert!(metrics.contains("backup_last_run_ok{plan=\"snek\",host=\"snek\"} 0"), "{metrics}");
}
