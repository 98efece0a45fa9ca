//! Running the built program.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

/// One run that has ended.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// The document on stdout, after a run that ended with `code`.
    #[track_caller]
    pub(crate) fn json(&self, code: i32) -> Value {
        self.expect(code);
        let value: Value = serde_json::from_str(&self.stdout).expect("stdout holds JSON");
        let schema = value["schema"].as_str().unwrap();
        let published: Value = serde_json::from_str(contract::published_schema(schema).unwrap()).unwrap();
        let errors: Vec<String> =
            jsonschema::validator_for(&published).unwrap().iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{schema}: {errors:?}");
        value
    }

    #[track_caller]
    pub(crate) fn expect(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// A failure: nothing on stdout, and the stable code of the first error.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, error: &str) -> Value {
        self.expect(code);
        assert_eq!(self.stdout, "");
        let first: Value = serde_json::from_str(self.stderr.lines().next().unwrap()).unwrap();
        assert_eq!(first["code"], error, "{}", self.stderr);
        first
    }
}

/// Runs the program in a directory, with a document on standard input.
pub(crate) fn run(directory: &Path, args: &[&str], stdin: &str) -> Run {
    let mut child = Command::new(env!("CARGO_BIN_EXE_dns-sync"))
        .current_dir(directory)
        .env_remove("CREDENTIALS_DIRECTORY")
        .args(["--log-format", "json"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let text = stdin.to_owned();
    let writer = std::thread::spawn(move || drop(input.write_all(text.as_bytes())));
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Run {
        code: status.code().unwrap_or(-1),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

/// A document with one zone, `example.org`, at the provider `p`.
pub(crate) fn desired(provider: &Value, mode: &str, records: Value) -> String {
    json!({
        "schema": "dns.desired/v1", "owner": "fleet",
        "providers": {"p": provider},
        "zones": [{"name": "example.org", "provider": "p", "mode": mode, "records": records}],
    })
    .to_string()
}

/// Create, update, delete of a plan or result.
pub(crate) fn counts(document: &Value) -> (u64, u64, u64) {
    let count = |key: &str| document["summary"][key].as_u64().unwrap();
    (count("create"), count("update"), count("delete"))
}
