use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::server::{free_port, head, serve};
use crate::tool::run;

#[test]
fn it_waits_until_it_is_healthy_and_prints_one_document() {
    let port = free_port();
    let late = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(700));
        TcpListener::bind(("127.0.0.1", port)).unwrap()
    });
    let checks = json!([{"id": "x", "tcp": {"address": format!("127.0.0.1:{port}")}}]);
    let output = run(&["run", "--wait", "10s", "--stable", "3", "--interval", "100ms"], checks);
    let _listener = late.join().unwrap();
    assert_eq!(output.code, 0);
    assert_eq!(output.stdout.matches("\"schema\"").count(), 1);
    let report = output.json();
    assert_eq!(report["status"], "up");
    assert!(report["rounds"].as_u64().unwrap() >= 4);
}

#[test]
fn the_time_to_wait_is_kept() {
    let silent = serve(|_stream| std::thread::sleep(Duration::from_secs(20)));
    let checks = json!([
        {"id": "silent", "timeout": "30s", "tcp": {"address": format!("127.0.0.1:{silent}"), "banner": "x"}},
        {"id": "refused", "tcp": {"address": "127.0.0.1:1"}}
    ]);
    let started = Instant::now();
    let output = run(&["run", "--wait", "1s", "--interval", "100ms"], checks);
    assert!(started.elapsed() < Duration::from_millis(1900), "{:?}", started.elapsed());
    assert_eq!(output.code, 1);
    assert_eq!(output.json()["deadline_exceeded"], true);
    assert_eq!(output.check("silent")["reason"], "not_reached");
    assert_eq!(output.check("refused")["state"], "down");
}

#[test]
fn a_moment_of_trouble_is_no_root_cause() {
    let count = Arc::new(AtomicU32::new(0));
    let port = {
        let count = Arc::clone(&count);
        serve(move |mut stream| {
            head(&mut stream);
            let first = count.fetch_add(1, Ordering::Relaxed) == 0;
            let status = if first { "503 Service Unavailable" } else { "200 OK" };
            let _ = stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes());
        })
    };
    let output = run(&["run"], json!([{"id": "x", "http": {"url": format!("http://127.0.0.1:{port}/")}}]));
    assert_eq!(output.code, 0);
    assert_eq!((output.check("x")["flaky"].as_bool(), output.check("x")["attempts"].as_u64()), (Some(true), Some(2)));
}

#[test]
fn many_silent_ones_do_not_add_up() {
    let silent = serve(|_stream| std::thread::sleep(Duration::from_secs(20)));
    let checks: Vec<_> = (0..100)
        .map(|at| json!({"id": format!("c{at}"), "tcp": {"address": format!("127.0.0.1:{silent}"), "banner": "x"}}))
        .collect();
    let started = Instant::now();
    let args = ["run", "--timeout", "500ms", "--per-host", "64", "--no-second-look"];
    assert_eq!(run(&args, json!(checks)).code, 1);
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}
