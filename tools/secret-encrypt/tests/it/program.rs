//! A directory of its own for a test, with an identity, and the program run in it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

pub(crate) struct Program {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) recipient: String,
}

#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{}", self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.stderr, self.text());
        if code != 1 {
            assert!(self.stdout.is_empty(), "{}", self.text());
        }
        assert!(!self.stderr.contains("panicked") && !self.stderr.contains("internal error"), "{}", self.stderr);
        self
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap()
    }
}

impl Program {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut program = Self { directory, recipient: String::new() };
        let result = program.run(&["keygen", "age.key"]).ok().json();
        result["recipients"][0].as_str().unwrap().clone_into(&mut program.recipient);
        program
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.path(name)).unwrap().permissions().mode() & 0o7777
    }

    /// A command in the directory with an environment in which only the test's own identity is found.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.current_dir(self.directory.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.directory.path()).env("SOPS_AGE_KEY_FILE", self.path("age.key"));
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, "")
    }

    pub(crate) fn run_with(&self, args: &[&str], stdin: impl AsRef<[u8]>) -> Ran {
        finish(self.command(env!("CARGO_BIN_EXE_secret-encrypt")).args(args), stdin)
    }

    /// Encrypts a file for the test's own identity.
    #[track_caller]
    pub(crate) fn encrypt(&self, name: &str) {
        self.run(&["encrypt", "--in-place", "-r", &self.recipient, name]).ok();
    }

    #[track_caller]
    pub(crate) fn decrypt(&self, name: &str) -> String {
        self.run(&["decrypt", name]).ok().text()
    }
}

pub(crate) fn finish(command: &mut Command, stdin: impl AsRef<[u8]>) -> Ran {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A program that does not read its input closes it, which is no failure of the test.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_ref());
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A program that tests compare with: in `$PLUMBLINE_PEERS/bin` or on the path. Without it the test says so and is skipped.
pub(crate) fn peer(name: &str, install: &str) -> Option<PathBuf> {
    let own = std::env::var_os("PLUMBLINE_PEERS").map(|peers| PathBuf::from(peers).join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        own.into_iter().chain(std::env::split_paths(&path)).map(|place| place.join(name)).find(|file| file.is_file());
    if found.is_none() {
        skipped(name, install);
    }
    found
}

/// A peer that is a folder of packages, in `$PLUMBLINE_PEERS`.
pub(crate) fn peer_folder(name: &str, install: &str) -> Option<PathBuf> {
    let found = std::env::var_os("PLUMBLINE_PEERS").map(|peers| PathBuf::from(peers).join(name));
    let found = found.filter(|folder| folder.is_dir());
    if found.is_none() {
        skipped(name, install);
    }
    found
}

pub(crate) fn skipped(what: &str, install: &str) {
    assert!(
        std::env::var_os("PLUMBLINE_REQUIRE_PEERS").is_none_or(|value| value != "1"),
        "{what} is missing (install: {install})"
    );
    eprintln!("skipped: {what} (install: {install})");
}

pub(crate) fn sops() -> Option<PathBuf> {
    peer("sops", "go install github.com/getsops/sops/v3/cmd/sops@v3.13.3")
}

/// Whether tests that take long run too.
pub(crate) fn full_tier() -> bool {
    std::env::var_os("PLUMBLINE_TIER").is_some_and(|tier| tier == "full")
}
