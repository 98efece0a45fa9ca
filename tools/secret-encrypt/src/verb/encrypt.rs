//! `encrypt`: a text in clear becomes a SOPS file.

use std::path::{Path, PathBuf};

use clap::Args;
use cli::{Failure, Input, Session};
use contract::Exit;
use contract::document::SecretsResult;
use zeroize::Zeroizing;

use super::{RuleFlags, describe};
use crate::Error;
use crate::agenix::{self, AgenixFlags, Entry, is_age_file};
use crate::document::{SopsDocument, choose_format, encrypt_new};
use crate::files;
use crate::keys::{IdentityFlags, mixing_warning};
use crate::references::Catalogue;

/// Encrypt a file. Comments, blank lines, indentation and quotes stay as they are.
///
/// Without --in-place and --to the encrypted file is printed. With --to, where the target is an encrypted file already,
/// unchanged values keep their ciphertext, and nothing is written if nothing changed.
#[derive(Debug, Clone, Args)]
pub struct Encrypt {
    #[command(flatten)]
    input: Input,
    /// Replace the file by its encrypted form
    #[arg(long, conflicts_with = "to")]
    in_place: bool,
    /// Write to this file; an encrypted one is updated
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// The format, where the file's name does not say it: yaml, json, dotenv, ini, binary
    #[arg(long, value_name = "NAME")]
    format: Option<String>,
    /// Take rules and format as for a file of this name
    #[arg(long, value_name = "NAME")]
    filename_override: Option<PathBuf>,
    /// Print the result that would be, write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    rules: RuleFlags,
    #[command(flatten)]
    agenix: AgenixFlags,
    #[command(flatten)]
    identities: IdentityFlags,
}

impl Encrypt {
    pub(super) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let place = self.input.to_string();
        let bytes = if self.input.is_stdin() { files::read_stdin() } else { files::read(&self.input.file) };
        let bytes = bytes.map_err(|error| error.in_file(&place))?;
        if self.in_place && self.input.is_stdin() {
            return Err(
                Failure::new(Exit::Usage, "usage", "--in-place needs a FILE").hint("for standard input give --to FILE")
            );
        }
        let target = self.to.clone().or_else(|| self.in_place.then(|| self.input.file.clone()));
        let named = self.filename_override.as_deref().or(target.as_deref()).unwrap_or(&self.input.file);
        if self.input.is_stdin() && target.is_none() && self.filename_override.is_none() && self.format.is_none() {
            return Err(Failure::new(Exit::Usage, "usage", "the format of standard input is not known")
                .hint("give --format yaml, or --filename-override secrets/x.yaml, which also chooses the rule"));
        }
        if self.in_place && Catalogue::read(choose_format(self.format.as_deref(), named)?, &bytes, &[]).is_some() {
            session.warn(&format!("{place} holds references only, which are no secrets; it stays in clear"));
            session.print(&SecretsResult::default(), describe)?;
            return Ok(Exit::Done);
        }
        if let Some(target) = target.as_ref().filter(|target| is_age_file(target)) {
            return self.age_file(session, &bytes, target);
        }
        let sealed = self.sealed(session, &bytes, named).map_err(|error| error.in_file(&place))?;
        let Some(target) = target else {
            let sealed = sealed.unwrap_or_default();
            session.print_bytes(&sealed)?;
            return Ok(Exit::Done);
        };
        let mut result = SecretsResult { changed: sealed.is_some(), ..SecretsResult::default() };
        if let Some(sealed) = sealed {
            if !self.dry_run {
                files::write(&target, &sealed, 0o644)?;
            }
            result.files.push(target.display().to_string());
        }
        session.print(&result, describe)?;
        Ok(Exit::Done)
    }

    /// A secret of an agenix tree: one age file, for whom its rules say. Nothing is written if it holds the same already.
    fn age_file(&self, session: &Session, plain: &[u8], target: &Path) -> Result<Exit, Failure> {
        let place = target.display().to_string();
        let rules = self.agenix.load()?;
        let named = rules.as_ref().and_then(|rules| rules.entry(target)).cloned();
        let entry = match (named, self.rules.recipients.as_slice()) {
            (Some(entry), []) => entry,
            (_, []) => {
                return Err(Error::NoRecipients
                    .in_file(place)
                    .hint("give --agenix secrets.json, whose rules name the file, or --recipient age1..."));
            }
            (_, recipients) => Entry { recipients: recipients.to_vec(), armor: false },
        };
        let known = if target.exists() && !self.in_place {
            let old = files::read(target)?;
            let fits =
                agenix::Header::parse(&old).is_ok_and(|header| header.fits(&entry.recipients) != agenix::Fit::No);
            fits && agenix::read(&old, &self.identities.load(session)?).is_ok_and(|old| *old == *plain)
        } else {
            false
        };
        let mut result = SecretsResult { changed: !known, ..SecretsResult::default() };
        if !known {
            if !self.dry_run {
                files::write(target, &entry.encrypt(plain).map_err(|error| error.in_file(&place))?, 0o644)?;
            }
            result.files.push(place);
        }
        session.print(&result, describe)?;
        Ok(Exit::Done)
    }

    /// The encrypted text; `None` if the target holds the same already.
    fn sealed(&self, session: &Session, plain: &[u8], named: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        let format = choose_format(self.format.as_deref(), named)?;
        if let Some(target) = self.to.as_deref().filter(|target| target.exists()) {
            let old = SopsDocument::parse(format, files::read(target)?.to_vec())?;
            return old.open(&self.identities.load(session)?)?.replaced(plain);
        }
        let rule = self.rules.rule_for(named)?;
        if let Some(warning) = mixing_warning(rule.groups.iter().flatten()) {
            session.warn(&warning);
        }
        encrypt_new(format, plain, &rule).map(Some)
    }
}
