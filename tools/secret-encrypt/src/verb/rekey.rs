//! `rekey`: files for the recipients that the rules name.

use std::path::PathBuf;

use clap::Args;
use cli::{Failure, Session};
use contract::Exit;
use contract::document::SecretsResult;

use super::{RuleFlags, describe};
use crate::creation_rules::CreationRule;
use crate::document::{SopsDocument, same_recipients};
use crate::files::{self, Staged};
use crate::format::format_of;
use crate::keys::IdentityFlags;

/// Bring encrypted files to the recipients of .sops.yaml. Every file is prepared before the first is written; if one cannot
/// be done, none is.
///
/// The data key stays, so that only the sops block changes. Somebody who was a recipient can still read what they saw: to
/// lock them out of what comes next give --rotate, and change the secrets themselves.
#[derive(Debug, Clone, Args)]
pub struct Rekey {
    /// Files and trees
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,
    /// Make a new data key for every file and encrypt all values anew
    #[arg(long)]
    rotate: bool,
    /// Print the result that would be, write nothing; no key is needed
    #[arg(long)]
    dry_run: bool,
    /// Exit 1 if a file is not for its recipients
    #[arg(long, requires = "dry_run")]
    check: bool,
    #[command(flatten)]
    rules: RuleFlags,
    #[command(flatten)]
    identities: IdentityFlags,
}

impl Rekey {
    pub(super) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let mut result = SecretsResult::default();
        let mut wanted: Vec<(PathBuf, SopsDocument, CreationRule)> = Vec::new();
        let rules = self.rules.rules()?;
        let mut failures = Vec::new();
        for path in files::tree(&self.paths)? {
            let Some(document) = sops_document(&path) else { continue };
            let rule = match (self.rules.recipients.as_slice(), rules.as_ref().and_then(|rules| rules.rule_for(&path)))
            {
                ([], Some(rule)) => rule.clone(),
                ([], None) => {
                    result.warnings.push(format!("{}: no creation rule matches; left as it is", path.display()));
                    continue;
                }
                (recipients, _) => CreationRule::of(recipients.to_vec()),
            };
            if rule.groups.iter().all(Vec::is_empty) {
                result.warnings.push(format!("{}: its rule names no age recipient; left as it is", path.display()));
                continue;
            }
            if !self.rotate && same_recipients(&document.metadata, &rule) {
                continue;
            }
            wanted.push((path, document, rule));
        }
        if self.dry_run {
            result.files = wanted.iter().map(|(path, ..)| path.display().to_string()).collect();
            result.changed = !result.files.is_empty();
            session.print(&result, describe)?;
            return Ok(if self.check && result.changed { Exit::No } else { Exit::Done });
        }
        let mut staged = Vec::new();
        if !wanted.is_empty() {
            let identities = self.identities.load(session)?;
            for (path, document, rule) in wanted {
                let place = path.display().to_string();
                let bytes = document.open(&identities).and_then(|opened| opened.rekeyed(&rule, self.rotate));
                match bytes.and_then(|bytes| bytes.map(|bytes| Staged::new(&path, &bytes, 0o644)).transpose()) {
                    Ok(Some(file)) => {
                        staged.push(file);
                        result.files.push(place);
                        let texts = rule.groups.iter().flatten().map(|recipient| recipient.text().to_owned());
                        result.recipients.extend(texts);
                    }
                    Ok(None) => {}
                    Err(error) => failures.push(error.in_file(&place)),
                }
            }
        }
        if let Some(failure) = Failure::join(failures) {
            return Err(failure.hint("no file was changed"));
        }
        for file in staged {
            file.commit()?;
        }
        result.recipients.sort();
        result.recipients.dedup();
        result.changed = !result.files.is_empty();
        session.print(&result, describe)?;
        Ok(Exit::Done)
    }
}

/// The file, if it is an encrypted one.
pub(super) fn sops_document(path: &std::path::Path) -> Option<SopsDocument> {
    let bytes = files::read(path).ok()?;
    // Most files of a tree are no SOPS files, and this word is in every one that is.
    let has = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
    let meant = has(b"sops") && (has(b"ENC[") || has(b"lastmodified"));
    if !meant {
        return None;
    }
    SopsDocument::parse(format_of(&path.to_string_lossy()), bytes.to_vec()).ok()
}
