//! One case: what to run, what to put in, what must come out.

use std::collections::BTreeMap;
use std::path::Path;

use clap::ValueEnum;
use serde::Deserialize;
use serde_json::Value;

use crate::Expectation;
use crate::server::Service;

/// How much of a tool is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Documents, errors, exits, pipes.
    Contract,
    /// Behaviour as well
    #[default]
    Full,
}

/// Where standard output of the program goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Into a pipe that is read to its end.
    #[default]
    Pipe,
    /// Into a pipe whose reader is gone.
    ClosedPipe,
    /// Onto a full device.
    FullDevice,
}

/// One case. In `args`, `stdin`, `stdin_text`, `env` and `files`, `{dir}` stands for a fresh directory (the working directory
/// of the program) and `{NAME}` for the address of a service.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Tool and file name.
    #[serde(skip)]
    pub name: String,
    /// What a user would notice, in one sentence.
    pub about: String,
    /// The command line after the program.
    pub args: Vec<String>,
    /// Standard input as JSON.
    #[serde(default)]
    pub stdin: Option<Value>,
    /// Standard input as text.
    #[serde(default)]
    pub stdin_text: Option<String>,
    /// Environment besides PATH, HOME and TZ.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Files to be there before, by path below the directory. One whose name begins with `secrets/` is readable by its owner only.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// Services that run meanwhile on loopback.
    #[serde(default)]
    pub serve: BTreeMap<String, Service>,
    /// Programs without which the case is skipped.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Where standard output goes.
    #[serde(default)]
    pub output: Output,
    /// Run this often; every run must print the same.
    #[serde(default = "once")]
    pub runs: u32,
    /// What must come out.
    pub expect: Expectation,
}

fn once() -> u32 {
    1
}

impl Case {
    /// Reads a case from its file.
    ///
    /// # Errors
    /// A text for people.
    pub fn read(path: &Path, tool: &str) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut case: Case = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        case.name = format!("{tool}/{}", path.file_stem().unwrap_or_default().to_string_lossy());
        Ok(case)
    }

    /// A case that is made here and not read from a file.
    pub fn made(name: String, about: &str, args: &[&str], stdin: Option<String>, expect: Expectation) -> Self {
        Self {
            name,
            about: about.into(),
            args: args.iter().map(ToString::to_string).collect(),
            stdin: None,
            stdin_text: stdin,
            env: BTreeMap::new(),
            files: BTreeMap::new(),
            serve: BTreeMap::new(),
            needs: Vec::new(),
            output: Output::Pipe,
            runs: 1,
            expect,
        }
    }
}
