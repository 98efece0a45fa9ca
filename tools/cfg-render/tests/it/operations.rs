//! Operations of agents: what they may do, and that nothing else is done whatever they send.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::run::{files, is_root, peer, say};

const FOLDER: &str = "/usr/local/lib/plumbline/operations";

fn fleet() -> Value {
    json!({
        "schema": "fleet/v1", "name": "ops",
        "hosts": {"a": {"os": "debian-12", "addresses": {"public": ["203.0.113.1"]},
            "ssh": {"keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me"]},
            "users": {"agent": {"keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv agent"]}}}},
        "services": {"app": {"host": "a", "run": {"systemd": {"exec": ["/bin/true"]}}, "backup": {"none": "a test"}}},
        "operations": {
            "restart-app": {"restart": "app", "users": ["agent"], "description": "Restart the app"},
            "logs-app": {"logs": "app", "users": ["agent"]},
            "look-up": {"host": "a", "command": ["/usr/bin/look", "--name={name}", "{level}", "$HOME it's"], "run_as": "nobody", "users": ["agent"],
                "parameters": [{"name": "name", "pattern": "[a-z][a-z0-9.-]*", "description": "A name"}, {"name": "level", "values": ["low", "high"]}]}
        }
    })
}

/// The scripts in a folder of their own: sudo runs what follows, and what would run as a unit writes down its arguments.
fn install(folder: &Path) {
    let put = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    let root = folder.to_str().unwrap();
    let recorder = format!("{root}/recorder");
    for (path, text) in files(&fleet(), "a").iter().filter(|(path, _)| path.starts_with(FOLDER)) {
        let text = text
            .replace(FOLDER, root)
            .replace("exec /usr/bin/timeout 60 /usr/bin/systemctl", &format!("exec {recorder}"))
            .replace("exec /usr/bin/timeout 60 /usr/bin/journalctl", &format!("exec {recorder}"))
            .replace("exec /usr/bin/systemd-run", &format!("exec {recorder}"))
            .replace("exec sudo -n --", "exec");
        put(path.rsplit('/').next().unwrap(), &text);
    }
    put(
        "recorder",
        &format!(
            "#!/bin/sh\nfor word in \"$@\"; do printf '%s\\0' \"$word\" >>{root}/ran; done\nprintf 'END\\0' >>{root}/ran\n"
        ),
    );
}

fn ran(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join("ran")).unwrap_or_default();
    text.split('\0').map(str::to_owned).collect()
}

fn send(folder: &Path, line: &str) -> (bool, String) {
    let mut command = Command::new(folder.join("dispatch-agent"));
    say(command.env("SSH_ORIGINAL_COMMAND", line).current_dir(folder).env("HOME", folder))
}

#[test]
fn what_is_declared_is_done() {
    let folder = tempfile::tempdir().unwrap();
    install(folder.path());
    let (good, said) = send(folder.path(), "restart-app");
    assert!(good, "{said}");
    assert_eq!(ran(folder.path())[..3], ["restart", "--", "app.service"]);
    fs::remove_file(folder.path().join("ran")).unwrap();
    let (good, said) = send(folder.path(), "look-up my-name.1 high");
    assert!(good, "{said}");
    let words = ran(folder.path());
    let at = words.iter().position(|word| word == "--").unwrap();
    // systemd makes one sign of two.
    assert_eq!(words[at + 1..at + 5], ["/usr/bin/look", "--name=my-name.1", "high", "$$HOME it's"]);
    assert!(
        words.contains(&"--uid=nobody".to_owned()) && words.contains(&"--property=ProtectSystem=strict".to_owned())
    );
    let (good, said) = send(folder.path(), "list");
    let tools: Value = serde_json::from_str(&said).unwrap();
    assert!(good && tools["tools"].as_array().unwrap().len() == 3);
    let look = tools["tools"].as_array().unwrap().iter().find(|tool| tool["name"] == "look-up").unwrap();
    assert_eq!(look["inputSchema"]["properties"]["level"]["enum"], json!(["low", "high"]));
    assert_eq!(look["inputSchema"]["additionalProperties"], false);
}

#[test]
fn a_hundred_strings_execute_nothing() {
    let folder = tempfile::tempdir().unwrap();
    install(folder.path());
    let mark = folder.path().join("mark");
    let touch = format!("touch {}", mark.display());
    let shapes = [
        "{}",
        "; {}",
        "&& {}",
        "|| {}",
        "| {}",
        "& {}",
        "$({})",
        "`{}`",
        "\n{}",
        "\r\n{}",
        "\u{0}{}",
        "'; {}; '",
        "\"; {}; \"",
        "$(({}))",
        "${{}}",
        "<({})",
        ">{}",
        "sh -c '{}'",
        "-c {}",
        "--help; {}",
        "*; {}",
        "../../bin/sh -c {}",
        "/bin/sh -c {}",
        "\\; {}",
        "%0a{}",
    ];
    let prefixes = ["", "restart-app ", "look-up ", "look-up a low ", "look-up x"];
    let mut count = 0;
    for prefix in prefixes {
        for shape in shapes {
            let line = format!("{prefix}{}", shape.replace("{}", &touch).replace('\u{0}', " "));
            let (good, said) = send(folder.path(), &line);
            assert!(!good, "{line:?} was taken: {said}");
            count += 1;
        }
    }
    // One argument at a time, as sudo would hand it over.
    for value in [
        "a\nb",
        "a b",
        "-rf",
        "$HOME",
        "a$(id)",
        "a;id",
        "",
        "a/../b",
        "A",
        "é",
        "a\u{7f}",
        &"a".repeat(201),
        "[a-z]*",
        "a\\",
    ] {
        let output = say(Command::new(folder.path().join("look-up")).args([value, "low"]).current_dir(folder.path()));
        assert!(!output.0, "{value:?} was taken: {}", output.1);
        let output = say(Command::new(folder.path().join("look-up")).args(["a", value]).current_dir(folder.path()));
        assert!(!output.0, "{value:?} was taken: {}", output.1);
    }
    assert!(count >= 100);
    assert!(!mark.exists());
    assert_eq!(ran(folder.path()), [""]);
}

#[test]
fn sudo_and_sshd_read_what_they_get() {
    let all = files(&fleet(), "a");
    let of = |path: &str| all.iter().find(|(known, _)| known == path).unwrap().1.clone();
    let folder = tempfile::tempdir().unwrap();
    let sudoers = of("/etc/sudoers.d/51-plumbline-operations");
    assert!(
        sudoers.contains("agent ALL=(root) NOPASSWD: /usr/local/lib/plumbline/operations/restart-app \"\"\n"),
        "{sudoers}"
    );
    if let Some(visudo) = peer("visudo", "apt-get install sudo") {
        let path = folder.path().join("sudoers");
        fs::write(&path, &sudoers).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
        let (good, said) = say(Command::new(visudo).args(["-c", "-f"]).arg(&path));
        assert!(good, "{said}");
    }
    let Some(sshd) = peer("sshd", "apt-get install openssh-server") else { return };
    if !is_root() {
        eprintln!("skipped: sshd shows its settings to root only");
        return;
    }
    let key = folder.path().join("key");
    assert!(say(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key)).0);
    let path = folder.path().join("sshd_config");
    let text = of("/etc/ssh/sshd_config.d/01-plumbline-operations.conf");
    fs::write(&path, format!("HostKey {}\n{text}", key.display())).unwrap();
    let _ = fs::create_dir_all("/run/sshd");
    let of_user = |user: &str| {
        say(Command::new(&sshd).args(["-T", "-C", &format!("user={user},host=x,addr=192.0.2.1"), "-f"]).arg(&path)).1
    };
    let forced = format!("forcecommand {FOLDER}/dispatch-agent");
    assert!(of_user("agent").lines().any(|line| line == forced), "{}", of_user("agent"));
    assert!(of_user("agent").lines().any(|line| line == "disableforwarding yes"));
    assert!(of_user("root").lines().any(|line| line == "forcecommand none"));
}

/// sshd runs the dispatcher through the login shell; the one of a system user would refuse.
#[test]
fn a_system_user_of_operations_has_a_shell() {
    let shell = |fleet: &Value| -> Value {
        let desired = crate::run::document(&["host", "--host", "a"], fleet);
        let items = desired["items"].as_array().unwrap().clone();
        let user = items.into_iter().find(|item| item["user"]["name"] == "agent").unwrap();
        user["user"]["shell"].clone()
    };
    let mut fleet = fleet();
    assert_eq!(shell(&fleet), "/bin/bash");
    fleet["hosts"]["a"]["users"]["agent"]["system"] = json!(true);
    assert_eq!(shell(&fleet), "/bin/sh");
    fleet["operations"] = json!({});
    assert_eq!(shell(&fleet), "/usr/sbin/nologin");
}
