//! A report that holds whatever a stranger may have said, and a large one.

use serde_json::{Value, json};

/// Names and messages that break a format that does not take care.
pub const NASTY: &[&str] = &[
    "db <&\"'# \\",
    "]]> <script>alert(1)</script> <!-- --",
    "a # SKIP because I say so",
    "x | load=1;2;3 'label'=4",
    "line one\nnot ok 99 - line two\r\nok 3",
    "bell \u{7} escape \u{1b}[2J nul \u{0} del \u{7f} next \u{85} bom \u{fffe}",
    "пример 数据库 🚀 \u{202e}right to left\u{202c}",
    "  ---\n  message: \"no\"\n  ...",
    "&amp; &#x3c; %s {{7*7}} ${HOME} `id`",
    "separators \u{2028} and \u{2029} here",
];

/// A report in which every such text stands as an id, a message, a target and evidence.
pub fn report() -> Value {
    let states = ["down", "unreachable", "unknown", "degraded", "up", "skipped"];
    let raws = ["fail", "fail", "error", "warn", "pass", "skip"];
    let checks: Vec<Value> = NASTY
        .iter()
        .enumerate()
        .map(|(at, text)| {
            let state = at % states.len();
            json!({
                "id": text, "group": NASTY[(at + 3) % NASTY.len()], "kind": "http", "target": text, "critical": true,
                "state": states[state], "raw": raws[state], "reason": "http_status", "message": format!("said {text}"),
                "blocked_by": if states[state] == "unreachable" { vec![NASTY[0]] } else { vec![] },
                "needs": if at == 1 { vec![NASTY[0]] } else { vec![] },
                "figures": {"used_percent": 41.5}, "address": "127.0.0.1:80", "http_status": 500, "attempts": 1, "ms": 12
            })
        })
        .collect();
    let mut summary = json!({"up": 0, "degraded": 0, "down": 0, "unreachable": 0, "unknown": 0, "skipped": 0});
    for at in 0..NASTY.len() {
        let count = &mut summary[states[at % states.len()]];
        *count = json!(count.as_u64().unwrap() + 1);
    }
    json!({
        "schema": "health.report/v1", "vantage": "<b>host</b>", "status": "down", "started_at": "2026-11-25T22:00:00Z", "ms": 1234,
        "rounds": 1, "summary": summary,
        "root_causes": [
            {"id": NASTY[0], "reason": "http_status", "message": NASTY[1], "impacts": [NASTY[1]], "degrades": [NASTY[3]], "evidence": NASTY},
            {"id": NASTY[6], "reason": "timeout", "message": NASTY[4], "impacts": []}
        ],
        "suspects": [{"id": NASTY[2], "message": NASTY[5], "impacts": [NASTY[7]]}],
        "checks": checks
    })
}

/// A fleet of this many checks: PostgreSQL is down, and takes a third of it along.
pub fn large(count: usize) -> Value {
    let mut checks = vec![json!({
        "id": "postgres", "group": "pg", "kind": "postgres", "target": "10.0.0.9:5432", "critical": true, "state": "down", "raw": "fail",
        "reason": "connect_refused", "message": "10.0.0.9:5432 refused the connection", "attempts": 2, "ms": 1
    })];
    let mut impacts = Vec::new();
    for at in 1..count {
        let (group, host) = (format!("service-{:02}", at % 23), at % 7);
        let id = format!("host-{host}.{group}.check-{at}");
        let blocked = at % 3 == 0;
        if blocked {
            impacts.push(id.clone());
        }
        checks.push(json!({
            "id": id, "group": group, "kind": "http", "target": format!("http://10.0.0.{host}:{}/healthz", 8000 + at), "critical": true,
            "state": if blocked { "unreachable" } else { "up" }, "raw": if blocked { "fail" } else { "pass" },
            "reason": if blocked { Value::from("http_status") } else { Value::Null },
            "message": if blocked { "status 500 (internal server error)" } else { "status 200" },
            "blocked_by": if blocked { vec!["postgres"] } else { vec![] },
            "needs": if blocked { vec!["postgres"] } else { vec![] }, "http_status": if blocked { 500 } else { 200 }, "attempts": 1, "ms": 12
        }));
    }
    let blocked = impacts.len();
    json!({
        "schema": "health.report/v1", "vantage": "controller", "status": "down", "started_at": "2026-11-25T22:00:00Z", "ms": 1234, "rounds": 1,
        "summary": {"up": count - 1 - blocked, "degraded": 0, "down": 1, "unreachable": blocked, "unknown": 0, "skipped": 0},
        "root_causes": [{"id": "postgres", "reason": "connect_refused", "message": "10.0.0.9:5432 refused the connection", "impacts": impacts}],
        "checks": checks
    })
}
