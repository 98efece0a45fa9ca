//! What goes wrong on the way: everything that can be cut, killed, filled up or held. Afterwards the host is old or new,
//! never between; the owner can log in; the journal tells what happened. A handful in the fast tier, hundreds in the full one.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::lab::{Lab, lab};
use crate::{desired, run};

pub(crate) fn full() -> bool {
    std::env::var("PLUMBLINE_TIER").is_ok_and(|tier| tier == "full")
}

/// Numbers that look random and are the same in every run, so that a failure can be repeated.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A version of a small service: files, a directory, a unit that shows which version it has read.
fn version(letter: &str) -> Value {
    version_in(letter, "0.15")
}

/// The same with this many seconds between some of its files.
fn version_in(letter: &str, pause: &str) -> Value {
    let mut items = vec![
        json!({"id": "d", "directory": {"path": "/srv/v"}}),
        json!({"id": "uf", "file": {"path": "/etc/systemd/system/shows.service", "content":
            "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=exec\nExecStart=/bin/sh -c 'cat /srv/v/f0 >/run/shown; exec sleep 100000'\n"}, "notify": ["restart:shows.service"]}),
    ];
    for number in 0..24 {
        let mut item = json!({"id": format!("f{number}"), "file": {"path": format!("/srv/v/f{number}"),
            "content": format!("{letter}\n"), "mode": "0640"}, "notify": ["restart:shows.service"]});
        // Between the files something slow, so that there are moments to be hit.
        if number % 8 == 7 {
            items.push(json!({"id": format!("c{number}"), "stage": "services", "command": {
                "argv": ["sh", "-c", format!("sleep {pause}; echo {letter} >/run/step{number}")],
                "unless": ["grep", "-qx", letter, format!("/run/step{number}")]}}));
        }
        item["stage"] = json!("services");
        items.push(item);
    }
    items.push(json!({"id": "u", "unit": {"name": "shows.service", "enabled": true, "state": "started"}}));
    desired("lab1", &json!(items))
}

/// Waits until nothing works on the host any more.
fn settled(lab: &Lab) {
    let end = Instant::now() + Duration::from_secs(30);
    while Instant::now() < end {
        let busy = lab.exec(
            "ls /var/lib/plumbline/pending 2>/dev/null; systemctl list-units --no-legend 'plumbline-run-*' | head -3",
        );
        if busy.is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!(
        "the host does not settle: {}",
        lab.exec(
            "ls -l /var/lib/plumbline/pending; tail -n 3 /var/lib/plumbline/runs/*/events; journalctl -n 30 --no-pager"
        )
    );
}

/// The version that all of the host shows.
fn shown(lab: &Lab) -> String {
    let text = lab
        .exec("cat /srv/v/f* | sort -u; cat /run/shown; systemctl is-active shows; find /srv /etc -name '.plumbline*'");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() == 3 && lines[0] == lines[1] && lines[2] == "active", "between: {lines:?}");
    assert!(lab.logs_in(22), "the owner is locked out");
    lines[0].to_owned()
}

fn begin(lab: &Lab, document: &Value) -> Child {
    let mut child = crate::controller()
        .args([
            "apply",
            "--confirm-timeout",
            "8s",
            "--hosts",
            lab.inventory.path().to_str().unwrap(),
            "-i",
            lab.document["key"].as_str().unwrap(),
        ])
        .env_remove("SSH_AUTH_SOCK")
        .env("HOME", "/nonexistent")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(document.to_string().as_bytes()).unwrap();
    child
}

#[test]
fn killed_at_random_moments() {
    let Some(host) = Lab::boot() else { return };
    host.apply(&version("a")).expect(0);
    let mut now = "a".to_owned();
    let mut dice = Dice::new(4);
    for round in 0..if full() { 200 } else { 4 } {
        let next = if now == "a" { "b" } else { "a" };
        let mut child = begin(&host, &version(next));
        std::thread::sleep(Duration::from_millis(100 + dice.below(1100)));
        let victim = dice.below(4);
        match victim {
            0 => child.kill().unwrap(),
            1 => drop(host.exec("pkill -9 -f 'helper work'")),
            2 => drop(host.exec("pkill -9 -f 'helper serve'")),
            // The worker and whoever would look after it: only the host itself is left to put things back.
            _ => {
                child.kill().unwrap();
                host.exec("pkill -9 -f 'host-provision-helper (work|serve)'");
            }
        }
        let ended = child.wait_with_output().unwrap();
        settled(&host);
        now = shown(&host);
        let last = host.exec("cat $(ls -td /var/lib/plumbline/runs/*/ | head -1)run.json");
        let record: Value = serde_json::from_str(&last).unwrap();
        assert!(
            ["done", "rolled_back"].contains(&record["stand"].as_str().unwrap()),
            "round {round}, victim {victim}: {record}"
        );
        if ended.status.code() == Some(0) {
            assert_eq!(now, next, "round {round}: success was said");
        }
    }
    // And from wherever it is now, the other version is reached as a whole.
    let next = if now == "a" { "b" } else { "a" };
    host.apply(&version(next)).expect(0);
    assert_eq!(shown(&host), next);
    assert_eq!(host.apply(&version(next)).expect(0).json()["changed"], false);
}

/// A way to the host that breaks once, after so many bytes from the host; later connections hold.
pub(crate) struct Cut {
    pub(crate) port: u16,
    broken: Arc<AtomicUsize>,
}

impl Cut {
    pub(crate) fn after(bytes: usize, target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let broken = Arc::new(AtomicUsize::new(0));
        let count = broken.clone();
        std::thread::spawn(move || {
            for (number, client) in listener.incoming().flatten().enumerate() {
                let Ok(server) = TcpStream::connect(&target) else { continue };
                let limit = if number == 0 { bytes } else { usize::MAX };
                let (mut up_from, mut up_to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut up_from, &mut up_to);
                    let _ = up_to.shutdown(std::net::Shutdown::Both);
                });
                let (mut from, mut to, count) = (server, client, count.clone());
                std::thread::spawn(move || {
                    let mut left = limit;
                    let mut chunk = [0_u8; 512];
                    while let Ok(length @ 1..) = from.read(&mut chunk[..left.min(512)]) {
                        left -= length;
                        if to.write_all(&chunk[..length]).is_err() {
                            break;
                        }
                        if left == 0 {
                            count.fetch_add(1, Ordering::Relaxed);
                            break;
                        }
                    }
                    let _ = from.shutdown(std::net::Shutdown::Both);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
        });
        Self { port, broken }
    }
}

#[test]
fn the_connection_is_cut_at_every_step() {
    let Some(host) = Lab::boot() else { return };
    host.apply(&version("a")).expect(0);
    let mut now = "a".to_owned();
    // The handshake takes about 3000 bytes from the host; then come the words of the run.
    let cuts: Vec<usize> = if full() { (1..=70).map(|n| n * 130).collect() } else { vec![20, 3400, 4200, 5400] };
    let mut hit = 0;
    for bytes in cuts {
        let next = if now == "a" { "b" } else { "a" };
        let cut = Cut::after(bytes, format!("{}:22", host.address()));
        let inventory = tempfile::NamedTempFile::new().unwrap();
        let hosts = json!({"schema": "hosts.inventory/v1", "hosts": [{"name": "lab1", "os": "debian-12", "arch": "x86_64",
            "addresses": [{"address": "127.0.0.1", "port": cut.port, "user": "root"}], "host_keys": [host.host()["host_key"]]}]});
        std::fs::write(inventory.path(), hosts.to_string()).unwrap();
        let key = host.document["key"].as_str().unwrap();
        let ran = run(&["apply", "--hosts", inventory.path().to_str().unwrap(), "-i", key], &version(next).to_string());
        let broke = cut.broken.load(Ordering::Relaxed);
        hit += broke;
        settled(&host);
        now = shown(&host);
        match ran.code {
            // Attached again, or finished before.
            0 => assert_eq!(now, next, "after {bytes} bytes"),
            75 => assert!(broke > 0 && now != next, "after {bytes} bytes: {}", ran.stderr),
            code => panic!("after {bytes} bytes: {code} {}", ran.stderr),
        }
    }
    assert!(hit > 1, "only {hit} connections were cut");
}

#[test]
fn power_is_lost_in_the_middle_of_the_work() {
    let Some(host) = Lab::boot() else { return };
    host.apply(&version("a")).expect(0);
    host.exec("sync");
    for round in 0..if full() { 10 } else { 1 } {
        let mut child = begin(&host, &version_in("b", "1"));
        let end = Instant::now() + Duration::from_secs(20);
        // Some files are new, the run is not over.
        while Instant::now() < end && !host.exec("sort -u /srv/v/f*").contains('b') {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(lab(&["--lab", &host.name, "kill", "1"]).0, 0);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(lab(&["--lab", &host.name, "boot", "1"]).0, 0);
        settled(&host);
        assert_eq!(host.exec("cat /srv/v/f* | sort -u"), "a", "round {round}");
        assert!(host.logs_in(22));
        host.exec("systemctl restart shows");
        assert_eq!(shown(&host), "a");
    }
}

#[test]
fn a_disk_that_is_full_or_read_only() {
    let Some(host) = Lab::boot() else { return };
    host.apply(&version("a")).expect(0);
    // It fills up in the middle: even so all goes back, because the way back needs no room.
    let mut filling = version("b");
    let items = filling["items"].as_array_mut().unwrap();
    items.push(json!({"id": "z1", "command": {"argv": ["sh", "-c",
        "fallocate -l $(($(df --output=avail -B1 / | tail -1) - 8192)) /var/fill; dd if=/dev/zero of=/var/fill2 bs=4k; true"],
        "creates": "/var/fill"}}));
    items.push(json!({"id": "z2", "file": {"path": "/srv/v/large", "content": "x".repeat(300_000)}}));
    let failed = host.apply(&filling).expect(3).json();
    assert_eq!(
        (failed["outcome"].as_str(), failed["error"]["hint"].as_str()),
        (Some("rolled_back"), Some("free some space on the host")),
        "{failed}"
    );
    host.exec("rm /var/fill /var/fill2");
    settled(&host);
    assert_eq!(shown(&host), "a");
    // Full from the start: nothing is begun.
    host.exec(
        "fallocate -l $(($(df --output=avail -B1 / | tail -1) - 8192)) /var/fill; dd if=/dev/zero of=/var/fill2 bs=4k",
    );
    let refused = host.apply(&version("b"));
    assert_ne!(refused.code, 0, "{}", refused.stdout);
    assert_eq!(refused.json()["changed"], false, "{}", refused.stdout);
    host.exec("rm /var/fill /var/fill2");
    settled(&host);
    assert_eq!(shown(&host), "a");
    // What is read-only stays as it is, and so does the rest.
    host.exec("mount --bind /srv/v /srv/v && mount -o remount,bind,ro /srv/v");
    let failed = host.apply(&version("b"));
    assert_ne!(failed.code, 0);
    assert!(failed.stdout.contains("mounted read-only"), "{}", failed.stdout);
    host.exec("umount /srv/v");
    settled(&host);
    assert_eq!(shown(&host), "a");
    host.apply(&version("b")).expect(0);
    assert_eq!(shown(&host), "b");
}

#[test]
fn two_controllers_at_once() {
    let Some(host) = Lab::boot() else { return };
    host.apply(&version("a")).expect(0);
    for _ in 0..if full() { 20 } else { 1 } {
        let children = [begin(&host, &version("b")), begin(&host, &version("c"))];
        let codes: Vec<i32> = children
            .into_iter()
            .map(|child| {
                let output = child.wait_with_output().unwrap();
                let code = output.status.code().unwrap();
                let said = String::from_utf8_lossy(&output.stdout).into_owned();
                assert!(code == 0 || (code == 75 && said.contains("\"locked\"")), "{code} {said}");
                code
            })
            .collect();
        assert!(codes.contains(&0), "{codes:?}");
        settled(&host);
        assert!(["b", "c"].contains(&shown(&host).as_str()));
        host.apply(&version("a")).expect(0);
    }
    // One that waits gets its turn.
    let mut first = begin(&host, &version("b"));
    let works = |host: &Lab| !host.exec("ls -A /var/lib/plumbline/pending 2>/dev/null || true").trim().is_empty();
    while !works(&host) && first.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(20));
    }
    host.apply_with(&version("c"), &["--lock-wait", "30s"]).expect(0);
    first.wait_with_output().unwrap();
    settled(&host);
    assert_eq!(shown(&host), "c");
}

#[test]
fn a_lock_of_dpkg_is_waited_for() {
    let Some(host) = Lab::boot() else { return };
    host.exec("mkdir -p /tmp/slow/DEBIAN && printf 'Package: slow\\nVersion: 1\\nArchitecture: all\\nMaintainer: x <x@example.org>\\nDescription: slow\\n' >/tmp/slow/DEBIAN/control && printf '#!/bin/sh\\nsleep 3\\n' >/tmp/slow/DEBIAN/postinst && chmod 755 /tmp/slow/DEBIAN/postinst && dpkg-deb -b /tmp/slow /tmp/slow.deb");
    host.exec("setsid dpkg -i /tmp/slow.deb >/tmp/log 2>&1 & sleep 0.5");
    let document = desired("lab1", &json!([{"id": "p", "packages": {"present": ["jq"]}}]));
    let begun = Instant::now();
    host.apply(&document).expect(0);
    assert!(begun.elapsed() > Duration::from_secs(1), "the lock was not held");
    assert_eq!(
        host.exec("jq --version >/dev/null && echo there; dpkg-query -W -f='${Status}' slow"),
        "there\ninstall ok installed"
    );
}

/// The host cannot start the work: nothing was begun, and nobody who asks for the run later waits for it.
#[test]
fn a_run_that_is_never_started_is_over() {
    let Some(host) = Lab::boot() else { return };
    host.exec("printf '#!/bin/sh\\nexit 1\\n' >/usr/local/bin/systemd-run; chmod 755 /usr/local/bin/systemd-run");
    // systemd answers by itself; without its socket there is its program.
    host.exec("mv /run/systemd/private /run/systemd/away");
    let failed = host.apply(&version("a")).expect(69).json();
    assert!(failed["error"].to_string().contains("systemd-run"), "{failed}");
    let asked = host.call(&["attach", "lab1"], "").expect(69);
    assert!(asked.stderr.contains("systemd-run"), "{}", asked.stderr);
    host.exec("rm /usr/local/bin/systemd-run");
    host.apply(&version("a")).expect(0);
    assert_eq!(shown(&host), "a");
    host.exec("mv /run/systemd/away /run/systemd/private");
    host.apply(&version("b")).expect(0);
    assert_eq!(shown(&host), "b");
}

/// Runs are named by the clock, and nothing else of them depends on it: windows are counted by the time since the boot. So a
/// clock that ran ahead and was put right leaves a run behind whose name sorts after all later ones; a clock that is put back
/// does the same. (That lists of packages from the future are fetched anew: engine/item/packages.rs.)
#[test]
fn a_wrong_clock_keeps_no_run_from_going_back() {
    let Some(host) = Lab::boot() else { return };
    host.apply(&version("a")).expect(0);
    host.exec("cd /var/lib/plumbline/runs && r=$(ls | tail -1) && mv $r 20991231T000000Z-ffff && sed -i s/$r/20991231T000000Z-ffff/g 20991231T000000Z-ffff/run.json");
    let mut locks_out = version("b");
    locks_out["items"].as_array_mut().unwrap().push(json!({"id": "s", "notify": ["reload:ssh.service"],
        "file": {"path": "/etc/ssh/sshd_config.d/00-x.conf", "content": "PubkeyAcceptedAlgorithms rsa-sha2-512\n"}}));
    let back = host.call(&["apply", "--confirm-timeout", "3s"], &locks_out.to_string()).expect(3).json();
    assert_eq!(back["outcome"], "rolled_back", "{back}");
    settled(&host);
    assert_eq!(shown(&host), "a");
    let done = host.apply(&version("b")).expect(0).json();
    host.call(&["rollback", "lab1", done["run"].as_str().unwrap()], "").expect(0);
    settled(&host);
    assert_eq!(shown(&host), "a");
}

#[test]
fn ways_that_others_can_bend() {
    let Some(host) = Lab::boot() else { return };
    host.exec("useradd -m mallory; su mallory -c 'ln -s /etc /home/mallory/etc; ln -s /etc/shadow /home/mallory/file; mkdir -m 777 /home/mallory/open'; ln -s /run /srv/run");
    let before = host.exec("sha256sum /etc/shadow /etc/passwd; ls -l /etc/shadow");
    for path in ["/home/mallory/etc/owned", "/home/mallory/file", "/home/mallory/open/x", "/home/mallory/file/x"] {
        let document = desired(
            "lab1",
            &json!([
            {"id": "a", "file": {"path": "/etc/first", "content": "new"}},
            {"id": "b", "file": {"path": path, "content": "bent"}}]),
        );
        let refused = host.apply(&document);
        assert_eq!(refused.code, 76, "{path}: {}", refused.stdout);
    }
    assert_eq!(host.exec("sha256sum /etc/shadow /etc/passwd; ls -l /etc/shadow"), before);
    assert_eq!(host.exec("ls /etc/owned /etc/first 2>/dev/null"), "");
    // A link of root's is followed.
    host.apply(&desired("lab1", &json!([{"id": "a", "file": {"path": "/srv/run/through", "content": "x"}}]))).expect(0);
    assert_eq!(host.exec("cat /run/through"), "x");
}

/// An apply that takes longer than the window must not trip over its own timer.
#[test]
fn work_that_takes_longer_than_the_window() {
    let Some(host) = Lab::boot() else { return };
    let document = desired(
        "lab1",
        &json!([
        {"id": "s", "notify": ["reload:ssh.service"], "file": {"path": "/etc/ssh/sshd_config.d/00-x.conf", "content": "X11Forwarding no\n"}},
        {"id": "c", "command": {"argv": ["sh", "-c", "sleep 5; touch /srv/made"], "creates": "/srv/made"}}]),
    );
    let result = host.call(&["apply", "--confirm-timeout", "4s"], &document.to_string()).expect(0).json();
    assert!(result["access_proof"].is_string(), "{result}");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(host.exec("cat /etc/ssh/sshd_config.d/00-x.conf; ls /var/lib/plumbline/pending"), "X11Forwarding no");
}

/// A stop asked for by a person leaves whole steps, with all that they owe.
#[test]
fn an_interrupted_apply_owes_nothing() {
    let Some(host) = Lab::boot() else { return };
    host.apply(&version("a")).expect(0);
    let child = begin(&host, &version("b"));
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end && host.exec("cat /run/step7") != "b" {
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    settled(&host);
    if result["outcome"] == "interrupted" {
        // The unit has read what is there now.
        assert_eq!(host.exec("cat /run/shown"), host.exec("cat /srv/v/f0"), "{result}");
    }
    host.apply(&version("b")).expect(0);
    assert_eq!(shown(&host), "b");
}
