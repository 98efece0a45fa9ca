//! A real Debian host with systemd, behind SSH. Runs as root where the lab can be had.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use serde_json::{Value, json};

use crate::{Ran, desired, run, status};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A host of its own, gone when dropped.
pub(crate) struct Lab {
    pub(crate) name: String,
    pub(crate) inventory: tempfile::NamedTempFile,
    pub(crate) document: Value,
    shell: Mutex<Option<Shell>>,
}

/// A shell on the host that stays: starting one takes longer than most of what it is asked.
struct Shell {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Shell {
    fn start(lab: &str) -> Self {
        let mut child = Command::new(program())
            .args(["--lab", lab, "exec", "1", "--", "sh"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, output: BufReader::new(output) }
    }

    /// What a line says; `None` where the host is gone.
    fn ask(&mut self, line: &str) -> Option<String> {
        const END: &str = "--- that was all ---\n";
        // The second shell reads nothing of what follows, and a mistake in the line ends it alone.
        let line = line.replace('\'', "'\\''");
        self.input
            .write_all(
                format!("sh -c '{line}' </dev/null 2>/dev/null; echo; echo '{END}'", END = END.trim()).as_bytes(),
            )
            .ok()?;
        self.input.write_all(b"\n").ok()?;
        let mut said = Vec::new();
        while !said.ends_with(END.as_bytes()) {
            if self.output.read_until(b'\n', &mut said).ok()? == 0 {
                return None;
            }
        }
        said.truncate(said.len() - END.len());
        Some(String::from_utf8_lossy(&said).trim().to_owned())
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/lab/lab")
}

pub(crate) fn lab(args: &[&str]) -> (i32, String) {
    let output = Command::new(program()).args(args).output().unwrap();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned())
}

impl Lab {
    pub(crate) fn boot() -> Option<Self> {
        Self::up(&["1"])
    }

    /// Boots hosts as `lab up` takes them.
    pub(crate) fn up(what: &[&str]) -> Option<Self> {
        static IS_THERE: OnceLock<bool> = OnceLock::new();
        let root = rustix::process::geteuid().is_root();
        if !root || !IS_THERE.get_or_init(|| program().exists() && lab(&["check"]).0 == 0) {
            eprintln!("skipped: a lab host (install: run as root with what tests/lab/lab check asks for)");
            assert!(
                std::env::var_os("PLUMBLINE_REQUIRE_PEERS").is_none_or(|value| value != "1"),
                "the lab is required"
            );
            return None;
        }
        let pid = std::process::id().to_string();
        let name = format!("hp{pid}-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let args: Vec<&str> =
            ["up"].iter().chain(what).copied().chain(["--name", &name, "--until-pid", &pid]).collect();
        let (code, text) = lab(&args);
        assert_eq!(code, 0, "the lab does not come up");
        let document: Value = serde_json::from_str(&text).unwrap();
        let inventory = tempfile::NamedTempFile::new().unwrap();
        let mut lab = Self { name, inventory, document, shell: Mutex::new(None) };
        let key = lab.host()["host_key"].clone();
        lab.write_inventory(&[2222, 22], &key);
        Some(lab)
    }

    pub(crate) fn host(&self) -> &Value {
        &self.document["hosts"][0]
    }

    pub(crate) fn address(&self) -> &str {
        self.host()["address"].as_str().unwrap()
    }

    pub(crate) fn write_inventory(&mut self, ports: &[u16], key: &Value) {
        let addresses: Vec<Value> =
            ports.iter().map(|port| json!({"address": self.address(), "port": port, "user": "root"})).collect();
        let hosts = json!({"schema": "hosts.inventory/v1", "hosts": [
            {"name": "lab1", "os": "debian-12", "arch": "x86_64", "addresses": addresses, "host_keys": [key]}]});
        std::fs::write(self.inventory.path(), hosts.to_string()).unwrap();
    }

    pub(crate) fn call(&self, verb: &[&str], stdin: &str) -> Ran {
        let inventory = self.inventory.path().to_str().unwrap();
        let key = self.document["key"].as_str().unwrap();
        let (verb, rest) = verb.split_at(verb.iter().position(|word| *word == "--").unwrap_or(verb.len()));
        let flags = ["--hosts", inventory, "-i", key];
        let args: Vec<&str> = verb.iter().chain(&flags).chain(rest).copied().collect();
        run(&args, stdin)
    }

    pub(crate) fn apply(&self, document: &Value) -> Ran {
        self.apply_with(document, &[])
    }

    pub(crate) fn apply_with(&self, document: &Value, more: &[&str]) -> Ran {
        let args: Vec<&str> = ["apply", "--confirm-timeout", "8s"].iter().chain(more).copied().collect();
        self.call(&args, &document.to_string())
    }

    /// Applies what cannot be proven, in a short window.
    pub(crate) fn apply_in_vain(&self, document: &Value) -> Ran {
        self.call(&["apply", "--confirm-timeout", "3s", "--allow", "lockout:port/2222"], &document.to_string())
    }

    /// Runs something on the host without SSH.
    pub(crate) fn exec(&self, line: &str) -> String {
        let mut shell = self.shell.lock().unwrap();
        let said = shell.as_mut().and_then(|shell| shell.ask(line));
        said.unwrap_or_else(|| {
            // The first of this boot.
            shell.insert(Shell::start(&self.name)).ask(line).unwrap_or_default()
        })
    }

    pub(crate) fn logs_in(&self, port: u16) -> bool {
        let port = port.to_string();
        let output =
            Command::new(program()).args(["--lab", &self.name, "ssh", "-p", &port, "1", "true"]).output().unwrap();
        output.status.success()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        lab(&["--lab", &self.name, "down"]);
    }
}

fn firewall(ports: &str) -> Value {
    json!({"id": "nft", "stage": "base", "notify": ["reload:nftables.service"], "file": {"path": "/etc/nftables.conf", "mode": "0755",
        "validate": ["nft", "-c", "-f", "%s"], "content": format!("table inet plumbline\ndelete table inet plumbline\n\
            table inet plumbline {{\n set ssh_ports {{ type inet_service; elements = {{ {ports} }} }}\n chain input {{\n  \
            type filter hook input priority 0; policy drop;\n  ct state established,related accept\n  iif lo accept\n  \
            tcp dport @ssh_ports accept\n }}\n}}\n")}})
}

pub(crate) fn port_move(firewall_ports: &str) -> Value {
    let mut document = desired(
        "lab1",
        &json!([
            firewall(firewall_ports),
            {"id": "nftu", "stage": "base", "unit": {"name": "nftables.service", "enabled": true, "state": "started"}},
            {"id": "sshd", "stage": "base", "notify": ["reload:ssh.service"], "file": {"path": "/etc/ssh/sshd_config.d/00-plumbline.conf",
                "content": "Port 2222\nPasswordAuthentication no\n", "set": "ssh"}}
        ]),
    );
    document["access"] = json!({"ssh_ports": [2222], "login_users": ["root"]});
    document["sets"] = json!({"ssh": {"check": [["sshd", "-t"]]}});
    document
}

fn service() -> Value {
    json!([
        {"id": "g", "stage": "base", "group": {"name": "apps", "system": true}},
        {"id": "u", "stage": "base", "user": {"name": "app", "system": true, "group": "apps", "home": "/srv/app"}},
        {"id": "k", "stage": "base", "authorized_keys": {"user": "root", "keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGMEqbYl1h5vxqr0CBo3oDSq9ipkTCxUsqMGuiAZxBQh new"]}},
        {"id": "h", "stage": "base", "hostname": {"name": "lab1"}},
        {"id": "z", "stage": "base", "timezone": {"name": "Etc/UTC"}},
        {"id": "l", "stage": "base", "locale": {"lang": "C.UTF-8"}},
        {"id": "d", "directory": {"path": "/srv/app", "owner": "app", "group": "apps", "mode": "0750"}},
        {"id": "f", "file": {"path": "/srv/app/conf", "content": "1", "owner": "app", "group": "apps", "mode": "0640"}, "notify": ["restart:app.service"]},
        {"id": "uf", "file": {"path": "/etc/systemd/system/app.service", "content": "[Service]\nExecStart=/bin/sleep 1000\n[Install]\nWantedBy=multi-user.target\n"}, "notify": ["restart:app.service"]},
        {"id": "us", "unit": {"name": "app.service", "enabled": true, "state": "started"}},
        {"id": "c", "command": {"argv": ["touch", "/srv/app/made"], "creates": "/srv/app/made"}},
        {"id": "n", "command": {"argv": ["sh", "-c", "echo ran >>/srv/noted"], "notified_only": true}},
        {"id": "m", "file": {"path": "/etc/motd", "content": "hello\n"}, "notify": ["run:n"]}
    ])
}

#[test]
fn from_bare_to_converged_and_back() {
    let Some(lab) = Lab::boot() else { return };
    let document = desired("lab1", &service());
    let plan = lab.call(&["plan"], &document.to_string()).expect(0).json();
    assert_eq!(plan["guarded"], true, "authorized keys are access");
    assert!(plan["target"].as_str().unwrap().ends_with(":22"));
    // Exactly what was planned, handlers included.
    let result = lab.apply(&plan).expect(0).json();
    let done = |document: &Value| -> Vec<String> {
        document["changes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|change| format!("{} {}", change["kind"], change["name"]))
            .collect()
    };
    assert_eq!(done(&plan), done(&result));
    assert!(result["access_proof"].as_str().unwrap().ends_with(":22"), "{result}");
    assert_eq!(
        lab.exec(
            "stat -c '%U %G %a' /srv/app/conf; systemctl is-active app; cat /srv/noted; ls /var/lib/plumbline/pending"
        ),
        "app apps 640\nactive\nran"
    );
    assert!(lab.logs_in(22));

    let again = lab.apply(&document).expect(0).json();
    assert_eq!(again["changed"], false);
    lab.call(&["plan", "--check"], &document.to_string()).expect(0);

    // A change restarts, and the command that is only notified runs once more.
    let pid = lab.exec("systemctl show -p MainPID app");
    let changed = document.to_string().replace("\"content\":\"1\"", "\"content\":\"2\"");
    let result = lab.apply(&serde_json::from_str(&changed).unwrap()).expect(0).json();
    assert_eq!(status(&result, "restart:app.service"), "done");
    assert_ne!(lab.exec("systemctl show -p MainPID app"), pid);

    // Back to what it was before that run, by hand.
    let back = lab.call(&["rollback", "lab1"], "").expect(0).json();
    assert_eq!(back["outcome"], "rolled_back");
    assert_eq!(lab.exec("cat /srv/app/conf"), "1");
    lab.call(&["rollback", "lab1"], "").expect(76);

    // No longer declared: units stopped, files gone or given back, accounts and foreign things left.
    let none = lab.apply(&desired("lab1", &json!([]))).expect(0).json();
    assert_eq!(lab.exec("systemctl is-active app; ls /srv/app; test -e /etc/systemd/system/app.service || echo gone; grep -c ABSOLUTELY /etc/motd; grep -c xBQh /root/.ssh/authorized_keys; id -un app"),
        "inactive\nmade\ngone\n1\n0\napp", "{none}");
    assert!(none["orphaned"].to_string().contains("drop:user/app"));
    assert!(lab.logs_in(22));
}

#[test]
fn the_port_moves_and_nobody_is_locked_out() {
    let Some(lab) = Lab::boot() else { return };
    // A firewall that forgets the new port: the proof fails, everything goes back, the old way still works.
    let refused = lab.apply(&port_move("9")).expect(76).json();
    assert_eq!(refused["outcome"], "not_started", "{refused}");
    assert!(refused["error"]["hint"].as_str().unwrap().contains("--allow lockout:port/2222"), "{refused}");
    let result = lab.apply_in_vain(&port_move("9")).expect(3).json();
    assert_eq!(result["outcome"], "rolled_back", "{result}");
    assert!(result["error"]["message"].as_str().unwrap().contains("not proven"), "{result}");
    assert!(lab.logs_in(22));
    assert_eq!(lab.exec("nft list tables; ls /etc/ssh/sshd_config.d /var/lib/plumbline/pending | grep -v :; systemctl is-enabled nftables"), "disabled");

    let result = lab.apply(&port_move("2222")).expect(0).json();
    assert!(result["access_proof"].as_str().unwrap().ends_with(":2222"), "{result}");
    assert!(lab.logs_in(2222));
    let old = format!("{}:22", lab.address()).parse().unwrap();
    assert!(
        std::net::TcpStream::connect_timeout(&old, std::time::Duration::from_secs(1)).is_err(),
        "the old port is still open"
    );
    assert_eq!(lab.exec("ls /etc/ssh/sshd_config.d"), "00-plumbline.conf");
    assert_eq!(lab.apply(&port_move("2222")).expect(0).json()["changed"], false);

    // A ruleset that nft does not take never replaces the old one.
    let mut broken = port_move("2222");
    broken["items"][0]["file"]["content"] = "table inet plumbline {\n nonsense\n}\n".into();
    let result = lab.apply(&broken).expect(65).json();
    assert_eq!(result["error"]["code"], "validator_failed", "{result}");
    assert!(lab.logs_in(2222));
    let mut broken = port_move("2222");
    broken["items"][2]["file"]["content"] = "Port 2222\nNonsense yes\n".into();
    let result = lab.apply(&broken).expect(3).json();
    assert_eq!(
        (result["error"]["code"].as_str(), result["outcome"].as_str()),
        (Some("check_failed"), Some("rolled_back"))
    );
    assert_eq!(lab.exec("cat /etc/ssh/sshd_config.d/00-plumbline.conf"), "Port 2222\nPasswordAuthentication no");
}

#[test]
fn power_loss_inside_the_window_ends_in_the_state_before() {
    let Some(lab) = Lab::boot() else { return };
    loses_power_inside_the_window(&lab);
}

/// Power is lost while a change waits for a proof that cannot come.
pub(crate) fn loses_power_inside_the_window(lab: &Lab) {
    let document = port_move("9").to_string();
    let inventory = lab.inventory.path().to_str().unwrap().to_owned();
    let key = lab.document["key"].as_str().unwrap().to_owned();
    let allow = "lockout:port/2222";
    let mut controller = crate::controller()
        .args(["apply", "--confirm-timeout", "300s", "--allow", allow, "--hosts", &inventory, "-i", &key])
        .env_remove("SSH_AUTH_SOCK")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut controller.stdin.take().unwrap(), document.as_bytes()).unwrap();
    for _ in 0..200 {
        std::thread::sleep(std::time::Duration::from_millis(100));
        if lab
            .exec("cd /var/lib/plumbline; for r in $(ls pending); do grep -l prove_access runs/$r/events; done")
            .contains("events")
        {
            break;
        }
    }
    assert_ne!(lab.exec("ls /var/lib/plumbline/pending"), "");
    assert_eq!(super::lab::lab(&["--lab", &lab.name, "kill", "1"]).0, 0);
    assert_eq!(super::lab::lab(&["--lab", &lab.name, "boot", "1"]).0, 0);
    assert!(lab.logs_in(22), "{}", lab.exec("journalctl -u plumbline-recover --no-pager"));
    assert_eq!(
        lab.exec("ls /var/lib/plumbline/pending; ls /etc/ssh/sshd_config.d; systemctl is-enabled nftables"),
        "disabled"
    );
    controller.kill().unwrap();
    controller.wait().unwrap();
}

#[test]
fn hosts_that_are_not_who_they_should_be() {
    let Some(mut lab) = Lab::boot() else { return };
    let other = json!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGMEqbYl1h5vxqr0CBo3oDSq9ipkTCxUsqMGuiAZxBQh");
    lab.write_inventory(&[22], &other);
    let refused = lab.call(&["facts", "lab1"], "").expect(77);
    assert_eq!(refused.stderr.matches("SHA256:").count(), 2, "{}", refused.stderr);
    let key = lab.document["key"].as_str().unwrap().to_owned();
    let target = format!("ssh://root@{}:22", lab.address());
    let unknown = run(&["facts", &target, "-i", &key], "").expect(77);
    assert!(unknown.stderr.contains("--accept-new"), "{}", unknown.stderr);
    let scanned = run(&["keyscan", &target], "").expect(0);
    let pinned = lab.host()["host_key"].as_str().unwrap();
    let line = scanned.stdout.lines().find(|line| line.starts_with(pinned)).unwrap();
    let fingerprint = line.rsplit(' ').next().unwrap();
    run(&["facts", &target, "-i", &key, "--host-key", fingerprint], "").expect(0);
    let taken = run(&["facts", &target, "-i", &key, "--accept-new"], "").expect(0);
    assert!(taken.stderr.contains(pinned), "{}", taken.stderr);
    // No key that fits.
    run(&["facts", &target, "--accept-new"], "").expect(77);
    // Nothing at that port.
    lab.write_inventory(&[2222], &json!(pinned));
    lab.call(&["facts", "lab1"], "").expect(75);
}

#[test]
fn packages_in_one_transaction() {
    let Some(lab) = Lab::boot() else { return };
    let document = |present: &[&str], absent: &[&str]| {
        desired(
            "lab1",
            &json!([{"id": "p", "stage": "base", "packages": {"present": present, "absent": absent, "hold_units": ["nginx.service"]}}]),
        )
    };
    let missing = lab.apply(&document(&["sudo", "no-such-package-at-all"], &[])).expect(69).json();
    assert!(missing["error"]["message"].as_str().unwrap().contains("no-such-package-at-all"), "{missing}");
    assert_eq!(missing["changed"], false);
    // The archive of the lab has it.
    let archive = std::fs::read_to_string(program().with_file_name("archive.packages")).unwrap();
    if !archive.contains("nginx-light") {
        eprintln!("skipped: nginx-light (install: in the lab's archive.packages)");
        return;
    }
    lab.apply(&document(&["nginx-light"], &[])).expect(0);
    assert_eq!(lab.exec("systemctl is-active nginx; test -e /usr/sbin/policy-rc.d || echo none"), "inactive\nnone");
    assert_eq!(lab.apply(&document(&["nginx-light"], &[])).expect(0).json()["changed"], false);
    lab.apply(&document(&[], &["nginx-light"])).expect(0);
    assert!(!lab.exec("dpkg-query -W -f='${Status}' nginx-light").contains("ok installed"));
}

#[test]
fn faults_leave_old_or_new() {
    let Some(lab) = Lab::boot() else { return };
    let document = |content: &str, extra: Value| {
        desired(
            "lab1",
            &json!([
            {"id": "d", "directory": {"path": "/srv/full"}},
            {"id": "a", "file": {"path": "/etc/first.conf", "content": content}},
            extra]),
        )
    };
    let small = json!({"id": "b", "file": {"path": "/srv/full/file", "content": "small"}});
    lab.apply(&document("old", small)).expect(0);
    // A full disk.
    lab.exec("mount -t tmpfs -o size=64k tmpfs /srv/full");
    let large = json!({"id": "b", "file": {"path": "/srv/full/file", "content": "x".repeat(200_000)}});
    let failed = lab.apply(&document("new", large)).json();
    assert_eq!(failed["error"]["hint"], "free some space on the host", "{failed}");
    assert_eq!(lab.exec("cat /etc/first.conf; ls -A /srv/full"), "old");
    lab.exec("umount /srv/full");
    // A handler that fails.
    let mut document = document(
        "new",
        json!({"id": "u", "file": {"path": "/etc/systemd/system/bad.service",
        "content": "[Service]\nExecStart=/bin/false\n"}, "notify": ["restart:bad.service"]}),
    );
    let failed = lab.apply(&document).expect(3).json();
    assert_eq!(failed["outcome"], "rolled_back", "{failed}");
    assert_eq!(lab.exec("cat /etc/first.conf; test -e /etc/systemd/system/bad.service || echo gone"), "oldgone");
    // The worker is killed: put back by whoever follows it.
    document["items"][2] = json!({"id": "slow", "command": {"argv": ["sleep", "30"], "creates": "/never"}});
    let text = document.to_string();
    let killed = std::thread::scope(|scope| {
        let controller = scope.spawn(|| lab.call(&["apply"], &text));
        for _ in 0..100 {
            std::thread::sleep(std::time::Duration::from_millis(100));
            if !lab.exec("pgrep -x sleep").is_empty() && lab.exec("cat /etc/first.conf") == "new" {
                break;
            }
        }
        lab.exec("pkill -9 -f 'helper work'");
        controller.join().unwrap()
    });
    assert_eq!(killed.json()["outcome"], "rolled_back", "{}", killed.stderr);
    assert_eq!(lab.exec("cat /etc/first.conf"), "old");
}

#[test]
fn tools_run_there_with_their_streams() {
    let Some(lab) = Lab::boot() else { return };
    let text = "line\n".repeat(200_000);
    let ran = lab.call(&["run", "lab1", "--installed", "--", "cat"], &text).expect(0);
    assert_eq!(ran.stdout.len(), text.len());
    let ran =
        lab.call(&["run", "lab1", "--installed", "--", "sh", "-c", "echo out; echo err >&2; exit 42"], "").expect(42);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("out\n", "err\n"));
    assert_eq!(lab.exec("ls /run/plumbline/tools/*/stdin 2>/dev/null"), "");
    // Any static program of the box is sent; a script is not.
    let ran = lab.call(&["run", "lab1", "--", "host-provision-helper", "nonsense"], "").expect(2);
    assert_eq!(ran.stdout, "");
    lab.call(&["run", "lab1", "--", "no-such-tool"], "").expect(69);
    // A name on the host that stays the same.
    let document = desired(
        "lab1",
        &json!([{"id": "t", "tool": {"name": "host-provision-helper", "path": "/usr/local/bin/the-tool"}}]),
    );
    lab.apply(&document).expect(0);
    assert_eq!(lab.exec("/usr/local/bin/the-tool nonsense; echo $?"), "2");
    assert_eq!(lab.apply(&document).expect(0).json()["changed"], false);
}

#[test]
fn several_hosts_with_a_gate() {
    let Some(lab) = Lab::boot() else { return };
    let document = desired("lab1", &json!([{"id": "a", "file": {"path": "/etc/gated", "content": "x"}}])).to_string();
    let refused = lab.call(&["apply", "--gate", "echo $HOST >&2; exit 1"], &document).expect(3).json();
    assert_eq!(refused["outcome"], "rolled_back");
    assert_eq!(lab.exec("ls /etc/gated 2>/dev/null"), "");
    lab.call(&["apply", "--in-order", "--gate", "true"], &document).expect(0);
    assert_eq!(lab.exec("cat /etc/gated"), "x");
}

#[test]
fn secrets_restart_only_those_that_read_them() {
    let Some(lab) = Lab::boot() else { return };
    let consumer = |name: &str| {
        json!({"id": name, "file": {"path": format!("/etc/systemd/system/{name}.service"), "content":
        "[Unit]\nRequires=plumbline-secrets.service\nAfter=plumbline-secrets.service\n[Service]\nExecStart=/bin/sleep 1000\n"}})
    };
    let unit = |name: &str| json!({"id": format!("{name}-unit"), "unit": {"name": format!("{name}.service"), "state": "started"}});
    let document = |version: u8| {
        desired(
            "lab1",
            &json!([
        {"id": "result", "stage": "base", "file": {"path": "/etc/fake-result", "content":
            "{\"schema\":\"secrets.result/v1\",\"changed\":true,\"units\":[\"first.service\",\"not-there.service\"]}"}},
        {"id": "manifest", "stage": "base", "notify": ["secrets"],
            "file": {"path": "/var/lib/plumbline/secrets/manifest.json", "content": format!("{{\"version\":{version}}}")}},
        {"id": "secrets", "stage": "base", "notify": ["secrets"], "file": {"path": "/etc/systemd/system/plumbline-secrets.service", "content":
            "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/cat /etc/fake-result\nStandardOutput=truncate:/run/plumbline/secrets.result.json\n"}},
        consumer("first"), consumer("second"), unit("first"), unit("second")]),
        )
    };
    lab.apply(&document(1)).expect(0);
    let pids = || (lab.exec("systemctl show -p MainPID first"), lab.exec("systemctl show -p MainPID second"));
    let before = pids();
    let result = lab.apply(&document(2)).expect(0).json();
    assert_eq!(status(&result, "secrets"), "done");
    let after = pids();
    assert_ne!(before.0, after.0);
    assert_eq!(before.1, after.1);
    assert_eq!(lab.apply(&document(2)).expect(0).json()["changed"], false);
}

#[test]
fn a_login_user_becomes_root() {
    let Some(lab) = Lab::boot() else { return };
    lab.exec("useradd -m ops; cp -r /root/.ssh /home/ops/; chown -R ops:ops /home/ops/.ssh; echo 'ops ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/ops");
    let target = format!("ssh://ops@{}:22", lab.address());
    let key = lab.document["key"].as_str().unwrap();
    let document =
        desired("lab1", &json!([{"id": "a", "file": {"path": "/etc/by-sudo", "content": "x", "mode": "0600"}}]))
            .to_string();
    let call = |more: &[&str]| {
        let inventory = lab.inventory.path().to_str().unwrap();
        let args: Vec<&str> =
            ["apply", "--hosts", inventory, "--target", &target, "-i", key].iter().chain(more).copied().collect();
        run(&args, &document)
    };
    let refused = call(&[]);
    assert!(refused.code == 77, "{}", refused.stderr);
    call(&["--become", "sudo"]).expect(0);
    assert_eq!(lab.exec("stat -c '%U %a' /etc/by-sudo"), "root 600");
    // The system's own ssh does as well.
    assert_eq!(call(&["--become", "sudo", "--transport", "openssh"]).expect(0).json()["changed"], false);
}

#[test]
fn units_that_systemd_started_too_often() {
    let Some(lab) = Lab::boot() else { return };
    let document = |program: &str, note: &str| {
        let unit = format!("# {note}\n[Service]\nExecStart={program}\nRestart=always\nRestartSec=10ms\n");
        desired(
            "lab1",
            &json!([{"id": "f", "notify": ["restart:app.service"], "file": {"path": "/etc/systemd/system/app.service", "content": unit}},
                {"id": "u", "unit": {"name": "app.service", "state": "started"}}]),
        )
    };
    let good = |note: &str| document("/bin/sleep 1000", note);
    lab.apply(&good("first")).expect(0);
    // A person tried what he could, five times within ten seconds.
    let tries =
        "for i in 1 2 3 4 5 6; do systemctl restart app; done 2>&1 | grep -c 'reset-failed'; systemctl is-failed app";
    lab.exec("for i in 1 2 3 4; do systemctl restart app; done");
    lab.apply(&good("second")).expect(0);
    assert!(lab.exec(tries).ends_with("failed"));
    lab.apply(&good("third")).expect(0);
    assert_eq!(lab.exec("systemctl is-active app"), "active");
    // What crashes until systemd gives up goes back, and runs again.
    let failed = lab.apply(&document("/bin/false", "")).expect(3).json();
    assert_eq!(failed["outcome"], "rolled_back", "{failed}");
    assert_eq!(lab.exec("systemctl is-active app"), "active");
    // Crashed before we came: by a restart of the handler, and by the item alone.
    let crash = "sed -i s,/bin/sleep.*,/bin/false, /etc/systemd/system/app.service; systemctl daemon-reload; systemctl restart app; for i in $(seq 60); do systemctl -q is-failed app && break; sleep 0.1; done; systemctl is-failed app";
    assert_eq!(lab.exec(crash), "failed");
    lab.apply(&good("third")).expect(0);
    assert_eq!(lab.exec("systemctl is-active app"), "active");
    assert!(lab.exec(tries).ends_with("failed"));
    lab.apply(&good("third")).expect(0);
    assert_eq!(lab.exec("systemctl is-active app"), "active");
}
