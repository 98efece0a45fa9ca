//! `refs`: references to values that 1Password, Scaleway and others keep.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use cli::{Failure, Input, Session};
use contract::document::{SecretsManifest, SecretsResult};
use contract::{Document, Exit, Pointer};
use serde_json::Value as Json;
use zeroize::Zeroizing;

use super::create::new_file;
use super::{RuleFlags, describe};
use crate::Error;
use crate::document::{SopsDocument, same_recipients};
use crate::files::{self, Batch, Lock};
use crate::format::{Format, format_of};
use crate::host::{Manifest, base_of};
use crate::keys::{Identities, IdentityFlags};
use crate::references::{Catalogue, Declared, Providers, Reference};

/// References instead of values: op://VAULT/ITEM/FIELD of 1Password, scw:NAME of Scaleway Secret Manager, others by a command.
#[derive(Debug, Clone, Args)]
pub struct Refs {
    #[command(subcommand)]
    verb: RefsVerb,
}

#[derive(Debug, Clone, Subcommand)]
enum RefsVerb {
    /// Resolve references and put their values into SOPS files; a second run changes nothing
    Seal(Seal),
}

/// Resolve references through the program of their provider, and put the values into SOPS files.
///
/// FILE is a secrets.manifest whose secrets have a `reference` (each value goes to the secret's own file and pointer), or a
/// catalogue in which every value is a reference (YAML, JSON, dotenv; all values go to --to, each where its reference stands).
/// Recipients come from .sops.yaml or -r. Values that are the same keep their ciphertext. They pass only through pipes.
#[derive(Debug, Clone, Args)]
pub(super) struct Seal {
    #[command(flatten)]
    input: Input,
    /// The SOPS file that a catalogue goes to
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Directory that files in the manifest are relative to; else the manifest's own, or the working directory
    #[arg(long, value_name = "DIR")]
    base: Option<PathBuf>,
    /// A further provider, SCHEME=COMMAND: its references are SCHEME:REST, and {} in the command stands for REST
    #[arg(long = "provider", value_name = "SCHEME=COMMAND")]
    providers: Vec<Declared>,
    /// Take away values that no reference stands for
    #[arg(long)]
    prune: bool,
    /// Print which references would be resolved, ask nobody, write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    rules: RuleFlags,
    #[command(flatten)]
    identities: IdentityFlags,
}

/// What goes into one file: name for messages, place, reference.
type Wanted = Vec<(String, Pointer, Reference)>;

/// Name for messages, place, value.
type Resolved = (String, Pointer, Zeroizing<Vec<u8>>);

impl Refs {
    pub(super) fn run(self, session: &mut Session) -> Result<Exit, Failure> {
        match self.verb {
            RefsVerb::Seal(seal) => seal.run(session),
        }
    }
}

impl Seal {
    fn run(self, session: &mut Session) -> Result<Exit, Failure> {
        let mut providers = Providers::new(self.providers.clone());
        let wanted = self.wanted(session, &providers.schemes())?;
        let mut result = SecretsResult::default();
        if self.dry_run {
            for (path, list) in &wanted {
                result.files.push(path.display().to_string());
                result.added.extend(list.iter().map(|(name, ..)| name.clone()));
            }
            session.print(&result, |result, style| {
                describe(&SecretsResult { changed: !result.added.is_empty(), ..result.clone() }, style)
            })?;
            return Ok(Exit::Done);
        }
        let paths: Vec<PathBuf> = wanted.keys().cloned().collect();
        files::finish_interrupted(session, &paths)?;
        // Everything is asked for before anything is written, and all that fails is said at once.
        let mut values: BTreeMap<PathBuf, Vec<Resolved>> = BTreeMap::new();
        let mut failures = Vec::new();
        for (path, list) in wanted {
            for (name, pointer, reference) in list {
                match providers.resolve(&reference) {
                    Ok(value) => values.entry(path.clone()).or_default().push((name, pointer, value)),
                    Err(error) => failures.push(error.in_file(name)),
                }
            }
        }
        if let Some(failure) = Failure::join(failures) {
            return Err(failure);
        }
        let mut failures = Vec::new();
        for path in &paths {
            let directory = files::directory_of(path);
            files::make_private(directory)?;
        }
        let _lock = Lock::of(paths.iter().map(PathBuf::as_path))?;
        let mut batch = Batch::default();
        let identities =
            if paths.iter().any(|path| path.exists()) { Some(self.identities.load(session)?) } else { None };
        for (path, list) in values {
            let place = path.display().to_string();
            match self.sealed(&path, &list, identities.as_ref(), &mut result) {
                Ok(Some(bytes)) => match batch.add(&path, &bytes) {
                    Ok(()) => result.files.push(place),
                    Err(error) => failures.push(error.in_file(place)),
                },
                Ok(None) => {}
                Err(error) => failures.push(error.in_file(place)),
            }
        }
        if let Some(failure) = Failure::join(failures) {
            return Err(failure.hint("no file was changed"));
        }
        session.begin_apply();
        batch.commit()?;
        result.changed = !result.files.is_empty();
        session.print(&result, describe)?;
        Ok(Exit::Done)
    }

    /// What is wanted, by file.
    fn wanted(&self, session: &Session, declared: &[String]) -> Result<BTreeMap<PathBuf, Wanted>, Failure> {
        let mut wanted: BTreeMap<PathBuf, Wanted> = BTreeMap::new();
        if let Some(to) = &self.to {
            let place = self.input.to_string();
            let text = session.read_text(&self.input)?;
            let format: &dyn Format = if self.input.is_stdin() { format_of("x.json") } else { format_of(&place) };
            let catalogue = Catalogue::read(format, text.as_bytes(), declared).ok_or_else(|| {
                Failure::new(
                    Exit::BadDocument,
                    "no_catalogue",
                    "the file is no catalogue: it has a value that is no reference",
                )
                .place(&place)
                .hint("every value is op://VAULT/ITEM/FIELD, scw:NAME, or one of a --provider")
            })?;
            for (pointer, reference) in catalogue.good().map_err(|error| error.in_file(&place))? {
                wanted.entry(to.clone()).or_default().push((pointer.to_string(), pointer, reference));
            }
            return Ok(wanted);
        }
        let base = base_of(self.base.as_deref(), &self.input);
        for raw in session.read_all_raw(&self.input, &[SecretsManifest::ID])? {
            let manifest = Manifest::check(raw.read()?, &base)?;
            for secret in &manifest.document.secrets {
                let Some(text) = &secret.reference else { continue };
                let reference = Reference::parse(text, declared).map_err(|reason| {
                    Error::BadReference { pointer: secret.pointer.clone(), reason }.in_file(secret.name.to_string())
                })?;
                let list = wanted.entry(manifest.file(secret)).or_default();
                if !list.iter().any(|(_, pointer, _)| *pointer == secret.pointer) {
                    list.push((secret.name.to_string(), secret.pointer.clone(), reference));
                }
            }
        }
        Ok(wanted)
    }

    /// The new text of a file; `None` if it holds the same already.
    fn sealed(
        &self,
        path: &std::path::Path,
        list: &[Resolved],
        identities: Option<&Identities>,
        result: &mut SecretsResult,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        let mut puts = Vec::new();
        for (name, pointer, value) in list {
            let text = std::str::from_utf8(value).map_err(|_| {
                Error::Unsupported(format!("the value of {name} is no text, which this file cannot hold"))
            })?;
            puts.push((pointer.clone(), Json::String(text.to_owned())));
        }
        let names = |list: &[Resolved]| -> Vec<String> { list.iter().map(|(name, ..)| name.clone()).collect() };
        let old = match std::fs::symlink_metadata(path) {
            Err(_) => None,
            Ok(_) => Some(SopsDocument::parse(format_of(&path.to_string_lossy()), files::read(path)?.to_vec())?),
        };
        let (Some(old), Some(identities)) = (old, identities) else {
            result.added.extend(names(list));
            return new_file(&self.rules, path, &puts).map(Some);
        };
        // Which values there are can be read without a key.
        let slots = old.parsed.slots.iter().filter(|slot| !slot.is_comment());
        let known: Vec<Pointer> = slots
            .map(|slot| slot.pointer.clone())
            .filter(|pointer| !pointer.as_str().is_empty() && !list.iter().any(|(_, own, _)| own == pointer))
            .collect();
        let opened = match old.open(identities) {
            Ok(opened) => opened,
            Err(Error::NoKey { .. } | Error::TooFewGroups { .. }) if known.is_empty() => {
                // The file is for the host alone. All that it holds comes from the references, so that nothing is lost.
                result.warnings.push(format!(
                    "{}: no identity here opens it, so that all of it is written anew; make yourself a recipient to keep what is unchanged",
                    path.display()
                ));
                result.updated.extend(names(list));
                return new_file(&self.rules, path, &puts).map(Some);
            }
            Err(error) => return Err(error),
        };
        let removes = if self.prune { known.clone() } else { Vec::new() };
        if !self.prune && !known.is_empty() {
            result.warnings.push(format!(
                "{}: {} of its values come from no reference; --prune takes them away",
                path.display(),
                known.len()
            ));
        }
        for (name, pointer, value) in list {
            match opened.value(pointer) {
                Ok(old) if old.bytes.as_slice() == value.as_slice() => {}
                Ok(_) => result.updated.push(name.clone()),
                Err(_) => result.added.push(name.clone()),
            }
        }
        result.removed.extend(removes.iter().map(ToString::to_string));
        let edited = opened.edited(&puts, &removes)?;
        let rule = self.rules.rule_for(path)?;
        if same_recipients(&opened.document.metadata, &rule) {
            return Ok(edited);
        }
        let key = opened.key();
        let bytes = edited.unwrap_or_else(|| Zeroizing::new(opened.document.bytes.clone()));
        let reopened = SopsDocument::parse(opened.document.format, bytes.to_vec())?.open_with(key)?;
        Ok(Some(reopened.rekeyed(&rule, false)?.unwrap_or(bytes)))
    }
}
