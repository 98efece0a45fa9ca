//! Running the program.

use std::io::Write;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

pub struct Output {
    pub stdout: String,
    pub stderr: String,
    pub code: i32,
}

impl Output {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {} {}", self.stdout, self.stderr))
    }

    /// The report on one check.
    pub fn check(&self, id: &str) -> Value {
        let report = self.json();
        report["checks"].as_array().unwrap().iter().find(|check| check["id"] == id).unwrap().clone()
    }
}

pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_health-probe"));
    command.args(args).env_remove("CREDENTIALS_DIRECTORY").env_remove("NO_COLOR");
    command
}

pub fn run_text(args: &[&str], input: &str) -> Output {
    output_of(command(args), input)
}

/// What a command says to an input.
pub fn output_of(mut command: Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that refuses its command line may be gone before it is told anything.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Output {
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        code: output.status.code().unwrap_or(-1),
    }
}

/// Runs with checks on standard input.
pub fn run(args: &[&str], checks: Value) -> Output {
    run_text(args, &json!({"schema": "health.checks/v1", "checks": checks}).to_string())
}

/// A process that ends with the test.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether a peer is installed. Where it is not, the test says so and is over, or fails where peers are required.
pub fn has(program: &str, install: &str) -> bool {
    let found = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path)
            .chain([std::path::PathBuf::from("/usr/sbin")])
            .any(|dir| dir.join(program).is_file())
    }) || std::path::Path::new(program).is_file();
    if !found {
        assert!(std::env::var_os("PLUMBLINE_REQUIRE_PEERS").is_none_or(|value| value != "1"), "missing: {program}");
        eprintln!("skipped: {program} (install: {install})");
    }
    found
}

/// A peer of `tests/peers`: its program, or its folder where it has none of that name.
pub fn peer(name: &str, install: &str) -> Option<std::path::PathBuf> {
    let homes = [
        "/var/cache/plumbline/peers".into(),
        format!("{}/.cache/plumbline/peers", std::env::var("HOME").unwrap_or_default()),
    ];
    let own = std::env::var("PLUMBLINE_CACHE").map(|cache| format!("{cache}/peers"));
    let homes = own.into_iter().chain(homes).map(std::path::PathBuf::from);
    let found = homes.flat_map(|home| [home.join("bin").join(name), home.join(name)]).find(|path| path.exists());
    if found.is_none() {
        assert!(std::env::var_os("PLUMBLINE_REQUIRE_PEERS").is_none_or(|value| value != "1"), "missing: {name}");
        eprintln!("skipped: {name} (install: tests/peers {install})");
    }
    found
}
