//! Hosts that are not the usual ones: busybox without systemd, the next Debian, mounts that forbid programs, sshd behind a
//! socket, other ways to become root.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::lab::Lab;
use crate::{Ran, desired, full_tier, run, status};

#[test]
fn a_host_without_systemd_bash_or_dpkg() {
    let Some(lab) = Lab::up(&["1", "--root", "busybox", "--offline"]) else { return };
    let facts = lab.call(&["facts", "lab1"], "").expect(0).json();
    assert_eq!((facts["os_id"].as_str(), facts["init"].as_str()), (Some("busybox"), Some("init")));
    let key = std::fs::read_to_string(format!("{}.pub", lab.document["key"].as_str().unwrap())).unwrap();
    let document = |shell: &str, more: Value| {
        let mut items = json!([
            {"id": "g", "stage": "base", "group": {"name": "apps", "gid": 700}},
            {"id": "sys", "stage": "base", "user": {"name": "daemon1", "system": true, "home": "/srv/d"}},
            {"id": "u", "stage": "base", "user": {"name": "ops", "groups": ["apps"], "shell": shell, "comment": "Operator"}},
            {"id": "k", "stage": "base", "authorized_keys": {"user": "ops", "keys": [key.trim()]}},
            {"id": "h", "stage": "base", "hostname": {"name": "alp"}},
            {"id": "d", "directory": {"path": "/srv/app", "owner": "ops", "group": "apps", "mode": "2770"}},
            {"id": "f", "notify": ["run:note"], "file": {"path": "/srv/app/conf", "content": "x\n", "owner": "ops", "group": "apps", "mode": "0640"}},
            {"id": "l", "symlink": {"path": "/etc/app", "target": "/srv/app"}},
            {"id": "c", "command": {"argv": ["touch", "/srv/app/made"], "creates": "/srv/app/made", "user": "ops"}},
            {"id": "note", "command": {"argv": ["sh", "-c", "echo ran >>/tmp/noted"], "notified_only": true}}
        ]);
        items.as_array_mut().unwrap().extend(more.as_array().unwrap().iter().cloned());
        desired("lab1", &items)
    };
    let first = document("/bin/sh", json!([]));
    let plan = lab.call(&["plan"], &first.to_string()).expect(0).json();
    assert_eq!(plan["guarded"], true);
    lab.apply(&plan).expect(0);
    assert_eq!(
        lab.exec("stat -c '%U %G %a' /srv/app /srv/app/conf /srv/app/made; cat /tmp/noted; hostname; id -Gn ops; grep daemon1 /etc/passwd | cut -d: -f6,7; ls /var/lib/plumbline/pending"),
        "ops apps 2770\nops apps 640\nops apps 644\nran\nalp\nops apps\n/srv/d:/usr/sbin/nologin"
    );
    assert_eq!(lab.apply(&first).expect(0).json()["changed"], false);
    lab.call(&["plan", "--check"], &first.to_string()).expect(0);
    // The new user gets in, and is not root.
    let target = format!("ssh://ops@{}:22", lab.address());
    let inventory = lab.inventory.path().to_str().unwrap();
    let private = lab.document["key"].as_str().unwrap();
    let small = desired("lab1", &json!([{"id": "a", "file": {"path": "/etc/small", "content": "x"}}])).to_string();
    let args = ["apply", "--only", "a", "--hosts", inventory, "--target", &target, "-i", private];
    let denied = run(&args, &small).expect(77);
    assert!(denied.stderr.contains("become"), "{}", denied.stderr);
    let absent =
        run(&["facts", "lab1", "--hosts", inventory, "--target", &target, "-i", private, "--become", "doas"], "")
            .expect(69);
    assert!(absent.stderr.contains("has no doas"), "{}", absent.stderr);
    // busybox cannot change a user; we can.
    lab.apply(&document("/bin/ash", json!([]))).expect(0);
    assert_eq!(lab.exec("grep ^ops: /etc/passwd | cut -d: -f5-"), "Operator:/home/ops:/bin/ash");

    // What the host cannot have is refused in words, with the place in the document, and changes nothing.
    for (item, code, words) in [
        (json!({"id": "x", "unit": {"name": "a.service", "state": "started"}}), 69, "does not run systemd"),
        (json!({"id": "x", "packages": {"present": ["curl"]}}), 69, "no dpkg"),
        (
            json!({"id": "x", "notify": ["restart:a.service"], "file": {"path": "/etc/x", "content": "x"}}),
            69,
            "does not run systemd",
        ),
    ] {
        let refused = lab.call(&["plan"], &document("/bin/ash", json!([item])).to_string()).expect(code);
        assert!(refused.stderr.contains(words) && refused.stderr.contains("/items/10"), "{}", refused.stderr);
    }

    // The work goes on without its controller.
    let slow = document(
        "/bin/ash",
        json!([{"id": "slow", "command": {"argv": ["sh", "-c", "sleep 2; touch /srv/slept"], "creates": "/srv/slept"}}]),
    );
    let mut controller = crate::controller()
        .args(["apply", "--hosts", inventory, "-i", private])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut controller.stdin.take().unwrap(), slow.to_string().as_bytes()).unwrap();
    for _ in 0..100 {
        if !lab.exec("pgrep -f 'sleep 2'").is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    controller.kill().unwrap();
    controller.wait().unwrap();
    let ended = lab.call(&["attach", "lab1"], "").expect(0).json();
    assert_eq!(ended["outcome"], "done");
    assert_eq!(lab.exec("ls /srv/slept"), "/srv/slept");
    let ran = lab.call(&["run", "lab1", "--installed", "--", "sh", "-c", "cat; exit 7"], "through\n").expect(7);
    assert_eq!(ran.stdout, "through\n");

    // A run that is not proven goes back here too, by a process of its own.
    lab.exec("echo 'old' >/etc/doas.conf");
    let risky = document("/bin/ash", json!([{"id": "r", "file": {"path": "/etc/doas.conf", "content": "new\n"}}]));
    lab.apply(&risky).expect(0);
    lab.call(&["rollback", "lab1"], "").expect(0);
    assert_eq!(lab.exec("cat /etc/doas.conf"), "old");
    // Undeclared: files and links go, accounts stay until somebody consents.
    lab.apply(&desired("lab1", &json!([]))).expect(0);
    assert_eq!(
        lab.exec("ls /etc/app /srv/app/conf 2>/dev/null; id -un ops; grep -c . /home/ops/.ssh/authorized_keys"),
        "ops\n0"
    );
    let drop = lab
        .call(
            &["apply", "--allow", "drop:user/ops", "--allow", "drop:group/apps"],
            &desired("lab1", &json!([])).to_string(),
        )
        .expect(0)
        .json();
    assert_eq!(status(&drop, "ops"), "done", "{drop}");
    assert_eq!(lab.exec("id ops 2>/dev/null; grep -c apps /etc/group"), "0");

    // Its mounts forbid programs: from memory. busybox calls a program executable also where a mount forbids it.
    lab.exec("for p in /var/lib/plumbline /usr/local/lib/plumbline /opt /usr/lib/plumbline; do mkdir -p $p; mount -t tmpfs -o noexec,mode=755 tmpfs $p; done");
    let small =
        |content: &str| desired("lab1", &json!([{"id": "a", "file": {"path": "/etc/doas.conf", "content": content}}]));
    let proven = lab.apply(&small("permit root\n")).expect(0).json();
    assert!(proven["access_proof"].is_string(), "{proven}");
    let left = left_of_programs(&lab);
    assert_eq!(lab.apply(&small("permit root\n")).expect(0).json()["changed"], false);
    assert_eq!(left_of_programs(&lab), left);
    assert!(left.contains(" 600 ./") && left.ends_with("host-provision-helper\n0\n0"), "{left}");
    lab.call(&["run", "lab1", "--", "host-provision-helper", "probe"], "").expect(0);
}

#[test]
fn mounts_that_forbid_programs() {
    let Some(lab) = Lab::boot() else { return };
    lab.exec("mkdir -p /var/lib/plumbline; mount -t tmpfs -o noexec,mode=711 tmpfs /var/lib/plumbline; mount -t tmpfs -o noexec tmpfs /tmp; mount -o remount,noexec /run");
    let document = desired("lab1", &json!([{"id": "a", "file": {"path": "/etc/made", "content": "x"}}]));
    lab.apply(&document).expect(0);
    assert_eq!(lab.apply(&document).expect(0).json()["changed"], false);
    assert_eq!(lab.exec("ls /usr/local/lib/plumbline/bin | wc -l"), "1");
    lab.call(&["run", "lab1", "--", "host-provision-helper", "probe"], "").expect(0);
    // A unit can start a tool too: it lies where programs may.
    let with_tool = desired(
        "lab1",
        &json!([
            {"id": "a", "file": {"path": "/etc/made", "content": "x"}},
            {"id": "t", "tool": {"name": "host-provision-helper", "path": "/usr/local/bin/our-tool"}},
            {"id": "u", "file": {"path": "/etc/systemd/system/ours.service", "content": "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/local/bin/our-tool probe\n"}},
            {"id": "s", "unit": {"name": "ours.service", "state": "started"}}
        ]),
    );
    lab.apply(&with_tool).expect(0);
    assert!(lab.exec("readlink /usr/local/bin/our-tool").starts_with("/usr/local/lib/plumbline/bin/"));

    // Neither there nor in the next places: from memory, which is the next test. A tool for units lies nowhere then.
    for path in ["/usr/local/lib/plumbline", "/opt", "/usr/lib/plumbline"] {
        lab.exec(&format!("rm -rf {path}/*; mkdir -p {path}; mount -t tmpfs -o noexec,mode=755 tmpfs {path}"));
    }
    let refused = lab.call(&["plan"], &with_tool.to_string()).expect(69);
    for words in ["/usr/local/lib/plumbline/bin", "noexec", "/items/1"] {
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
    assert_eq!(lab.exec("ls -A /opt /usr/lib/plumbline /usr/local/lib/plumbline | grep -c hel"), "0");
    // Nor that.
    lab.exec("rm -r /var/lib/plumbline/bin; mount --bind /bin/false /usr/bin/unshare");
    let refused = lab.call(&["facts", "lab1"], "").expect(69);
    for words in ["/usr/local/lib/plumbline/bin", "noexec", "unshare"] {
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
}

/// What lies where a host's programs lie, with the number of the file, and what runs or is mounted there.
fn left_of_programs(lab: &Lab) -> String {
    lab.exec(
        "cd /var/lib/plumbline/bin; find . ! -type d | sort | xargs stat -c '%i %a %n'; grep -c plumbline/bin /proc/mounts; \
         ls -l /proc/[0-9]*/exe 2>/dev/null | grep -c deleted; find /usr/local/lib/plumbline /opt /usr/lib/plumbline -mindepth 1 2>/dev/null",
    )
}

/// A host as one that is hardened may be: nothing can be written where programs start, and nothing starts where it can be written.
/// The work is done from memory, over a loss of power too, and leaves no more behind than elsewhere.
fn works_from_memory(lab: &Lab) {
    let file =
        |content: &str| json!({"id": "a", "notify": ["run:note"], "file": {"path": "/etc/made", "content": content}});
    let note = json!({"id": "note", "command": {"argv": ["sh", "-c", "[ /proc/self/ns/mnt -ef /proc/1/ns/mnt ] && echo home >/etc/mounts"], "notified_only": true}});
    let document = desired("lab1", &json!([file("x"), note]));
    lab.apply(&document).expect(0);
    // The work is done in the host's own mounts.
    assert_eq!(lab.exec("cat /etc/mounts"), "home");
    let left = left_of_programs(lab);
    assert!(left.contains("600 ./") && left.ends_with("host-provision-helper\n0\n0"), "{left}");
    // It is there already, and is not sent again.
    assert_eq!(lab.apply(&document).expect(0).json()["changed"], false);
    assert_eq!(left_of_programs(lab), left);
    // Tools too, with their streams.
    lab.call(&["run", "lab1", "--", "host-provision-helper", "probe"], "").expect(0);
    let ran = lab.call(&["run", "lab1", "--installed", "--", "sh", "-c", "cat; exit 7"], "through\n").expect(7);
    assert_eq!(ran.stdout, "through\n");
    // A guarded change is proven.
    let sudoers =
        json!({"id": "d", "file": {"path": "/etc/sudoers.d/x", "mode": "0440", "content": "Defaults env_reset\n"}});
    let proven = lab.apply(&desired("lab1", &json!([file("x"), note, sudoers]))).expect(0).json();
    assert!(proven["access_proof"].as_str().unwrap().starts_with("ssh://root@"), "{proven}");
    // One that cannot be proven goes back by itself: nobody gets through this firewall to the new port.
    let late = lab.apply_in_vain(&crate::lab::port_move("9")).expect(3).json();
    assert_eq!(late["outcome"], "rolled_back", "{late}");
    assert_eq!(lab.exec("ls /var/lib/plumbline/pending"), "");
}

#[test]
fn the_helper_runs_from_memory() {
    let Some(lab) = Lab::boot() else { return };
    // /etc keeps its room; all else of / is read-only. What can be written lets nothing start. Over a reboot too.
    lab.exec(
        "mkdir -p /var/lib/plumbline; for d in /etc /var /tmp /root; do echo \"$d $d none bind 0 0\"; done >>/etc/fstab; \
         printf '[Unit]\nDefaultDependencies=no\nAfter=local-fs.target\nBefore=sysinit.target plumbline-recover.service\n[Service]\nType=oneshot\n\
         ExecStart=/bin/sh -c \"for d in /run /dev /dev/shm /run/lock; do mount -o remount,noexec $$d; done; for d in /var /tmp /root; do mount -o remount,bind,noexec $$d; done; mount -o remount,bind,ro /\"\n\
         [Install]\nWantedBy=sysinit.target\n' >/etc/systemd/system/harden.service; systemctl enable harden",
    );
    crate::lab::lab(&["--lab", &lab.name, "kill", "1"]);
    crate::lab::lab(&["--lab", &lab.name, "boot", "1"]);
    assert_eq!(lab.exec("touch /opt/x /usr/x 2>/dev/null; cp /bin/true /var/lib/plumbline/; /var/lib/plumbline/true 2>/dev/null; echo $?; rm /var/lib/plumbline/true; systemctl is-active harden"), "126\ninactive");
    works_from_memory(&lab);
    crate::lab::loses_power_inside_the_window(&lab);
}

/// A lab host whose user `ops` is asked for a password by sudo.
fn sudoer(lab: &Lab) {
    let password = PASSWORD.replace('\'', "'\\''");
    lab.exec(&format!(
        "useradd -m -s /bin/bash ops; cp -r /root/.ssh /home/ops/; chown -R ops:ops /home/ops/.ssh; printf '%s\\n' 'ops:{password}' | chpasswd; \
         echo 'ops ALL=(ALL) ALL' >/etc/sudoers.d/ops"
    ));
}

const PASSWORD: &str = "s3cret of '\"$ops";

/// Calls the program as a script does, without a terminal, as the user `ops` who becomes root by `how`.
fn as_ops(lab: &Lab, how: &str, words: &[&str], password: Option<&str>, stdin: &str) -> Ran {
    let target = format!("ssh://ops@{}:22", lab.address());
    let (inventory, key) = (lab.inventory.path().to_str().unwrap(), lab.document["key"].as_str().unwrap());
    let (words, rest) = words.split_at(words.iter().position(|word| *word == "--").unwrap_or(words.len()));
    let flags = ["--hosts", inventory, "--target", &target, "-i", key, "--become", how];
    let mut command = Command::new("setsid");
    command.args(["--wait", env!("CARGO_BIN_EXE_host-provision")]).args(words).args(flags).args(rest);
    command.env("HOME", "/nonexistent").env_remove("SSH_AUTH_SOCK").env_remove("BECOME_PASSWORD");
    command.env("PLUMBLINE_LIB", crate::library());
    if let Some(password) = password {
        command.env("BECOME_PASSWORD", password);
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: output.status.code().unwrap_or(-1), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

#[test]
fn becoming_root_with_a_password() {
    let Some(lab) = Lab::boot() else { return };
    sudoer(&lab);
    // Nobody gives one.
    let refused = as_ops(&lab, "sudo", &["facts", "lab1"], None, "").expect(77);
    for word in ["without a password", "NOPASSWD", "--become-password-file"] {
        assert!(refused.stderr.contains(word), "{}", refused.stderr);
    }
    // A wrong one is tried once, and no command ever gets it for its input.
    let failures = || lab.exec("journalctl --no-pager -t sudo | grep -c 'authentication failure'");
    assert_eq!(failures(), "0");
    let wrong = as_ops(&lab, "sudo", &["facts", "lab1"], Some("wr0ng-one"), "").expect(77);
    assert!(wrong.stderr.contains("does not take the password"), "{}", wrong.stderr);
    assert_eq!(failures(), "1");

    // The right one, through all that is done on a host: the helper is sent, a large document, a proof of access, a tool.
    let large = desired(
        "lab1",
        &json!([
            {"id": "a", "file": {"path": "/etc/large", "content": "0123456789abcdef".repeat(40_000)}},
            {"id": "s", "file": {"path": "/etc/sudoers.d/more", "mode": "0440", "content": "Defaults env_reset\n", "validate": ["visudo", "-cf", "%s"]}}
        ]),
    );
    let applied = as_ops(&lab, "sudo", &["apply"], Some(PASSWORD), &large.to_string()).expect(0).json();
    assert!(applied["access_proof"].as_str().unwrap().starts_with("ssh://ops@"), "{applied}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{PASSWORD}\nsecond line\n")).unwrap();
    let by_file = ["apply", "--become-password-file", file.path().to_str().unwrap()];
    assert_eq!(as_ops(&lab, "sudo", &by_file, None, &large.to_string()).expect(0).json()["changed"], false);
    // Not in the arguments or the environment of any process, nor in what is written down.
    let look = "grep -lazE 's3cre[t]' /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null; cat";
    let ran =
        as_ops(&lab, "sudo", &["run", "lab1", "--installed", "--", "sh", "-c", look], Some(PASSWORD), "through\n");
    assert_eq!(ran.expect(0).stdout, "through\n");
    assert_eq!(
        lab.exec("journalctl --no-pager | grep -aE 's3cre[t]|wr0ng-on[e]'; grep -rlaE 's3cre[t]|wr0ng-on[e]' /var/lib/plumbline /run/plumbline /var/log /tmp /etc"),
        ""
    );
    // Nor does a gate get it, which is somebody else's program.
    let other = large.to_string().replace("/etc/large", "/etc/larger");
    let gate = ["apply", "--gate", "test -z \"$BECOME_PASSWORD\""];
    assert_eq!(as_ops(&lab, "sudo", &gate, Some(PASSWORD), &other).expect(0).json()["outcome"], "done");
    // By the system's ssh too.
    as_ops(&lab, "sudo", &["facts", "lab1", "--transport", "openssh"], Some(PASSWORD), "").expect(0);
    assert_eq!(failures(), "1");

    // Where none is asked for, one that is given does no harm.
    lab.exec("echo 'ops ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/ops");
    as_ops(&lab, "sudo", &["apply"], Some(PASSWORD), &other).expect(0);
    // No right at all is something else than a wrong password.
    lab.exec("rm /etc/sudoers.d/ops");
    let nobody = as_ops(&lab, "sudo", &["facts", "lab1"], Some(PASSWORD), "").expect(77);
    assert!(nobody.stderr.contains("may not become root by sudo"), "{}", nobody.stderr);
}

#[test]
fn a_password_is_asked_for_at_the_terminal() {
    let Some(lab) = Lab::boot() else { return };
    sudoer(&lab);
    let target = format!("ssh://ops@{}:22", lab.address());
    let (inventory, key) = (lab.inventory.path().to_str().unwrap(), lab.document["key"].as_str().unwrap());
    let line = format!(
        "{} facts lab1 --output json --hosts {inventory} --target {target} -i {key} --become sudo",
        env!("CARGO_BIN_EXE_host-provision")
    );
    let answered = |password: &str| {
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .env("HOME", "/nonexistent")
            .env("PLUMBLINE_LIB", crate::library())
            .env_remove("BECOME_PASSWORD")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut screen = child.stdout.take().unwrap();
        let mut shown = Vec::new();
        let mut piece = [0_u8; 4096];
        // A person types once the question stands there.
        while !String::from_utf8_lossy(&shown).contains("for sudo: ") {
            match std::io::Read::read(&mut screen, &mut piece) {
                Ok(length @ 1..) => shown.extend(&piece[..length]),
                _ => panic!("nobody asked: {}", String::from_utf8_lossy(&shown)),
            }
        }
        std::thread::sleep(Duration::from_millis(200));
        let mut keyboard = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut keyboard, format!("{password}\n").as_bytes()).unwrap();
        std::io::Read::read_to_end(&mut screen, &mut shown).unwrap();
        drop(keyboard);
        (child.wait().unwrap().code(), String::from_utf8_lossy(&shown).into_owned())
    };
    let (code, shown) = answered(PASSWORD);
    assert!(code == Some(0) && shown.contains("host.facts/v1") && !shown.contains("s3cret"), "{code:?} {shown}");
    let (code, shown) = answered("typo");
    assert!(code == Some(77) && shown.contains("does not take the password"), "{code:?} {shown}");

    // A server as its installer leaves it: no key yet, one password for the login and for sudo.
    lab.exec("rm -r /home/ops/.ssh");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), PASSWORD).unwrap();
    let password = file.path().to_str().unwrap();
    let facts = as_ops(&lab, "sudo", &["bootstrap", "lab1", "--password-file", password], None, "").expect(0).json();
    assert_eq!(facts["os_id"], "debian");
}

#[test]
fn becoming_root_by_doas() {
    let Some(lab) = Lab::boot() else { return };
    sudoer(&lab);
    let call = || as_ops(&lab, "doas", &["facts", "lab1"], Some(PASSWORD), "");
    let absent = call().expect(69);
    assert!(absent.stderr.contains("has no doas"), "{}", absent.stderr);
    if !full_tier() {
        return;
    }
    lab.exec("apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq opendoas; echo 'permit ops as root' >/etc/doas.conf");
    if lab.exec("command -v doas").is_empty() {
        eprintln!("skipped: doas (install: the lab needs its way out for the package opendoas)");
        return;
    }
    // Without a password it says what can be done.
    let refused = as_ops(&lab, "doas", &["facts", "lab1"], None, "").expect(77);
    for words in ["without a password", "permit nopass", "--become-password-file"] {
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
    // A wrong one is tried once.
    let failures = || lab.exec("journalctl --no-pager | grep -c 'pam_unix(doas:auth): authentication failure'");
    let wrong = as_ops(&lab, "doas", &["facts", "lab1"], Some("wr0ng-one"), "").expect(77);
    assert!(wrong.stderr.contains("doas does not take the password"), "{}", wrong.stderr);
    assert_eq!(failures(), "1");
    // The right one, through all that is done on a host.
    let large = desired(
        "lab1",
        &json!([
            {"id": "a", "file": {"path": "/etc/large", "content": "0123456789abcdef".repeat(40_000)}},
            {"id": "s", "file": {"path": "/etc/sudoers.d/more", "mode": "0440", "content": "Defaults env_reset\n"}}
        ]),
    );
    let applied = as_ops(&lab, "doas", &["apply"], Some(PASSWORD), &large.to_string()).expect(0).json();
    assert!(applied["access_proof"].as_str().unwrap().starts_with("ssh://ops@"), "{applied}");
    let look = "grep -lazE 's3cre[t]' /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null; cat";
    let bytes: String = (0..=255_u8).map(char::from).collect();
    let ran = as_ops(&lab, "doas", &["run", "lab1", "--installed", "--", "sh", "-c", look], Some(PASSWORD), &bytes);
    assert_eq!(ran.expect(0).stdout, bytes);
    as_ops(&lab, "doas", &["facts", "lab1", "--transport", "openssh"], Some(PASSWORD), "").expect(0);
    let written = "journalctl --no-pager | grep -aE 's3cre[t]|wr0ng-on[e]'; grep -rlaE 's3cre[t]|wr0ng-on[e]' /var/lib/plumbline /run/plumbline /var/log /tmp /etc";
    assert_eq!(lab.exec(written), "");
    assert_eq!(lab.exec("pgrep -x script; ls /tmp | grep -c ^tmp"), "0");
    assert_eq!(failures(), "1");
    // A host that cannot make a terminal.
    lab.exec("mv /usr/bin/script /usr/bin/script.away");
    let refused = call().expect(77);
    assert!(refused.stderr.contains("only at a terminal") && refused.stderr.contains("nopass"), "{}", refused.stderr);
    // Where none is asked for, one that is given does no harm.
    lab.exec("echo 'permit nopass ops as root' >/etc/doas.conf");
    call().expect(0);
    as_ops(&lab, "doas", &["facts", "lab1"], None, "").expect(0);
    lab.exec("echo 'permit nopass root as ops' >/etc/doas.conf");
    let nobody = call().expect(77);
    assert!(nobody.stderr.contains("may not become root by doas"), "{}", nobody.stderr);
}

/// Moves the port of a host whose sshd is started by a socket, as Ubuntu has it since 22.10.
fn socket_moves(lab: &Lab) {
    lab.exec("systemctl disable --now ssh.service; systemctl enable --now ssh.socket");
    assert!(lab.logs_in(22));
    let mut document = desired(
        "lab1",
        &json!([
            {"id": "socket", "stage": "base", "notify": ["restart:ssh.socket"], "file": {"path": "/etc/systemd/system/ssh.socket.d/zz-port.conf",
                "content": "[Socket]\nListenStream=\nListenStream=2222\n"}},
            {"id": "sshd", "stage": "base", "notify": ["reload:ssh.service", "restart:ssh.socket"], "file": {"path": "/etc/ssh/sshd_config.d/00-port.conf", "content": "Port 2222\n"}}
        ]),
    );
    document["access"] = json!({"ssh_ports": [2222], "login_users": ["root"]});
    let result = lab.apply(&document).expect(0).json();
    assert!(result["access_proof"].as_str().unwrap().ends_with(":2222"), "{result}");
    assert!(lab.logs_in(2222) && !lab.logs_in(22));
    assert_eq!(lab.exec("systemctl is-active ssh.socket"), "active");
}

/// A usual little server on another release: every kind of item that the release could see differently.
fn another_release(recipe: &str, version: &str) {
    if !full_tier() {
        return;
    }
    let Some(mut lab) = Lab::up(&["1", "--root", recipe]) else { return };
    let key = lab.host()["host_key"].clone();
    lab.write_inventory(&[2222, 22], &key);
    let facts = lab.call(&["facts", "lab1"], "").expect(0).json();
    assert_eq!(facts["os_version"], version);
    let document = desired(
        "lab1",
        &json!([
            {"id": "p", "stage": "base", "packages": {"present": ["jq", "tzdata"]}},
            {"id": "l", "stage": "base", "locale": {"lang": "C.UTF-8"}},
            {"id": "z", "stage": "base", "timezone": {"name": "Europe/Berlin"}},
            {"id": "h", "stage": "base", "hostname": {"name": "other"}},
            {"id": "u", "stage": "base", "user": {"name": "app", "linger": true}},
            {"id": "m", "stage": "base", "mount": {"path": "/srv/data", "device": "tmpfs", "fstype": "tmpfs"}},
            {"id": "f", "file": {"path": "/etc/systemd/system/app.service", "content": "[Unit]\nRequiresMountsFor=/srv/data\n[Service]\nUser=app\nExecStart=/bin/sleep 1000\n"}},
            {"id": "s", "unit": {"name": "app.service", "state": "started"}},
            {"id": "uf", "file": {"path": "/etc/systemd/user/mine.service", "content": "[Service]\nExecStart=/bin/sleep 1000\n"}},
            {"id": "us", "unit": {"name": "mine.service", "scope": "user:app", "state": "started"}}
        ]),
    );
    lab.apply(&document).expect(0);
    assert_eq!(
        lab.exec(
            "systemctl is-active app srv-data.mount; hostname; date +%Z | cut -c1-3; jq -n 1; pgrep -cu app sleep"
        ),
        "active\nactive\nother\nCET\n1\n2"
    );
    assert_eq!(lab.apply(&document).expect(0).json()["changed"], false);
    // 22.04 starts sshd by itself; its socket is of another kind.
    if version != "22.04" {
        socket_moves(&lab);
    }
}

#[test]
fn debian_13() {
    another_release("debian-13", "13");
}

#[test]
fn ubuntu_22_04() {
    another_release("ubuntu-22.04", "22.04");
}

#[test]
fn ubuntu_24_04() {
    another_release("ubuntu-24.04", "24.04");
}
