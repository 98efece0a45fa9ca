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

#[test]
fn a_zabbix_agent_that_reports_refuses_or_is_none() {
    /// An answer of the agent with its head.
    fn packet(text: &str) -> Vec<u8> {
        let mut packet = b"ZBXD\x01".to_vec();
        packet.extend_from_slice(&(text.len() as u32).to_le_bytes());
        packet.extend_from_slice(&[0; 4]);
        packet.extend_from_slice(text.as_bytes());
        packet
    }
    let agent = serve(|mut stream| {
        let mut head = [0; 13];
        if stream.read_exact(&mut head).is_err() {
            return;
        }
        let mut key = vec![0; usize::from(head[5])];
        stream.read_exact(&mut key).unwrap();
        let answer = match key.as_slice() {
            b"agent.ping" => "1",
            b"agent.hostname" => "web1",
            _ => "ZBX_NOTSUPPORTED\0Unknown metric.",
        };
        let _ = stream.write_all(&packet(answer));
    });
    let zabbix = |port: u16, more: Value| {
        let mut check = json!({"address": format!("127.0.0.1:{port}")});
        check.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "zabbix": check })
    };
    assert_eq!(seen(zabbix(agent, json!({}))), pair("up", ""));
    assert_eq!(seen(zabbix(agent, json!({"key": "agent.hostname", "equals": "web1"}))), pair("up", ""));
    assert_eq!(seen(zabbix(agent, json!({"key": "agent.hostname", "equals": "web2"}))), pair("down", "value_mismatch"));
    let unknown = one(zabbix(agent, json!({"key": "no.such"}))).check("x");
    assert!(unknown["message"].as_str().unwrap().contains("Unknown metric"), "{unknown}");
    // An agent hangs up on who is not in its Server= list.
    let strict = serve(drop);
    let refused = one(zabbix(strict, json!({}))).check("x");
    assert_eq!(refused["reason"], "auth_failed");
    assert!(refused["message"].as_str().unwrap().contains("Server="));
    assert_eq!(seen(zabbix(http(answer("400 Bad", "no agent")), json!({}))).0, "down");
}

#[test]
fn redis_in_all_its_moods() {
    let server = |answer: &'static str| {
        let port = serve(move |mut stream| {
            let _ = stream.read(&mut [0; 64]);
            let _ = stream.write_all(answer.as_bytes());
        });
        json!({"redis": {"address": format!("127.0.0.1:{port}")}})
    };
    for (said, state, reason) in [
        ("+PONG\r\n", "up", ""),
        ("-NOAUTH Authentication required.\r\n", "up", ""),
        ("-LOADING Redis is loading the dataset in memory\r\n", "down", "starting"),
        ("-MASTERDOWN Link with MASTER is down\r\n", "degraded", "dependency"),
        ("-DENIED Redis is running in protected mode\r\n", "degraded", "auth_failed"),
        ("-ERR unknown\r\n", "down", "banner_mismatch"),
        ("HTTP/1.1 400 Bad\r\n", "down", "banner_mismatch"),
    ] {
        assert_eq!(seen(server(said)), pair(state, reason), "{said}");
    }
}

#[test]
fn postgresql_says_by_its_codes_what_is_wrong() {
    /// An error of the server (chapter 55.8).
    fn error(code: &str) -> Vec<u8> {
        let fields = format!("SFATAL\0C{code}\0Mno\0\0");
        let mut message = vec![b'E'];
        message.extend_from_slice(&(fields.len() as u32 + 4).to_be_bytes());
        message.extend_from_slice(fields.as_bytes());
        message
    }
    for (code, state, reason) in [
        ("57P03", "down", "db_starting"),
        ("53300", "degraded", "db_saturated"),
        ("3D000", "down", "missing"),
        ("28000", "up", ""),
    ] {
        let port = serve(move |mut stream| {
            let _ = stream.read(&mut [0; 512]);
            let _ = stream.write_all(&error(code));
        });
        assert_eq!(seen(json!({"postgres": {"address": format!("127.0.0.1:{port}")}})), pair(state, reason), "{code}");
    }
}

#[test]
fn mail_servers_of_three_kinds_without_encryption() {
    let server = |greeting: &'static str, answer: &'static str| {
        serve(move |mut stream| {
            let _ = stream.write_all(greeting.as_bytes());
            let mut buffer = [0; 256];
            while stream.read(&mut buffer).is_ok_and(|read| read > 0) {
                let _ = stream.write_all(answer.as_bytes());
            }
        })
    };
    for (protocol, greeting, refusal) in [
        ("imap", "* OK IMAP ready\r\n", "a1 BAD no\r\n"),
        ("pop3", "+OK POP3 ready\r\n", "-ERR no\r\n"),
        ("smtp", "220 ESMTP\r\n", "250 HELP\r\n"),
    ] {
        let address = format!("127.0.0.1:{}", server(greeting, refusal));
        let mail = |starttls: bool| json!({"mail": {"address": address, "protocol": protocol, "starttls": starttls}});
        assert_eq!(seen(mail(false)), pair("up", ""), "{protocol}");
        let missing = one(mail(true)).check("x");
        assert!(missing["message"].as_str().unwrap().contains("does not offer STARTTLS"), "{missing}");
        let wrong =
            json!({"mail": {"address": format!("127.0.0.1:{}", server("554 go away\r\n", "")), "protocol": protocol}});
        assert_eq!(seen(wrong), pair("down", "banner_mismatch"), "{protocol}");
    }
}

/// A DNS server that answers every question of this type with this data, first over UDP as cut off, then whole over TCP.
fn cut_dns_server(kind: u8, data: &'static [u8]) -> u16 {
    let reply = move |query: &[u8], cut: bool| {
        let mut reply = query[..2].to_vec();
        reply.extend_from_slice(&[if cut { 0x83 } else { 0x81 }, 0xa0, 0, 1, 0, u8::from(!cut), 0, 0, 0, 0]);
        reply.extend_from_slice(&query[12..]);
        if !cut {
            reply.extend_from_slice(&[0xc0, 0x0c, 0, kind, 0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
            reply.extend_from_slice(data);
        }
        reply
    };
    let (tcp, udp) = (0..50)
        .find_map(|_| {
            let tcp = std::net::TcpListener::bind("127.0.0.1:0").ok()?;
            let udp = UdpSocket::bind(tcp.local_addr().ok()?).ok()?;
            Some((tcp, udp))
        })
        .unwrap();
    let port = udp.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = udp.recv_from(&mut buffer) {
            let _ = udp.send_to(&reply(&buffer[..length], true), from);
        }
    });
    std::thread::spawn(move || {
        for mut stream in tcp.incoming().flatten() {
            let mut length = [0; 2];
            if stream.read_exact(&mut length).is_err() {
                continue;
            }
            let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut query).unwrap();
            let answer = reply(&query, false);
            let _ = stream.write_all(&[&(answer.len() as u16).to_be_bytes()[..], &answer].concat());
        }
    });
    port
}

#[test]
fn servers_of_a_zone_say_the_same_also_over_tcp() {
    // Two names of one byte, and the serial: 7, 8.
    let soa = |serial: u8| -> &'static [u8] {
        let mut data = b"\x01a\x00\x01b\x00".to_vec();
        data.extend_from_slice(&[0, 0, 0, serial]);
        data.extend_from_slice(&[0; 16]);
        Box::leak(data.into_boxed_slice())
    };
    let [first, same, other] = [7, 7, 8].map(|serial| format!("127.0.0.1:{}", cut_dns_server(6, soa(serial))));
    let dns =
        |same_at: Value| json!({"dns": {"name": "example.org", "type": "SOA", "server": first, "same_at": same_at}});
    let good = one(dns(json!([same]))).check("x");
    assert_eq!(good["state"], "up", "{good}");
    assert_eq!(good["message"], "7, the same at 2 servers");
    // What the server says of DNSSEC is told, and changes nothing.
    assert_eq!(good["figures"]["authenticated"], 1.0);
    let behind = one(dns(json!([same, other]))).check("x");
    assert_eq!(behind["reason"], "dns_mismatch");
    assert!(behind["message"].as_str().unwrap().contains("says 8"), "{behind}");
    let alone = json!([{"id": "x", "dns": {"name": "example.org", "same_at": ["1.1.1.1"]}}]);
    assert_eq!(run(&["check"], alone).json()["findings"][0]["code"], "contradiction");
}

#[test]
fn proofs_by_pattern_size_and_program() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("dumps");
    std::fs::create_dir(&place).unwrap();
    let pattern = format!("{}/*/db-*.sql", directory.path().display());
    let check = |more: Value| {
        let mut check = json!({"path": pattern, "max_age": "1h"});
        check.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        seen(json!({ "freshness": check }))
    };
    assert_eq!(check(json!({})), pair("down", "missing"));
    std::fs::write(place.join("db-1.sql"), "old, but whole").unwrap();
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(7200);
    std::fs::File::options().write(true).open(place.join("db-1.sql")).unwrap().set_modified(old).unwrap();
    assert_eq!(check(json!({})), pair("down", "stale"));
    std::fs::write(place.join("db-2.sql"), "new").unwrap();
    assert_eq!(check(json!({})), pair("up", ""));
    assert_eq!(check(json!({"min_bytes": 100})), pair("down", "missing"));
    // The newest counts, also where it is empty.
    std::thread::sleep(std::time::Duration::from_millis(20));
    std::fs::write(place.join("db-3.sql"), "").unwrap();
    assert_eq!(check(json!({})), pair("down", "missing"));
    let program = |argv: Value, more: &[&str]| {
        let checks = json!([{"id": "x", "freshness": {"argv": argv, "pointer": "/0/time", "max_age": "2h"}}]);
        let args: Vec<&str> = ["run", "--no-second-look"].iter().chain(more).copied().collect();
        let check = run(&args, checks).check("x");
        (check["state"].as_str().unwrap().to_owned(), check["reason"].as_str().unwrap_or_default().to_owned())
    };
    // As `restic snapshots --json --latest 1` prints it.
    let snapshots = json!(["echo", r#"[{"time":"2030-01-01T10:00:00.123456+02:00"}]"#]);
    assert_eq!(program(snapshots.clone(), &[]), pair("unknown", "not_allowed"));
    assert_eq!(program(snapshots.clone(), &["--allow-exec", "--now", "2030-01-01T09:00:00Z"]), pair("up", ""));
    assert_eq!(program(snapshots, &["--allow-exec", "--now", "2030-01-01T11:00:00Z"]), pair("down", "stale"));
    assert_eq!(program(json!(["false"]), &["--allow-exec"]), pair("unknown", "exec_failed"));
}

#[test]
fn disks_with_room_and_mounts_of_their_own() {
    let disk = |more: Value| {
        let mut check = json!({"path": "/", "warn_percent": 100, "fail_percent": 100});
        check.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        seen(json!({ "disk": check }))
    };
    assert_eq!(disk(json!({"warn_free": 1})), pair("up", ""));
    assert_eq!(disk(json!({"warn_free": 1_u64 << 60})), pair("degraded", "disk_space"));
    assert_eq!(disk(json!({"fail_free": 1_u64 << 60})), pair("down", "disk_space"));
    assert_eq!(disk(json!({"path": "/proc", "mount": true})).1, "");
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(disk(json!({"path": directory.path(), "mount": true})), pair("down", "mount_missing"));
}

#[test]
fn a_key_that_its_server_cannot_read() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let mode = |path: &std::path::Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let key = directory.path().join("key.pem");
    std::fs::write(&key, "x").unwrap();
    let check = |more: Value| {
        let mut check = json!({"path": key});
        check.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        one(json!({ "file": check })).check("x")
    };
    mode(&key, 0o600);
    mode(directory.path(), 0o755);
    assert_eq!(check(json!({}))["state"], "up");
    assert_eq!(check(json!({"readable_by": "root"}))["state"], "up");
    let closed = check(json!({"readable_by": "nobody"}));
    assert_eq!(closed["reason"], "file_unreadable");
    assert!(closed["message"].as_str().unwrap().contains("nobody cannot read"), "{closed}");
    mode(&key, 0o644);
    assert_eq!(check(json!({"readable_by": "nobody"}))["state"], "up");
    assert_eq!(check(json!({"readable_by": "nobody", "public": false}))["reason"], "file_exposed");
    mode(directory.path(), 0o700);
    let hidden = check(json!({"readable_by": "nobody"}));
    assert!(hidden["message"].as_str().unwrap().contains("cannot get to"), "{hidden}");
    assert_eq!(check(json!({"readable_by": "nosuchuser"}))["reason"], "unsupported");
    std::fs::remove_file(&key).unwrap();
    assert_eq!(check(json!({}))["reason"], "missing");
}

/// A systemctl that writes down how it is called, and answers from files of its directory.
fn with_systemctl(answers: &[(&str, &str)], checks: &Value, more: &[&str]) -> (Value, Vec<String>) {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path();
    let mut cases = String::new();
    for (at, (pattern, answer)) in answers.iter().enumerate() {
        std::fs::write(home.join(at.to_string()), answer).unwrap();
        cases.push_str(&format!("  *\"{pattern}\"*) cat {}/{at} ;;\n", home.display()));
    }
    let script = format!(
        "#!/bin/sh\necho \"$*\" >>{0}/calls\ncase \"$*\" in\n{cases}  *) echo 'Host is down' >&2; exit 1 ;;\nesac\n",
        home.display()
    );
    let program = home.join("systemctl");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let file = home.join("checks.json");
    std::fs::write(&file, json!({"schema": "health.checks/v1", "checks": checks}).to_string()).unwrap();
    let args: Vec<&str> =
        ["run", "--no-second-look"].iter().chain(more).copied().chain([file.to_str().unwrap()]).collect();
    let output = crate::tool::command(&args).env("PATH", format!("{}:/usr/bin:/bin", home.display())).output().unwrap();
    let calls = std::fs::read_to_string(home.join("calls")).unwrap_or_default();
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (report, calls.lines().map(str::to_owned).collect())
}

#[test]
fn all_units_are_asked_for_in_one_call() {
    let system = "LoadState=loaded\nActiveState=active\nSubState=running\nNRestarts=1\n\n\
                  LoadState=not-found\nActiveState=inactive\nSubState=dead\n\n\
                  LoadState=loaded\nActiveState=inactive\nSubState=dead\nType=oneshot\nResult=success\n";
    let user = "LoadState=loaded\nActiveState=failed\nSubState=failed\nResult=exit-code\nExecMainStatus=3\n";
    let checks = json!([
        {"id": "nginx", "unit": {"name": "a-nginx.service"}},
        {"id": "gone", "unit": {"name": "b-gone.service"}},
        {"id": "job", "unit": {"name": "c-job.service"}},
        {"id": "gateway", "unit": {"name": "openclaw-gateway.service", "scope": "user:ann"}}
    ]);
    let (report, calls) = with_systemctl(&[("--user", user), ("a-nginx", system)], &checks, &[]);
    let states: Vec<_> =
        report["checks"].as_array().unwrap().iter().map(|check| check["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["up", "down", "up", "down"], "{report}");
    assert_eq!(report["checks"][1]["reason"], "unit_missing");
    assert_eq!(report["checks"][3]["message"], "openclaw-gateway.service failed: result exit-code, status 3");
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert!(calls.iter().any(|call| call.starts_with("--user --machine=ann@.host show")), "{calls:?}");
    // No bus: nobody knows.
    let (report, _) = with_systemctl(&[], &checks, &[]);
    assert_eq!(report["checks"][0]["state"], "unknown");
    assert_eq!(report["checks"][0]["reason"], "unsupported");
}

#[test]
fn units_that_failed_and_units_that_were_restarted() {
    let checks = json!([{"id": "all", "failed_units": {"except": ["known.service"]}}]);
    let listed = r#"[{"unit":"known.service","active":"failed"},{"unit":"bad.service","active":"failed"}]"#;
    let (report, _) = with_systemctl(&[("list-units --failed", listed)], &checks, &[]);
    assert_eq!(report["checks"][0]["reason"], "unit_failed");
    assert_eq!(report["checks"][0]["message"], "failed: bad.service");
    let (report, _) = with_systemctl(&[("list-units --failed", "[]")], &checks, &[]);
    assert_eq!(report["checks"][0]["state"], "up");
    let checks = json!([{"id": "app", "unit": {"name": "app.service"}}]);
    let shown =
        |restarts: u32| format!("LoadState=loaded\nActiveState=active\nSubState=running\nNRestarts={restarts}\n");
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state.json");
    let look = |restarts: u32| {
        let more = ["--state", state.to_str().unwrap()];
        with_systemctl(&[("show", &shown(restarts))], &checks, &more).0["checks"][0].clone()
    };
    assert_eq!(look(2)["state"], "up");
    let restarted = look(4);
    assert_eq!((restarted["state"].as_str(), restarted["reason"].as_str()), (Some("degraded"), Some("unit_restarted")));
    assert_eq!(restarted["message"], "restarted 2 times since the last run");
    assert_eq!(look(4)["state"], "up");
}

#[test]
fn echo_requests_are_answered_or_not_allowed() {
    let check = one(json!({"icmp": {"host": "127.0.0.1"}})).check("x");
    match check["state"].as_str().unwrap() {
        "up" => assert_eq!(check["figures"]["loss_percent"], 0.0, "{check}"),
        // A user may send none where net.ipv4.ping_group_range leaves its group out.
        state => assert_eq!((state, check["reason"].as_str()), ("unknown", Some("permission")), "{check}"),
    }
    let with_port = json!([{"id": "x", "icmp": {"host": "127.0.0.1:80"}}]);
    assert_eq!(run(&["check"], with_port).json()["findings"][0]["code"], "bad-address");
}
