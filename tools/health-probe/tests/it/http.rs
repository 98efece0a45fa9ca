use std::io::Write;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::server::{answer, free_port, head, http, serve};
use crate::tool::{Output, command, run};

/// The flags, and one check with these keys beside its kind.
fn look_with(args: &[&str], url: &str, http: Value, around: Value) -> Output {
    let mut kind = json!({ "url": url });
    kind.as_object_mut().unwrap().extend(http.as_object().unwrap().clone());
    let mut check = json!({"id": "x", "timeout": "2s", "http": kind});
    check.as_object_mut().unwrap().extend(around.as_object().unwrap().clone());
    let args: Vec<&str> = ["run", "--no-second-look"].iter().chain(args).copied().collect();
    run(&args, json!([check]))
}

fn look(port: u16, http: Value) -> (String, String) {
    seen(&look_with(&[], &format!("http://127.0.0.1:{port}/"), http, json!({})))
}

fn seen(output: &Output) -> (String, String) {
    let check = output.check("x");
    let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
    (text("state"), text("reason"))
}

fn pair(state: &str, reason: &str) -> (String, String) {
    (state.into(), reason.into())
}

/// A server that keeps the heads of requests and answers with this.
fn listening(response: String) -> (u16, Arc<Mutex<Vec<String>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heard);
    let port = serve(move |mut stream| {
        let head = head(&mut stream);
        kept.lock().unwrap().push(head);
        let _ = stream.write_all(response.as_bytes());
    });
    (port, heard)
}

fn redirect(status: &str, to: &str) -> String {
    format!("HTTP/1.1 {status}\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

#[test]
fn codes_ranges_and_classes_of_statuses() {
    let teapot = http(answer("418 Teapot", ""));
    for (status, good) in [
        (json!([]), false),
        (json!([418]), true),
        (json!(["400-420"]), true),
        (json!(["4xx"]), true),
        (json!([200, "500-599"]), false),
    ] {
        let expected = if good { pair("up", "") } else { pair("down", "http_status") };
        assert_eq!(look(teapot, json!({ "status": status })), expected);
    }
    let wrong = json!([{"id": "x", "http": {"url": "http://x/", "status": ["6xx", 700]}}]);
    assert_eq!(run(&["check"], wrong).json()["findings"][0]["code"], "bad-status");
    // What a proxy says of its backend is told as that.
    let output = look_with(&[], &format!("http://127.0.0.1:{}/", http(answer("502 Bad", ""))), json!({}), json!({}));
    assert!(output.check("x")["message"].as_str().unwrap().contains("proxy whose backend"), "{}", output.stdout);
}

#[test]
fn a_request_is_what_the_check_says_and_no_more() {
    let (port, heard) = listening(answer("200 OK", ""));
    let check = json!({"connect": format!("127.0.0.1:{port}"), "host": "other.example.org:8443",
        "headers": [{"name": "X-Mine", "value": "1"}]});
    assert_eq!(seen(&look_with(&[], "http://www.example.org/a?b=c", check, json!({}))), pair("up", ""));
    let heads = heard.lock().unwrap().clone();
    let request = heads[0].to_ascii_lowercase();
    for line in [
        "get /a?b=c http/1.1\r\n",
        "\r\nhost: other.example.org:8443\r\n",
        "\r\nx-mine: 1\r\n",
        "\r\naccept-encoding: identity\r\n",
        "\r\nuser-agent: health-probe/",
    ] {
        assert!(request.contains(line), "{line:?} is not in {request:?}");
    }
    // Some programs answer nothing to whom they take for a robot (n8n does).
    assert!(!request.contains("bot"));
    let host_header = json!([{"id": "x", "http": {"url": "http://x/", "headers": [{"name": "Host", "value": "y"}]}}]);
    assert_eq!(run(&["check"], host_header).json()["findings"][0]["code"], "bad-header");
}

#[test]
fn a_post_is_sent_only_where_the_check_says_so_and_not_twice() {
    let (port, heard) = listening(answer("503 Busy", ""));
    let check = |more: Value| {
        let mut http = json!({"url": format!("http://127.0.0.1:{port}/"), "method": "POST", "content": "{}"});
        http.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        run(&["run", "--only", "x"], json!([{"id": "x", "http": http}]));
        std::mem::take(&mut *heard.lock().unwrap())
    };
    let once = check(json!({}));
    assert_eq!(once.len(), 1, "neither tried again nor looked at twice");
    assert_eq!(check(json!({"idempotent": true})).len(), 3, "tried again, and looked at twice");
    assert!(once[0].starts_with("POST / ") && once[0].to_ascii_lowercase().contains("content-length: 2"));
    let get = json!([{"id": "x", "http": {"url": "http://x/", "content": "{}"}}]);
    assert_eq!(run(&["check"], get).json()["findings"][0]["code"], "contradiction");
}

#[test]
fn redirects_are_followed_on_the_same_host_only() {
    let app = http(answer("200 OK", "the app"));
    let there = http(redirect("301 Moved", &format!("http://127.0.0.1:{app}/web/")));
    assert_eq!(look(there, json!({"body": [{"contains": "the app"}]})), pair("up", ""));
    assert_eq!(look(there, json!({"redirects": 0})), pair("down", "http_status"));
    // The other name of the same machine is another host.
    let login = http(answer("200 OK", "please log in"));
    let elsewhere = http(redirect("302 Found", &format!("http://localhost:{login}/login")));
    assert_eq!(look(elsewhere, json!({})), pair("degraded", "http_redirect_external"));
    assert_eq!(look(elsewhere, json!({"status": [200, 302]})), pair("up", ""));
    let anywhere = json!({"redirect_to": "any", "body": [{"contains": "log in"}]});
    let url = format!("http://127.0.0.1:{elsewhere}/");
    let output = look_with(&["--resolve", &format!("localhost:{login}:127.0.0.1")], &url, anywhere, json!({}));
    assert_eq!(seen(&output), pair("up", ""));
    // After a POST a redirect asks for a GET.
    let (got, heard) = listening(answer("200 OK", ""));
    let posted = http(redirect("303 See Other", &format!("http://127.0.0.1:{got}/done")));
    assert_eq!(look(posted, json!({"method": "POST", "content": "x"})), pair("up", ""));
    assert!(heard.lock().unwrap()[0].starts_with("GET /done"));
}

#[test]
fn bodies_that_are_not_what_was_asked_for() {
    let zipped = http("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f!");
    assert_eq!(look(zipped, json!({})), pair("up", ""));
    let output =
        look_with(&[], &format!("http://127.0.0.1:{zipped}/"), json!({"body": [{"contains": "x"}]}), json!({}));
    assert!(output.check("x")["message"].as_str().unwrap().contains("gzip"));
    let json_ = http(answer("200 OK", r#"{"status":"ok","list":[1,2.5,"c"],"n":7,"none":null,"name":"a-b"}"#));
    for (condition, good) in [
        (json!({"pointer": "/status", "equals": "ok"}), true),
        (json!({"pointer": "/status", "not_equals": "ok"}), false),
        (json!({"pointer": "/status", "one_of": ["fine", "ok"]}), true),
        (json!({"pointer": "/status", "one_of": ["fine"]}), false),
        (json!({"pointer": "/list", "contains": "c"}), true),
        (json!({"pointer": "/list", "contains": 2.5}), true),
        (json!({"pointer": "/list", "contains": "d"}), false),
        (json!({"pointer": "/list", "min_length": 3}), true),
        (json!({"pointer": "/list", "min_length": 4}), false),
        (json!({"pointer": "/list/1", "at_least": 2, "at_most": 3}), true),
        (json!({"pointer": "/n", "at_most": 6}), false),
        (json!({"pointer": "/missing", "absent": true}), true),
        (json!({"pointer": "/status", "absent": true}), false),
        (json!({"pointer": "/missing"}), false),
        (json!({"pointer": "/none"}), false),
        (json!({"pointer": "/name", "matches": "^a-.$"}), true),
        (json!({"pointer": "", "contains": "status"}), true),
    ] {
        let expected = if good { pair("up", "") } else { pair("down", "body_mismatch") };
        assert_eq!(look(json_, json!({"body": [{"json": condition}]})), expected, "{condition}");
    }
    let twice = http("HTTP/1.1 200 OK\r\nVary: a\r\nVary: b\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(look(twice, json!({"response_headers": [{"name": "Vary", "equals": "b"}]})), pair("up", ""));
}

#[test]
fn slowness_warns_and_fails() {
    let port = serve(|mut stream| {
        head(&mut stream);
        std::thread::sleep(Duration::from_millis(150));
        let _ = stream.write_all(answer("200 OK", "").as_bytes());
    });
    let url = format!("http://127.0.0.1:{port}/");
    let look = |around: Value| seen(&look_with(&[], &url, json!({}), around));
    assert_eq!(look(json!({"warn_above": "1900ms"})), pair("up", ""));
    assert_eq!(look(json!({"warn_above": "50ms"})), pair("degraded", "latency"));
    assert_eq!(look(json!({"warn_above": "20ms", "fail_above": "50ms"})), pair("down", "latency"));
    let phases = look_with(&[], &url, json!({}), json!({})).check("x")["phases"].clone();
    assert!(phases["processing"].as_f64().unwrap() >= 140.0 && phases["connect"].is_number(), "{phases}");
}

#[test]
fn every_address_of_a_name_is_seen() {
    // One name with two addresses, of which one has no server.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            head(&mut stream);
            let _ = stream.write_all(answer("200 OK", "").as_bytes());
        }
    });
    let url = format!("http://two.example:{port}/");
    let (dead, live) = (format!("two.example:{port}:127.0.0.9"), format!("two.example:{port}:127.0.0.1"));
    let look = |policy: &str, addresses: &[&str]| {
        let args: Vec<&str> = addresses.iter().flat_map(|address| ["--resolve", address]).collect();
        look_with(&args, &url, json!({}), json!({ "addresses": policy }))
    };
    assert_eq!(seen(&look("any", &[&live])), pair("up", ""));
    let each = look("each", &[&live, &dead]);
    assert_eq!(seen(&each), pair("down", "connect_refused"));
    let addresses = each.check("x")["addresses"].clone();
    assert_eq!(addresses.as_array().unwrap().len(), 2, "{addresses}");
    assert_eq!(addresses[0]["raw"], "pass");
    assert_eq!(addresses[1]["reason"], "connect_refused");
    assert_eq!(seen(&look("v4", &[&live])), pair("up", ""));
    assert_eq!(seen(&look("v6", &[&live])), pair("down", "dns_nxdomain"));
    assert_eq!(seen(&look("both", &[&live])), pair("down", "dns_nxdomain"));
    if TcpListener::bind("[::1]:0").is_ok() {
        // IPv6 comes first, is dead, and must not hide behind IPv4.
        let six = format!("two.example:{port}:::1");
        assert_eq!(seen(&look("any", &[&six, &live])), pair("degraded", "address_partial"));
        assert_eq!(seen(&look("both", &[&six, &live])), pair("down", "connect_refused"));
        assert_eq!(seen(&look("v4", &[&six, &live])), pair("up", ""));
    }
}

#[test]
fn proxies_are_used_only_where_the_check_asks_for_one() {
    let (proxy, heard) = listening(answer("200 OK", "from the proxy"));
    let dead = free_port();
    let checks = json!({"schema": "health.checks/v1", "checks": [
        {"id": "straight", "http": {"url": format!("http://127.0.0.1:{dead}/")}},
        {"id": "environment", "http": {"url": format!("http://127.0.0.1:{dead}/a"), "proxy": "env"}},
        {"id": "fixed", "http": {"url": "http://www.example.org/b", "proxy": format!("http://127.0.0.1:{proxy}")}}
    ]});
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("checks.json");
    std::fs::write(&file, checks.to_string()).unwrap();
    let output = command(&["run", "--no-second-look", file.to_str().unwrap()])
        .env("http_proxy", format!("http://ann:c4n4ry@127.0.0.1:{proxy}"))
        .env_remove("no_proxy")
        .env_remove("NO_PROXY")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let report: Value = serde_json::from_str(&text).unwrap();
    let states: Vec<&str> =
        report["checks"].as_array().unwrap().iter().map(|check| check["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["down", "up", "up"], "{text}");
    assert!(!text.contains("c4n4ry"));
    let heard = heard.lock().unwrap().join("\n").to_ascii_lowercase();
    assert!(heard.contains(&format!("get http://127.0.0.1:{dead}/a http/1.1")), "{heard}");
    assert!(heard.contains("proxy-authorization: basic yw5uomm0bjryeq=="), "{heard}");
    assert!(heard.contains("get http://www.example.org/b http/1.1"));
}

#[test]
fn a_tunnel_that_the_proxy_does_not_give() {
    for (response, reason) in [
        ("HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n", "auth_failed"),
        ("HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n", "proxy_failed"),
        ("SSH-2.0-x\r\n\r\n", "proxy_failed"),
    ] {
        let (proxy, heard) = listening(response.to_owned());
        let check = json!({"proxy": format!("http://127.0.0.1:{proxy}")});
        let output = look_with(&[], "https://www.example.org/", check, json!({}));
        assert_eq!(seen(&output), pair("down", reason), "{}", output.stdout);
        assert!(heard.lock().unwrap()[0].starts_with("CONNECT www.example.org:443 HTTP/1.1\r\n"));
    }
    let login = json!([{"id": "x", "http": {"url": "http://x/", "proxy": "http://ann:canary@proxy:1"}}]);
    let output = run(&["check"], login);
    assert_eq!(output.json()["findings"][0]["code"], "bad-proxy");
    assert!(!output.stdout.contains("canary"));
}

#[test]
fn a_failure_that_passes_is_flaky_and_its_tries_are_told() {
    let count = Arc::new(Mutex::new(0));
    let port = serve(move |mut stream| {
        head(&mut stream);
        let mut count = count.lock().unwrap();
        *count += 1;
        let status = if *count < 3 { "500 Oh" } else { "200 OK" };
        let _ = stream.write_all(answer(status, "").as_bytes());
    });
    let checks = json!([{"id": "x", "retries": 2, "http": {"url": format!("http://127.0.0.1:{port}/")}}]);
    let check = run(&["run"], checks).check("x");
    assert_eq!((check["state"].as_str(), check["flaky"].as_bool()), (Some("up"), Some(true)), "{check}");
    assert_eq!(check["attempts"], 3);
    assert_eq!(check["tries"][1]["reason"], "http_status");
    // A page that is not there will not be there a moment later.
    let (missing, heard) = listening(answer("404 No", ""));
    run(&["run"], json!([{"id": "x", "http": {"url": format!("http://127.0.0.1:{missing}/")}}]));
    assert_eq!(heard.lock().unwrap().len(), 1);
}
