//! As root through the socket: a child with the uid of postgres holds the connection.

use serde_json::{Value, json};

use crate::cluster::Cluster;

fn ids(document: &Value) -> Vec<&str> {
    document["changes"].as_array().unwrap().iter().map(|change| change["id"].as_str().unwrap()).collect()
}

const APP: &str = r#""roles":[{"name":"app","login":true,"password":{"secret":"app-db"},"connection_limit":20,
   "settings":{"statement_timeout":"30s","search_path":"\"$user\", public"}},
  {"name":"readers"},{"name":"ro","login":true,"password":{"secret":"ro-db"},"member_of":[{"role":"readers"}]}],
 "databases":[{"name":"app","owner":"app","encoding":"UTF8","connection_limit":30,"settings":{"timezone":"UTC"},
   "extensions":[{"name":"plpgsql"}],"schemas":[{"name":"ext","owner":"app"}],
   "grants":[{"to":"readers","on":{"database":{}},"privileges":["CONNECT"]},
             {"to":"readers","on":{"schema":"public"},"privileges":["USAGE"]},
             {"to":"readers","on":{"all_tables_in":"public"},"privileges":["SELECT"]}],
   "default_privileges":[{"for":"app","in":"public","on":"tables","to":"readers","privileges":["SELECT"]}]}]"#;

#[test]
fn apply_makes_it_and_a_second_plan_is_empty() {
    let Some(cluster) = Cluster::start(&["log_statement=all", "log_min_duration_statement=0"]) else { return };
    cluster.secret("app-db", b"hunter2-canary");
    cluster.secret("ro-db", "sp\u{e9}cial-\u{fb01}-canary'\\\"".as_bytes());
    let desired = cluster.desired(APP);
    let plan = cluster.run(&["plan"], &desired).ends(0);
    assert_eq!(plan.stdout, cluster.run(&["plan"], &desired).stdout, "a plan is not the same twice");
    assert!(!plan.stdout.contains("canary") && !plan.stdout.contains("SCRAM-SHA-256$"), "{}", plan.stdout);
    assert_eq!(cluster.run(&["plan", "--check"], &desired).code, 1);

    let path = cluster.path().join("plan.json");
    std::fs::write(&path, &plan.stdout).unwrap();
    let applied = cluster.run(&["apply", path.to_str().unwrap()], "").ends(0);
    assert!(!applied.stdout.contains("canary"));
    assert_eq!(applied.json()["outcome"], "done");
    assert_eq!(ids(&applied.json()), ids(&plan.json()));
    assert_eq!(cluster.run(&["plan", "--check"], &desired).ends(0).json()["summary"]["create"], 0);

    assert!(cluster.login("app", "hunter2-canary", "app"));
    assert!(!cluster.login("app", "hunter2", "app"));
    assert!(
        cluster.login("ro", "sp\u{e9}cial-\u{fb01}-canary'\\\"", "app"),
        "the password is prepared otherwise than by libpq"
    );
    // Grants on what will be made, and on what is made behind our back.
    cluster.sql("app", "SET ROLE app; CREATE TABLE t(x int); RESET ROLE; CREATE TABLE foreign_table(x int)");
    assert_eq!(cluster.sql("app", "SELECT has_table_privilege('ro', 't', 'SELECT')"), "t");
    let drift = cluster.run(&["plan", "--check"], &desired).ends(1).json();
    assert_eq!(ids(&drift), ["database/app/grant/readers/all-tables/public"]);
    cluster.converge(&desired);
    // The server was told to log everything; passwords and verifiers are not there.
    let log = cluster.log();
    assert!(log.contains("CREATE DATABASE"), "the log is not complete");
    assert!(!log.contains("canary") && !log.contains("SCRAM-SHA-256$"), "a secret is in the server's log");
    // Nothing is written when nothing is to be done.
    let before = cluster.sql("postgres", "SELECT pg_current_xact_id()").parse::<u64>().unwrap();
    cluster.run(&["apply"], &desired).ends(0);
    let after = cluster.sql("postgres", "SELECT pg_current_xact_id()").parse::<u64>().unwrap();
    assert_eq!(after, before + 1, "an apply with nothing to do took a transaction id");
}

#[test]
fn a_new_secret_is_set_and_md5_is_replaced() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let desired = cluster.desired(r#""roles":[{"name":"app","login":true,"password":{"secret":"app-db"}}]"#);
    cluster.secret("app-db", b"first\n");
    cluster.converge(&desired);
    assert!(cluster.login("app", "first", "postgres"), "one newline at the end is not part of a secret");
    cluster.secret("app-db", b"second");
    assert_eq!(ids(&cluster.converge(&desired)), ["role/app/password"]);
    assert!(cluster.login("app", "second", "postgres") && !cluster.login("app", "first", "postgres"));
    cluster.sql("postgres", "SET password_encryption = md5; ALTER ROLE app PASSWORD 'second'");
    assert_eq!(ids(&cluster.converge(&desired)), ["role/app/password"]);
    assert!(cluster.sql("postgres", "SELECT rolpassword FROM pg_authid WHERE rolname = 'app'").starts_with("SCRAM"));
    // A verifier of the server's own making is recognised.
    cluster.sql("postgres", "SET password_encryption = 'scram-sha-256'; ALTER ROLE app PASSWORD 'second'");
    cluster.run(&["plan", "--check"], &desired).ends(0);
}

#[test]
fn drift_is_put_right() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    cluster.sql("postgres", "CREATE ROLE app LOGIN CREATEDB; CREATE ROLE readers");
    cluster.sql("postgres", "CREATE DATABASE app");
    let desired = cluster.desired(
        r#""defaults":{"secure_public_schema":true,"revoke_public_connect":true},
        "roles":[{"name":"app","login":true,"create_database":false,"member_of":[{"role":"readers","admin":true}]},{"name":"readers"}],
        "databases":[{"name":"app","owner":"app","settings":{"search_path":"app, public"}}]"#,
    );
    let planned = cluster.run(&["plan"], &desired).ends(0).json();
    assert_eq!(
        ids(&planned),
        [
            "role/app",
            "role/app/member/readers",
            "database/app",
            "database/app/setting/search_path",
            "database/app/connect"
        ]
    );
    cluster.converge(&desired);
    let owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'app'";
    assert_eq!(cluster.sql("postgres", owner), "app");
    assert_eq!(cluster.sql("app", "SHOW search_path"), "app, public");
    // What was there before us is never ours.
    let nothing = cluster.run(&["plan"], &cluster.desired(r#""roles":[]"#)).ends(0).json();
    assert_eq!(nothing.get("orphaned"), None);
}

#[test]
fn a_plan_of_another_state_is_refused() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let desired = cluster.desired(r#""roles":[{"name":"app","login":true},{"name":"other","login":true}]"#);
    let plan = cluster.run(&["plan"], &desired).ends(0).stdout;
    cluster.sql("postgres", "CREATE ROLE app");
    let stale = cluster.run(&["apply"], &plan).ends(75);
    assert!(stale.stderr.contains("role/app") && stale.stdout.is_empty(), "{stale:?}");
    assert_eq!(cluster.sql("postgres", "SELECT count(*) FROM pg_roles WHERE rolname = 'other'"), "0");
}

#[test]
fn orphans_are_kept_until_their_removal_is_allowed() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    cluster.sql("postgres", "CREATE ROLE stranger");
    cluster.sql("postgres", "CREATE DATABASE strange");
    cluster.converge(&cluster.desired(
        r#""roles":[{"name":"app"},{"name":"keep"}],"databases":[{"name":"app","owner":"app"},{"name":"keep"}]"#,
    ));
    let less = cluster.desired(r#""roles":[{"name":"keep"}],"databases":[{"name":"keep"}]"#);
    let planned = cluster.run(&["plan", "--check"], &less).ends(0).json();
    assert_eq!(
        planned["orphaned"],
        json!([{"id":"database/app","allow":"drop:database/app"},{"id":"role/app","allow":"drop:role/app"}])
    );
    assert_eq!(cluster.run(&["apply"], &less).ends(0).json()["changed"], false);
    let partial = less.replace(r#""owner":"fleet""#, r#""owner":"fleet","partial":true"#);
    assert_eq!(cluster.run(&["plan"], &partial).ends(0).json().get("orphaned"), None);
    let strange = cluster.run(&["apply", "--allow", "drop:database/strange"], &less).ends(0).json();
    assert!(strange["warnings"][0].as_str().unwrap().contains("names nothing"));
    let dropped =
        cluster.run(&["apply", "--allow", "drop:database/app", "--allow", "drop:role/app"], &less).ends(0).json();
    assert_eq!(ids(&dropped), ["database/app", "role/app"]);
    assert_eq!(cluster.run(&["plan"], &less).ends(0).json().get("orphaned"), None);
    assert_eq!(cluster.sql("postgres", "SELECT count(*) FROM pg_database WHERE datname = 'strange'"), "1");
    assert_eq!(
        cluster.sql("postgres", "SELECT string_agg(kind || ' ' || name, ',' ORDER BY kind) FROM plumbline.owned"),
        "database keep,role keep"
    );
}

#[test]
fn roles_that_nobody_has_are_named_with_their_place() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let desired = cluster.desired(
        r#""roles":[{"name":"app","member_of":[{"role":"raeders"}]},{"name":"readers"}],
        "databases":[{"name":"app","owner":"ap","grants":[{"to":"nobody","on":{"database":{}},"privileges":["ALL"]}]}]"#,
    );
    for verb in ["plan", "apply"] {
        let refused = cluster.run(&[verb, "--log-format", "json"], &desired).ends(65);
        let errors: Vec<Value> = refused.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let pointers: Vec<_> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
        assert_eq!(pointers, ["/roles/0/member_of/0/role", "/databases/0/owner", "/databases/0/grants/0/to"]);
        assert_eq!((&errors[1]["hint"], &errors[1]["line"]), (&json!("did you mean \"app\"?"), &json!(2)));
    }
    // A role that owns something is not dropped with a shrug.
    cluster.converge(&cluster.desired(r#""roles":[{"name":"app"}],"databases":[{"name":"app","owner":"app"}]"#));
    let less = cluster.desired(r#""databases":[{"name":"app"}]"#);
    let kept = cluster.run(&["apply", "--allow", "drop:role/app"], &less).ends(76);
    assert!(kept.stderr.contains("depend on it"), "{kept:?}");
}

#[test]
fn hostile_names_are_names() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let names = [
        "a\"; DROP ROLE keep; --",
        "it's",
        "b\\'c",
        "$$x$$",
        "ü\u{1F600}",
        " lead",
        "E'x'",
        "%s",
        "select",
        "a.b",
        "x/y",
        "A",
        "\t\n",
    ];
    cluster.secret("p", b"'; DROP ROLE keep; --");
    let roles: Vec<_> = names
        .iter()
        .map(|name| json!({"name": name, "login": true, "password": {"secret": "p"}, "settings": {"application_name": name}}))
        .chain([json!({"name": "keep"})])
        .collect();
    let databases: Vec<_> = names
        .iter()
        .take(3)
        .map(|name| {
            json!({"name": name, "owner": name, "schemas": [{"name": name, "owner": name}],
            "grants": [{"to": "keep", "on": {"schema": name}, "privileges": ["ALL"]}]})
        })
        .collect();
    let desired = cluster.desired(&format!(r#""roles":{},"databases":{}"#, json!(roles), json!(databases)));
    cluster.converge(&desired);
    let found = cluster.sql("postgres", "SELECT json_agg(rolname) FROM pg_roles WHERE rolname !~ '^pg_'");
    let found: Vec<String> = serde_json::from_str(&found).unwrap();
    assert_eq!(found.len(), names.len() + 2, "{found:?}");
    assert!(names.iter().all(|name| found.iter().any(|f| f == name)), "{found:?}");
}

#[test]
fn any_names_are_names() {
    use proptest::strategy::{Strategy, ValueTree};
    use proptest::test_runner::TestRunner;
    let Some(cluster) = Cluster::start(&[]) else { return };
    let mut runner = TestRunner::deterministic();
    // Everything but NUL, heavy on what SQL gives a meaning to.
    let strategy = proptest::string::string_regex("(['\"\\\\$;%{}/ \t\n.-]|[a-zA-Z0-9]|[^\\x00]){1,12}").unwrap();
    let mut names = std::collections::BTreeSet::new();
    while names.len() < 150 {
        let name = strategy.new_tree(&mut runner).unwrap().current();
        if !name.starts_with("pg_") && name.len() <= 63 {
            names.insert(name);
        }
    }
    let members = |name: &String| if name.len().is_multiple_of(2) { json!([{"role": "keep"}]) } else { json!([]) };
    let roles: Vec<_> = names
        .iter()
        .map(|name| json!({"name": name, "login": true, "settings": {"application_name": name, "my.own": name}, "member_of": members(name)}))
        .chain([json!({"name": "keep"})])
        .collect();
    let names: Vec<_> = names.iter().collect();
    let databases: Vec<_> = names
        .chunks(50)
        .map(|chunk| {
            let schemas: Vec<_> = chunk.iter().map(|name| json!({"name": name, "owner": name})).collect();
            let grants: Vec<_> =
                chunk.iter().map(|name| json!({"to": name, "on": {"schema": name}, "privileges": ["USAGE"]})).collect();
            json!({"name": chunk[0], "owner": chunk[1], "schemas": schemas, "grants": grants, "settings": {"my.own": chunk[2]}})
        })
        .collect();
    cluster.converge(&cluster.desired(&format!(r#""roles":{},"databases":{}"#, json!(roles), json!(databases))));
    let found = cluster.sql("postgres", "SELECT json_agg(rolname) FROM pg_roles WHERE rolname !~ '^pg_'");
    let found: Vec<String> = serde_json::from_str(&found).unwrap();
    assert_eq!(found.len(), names.len() + 2);
    assert!(names.iter().all(|name| found.contains(name)));
}

#[test]
fn an_interrupted_apply_says_how_far_it_came() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let databases: Vec<_> = (0..30).map(|n| json!({"name": format!("d{n:02}")})).collect();
    let desired = cluster.desired(&format!(r#""databases":{}"#, json!(databases)));
    let path = cluster.path().join("desired.json");
    std::fs::write(&path, &desired).unwrap();
    let child = std::process::Command::new(env!("CARGO_BIN_EXE_pg-ensure"))
        .args(["apply", path.to_str().unwrap()])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while cluster.sql("postgres", "SELECT count(*) FROM pg_database").parse::<u32>().unwrap() < 5 {
        assert!(std::time::Instant::now() < until);
    }
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["outcome"], "interrupted");
    let statuses: Vec<_> =
        result["changes"].as_array().unwrap().iter().map(|c| c["status"].as_str().unwrap()).collect();
    let made = statuses.iter().filter(|status| **status == "done").count();
    assert!(made > 0 && statuses.iter().all(|status| ["done", "skipped"].contains(status)), "{statuses:?}");
    assert_eq!(cluster.sql("postgres", "SELECT count(*) FROM pg_database WHERE datname ~ '^d'"), made.to_string());
    cluster.converge(&desired);
}

#[test]
fn a_second_run_waits_and_then_says_try_again() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let holder = std::thread::scope(|scope| {
        let hold = scope.spawn(|| cluster.sql("postgres", "SELECT pg_advisory_lock(1886152044, 1), pg_sleep(4)"));
        std::thread::sleep(std::time::Duration::from_millis(700));
        let desired = cluster.desired(r#""roles":[{"name":"app"}]"#);
        let locked = cluster.run(&["apply", "--lock-timeout", "1s"], &desired).ends(75);
        assert!(locked.stderr.contains("another run"), "{locked:?}");
        // With patience it goes through.
        cluster.run(&["apply", "--lock-timeout", "20s"], &desired).ends(0);
        hold.join()
    });
    assert!(holder.is_ok());
}

#[test]
fn a_failure_in_one_database_does_not_stop_the_others() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let desired = cluster.desired(
        r#""roles":[{"name":"app"}],"databases":[
        {"name":"one","owner":"app","extensions":[{"name":"no_such_extension"}],"schemas":[{"name":"s"}]},
        {"name":"two","owner":"app","schemas":[{"name":"s"}]}]"#,
    );
    let applied = cluster.run(&["apply"], &desired).ends(3);
    let result = applied.json();
    assert_eq!(result["outcome"], "partial");
    let status = |id: &str| {
        let changes = result["changes"].as_array().unwrap();
        changes.iter().find(|change| change["id"] == id).unwrap()["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(status("database/one/extension/no_such_extension"), "failed");
    assert_eq!(status("database/one/schema/s"), "rolled_back");
    assert_eq!(status("database/two/schema/s"), "done");
    assert!(applied.stderr.contains("no_such_extension"), "{applied:?}");
}

#[test]
fn a_dump_applies_to_nothing() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    cluster.secret("app-db", b"x");
    cluster.secret("ro-db", b"y");
    cluster.converge(&cluster.desired(APP));
    let port = cluster.port.to_string();
    let socket = cluster.socket();
    let dumped = cluster.run(&["dump", "--socket", socket.to_str().unwrap(), "--port", &port], "").ends(0);
    assert!(!dumped.stdout.contains("SCRAM"));
    assert_eq!(dumped.json()["roles"].as_array().unwrap().len(), 3);
    cluster.run(&["plan", "--check"], &dumped.stdout).ends(0);
    // What we render, the server reads.
    let hba = crate::tool::run(&["hba"], &cluster.desired(APP)).ends(0).stdout;
    std::fs::write(cluster.data().join("pg_hba.conf"), hba).unwrap();
    assert_eq!(cluster.sql("postgres", "SELECT string_agg(error, ';') FROM pg_hba_file_rules"), "");
}

#[test]
fn nobody_else_gets_in_through_the_socket() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let desired = cluster.desired(r#""roles":[]"#);
    let as_nobody = desired.replace(r#""port""#, r#""user":"nobody","port""#);
    let refused = cluster.run(&["plan"], &as_nobody).ends(77);
    assert!(refused.stderr.contains("nobody"), "{refused:?}");
    let unknown = desired.replace(r#""port""#, r#""user":"no-such-user","port""#);
    cluster.run(&["plan"], &unknown).ends(78);
    assert!(cluster.pid().is_some());
}
