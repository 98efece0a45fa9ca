//! Real servers on loopback.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::server::free_port;
use crate::tool::{Output, Process, has, run};

fn secret(directory: &Path, name: &str, value: &str) {
    let path = directory.join(name);
    std::fs::write(&path, value).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
}

fn start(command: &mut Command) -> Process {
    Process(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

fn wait_for(kind: Value) -> Output {
    let mut check = json!({"id": "x", "timeout": "2s"});
    check.as_object_mut().unwrap().extend(kind.as_object().unwrap().clone());
    run(&["run", "--wait", "20s", "--interval", "100ms"], json!([check]))
}

/// Where Debian puts the programs of PostgreSQL.
fn postgres_directory() -> Option<PathBuf> {
    let mut found: Vec<_> =
        std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|entry| entry.path().join("bin")).collect();
    found.retain(|path| path.join("initdb").is_file());
    found.sort();
    found.pop()
}

#[test]
fn postgresql_with_passwords() {
    let Some(programs) = postgres_directory() else {
        has("/usr/lib/postgresql/15/bin/initdb", "apt-get install -y postgresql-15");
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let home = directory.path().join("pg");
    std::fs::create_dir(&home).unwrap();
    let nobody = 65534;
    std::os::unix::fs::chown(&home, Some(nobody), Some(nobody)).unwrap();
    let password_file = home.join("password");
    std::fs::write(&password_file, "right-password\n").unwrap();
    std::os::unix::fs::chown(&password_file, Some(nobody), Some(nobody)).unwrap();
    let data = home.join("data");
    let initialised = Command::new(programs.join("initdb"))
        .args(["-D", data.to_str().unwrap(), "-U", "postgres", "--auth=scram-sha-256", "--no-sync"])
        .arg(format!("--pwfile={}", password_file.display()))
        .uid(nobody)
        .gid(nobody)
        .current_dir(&home)
        .output()
        .unwrap();
    assert!(initialised.status.success(), "{}", String::from_utf8_lossy(&initialised.stderr));
    let port = free_port();
    let mut command = Command::new(programs.join("postgres"));
    command.args([
        "-D",
        data.to_str().unwrap(),
        "-p",
        &port.to_string(),
        "-k",
        home.to_str().unwrap(),
        "-c",
        "listen_addresses=127.0.0.1",
    ]);
    let _server = start(command.uid(nobody).gid(nobody).current_dir(&home));
    let address = format!("127.0.0.1:{port}");
    let ready = wait_for(json!({"postgres": {"address": address}}));
    assert_eq!(ready.code, 0, "{}", ready.stdout);
    assert_eq!(ready.check("x")["message"], "takes connections, asks for a password");
    let secrets = tempfile::tempdir().unwrap();
    secret(secrets.path(), "right", "right-password");
    secret(secrets.path(), "wrong", "wrong-canary-password");
    let checks = json!([
        {"id": "right", "postgres": {"address": address, "password": {"secret": "right"}}},
        {"id": "socket", "postgres": {"address": home, "port": port, "password": {"secret": "right"}}},
        {"id": "wrong", "postgres": {"address": address, "password": {"secret": "wrong"}}},
        {"id": "database", "postgres": {"address": address, "database": "nowhere", "password": {"secret": "right"}}},
        {"id": "tls", "postgres": {"address": address, "tls": {}}},
        {"id": "one", "postgres": {"address": address, "password": {"secret": "right"}, "query": "select 1", "equals": "1"}},
        {"id": "two", "postgres": {"address": address, "password": {"secret": "right"}, "query": "select 2", "equals": "1"}},
        {"id": "null", "postgres": {"address": address, "password": {"secret": "right"}, "query": "select null", "equals": "1"}},
        {"id": "write", "postgres": {"address": address, "password": {"secret": "right"}, "query": "create table t()"}},
        {"id": "several", "postgres": {"address": address, "password": {"secret": "right"}, "query": "select 1; select 2"}},
        {"id": "slow", "timeout": "600ms", "retries": 0,
         "postgres": {"address": address, "password": {"secret": "right"}, "query": "select pg_sleep(9)"}},
        {"id": "nobody", "postgres": {"address": address, "query": "select 1"}}
    ]);
    let output = run(&["run", "--secrets-dir", secrets.path().to_str().unwrap(), "--no-second-look"], checks);
    assert_eq!(output.check("right")["message"], "logged in as postgres", "{}", output.stdout);
    assert_eq!(output.check("socket")["state"], "up");
    assert_eq!(output.check("wrong")["reason"], "auth_failed");
    assert_eq!(output.check("database")["reason"], "missing");
    assert_eq!(output.check("tls")["reason"], "tls_handshake");
    assert_eq!(output.check("one")["message"], "the query gives \"1\"");
    for (id, reason) in [
        ("two", "value_mismatch"),
        ("null", "value_mismatch"),
        ("write", "value_mismatch"),
        ("several", "value_mismatch"),
        ("slow", "timeout"),
        ("nobody", "auth_failed"),
    ] {
        assert_eq!(output.check(id)["reason"], reason, "{}", output.check(id));
    }
    assert!(output.check("write")["message"].as_str().unwrap().contains("25006"), "read-only");
    assert!(!output.stdout.contains("canary"));
}

#[test]
fn redis_with_a_password() {
    if !has("redis-server", "apt-get install -y redis-server") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--requirepass", "right-password"]);
    let _server = start(command.current_dir(directory.path()));
    let address = format!("127.0.0.1:{port}");
    let output = wait_for(json!({"redis": {"address": address}}));
    assert_eq!(output.check("x")["message"], "alive, asks for a password", "{}", output.stdout);
    secret(directory.path(), "right", "right-password");
    secret(directory.path(), "wrong", "wrong-canary-password");
    let checks = json!([
        {"id": "right", "redis": {"address": address, "password": {"secret": "right"}}},
        {"id": "wrong", "redis": {"address": address, "password": {"secret": "wrong"}}}
    ]);
    let output = run(&["run", "--secrets-dir", directory.path().to_str().unwrap()], checks);
    assert_eq!(output.check("right")["message"], "PONG");
    assert_eq!(output.check("wrong")["reason"], "auth_failed");
    assert!(!output.stdout.contains("canary"));
}

#[test]
fn nginx_and_its_sinkhole() {
    if !has("nginx", "apt-get install -y nginx-light") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().display();
    let port = free_port();
    let config = format!(
        "daemon off; pid {home}/pid; error_log {home}/error; events {{}}\nhttp {{ access_log off; client_body_temp_path {home}/b; \
         proxy_temp_path {home}/p; fastcgi_temp_path {home}/f; uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;\n\
         server {{ listen 127.0.0.1:{port} default_server; return 444; }}\n\
         server {{ listen 127.0.0.1:{port}; server_name www.example.org; location / {{ return 200 'hello'; }} \
         location /dead {{ proxy_pass http://127.0.0.1:1; }} }} }}\n"
    );
    let path = directory.path().join("nginx.conf");
    std::fs::write(&path, config).unwrap();
    let _server = start(Command::new("nginx").args([
        "-c",
        path.to_str().unwrap(),
        "-e",
        &format!("{home}/error"),
        "-g",
        "master_process off;",
    ]));
    let ready = wait_for(json!({"tcp": {"address": format!("127.0.0.1:{port}")}}));
    assert_eq!(ready.code, 0);
    let connect = format!("127.0.0.1:{port}");
    let checks = json!([
        {"id": "good", "http": {"url": "http://www.example.org/", "connect": connect, "body": [{"contains": "hello"}]}},
        {"id": "sinkhole", "http": {"url": format!("http://127.0.0.1:{port}/"), "closes": true}},
        {"id": "dead", "http": {"url": "http://www.example.org/dead", "connect": connect}}
    ]);
    let output = run(&["run", "--no-second-look"], checks);
    assert_eq!(output.check("good")["state"], "up", "{}", output.stdout);
    assert_eq!(output.check("sinkhole")["state"], "up");
    assert_eq!(output.check("dead")["http_status"], 502);
}

#[test]
fn sshd_says_who_it_is() {
    if !has("/usr/sbin/sshd", "apt-get install -y openssh-server") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f", key.to_str().unwrap()])
        .status()
        .unwrap();
    assert!(made.success());
    std::fs::create_dir_all("/run/sshd").unwrap();
    let port = free_port();
    let mut command = Command::new("/usr/sbin/sshd");
    command.args(["-D", "-e", "-f", "/dev/null", "-h", key.to_str().unwrap(), "-p", &port.to_string()]);
    let _server = start(command.args(["-o", "ListenAddress=127.0.0.1", "-o", "PidFile=none"]));
    let output = wait_for(json!({"ssh": {"address": format!("127.0.0.1:{port}")}}));
    assert_eq!(output.code, 0, "{}", output.stdout);
    assert!(output.check("x")["message"].as_str().unwrap().starts_with("SSH-2.0-OpenSSH"));
}

/// The fingerprint of a key, as ssh-keygen tells it.
fn fingerprint(key: &Path) -> String {
    let told = Command::new("ssh-keygen").args(["-lf", key.to_str().unwrap()]).output().unwrap();
    String::from_utf8(told.stdout).unwrap().split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn sshd_proves_each_of_its_host_keys() {
    if !has("/usr/sbin/sshd", "apt-get install -y openssh-server") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir_all("/run/sshd").unwrap();
    for (kind, name) in [("ed25519", "ssh-ed25519"), ("ecdsa", "ecdsa-sha2-nistp256"), ("rsa", "ssh-rsa")] {
        let key = directory.path().join(kind);
        let made = Command::new("ssh-keygen").args(["-q", "-t", kind, "-N", "", "-f", key.to_str().unwrap()]).status();
        assert!(made.unwrap().success());
        let port = free_port();
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f", "/dev/null", "-h", key.to_str().unwrap(), "-p", &port.to_string()]);
        let _server = start(command.args(["-o", "ListenAddress=127.0.0.1", "-o", "PidFile=none"]));
        assert_eq!(wait_for(json!({"tcp": {"address": format!("127.0.0.1:{port}")}})).code, 0);
        let address = format!("127.0.0.1:{port}");
        let told = fingerprint(&key);
        let ssh = |host_key: &str| {
            run(&["run"], json!([{"id": "x", "ssh": {"address": address, "host_key": host_key}}])).check("x")
        };
        let good = ssh(&format!("{name} {told}"));
        assert_eq!(good["state"], "up", "{kind}: {good}");
        assert!(good["message"].as_str().unwrap().ends_with(&format!("{name} {told}")), "{good}");
        assert_eq!(ssh(&told)["state"], "up");
        let other = ssh("SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU");
        assert_eq!((other["state"].as_str(), other["reason"].as_str()), (Some("down"), Some("host_key_mismatch")));
        // A key of a kind that the server does not have.
        let none = if kind == "rsa" { "ssh-ed25519" } else { "ssh-rsa" };
        assert_ne!(ssh(&format!("{none} {told}"))["state"], "up");
    }
}

#[test]
fn one_ssh_server_is_asked_once_a_second() {
    if !has("/usr/sbin/sshd", "apt-get install -y openssh-server") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key");
    Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", key.to_str().unwrap()]).status().unwrap();
    std::fs::create_dir_all("/run/sshd").unwrap();
    let port = free_port();
    let mut command = Command::new("/usr/sbin/sshd");
    command.args(["-D", "-e", "-f", "/dev/null", "-h", key.to_str().unwrap(), "-p", &port.to_string()]);
    let _server = start(command.args(["-o", "ListenAddress=127.0.0.1", "-o", "PidFile=none"]));
    assert_eq!(wait_for(json!({"tcp": {"address": format!("127.0.0.1:{port}")}})).code, 0);
    let ssh = |id: &str| json!({"id": id, "ssh": {"address": format!("127.0.0.1:{port}")}});
    let started = std::time::Instant::now();
    let output = run(&["run"], json!([ssh("a"), ssh("b"), ssh("c")]));
    assert_eq!(output.code, 0, "{}", output.stdout);
    assert!(started.elapsed() >= std::time::Duration::from_millis(1950), "{:?}", started.elapsed());
    // Its own turn is none of a check's time.
    assert!(output.check("c")["ms"].as_u64().unwrap() < 900);
}

#[test]
fn redis_with_users_and_over_tls() {
    if !has("redis-server", "apt-get install -y redis-server") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let cert = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let (key_file, cert_file) = (directory.path().join("key.pem"), directory.path().join("cert.pem"));
    std::fs::write(&key_file, key.serialize_pem()).unwrap();
    std::fs::write(&cert_file, cert.pem()).unwrap();
    let (plain, secure) = (free_port(), free_port());
    let (plain_text, secure_text) = (plain.to_string(), secure.to_string());
    let mut command = Command::new("redis-server");
    command.args(["--port", &plain_text, "--tls-port", &secure_text, "--bind", "127.0.0.1", "--save", ""]);
    command.args(["--tls-cert-file", cert_file.to_str().unwrap(), "--tls-key-file", key_file.to_str().unwrap()]);
    command.args(["--tls-auth-clients", "no", "--tls-ca-cert-file", cert_file.to_str().unwrap()]);
    command.args(["--user", "probe", "on", ">probe-password", "+ping", "--user", "default", "off"]);
    let _server = start(command.current_dir(directory.path()));
    assert_eq!(wait_for(json!({"tcp": {"address": format!("127.0.0.1:{plain}")}})).code, 0);
    secret(directory.path(), "right", "probe-password");
    let tls = json!({"ca": cert.pem()});
    let checks = json!([
        {"id": "user", "redis": {"address": format!("127.0.0.1:{plain}"), "user": "probe", "password": {"secret": "right"}}},
        {"id": "default", "redis": {"address": format!("127.0.0.1:{plain}"), "password": {"secret": "right"}}},
        {"id": "tls", "redis": {"address": format!("localhost:{secure}"), "user": "probe", "password": {"secret": "right"}, "tls": tls}},
        {"id": "tcp", "tcp": {"address": format!("localhost:{secure}"), "tls": tls, "send": "PING\r\n", "banner": "^-NOAUTH"}}
    ]);
    let resolve = format!("localhost:{secure}:127.0.0.1");
    let args = ["run", "--no-second-look", "--resolve", &resolve, "--secrets-dir", directory.path().to_str().unwrap()];
    let output = run(&args, checks);
    for (id, state) in [("user", "up"), ("default", "down"), ("tls", "up"), ("tcp", "up")] {
        assert_eq!(output.check(id)["state"], state, "{}", output.check(id));
    }
    assert!(!output.stdout.contains("probe-password"));
}
