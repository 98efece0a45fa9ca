//! `keygen`: a new age identity.

use std::path::PathBuf;

use clap::Args;
use cli::{Failure, Session};
use contract::Exit;
use contract::document::SecretsResult;

use super::describe;
use crate::files;
use crate::keys::Identities;

/// Make a new age identity in a file of mode 0600 and print its recipient. A file that is there is never replaced.
#[derive(Debug, Clone, Args)]
pub struct Keygen {
    /// The new identity file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Hybrid post-quantum (age1pq1..., which age 1.3 and sops 3.12 and newer read) instead of X25519
    #[arg(long)]
    pq: bool,
}

impl Keygen {
    pub(super) fn run(self, session: &Session) -> Result<Exit, Failure> {
        if std::fs::symlink_metadata(&self.file).is_ok() {
            return Err(Failure::new(
                Exit::CannotCreate,
                "exists",
                "something is there already, and an identity is never replaced",
            )
            .place(self.file.display().to_string())
            .hint("name another file, or print its recipient with `secret-encrypt recipient`"));
        }
        let (recipient, text) = if self.pq { Identities::generate_hybrid()? } else { Identities::generate() };
        files::write(&self.file, text.as_bytes(), 0o600)?;
        let result = SecretsResult {
            changed: true,
            files: vec![self.file.display().to_string()],
            recipients: vec![recipient],
            ..SecretsResult::default()
        };
        session.print(&result, describe)?;
        Ok(Exit::Done)
    }
}
