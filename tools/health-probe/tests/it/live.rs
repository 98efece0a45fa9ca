//! What a person sees on a terminal while it waits. The terminal is a real one, made by script(1).

use std::process::{Command, Stdio};

use serde_json::json;

use crate::server::{answer, http};
use crate::tool::has;

/// Waits for a port on which nothing listens, on a terminal of this size, and gives what the terminal was sent.
fn seen(columns: u16, environment: &[(&str, &str)], more: &str) -> Option<String> {
    if !has("script", "apt-get install -y bsdutils") {
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    let good = http(answer("200 OK", "fine"));
    let checks = json!({"schema": "health.checks/v1", "checks": [
        {"id": "postgres-数据库", "tcp": {"address": "127.0.0.1:1"}},
        {"id": "app", "needs": ["postgres-数据库"], "tcp": {"address": "127.0.0.1:1"}},
        {"id": "good", "http": {"url": format!("http://127.0.0.1:{good}/")}}
    ]});
    let file = directory.path().join("checks.json");
    std::fs::write(&file, checks.to_string()).unwrap();
    let line = format!(
        "stty cols {columns} rows 24; '{}' run '{}' --wait 900ms --interval 200ms --output json {more} >'{}'",
        env!("CARGO_BIN_EXE_health-probe"),
        file.display(),
        directory.path().join("report.json").display()
    );
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]).stdin(Stdio::null());
    command
        .env_remove("NO_COLOR")
        .env("TERM", "xterm-256color")
        .env("SHELL", "/bin/sh")
        .envs(environment.iter().copied());
    let output = command.output().unwrap();
    let report = std::fs::read_to_string(directory.path().join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["deadline_exceeded"], true, "stdout holds one document and nothing else");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What stands on a terminal after it was sent this: only what these lines use is understood.
struct Screen {
    rows: Vec<Vec<char>>,
    row: usize,
    column: usize,
    columns: usize,
    widest: usize,
    most: usize,
}

impl Screen {
    fn after(sent: &str, columns: usize) -> Self {
        let mut screen = Self { rows: vec![Vec::new()], row: 0, column: 0, columns, widest: 0, most: 0 };
        let mut chars = sent.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\r' => screen.column = 0,
                '\n' => screen.down(),
                '\u{1b}' if chars.next_if_eq(&'[').is_some() => {
                    let mut number = String::new();
                    while let Some(digit) = chars.next_if(|c| c.is_ascii_digit() || *c == ';') {
                        number.push(digit);
                    }
                    match chars.next() {
                        Some('A') => screen.row = screen.row.saturating_sub(number.parse().unwrap_or(1)),
                        Some('J') => {
                            screen.rows.truncate(screen.row + 1);
                            screen.rows[screen.row].truncate(screen.column);
                        }
                        Some('K') => screen.rows[screen.row].truncate(screen.column),
                        Some('m') => {}
                        other => panic!("an unknown sequence ends with {other:?}"),
                    }
                }
                c => screen.put(c),
            }
        }
        screen
    }

    fn down(&mut self) {
        self.row += 1;
        if self.row == self.rows.len() {
            self.rows.push(Vec::new());
        }
        self.most = self.most.max(self.rows.len());
    }

    fn put(&mut self, c: char) {
        let wide = unicode_width::UnicodeWidthChar::width(c).unwrap_or(0);
        if self.column + wide > self.columns {
            self.column = 0;
            self.down();
        }
        self.rows[self.row].truncate(self.column);
        for at in 0..wide {
            self.rows[self.row].push(if at == 0 { c } else { ' ' });
        }
        self.column += wide;
        self.widest = self.widest.max(self.column);
    }

    fn text(&self) -> String {
        self.rows.iter().map(|row| row.iter().collect::<String>()).collect::<Vec<_>>().join("\n").trim().to_owned()
    }
}

#[test]
fn lines_replace_each_other_and_go_away() {
    for columns in [100, 40, 18] {
        let Some(sent) = seen(columns, &[], "") else { return };
        assert!(sent.contains("\u{1b}[31m") && sent.contains("✗"), "{sent:?}");
        assert!(sent.contains("1 of 3 healthy") || columns < 30, "{sent:?}");
        assert!(!sent.contains("  app "), "what is blocked is not listed: {sent:?}");
        let screen = Screen::after(&sent, columns.into());
        assert_eq!(screen.text(), "", "{columns}: nothing is left: {sent:?}");
        // Lines that wrapped would have needed more rows than there are lines: head, cause.
        assert!(screen.most <= 4, "{columns}: {} rows", screen.most);
        assert!(screen.widest < columns.into());
    }
}

#[test]
fn no_color_and_no_terminal() {
    let Some(sent) = seen(80, &[("NO_COLOR", "1")], "") else { return };
    assert!(sent.contains("1 of 3 healthy") && !sent.contains("\u{1b}[31m") && !sent.contains("\u{1b}[2m"), "{sent:?}");
    let always = seen(80, &[("NO_COLOR", "1")], "--color always").unwrap();
    assert!(always.contains("\u{1b}[31m"), "{always:?}");
    assert!(seen(80, &[("TERM", "dumb")], "").unwrap().trim().is_empty());
    assert!(seen(80, &[], "--quiet").unwrap().trim().is_empty());
    assert!(seen(80, &[], "--log-format json").unwrap().trim().is_empty());
    // In a pipe.
    let output = crate::tool::run(
        &["run", "--wait", "600ms", "--interval", "200ms"],
        json!([{"id": "a", "tcp": {"address": "127.0.0.1:1"}}]),
    );
    assert_eq!(output.stderr, "");
}
