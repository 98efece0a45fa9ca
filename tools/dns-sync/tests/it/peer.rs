//! Real name servers on loopback, each in a directory of its own and ended by its process id.

use std::io::Write;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{Run, desired, run};

/// The secret of the key `sync`, in base64.
pub(crate) const SECRET: &str = "c2VjcmV0LW9mLXRoZS10ZXN0LWtleS0wMTIzNDU2Nzg=";

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bind,
    Knot,
}

/// A running server with the zone `example.org`.
pub(crate) struct Server {
    child: Child,
    pub(crate) directory: TempDir,
    pub(crate) port: u16,
}

/// Whether a program is there. A missing one is said, and is a failure where peers are required.
pub(crate) fn have(program: &str, install: &str) -> bool {
    let paths = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let found = paths.split(':').any(|directory| Path::new(directory).join(program).is_file());
    if !found {
        eprintln!("skipped: {program} (install: {install})");
        assert!(std::env::var_os("PLUMBLINE_REQUIRE_PEERS").is_none_or(|value| value != "1"), "{program} is required");
    }
    found
}

fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command.env("PATH", std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin");
    command
}

/// A port that is free for TCP and UDP.
pub(crate) fn free_port() -> u16 {
    loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

const ZONE: &str = "\
example.org. 3600 IN SOA ns1.example.org. hostmaster.example.org. 1 7200 900 1209600 300
example.org. 3600 IN NS ns1.example.org.
ns1.example.org. 3600 IN A 127.0.0.1
Foreign.example.org. 300 IN MX 10 Mail.Example.COM.
";

impl Server {
    /// Starts a server; `None` where it is not installed.
    pub(crate) fn start(kind: Kind) -> Option<Self> {
        let there = match kind {
            Kind::Bind => have("named", "apt-get install bind9 bind9-dnsutils"),
            Kind::Knot => have("knotd", "apt-get install knot"),
        };
        if !there || !have("nsupdate", "apt-get install bind9-dnsutils") {
            return None;
        }
        let directory = TempDir::new().unwrap();
        let (path, port) = (directory.path().display().to_string(), free_port());
        for inner in ["secrets", "db"] {
            std::fs::create_dir(directory.path().join(inner)).unwrap();
        }
        let secret = directory.path().join("secrets/tsig");
        std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
        private(&secret);
        std::fs::write(directory.path().join("example.org.zone"), ZONE).unwrap();
        let config = directory.path().join("server.conf");
        let mut command = match kind {
            Kind::Bind => {
                std::fs::write(
                    &config,
                    format!(
                        "options {{ directory \"{path}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
                         pid-file none; session-keyfile none; recursion no; notify no; dnssec-validation no; }};
                         controls {{ }};
                         key \"sync\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};
                         zone \"example.org\" {{ type primary; file \"example.org.zone\"; check-names ignore;
                         allow-update {{ key \"sync\"; }}; allow-transfer {{ key \"sync\"; }}; }};"
                    ),
                )
                .unwrap();
                let mut command = program("named");
                command.args(["-g", "-n", "1", "-c"]);
                command
            }
            Kind::Knot => {
                std::fs::write(
                    &config,
                    format!(
                        "server:\n    rundir: {path}\n    listen: 127.0.0.1@{port}\n    tcp-workers: 1\n    udp-workers: 1\n    \
                         background-workers: 1\n    tcp-io-timeout: 10000\nlog:\n  - target: stderr\n    any: warning\n\
                         database:\n    storage: {path}/db\n    journal-db-max-size: 64M\n    timer-db-max-size: 8M\n    \
                         kasp-db-max-size: 8M\nkey:\n  - id: sync\n    algorithm: hmac-sha256\n    secret: {SECRET}\n\
                         acl:\n  - id: sync\n    key: sync\n    action: [transfer, update]\n\
                         template:\n  - id: default\n    storage: {path}\n    journal-content: all\n    zonefile-sync: -1\n    \
                         semantic-checks: off\nzone:\n  - domain: example.org\n    file: example.org.zone\n    acl: sync\n"
                    ),
                )
                .unwrap();
                let mut command = program("knotd");
                command.arg("-c");
                command
            }
        };
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let child =
            command.arg(&config).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let server = Self { child, directory, port };
        let begin = Instant::now();
        while server.dig(&["example.org", "SOA"]).is_empty() {
            let log = std::fs::read_to_string(server.directory.path().join("log")).unwrap();
            assert!(begin.elapsed() < Duration::from_secs(30), "{kind:?} does not answer: {log}");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(server)
    }

    /// The provider of a document.
    pub(crate) fn provider(&self) -> Value {
        json!({"rfc2136": {
            "server": format!("127.0.0.1:{}", self.port),
            "tsig": {"name": "sync", "secret": {"secret": "tsig"}},
        }})
    }

    /// A document with these records.
    pub(crate) fn desired(&self, mode: &str, records: Value) -> String {
        desired(&self.provider(), mode, records)
    }

    /// Runs the program with the secrets of this server.
    pub(crate) fn run(&self, args: &[&str], stdin: &str) -> Run {
        let mut all = args.to_vec();
        all.extend(["--secrets-dir", "secrets"]);
        run(self.directory.path(), &all, stdin)
    }

    /// What `dig +short` says, sorted.
    pub(crate) fn dig(&self, question: &[&str]) -> Vec<String> {
        let port = self.port.to_string();
        let output = program("dig")
            .args(["@127.0.0.1", "-p", &port, "+short", "+tries=1", "+time=2", "+norec"])
            .args(question)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let mut lines: Vec<String> = text.lines().filter(|line| !line.starts_with(';')).map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// TTL of a set, as served.
    pub(crate) fn ttl(&self, name: &str, record_type: &str) -> Option<u32> {
        let port = self.port.to_string();
        let output = program("dig")
            .args(["@127.0.0.1", "-p", &port, "+noall", "+answer", "+norec", name, record_type])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().next()?.split_whitespace().nth(1)?.parse().ok()
    }

    /// Changes the zone behind the program's back.
    pub(crate) fn nsupdate(&self, commands: &str) {
        nsupdate(self.port, commands);
    }

    /// Applies a document and looks whether the plan is empty afterwards.
    #[track_caller]
    pub(crate) fn converge(&self, document: &str) -> (u64, u64, u64) {
        let result = self.run(&["apply"], document).json(0);
        let plan = self.run(&["plan", "--check"], document).json(0);
        assert_eq!(plan["zones"][0]["changes"], json!([]));
        crate::program::counts(&result)
    }
}

/// Changes the zone of the server at a port.
pub(crate) fn nsupdate(port: u16, commands: &str) {
    let mut child = program("nsupdate")
        .args(["-v", "-y", &format!("hmac-sha256:sync:{SECRET}")])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let text = format!("server 127.0.0.1 {port}\nzone example.org\n{commands}\nsend\n");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Takes the file from others, as secrets must be.
pub(crate) fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
