//! `create`: the secrets of a manifest that are not there yet.

use std::path::{Path, PathBuf};

use clap::Args;
use cli::{Failure, Input, Session};
use contract::document::{ManifestSecret, SecretsManifest, SecretsResult};
use contract::{Document, Exit, Pointer};
use serde_json::Value as Json;

use super::{RuleFlags, describe};
use crate::Error;
use crate::agenix::{AgenixFlags, AgenixRules, is_age_file};
use crate::document::{SopsDocument, encrypt_new};
use crate::files::{self, Batch, Lock};
use crate::format::format_of;
use crate::generate::generate;
use crate::host::{Manifest, base_of};
use crate::keys::IdentityFlags;

/// Make secrets whose manifest entry has a generator and that are not in their file. What is there is never replaced, and a
/// file that is missing is made by the rules of .sops.yaml.
#[derive(Debug, Clone, Args)]
pub struct Create {
    #[command(flatten)]
    input: Input,
    /// Make what is missing (the only mode: a secret that exists is changed with `set`)
    #[arg(long, required = true)]
    missing: bool,
    /// Directory that files in the manifest are relative to; else the manifest's own, or the working directory
    #[arg(long, value_name = "DIR")]
    base: Option<PathBuf>,
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

impl Create {
    pub(super) fn run(self, session: &mut Session) -> Result<Exit, Failure> {
        let manifest = self.manifest(session)?;
        let paths: Vec<PathBuf> = manifest.by_file(|_| true).into_keys().collect();
        let mut _lock = None;
        if !self.dry_run {
            files::finish_interrupted(session, &paths)?;
            _lock = Some(Lock::of(paths.iter().map(PathBuf::as_path))?);
        }
        let agenix = self.agenix.load()?;
        let mut result = SecretsResult::default();
        let mut batch = Batch::default();
        let mut failures = Vec::new();
        for (path, secrets) in manifest.by_file(|_| true) {
            let place = path.display().to_string();
            let made = (|| -> Result<(), Error> {
                let exists = std::fs::symlink_metadata(&path).is_ok();
                if is_age_file(&path) {
                    return self.age_file(&path, exists, &secrets, agenix.as_ref(), &mut batch, &mut result);
                }
                let document = if exists {
                    let bytes = files::read(&path)?.to_vec();
                    Some(SopsDocument::parse(format_of(&place), bytes)?)
                } else {
                    None
                };
                let there = |pointer: &Pointer| {
                    let slots = document.as_ref().map_or(&[][..], |document| &document.parsed.slots);
                    // Null is how a place is kept for a value that is yet to come.
                    slots.iter().any(|slot| {
                        !slot.is_comment() && slot.value.kind != crate::sops::Kind::Null && slot.pointer == *pointer
                    })
                };
                let mut puts = Vec::new();
                for secret in secrets {
                    match &secret.generator {
                        _ if there(&secret.pointer) => {}
                        _ if secret.pointer.as_str().is_empty() && exists => {}
                        Some(generator) => {
                            puts.push((secret.pointer.clone(), Json::String(generate(generator)?.to_string())));
                            result.added.push(secret.name.to_string());
                        }
                        None => result.warnings.push(format!(
                            "the secret {} is not in {place} and has no generator: put it there with `secret-encrypt set`",
                            secret.name
                        )),
                    }
                }
                if puts.is_empty() {
                    return Ok(());
                }
                let bytes = match document {
                    Some(document) => document.open(&self.identities.load(session)?)?.edited(&puts, &[])?,
                    None => Some(new_file(&self.rules, &path, &puts)?),
                };
                if let (Some(bytes), false) = (bytes, self.dry_run) {
                    batch.add(&path, &bytes)?;
                }
                result.files.push(place.clone());
                Ok(())
            })();
            failures.extend(made.err().map(|error| error.in_file(&place)));
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
}

impl Create {
    /// The secret that is an age file as a whole.
    fn age_file(
        &self,
        path: &Path,
        exists: bool,
        secrets: &[&ManifestSecret],
        agenix: Option<&AgenixRules>,
        batch: &mut Batch,
        result: &mut SecretsResult,
    ) -> Result<(), Error> {
        if exists {
            return Ok(());
        }
        let Some(secret) = secrets.iter().find(|secret| secret.generator.is_some()) else {
            result.warnings.extend(
                secrets.iter().map(|secret| {
                    format!("the secret {} has no file {} and no generator", secret.name, path.display())
                }),
            );
            return Ok(());
        };
        let entry = agenix.and_then(|rules| rules.entry(path)).ok_or(Error::NoRecipients)?;
        if let Some(generator) = &secret.generator {
            let bytes = entry.encrypt(generate(generator)?.as_bytes())?;
            result.added.push(secret.name.to_string());
            result.files.push(path.display().to_string());
            if !self.dry_run {
                batch.add(path, &bytes)?;
            }
        }
        Ok(())
    }

    /// The manifests of the input as one: a secret that several hosts use is made once.
    fn manifest(&self, session: &Session) -> Result<Manifest, Failure> {
        let base = base_of(self.base.as_deref(), &self.input);
        let mut merged: Option<Manifest> = None;
        for raw in session.read_all_raw(&self.input, &[SecretsManifest::ID])? {
            let manifest = Manifest::check(raw.read()?, &base)?;
            match &mut merged {
                None => merged = Some(manifest),
                Some(merged) => {
                    for secret in manifest.document.secrets {
                        if !merged.document.secrets.iter().any(|known| known.name == secret.name) {
                            merged.document.secrets.push(secret);
                        }
                    }
                }
            }
        }
        merged.ok_or_else(|| Failure::new(Exit::BadDocument, "empty_input", "a manifest was expected"))
    }
}

/// A new encrypted file with these values, by the rules of .sops.yaml.
pub(super) fn new_file(
    rules: &RuleFlags,
    path: &std::path::Path,
    puts: &[(Pointer, Json)],
) -> Result<zeroize::Zeroizing<Vec<u8>>, Error> {
    let format = format_of(&path.to_string_lossy());
    let rule = rules.rule_for(path)?;
    if let [(pointer, Json::String(text))] = puts
        && pointer.as_str().is_empty()
    {
        return encrypt_new(&crate::format::Binary, text.as_bytes(), &rule);
    }
    let mut root = Json::Object(serde_json::Map::new());
    for (pointer, value) in puts {
        let mut place = &mut root;
        for key in pointer.keys() {
            if place.is_null() {
                *place = Json::Object(serde_json::Map::new());
            }
            let map = place.as_object_mut();
            let map = map.ok_or_else(|| Error::NotAValue { pointer: pointer.clone(), what: "a value on the way" })?;
            place = map.entry(key).or_insert(Json::Null);
        }
        *place = value.clone();
    }
    encrypt_new(format, &format.write_new(&root)?, &rule)
}
