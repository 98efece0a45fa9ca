//! Logins over SSH that belong to services, with a real sshd: the program that knows the keys lets people in, and what runs
//! then is what the fleet says.

use serde_json::{Value, json};

use crate::machine::Machine;
use crate::run::{cfg_render, document, peer};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me";

fn fleet(login: Value) -> Value {
    json!({
        "schema": "fleet/v1", "name": "forge",
        "hosts": {"web": {"os": "debian-12", "addresses": {"public": ["192.0.2.1"]}, "ssh": {"port": 2222, "keys": [KEY], "root": "key-only"},
            "users": {"ops": {"keys": [KEY]}}}},
        "services": {"knot": {"host": "web", "user": "git", "run": {"systemd": {"exec": ["/usr/local/bin/knot"]}}, "backup": {"none": "a test"}, "login": login}}
    })
}

#[test]
fn the_keys_of_the_service_open_its_door_and_no_other() {
    for (program, package) in [("sshd", "openssh-server"), ("ssh", "openssh-client"), ("ssh-keygen", "openssh-client")]
    {
        if peer(program, &format!("apt-get install {package}")).is_none() {
            return;
        }
    }
    let Some(machine) = Machine::new() else { return };
    let fleet = fleet(
        json!({"user": "git", "keys_command": ["/usr/local/bin/knot-keys", "--for", "%u", "two words"], "keys_user": "nobody",
        "command": ["/usr/local/bin/knot-shell", "it's", "$HOME"]}),
    );
    machine.place(&document(&["host", "--host", "web"], &fleet), |_, text| text);
    // The keys are known to a program alone, which runs as nobody and is told who asks.
    let keys = "#!/bin/sh\n[ \"$(id -un)\" = nobody ] && [ \"$#:$1:$2:$3\" = '3:--for:git:two words' ] && cat /run/known-keys\n";
    machine.write("/usr/local/bin/knot-keys", keys.as_bytes(), "755", "root:root");
    let shell = "#!/bin/sh\nprintf '%s|' \"$(id -un)\" \"$@\" \"$SSH_ORIGINAL_COMMAND\"\n";
    machine.write("/usr/local/bin/knot-shell", shell.as_bytes(), "755", "root:root");
    machine.must("chown root: / /usr /usr/local /usr/local/bin; ssh-keygen -q -t ed25519 -N '' -f /run/known; ssh-keygen -q -t ed25519 -N '' -f /run/stranger; install -m 644 /run/known.pub /run/known-keys; mkdir -p /home/git/.ssh; cp /run/stranger.pub /home/git/.ssh/authorized_keys; chown -R git: /home/git; test -e /etc/ssh/ssh_host_ed25519_key || ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key");
    machine.must("/usr/sbin/sshd -t");
    let settings = |user: &str| {
        machine.must(&format!(
            "/usr/sbin/sshd -T -C user={user},host=client.test,addr=198.51.100.9,laddr=192.0.2.1,lport=2222"
        ))
    };
    let git = settings("git");
    for line in [
        "authorizedkeyscommand /usr/local/bin/knot-keys --for %u \"two words\"",
        "authorizedkeyscommanduser nobody",
        "authorizedkeysfile none",
        "passwordauthentication no",
        "permittty no",
        "disableforwarding yes",
        "authenticationmethods publickey",
    ] {
        assert!(git.lines().any(|known| known.replace('\'', "\"") == line || known.starts_with(line)), "{line}\n{git}");
    }
    // Nobody else is met by it, and the hardening holds for all.
    for user in ["root", "ops"] {
        let other = settings(user);
        assert!(other.contains("authorizedkeyscommand none") && other.contains("passwordauthentication no"), "{other}");
        assert!(!other.contains("forcecommand /usr/local/bin/knot-shell"), "{other}");
    }
    machine.start("sshd", machine.command("/usr/sbin/sshd").args(["-D", "-e"]));
    machine.wait_for_port(2222, &["sshd"]);
    let ssh = |key: &str, user: &str, rest: &str| {
        machine.sh(&format!("ssh -p 2222 -i {key} -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o ConnectTimeout=10 {rest} {user}@127.0.0.1 'git-upload-pack \"repo\"; id' </dev/null"))
    };
    let (good, said) = ssh("/run/known", "git", "");
    assert!(good, "{said}\n{}", machine.log("sshd"));
    assert_eq!(said, "git|it's|$HOME|git-upload-pack \"repo\"; id|");
    // A key in the user's own file counts for nothing, and the service's keys open no other door.
    for (key, user) in [("/run/stranger", "git"), ("/run/known", "root"), ("/run/known", "ops")] {
        let (good, said) = ssh(key, user, "");
        assert!(!good && said.contains("Permission denied"), "{key} {user}: {said}");
    }
    // No way out through it.
    let (_, said) = ssh("/run/known", "git", "-o ExitOnForwardFailure=yes -R 127.0.0.1:9999:127.0.0.1:22");
    assert!(!said.contains("git|"), "{said}");
}

#[test]
fn without_a_program_the_user_s_own_file_says_who_may_come_in() {
    let text = crate::run::files(&fleet(json!({"user": "git", "home": "/var/lib/knot"})), "web");
    let path = "/etc/ssh/sshd_config.d/02-plumbline-login-knot.conf";
    let text = &text.iter().find(|(known, _)| known == path).unwrap().1;
    assert!(text.contains("Match User git\n    AuthorizedKeysFile .ssh/authorized_keys\n"), "{text}");
    assert!(!text.contains("ForceCommand") && !text.contains("AuthorizedKeysCommand "), "{text}");
}

#[test]
fn a_login_of_people_is_not_given_away() {
    for user in ["root", "ops"] {
        let output = cfg_render(&["host", "--host", "web"], &fleet(json!({"user": user})).to_string());
        assert_eq!(output.status.code(), Some(65));
        assert!(
            String::from_utf8_lossy(&output.stderr).contains("is a login of people"),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    for login in [
        json!({"user": "git", "keys_command": ["knot-keys"]}),
        json!({"user": "git", "keys_command": ["/usr/bin/keys", "a\"b"]}),
        json!({"user": "git*"}),
        json!({"user": "git", "command": ["/bin/x\nPermitTTY yes"]}),
    ] {
        let output = cfg_render(&["host", "--host", "web"], &fleet(login.clone()).to_string());
        assert_eq!(output.status.code(), Some(65), "{login}");
    }
}
