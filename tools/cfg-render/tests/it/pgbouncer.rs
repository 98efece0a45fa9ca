//! PgBouncer before PostgreSQL: both real, with the files as they are rendered.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::fleet::merged;
use crate::run::{cfg_render, document, files, is_root, peer, say};

fn fleet() -> Value {
    json!({
        "schema": "fleet/v1", "name": "pooled", "domain": "pooled.test",
        "networks": {"lan": {"cidrs": ["10.1.0.0/16"]}},
        "defaults": {"host": {"os": "debian-12", "ssh": {"keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me"]}}},
        "hosts": {"db": {"addresses": {"public": ["192.0.2.1"], "lan": ["10.1.0.1"]}}, "web": {"addresses": {"public": ["192.0.2.2"], "lan": ["10.1.0.2"]}}},
        "databases": {"main": {"host": "db", "bind": ["lan"], "pgbouncer": {"size": 3, "settings": {"server_idle_timeout": "60"}}}},
        "services": {
            "shop": {
                "host": "web", "run": {"systemd": {"exec": ["/usr/bin/true"]}}, "env": {"URL": {"database": "shop-x", "attr": "url"}},
                "databases": [{"name": "shop-x", "owner": "shop", "password": {"secret": "shop-db"}, "pool": {}}], "backup": {"none": "test"}
            },
            "jobs": {
                "host": "db", "run": {"systemd": {"exec": ["/usr/bin/true"]}}, "env": {"PORT": {"database": "jobs", "attr": "port"}},
                "databases": [{"password": {"secret": "jobs-db"}, "pool": {"mode": "session", "size": 2}}], "backup": {"none": "test"}
            },
            "plain": {
                "host": "web", "run": {"systemd": {"exec": ["/usr/bin/true"]}}, "env": {"PORT": {"database": "plain", "attr": "port"}},
                "databases": [{"password": {"secret": "plain-db"}}], "backup": {"none": "test"}
            }
        },
        "secrets": {"shop-db": {}, "jobs-db": {}, "plain-db": {}}
    })
}

fn file(all: &[(String, String)], path: &str) -> String {
    all.iter().find(|(known, _)| known == path).unwrap_or_else(|| panic!("{path} is there")).1.clone()
}

#[test]
fn pooled_databases_are_asked_for_at_the_pooler() {
    let fleet = fleet();
    let (db, web) = (files(&fleet, "db"), files(&fleet, "web"));
    let secrets = document(&["secrets", "--host", "web"], &fleet).to_string();
    assert!(secrets.contains("@@secret:shop-db@@@10.1.0.1:6432/shop-x"), "{secrets}");
    assert!(file(&web, "/etc/systemd/system/plain.service").contains("PORT=5432"));
    let jobs = file(&db, "/etc/systemd/system/jobs.service");
    assert!(jobs.contains("PORT=6432") && jobs.contains("After=pgbouncer.service"), "{jobs}");
    // Both stay open to the host that uses both, and to nobody else.
    let firewall = file(&db, "/etc/nftables.conf");
    assert!(firewall.contains("ip saddr 10.1.0.2 tcp dport { 5432, 6432 }"), "{firewall}");
    let health = document(&["health", "--from", "db"], &fleet);
    let checks = health["checks"].as_array().unwrap();
    let check = |id: &str| checks.iter().find(|check| check["id"] == id).unwrap_or_else(|| panic!("{id}"));
    assert_eq!(check("db.main.pgbouncer")["unit"]["name"], "pgbouncer.service");
    let login = check("db.main.database.shop-x");
    assert_eq!(
        (&login["needs"][0], &login["postgres"]["address"]),
        (&json!("db.main.pgbouncer"), &json!("127.0.0.1:6432"))
    );
    assert_eq!(check("db.main.database.plain")["postgres"]["address"], "127.0.0.1:5432");
    // No password is in any file of the pooler.
    assert!(
        db.iter().filter(|(path, _)| path.starts_with("/etc/pgbouncer")).all(|(_, text)| !text.contains("@@secret"))
    );
}

#[test]
fn a_pooler_that_cannot_be_is_refused() {
    for (patch, place, code) in [
        (json!({"databases": {"main": {"pgbouncer": null}}}), "/services/jobs/databases/0/pool", "no-pooler"),
        (
            json!({"services": {"plain": {"databases": [{"pool": {}}], "host": "db"}}}),
            "/services/plain/databases/0/pool",
            "impossible-login",
        ),
        (json!({"databases": {"main": {"port": 6432}}}), "/databases/main/pgbouncer", "port-clash"),
        (
            json!({"services": {"shop": {"databases": [{"name": "a b", "password": {"secret": "shop-db"}, "pool": {}}], "env": null}}}),
            "/services/shop/databases/0/name",
            "unrepresentable",
        ),
        (
            json!({"databases": {"main": {"pgbouncer": {"bind": ["moon"]}}}}),
            "/databases/main/pgbouncer/bind/0",
            "unknown-ref",
        ),
    ] {
        let fleet = merged(fleet(), patch);
        let output = cfg_render(&["check"], &fleet.to_string());
        let text = String::from_utf8_lossy(&output.stdout);
        let found: Value = serde_json::from_str(&text).unwrap();
        let hit =
            found["findings"].as_array().unwrap().iter().any(|one| one["code"] == code && one["pointer"] == place);
        assert!(hit && output.status.code() == Some(1), "{code} at {place}: {text}");
    }
}

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-INT", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

fn as_postgres(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "postgres", "--regid", "postgres", "--init-groups", "--"]).arg(program).current_dir("/");
    command
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn roles_come_through_it_with_their_own_passwords_and_to_their_own_databases_only() {
    let Some(pgbouncer) = peer("pgbouncer", "apt-get install pgbouncer") else { return };
    let Some(postgres) = peer("postgres", "apt-get install postgresql-15") else { return };
    if !is_root() {
        eprintln!("skipped: a private cluster is made as the user postgres (run as root)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let here = folder.path().to_str().unwrap();
    let (port, pooler) = (free_port(), free_port());
    let fleet = merged(fleet(), json!({"databases": {"main": {"port": port, "pgbouncer": {"port": pooler}}}}));
    let rendered = files(&fleet, "db");
    let data = folder.path().join("data");
    let (good, said) = say(as_postgres(&postgres.with_file_name("initdb")).args(["-A", "peer", "-D"]).arg(&data));
    assert!(good, "{said}");
    let put = |path: PathBuf, text: String| {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    };
    put(data.join("pg_hba.conf"), file(&rendered, "/etc/postgresql/15/main/pg_hba.conf"));
    for name in ["pgbouncer.ini", "databases.ini", "pg_hba.conf", "userlist.txt"] {
        let text = file(&rendered, &format!("/etc/pgbouncer/{name}"));
        // Only places change: what is said about them is what a host gets.
        let text = text.replace("/etc/pgbouncer", here).replace("/run/postgresql", here).replace(",10.1.0.1", "");
        put(folder.path().join(name), text);
    }
    let quiet = |mut command: Command, log: &str| {
        let log = fs::File::create(folder.path().join(log)).unwrap();
        Running(command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
    };
    let mut server = as_postgres(&postgres);
    server.arg("-D").arg(&data).args(["-p", &port.to_string(), "-k", here, "-c", "listen_addresses="]);
    let _server = quiet(server, "postgres.log");
    let psql = fs::canonicalize(&postgres).unwrap().with_file_name("psql");
    let owner =
        |sql: &str| say(as_postgres(&psql).args(["-h", here, "-p", &port.to_string(), "-qAtc", sql, "postgres"]));
    let start = Instant::now();
    while !owner("select 1").0 {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "{}",
            fs::read_to_string(folder.path().join("postgres.log")).unwrap()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    for sql in [
        "create role shop login password 'it''s \"%$'",
        "create role jobs login password 'jobs'",
        "create role plain login password 'plain'",
        "create database \"shop-x\" owner shop",
        "create database jobs owner jobs",
        "create database plain owner plain",
    ] {
        let (good, said) = owner(sql);
        assert!(good, "{said}");
    }
    let mut program = as_postgres(&pgbouncer);
    program.arg(folder.path().join("pgbouncer.ini"));
    let _pooler = quiet(program, "pgbouncer.log");
    let log = || fs::read_to_string(folder.path().join("pgbouncer.log")).unwrap();
    while !log().contains("process up") {
        assert!(start.elapsed() < Duration::from_secs(30), "{}", log());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(!log().contains("WARNING") && !log().contains("ERROR"), "{}", log());
    let ask = |role: &str, password: &str, database: &str, sql: &str| {
        let mut command = Command::new(&psql);
        command.env("PGPASSWORD", password).args([
            "-h",
            "127.0.0.1",
            "-p",
            &pooler.to_string(),
            "-U",
            role,
            "-qAtc",
            sql,
            database,
        ]);
        say(&mut command)
    };
    let who = "select current_user || ' in ' || current_database()";
    assert_eq!(ask("shop", "it's \"%$", "shop-x", who), (true, "shop in shop-x\n".into()), "{}", log());
    assert_eq!(ask("jobs", "jobs", "jobs", who), (true, "jobs in jobs\n".into()), "{}", log());
    for (role, password, database) in [
        ("shop", "wrong", "shop-x"),
        ("shop", "", "shop-x"),
        ("jobs", "jobs", "shop-x"),
        ("postgres", "", "shop-x"),
        ("postgres", "", "pgbouncer"),
        ("plain", "plain", "plain"),
        ("nobody", "x", "jobs"),
    ] {
        let (good, said) = ask(role, password, database, who);
        assert!(!good, "{role} in {database}: {said}");
    }
    // The console is for the owner of the server, over the socket.
    let console = ["-h", here, "-p", &pooler.to_string(), "-qAtc", "show databases", "pgbouncer"];
    let (good, said) = say(as_postgres(&psql).args(console));
    let modes: Vec<(&str, &str, &str)> = said
        .lines()
        .map(|line| line.split('|').collect::<Vec<_>>())
        .filter(|words| words.len() > 8)
        .map(|words| (words[0], words[5], words[8]))
        .collect();
    // A database without a mode of its own has the pooler's.
    assert!(file(&rendered, "/etc/pgbouncer/pgbouncer.ini").contains("pool_mode = transaction"));
    assert!(good && modes.contains(&("shop-x", "3", "")) && modes.contains(&("jobs", "2", "session")), "{said}");
}
