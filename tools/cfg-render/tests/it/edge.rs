//! nginx as an edge, running: single sign-on at the door, forged headers, and a proxy behind it that is verified.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::run::{files, is_root, peer};

pub(crate) struct Nginx {
    process: Child,
}

impl Nginx {
    /// Reads its files again.
    pub(crate) fn reload(&self) {
        self.signal(rustix::process::Signal::HUP);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.process.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.signal(rustix::process::Signal::QUIT);
        let _ = self.process.wait();
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Puts the files of a host's nginx into a folder, with all places inside it, and gives that of its configuration.
pub(crate) fn place(fleet: &Value, host: &str, folder: &Path) -> std::path::PathBuf {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    let root = folder.to_str().unwrap();
    fs::create_dir_all(folder.join("log")).unwrap();
    for (path, text) in files(fleet, host).iter().filter(|(path, _)| path.starts_with("/etc/nginx/")) {
        let text = text
            .replace("/etc/nginx/plumbline.d", &format!("{root}/etc/nginx/plumbline.d"))
            .replace("/var/lib/plumbline", &format!("{root}/lib"))
            .replace("/var/lib/acme", &format!("{root}/acme"))
            .replace("/var/log/nginx", &format!("{root}/log"))
            .replace("/run/nginx.pid", &format!("{root}/pid"));
        let path = folder.join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder.join("etc/nginx/nginx.conf")
}

/// Starts nginx, which must come to listen there.
pub(crate) fn start(program: &Path, conf: &Path, listens: (&str, u16)) -> Nginx {
    let process = Command::new(program)
        .args(["-g", "daemon off;", "-c"])
        .arg(conf)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let nginx = Nginx { process };
    let begun = Instant::now();
    while TcpStream::connect(listens).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(10), "nginx does not listen on {listens:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    nginx
}

/// A server that answers each request by what a function makes of its head. It ends with the test's process.
pub(crate) fn serve(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || {
                let mut reader = BufReader::new(&stream);
                let mut head = String::new();
                while reader.read_line(&mut head).is_ok_and(|read| read > 2) {}
                let _ = (&stream).write_all(answer(&head).as_bytes());
            });
        }
    });
    port
}

/// The whole answer to a request with these lines in its head.
pub(crate) fn ask(port: u16, host: &str, path: &str, lines: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    // Caddy compares also the password of somebody whom it does not know, which takes a busy machine many seconds.
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let _ =
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{lines}Connection: close\r\n\r\n").as_bytes());
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn echo(head: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{head}", head.len())
}

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me";

#[test]
fn who_is_not_logged_in_comes_no_further_than_the_door() {
    let Some(program) = peer("nginx", "apt-get install nginx-light=1.22.1-9+deb12u10") else { return };
    if !is_root() {
        eprintln!("skipped: the rendered nginx changes to www-data (run as root)");
        return;
    }
    let app = serve(echo);
    let provider = serve(|head| {
        let known = head.lines().any(|line| line.eq_ignore_ascii_case("cookie: session=good"));
        let asked = head.starts_with("GET /outpost.goauthentik.io/auth/nginx ") || head.starts_with("POST /outpost");
        match (asked, known) {
            (true, true) => {
                "HTTP/1.1 200 OK\r\nX-Authentik-Username: ann\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into()
            }
            (true, false) => "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into(),
            (false, _) => echo(head),
        }
    });
    let port = free_port();
    let fleet = json!({
        "schema": "fleet/v1", "name": "door", "domain": "door.test",
        "hosts": {"web": {"os": "debian-12", "addresses": {"public": ["192.0.2.1"]}, "ssh": {"keys": [KEY]},
            "proxy": {"http_port": port, "https_port": free_port()}}},
        "sso": {"gate": {"service": "authentik"}},
        "services": {
            "authentik": {"host": "web", "run": {"systemd": {"exec": ["/bin/true"]}}, "ports": {"http": provider}, "backup": {"none": "a test"}},
            "app": {"host": "web", "run": {"systemd": {"exec": ["/bin/true"]}}, "ports": {"http": app}, "backup": {"none": "a test"},
                "proxy": [{"names": ["app.door.test"], "tls": "none", "accept_risk": ["public-plaintext"],
                    "auth": {"forward": {"provider": "gate", "except": ["/open"]}}}]}
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let conf = place(&fleet, "web", folder.path());
    let _nginx = start(&program, &conf, ("127.0.0.1", port));
    let forged = "X-Authentik-Username: root\r\nX-Forwarded-For: 203.0.113.66\r\nX-Forwarded-Proto: https\r\n";
    let closed = ask(port, "app.door.test", "/secret?x=1", forged);
    assert!(closed.starts_with("HTTP/1.1 302 "), "{closed}");
    assert!(closed.contains("/outpost.goauthentik.io/start?rd=http://app.door.test/secret?x=1"), "{closed}");
    assert!(!closed.contains("X-Forwarded-For"), "the app was reached: {closed}");
    let open = ask(port, "app.door.test", "/secret", &format!("{forged}Cookie: session=good\r\n"));
    assert!(open.starts_with("HTTP/1.1 200 "), "{open}");
    let lower = open.to_ascii_lowercase();
    assert!(lower.contains("x-authentik-username: ann\r\n") && !lower.contains("username: root"), "{open}");
    assert!(lower.contains("x-forwarded-for: 127.0.0.1\r\n") && !open.contains("203.0.113.66"), "{open}");
    assert!(lower.contains("x-forwarded-proto: http\r\n"), "{open}");
    let except = ask(port, "app.door.test", "/open/page", forged);
    assert!(except.starts_with("HTTP/1.1 200 ") && except.contains("GET /open/page "), "{except}");
    assert!(!except.to_ascii_lowercase().contains("username: root"), "{except}");
    // The provider's own pages are reached through the same name.
    let pages = ask(port, "app.door.test", "/outpost.goauthentik.io/start?rd=x", "");
    assert!(pages.contains("GET /outpost.goauthentik.io/start?rd=x "), "{pages}");
}

#[test]
fn the_proxy_behind_must_show_the_name_that_was_asked_for() {
    let Some(program) = peer("nginx", "apt-get install nginx-light=1.22.1-9+deb12u10") else { return };
    if !is_root() {
        eprintln!("skipped: the rendered nginx changes to www-data (run as root)");
        return;
    }
    let app = serve(echo);
    let (port, inner) = (free_port(), free_port());
    let fleet = json!({
        "schema": "fleet/v1", "name": "twice", "domain": "twice.test",
        "networks": {"lan": {"cidrs": ["127.0.0.0/8"]}},
        "hosts": {
            "edge": {"os": "debian-12", "addresses": {"public": ["192.0.2.1"], "lan": ["127.0.0.1"]}, "ssh": {"keys": [KEY]},
                "proxy": {"http_port": port, "https_port": free_port()}},
            "back": {"os": "debian-12", "addresses": {"lan": ["127.0.0.2"]}, "ssh": {"keys": [KEY], "from": ["lan"]},
                "proxy": {"http_port": free_port(), "https_port": inner, "listen": ["lan"], "real_ip_from": ["edge"]}}
        },
        "services": {"app": {"host": "back", "run": {"systemd": {"exec": ["/bin/true"]}}, "ports": {"http": app}, "backup": {"none": "a test"},
            "proxy": [{"names": ["app.twice.test"], "via": "edge", "tls": "none", "accept_risk": ["public-plaintext"],
                "backend": {"through": "proxy", "tls": "internal"}}]}}
    });
    let (edge, back) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (edge_conf, back_conf) = (place(&fleet, "edge", edge.path()), place(&fleet, "back", back.path()));
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    ca.distinguished_name.push(rcgen::DnType::CommonName, "the CA of this test");
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let leaf = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate =
            rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let folder = back.path().join("lib/tls/app.twice.test");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("fullchain.pem"), certificate.pem()).unwrap();
        fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    };
    fs::create_dir_all(edge.path().join("lib/tls")).unwrap();
    fs::write(edge.path().join("lib/tls/ca.pem"), ca_pem).unwrap();
    leaf("app.twice.test");
    let behind = start(&program, &back_conf, ("127.0.0.2", inner));
    let front = start(&program, &edge_conf, ("127.0.0.1", port));
    let answer = ask(port, "app.twice.test", "/x", "X-Forwarded-For: 203.0.113.66\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("GET /x "), "{answer}");
    // The client's address as the edge saw it, through both.
    assert!(answer.to_ascii_lowercase().contains("x-real-ip: 127.0.0.1\r\n"), "{answer}");
    assert!(!answer.contains("203.0.113.66"), "{answer}");
    leaf("other.twice.test");
    behind.reload();
    // A session is taken up again without a certificate: the edge forgets those it made with the one behind as it was.
    front.reload();
    let begun = Instant::now();
    let refused = loop {
        let answer = ask(port, "app.twice.test", "/x", "");
        if answer.starts_with("HTTP/1.1 502 ") || begun.elapsed() > Duration::from_secs(10) {
            break answer;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    assert!(refused.starts_with("HTTP/1.1 502 "), "a certificate for another name was taken: {refused}");
}

#[test]
fn an_idle_websocket_passes() {
    let Some(program) = peer("nginx", "apt-get install nginx-light=1.22.1-9+deb12u10") else { return };
    if !is_root() {
        eprintln!("skipped: the rendered nginx changes to www-data (run as root)");
        return;
    }
    // It switches protocols and sends one frame after a while of silence.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let app = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(&stream);
            let mut head = String::new();
            while reader.read_line(&mut head).is_ok_and(|read| read > 2) {}
            let upgrade = head.to_ascii_lowercase().contains("upgrade: websocket");
            let status = if upgrade { "101 Switching Protocols" } else { "400 Bad Request" };
            let _ = (&stream).write_all(
                format!("HTTP/1.1 {status}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n").as_bytes(),
            );
            std::thread::sleep(Duration::from_millis(1500));
            let _ = (&stream).write_all(b"\x81\x02hi");
        }
    });
    let port = free_port();
    let fleet = json!({
        "schema": "fleet/v1", "name": "ws", "domain": "ws.test",
        "hosts": {"web": {"os": "debian-12", "addresses": {"public": ["192.0.2.1"]}, "ssh": {"keys": [KEY]},
            "proxy": {"http_port": port, "https_port": free_port()}}},
        "services": {"app": {"host": "web", "run": {"systemd": {"exec": ["/bin/true"]}}, "ports": {"http": app}, "backup": {"none": "a test"},
            "proxy": [{"names": ["app.ws.test"], "tls": "none", "accept_risk": ["public-plaintext"]}]}}
    });
    let folder = tempfile::tempdir().unwrap();
    let conf = place(&fleet, "web", folder.path());
    let _nginx = start(&program, &conf, ("127.0.0.1", port));
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
        .write_all(b"GET /live HTTP/1.1\r\nHost: app.ws.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        .unwrap();
    let mut got = Vec::new();
    let mut buffer = [0; 1024];
    while !got.ends_with(b"\x81\x02hi") {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "closed: {}", String::from_utf8_lossy(&got));
        got.extend_from_slice(&buffer[..read]);
    }
    assert!(got.starts_with(b"HTTP/1.1 101 "));
}

#[test]
fn caddy_asks_at_the_door_too() {
    let Some(program) = peer("caddy", "apt-get install caddy=2.6.2-5") else { return };
    let app = serve(echo);
    let provider = serve(|head| {
        let known = head.lines().any(|line| line.eq_ignore_ascii_case("cookie: session=good"));
        if !head.starts_with("GET /outpost.goauthentik.io/auth/caddy ") {
            return echo(head);
        }
        if known {
            "HTTP/1.1 200 OK\r\nX-Authentik-Username: ann\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into()
        } else {
            "HTTP/1.1 302 Found\r\nLocation: /outpost.goauthentik.io/start\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into()
        }
    });
    let port = free_port();
    let fleet = json!({
        "schema": "fleet/v1", "name": "door", "domain": "door.test", "networks": {"lan": {"cidrs": ["198.51.100.0/24"]}},
        "hosts": {"web": {"os": "debian-12", "addresses": {"public": ["192.0.2.1"], "lan": ["198.51.100.1"]}, "ssh": {"keys": [KEY]},
            "proxy": {"kind": "caddy", "http_port": port, "https_port": free_port()}, "extra": {"caddy": {"global": ["admin off"]}}}},
        "sso": {"gate": {"service": "authentik"}},
        "services": {
            "authentik": {"host": "web", "run": {"systemd": {"exec": ["/bin/true"]}}, "ports": {"http": provider}, "backup": {"none": "a test"}},
            "app": {"host": "web", "run": {"systemd": {"exec": ["/bin/true"]}}, "ports": {"http": app}, "backup": {"none": "a test"},
                "proxy": [
                    {"names": ["app.door.test"], "tls": "none", "accept_risk": ["public-plaintext"], "auth": {"forward": {"provider": "gate", "except": ["/open"]}}},
                    {"names": ["in.door.test"], "tls": "none", "from": ["lan"], "auth": {"forward": {"provider": "gate"}}}
                ]}
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let text = &files(&fleet, "web").into_iter().find(|(path, _)| path == "/etc/caddy/Caddyfile").unwrap().1;
    let path = folder.path().join("Caddyfile");
    fs::write(&path, text).unwrap();
    struct Caddy(Child);
    impl Drop for Caddy {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
    let mut command = Command::new(program);
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&path);
    for variable in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
        command.env(variable, folder.path());
    }
    let _caddy = Caddy(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(10), "caddy does not listen\n{text}");
        std::thread::sleep(Duration::from_millis(20));
    }
    let forged = "X-Authentik-Username: root\r\nX-Forwarded-For: 203.0.113.66\r\n";
    let closed = ask(port, "app.door.test", "/secret", forged);
    assert!(closed.starts_with("HTTP/1.1 302 "), "{closed}\n{text}");
    let open = ask(port, "app.door.test", "/secret", &format!("{forged}Cookie: session=good\r\n"));
    let lower = open.to_ascii_lowercase();
    assert!(open.starts_with("HTTP/1.1 200 "), "{open}");
    assert!(lower.contains("x-authentik-username: ann\r\n") && !lower.contains("username: root"), "{open}");
    assert!(!open.contains("203.0.113.66"), "{open}");
    let except = ask(port, "app.door.test", "/open/page", forged);
    assert!(except.starts_with("HTTP/1.1 200 ") && !except.to_ascii_lowercase().contains("username: root"), "{except}");
    let pages = ask(port, "app.door.test", "/outpost.goauthentik.io/start", "");
    assert!(pages.contains("GET /outpost.goauthentik.io/start "), "{pages}");
    // From loopback one is let in, as everywhere; nobody else would be asked before being turned away.
    let inside = text.split("in.door.test").last().unwrap();
    let (turned, asked) = (inside.find("respond @outside 403").unwrap(), inside.find("forward_auth").unwrap());
    assert!(turned < asked, "{text}");
    // A name that is not here gets no answer.
    assert_eq!(ask(port, "unknown.test", "/", ""), "");
}
