//! A directory that stands in for a host.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use serde_json::{Value, json};

use crate::{desired, run, run_in, status};

fn target(directory: &Path) -> String {
    format!("sandbox:{}", directory.display())
}

fn apply(directory: &Path, document: &Value, more: &[&str]) -> crate::Ran {
    let target = target(directory);
    let args: Vec<&str> = ["apply", "--target", &target].iter().copied().chain(more.iter().copied()).collect();
    run(&args, &document.to_string())
}

fn plan(directory: &Path, document: &Value, more: &[&str]) -> crate::Ran {
    let target = target(directory);
    let args: Vec<&str> = ["plan", "--target", &target].iter().copied().chain(more.iter().copied()).collect();
    run(&args, &document.to_string())
}

fn items() -> Value {
    json!([
        {"id": "pkg", "stage": "base", "packages": {"present": ["nginx"]}},
        {"id": "dir", "directory": {"path": "/srv/app", "mode": "0750", "owner": "app", "group": "app"}},
        {"id": "file", "file": {"path": "/srv/app/conf", "content": "a\n", "mode": "0640", "owner": "app"}, "notify": ["restart:app.service"]},
        {"id": "open", "file": {"path": "/etc/open.conf", "content": "one\n"}},
        {"id": "link", "symlink": {"path": "/srv/app/current", "target": "conf"}},
        {"id": "unit", "unit": {"name": "app.service", "state": "started"}}
    ])
}

#[test]
fn files_are_real_and_the_rest_is_said_not_to_run() {
    let host = tempfile::tempdir().unwrap();
    let document = desired("web1", &items());
    let first = plan(host.path(), &document, &[]).expect(0).json();
    assert_eq!(first["summary"]["create"], 4);
    assert!(
        first["changes"]
            .as_array()
            .unwrap()
            .iter()
            .any(|change| change["diff"].as_str().is_some_and(|diff| diff.contains("+one")))
    );
    let private = first["changes"].as_array().unwrap().iter().find(|change| change["name"] == "/srv/app/conf").unwrap();
    assert_eq!(private["redacted"], true);
    assert_eq!(first["not_run"].as_array().unwrap().len(), 3);
    // A plan changes nothing but the key of the fingerprints, and is the same every time.
    assert!(!host.path().join("srv").exists());
    assert_eq!(first, plan(host.path(), &document, &[]).expect(0).json());

    let result = apply(host.path(), &document, &[]).expect(0).json();
    assert_eq!((result["outcome"].as_str(), result["changed"].as_bool()), (Some("done"), Some(true)));
    assert_eq!(status(&result, "app.service"), "not_run");
    assert_eq!(std::fs::read_to_string(host.path().join("srv/app/current")).unwrap(), "a\n");
    assert_eq!(std::fs::metadata(host.path().join("srv/app")).unwrap().permissions().mode() & 0o7777, 0o750);
    let owners = std::fs::read_to_string(host.path().join("var/lib/plumbline/owners.json")).unwrap();
    assert!(owners.contains("/srv/app/conf"));

    let inode = std::fs::metadata(host.path().join("srv/app/conf")).unwrap().ino();
    let again = apply(host.path(), &document, &[]).expect(0).json();
    assert_eq!(again["changed"], false);
    assert_eq!(std::fs::metadata(host.path().join("srv/app/conf")).unwrap().ino(), inode);
    plan(host.path(), &document, &["--check"]).expect(0);
    std::fs::write(host.path().join("etc/open.conf"), "two\n").unwrap();
    let drift = plan(host.path(), &document, &["--check"]).expect(1).json();
    assert!(drift["changes"][0]["diff"].as_str().unwrap().contains("-two\n+one\n"));
}

#[test]
fn what_is_no_longer_declared_goes_and_originals_come_back() {
    let host = tempfile::tempdir().unwrap();
    std::fs::create_dir(host.path().join("etc")).unwrap();
    std::fs::write(host.path().join("etc/open.conf"), "theirs\n").unwrap();
    std::fs::set_permissions(host.path().join("etc/open.conf"), std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(host.path().join("etc/foreign"), "foreign").unwrap();
    apply(host.path(), &desired("web1", &items()), &[]).expect(0);

    // A part removes nothing.
    let none = desired(
        "web1",
        &json!([{"id": "other", "stage": "services", "file": {"path": "/etc/other", "content": ""}},
        {"id": "base", "stage": "base", "directory": {"path": "/srv/base"}}]),
    );
    let part = plan(host.path(), &none, &["--through", "base"]).expect(0).json();
    assert_eq!((part["summary"]["delete"].as_u64(), part["through"].as_str()), (Some(0), Some("base")));
    assert_eq!(part["desired"]["partial"], true);

    std::fs::write(host.path().join("srv/app/conf"), "changed by hand").unwrap();
    let result = apply(host.path(), &none, &[]).expect(0).json();
    assert_eq!(std::fs::read_to_string(host.path().join("etc/open.conf")).unwrap(), "theirs\n");
    assert_eq!(std::fs::metadata(host.path().join("etc/open.conf")).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(std::fs::read_to_string(host.path().join("srv/app/conf")).unwrap(), "changed by hand");
    assert!(result["kept"].to_string().contains("changed by others"), "{result}");
    assert!(!host.path().join("srv/app/current").is_symlink());
    assert_eq!(std::fs::read_to_string(host.path().join("etc/foreign")).unwrap(), "foreign");

    let mut backup = desired("web1", &json!([{"id": "x", "file": {"path": "/etc/other", "content": "mine"}}]));
    backup["owner"] = "backup".into();
    let refused = plan(host.path(), &backup, &[]).expect(65);
    assert!(refused.stderr.contains("belongs to the owner"), "{}", refused.stderr);
}

#[test]
fn data_is_never_removed_without_consent() {
    let host = tempfile::tempdir().unwrap();
    let data = desired("web1", &json!([{"id": "d", "directory": {"path": "/srv/data", "data": true}}]));
    apply(host.path(), &data, &[]).expect(0);
    std::fs::write(host.path().join("srv/data/precious"), "1").unwrap();
    let none = desired("web1", &json!([]));
    let kept = apply(host.path(), &none, &[]).expect(0).json();
    assert_eq!(kept["orphaned"][0]["allow"], "drop:directory//srv/data");
    // An orphan is no drift.
    plan(host.path(), &none, &["--check"]).expect(0);
    assert!(host.path().join("srv/data/precious").exists());
    apply(host.path(), &none, &["--allow", "drop:directory//srv/data"]).expect(0);
    assert!(!host.path().join("srv/data").exists());
}

#[test]
fn many_removals_need_a_consent() {
    let host = tempfile::tempdir().unwrap();
    let file = |n: usize| json!({"id": format!("f{n}"), "file": {"path": format!("/etc/f{n}"), "content": "x"}});
    let many: Vec<Value> = (0..30).map(file).collect();
    apply(host.path(), &desired("web1", &json!(many)), &[]).expect(0);
    let few = desired("web1", &json!(many[..5]));
    let refused = apply(host.path(), &few, &[]).expect(76).json();
    assert!(refused["error"]["hint"].as_str().unwrap().contains("--allow deletes:25"), "{refused}");
    apply(host.path(), &few, &["--allow", "deletes:25"]).expect(0);
    assert!(!host.path().join("etc/f20").exists() && host.path().join("etc/f3").exists());
}

#[test]
fn a_plan_is_applied_exactly_or_not_at_all() {
    let host = tempfile::tempdir().unwrap();
    let document = desired("web1", &items());
    let planned = plan(host.path(), &document, &[]).expect(0).json();
    std::fs::create_dir_all(host.path().join("etc")).unwrap();
    std::fs::write(host.path().join("etc/open.conf"), "came meanwhile").unwrap();
    let stale = apply(host.path(), &planned, &[]).expect(75).json();
    assert_eq!(stale["error"]["code"], "stale_plan");
    assert!(!host.path().join("srv").exists());
    let planned = plan(host.path(), &document, &[]).expect(0).json();
    apply(host.path(), &planned, &[]).expect(0);
    assert_eq!(std::fs::read_to_string(host.path().join("etc/open.conf")).unwrap(), "one\n");
}

#[test]
fn unsafe_ways_are_refused_and_everything_goes_back() {
    let host = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(host.path().join("etc/taken")).unwrap();
    std::fs::write(host.path().join("etc/first"), "old").unwrap();
    symlink("/etc/first", host.path().join("etc/link")).unwrap();
    for (path, code) in [("/etc/link", "wrong_kind"), ("/etc/taken", "wrong_kind")] {
        let document = desired(
            "web1",
            &json!([
            {"id": "a", "file": {"path": "/etc/first", "content": "new"}},
            {"id": "b", "file": {"path": path, "content": "new"}}]),
        );
        let ran = apply(host.path(), &document, &[]).expect(76).json();
        assert_eq!(ran["error"]["code"], code);
        assert_eq!(std::fs::read_to_string(host.path().join("etc/first")).unwrap(), "old");
    }
}

#[test]
fn sources_come_from_the_base() {
    let base = tempfile::tempdir().unwrap();
    let host = tempfile::tempdir().unwrap();
    std::fs::write(base.path().join("blob"), [0_u8, 1, 2, 255]).unwrap();
    let document = desired("web1", &json!([{"id": "s", "file": {"path": "/etc/blob", "source": "blob"}}]));
    let target = target(host.path());
    let planned = run_in(base.path(), &["plan", "--target", &target], &document.to_string()).expect(0).json();
    assert_eq!(planned["desired"]["items"][0]["file"]["sha256"].as_str().unwrap().len(), 64);
    run_in(base.path(), &["apply", "--target", &target], &planned.to_string()).expect(0);
    assert_eq!(std::fs::read(host.path().join("etc/blob")).unwrap(), [0, 1, 2, 255]);
    std::fs::write(base.path().join("blob"), "other").unwrap();
    let stale = run_in(base.path(), &["apply", "--target", &target], &planned.to_string()).expect(75).json();
    assert_eq!(stale["error"]["code"], "stale_plan");
    let outside = desired("web1", &json!([{"id": "s", "file": {"path": "/etc/blob", "source": "../blob"}}]));
    run_in(base.path(), &["plan", "--target", &target], &outside.to_string()).expect(65);
}

/// More files than a process may have open at a time.
#[test]
fn thousands_of_files() {
    let host = tempfile::tempdir().unwrap();
    let file =
        |n: usize| json!({"id": format!("f{n}"), "file": {"path": format!("/etc/d{}/f{n}", n % 7), "content": "x"}});
    let many: Vec<Value> = (0..1500).map(file).collect();
    let result = apply(host.path(), &desired("web1", &json!(many)), &[]).expect(0).json();
    assert_eq!(result["summary"]["create"], 1500);
    assert_eq!(apply(host.path(), &desired("web1", &json!(many)), &[]).expect(0).json()["changed"], false);
}
