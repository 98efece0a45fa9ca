//! Over the network with a password.

use crate::cluster::Cluster;

fn over_tcp(cluster: &Cluster, user: &str, tls: &str, rest: &str) -> String {
    format!(
        r#"{{"schema":"pg.desired/v1","owner":"fleet","cluster":{{"name":"main","tcp":{{"host":"127.0.0.1","port":{},"user":"{user}","password":{{"secret":"admin"}},{tls}}}}},{rest}}}"#,
        cluster.port
    )
}

#[test]
fn with_scram_and_without_superuser() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    cluster.sql("postgres", "CREATE ROLE admin LOGIN CREATEROLE CREATEDB PASSWORD 'admin-canary'; GRANT CREATE ON DATABASE postgres TO admin");
    cluster.secret("admin", b"admin-canary");
    cluster.secret("app-db", b"app-canary");
    let desired = over_tcp(
        &cluster,
        "admin",
        r#""tls":"disable""#,
        r#""roles":[{"name":"app","login":true,"password":{"secret":"app-db"}}],"databases":[{"name":"app","owner":"app","schemas":[{"name":"s"}]}]"#,
    );
    let applied = cluster.run(&["apply"], &desired).ends(0);
    assert!(!applied.stdout.contains("canary"));
    assert!(cluster.login("app", "app-canary", "app"));
    // pg_authid may not be read, so the password cannot be compared: that is said, and is no drift.
    let again = cluster.run(&["plan", "--check"], &desired).ends(0).json();
    assert!(again["warnings"][0].as_str().unwrap().contains("set-password:app"));
    cluster.secret("app-db", b"new-canary");
    cluster.run(&["apply", "--allow", "set-password:app"], &desired).ends(0);
    assert!(cluster.login("app", "new-canary", "app"));
    cluster.secret("admin", b"wrong");
    let refused = cluster.run(&["plan"], &desired).ends(77);
    assert!(refused.stdout.is_empty() && !refused.stderr.contains("wrong\n"), "{refused:?}");
}

#[test]
fn tls_is_verified() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    cluster.sql("postgres", "CREATE ROLE admin LOGIN SUPERUSER PASSWORD 'admin'");
    cluster.secret("admin", b"admin");
    // The server has no TLS: verify-full does not fall back to the clear.
    let desired = over_tcp(&cluster, "admin", r#""tls":"verify-full""#, r#""roles":[]"#);
    let refused = cluster.run(&["plan"], &desired);
    assert!(refused.code == 77 || refused.code == 69, "{refused:?}");
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=test",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ])
        .arg("-keyout")
        .arg(cluster.data().join("server.key"))
        .arg("-out")
        .arg(cluster.data().join("server.crt"))
        .output();
    if !made.is_ok_and(|made| made.status.success()) {
        assert!(
            std::env::var_os("PLUMBLINE_REQUIRE_PEERS").is_none(),
            "openssl is needed (install: apt-get install -y openssl)"
        );
        eprintln!("skipped: openssl (install: apt-get install -y openssl)");
        return;
    }
    let owner = std::fs::metadata(cluster.data()).unwrap();
    for file in ["server.key", "server.crt"] {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
        let path = cluster.data().join(file);
        chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    }
    if !cluster.has_tls() {
        assert!(std::env::var_os("PLUMBLINE_REQUIRE_PEERS").is_none(), "a server built with TLS is needed");
        eprintln!("skipped: TLS (this build of the server has none)");
        return;
    }
    cluster.sql("postgres", "ALTER SYSTEM SET ssl = on");
    cluster.sql("postgres", "SELECT pg_reload_conf(), pg_sleep(1)");
    let ca = std::fs::read_to_string(cluster.data().join("server.crt")).unwrap().replace('\n', "\\n");
    let with = |host: &str, mode: &str, ca: &str| {
        let desired = over_tcp(&cluster, "admin", &format!(r#""tls":"{mode}"{ca}"#), r#""roles":[]"#);
        cluster.run(&["plan"], &desired.replace("127.0.0.1", host))
    };
    let ca = format!(r#","ca":"{ca}""#);
    with("localhost", "verify-full", &ca).ends(0);
    with("127.0.0.1", "verify-full", &ca).ends(77);
    with("127.0.0.1", "verify-ca", &ca).ends(0);
    with("localhost", "verify-full", "").ends(77);
}
