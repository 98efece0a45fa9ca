//! `rekey`: files for the recipients that the rules name.

use std::path::{Path, PathBuf};

use clap::Args;
use cli::{Failure, Session};
use contract::Exit;
use contract::document::SecretsResult;

use super::{RuleFlags, describe};
use crate::agenix::{AgenixFlags, AgenixRules};
use crate::creation_rules::{CreationRule, CreationRules};
use crate::document::{SopsDocument, same_recipients};
use crate::files::{self, Batch, Lock};
use crate::format::{Side, Slot, format_of};
use crate::keys::{Identities, IdentityFlags};
use crate::sops::EncText;
use crate::{Error, agenix};

/// Bring encrypted files to the recipients of .sops.yaml. Every file is prepared before the first is written; if one cannot
/// be done, none is. A run that is killed is finished or taken back by the next one.
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
    /// How many key groups are needed to decrypt; else as many as the file needs now, at most all
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..))]
    threshold: Option<u8>,
    /// Print the result that would be, write nothing; no key is needed
    #[arg(long)]
    dry_run: bool,
    /// Exit 1 if a file is not for its recipients
    #[arg(long, requires = "dry_run")]
    check: bool,
    #[command(flatten)]
    rules: RuleFlags,
    #[command(flatten)]
    agenix: AgenixFlags,
    #[command(flatten)]
    identities: IdentityFlags,
}

/// A file that is to be written anew.
enum Wanted {
    Sops(PathBuf, SopsDocument, CreationRule),
    Age(PathBuf, agenix::Entry),
}

impl Wanted {
    fn path(&self) -> &Path {
        match self {
            Wanted::Sops(path, ..) | Wanted::Age(path, _) => path,
        }
    }

    /// The new content; `None` if it stays.
    fn bytes(self, identities: &Identities, rotate: bool) -> Result<Option<zeroize::Zeroizing<Vec<u8>>>, Error> {
        match self {
            Wanted::Sops(_, document, rule) => document.open(identities)?.rekeyed(&rule, rotate),
            Wanted::Age(path, entry) => {
                let plain = agenix::read(&files::read(&path)?, identities)?;
                entry.encrypt(&plain).map(Some)
            }
        }
    }

    fn recipients(&self) -> Vec<String> {
        match self {
            Wanted::Sops(_, _, rule) => {
                rule.groups.iter().flatten().map(|recipient| recipient.text().to_owned()).collect()
            }
            Wanted::Age(_, entry) => entry.recipients.iter().map(|recipient| recipient.text().to_owned()).collect(),
        }
    }
}

impl Rekey {
    pub(super) fn run(self, session: &mut Session) -> Result<Exit, Failure> {
        let rules = self.rules.rules()?;
        let agenix = self.agenix.load()?;
        if !self.dry_run {
            files::finish_interrupted(session, &self.paths)?;
        }
        let mut result = SecretsResult::default();
        let mut wanted = self.wanted(rules.as_ref(), agenix.as_ref(), &mut result)?;
        if self.dry_run {
            result.files = wanted.iter().map(|wanted| wanted.path().display().to_string()).collect();
            result.changed = !result.files.is_empty();
            session.print(&result, describe)?;
            return Ok(if self.check && result.changed { Exit::No } else { Exit::Done });
        }
        if !wanted.is_empty() {
            let identities = self.identities.load(session)?;
            let places: Vec<PathBuf> = wanted.iter().map(|wanted| wanted.path().to_owned()).collect();
            let _lock = Lock::of(places.iter().map(PathBuf::as_path))?;
            // Another run may have written before the lock was ours.
            result.warnings.clear();
            wanted = self.wanted(rules.as_ref(), agenix.as_ref(), &mut result)?;
            wanted.retain(|wanted| places.iter().any(|place| place == wanted.path()));
            let mut batch = Batch::default();
            let mut failures = Vec::new();
            for wanted in wanted {
                let (path, recipients) = (wanted.path().to_owned(), wanted.recipients());
                let place = path.display().to_string();
                match wanted.bytes(&identities, self.rotate) {
                    Ok(Some(bytes)) => match batch.add(&path, &bytes) {
                        Ok(()) => {
                            result.files.push(place);
                            result.recipients.extend(recipients);
                        }
                        Err(error) => failures.push(error.in_file(&place)),
                    },
                    Ok(None) => {}
                    Err(error) => failures.push(error.in_file(&place)),
                }
            }
            if let Some(failure) = Failure::join(failures) {
                return Err(failure.hint("no file was changed"));
            }
            // From here on a signal must not stop it half-way, and a closed pipe neither.
            session.begin_apply();
            batch.commit()?;
        }
        result.recipients.sort();
        result.recipients.dedup();
        result.changed = !result.files.is_empty();
        session.print(&result, describe)?;
        Ok(Exit::Done)
    }

    /// The files that are not for their recipients (all, with --rotate).
    fn wanted(
        &self,
        rules: Option<&CreationRules>,
        agenix: Option<&AgenixRules>,
        result: &mut SecretsResult,
    ) -> Result<Vec<Wanted>, Failure> {
        let mut wanted = Vec::new();
        let mut failures = Vec::new();
        for path in files::tree(&self.paths)? {
            if let Some(entry) = agenix.and_then(|rules| rules.entry(&path)) {
                let header =
                    agenix::Header::parse(&files::read(&path)?).map_err(|error| error.in_file(path.display()))?;
                if self.rotate || header.fits(&entry.recipients) != agenix::Fit::Certain {
                    wanted.push(Wanted::Age(path, entry.clone()));
                }
                continue;
            }
            let document = match sops_document(&path) {
                Ok(Some(document)) => document,
                Ok(None) => continue,
                Err(error @ Error::Io { .. }) => {
                    result.warnings.push(format!("{}: {error}; left as it is", path.display()));
                    continue;
                }
                Err(error) => {
                    failures.push(error.in_file(path.display()));
                    continue;
                }
            };
            let found = rules.and_then(|rules| rules.rule_for(&path));
            let rule = match (self.rules.recipients.as_slice(), found) {
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
            let rule = self.with_threshold(rule, &document, &path, result);
            let threshold = self.threshold.is_some() && document.metadata.needed_groups() != rule.threshold;
            if self.rotate || threshold || !same_recipients(&document.metadata, &rule) {
                if !self.rotate {
                    warn_of_removed(&document, &rule, &path, result);
                }
                wanted.push(Wanted::Sops(path, document, rule));
            }
        }
        Failure::join(failures).map_or(Ok(wanted), |failure| Err(failure.hint("no file was changed")))
    }

    /// As `sops updatekeys`: a file goes on needing as many groups as it did, and never more than there are.
    fn with_threshold(
        &self,
        mut rule: CreationRule,
        document: &SopsDocument,
        path: &Path,
        result: &mut SecretsResult,
    ) -> CreationRule {
        let groups = rule.groups.len();
        if groups < 2 {
            rule.threshold = None;
            return rule;
        }
        let old = document.metadata.needed_groups();
        let threshold = match self.threshold {
            Some(given) => Some(usize::from(given)),
            // A file that had no groups takes what its rule says.
            None => old.or(rule.threshold),
        };
        let threshold = threshold.unwrap_or(groups).clamp(2, groups);
        if let (Some(wanted), None) = (rule.threshold, self.threshold)
            && wanted.clamp(2, groups) != threshold
        {
            result.warnings.push(format!(
                "{}: its rule wants {wanted} key groups and the file needs {threshold}; --threshold {wanted} changes that",
                path.display()
            ));
        }
        rule.threshold = Some(threshold);
        rule
    }
}

/// The data key stays, so that who was taken off and kept a copy of it can read what comes next.
fn warn_of_removed(document: &SopsDocument, rule: &CreationRule, path: &Path, result: &mut SecretsResult) {
    let stays = |name: &String| rule.groups.iter().flatten().any(|recipient| name.starts_with(recipient.text()));
    for name in document.metadata.recipients().iter().filter(|name| !stays(name)) {
        let name: String = name.chars().take(72).collect();
        result.warnings.push(format!(
            "{}: {name} is taken off; with a kept data key it can still read the file: give --rotate, and change the secrets",
            path.display()
        ));
    }
}

/// The file, if it is an encrypted one.
///
/// # Errors
/// Where it cannot be read, or means to be an encrypted file and is none that can be: to pass over it without a word would
/// leave it for its old recipients.
pub(super) fn sops_document(path: &Path) -> Result<Option<SopsDocument>, Error> {
    let bytes = match files::read(path) {
        Ok(bytes) => bytes,
        Err(Error::TooLarge) => return Ok(None),
        Err(error) => return Err(error),
    };
    // Most files of a tree are no SOPS files, and this word is in every one that is.
    let has = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
    let meant = has(b"sops") && (has(b"ENC[") || has(b"lastmodified"));
    let format = format_of(&path.to_string_lossy());
    // What is encrypted and has no block any more is damaged too.
    let sealed = has(b"ENC[AES256_GCM,") && format.name() != "binary";
    if !meant && !sealed {
        return Ok(None);
    }
    match SopsDocument::parse(format, bytes.to_vec()) {
        Ok(document) => Ok(Some(document)),
        Err(Error::NotEncrypted) if sealed => {
            let parsed = format.parse(&bytes, Side::Sealed)?;
            let lost = |slot: &&Slot| !slot.is_comment() && slot.value.as_text().is_some_and(EncText::is_meant);
            match parsed.slots.iter().find(lost) {
                Some(slot) => Err(Error::LooksEncrypted { pointer: slot.pointer.clone() }),
                None => Ok(None),
            }
        }
        Err(Error::NotEncrypted) => Ok(None),
        Err(_) if !meant => Ok(None),
        Err(error) => Err(error),
    }
}
