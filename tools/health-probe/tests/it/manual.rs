//! What the manual says is true: its documents are accepted, its commands run, its flags are there, and each row of its table
//! of features names tests that exist.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use crate::tool::{run, run_text};

const MANUAL: &str = include_str!("../../README.md");

/// The code blocks of a language.
fn blocks(language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = MANUAL.lines();
    while let Some(line) = lines.next() {
        if line.strip_prefix("```") == Some(language) {
            found.push(lines.by_ref().take_while(|line| *line != "```").collect::<Vec<_>>().join("\n"));
        } else if line.starts_with("```") {
            lines.by_ref().find(|line| *line == "```");
        }
    }
    found
}

#[test]
fn its_documents_are_accepted() {
    let documents = blocks("json");
    assert!(!documents.is_empty());
    for document in documents {
        let output = run_text(&["check"], &document);
        assert_eq!(output.code, 0, "{document}\n{}{}", output.stdout, output.stderr);
        assert_eq!(output.json()["findings"], serde_json::json!([]), "{document}");
    }
}

#[test]
fn its_commands_run() {
    let directory = tempfile::tempdir().unwrap();
    let checks = r#"{"schema": "health.checks/v1", "checks": [{"id": "edge", "tags": ["edge"], "node": {}}]}"#;
    std::fs::write(directory.path().join("checks.json"), checks).unwrap();
    let report = run(&["run"], serde_json::json!([{"id": "host", "node": {}}]));
    for name in ["web1.json", "report.json"] {
        std::fs::write(directory.path().join(name), &report.stdout).unwrap();
    }
    let lines: Vec<String> =
        blocks("sh").iter().flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    assert!(lines.len() > 5, "{lines:?}");
    let path = std::path::Path::new(env!("CARGO_BIN_EXE_health-probe")).parent().unwrap();
    for line in lines {
        let output = Command::new("sh")
            .args(["-c", &line])
            .env("PATH", format!("{}:{}", path.display(), std::env::var("PATH").unwrap_or_default()))
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn its_flags_are_there() {
    let verbs = ["run", "check", "report"].map(|verb| run_text(&[verb, "--help"], "").stdout).join("\n");
    let help = verbs + &run_text(&["--help"], "").stdout;
    // Outside of the blocks, a word that begins with two dashes is a flag of ours, or said to be another program's.
    let others = BTreeSet::from(["--without-a-reader"]);
    let words = MANUAL
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .filter(|word| word.starts_with("--") && word.len() > 3);
    for flag in words.filter(|word| !word.trim_matches('-').is_empty()) {
        assert!(
            help.contains(&format!("{flag} ")) || help.contains(&format!("{flag}\n")) || others.contains(flag),
            "{flag}"
        );
    }
}

#[test]
fn every_row_of_the_features_names_its_tests() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = String::new();
    let mut open = vec![root.join("src"), root.join("tests"), root.join("../../tests")];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            code.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
    let table = MANUAL.split("## Features").nth(1).unwrap();
    let rows: Vec<&str> =
        table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| feature")).collect();
    assert!(rows.len() >= 25, "{}", rows.len());
    for row in rows {
        let last = row.trim_end_matches('|').rsplit('|').next().unwrap();
        let names = last.split('`').skip(1).step_by(2).map(|name| name.rsplit("::").next().unwrap_or(name));
        let names: Vec<&str> = names.collect();
        assert!(!names.is_empty() || row.contains("left out"), "names no test: {row}");
        for name in names {
            let case = root.join("../../tests/conformance/cases/health-probe").join(format!("{name}.json"));
            let bench = root
                .join("../../tests/bench")
                .join(name.trim_start_matches("tests/bench/").trim_start_matches("bench/"));
            assert!(
                code.contains(&format!("fn {name}(")) || case.is_file() || bench.is_file(),
                "there is no test {name}: {row}"
            );
        }
    }
}
