use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::hostile_report::{NASTY, large, report};
use crate::server::{answer, http};
use crate::tool::{Output, has, peer, run, run_text};

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
    assert!(!page.contains("<script") && !page.contains("src="));
    // Links lead only to other places of the same page.
    assert!(page.match_indices("href=").all(|(at, _)| page[at..].starts_with("href=\"#c")));
    assert!(page.contains("db &lt;&amp;&quot;&#39;# \\") && !page.contains("db <"));
    assert!(page.contains("<svg"), "the graph is drawn");
    // The value of a query may be a key.
    assert!(page.contains("key=...") && !page.contains("key=value"));
    assert!(page.find("class=\"card cause down\"").unwrap() < page.find("<table>").unwrap());
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

fn written(format: &str, report: &Value) -> String {
    let output = run_text(&["report", "--output", format], &report.to_string());
    assert_eq!(output.stderr, "", "{format}");
    output.stdout
}

/// What a program makes of an input.
fn through(command: &mut Command, input: &str) -> (bool, String) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

#[test]
fn a_stored_report_is_written_again_in_any_format() {
    let good = http(answer("200 OK", "fine"));
    let checks = json!([{"id": "a", "http": {"url": format!("http://127.0.0.1:{good}/")}}]);
    let first = run(&["run"], checks);
    let again = run_text(&["report"], &first.stdout);
    assert_eq!((again.code, &again.stdout), (0, &first.stdout), "{}", again.stderr);
    assert!(written("text", &first.json()).contains("Health: up (1 up)"));
    let down = report();
    assert_eq!(run_text(&["report"], &down.to_string()).code, 1);
    assert_eq!(run_text(&["report", "--output", "nagios"], &down.to_string()).code, 2);
    // What is no report is refused.
    assert_eq!(run_text(&["report"], r#"{"schema":"health.checks/v1","checks":[]}"#).code, 65);
    // The same report gives the same bytes.
    for format in ["html", "junit", "tap", "nagios", "prometheus", "text"] {
        assert_eq!(written(format, &down), written(format, &down));
    }
}

#[test]
fn one_run_writes_every_format() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let formats = ["json", "text", "junit", "tap", "nagios", "prometheus", "html"];
    let mut args = vec!["run".to_owned(), "--no-second-look".into()];
    for format in formats {
        args.extend(["--report".to_owned(), format!("{format}={}", path(format))]);
    }
    // A file that stands there is replaced as a whole.
    std::fs::write(path("html"), "old").unwrap();
    std::fs::set_permissions(path("html"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let output = run(&args, json!([{"id": "a", "tcp": {"address": "127.0.0.1:1"}}]));
    assert_eq!(output.code, 1);
    assert_eq!(std::fs::read_to_string(path("json")).unwrap(), output.stdout);
    for (format, wanted) in formats.iter().zip([
        "\"status\"",
        "Health: down",
        "<testsuites",
        "TAP version 14",
        "CRITICAL - 1 root cause: a",
        "probe_success{check=\"a\"",
        "<!doctype html>",
    ]) {
        let text = std::fs::read_to_string(path(format)).unwrap();
        assert!(text.contains(wanted), "{format}: {text}");
        let mode = std::fs::metadata(path(format)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o644, "{format}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), formats.len(), "nothing else is left there");
    // A place that cannot be written is told before stdout says anything.
    let output = run(&["run", "--report", "html=/proc/no/such/place.html"], json!([{"id": "a", "node": {}}]));
    assert_eq!((output.code, output.stdout.as_str()), (73, ""), "{}", output.stderr);
}

#[test]
fn junit_is_read_by_junitparser() {
    let text = written("junit", &report());
    let Some(program) = peer("junitparser", "junitparser") else { return };
    let python = std::fs::canonicalize(program).unwrap().with_file_name("python3");
    let script = "
import sys, json
from junitparser import JUnitXml, Failure, Error, Skipped
xml = JUnitXml.fromstring(sys.stdin.buffer.read())
kinds = {Failure: 'failure', Error: 'error', Skipped: 'skipped'}
cases = [[case.name, case.classname, case.time, [kinds[type(r)] for r in case.result], [r.message for r in case.result]] for suite in xml for case in suite]
suite = next(iter(xml))
print(json.dumps({'cases': cases, 'counts': [suite.tests, suite.failures, suite.errors, suite.skipped], 'time': suite.time}))
";
    let (good, said) = through(Command::new(python).args(["-c", script]), &text);
    assert!(good, "{said}\n{text}");
    let read: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(read["counts"], json!([10, 2, 2, 3]));
    assert_eq!(read["time"], 1.234);
    let case = |at: usize| &read["cases"][at];
    assert_eq!(case(0)[0], NASTY[0]);
    assert_eq!(case(0)[3], json!(["failure"]));
    assert_eq!(case(1)[3], json!(["skipped"]));
    assert_eq!(case(1)[4], json!([format!("blocked by {}", NASTY[0])]));
    assert_eq!(case(2)[3], json!(["error"]));
    assert_eq!(case(6)[0], NASTY[6]);
    assert_eq!(case(8)[0], NASTY[8]);
}

#[test]
fn tap_is_read_by_tap_parser() {
    let text = written("tap", &report());
    assert!(text.starts_with("TAP version 14\n1..10\n"));
    let Some(home) = peer("tap-parser", "tap-parser") else { return };
    let program = home.join("node_modules/.bin/tap-parser");
    let (_, said) = through(Command::new("node").arg(program).args(["-j", "0"]), &text);
    let events: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    let of = |kind: &str| -> Vec<Value> {
        events.as_array().unwrap().iter().filter(|event| event[0] == kind).map(|event| event[1].clone()).collect()
    };
    let asserts = of("assert");
    assert_eq!(asserts.len(), 10, "{said}");
    let complete = &of("complete")[0];
    assert_eq!(
        (&complete["count"], &complete["fail"], &complete["skip"]),
        (&json!(10), &json!(4), &json!(3)),
        "{complete}"
    );
    assert!(of("extra").is_empty() && of("bailout").is_empty(), "{said}");
    assert_eq!(asserts[0]["name"], NASTY[0]);
    assert_eq!(asserts[0]["diag"]["message"], format!("said {}", NASTY[0]));
    assert!(asserts[1]["skip"].as_str().unwrap().starts_with("blocked by db"));
    // A name that claims to be skipped is not.
    assert_eq!(
        (&asserts[2]["name"], &asserts[2]["skip"], &asserts[2]["ok"]),
        (&json!(NASTY[2]), &json!(false), &json!(false))
    );
}

#[test]
fn prometheus_accepts_what_strangers_say() {
    let text = written("prometheus", &report());
    assert!(text.contains("probe_ip_protocol{check=") && text.contains("health_check_figure{check="));
    assert!(text.ends_with('\n') && !text.contains("\n\n"));
    if !has("promtool", "apt-get install -y prometheus") {
        return;
    }
    let (good, said) = through(Command::new("promtool").args(["check", "metrics"]), &text);
    assert!(good, "{said}");
}

#[test]
fn nagios_keeps_to_one_line_and_its_figures() {
    let text = written("nagios", &report());
    let first = text.lines().next().unwrap();
    assert_eq!(first.matches('|').count(), 1, "{first}");
    let figures = first.split('|').nth(1).unwrap();
    assert_eq!(figures, "up=1 degraded=2 down=2 unreachable=2 unknown=2 skipped=1 time=1.234s");
    assert!(text.lines().skip(1).all(|line| !line.contains('|')), "{text}");
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn text_for_people_moves_no_cursor() {
    let text = written("text", &report());
    assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'), "{text:?}");
    assert!(text.starts_with("✗ db"));
    // Many healthy checks are only counted.
    let text = written("text", &large(200));
    assert!(text.lines().count() < 90, "{text}");
    assert!(text.contains("133 more checks"), "{text}");
}

fn chromium(page: &Path, more: &[&str]) -> Option<(bool, String)> {
    if !has("chromium", "apt-get install -y chromium") {
        return None;
    }
    let profile = tempfile::tempdir().unwrap();
    let mut command = Command::new("chromium");
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--disable-extensions",
        "--enable-logging=stderr",
    ]);
    command
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(more)
        .arg(format!("file://{}", page.display()));
    Some(through(&mut command, ""))
}

#[test]
fn a_browser_shows_the_page() {
    let directory = tempfile::tempdir().unwrap();
    let page = directory.path().join("health.html");
    std::fs::write(&page, written("html", &report())).unwrap();
    let Some((good, said)) = chromium(&page, &["--dump-dom"]) else { return };
    assert!(good, "{said}");
    // The browser wrote down what it understood: the texts are texts, and there are as many rows as checks.
    assert_eq!(said.matches(" id=\"c").count(), NASTY.len(), "{said}");
    assert!(said.contains("]]&gt; &lt;script&gt;alert(1)&lt;/script&gt; &lt;!-- --"), "{said}");
    assert!(!said.contains("<script>"));
    assert!(said.contains("<svg") && said.contains("</svg>"));
    assert!(!said.contains("Content Security Policy") && !said.contains("CONSOLE"), "{said}");
}

#[test]
fn two_hundred_checks_make_a_small_page() {
    let page = written("html", &large(200));
    assert!(page.len() < 100_000, "{}", page.len());
    assert!(page.contains("postgres is down, and blocks 66 checks"));
    // What is blocked, and what is well, is folded; the graph shows the healthy ones by group.
    assert!(
        page.contains("<summary>66 checks blocked</summary>") && page.contains("<summary>133 checks healthy</summary>")
    );
    assert!(page.contains("<svg"));
    // It grows with the checks, not faster.
    let larger = written("html", &large(2000));
    assert!(larger.len() < 10 * page.len(), "{}", larger.len());
}
