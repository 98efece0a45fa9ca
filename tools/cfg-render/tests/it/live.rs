//! The rendered nginx, running: what it answers, what it refuses, and what comes back of hostile texts.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::formats::certificates;
use crate::run::{files, is_root, peer};

struct Nginx {
    process: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGQUIT lets the master end its workers.
        if let Some(pid) = rustix::process::Pid::from_raw(self.process.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        }
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts the nginx of a fleet with these routes of one static site.
fn start(routes: serde_json::Value) -> Option<Nginx> {
    let program = peer("nginx", "apt-get install nginx-light=1.22.1-9+deb12u10")?;
    if !is_root() {
        eprintln!("skipped: the rendered nginx changes to www-data (run as root)");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let root = folder.path().to_str().unwrap();
    let port = free_port();
    let fleet = json!({
        "schema": "fleet/v1", "name": "live", "domain": "live.test",
        "hosts": {"web": {"os": "debian-12", "addresses": {"public": ["192.0.2.1"]},
            "ssh": {"keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me"]},
            "proxy": {"http_port": port, "https_port": free_port(), "security_headers": {"defaults": false}}}},
        "services": {"site": {"host": "web", "run": {"static": {"root": format!("{root}/srv")}}, "proxy": routes, "backup": {"none": "a test"}}}
    });
    fs::create_dir_all(folder.path().join("log")).unwrap();
    fs::create_dir_all(folder.path().join("srv")).unwrap();
    fs::write(folder.path().join("srv/index.html"), "hello\n").unwrap();
    for (path, text) in files(&fleet, "web").iter().filter(|(path, _)| path.starts_with("/etc/nginx/")) {
        let text = text
            .replace("/etc/nginx/plumbline.d", &format!("{root}/etc/nginx/plumbline.d"))
            .replace("/var/lib/plumbline", &format!("{root}/lib"))
            .replace("/var/log/nginx", &format!("{root}/log"))
            .replace("/run/nginx.pid", &format!("{root}/pid"));
        certificates(&text, folder.path());
        let path = folder.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let process = Command::new(program)
        .args(["-g", "daemon off;", "-c"])
        .arg(Path::new(root).join("etc/nginx/nginx.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let nginx = Nginx { process, port, _folder: folder };
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(10), "nginx does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(nginx)
}

/// The whole answer to a request; empty where the connection is closed without one.
fn ask(port: u16, host: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let _ = stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes());
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    answer.lines().find_map(|line| {
        line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    })
}

#[test]
fn unknown_names_get_no_answer_and_known_ones_theirs() {
    let Some(nginx) = start(json!([
        {"names": ["live.test"], "tls": "none", "accept_risk": ["public-plaintext"]},
        {"names": ["old.live.test"], "tls": "none", "redirect": "https://new.live.test/to", "accept_risk": ["public-plaintext"]},
        {"names": ["inside.live.test"], "tls": "internal"}
    ])) else {
        return;
    };
    assert!(ask(nginx.port, "live.test", "/").ends_with("hello\n"));
    assert!(ask(nginx.port, "live.test", "/nothing").starts_with("HTTP/1.1 404 "));
    assert_eq!(ask(nginx.port, "unknown.test", "/"), "");
    assert_eq!(ask(nginx.port, "192.0.2.1", "/"), "");
    let moved = ask(nginx.port, "old.live.test", "/a?b=c");
    assert!(moved.starts_with("HTTP/1.1 308 "), "{moved}");
    // A name with a certificate is led there, by its own name and not by what the client sent.
    let secure = ask(nginx.port, "INSIDE.live.test", "/x");
    assert!(secure.starts_with("HTTP/1.1 301 "), "{secure}");
    let target = header(&secure, "Location").unwrap();
    assert!(target.starts_with("https://inside.live.test:") && target.ends_with("/x"), "{target}");
    assert_eq!(header(&moved, "Location"), Some("https://new.live.test/to/a?b=c"));
}

#[test]
fn of_sixty_requests_at_once_twenty_one_pass() {
    let Some(nginx) = start(json!([
        {"names": ["live.test"], "tls": "none", "limits": {"rate": "10r/s", "burst": 20}, "accept_risk": ["public-plaintext"]}
    ])) else {
        return;
    };
    let port = nginx.port;
    // All connections first, so that the requests come at one moment.
    let mut streams: Vec<_> = (0..60).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    let begun = Instant::now();
    for stream in &mut streams {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: live.test\r\nConnection: close\r\n\r\n").unwrap();
    }
    let sent = begun.elapsed();
    let mut passed = 0;
    for stream in &mut streams {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") || answer.starts_with("HTTP/1.1 429 "), "{answer}");
        passed += usize::from(answer.starts_with("HTTP/1.1 200 "));
    }
    // One more may pass for every tenth of a second that a busy machine took to send them.
    let late = usize::try_from(begun.elapsed().as_millis() / 100).unwrap();
    assert!((21..=21 + late).contains(&passed), "{passed} passed, sent in {sent:?}");
}

#[test]
fn hostile_values_of_headers_come_back_as_they_were() {
    let values = [
        "plain",
        "two words",
        "say \"hi\"",
        "it's",
        "semi;colon",
        "brace } {",
        "back\\slash",
        "ends\\",
        "$remote_addr",
        "${x}",
        "a$",
        "#comment",
        "\\n \\t \\\\ \\\"",
        "~^regex$",
        "100% {{x}} @@",
        "ümläut €",
    ];
    let headers: Vec<_> = values
        .iter()
        .enumerate()
        .map(|(index, value)| json!({"name": format!("X-V{index}"), "value": value}))
        .collect();
    let Some(nginx) = start(
        json!([{"names": ["live.test"], "tls": "none", "headers": headers, "accept_risk": ["public-plaintext"]}]),
    ) else {
        return;
    };
    let answer = ask(nginx.port, "live.test", "/");
    for (index, value) in values.iter().enumerate() {
        assert_eq!(header(&answer, &format!("X-V{index}")), Some(*value), "{answer}");
    }
}
