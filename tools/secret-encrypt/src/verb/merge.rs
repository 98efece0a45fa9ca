//! `merge`: a merge driver for git.

use std::path::PathBuf;

use clap::Args;
use cli::{Failure, Session};
use contract::Exit;
use contract::document::SecretsResult;

use super::describe;
use crate::files;
use crate::format::format_of;
use crate::keys::IdentityFlags;
use crate::merge::{Favor, merge};

/// Merge two states of an encrypted file, value by value: what one side alone changed is taken, with its ciphertext where
/// both have the same data key. For git:
///
///   git config merge.sops.driver 'secret-encrypt merge %O %A %B %P'
///   echo 'secrets/** merge=sops' >> .gitattributes
///
/// The result is written to OURS. Where both sides changed the same value ours stays, the exit is 1, and git keeps the path
/// unmerged. Nothing in clear is written anywhere.
#[derive(Debug, Clone, Args)]
pub struct Merge {
    /// The common ancestor (%O); an empty file if there is none
    #[arg(value_name = "BASE")]
    base: PathBuf,
    /// Our state (%A); the result is written here
    #[arg(value_name = "OURS")]
    ours: PathBuf,
    /// Their state (%B)
    #[arg(value_name = "THEIRS")]
    theirs: PathBuf,
    /// The path in the tree (%P), whose name says the format
    #[arg(value_name = "PATH")]
    path: Option<PathBuf>,
    /// Whose value is taken where both changed it
    #[arg(long, value_enum, default_value_t)]
    favor: Favor,
    /// Print the result that would be, write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    identities: IdentityFlags,
}

impl Merge {
    pub(super) fn run(self, session: &mut Session) -> Result<Exit, Failure> {
        let path = self.path.as_ref().unwrap_or(&self.ours);
        let place = path.display().to_string();
        let format = format_of(&place);
        let read = |path: &PathBuf| files::read(path).map_err(|error| error.in_file(path.display()));
        let (base, ours, theirs) = (read(&self.base)?, read(&self.ours)?, read(&self.theirs)?);
        let merged = merge(format, &base, &ours, &theirs, self.favor, || self.identities.load(session))
            .map_err(|error| error.in_file(&place).hint("ours was left as it is; git keeps the path unmerged"))?;
        let texts = |pointers: Vec<contract::Pointer>| pointers.iter().map(ToString::to_string).collect();
        let mut result = SecretsResult {
            changed: merged.bytes.is_some(),
            added: texts(merged.added),
            updated: texts(merged.updated),
            removed: texts(merged.removed),
            ..SecretsResult::default()
        };
        if let (Some(bytes), false) = (&merged.bytes, self.dry_run) {
            session.begin_apply();
            files::write(&self.ours, bytes, 0o644)?;
        }
        if merged.bytes.is_some() {
            result.files.push(place.clone());
        }
        for conflict in &merged.conflicts {
            let pointer = &conflict.pointer;
            session.warn(&format!("{place}: {pointer}: conflict: {}; ours is kept", conflict.what));
            result.conflicts.push(pointer.to_string());
        }
        if let Some(first) = merged.conflicts.iter().find(|conflict| !conflict.pointer.as_str().is_empty()) {
            session.warn(&format!(
                "to take theirs: git show :3:{place} | secret-encrypt decrypt --format {} --pointer {pointer} | secret-encrypt set {place} {pointer}",
                format.name(),
                pointer = first.pointer,
            ));
        }
        session.print(&result, describe)?;
        Ok(if merged.conflicts.is_empty() { Exit::Done } else { Exit::No })
    }
}
