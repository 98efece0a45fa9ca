//! The manual: its examples run, and the tests that its table names are there.

use std::path::Path;

use crate::program::{Program, finish};

fn readme() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// The blocks of shell lines, one after another as somebody would who reads on.
#[test]
fn the_examples_of_the_manual_run() {
    let text = readme();
    let mut lines = text.lines();
    let mut script = String::from("set -x\n");
    let mut blocks = 0;
    while let Some(line) = lines.next() {
        if line == "```sh" {
            script.extend(lines.by_ref().take_while(|line| *line != "```").flat_map(|line| [line, "\n"]));
            blocks += 1;
        }
    }
    assert!(blocks >= 4, "{blocks}");
    let program = Program::new();
    program.write("manual/.keep", "");
    let bin = Path::new(env!("CARGO_BIN_EXE_secret-encrypt")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut command = program.command("bash");
    command.current_dir(program.path("manual")).env_remove("SOPS_AGE_KEY_FILE").env("PATH", path);
    finish(command.args(["-euo", "pipefail", "-c", &script]), "").ok();
}

#[test]
fn every_row_of_the_table_names_a_test_that_is_there() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = String::new();
    for place in [
        "tests/it",
        "src",
        "src/keys",
        "src/sops",
        "src/format",
        "src/merge",
        "src/files",
        "src/references",
        "src/agenix",
    ] {
        for entry in std::fs::read_dir(directory.join(place)).unwrap().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "rs") {
                code.push_str(&std::fs::read_to_string(entry.path()).unwrap());
            }
        }
    }
    let text = readme();
    let table = text.split("## What it can do").nth(1).unwrap();
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() >= 25, "{}", rows.len());
    for row in rows {
        let proof = row.trim_end_matches('|').rsplit('|').next().unwrap();
        let names: Vec<&str> = proof.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{row}");
        for name in names {
            let last = name.rsplit("::").next().unwrap();
            assert!(code.contains(&format!("fn {last}(")), "{name} is no test: {row}");
        }
    }
}
