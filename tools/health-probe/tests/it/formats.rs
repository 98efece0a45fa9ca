use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::server::{answer, http};
use crate::tool::{Output, has, run};

fn mixed(format: &str) -> Output {
    let good = http(answer("200 OK", "fine"));
    let checks = json!([
        {"id": "db <&\"'# \\", "tcp": {"address": "127.0.0.1:1"}},
        {"id": "app", "needs": ["db <&\"'# \\"], "tcp": {"address": "127.0.0.1:1"}},
        {"id": "good", "group": "edge", "http": {"url": format!("http://127.0.0.1:{good}/?key=value")}},
        {"id": "slow", "warn_above": "0s", "critical": false, "http": {"url": format!("http://127.0.0.1:{good}/")}},
        {"id": "plugin", "exec": {"argv": ["true"]}}
    ]);
    run(&["run", "--output", format, "--no-second-look"], checks)
}

fn python(script: &str, input: &str) -> bool {
    let mut child = Command::new("python3").args(["-c", script]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait().unwrap().success()
}

#[test]
fn prometheus_accepts_the_metrics() {
    let output = mixed("prometheus");
    assert_eq!(output.code, 1);
    assert!(output.stdout.contains("probe_success{check=\"good\""));
    assert!(output.stdout.contains("health_root_cause{check=\"db <&\\\"'# \\\\\"} 1"));
    if !has("promtool", "apt-get install -y prometheus") {
        return;
    }
    let mut child = Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(output.stdout.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn junit_is_xml_that_counts_right() {
    let output = mixed("junit");
    if !has("python3", "apt-get install -y python3") {
        return;
    }
    let script = "
import sys, xml.etree.ElementTree as E
suite = E.fromstring(sys.stdin.read()).find('testsuite')
cases = suite.findall('testcase')
count = lambda tag: sum(case.find(tag) is not None for case in cases)
assert len(cases) == int(suite.get('tests')) == 5
assert count('failure') == int(suite.get('failures')) == 1
assert count('error') == int(suite.get('errors')) == 1
assert count('skipped') == int(suite.get('skipped')) == 1
assert cases[0].get('name') == 'db <&\"\\'# \\\\'
";
    assert!(python(script, &output.stdout), "{}", output.stdout);
}

#[test]
fn tap_has_a_plan_and_escapes() {
    let output = mixed("tap");
    let text = output.stdout;
    assert!(text.starts_with("TAP version 14\n1..5\nnot ok 1 - db <&\"'\\# \\\\\n  ---\n"), "{text}");
    assert!(text.contains("\nok 2 - app # SKIP blocked by"), "{text}");
    assert!(text.contains("\nnot ok 5 - plugin\n"), "{text}");
}

#[test]
fn nagios_has_its_own_codes() {
    let output = mixed("nagios");
    assert_eq!(output.code, 2);
    assert!(output.stdout.starts_with("CRITICAL - 1 root cause: db"), "{}", output.stdout);
    assert_eq!(output.stdout.lines().next().unwrap().matches('|').count(), 1);
    assert_eq!(run(&["run", "--output", "nagios"], json!([{"id": "x", "exec": {"argv": ["true"]}}])).code, 3);
    let bad = run(&["run", "--output", "nagios"], json!([]));
    assert_eq!(bad.code, 3);
    assert!(bad.stdout.starts_with("UNKNOWN - "));
    assert_eq!(run(&["run", "--output", "nagios"], json!([{"id": "x", "node": {}}])).code, 0);
    assert_eq!(run(&["run", "--output", "nagois"], json!([])).code, 2);
}

#[test]
fn the_page_stands_alone() {
    let page = mixed("html").stdout;
    assert!(page.contains("default-src 'none'"));
    assert!(!page.contains("<script") && !page.contains("src=") && !page.contains("href="));
    assert!(page.contains("db &lt;&amp;&quot;&#39;# \\") && !page.contains("db <"));
    assert!(page.contains("<svg"), "the graph is drawn");
    // The value of a query may be a key.
    assert!(page.contains("key=...") && !page.contains("key=value"));
    assert!(page.find("class=\"card cause\"").unwrap() < page.find("<table>").unwrap());
}

#[test]
fn two_hundred_checks_make_a_small_page() {
    let checks: Vec<_> =
        (0..200).map(|at| json!({"id": format!("check-{at}"), "tcp": {"address": "127.0.0.1:1"}})).collect();
    let page = run(&["run", "--output", "html", "--no-second-look"], json!(checks)).stdout;
    assert!(page.len() < 150_000, "{}", page.len());
}

#[test]
fn text_says_the_root_cause_first() {
    let output = mixed("text");
    assert!(
        output.stdout.starts_with("✗ db <&\"'# \\: 127.0.0.1:1 refused the connection\n    blocks 1: app\n"),
        "{}",
        output.stdout
    );
    assert!(output.stdout.trim_end().lines().last().unwrap().starts_with("Health: down (1 up, 1 degraded, 1 down"));
}
