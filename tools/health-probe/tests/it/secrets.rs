use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::server::{head, http, serve};
use crate::tool::{command, run};

const CANARY: &str = "c4n4ry-v3ry-s3cr3t";

/// A directory with one secret in it.
fn secrets() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    std::fs::write(&path, CANARY).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
    directory
}

#[test]
fn a_secret_stays_in_its_header() {
    let directory = secrets();
    let heard = Arc::new(Mutex::new(Vec::<String>::new()));
    // Another port of the same host: a redirect leads there, the secret must not.
    let other_heard = Arc::clone(&heard);
    let other = serve(move |mut stream| {
        other_heard.lock().unwrap().push(head(&mut stream));
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    let first_heard = Arc::new(Mutex::new(String::new()));
    let first = {
        let first_heard = Arc::clone(&first_heard);
        serve(move |mut stream| {
            *first_heard.lock().unwrap() = head(&mut stream);
            let answer =
                format!("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{other}/x\r\nContent-Length: 0\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes());
        })
    };
    // A server that says back what it was told, in every place.
    let echo = http(format!(
        "HTTP/1.1 200 OK\r\nX-Echo: {CANARY}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{{\"a\":\"{CANARY}\"}}",
        CANARY.len() + 8
    ));
    let far =
        http(format!("HTTP/1.1 302 Found\r\nLocation: http://elsewhere.example/{CANARY}\r\nContent-Length: 0\r\n\r\n"));
    let header = json!([{"name": "Authorization", "secret_value": {"secret": "token"}}]);
    let url = |port: u16| format!("http://127.0.0.1:{port}/");
    let checks = json!([
        {"id": "redirected", "http": {"url": url(first), "headers": header, "redirects": 3}},
        {"id": "json", "http": {"url": url(echo), "headers": header, "body": [{"json": {"pointer": "/a", "equals": "b"}}]}},
        {"id": "header", "http": {"url": url(echo), "headers": header, "response_headers": [{"name": "X-Echo", "equals": "b"}]}},
        {"id": "far", "http": {"url": url(far), "headers": header}},
        {"id": "redis", "redis": {"address": format!("127.0.0.1:{echo}"), "password": {"secret": "token"}}}
    ]);
    let reports = tempfile::tempdir().unwrap();
    let mut args = vec!["run".to_owned(), "--secrets-dir".into(), directory.path().display().to_string(), "-v".into()];
    for format in ["junit", "tap", "nagios", "prometheus", "html", "text"] {
        args.extend(["--report".to_owned(), format!("{format}={}", reports.path().join(format).display())]);
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let output = run(&args, checks);
    assert!(first_heard.lock().unwrap().contains(CANARY), "the secret reached its own server");
    let heard = heard.lock().unwrap();
    assert!(!heard.is_empty() && heard.iter().all(|head| !head.contains(CANARY)), "{heard:?}");
    assert!(!output.stdout.contains(CANARY), "{}", output.stdout);
    assert!(!output.stderr.contains(CANARY), "{}", output.stderr);
    assert_eq!(output.check("json")["reason"], "body_mismatch");
    for entry in std::fs::read_dir(reports.path()).unwrap().flatten() {
        let text = std::fs::read_to_string(entry.path()).unwrap();
        assert!(!text.is_empty() && !text.contains(CANARY), "{}", entry.path().display());
    }
}

#[test]
fn a_secret_that_is_not_there_says_nothing_about_the_target() {
    let directory = tempfile::tempdir().unwrap();
    let checks = json!([{"id": "x", "http": {"url": "http://127.0.0.1:1/", "headers": [{"name": "X-Token", "secret_value": {"secret": "token"}}]}}]);
    let output = run(&["run", "--secrets-dir", directory.path().to_str().unwrap()], checks);
    assert_eq!((output.code, output.check("x")["state"].as_str().unwrap()), (1, "unknown"));
    assert_eq!(output.check("x")["reason"], "secret_missing");
}

#[test]
fn programs_run_only_with_consent_and_without_our_environment() {
    let checks = json!({"schema": "health.checks/v1", "checks": [
        {"id": "env", "exec": {"argv": ["sh", "-c", "env | grep -q CANARY && exit 2; echo 'fine|free=12%;80;90'"]}}
    ]});
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("c.json");
    std::fs::write(&file, checks.to_string()).unwrap();
    let file = file.to_str().unwrap();
    let refused = command(&["run", file]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stdout).contains("not_allowed"));
    let allowed = command(&["run", "--allow-exec", file]).env("CANARY", CANARY).output().unwrap();
    assert_eq!(allowed.status.code(), Some(0), "{}", String::from_utf8_lossy(&allowed.stdout));
    assert!(String::from_utf8_lossy(&allowed.stdout).contains("\"free\": 12"));
}

#[test]
fn a_secret_for_the_proxy_is_not_the_servers() {
    let directory = secrets();
    let heard = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&heard);
    // A proxy that opens a tunnel to itself, where it plays the server in clear.
    let proxy = serve(move |mut stream| {
        kept.lock().unwrap().push_str(&head(&mut stream));
        let _ = stream.write_all(b"HTTP/1.1 200 Go\r\n\r\n");
        let mut rest = [0; 4096];
        let length = std::io::Read::read(&mut stream, &mut rest).unwrap_or_default();
        kept.lock().unwrap().push_str(&String::from_utf8_lossy(&rest[..length]));
    });
    let header = json!([{"name": "Proxy-Authorization", "secret_value": {"secret": "token"}}]);
    let checks = json!([
        {"id": "x", "http": {"url": "https://www.example.org/", "proxy": format!("http://127.0.0.1:{proxy}"), "headers": header}}
    ]);
    let output = run(&["run", "--no-second-look", "--secrets-dir", directory.path().to_str().unwrap()], checks);
    let heard = heard.lock().unwrap();
    let (tunnel, inside) = heard.split_once("\r\n\r\n").unwrap();
    assert!(tunnel.contains(&format!("Proxy-Authorization: {CANARY}")), "{tunnel}");
    assert!(!inside.contains(CANARY) && !output.stdout.contains(CANARY));
    // Straight to a server it is not said at all.
    let heard = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&heard);
    let server = serve(move |mut stream| {
        kept.lock().unwrap().push_str(&head(&mut stream));
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    let checks = json!([{"id": "x", "http": {"url": format!("http://127.0.0.1:{server}/"), "headers": header}}]);
    assert_eq!(run(&["run", "--secrets-dir", directory.path().to_str().unwrap()], checks).code, 0);
    assert!(!heard.lock().unwrap().contains(CANARY));
}

#[test]
fn secrets_stay_behind_where_a_redirect_leads_anywhere() {
    let directory = secrets();
    let heard = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&heard);
    let far = serve(move |mut stream| {
        kept.lock().unwrap().push_str(&head(&mut stream));
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    let near = http(format!("HTTP/1.1 302 Found\r\nLocation: http://far.example:{far}/\r\nContent-Length: 0\r\n\r\n"));
    let header = json!([{"name": "X-Api-Key", "secret_value": {"secret": "token"}}]);
    let checks = json!([
        {"id": "x", "http": {"url": format!("http://127.0.0.1:{near}/"), "headers": header, "redirect_to": "any"}}
    ]);
    let resolve = format!("far.example:{far}:127.0.0.1");
    let output = run(&["run", "--resolve", &resolve, "--secrets-dir", directory.path().to_str().unwrap()], checks);
    assert_eq!(output.code, 0, "{}", output.stdout);
    let heard = heard.lock().unwrap();
    assert!(heard.contains("far.example") && !heard.contains(CANARY), "{heard}");
}
