//! Where a document comes from: a file or standard input.

use std::fmt;
use std::path::{Path, PathBuf};

use clap::Args;

/// The document that a verb reads.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Input {
    /// The document; standard input if it is - or not given
    #[arg(value_name = "FILE", default_value = "-")]
    pub file: PathBuf,
}

impl Input {
    /// Standard input.
    pub fn stdin() -> Self {
        Self { file: "-".into() }
    }

    /// A file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { file: path.into() }
    }

    /// Whether it is standard input.
    pub fn is_stdin(&self) -> bool {
        self.file == Path::new("-")
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.display().fmt(f)
    }
}
