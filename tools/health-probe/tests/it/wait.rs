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

/// A server that is healthy from the n-th request on.
fn healthy_from(nth: u32) -> (u16, Arc<AtomicU32>) {
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    let port = serve(move |mut stream| {
        head(&mut stream);
        let status = if counted.fetch_add(1, Ordering::Relaxed) + 1 >= nth { "200 OK" } else { "503 Busy" };
        let _ = stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes());
    });
    (port, count)
}

#[test]
fn only_what_is_not_good_is_looked_at_again_and_all_of_it_at_the_end() {
    let (late, _) = healthy_from(4);
    let (early, early_count) = healthy_from(1);
    let url = |port: u16| json!({"url": format!("http://127.0.0.1:{port}/")});
    let checks = json!([{"id": "late", "http": url(late)}, {"id": "early", "http": url(early)}]);
    let output = run(&["run", "--wait", "10s", "--interval", "20ms"], checks);
    assert_eq!(output.code, 0, "{}", output.stdout);
    // Once at the beginning, once in the round that confirms.
    assert_eq!(early_count.load(Ordering::Relaxed), 2);
}

#[test]
fn rounds_get_further_apart() {
    let (never, count) = healthy_from(u32::MAX);
    let checks = json!([{"id": "x", "http": {"url": format!("http://127.0.0.1:{never}/")}}]);
    let started = Instant::now();
    let output = run(&["run", "--wait", "2s", "--interval", "100ms"], checks);
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(1900) && took < Duration::from_millis(2600), "{took:?}");
    assert_eq!((output.code, output.json()["deadline_exceeded"].as_bool()), (1, Some(true)));
    // 100, 150, 225, 337, 506 ms ...: with a rest of 100 ms each time there would be twenty.
    let rounds = count.load(Ordering::Relaxed);
    assert!((4..=12).contains(&rounds), "{rounds}");
}

fn signalled(args: &[&str], checks: serde_json::Value, after: Duration, signal: &str) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("checks.json");
    std::fs::write(&file, json!({"schema": "health.checks/v1", "checks": checks}).to_string()).unwrap();
    let child = crate::tool::command(&[args, &[file.to_str().unwrap()]].concat())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(after);
    std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_signal_leaves_the_last_whole_round() {
    let checks = json!([{"id": "x", "tcp": {"address": "127.0.0.1:1"}}]);
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let args = ["run", "--wait", "60s", "--interval", "50ms"];
        let (ended, stdout) = signalled(&args, checks.clone(), Duration::from_millis(600), signal);
        assert_eq!(ended, Some(code));
        let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(report["interrupted"], true);
        assert_eq!(report["root_causes"][0]["id"], "x");
        assert!(report["rounds"].as_u64().unwrap() >= 1);
    }
    // Before there was a whole round there is nothing to say.
    let silent = serve(|_stream| std::thread::sleep(Duration::from_secs(20)));
    let checks =
        json!([{"id": "x", "timeout": "20s", "tcp": {"address": format!("127.0.0.1:{silent}"), "banner": "x"}}]);
    let (ended, stdout) = signalled(&["run", "--wait", "60s"], checks, Duration::from_millis(500), "-INT");
    assert_eq!((ended, stdout.as_str()), (Some(130), ""));
}

#[test]
fn an_expensive_check_waits_for_what_it_needs() {
    let (port, count) = healthy_from(1);
    let url = json!({"url": format!("http://127.0.0.1:{port}/")});
    let checks = |needed: u16| {
        json!([
            {"id": "last", "needs": ["dear"], "run": "after_needs", "http": url},
            {"id": "dear", "needs": ["cheap"], "run": "after_needs", "http": url},
            {"id": "cheap", "tcp": {"address": format!("127.0.0.1:{needed}")}}
        ])
    };
    let output = run(&["run", "--no-second-look"], checks(free_port()));
    assert_eq!(count.load(Ordering::Relaxed), 0, "nobody asked");
    for id in ["dear", "last"] {
        assert_eq!(output.check(id)["state"], "skipped", "{}", output.stdout);
        assert_eq!(output.check(id)["blocked_by"], json!(["cheap"]));
    }
    assert_eq!(output.json()["root_causes"][0]["impacts"], json!(["last", "dear"]));
    let output = run(&["run", "--no-second-look"], checks(port));
    assert_eq!((output.code, output.check("last")["state"].as_str()), (0, Some("up")), "{}", output.stdout);
}

#[test]
fn what_died_after_it_was_seen_is_found_by_the_second_look() {
    // The need answers the first look only; its dependant hangs once, as if it had lost it on the way.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let need = listener.local_addr().unwrap().port();
    std::thread::spawn(move || drop(listener.accept()));
    let (app, _) = healthy_from(u32::MAX);
    let checks = json!([
        {"id": "db", "tcp": {"address": format!("127.0.0.1:{need}")}},
        {"id": "app", "needs": ["db"], "http": {"url": format!("http://127.0.0.1:{app}/")}}
    ]);
    let output = run(&["run"], checks);
    let report = output.json();
    assert_eq!(report["root_causes"][0]["id"], "db", "{}", output.stdout);
    assert_eq!(output.check("app")["state"], "unreachable");
}
