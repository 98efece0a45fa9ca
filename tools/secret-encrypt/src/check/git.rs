//! What git does with a file. Only git knows: ignore rules lie in many places.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::files::directory_of;

/// What git does with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Git {
    /// It is in the index.
    Tracks,
    /// `git add .` would take it.
    WouldAdd,
    /// It is left out.
    Ignores,
    /// Nobody can say, for this reason.
    CannotSay(&'static str),
}

impl Git {
    /// Asks git.
    pub(super) fn about(path: &Path) -> Self {
        match ask(path, &["ls-files", "--error-unmatch"]) {
            Ok(Some(0)) => return Self::Tracks,
            Ok(Some(1)) => {}
            Ok(_) => return Self::CannotSay("this is no git repository, or not ours"),
            Err(()) => return Self::CannotSay("git is not installed"),
        }
        match ask(path, &["check-ignore", "--quiet"]) {
            Ok(Some(0)) => Self::Ignores,
            Ok(Some(1)) => Self::WouldAdd,
            _ => Self::CannotSay("git does not answer"),
        }
    }
}

fn ask(path: &Path, question: &[&str]) -> Result<Option<i32>, ()> {
    let status = Command::new("git")
        .arg("-C")
        .arg(directory_of(path))
        .args(question)
        .arg("--")
        .arg(path.file_name().unwrap_or_default())
        // A hook has these set, relative to another directory.
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_PREFIX")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.map(|status| status.code()).map_err(|_| ())
}
