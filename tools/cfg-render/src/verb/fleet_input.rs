//! The fleet that a verb reads.

use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use clap::Args;
use cli::{Failure, Input, Session, Sourced};
use contract::{Exit, Finding, Level};

use crate::fleet::Fleet;

/// The fleet, and where files named in it lie.
#[derive(Debug, Clone, Args)]
pub(crate) struct FleetInput {
    /// Directory that the fleet's files are relative to; the fleet's own if not given
    #[arg(long, value_name = "DIR")]
    base: Option<PathBuf>,
    #[command(flatten)]
    input: Input,
}

/// Refuses a fleet in which something is wrong.
pub(super) fn good(fleet: &Sourced<Fleet>, findings: Vec<Finding>) -> Result<(), Failure> {
    if findings.iter().any(|finding| finding.level == Level::Error) {
        return Err(fleet.source.failure(findings));
    }
    Ok(())
}

impl FleetInput {
    /// The same with the fleet in another file.
    pub(crate) fn at(&self, file: impl Into<PathBuf>) -> Self {
        Self { base: self.base.clone(), input: Input::file(file) }
    }

    /// Whether the fleet comes from standard input.
    pub(crate) fn is_stdin(&self) -> bool {
        self.input.is_stdin()
    }

    /// Reads a fleet without judging it.
    pub(crate) fn read_unchecked(&self, session: &Session) -> Result<Sourced<Fleet>, Failure> {
        if !self.input.is_stdin() && self.input.file.is_dir() {
            return super::join::read(&self.input.file);
        }
        session.read(&self.input)
    }

    /// Reads a fleet in which nothing is wrong.
    pub(crate) fn read(&self, session: &Session) -> Result<Sourced<Fleet>, Failure> {
        let fleet = self.read_unchecked(session)?;
        good(&fleet, crate::check::check(&fleet.document))?;
        Ok(fleet)
    }

    /// The text of a file that the fleet names, if it is there.
    pub(crate) fn companion(&self, file: &str) -> Result<Option<String>, Failure> {
        let Some(bytes) = self.companion_bytes(file)? else { return Ok(None) };
        let text = String::from_utf8(bytes)
            .map_err(|_| Failure::new(Exit::BadDocument, "not_utf8", "the file is no UTF-8").place(file))?;
        Ok(Some(text))
    }

    /// The bytes of a file that the fleet names, if it is there.
    pub(crate) fn companion_bytes(&self, file: &str) -> Result<Option<Vec<u8>>, Failure> {
        let relative = Path::new(file);
        if file.is_empty()
            || !relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
        {
            return Err(
                Failure::new(Exit::BadDocument, "outside", "a file of the fleet lies beside it or below").place(file)
            );
        }
        let path = super::base_of(self.base.as_ref(), &self.input).join(relative);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::io(Exit::Unreadable, "read the file", path.display(), &error)),
        }
    }
}
