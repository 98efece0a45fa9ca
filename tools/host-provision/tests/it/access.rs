//! The owner's way in: what is refused in advance, and what goes back because a fresh login does not work.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::faults::{Dice, full};
use crate::lab::Lab;
use crate::{desired, run};

fn sshd(text: &str) -> Value {
    json!({"id": "sshd", "stage": "base", "notify": ["reload:ssh.service"],
        "file": {"path": "/etc/ssh/sshd_config.d/00-plumbline.conf", "content": text}})
}

fn ruleset(rules: &str) -> Value {
    json!({"id": "nft", "stage": "base", "notify": ["reload:nftables.service"], "file": {"path": "/etc/nftables.conf", "content":
        format!("table inet plumbline\ndelete table inet plumbline\ntable inet plumbline {{\n chain input {{\n  type filter hook input priority 0; policy drop;\n{rules}\n }}\n}}\n")}})
}

fn with_access(users: &[&str], items: &Value) -> Value {
    let mut document = desired("lab1", items);
    document["access"] = json!({"ssh_ports": [22], "login_users": users});
    document
}

#[test]
fn what_would_lock_the_owner_out_is_refused_in_advance() {
    // Each of these is refused before any host is spoken to: nothing listens at the target.
    let cases = [
        ("port/22", sshd("Port 2222\n")),
        ("user/root", sshd("PermitRootLogin no\n")),
        ("user/root", sshd("PubkeyAuthentication no\n")),
        ("user/root", sshd("AllowUsers ops@10.0.0.0/8 deploy\n")),
        ("user/root", sshd("DenyUsers r??t\n")),
        ("user/root", sshd("AuthenticationMethods publickey,password\n")),
        ("user/root", sshd("Match User root\n ForceCommand /bin/false\n")),
        ("user/root", sshd("AuthorizedKeysFile none\n")),
        ("address/loopback", sshd("ListenAddress 127.0.0.1\nListenAddress [::1]:22\n")),
        ("port/22", ruleset("tcp dport 443 accept")),
        ("package/openssh-server", json!({"id": "p", "packages": {"absent": ["openssh-server"]}})),
        ("unit/ssh.service", json!({"id": "u", "unit": {"name": "ssh.service", "state": "stopped"}})),
        ("user/root", json!({"id": "u", "user": {"name": "root", "shell": "/usr/sbin/nologin"}})),
        ("user/root", json!({"id": "u", "user": {"name": "root", "presence": "absent"}})),
    ];
    for (thing, item) in cases {
        let document = with_access(&["root"], &json!([item])).to_string();
        for verb in ["plan", "apply"] {
            let ran = run(&[verb, "--target", "ssh://root@127.0.0.1:1", "--log-format", "json"], &document).expect(76);
            let said = format!("{}{}", ran.stdout, ran.stderr);
            assert!(
                said.contains("\"lockout\"") && said.contains(&format!("--allow lockout:{thing}")),
                "{thing}: {said}"
            );
            assert!(said.contains("/items/0"), "no place: {said}");
        }
        // With the consent the host is asked.
        let allow = format!("lockout:{thing}");
        run(&["plan", "--target", "ssh://root@127.0.0.1:1", "--allow", &allow], &document).expect(75);
    }
    // What looks alike and is well.
    let fine = [
        sshd(
            "Port 22\nPort 2222\nPermitRootLogin prohibit-password\nAllowUsers ro*\nAuthenticationMethods publickey,password publickey\n",
        ),
        sshd("Match User backup\n PubkeyAuthentication no\n ForceCommand /bin/false\n"),
        ruleset("tcp dport { 22, 443 } accept"),
        ruleset("tcp dport 20-30 accept"),
        json!({"id": "u", "user": {"name": "app", "shell": "/usr/sbin/nologin"}}),
    ];
    for item in fine {
        let document = with_access(&["root"], &json!([item])).to_string();
        run(&["plan", "--target", "ssh://root@127.0.0.1:1"], &document).expect(75);
    }
}

#[test]
fn keys_are_counted_on_the_host() {
    let Some(host) = Lab::boot() else { return };
    let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGMEqbYl1h5vxqr0CBo3oDSq9ipkTCxUsqMGuiAZxBQh other";
    let mine = host.exec("cat /root/.ssh/authorized_keys").lines().next().unwrap().to_owned();
    let keys = |keys: &[&str]| json!({"id": "k", "stage": "base", "authorized_keys": {"user": "root", "keys": keys, "exclusive": true}});
    // The key in use would be gone.
    let refused = host.apply(&with_access(&["root"], &json!([keys(&[other])]))).expect(76).json();
    assert!(refused["error"]["hint"].as_str().unwrap().contains("lockout:key/root"), "{refused}");
    host.call(&["plan"], &with_access(&["root"], &json!([keys(&[other])])).to_string()).expect(76);
    host.apply(&with_access(&["root"], &json!([keys(&[other, &mine])]))).expect(0);
    // Key-only, but the user who shall log in has no key.
    host.exec("useradd -m ops");
    let only_keys = sshd("PasswordAuthentication no\n");
    let refused = host.apply(&with_access(&["root", "ops"], &json!([only_keys]))).expect(76).json();
    assert!(refused["error"]["message"].as_str().unwrap().contains("ops"), "{refused}");
    let ops = json!({"id": "o", "stage": "base", "authorized_keys": {"user": "ops", "keys": [mine]}});
    host.apply(&with_access(&["root", "ops"], &json!([ops, only_keys, keys(&[&mine])]))).expect(0);
    // A key that is a secret counts only once somebody logged in with it.
    let secret = sshd("PasswordAuthentication no\nAuthorizedKeysFile /run/secrets/rendered/authorized_keys.%u\n");
    host.exec(&format!("mkdir -p /run/secrets/rendered && echo '{other}' >/run/secrets/rendered/authorized_keys.root"));
    host.apply(&with_access(&["root"], &json!([secret]))).expect(76);
    host.exec(&format!("printf '%s\\n' '{other}' '{mine}' >/run/secrets/rendered/authorized_keys.root"));
    host.apply(&with_access(&["root"], &json!([secret]))).expect(0);
    assert!(host.logs_in(22));
}

/// One change that goes wrong, with the consents without which it is refused at once.
fn faulty(dice: &mut Dice) -> (String, Value, Vec<String>) {
    let sshd_lines = [
        "AllowUsers nobody\n",
        "DenyUsers root ops\n",
        "PubkeyAuthentication no\n",
        "ListenAddress 127.0.0.1\n",
        "AuthorizedKeysFile none\n",
        "AuthorizedKeysFile /etc/no/keys\n",
        "Match all\n ForceCommand /bin/false\n",
        "Match Address 10.0.0.0/8\n AllowUsers nobody\n",
        "PubkeyAcceptedAlgorithms rsa-sha2-512\n",
        "Port 2222\n",
        "MaxSessions 0\n",
        "AllowGroups nogroup\n",
        "AuthenticationMethods password\n",
        "ChrootDirectory /var/empty\n",
    ];
    let rules = [
        "tcp dport 443 accept",
        "ct state established accept",
        "ip saddr 192.0.2.0/24 tcp dport 22 accept",
        "iifname \"nope0\" tcp dport 22 accept",
        "tcp dport 22 ct state established accept",
        "tcp dport 22 drop\n tcp dport 22 accept",
    ];
    let allow: Vec<String> = [
        "port/22",
        "user/root",
        "user/ops",
        "key/root",
        "key/ops",
        "address/loopback",
        "unit/ssh.service",
        "package/sudo",
    ]
    .iter()
    .map(|thing| format!("lockout:{thing}"))
    .collect();
    let pick = |dice: &mut Dice, list: &[&str]| {
        let index = dice.below(list.len() as u64) as usize;
        list[index].to_owned()
    };
    let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGMEqbYl1h5vxqr0CBo3oDSq9ipkTCxUsqMGuiAZxBQh other";
    let both = |make: &dyn Fn(&str) -> Value| json!([make("root"), make("ops")]);
    let (name, items) = match dice.below(9) {
        0..3 => {
            let line = pick(dice, &sshd_lines);
            (line.clone(), json!([sshd(&line)]))
        }
        3..5 => {
            let rule = pick(dice, &rules);
            (
                rule.clone(),
                json!([ruleset(&rule), {"id": "nu", "unit": {"name": "nftables.service", "enabled": true, "state": "started"}}]),
            )
        }
        5 => ("shell".into(), both(&|user| json!({"id": user, "user": {"name": user, "shell": "/usr/sbin/nologin"}}))),
        6 => ("home".into(), both(&|user| json!({"id": user, "user": {"name": user, "home": "/nowhere"}}))),
        7 => (
            "keys".into(),
            both(&|user| json!({"id": user, "authorized_keys": {"user": user, "keys": [other], "exclusive": true}})),
        ),
        _ => {
            ("stop".into(), json!([{"id": "u", "unit": {"name": "ssh.service", "state": "stopped", "enabled": false}}]))
        }
    };
    (name.trim().to_owned(), items, allow)
}

#[test]
fn faulty_changes_lock_nobody_out() {
    let Some(host) = Lab::boot() else { return };
    host.exec("useradd -m -s /bin/bash ops; mkdir -p /home/ops/.ssh; cp /root/.ssh/authorized_keys /home/ops/.ssh/; chown -R ops:ops /home/ops; chmod 700 /home/ops/.ssh; echo 'ops ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/ops");
    let state = "sha256sum /etc/passwd /etc/shadow /etc/group /root/.ssh/authorized_keys /home/ops/.ssh/authorized_keys /etc/nftables.conf; ls /etc/ssh/sshd_config.d; nft list ruleset; systemctl is-enabled ssh nftables; systemctl is-active ssh";
    let before = host.exec(state);
    let mut dice = Dice::new(22);
    for round in 0..if full() { 100 } else { 5 } {
        let (name, items, allow) = faulty(&mut dice);
        let mut words: Vec<&str> = vec!["apply", "--confirm-timeout", "3s"];
        for consent in &allow {
            words.extend(["--allow", consent]);
        }
        let target = format!("ssh://ops@{}:22", host.address());
        if dice.below(2) == 0 {
            words.extend(["--target", &target, "--become", "sudo"]);
        }
        let ran = host.call(&words, &with_access(&["root", "ops"], &items).to_string());
        assert_ne!(ran.code, 0, "round {round}, {name}: {} {}", ran.stdout, ran.stderr);
        assert_eq!(ran.json()["outcome"], "rolled_back", "round {round}, {name}: {}", ran.stdout);
        assert!(host.logs_in(22), "round {round}, {name}: root is locked out");
        let key = host.document["key"].as_str().unwrap();
        let inventory = host.inventory.path().to_str().unwrap();
        run(&["facts", "lab1", "--hosts", inventory, "-i", key, "--target", &target, "--become", "sudo"], "").expect(0);
        assert_eq!(host.exec(state), before, "round {round}, {name}");
    }
}

/// The order of a port move: both ports open, the new one proven, the old one closed, the new one proven again. Here
/// systemd listens in the place of sshd.
#[test]
fn the_port_moves_where_a_socket_listens() {
    let Some(mut host) = Lab::boot() else { return };
    host.exec("systemctl disable --now ssh.service; systemctl enable --now ssh.socket");
    assert!(host.logs_in(22));
    let key = host.host()["host_key"].clone();
    host.write_inventory(&[2222, 22], &key);
    let move_to = |port: u16, open: &str| {
        let mut document = desired(
            "lab1",
            &json!([
            {"id": "nft", "stage": "base", "notify": ["reload:nftables.service"], "file": {"path": "/etc/nftables.conf", "content": format!(
                "table inet plumbline\ndelete table inet plumbline\ntable inet plumbline {{\n set ssh_ports {{ type inet_service; elements = {{ {open} }} }}\n chain input {{\n  type filter hook input priority 0; policy drop;\n  ct state established,related accept\n  iif lo accept\n  tcp dport @ssh_ports accept\n }}\n}}\n")}},
            {"id": "nu", "stage": "base", "unit": {"name": "nftables.service", "enabled": true, "state": "started"}},
            {"id": "sshd", "stage": "base", "notify": ["reload:ssh.service", "restart:ssh.socket"],
                "file": {"path": "/etc/ssh/sshd_config.d/00-plumbline.conf", "content": format!("Port {port}\nPasswordAuthentication no\n")}},
            {"id": "sock", "stage": "base", "notify": ["restart:ssh.socket"], "file": {"path": "/etc/systemd/system/ssh.socket.d/zz-plumbline.conf",
                "content": format!("[Socket]\nBindIPv6Only=ipv6-only\nListenStream=\nListenStream=0.0.0.0:{port}\nListenStream=[::]:{port}\n")}}]),
        );
        document["access"] = json!({"ssh_ports": [port], "login_users": ["root"]});
        document
    };
    // A socket that cannot be made: nobody would listen any more.
    let mut twice = move_to(2222, "2222");
    twice["items"][3]["file"]["content"] =
        json!("[Socket]\nListenStream=\nListenStream=0.0.0.0:2222\nListenStream=0.0.0.0:2222\n");
    let back = host.apply(&twice).expect(3).json();
    assert_eq!(back["outcome"], "rolled_back", "{back}");
    assert!(host.logs_in(22));
    // The firewall forgets the new port: back to 22, by the socket.
    let back = host.apply_in_vain(&move_to(2222, "9")).expect(3).json();
    assert_eq!(back["outcome"], "rolled_back", "{back}");
    assert!(back["error"]["message"].as_str().unwrap().contains("not proven"), "{back}");
    assert!(host.logs_in(22));
    let done = host.apply(&move_to(2222, "2222")).expect(0).json();
    assert!(done["access_proof"].as_str().unwrap().ends_with(":2222"), "{done}");
    assert!(host.logs_in(2222));
    let old = format!("{}:22", host.address()).parse().unwrap();
    assert!(std::net::TcpStream::connect_timeout(&old, Duration::from_secs(1)).is_err(), "the old port is still open");
    assert_eq!(
        host.exec("systemctl is-active ssh.socket; ls /etc/systemd/system/ssh.socket.d; ls /var/lib/plumbline/pending"),
        "active\nzz-plumbline.conf"
    );
    assert_eq!(host.apply(&move_to(2222, "2222")).expect(0).json()["changed"], false);
}

/// Who started it cannot prove access from where he is; somebody else does, and then it stays.
#[test]
fn somebody_else_confirms() {
    let Some(mut host) = Lab::boot() else { return };
    let key = host.host()["host_key"].clone();
    let way = crate::faults::Cut::after(usize::MAX, format!("{}:22", host.address()));
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    let hosts = json!({"schema": "hosts.inventory/v1", "hosts": [{"name": "lab1", "os": "debian-12", "arch": "x86_64",
        "addresses": [{"address": "127.0.0.1", "port": way.port, "user": "root"}], "host_keys": [key]}]});
    std::fs::write(elsewhere.path(), hosts.to_string()).unwrap();
    host.write_inventory(&[2222], &key);
    let mut document = desired("lab1", &json!([sshd("Port 2222\n")]));
    document["access"] = json!({"ssh_ports": [2222], "login_users": ["root"]});
    let identity = host.document["key"].as_str().unwrap().to_owned();
    let starts = std::thread::spawn(move || {
        let inventory = elsewhere.path().to_str().unwrap().to_owned();
        run(&["apply", "--confirm-timeout", "14s", "--hosts", &inventory, "-i", &identity], &document.to_string())
    });
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end && !host.exec("grep -l prove_access /var/lib/plumbline/runs/*/events").contains("events")
    {
        std::thread::sleep(Duration::from_millis(50));
    }
    // While sshd reads its settings it listens nowhere for a moment: 75 says "try again".
    let end = Instant::now() + Duration::from_secs(20);
    let confirmed = loop {
        let ran = host.call(&["confirm", "lab1"], "");
        if ran.code != 75 || Instant::now() > end {
            break ran.expect(0).json();
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    assert!(confirmed["access_proof"].as_str().unwrap().ends_with(":2222"), "{confirmed}");
    let started = starts.join().unwrap();
    assert!(host.logs_in(2222), "{} {}", started.stdout, started.stderr);
    assert_eq!(host.exec("cat /etc/ssh/sshd_config.d/00-plumbline.conf; ls /var/lib/plumbline/pending"), "Port 2222");
    host.call(&["confirm", "lab1"], "").expect(66);
    // And back by hand, by the run's name.
    let run_name = confirmed["run"].as_str().unwrap();
    host.call(&["rollback", "lab1", run_name], "").expect(0);
    assert!(host.logs_in(22));
}

/// Without --confirm-timeout the window is a minute.
#[test]
fn the_default_window() {
    if !full() {
        eprintln!("skipped: the default window of a minute (install: PLUMBLINE_TIER=full)");
        return;
    }
    let Some(host) = Lab::boot() else { return };
    let begun = Instant::now();
    let back = host
        .call(
            &["apply"],
            &with_access(&["root"], &json!([sshd("PubkeyAcceptedAlgorithms rsa-sha2-512\n")])).to_string(),
        )
        .expect(3)
        .json();
    assert_eq!(back["outcome"], "rolled_back", "{back}");
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(50) && took < Duration::from_secs(75), "{took:?}");
    assert!(host.logs_in(22));
}
