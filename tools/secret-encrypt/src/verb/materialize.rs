//! `materialize`: a manifest's secrets into RAM.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use cli::{Consents, Failure, Input, Session, Sourced, canonical_json};
use contract::document::{SecretsManifest, SecretsResult};
use contract::{Document, Exit, Finding, Pointer, SecretName, placeholders, places};

use super::describe;
use crate::Error;
use crate::host::{
    Accounts, Entry, FOR_USERS, Manifest, Tree, Values, base_of, fill, place_links, refuse_disk, refuse_others,
};
use crate::keys::{Identities, IdentityFlags};

/// Put the secrets of a manifest into RAM: /run/secrets/NAME, filled templates in /run/secrets/rendered, links at their usual
/// paths. What is there changes with one rename, or not at all. The result names the units to restart.
#[derive(Debug, Clone, Args)]
pub struct Materialize {
    #[command(flatten)]
    input: Input,
    /// Only secrets that are needed before users are made; they go to /run/secrets-for-users
    #[arg(long)]
    for_users: bool,
    /// Directory that files in the manifest are relative to; else the manifest's own, or the working directory
    #[arg(long, value_name = "DIR")]
    base: Option<PathBuf>,
    /// Put everything below this directory instead of /
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// How many generations stay, the current one among them
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    keep: u16,
    /// Print the result that would be, write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    consents: Consents,
    #[command(flatten)]
    identities: IdentityFlags,
}

/// Usual paths and what they point to.
type Links = Vec<(String, String)>;

impl Materialize {
    pub(super) fn run(self, session: &mut Session) -> Result<Exit, Failure> {
        let Sourced { document, source } = session.read::<SecretsManifest>(&self.input)?;
        let base = base_of(self.base.as_deref(), &self.input);
        let manifest = Manifest::check(Sourced { document, source: source.clone() }, &base)?;
        let accounts = Accounts::read(&self.root);
        // What exists only after users are made must not keep the secrets back that they are made with.
        let mut unknown = manifest.unknown_accounts(&accounts, true);
        if !self.for_users {
            unknown.extend(manifest.unknown_accounts(&accounts, false));
        }
        if !unknown.is_empty() {
            return Err(source.failure(unknown));
        }
        let generations = below(&self.root, places::SECRETS_GENERATIONS);
        refuse_disk(&generations, &self.consents)?;
        let identities = self.identities.load(session)?;
        let early = Self::entries_for_users(&manifest, &identities)?;
        let (rest, links) = if self.for_users {
            (Vec::new(), Vec::new())
        } else {
            Self::entries(&manifest, &identities, &accounts, &source)?
        };
        refuse_others(&self.root, &links)?;
        let mut result = SecretsResult::default();
        // From here on things change; a closed pipe does not stop it.
        session.begin_apply();
        if !early.is_empty() || self.root.join(FOR_USERS.trim_start_matches('/')).exists() {
            self.write(&mut result, FOR_USERS, &format!("{FOR_USERS}.d"), &early)?;
            result.generation = None;
        }
        if !self.for_users {
            self.write(&mut result, places::SECRETS, places::SECRETS_GENERATIONS, &rest)?;
            if !self.dry_run {
                let known = below(&self.root, places::STATE).join("secrets.links");
                result.changed |= place_links(&self.root, &known, &links)?;
            }
            name_units(&manifest.document, &mut result);
        }
        if !self.dry_run {
            let value = serde_json::to_value(&result).unwrap_or_default();
            let text = canonical_json(SecretsResult::ID, &value, false);
            let path = below(&self.root, places::SECRETS_RESULT);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)
                    .map_err(|error| Error::io(Exit::CannotCreate, "make the directory", parent.display(), error))?;
            }
            crate::files::write(&path, text.as_bytes(), 0o644)?;
        }
        session.print(&result, describe)?;
        Ok(Exit::Done)
    }

    /// Compares and writes one tree, and adds to the result.
    fn write(&self, result: &mut SecretsResult, link: &str, generations: &str, entries: &[Entry]) -> Result<(), Error> {
        let tree = Tree {
            generations: below(&self.root, generations),
            link: below(&self.root, link),
            target: PathBuf::from(generations),
        };
        let tree = if self.root == Path::new("/") { tree } else { Tree { target: tree.generations.clone(), ..tree } };
        let generation = tree.compare(entries)?;
        if generation.changes() && !self.dry_run {
            tree.write(&generation, entries, self.keep.into())?;
        }
        result.changed |= generation.changes();
        result.generation = Some(generation.number);
        result.added.extend(generation.added);
        result.updated.extend(generation.updated);
        result.removed.extend(generation.removed);
        Ok(())
    }

    fn entries_for_users(manifest: &Manifest, identities: &Identities) -> Result<Vec<Entry>, Failure> {
        let values = manifest.values(identities, |secret| secret.needed_for_users)?;
        let secrets = manifest.document.secrets.iter().filter(|secret| secret.needed_for_users);
        let entry = |secret: &contract::document::ManifestSecret| {
            let bytes = values.get(&secret.name)?.clone();
            Some(Entry { name: secret.name.to_string(), bytes, uid: 0, gid: 0, mode: secret.mode.bits() })
        };
        Ok(secrets.filter_map(entry).collect())
    }

    fn entries(
        manifest: &Manifest,
        identities: &Identities,
        accounts: &Accounts,
        source: &cli::Source,
    ) -> Result<(Vec<Entry>, Links), Failure> {
        let used: BTreeSet<SecretName> = manifest
            .document
            .templates
            .iter()
            .flat_map(|template| placeholders(&template.text).filter_map(|(_, name)| name.parse().ok()))
            .collect();
        let values: Values =
            manifest.values(identities, |secret| !secret.needed_for_users || used.contains(&secret.name))?;
        let mut entries = Vec::new();
        let mut links = Vec::new();
        for secret in &manifest.document.secrets {
            let home = if secret.needed_for_users { FOR_USERS } else { places::SECRETS };
            if let Some(link) = &secret.link {
                links.push((link.clone(), format!("{home}/{}", secret.name)));
            }
            let Some(bytes) = values.get(&secret.name).filter(|_| !secret.needed_for_users) else { continue };
            entries.push(Entry {
                name: secret.name.to_string(),
                bytes: bytes.clone(),
                uid: accounts.user(&secret.owner).unwrap_or(0),
                gid: accounts.group(&secret.group).unwrap_or(0),
                mode: secret.mode.bits(),
            });
        }
        let mut problems = Vec::new();
        for (index, template) in manifest.document.templates.iter().enumerate() {
            if let Some(link) = &template.link {
                links.push((link.clone(), format!("{}/{}", places::RENDERED, template.name)));
            }
            match fill(template, |name| values.get(name).map(|bytes| bytes.as_slice())) {
                Ok(bytes) => entries.push(Entry {
                    name: format!("rendered/{}", template.name),
                    bytes,
                    uid: accounts.user(&template.owner).unwrap_or(0),
                    gid: accounts.group(&template.group).unwrap_or(0),
                    mode: template.mode.bits(),
                }),
                Err(reasons) => {
                    let pointer = Pointer::root().join("templates").join(index).join("text");
                    problems.extend(
                        reasons.into_iter().map(|reason| Finding::error("unfit-value", pointer.clone(), reason)),
                    );
                }
            }
        }
        if problems.is_empty() { Ok((entries, links)) } else { Err(source.failure(problems)) }
    }
}

fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// The units of everything that was added or changed.
fn name_units(manifest: &SecretsManifest, result: &mut SecretsResult) {
    let touched = |name: &str| result.added.iter().chain(&result.updated).any(|touched| touched == name);
    let (mut units, mut reload) = (BTreeSet::new(), BTreeSet::new());
    let secrets = manifest.secrets.iter().map(|secret| (secret.name.to_string(), &secret.units, &secret.reload_units));
    let templates = manifest
        .templates
        .iter()
        .map(|template| (format!("rendered/{}", template.name), &template.units, &template.reload_units));
    for (_, restarts, reloads) in secrets.chain(templates).filter(|(name, ..)| touched(name)) {
        units.extend(restarts.iter().cloned());
        reload.extend(reloads.iter().cloned());
    }
    // A unit that is restarted has read everything anew.
    reload.retain(|unit| !units.contains(unit));
    result.units = units.into_iter().collect();
    result.reload_units = reload.into_iter().collect();
}
