//! The controller and its hosts in one graph: what each saw, taken together with `--with`.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::server::{answer, free_port, http};
use crate::tool::{Output, run_text};

/// A directory of reports.
struct Reports(tempfile::TempDir);

impl Reports {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// What a host saw of itself, in a file.
    fn of(&self, vantage: &str, checks: Value) -> PathBuf {
        let output = look(Some(vantage), checks, &[]);
        self.put(vantage, &output.stdout)
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(format!("{name}.health.json"));
        std::fs::write(&path, text).unwrap();
        path
    }
}

fn look(vantage: Option<&str>, checks: Value, with: &[&PathBuf]) -> Output {
    let mut document = json!({"schema": "health.checks/v1", "checks": checks});
    if let Some(vantage) = vantage {
        document["vantage"] = json!(vantage);
    }
    let mut args = vec!["run".to_owned(), "--no-second-look".into()];
    for report in with {
        args.extend(["--with".to_owned(), report.display().to_string()]);
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    run_text(&args, &document.to_string())
}

fn roots(output: &Output) -> Vec<String> {
    let report = output.json();
    report["root_causes"].as_array().unwrap().iter().map(|root| root["id"].as_str().unwrap().to_owned()).collect()
}

fn tcp(id: &str, port: u16, needs: &[&str]) -> Value {
    json!({"id": id, "needs": needs, "tcp": {"address": format!("127.0.0.1:{port}")}})
}

#[test]
fn a_host_explains_what_the_controller_sees() {
    let reports = Reports::new();
    let broken = http(answer("502 Bad Gateway", ""));
    // On the host: its database is down, and its app because of it; its disk is well.
    let host = reports.of("web1", json!([tcp("web1.pg", free_port(), &[]), tcp("web1.app", free_port(), &["web1.pg"]), {"id": "web1.disk", "disk": {"path": "/", "warn_percent": 100, "fail_percent": 100}}]));
    let outside = json!([
        {"id": "site", "needs": ["web1.app"], "http": {"url": format!("http://127.0.0.1:{broken}/")}},
        {"id": "other", "needs": ["web1.disk"], "http": {"url": format!("http://127.0.0.1:{}/", http(answer("200 OK", "")))}}
    ]);
    let output = look(Some("controller"), outside.clone(), &[&host]);
    assert_eq!(roots(&output), ["web1.pg"], "{}", output.stdout);
    assert_eq!(output.check("site")["blocked_by"], json!(["web1.pg"]));
    assert_eq!(output.json()["root_causes"][0]["impacts"], json!(["site", "web1.app"]));
    // What the host saw keeps what was seen there, and says from where.
    assert_eq!(output.check("web1.disk")["vantage"], "web1");
    assert!(output.check("web1.disk")["figures"].as_object().is_some_and(|figures| !figures.is_empty()));
    assert!(output.check("site")["vantage"].is_null());
    // Without the report its names are unknown: said before anything is looked at.
    let output = look(Some("controller"), outside, &[]);
    assert_eq!((output.code, output.stdout.as_str()), (65, ""));
}

#[test]
fn old_reports_and_those_of_the_future_are_not_believed() {
    let reports = Reports::new();
    let host = reports.of("web1", json!([tcp("web1.pg", http(answer("200 OK", "")), &[])]));
    let outside = json!([tcp("site", free_port(), &["web1.pg"])]);
    let fresh = look(None, outside.clone(), &[&host]);
    assert_eq!(fresh.check("web1.pg")["state"], "up");
    let mut report: Value = serde_json::from_str(&std::fs::read_to_string(&host).unwrap()).unwrap();
    for (began, reason) in
        [("2020-01-01T00:00:00Z", "stale_report"), ("2999-01-01T00:00:00Z", "clock_skew"), ("some day", "stale_report")]
    {
        report["started_at"] = json!(began);
        let old = reports.put("old", &report.to_string());
        let output = look(None, outside.clone(), &[&old]);
        assert_eq!(
            (output.check("web1.pg")["state"].clone(), output.check("web1.pg")["reason"].clone()),
            (json!("unknown"), json!(reason))
        );
        // What nobody knows explains nothing, but is told.
        assert_eq!(
            (roots(&output), output.check("site")["possible_causes"].clone()),
            (vec!["site".to_owned()], json!(["web1.pg"]))
        );
        assert_eq!(output.code, 1);
    }
}

#[test]
fn hosts_that_agree_see_one_thing_and_those_that_do_not_are_told_apart() {
    let reports = Reports::new();
    let dead = free_port();
    let host = |name: &str, port: u16| {
        reports.of(name, json!([tcp("pg", port, &[]), tcp(&format!("{name}.app"), free_port(), &["pg"])]))
    };
    let (one, two) = (host("one", dead), host("two", dead));
    let output = look(Some("controller"), json!([{"id": "all", "node": {}}]), &[&one, &two]);
    assert_eq!(roots(&output), ["pg"], "{}", output.stdout);
    assert_eq!(output.check("pg")["vantage"], "one, two");
    assert_eq!(output.json()["root_causes"][0]["impacts"], json!(["one.app", "two.app"]));
    // The way from one of them is broken: each keeps what it saw, and its own edges.
    let up = http(answer("200 OK", ""));
    let mut seen: Value = serde_json::from_str(&std::fs::read_to_string(host("three", up)).unwrap()).unwrap();
    seen["checks"][0]["target"] = json!(format!("127.0.0.1:{dead}"));
    let three = reports.put("three", &seen.to_string());
    let output = look(Some("controller"), json!([{"id": "all", "node": {}}]), &[&one, &three]);
    assert_eq!(
        (output.check("pg@one")["state"].clone(), output.check("pg@three")["state"].clone()),
        (json!("down"), json!("up")),
        "{}",
        output.stdout
    );
    assert_eq!(output.check("one.app")["blocked_by"], json!(["pg@one"]));
    assert_eq!(output.check("three.app")["needs"], json!(["pg@three"]));
}

#[test]
fn one_name_for_two_things_is_told_apart() {
    let reports = Reports::new();
    // Both hosts call their own app so, on ports of their own; and the controller has one as well.
    let one = reports.of("one", json!([tcp("app", free_port(), &[])]));
    let two = reports.of("two", json!([tcp("app", free_port(), &[])]));
    let up = http(answer("200 OK", ""));
    let output = look(Some("controller"), json!([tcp("app", up, &[]), tcp("site", up, &["app"])]), &[&one, &two]);
    let state = |id: &str| output.check(id)["state"].as_str().unwrap().to_owned();
    assert_eq!(
        (state("app"), state("site"), state("app@one"), state("app@two")),
        ("up".into(), "up".into(), "down".into(), "down".into())
    );
    // A report without a vantage is named after its file; the same one twice is one thing seen twice.
    let mut report: Value = serde_json::from_str(&std::fs::read_to_string(&one).unwrap()).unwrap();
    report.as_object_mut().unwrap().remove("vantage");
    let nameless = reports.put("nameless", &report.to_string());
    let output = look(None, json!([tcp("app", up, &[])]), &[&nameless]);
    assert_eq!(output.check("app@nameless")["state"], "down", "{}", output.stdout);
    let output = look(None, json!([tcp("own", up, &[])]), &[&one, &one]);
    assert_eq!(roots(&output), ["app"]);
}

#[test]
fn a_merged_report_can_be_merged_again() {
    let reports = Reports::new();
    let one = reports.of("one", json!([tcp("one.pg", free_port(), &[])]));
    let middle = look(Some("site-a"), json!([tcp("a.app", free_port(), &["one.pg"])]), &[&one]);
    let middle = reports.put("site-a", &middle.stdout);
    let output = look(Some("controller"), json!([tcp("top", free_port(), &["a.app"])]), &[&middle]);
    assert_eq!(roots(&output), ["one.pg"], "{}", output.stdout);
    assert_eq!(
        (output.check("one.pg")["vantage"].clone(), output.check("a.app")["vantage"].clone()),
        (json!("one"), json!("site-a"))
    );
    // What is no report is refused with its name.
    let output = look(None, json!([]), &[&reports.put("wrong", r#"{"schema": "health.checks/v1", "checks": []}"#)]);
    assert_eq!(output.code, 65);
    assert!(output.stderr.contains("wrong.health.json"), "{}", output.stderr);
}
