//! Hosts that are not the usual ones: busybox without systemd, the next Debian, mounts that forbid programs, sshd behind a
//! socket, other ways to become root.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::lab::Lab;
use crate::{desired, full_tier, run, status};

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
}

#[test]
fn mounts_that_forbid_programs() {
    let Some(lab) = Lab::boot() else { return };
    lab.exec("mkdir -p /var/lib/plumbline; mount -t tmpfs -o noexec,mode=711 tmpfs /var/lib/plumbline; mount -t tmpfs -o noexec tmpfs /tmp; mount -o remount,noexec /run");
    let document = desired("lab1", &json!([{"id": "a", "file": {"path": "/etc/made", "content": "x"}}]));
    lab.apply(&document).expect(0);
    assert_eq!(lab.apply(&document).expect(0).json()["changed"], false);
    assert_eq!(lab.exec("ls /usr/local/lib/plumbline/bin | wc -l"), "1");
    // A tool is run from memory.
    lab.call(&["run", "lab1", "--", "host-provision-helper", "probe"], "").expect(0);
}

#[test]
fn becoming_root_with_a_password_is_said_in_words() {
    let Some(lab) = Lab::boot() else { return };
    lab.exec("useradd -m ops; cp -r /root/.ssh /home/ops/; chown -R ops:ops /home/ops/.ssh; echo 'ops ALL=(ALL) ALL' >/etc/sudoers.d/ops");
    let target = format!("ssh://ops@{}:22", lab.address());
    let (inventory, key) = (lab.inventory.path().to_str().unwrap(), lab.document["key"].as_str().unwrap());
    let call =
        |how: &str| run(&["facts", "lab1", "--hosts", inventory, "--target", &target, "-i", key, "--become", how], "");
    let refused = call("sudo").expect(77);
    assert!(refused.stderr.contains("without a password") && refused.stderr.contains("NOPASSWD"), "{}", refused.stderr);
    let absent = call("doas").expect(69);
    assert!(absent.stderr.contains("has no doas"), "{}", absent.stderr);
    if !full_tier() {
        return;
    }
    lab.exec("apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq opendoas; echo 'permit ops as root' >/etc/doas.conf");
    if lab.exec("command -v doas").is_empty() {
        eprintln!("skipped: doas (install: the lab needs its way out for the package opendoas)");
        return;
    }
    let refused = call("doas").expect(77);
    assert!(refused.stderr.contains("without a password") && refused.stderr.contains("nopass"), "{}", refused.stderr);
    lab.exec("echo 'permit nopass ops as root' >/etc/doas.conf");
    call("doas").expect(0);
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
