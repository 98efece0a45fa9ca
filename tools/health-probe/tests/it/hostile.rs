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
        reason(http("HTTP/1.1 301 Moved\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n"), json!({})),
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
