//! nginx 1.26 of Debian 13, running what is rendered for it: HTTP/3, and early data with its guard.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::formats::certificates;
use crate::run::{built_peer, files, is_root, peer, say};

struct Newer {
    process: Child,
    root: PathBuf,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Drop for Newer {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.process.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        }
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn start() -> Option<Newer> {
    let root = built_peer("trixie")?;
    if !is_root() {
        eprintln!("skipped: the newer Debian is entered by chroot (run as root)");
        return None;
    }
    let root = fs::canonicalize(root).unwrap();
    let folder = tempfile::tempdir_in(root.join("tmp")).unwrap();
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let inside = format!("/tmp/{}", folder.path().file_name().unwrap().to_str().unwrap());
    let port = free_port();
    let fleet = json!({
        "schema": "fleet/v1", "name": "newer", "domain": "newer.test",
        "hosts": {"web": {"os": "debian-13", "addresses": {"public": ["192.0.2.1"]},
            "ssh": {"keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me"]},
            "proxy": {"http_port": free_port(), "https_port": port, "http3": true, "early_data": true, "ktls": true}}},
        "services": {"site": {"host": "web", "run": {"static": {"root": format!("{inside}/srv")}},
            "proxy": [{"names": ["newer.test"], "tls": "internal"}], "backup": {"none": "a test"}}}
    });
    fs::create_dir_all(folder.path().join("log")).unwrap();
    fs::create_dir_all(folder.path().join("srv")).unwrap();
    fs::write(folder.path().join("srv/index.html"), "hello\n").unwrap();
    for (path, text) in files(&fleet, "web").iter().filter(|(path, _)| path.starts_with("/etc/nginx/")) {
        // Certificates are made where the test sees them, and named as the chroot does.
        let outside = text.replace("/var/lib/plumbline", &format!("{}/lib", folder.path().display()));
        certificates(&outside, folder.path());
        let text = text
            .replace("/etc/nginx/plumbline.d", &format!("{inside}/etc/nginx/plumbline.d"))
            .replace("/var/lib/plumbline", &format!("{inside}/lib"))
            .replace("/var/log/nginx", &format!("{inside}/log"))
            .replace("/run/nginx.pid", &format!("{inside}/pid"));
        let path = folder.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let conf = format!("{inside}/etc/nginx/nginx.conf");
    let (good, said) = say(Command::new("chroot").arg(&root).args(["/usr/sbin/nginx", "-t", "-q", "-c", &conf]));
    assert!(good && !said.contains("[warn]"), "{said}");
    let process = Command::new("chroot")
        .arg(&root)
        .args(["/usr/sbin/nginx", "-g", "daemon off;", "-c", &conf])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let newer = Newer { process, root, port, _folder: folder };
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(10), "nginx does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(newer)
}

/// Passes bytes on to a port. After its first flight a client is heard again only when the server has said nothing more for
/// a second: so long it knows no more than somebody who has recorded that flight.
fn slow_relay(port: u16) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let answered = Arc::new(Mutex::new(None::<Instant>));
            let (mut from_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            let heard = Arc::clone(&answered);
            std::thread::spawn(move || {
                let mut buffer = [0; 16384];
                while let Ok(read @ 1..) = from_server.read(&mut buffer) {
                    *heard.lock().unwrap() = Some(Instant::now());
                    if to_client.write_all(&buffer[..read]).is_err() {
                        break;
                    }
                }
                let _ = to_client.shutdown(std::net::Shutdown::Both);
            });
            std::thread::spawn(move || {
                let (mut client, mut server) = (client, server);
                let mut buffer = [0; 16384];
                while let Ok(read @ 1..) = client.read(&mut buffer) {
                    // What comes before the server's first word is the first flight.
                    loop {
                        let last = *answered.lock().unwrap();
                        if last.is_none_or(|last| last.elapsed() > Duration::from_secs(1)) {
                            break;
                        }
                        std::thread::sleep(Duration::from_millis(20));
                    }
                    if server.write_all(&buffer[..read]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    own
}

#[test]
fn http3_is_announced_and_spoken() {
    let Some(nginx) = start() else { return };
    let ask = |version: &str| {
        let mut curl = Command::new("chroot");
        curl.arg(&nginx.root).args(["/usr/bin/curl", "-sSik", "--max-time", "10", version, "--resolve"]);
        curl.arg(format!("newer.test:{}:127.0.0.1", nginx.port)).arg(format!("https://newer.test:{}/", nginx.port));
        say(&mut curl)
    };
    let (good, said) = ask("--http2");
    assert!(good && said.starts_with("HTTP/2 200") && said.contains("hello"), "{said}");
    let announced = format!("alt-svc: h3=\":{}\"; ma=86400", nginx.port);
    assert!(said.to_ascii_lowercase().contains(&announced), "{said}");
    let (good, said) = ask("--http3-only");
    assert!(good && said.starts_with("HTTP/3 200") && said.contains("hello"), "{said}");
}

#[test]
fn early_data_may_ask_and_not_change() {
    let Some(openssl) = peer("openssl", "apt-get install openssl") else { return };
    let Some(nginx) = start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let session = folder.path().join("session.pem");
    let request = |method: &str| {
        format!("{method} / HTTP/1.1\r\nHost: newer.test\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    };
    let relay = slow_relay(nginx.port);
    let talk = |arguments: &[&str], early: Option<&Path>, input: &str| -> String {
        let mut command = Command::new(&openssl);
        command.args(["s_client", "-tls1_3", "-servername", "newer.test", "-connect"]);
        let port = if early.is_some() { relay } else { nginx.port };
        command.arg(format!("127.0.0.1:{port}")).args(arguments).arg("-ign_eof");
        if let Some(early) = early {
            command.arg("-early_data").arg(early);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).into_owned()
    };
    let path = session.to_str().unwrap().to_owned();
    let early_answer = |method: &str| {
        // A session for one time: early data is accepted once only.
        let first = talk(&["-sess_out", &path], None, &request("GET"));
        assert!(first.contains("HTTP/1.1 200 "), "{first}");
        let early = folder.path().join("early");
        fs::write(&early, request(method)).unwrap();
        let said = talk(&["-sess_in", &path], Some(&early), "");
        assert!(said.contains("Early data was accepted"), "{method}: {said}");
        said
    };
    let said = early_answer("GET");
    assert!(said.contains("HTTP/1.1 200 "), "GET: {said}");
    // With the end of the handshake held back until nginx has answered, the request is one that anybody could play again.
    let said = early_answer("POST");
    assert!(said.contains("HTTP/1.1 425 "), "POST: {said}");
}
