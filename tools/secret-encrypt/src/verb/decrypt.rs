//! `decrypt`: a SOPS file in clear.

use std::path::PathBuf;

use clap::Args;
use cli::{Failure, Input, Session};
use contract::{Exit, Pointer};

use crate::agenix::{self, is_age_file};
use crate::document::{SopsDocument, choose_format};
use crate::files;
use crate::keys::IdentityFlags;

/// Print a file in clear, formatted as it was, or one value of it.
///
/// This is the one verb that prints secrets. Nothing is printed unless every value and the MAC are what was written.
#[derive(Debug, Clone, Args)]
pub struct Decrypt {
    #[command(flatten)]
    input: Input,
    /// Print the one value at this place (RFC 6901), as it is and without a newline
    #[arg(long, value_name = "POINTER")]
    pointer: Option<String>,
    /// Print the whole as JSON
    #[arg(long, conflicts_with = "pointer")]
    json: bool,
    /// Write to this file (mode 0600) instead of printing
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// The format, where the file's name does not say it: yaml, json, dotenv, ini, binary
    #[arg(long, value_name = "NAME")]
    format: Option<String>,
    #[command(flatten)]
    identities: IdentityFlags,
}

impl Decrypt {
    pub(super) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let place = self.input.to_string();
        let in_file = |error: crate::Error| error.in_file(&place);
        let bytes = if self.input.is_stdin() { files::read_stdin() } else { files::read(&self.input.file) };
        let bytes = bytes.map_err(in_file)?;
        let age = self.format.as_deref() == Some("age") || (self.format.is_none() && is_age_file(&self.input.file));
        if age {
            let plain = agenix::read(&bytes, &self.identities.load(session)?).map_err(in_file)?;
            match &self.to {
                Some(path) => files::write(path, &plain, 0o600)?,
                None => session.print_bytes(&plain)?,
            }
            return Ok(Exit::Done);
        }
        if self.input.is_stdin() && self.format.is_none() {
            return Err(Failure::new(Exit::Usage, "usage", "the format of standard input is not known")
                .hint("give --format yaml, json, dotenv, ini or binary"));
        }
        let format = choose_format(self.format.as_deref(), &self.input.file).map_err(in_file)?;
        let document = SopsDocument::parse(format, bytes.to_vec()).map_err(in_file)?;
        let opened = document.open(&self.identities.load(session)?).map_err(in_file)?;
        let plain = match &self.pointer {
            Some(pointer) => opened.value(&Pointer::parse(pointer.clone())).map_err(in_file)?.for_programs(),
            None => opened.plaintext().map_err(in_file)?,
        };
        let plain = if self.json {
            let json = format.read_json(&plain).map_err(in_file)?;
            zeroize::Zeroizing::new((json.to_string() + "\n").into_bytes())
        } else {
            plain
        };
        match &self.to {
            Some(path) => files::write(path, &plain, 0o600)?,
            None => session.print_bytes(&plain)?,
        }
        Ok(Exit::Done)
    }
}
