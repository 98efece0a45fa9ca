//! Ways to a host: through another one, certificates of hosts and users, the agent. Each against a real sshd.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::Ran;
use crate::lab::{Lab, program};

/// Runs the program with a home and an agent of its own.
fn call(home: &Path, agent: Option<&str>, args: &[&str]) -> Ran {
    let mut command = crate::controller();
    command.args(args).env("HOME", home).env_remove("SSH_AUTH_SOCK").stdin(Stdio::null());
    if let Some(agent) = agent {
        command.env("SSH_AUTH_SOCK", agent);
    }
    let output = command.output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn keygen(args: &[&str]) {
    let output = Command::new("ssh-keygen").arg("-q").args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Runs something on one of the hosts, without SSH.
fn on(lab: &Lab, host: &str, line: &str) -> String {
    let output =
        Command::new(program()).args(["--lab", &lab.name, "exec", host, "--", "sh", "-c", line]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

struct Agent {
    child: std::process::Child,
    socket: PathBuf,
}

impl Agent {
    fn start(home: &Path) -> Self {
        let socket = home.join("agent");
        let child = Command::new("ssh-agent")
            .args(["-D", "-a"])
            .arg(&socket)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        for _ in 0..200 {
            if socket.exists() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Self { child, socket }
    }

    fn add(&self, key: &Path) {
        let output = Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &self.socket).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap().trim().to_owned()
}

#[test]
fn every_way_in() {
    let Some(lab) = Lab::up(&["2", "--offline"]) else { return };
    let home = tempfile::tempdir().unwrap();
    let (home, ssh) = (home.path(), home.path().join(".ssh"));
    std::fs::create_dir(&ssh).unwrap();
    let key = lab.document["key"].as_str().unwrap().to_owned();
    let hosts: Vec<&Value> = lab.document["hosts"].as_array().unwrap().iter().collect();
    let address = |index: usize| hosts[index]["address"].as_str().unwrap();
    let pinned = |index: usize| hosts[index]["host_key"].as_str().unwrap();
    let host = |index: usize, keys: &Value| {
        json!({"name": format!("lab{}", index + 1), "os": "debian-12", "arch": "x86_64", "host_keys": keys,
            "addresses": [{"address": address(index), "port": 22, "user": "root"}]})
    };
    let inventory = home.join("inventory.json");
    let write = |hosts: Value| {
        std::fs::write(&inventory, json!({"schema": "hosts.inventory/v1", "hosts": hosts}).to_string()).unwrap();
    };
    let file = inventory.to_str().unwrap();
    let last_from = || on(&lab, "2", "journalctl -u ssh -o cat --no-pager | grep Accepted | tail -n 1 | cut -d' ' -f6");

    // Through the first host to the second, with both keys pinned.
    let mut second = host(1, &json!([pinned(1)]));
    second["via"] = "lab1".into();
    write(json!([host(0, &json!([pinned(0)])), second]));
    call(home, None, &["facts", "lab2", "--hosts", file, "-i", &key]).expect(0);
    assert_eq!(last_from(), address(0));
    let refused = call(home, None, &["facts", "lab2", "--hosts", file, "-i", &key, "--transport", "ssh2"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    // The key on the way is checked as well.
    second = host(1, &json!([pinned(1)]));
    second["via"] = "lab1".into();
    write(json!([host(0, &json!([pinned(1)])), second]));
    call(home, None, &["facts", "lab2", "--hosts", file, "-i", &key]).expect(77);

    // The same by the user's own configuration.
    write(json!([host(0, &json!([pinned(0)])), host(1, &json!([pinned(1)]))]));
    std::fs::write(
        ssh.join("config"),
        format!(
            "Host {}\n  ProxyJump root@{}\nHost *\n  IdentityFile {key}\n  UserKnownHostsFile {}\n",
            address(1),
            address(0),
            ssh.join("known_hosts").display()
        ),
    )
    .unwrap();
    std::fs::write(ssh.join("known_hosts"), format!("{} {}\n", address(0), pinned(0))).unwrap();
    call(home, None, &["facts", "lab2", "--hosts", file, "-i", &key]).expect(0);
    assert_eq!(last_from(), address(0));
    // Without the proxy the built-in transport is enough, configuration or not.
    call(home, None, &["facts", "lab2", "--hosts", file, "-i", &key, "--transport", "ssh2"]).expect(0);
    assert_ne!(last_from(), address(0));
    std::fs::remove_file(ssh.join("config")).unwrap();

    // A host that an authority vouches for: only the authority is known here.
    let authority = home.join("authority");
    keygen(&["-t", "ed25519", "-N", "", "-f", authority.to_str().unwrap()]);
    let root = hosts[0]["root"].as_str().unwrap();
    let public = home.join("host.pub");
    std::fs::copy(format!("{root}/etc/ssh/ssh_host_ed25519_key.pub"), &public).unwrap();
    keygen(&["-s", authority.to_str().unwrap(), "-I", "lab1", "-h", "-n", address(0), public.to_str().unwrap()]);
    std::fs::copy(home.join("host-cert.pub"), format!("{root}/etc/ssh/ssh_host_ed25519_key-cert.pub")).unwrap();
    std::fs::copy(home.join("authority.pub"), format!("{root}/etc/ssh/authority.pub")).unwrap();
    std::fs::write(
        format!("{root}/etc/ssh/sshd_config.d/ca.conf"),
        "HostCertificate /etc/ssh/ssh_host_ed25519_key-cert.pub\nTrustedUserCAKeys /etc/ssh/authority.pub\n",
    )
    .unwrap();
    on(&lab, "1", "systemctl reload ssh; sleep 0.5");
    let target = format!("ssh://root@{}:22", address(0));
    std::fs::write(ssh.join("known_hosts"), "").unwrap();
    call(home, None, &["facts", &target, "-i", &key]).expect(77);
    std::fs::write(ssh.join("known_hosts"), format!("@cert-authority 10.99.* {}\n", text(&home.join("authority.pub"))))
        .unwrap();
    call(home, None, &["facts", &target, "-i", &key]).expect(0);
    // Another authority is none.
    let stranger = home.join("stranger");
    keygen(&["-t", "ed25519", "-N", "", "-f", stranger.to_str().unwrap()]);
    std::fs::write(ssh.join("known_hosts"), format!("@cert-authority 10.99.* {}\n", text(&home.join("stranger.pub"))))
        .unwrap();
    call(home, None, &["facts", &target, "-i", &key]).expect(77);

    // A user whom it vouches for: the key alone is known to no host.
    let mine = home.join("mine");
    keygen(&["-t", "ed25519", "-N", "", "-f", mine.to_str().unwrap()]);
    write(json!([host(0, &json!([pinned(0)]))]));
    call(home, None, &["facts", "lab1", "--hosts", file, "-i", mine.to_str().unwrap()]).expect(77);
    keygen(&["-s", authority.to_str().unwrap(), "-I", "me", "-n", "root", home.join("mine.pub").to_str().unwrap()]);
    call(home, None, &["facts", "lab1", "--hosts", file, "-i", mine.to_str().unwrap()]).expect(0);

    // The agent: keys that do not fit before the one that does, then a certificate that only it has.
    let agent = Agent::start(home);
    let socket = agent.socket.clone();
    let socket = socket.to_str().unwrap();
    agent.add(&stranger);
    call(home, Some(socket), &["facts", "lab1", "--hosts", file]).expect(77);
    let copy = home.join("lab-key");
    std::fs::copy(&key, &copy).unwrap();
    agent.add(&copy);
    call(home, Some(socket), &["facts", "lab1", "--hosts", file]).expect(0);
    drop(agent);
    std::fs::remove_file(home.join("agent")).ok();
    let agent = Agent::start(home);
    agent.add(&mine);
    call(home, Some(socket), &["facts", "lab1", "--hosts", file]).expect(0);

    // A revoked key is never taken, whoever else vouches for it.
    std::fs::write(ssh.join("known_hosts"), format!("@revoked * {}\n", pinned(0))).unwrap();
    let revoked = call(home, None, &["facts", "lab1", "--hosts", file, "-i", &key]).expect(77);
    assert!(revoked.stderr.contains("revokes"), "{}", revoked.stderr);
    call(home, None, &["facts", &target, "-i", &key, "--accept-new"]).expect(77);
}
