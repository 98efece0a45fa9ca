//! A host in a temporary directory: data, secrets, state, a repository.

use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

const RESTIC: &str = "apt-get install -y restic";

/// What one run printed and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The document on stdout, which must keep to its published schema.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let value: Value = serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("no JSON: {self:?}"));
        let id = value["schema"].as_str().unwrap();
        let schema: Value = serde_json::from_str(contract::published_schema(id).unwrap()).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let errors: Vec<_> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{id}: {errors:?}");
        value
    }

    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }
}

/// Whether a program is there; else says so, or fails where peers are required.
pub(crate) fn has(program: &str, install: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
        || Command::new(program).arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    assert!(found || std::env::var_os("PLUMBLINE_REQUIRE_PEERS").is_none(), "{program} is needed (install: {install})");
    if !found {
        eprintln!("skipped: {program} (install: {install})");
    }
    found
}

pub(crate) struct House {
    pub(crate) directory: tempfile::TempDir,
    /// In front of PATH.
    pub(crate) path: Option<PathBuf>,
}

impl House {
    /// A house, or none where restic is missing.
    pub(crate) fn build() -> Option<Self> {
        if !has("restic", RESTIC) {
            return None;
        }
        let house = Self { directory: tempfile::Builder::new().prefix("bk-").tempdir_in("/tmp").unwrap(), path: None };
        house.secret("restic-password", "hunter2-canary\n");
        house.put("data/app/a.txt", "hello");
        house.put("data/app/deep/b.txt", "world");
        house.put("data/app/x.log", "noise");
        house.put("data/other/x.log", "kept");
        Some(house)
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    pub(crate) fn text(&self, path: &str) -> String {
        self.at(path).to_str().unwrap().to_owned()
    }

    pub(crate) fn put(&self, path: &str, content: &str) {
        let path = self.at(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub(crate) fn secret(&self, name: &str, value: &str) {
        let directory = self.at("secrets");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o700)).unwrap();
        let path = directory.join(name);
        let _ = std::fs::remove_file(&path);
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap();
        file.write_all(value.as_bytes()).unwrap();
    }

    /// Sources with two services and one repository; `change` has the last word.
    pub(crate) fn sources(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut sources = json!({
            "schema": "backup.sources/v1", "host": "snek", "plan": "snek", "staging": self.text("staging"),
            "services": [
                {"name": "app", "paths": [self.text("data/app")], "exclude": ["*.log"]},
                {"name": "other", "paths": [self.text("data/other")]},
            ],
            "repositories": [{"id": "local", "uri": self.text("repo"), "password": {"secret": "restic-password"}}],
            "policy": {},
        });
        change(&mut sources);
        sources.to_string()
    }

    pub(crate) fn run(&self, args: &[&str], stdin: &str) -> Ran {
        let mut child = self.spawn(args);
        // A run that reads nothing closes the pipe.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let output = child.wait_with_output().unwrap();
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(crate) fn spawn(&self, args: &[&str]) -> std::process::Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_backup-plan"));
        if ["run", "judge", "drill", "restore"].contains(&args[0]) {
            command.args(args).arg("--secrets-dir").arg(self.at("secrets"));
        } else {
            command.args(args);
        }
        if let Some(front) = &self.path {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let joined =
                std::env::join_paths(std::iter::once(front.clone()).chain(std::env::split_paths(&path))).unwrap();
            command.env("PATH", joined);
        }
        // What the one who starts us has in the environment must not matter.
        command
            .env("RESTIC_PASSWORD", "wrong")
            .env("RESTIC_REPOSITORY", "/nowhere")
            .env_remove("CREDENTIALS_DIRECTORY");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Makes a plan, which is then at `plan.json`.
    #[track_caller]
    pub(crate) fn plan(&self, sources: &str) -> String {
        let (state, out) = (self.text("state"), self.text("plan.json"));
        self.run(&["plan", "--state", &state, "--out", &out], sources).ends(0);
        out
    }

    /// restic itself, on the house's repository.
    pub(crate) fn restic(&self, args: &[&str]) -> String {
        let output = Command::new("restic")
            .args(["-r", &self.text("repo"), "--no-cache"])
            .args(args)
            .env("RESTIC_PASSWORD_FILE", self.at("secrets/restic-password"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Paths in the newest snapshot, below the house.
    pub(crate) fn stored(&self) -> Vec<String> {
        let base = self.text("");
        let listed = self.restic(&["ls", "latest", "--json"]);
        let nodes = listed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        nodes.filter_map(|node| node["path"].as_str()?.strip_prefix(&base).map(str::to_owned)).collect()
    }
}

/// One step of a result.
#[track_caller]
pub(crate) fn step<'a>(result: &'a Value, id: &str) -> &'a Value {
    let steps = result["steps"].as_array().unwrap();
    steps.iter().find(|step| step["id"] == id).unwrap_or_else(|| panic!("no step {id} in {result:#}"))
}

pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

pub(crate) fn exists(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}
