use std::io::{Read, Write};
use std::net::UdpSocket;

use serde_json::{Value, json};

use crate::server::{answer, free_port, http, serve};
use crate::tool::{Output, run};

fn one(kind: Value) -> Output {
    let mut check = json!({"id": "x", "timeout": "1s"});
    check.as_object_mut().unwrap().extend(kind.as_object().unwrap().clone());
    run(&["run", "--no-second-look"], json!([check]))
}

fn seen(kind: Value) -> (String, String) {
    let check = one(kind).check("x");
    let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
    (text("state"), text("reason"))
}

fn pair(state: &str, reason: &str) -> (String, String) {
    (state.into(), reason.into())
}

#[test]
fn tcp_open_closed_and_banner() {
    let port = serve(|mut stream| {
        let _ = stream.write_all(b"220 mail ready\r\n");
        let _ = stream.read(&mut [0; 64]);
    });
    let address = format!("127.0.0.1:{port}");
    assert_eq!(seen(json!({"tcp": {"address": address, "banner": "^220 "}})), pair("up", ""));
    assert_eq!(seen(json!({"tcp": {"address": address, "closed": true}})), pair("down", "connect_open"));
    assert_eq!(seen(json!({"tcp": {"address": format!("127.0.0.1:{}", free_port()), "closed": true}})), pair("up", ""));
}

#[test]
fn mail_without_starttls() {
    let port = serve(|mut stream| {
        let _ = stream.write_all(b"220 mx ESMTP\r\n");
        let mut buffer = [0; 256];
        while stream.read(&mut buffer).is_ok_and(|read| read > 0) {
            let _ = stream.write_all(b"250-mx\r\n250 SIZE 1000\r\n");
        }
    });
    let address = format!("127.0.0.1:{port}");
    assert_eq!(seen(json!({"mail": {"address": address, "protocol": "smtp"}})), pair("up", ""));
    assert_eq!(
        seen(json!({"mail": {"address": address, "protocol": "smtp", "starttls": true}})),
        pair("down", "tls_handshake")
    );
}

#[test]
fn websocket_switches_and_speaks() {
    // The accept key needs the key of the request; Python computes it as another implementation.
    if !crate::tool::has("python3", "apt-get install -y python3") {
        return;
    }
    let script = r#"
import socket, base64, hashlib, sys
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(8); print(s.getsockname()[1], flush=True)
while True:
    c, _ = s.accept(); h = b""
    while b"\r\n\r\n" not in h: h += c.recv(1024)
    key = [l.split(b": ")[1] for l in h.split(b"\r\n") if l.lower().startswith(b"sec-websocket-key")][0]
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    path = h.split(b" ")[1]
    c.sendall(b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + (b"wrong" if path == b"/wrong" else accept) + b"\r\n\r\n")
    if path == b"/subscribe": c.sendall(b"\x89\x00\x81\x02hi")
    if path == b"/close": c.sendall(b"\x88\x00")
"#;
    let mut command = std::process::Command::new("python3");
    let mut child = command.args(["-c", script]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut port = String::new();
    let stdout = child.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut port).unwrap();
    let _process = crate::tool::Process(child);
    let url = |path: &str| format!("ws://127.0.0.1:{}{path}", port.trim());
    assert_eq!(seen(json!({"websocket": {"url": url("/subscribe"), "first_message": true}})), pair("up", ""));
    assert_eq!(
        seen(json!({"profile": "jetstream", "websocket": {"url": url(""), "first_message": true}})),
        pair("up", "")
    );
    assert_eq!(seen(json!({"websocket": {"url": url("/close"), "first_message": true}})), pair("down", "ws_silent"));
    assert_eq!(seen(json!({"websocket": {"url": url("/wrong")}})), pair("down", "ws_upgrade"));
    let silent = one(json!({"websocket": {"url": url("/silent"), "first_message": true}})).check("x");
    assert_eq!(silent["reason"], "ws_silent");
    let plain = http(answer("200 OK", "a page"));
    assert_eq!(seen(json!({"websocket": {"url": format!("ws://127.0.0.1:{plain}/")}})), pair("down", "ws_upgrade"));
}

/// A DNS server that answers A with 192.0.2.1, TXT with two segments, and knows no other name than example.org.
fn dns_server() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let question = &buffer[12..length];
            let known = question.starts_with(b"\x07example\x03org\x00");
            let kind = question.get(14).copied().unwrap_or_default();
            let data: Option<&[u8]> = match kind {
                1 => Some(&[192, 0, 2, 1]),
                16 => Some(b"\x05v=one\x04-two"),
                _ => None,
            };
            let data = data.filter(|_| known);
            let mut reply = buffer[..2].to_vec();
            reply.extend_from_slice(&[
                0x81,
                if known { 0x80 } else { 0x83 },
                0,
                1,
                0,
                u8::from(data.is_some()),
                0,
                0,
                0,
                0,
            ]);
            reply.extend_from_slice(question);
            if let Some(data) = data {
                reply.extend_from_slice(&[0xc0, 0x0c, 0, kind, 0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
                reply.extend_from_slice(data);
            }
            let _ = socket.send_to(&reply, from);
        }
    });
    port
}

#[test]
fn dns_values_are_compared_as_sets() {
    let server = format!("127.0.0.1:{}", dns_server());
    let dns = |more: Value| {
        let mut check = json!({"name": "example.org", "server": server});
        check.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        seen(json!({"dns": check}))
    };
    assert_eq!(dns(json!({})), pair("up", ""));
    assert_eq!(dns(json!({"contains": ["192.0.2.1"], "exact": true})), pair("up", ""));
    assert_eq!(dns(json!({"contains": ["192.0.2.2"]})), pair("down", "dns_mismatch"));
    assert_eq!(dns(json!({"type": "TXT", "contains": ["v=one-two"]})), pair("up", ""));
    assert_eq!(dns(json!({"type": "MX"})), pair("down", "dns_mismatch"));
    assert_eq!(dns(json!({"type": "MX", "absent": true})), pair("up", ""));
    assert_eq!(dns(json!({"name": "nowhere.org"})), pair("down", "dns_nxdomain"));
    assert_eq!(dns(json!({"name": "nowhere.org", "absent": true})), pair("up", ""));
}

#[test]
fn disks_mounts_and_proofs() {
    assert_eq!(seen(json!({"disk": {"path": "/", "warn_percent": 0, "fail_percent": 0}})), pair("down", "disk_space"));
    assert_eq!(seen(json!({"disk": {"path": "/nowhere"}})), pair("down", "missing"));
    assert_eq!(seen(json!({"mount": {"path": "/"}})), pair("up", ""));
    assert_eq!(seen(json!({"mount": {"path": "/nowhere"}})), pair("down", "mount_missing"));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("proof.json");
    let proof = |at: &str, ok: bool| std::fs::write(&path, json!({"finished_at": at, "ok": ok}).to_string()).unwrap();
    let check = || {
        seen(json!({"freshness": {"path": path, "pointer": "/finished_at", "max_age": "50h", "equals": {"/ok": true}}}))
    };
    assert_eq!(check(), pair("down", "missing"));
    proof("2020-01-01T00:00:00Z", true);
    assert_eq!(check(), pair("down", "stale"));
    proof("2999-01-01T00:00:00Z", true);
    assert_eq!(check(), pair("degraded", "clock_skew"));
    proof("2999-01-01T00:00:00Z", false);
    assert_eq!(check(), pair("down", "value_mismatch"));
    assert_eq!(seen(json!({"freshness": {"path": path, "max_age": "1h"}})), pair("up", ""));
}

#[test]
fn profiles_say_what_healthy_means() {
    let failing = http(
        answer("503 Service Unavailable", r#"{"database":"failing"}"#)
            .replace("Connection", "Content-Type: application/json\r\nConnection"),
    );
    let check = one(json!({"profile": "grafana", "http": {"url": format!("http://127.0.0.1:{failing}/")}})).check("x");
    assert_eq!(check["evidence"], json!(["database: failing"]));
    assert!(check["target"].as_str().unwrap().ends_with("/api/health"));
    let shallow = http(answer("200 OK", "<html>a wildcard host</html>"));
    assert_eq!(
        seen(json!({"profile": "grafana", "http": {"url": format!("http://127.0.0.1:{shallow}/")}})),
        pair("down", "body_not_json")
    );
}

#[test]
fn a_plugin_that_hangs_is_ended_with_its_children() {
    let checks = json!([{"id": "x", "timeout": "500ms", "exec": {"argv": ["sh", "-c", "sleep 31.4159 & wait"]}}]);
    let output = run(&["run", "--allow-exec", "--no-second-look"], checks);
    assert_eq!(output.check("x")["reason"], "timeout");
    std::thread::sleep(std::time::Duration::from_millis(200));
    let left = std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        line.windows(7).any(|seven| seven == b"31.4159") && line.starts_with(b"sleep")
    });
    assert!(!left, "the child of the plugin lives on");
}
