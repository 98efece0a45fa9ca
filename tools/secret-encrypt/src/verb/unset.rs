//! `unset`: values out of an encrypted file.

use std::path::PathBuf;

use clap::Args;
use cli::{Failure, Session};
use contract::Exit;
use contract::document::SecretsResult;

use super::describe;
use super::set::checked;
use crate::document::OpenDocument;
use crate::files;
use crate::keys::IdentityFlags;

/// Take values out of an encrypted file. All others keep their ciphertext.
#[derive(Debug, Clone, Args)]
pub struct Unset {
    /// The encrypted file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What goes (RFC 6901)
    #[arg(value_name = "POINTER", required = true)]
    pointers: Vec<String>,
    /// Print the result that would be, write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    identities: IdentityFlags,
}

impl Unset {
    pub(super) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let place = self.file.display().to_string();
        crate::agenix::refuse_age_file(&self.file)?;
        files::finish_interrupted(session, std::slice::from_ref(&self.file))?;
        let _lock = files::Lock::of([self.file.as_path()])?;
        let pointers = self.pointers.iter().map(|text| checked(text)).collect::<Result<Vec<_>, _>>()?;
        let opened =
            OpenDocument::read(&self.file, &self.identities.load(session)?).map_err(|error| error.in_file(&place))?;
        let edited = opened.edited(&[], &pointers).map_err(|error| error.in_file(&place))?;
        let mut result = SecretsResult { changed: edited.is_some(), ..SecretsResult::default() };
        if let Some(bytes) = edited {
            if !self.dry_run {
                files::write(&self.file, &bytes, 0o644)?;
            }
            result.removed = pointers.iter().map(ToString::to_string).collect();
            result.files.push(place);
        }
        session.print(&result, describe)?;
        Ok(Exit::Done)
    }
}
