//! Tests from outside: the built binary with arguments, standard input and environment.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, missing_docs)]

mod access;
mod accounts;
mod arch;
mod bootstrap;
mod cli;
mod engine;
mod faults;
mod items;
mod lab;
mod local;
mod nixos;
mod platforms;
mod rollout;
mod sandbox;
mod shipment;
mod tools;
mod transports;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// How a run of the program ended.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("no JSON: {}\n{}", self.stdout, self.stderr))
    }

    #[track_caller]
    #[allow(clippy::return_self_not_must_use)]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }
}

/// Where the helper lies that is sent: the one that was built, without its debug information, which would be read, hashed
/// and sent at every turn.
pub fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("host-provision-lib");
        let directory = library.join(std::env::consts::ARCH);
        std::fs::create_dir_all(&directory).unwrap();
        let built = Path::new(env!("CARGO_BIN_EXE_host-provision-helper"));
        let (small, place) =
            (directory.join(format!(".{}", std::process::id())), directory.join(built.file_name().unwrap()));
        let strip = Command::new("strip").arg("-o").arg(&small).arg(built).status();
        if !strip.is_ok_and(|status| status.success()) {
            std::fs::copy(built, &small).unwrap();
        }
        std::fs::rename(small, place).unwrap();
        library
    })
}

/// The program.
pub fn controller() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_host-provision"));
    command.env("PLUMBLINE_LIB", library());
    command
}

/// Runs the program.
pub fn run(args: &[&str], stdin: &str) -> Ran {
    run_in(Path::new("/"), args, stdin)
}

pub fn run_in(directory: &Path, args: &[&str], stdin: &str) -> Ran {
    let mut child = controller()
        .args(args)
        .current_dir(directory)
        .env_remove("SSH_AUTH_SOCK")
        .env("HOME", "/nonexistent")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let input = stdin.to_owned();
    let writer = std::thread::spawn(move || drop(pipe.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Whether the slow tests are wanted too.
pub fn full_tier() -> bool {
    std::env::var_os("PLUMBLINE_TIER").is_some_and(|tier| tier == "full")
}

/// A document for one host.
pub fn desired(host: &str, items: &Value) -> Value {
    serde_json::json!({"schema": "host.desired/v1", "host": host, "owner": "fleet", "items": items})
}

/// The statuses of a result by name.
pub fn status(result: &Value, name: &str) -> String {
    let changes = result["changes"].as_array().unwrap();
    let change = changes.iter().find(|change| change["name"] == name);
    change.map_or_else(|| "absent".into(), |change| change["status"].as_str().unwrap().to_owned())
}
