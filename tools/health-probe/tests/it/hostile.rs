use std::io::Write;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::server::{answer, head, http, serve};
use crate::tool::{Output, command, run};

fn probe(port: u16, more: serde_json::Value) -> Output {
    let mut check = json!({"url": format!("http://127.0.0.1:{port}/")});
    check.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let started = Instant::now();
    let output = run(&["run", "--no-second-look"], json!([{"id": "x", "timeout": "700ms", "http": check}]));
    assert!(started.elapsed() < Duration::from_millis(2500), "took {:?}", started.elapsed());
    output
}

fn reason(port: u16, more: serde_json::Value) -> String {
    probe(port, more).check("x")["reason"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_server_that_says_nothing() {
    let port = serve(|_stream| sleep(Duration::from_secs(5)));
    let output = probe(port, json!({}));
    let check = output.check("x");
    assert_eq!(check["reason"], "timeout");
    assert!(check["message"].as_str().unwrap().contains("waiting for the answer"));
}

#[test]
fn a_body_that_drips() {
    let port = serve(|mut stream| {
        head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
        while stream.write_all(b"x").is_ok() {
            sleep(Duration::from_millis(100));
        }
    });
    assert_eq!(reason(port, json!({})), "timeout");
}

#[test]
fn a_head_without_an_end() {
    let port = serve(|mut stream| {
        head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    });
    assert_eq!(reason(port, json!({})), "http_protocol");
    let port = serve(|mut stream| {
        head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(b"X-More: and more and more and more and more\r\n").is_ok() {}
    });
    assert_eq!(reason(port, json!({})), "http_protocol");
}

#[test]
fn a_body_of_a_gigabyte_takes_neither_time_nor_memory() {
    let port = serve(|mut stream| {
        head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n");
        let block = vec![b'x'; 65536];
        for _ in 0..16384 {
            if stream.write_all(&block).is_err() {
                return;
            }
        }
    });
    assert_eq!(probe(port, json!({})).code, 0);
    assert_eq!(reason(port, json!({"body": [{"contains": "y"}]})), "body_too_large");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("checks.json");
    let checks = json!([{"id": "x", "http": {"url": format!("http://127.0.0.1:{port}/")}}]);
    std::fs::write(&file, json!({"schema": "health.checks/v1", "checks": checks}).to_string()).unwrap();
    // The limit of the address space is far below what the body would take.
    let program = env!("CARGO_BIN_EXE_health-probe");
    let script = format!("ulimit -v 300000; exec {program} run {}", file.display());
    let status = std::process::Command::new("sh").args(["-c", &script]).output().unwrap().status;
    assert!(status.success());
}

#[test]
fn connections_that_are_cut_and_answers_that_are_no_http() {
    let empty = serve(|mut stream| drop(head(&mut stream)));
    assert!(["http_empty_reply", "connect_reset"].contains(&reason(empty, json!({})).as_str()));
    assert_eq!(probe(empty, json!({"closes": true})).code, 0);
    assert_eq!(reason(http(answer("200 OK", "")), json!({"closes": true})), "http_answered");
    assert_eq!(reason(http("SSH-2.0-OpenSSH_9.2\r\n\r\n"), json!({})), "http_protocol");
}

#[test]
fn redirects_fake_no_health() {
    let login =
        http("HTTP/1.1 302 Found\r\nLocation: https://login.example.org/?token=abc\r\nContent-Length: 0\r\n\r\n");
    let output = probe(login, json!({"redirects": 5}));
    let check = output.check("x");
    assert_eq!(
        (check["state"].as_str().unwrap(), check["reason"].as_str().unwrap()),
        ("degraded", "http_redirect_external")
    );
    assert!(!output.stdout.contains("abc"));
    assert_eq!(probe(login, json!({"status": [302]})).code, 0);
    let around = http("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(reason(around, json!({"redirects": 5})), "http_redirect_loop");
    assert_eq!(
        reason(http("HTTP/1.1 301 Moved\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n"), json!({"redirects": 0})),
        "http_status"
    );
    let counter = std::sync::atomic::AtomicU32::new(0);
    let endless = serve(move |mut stream| {
        head(&mut stream);
        let next = counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let _ = stream
            .write_all(format!("HTTP/1.1 302 Found\r\nLocation: /{next}x\r\nContent-Length: 0\r\n\r\n").as_bytes());
    });
    assert_eq!(reason(endless, json!({"redirects": 5})), "http_redirect_loop");
}

#[test]
fn a_signal_ends_it_with_its_code() {
    let port = serve(|_stream| sleep(Duration::from_secs(30)));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("checks.json");
    let checks = json!([{"id": "x", "timeout": "30s", "tcp": {"address": format!("127.0.0.1:{port}"), "banner": "x"}}]);
    std::fs::write(&file, json!({"schema": "health.checks/v1", "checks": checks}).to_string()).unwrap();
    let mut child = command(&["run", file.to_str().unwrap()])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    sleep(Duration::from_millis(500));
    std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

/// Peak of memory (MiB) and time of one run of this check.
fn measured(check: serde_json::Value) -> (f64, Duration, serde_json::Value) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("checks.json");
    let mut check = check;
    check["id"] = json!("x");
    check["timeout"] = json!("1s");
    std::fs::write(&file, json!({"schema": "health.checks/v1", "checks": [check]}).to_string()).unwrap();
    // The shell waits for it, and tells the peak of its children.
    let script = "import os,sys\npid=os.posix_spawn(sys.argv[1],sys.argv[1:],os.environ)\n\
                  usage=os.wait4(pid,0)[2]\nprint(usage.ru_maxrss,file=sys.stderr)";
    let started = Instant::now();
    let output = std::process::Command::new("python3")
        .args(["-c", script, env!("CARGO_BIN_EXE_health-probe"), "run", "--no-second-look", file.to_str().unwrap()])
        .output()
        .unwrap();
    let took = started.elapsed();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let peak: f64 = stderr.trim().parse().unwrap_or_else(|_| panic!("{stderr}"));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    (peak / 1024.0, took, report["checks"][0].clone())
}

#[test]
fn no_server_takes_more_time_or_memory_than_it_is_given() {
    if !crate::tool::has("python3", "apt-get install -y python3") {
        return;
    }
    /// Writes the same until the other side is tired of it.
    fn flood(mut stream: std::net::TcpStream, begin: &[u8], again: &[u8]) {
        let _ = stream.write_all(begin);
        let block = again.repeat(65536 / again.len() + 1);
        while stream.write_all(&block).is_ok() {}
    }
    let body = serve(|mut stream| {
        head(&mut stream);
        flood(stream, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10\r\n0123456789abcdef\r\n");
    });
    let headers = serve(|mut stream| {
        head(&mut stream);
        flood(stream, b"HTTP/1.1 200 OK\r\n", b"X-More: and more and more\r\n");
    });
    let hints = serve(|mut stream| {
        head(&mut stream);
        flood(stream, b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
    });
    let noise = serve(|stream| flood(stream, b"", b"\x00\xff\x17\x03 no line ends here "));
    let lines = serve(|stream| flood(stream, b"", b"220-and so on\r\n"));
    let frames = serve(|mut stream| {
        head(&mut stream);
        flood(stream, b"HTTP/1.1 101 Switching\r\n", b"X-More: and more\r\n");
    });
    let address = |port: u16| format!("127.0.0.1:{port}");
    let http = |port: u16| json!({"http": {"url": format!("http://127.0.0.1:{port}/"), "body": [{"contains": "?"}]}});
    for (name, check) in [
        ("a body without an end", http(body)),
        ("headers without an end", http(headers)),
        ("hints without an end", http(hints)),
        ("noise as HTTP", http(noise)),
        ("noise as TLS", json!({"tls": {"address": address(noise)}})),
        ("noise as a banner", json!({"tcp": {"address": address(noise), "banner": "never"}})),
        ("noise as PostgreSQL", json!({"postgres": {"address": address(noise)}})),
        ("noise as Redis", json!({"redis": {"address": address(noise)}})),
        ("noise as SSH", json!({"ssh": {"address": address(noise)}})),
        ("noise as Zabbix", json!({"zabbix": {"address": address(noise)}})),
        ("lines without an end as SSH", json!({"ssh": {"address": address(lines)}})),
        ("lines without an end as mail", json!({"mail": {"address": address(lines), "protocol": "smtp"}})),
        ("lines without an end as IMAP", json!({"mail": {"address": address(lines), "protocol": "imap"}})),
        ("lines without an end as POP3", json!({"mail": {"address": address(lines), "protocol": "pop3"}})),
        ("an upgrade without an end", json!({"websocket": {"url": format!("ws://127.0.0.1:{frames}/")}})),
        ("noise as WebSocket", json!({"websocket": {"url": format!("ws://127.0.0.1:{noise}/")}})),
    ] {
        let (peak, took, seen) = measured(check);
        assert!(peak < 40.0, "{name}: {peak} MiB");
        assert!(took < Duration::from_millis(2500), "{name}: {took:?}");
        assert_eq!(seen["state"], "down", "{name}: {seen}");
        assert_ne!(seen["reason"], "internal", "{name}: {seen}");
    }
}
