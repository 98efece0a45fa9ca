//! Dumps of real databases.

use std::process::Command;

use serde_json::json;

use crate::house::{House, exists, has, step};
use crate::server::Server;

#[test]
fn postgres_is_dumped_verified_and_proven() {
    let (Some(mut house), Some(server)) = (House::build(), Server::start()) else { return };
    house.path = Some(server.bin.clone());
    let name = "it's a \"db\"=x";
    let quoted = "\"it's a \"\"db\"\"=x\"";
    assert!(server.sql("postgres", &format!("CREATE DATABASE {quoted}")));
    assert!(server.sql("postgres", "ALTER ROLE postgres PASSWORD 'pass:word-canary'"));
    house.secret("db", "pass:word-canary");
    let sources = house.sources(|sources| {
        let socket = json!({"host": server.socket(), "port": server.port});
        let mut database = socket.clone();
        database["database"] = json!(name);
        let tcp = json!({"host": "127.0.0.1", "port": server.port, "database": name, "password": {"secret": "db"}});
        sources["services"][0]["dumps"] = json!([
            {"id": "app", "postgres": database}, {"id": "globals", "postgres": socket}, {"id": "tcp", "postgres": tcp},
        ]);
    });
    let plan = house.plan(&sources);
    assert!(
        server.sql("dbname='it\\'s a \"db\"=x'", "CREATE TABLE t AS SELECT generate_series(1, 10000) AS x"),
        "no table"
    );
    let ran = house.run(&["run", &plan], "").ends(0);
    assert!(!ran.stdout.contains("canary") && !ran.stderr.contains("canary"));
    let result = ran.json();
    assert!(step(&result, "verify/app")["bytes"].as_u64().unwrap() > 10_000);
    for file in ["staging/app.dump", "staging/globals.sql", "staging/tcp.dump"] {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(house.at(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
        assert!(house.stored().iter().any(|stored| stored == file), "{file}");
    }
    let proof = house.run(&["drill", &plan], "").ends(0).json();
    assert_eq!(proof["dumps"], 3);
    // A database that went away: the old dump stays, no backup is begun.
    assert!(server.sql("postgres", &format!("DROP DATABASE {quoted}")));
    let before = std::fs::read(house.at("staging/app.dump")).unwrap();
    let failed = house.run(&["run", &plan], "");
    assert!(failed.code != 0 && failed.stderr.contains("does not exist"), "{failed:?}");
    assert_eq!(std::fs::read(house.at("staging/app.dump")).unwrap(), before);
    // A dump that was cut short: its list still reads, its end does not.
    std::fs::write(house.at("staging/app.dump"), &before[..before.len() * 9 / 10]).unwrap();
    let roots = house.text("state/roots.raw");
    house.restic(&[
        "backup",
        "-q",
        "--host",
        "snek",
        "--tag",
        "plan:snek",
        "--tag",
        "created-by:snek",
        "--files-from-raw",
        &roots,
    ]);
    let broken = house.run(&["drill", &plan], "").ends(1).json();
    assert!(broken["mismatches"][0].as_str().unwrap().contains("app.dump"), "{broken:#}");
}

#[test]
fn sqlite_is_dumped_while_it_is_written() {
    if !has("sqlite3", "apt-get install -y sqlite3") {
        return;
    }
    let Some(house) = House::build() else { return };
    let database = house.text("data/app/it's.db");
    let sql = "PRAGMA journal_mode=wal; CREATE TABLE t(x); INSERT INTO t VALUES (1),(2),(3);";
    assert!(Command::new("sqlite3").arg(&database).arg(sql).output().unwrap().status.success());
    let plan = house.plan(&house.sources(|sources| {
        sources["services"][0]["dumps"] = json!([{"id": "lite", "sqlite": {"path": database}}]);
    }));
    house.run(&["run", &plan], "").ends(0);
    house.run(&["run", &plan], "").ends(0);
    let rows =
        Command::new("sqlite3").arg(house.at("staging/lite.sqlite")).arg("SELECT count(*) FROM t").output().unwrap();
    assert_eq!(String::from_utf8(rows.stdout).unwrap(), "3\n");
    assert_eq!(house.run(&["drill", &plan], "").ends(0).json()["dumps"], 1);
    std::fs::write(
        &database,
        "not a database at all, and longer than a header of one hundred bytes, which is what sqlite looks at",
    )
    .unwrap();
    let broken = house.run(&["run", &plan], "");
    assert!(broken.code != 0 && exists(&house.at("staging/lite.sqlite")), "{broken:?}");
}
