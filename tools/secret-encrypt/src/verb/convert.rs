//! `convert`: a tree between agenix and SOPS.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use cli::{Failure, Session};
use contract::Exit;
use contract::document::SecretsResult;
use serde_json::{Map, Value as Json};
use zeroize::Zeroizing;

use super::rekey::sops_document;
use super::{RuleFlags, describe};
use crate::agenix::{self, AgenixRules, Entry, is_age_file};
use crate::creation_rules::{self, CreationRule, CreationRules};
use crate::document::{SopsDocument, encrypt_new};
use crate::files::{self, Batch, Lock};
use crate::format::{Binary, Format, format_of};
use crate::keys::{Identities, IdentityFlags, Recipient, converted_recipient};
use crate::{Error, references};

/// Move secrets between agenix (one .age file a secret, recipients in secrets.nix) and SOPS. All files are made or none.
///
/// To sops: x.env.age, .yaml.age, .json.age become x.env, x.yaml, x.json; every other x.age becomes x.sops (binary); with --into
/// every secret becomes a value in one file. Where there is no .sops.yaml, one is written. SSH ed25519 recipients become the
/// age recipients that sops-nix expects.
///
/// To agenix: x.sops becomes x.age, x.env becomes x.env.age; with --split every value becomes x/PATH.age. The rules are written
/// to secrets.json; secrets.nix is then: builtins.fromJSON (builtins.readFile ./secrets.json)
#[derive(Debug, Clone, Args)]
pub struct Convert {
    /// Which way
    #[arg(long, value_enum)]
    to: Target,
    /// The rules of the agenix tree: secrets.json (nix eval --json -f secrets.nix), or secrets.nix where Nix is installed
    #[arg(long, value_name = "FILE", default_value = "secrets.json")]
    agenix: PathBuf,
    /// Files and trees; else everything that the rules name, or the working directory
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// To sops: put every secret into this one file, each under its name
    #[arg(long, value_name = "FILE")]
    into: Option<PathBuf>,
    /// To sops: keep SSH ed25519 recipients as they are, which sops-nix cannot use
    #[arg(long)]
    keep_ssh: bool,
    /// To agenix: one file a value instead of one a file
    #[arg(long)]
    split: bool,
    /// Take the converted files away, in the same step
    #[arg(long)]
    remove: bool,
    /// Print the result that would be, write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    rules: RuleFlags,
    #[command(flatten)]
    identities: IdentityFlags,
}

/// Where to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Target {
    /// SOPS files
    Sops,
    /// age files and secrets.json
    Agenix,
}

/// What is to be written and what goes.
#[derive(Default)]
struct Work {
    writes: BTreeMap<PathBuf, Zeroizing<Vec<u8>>>,
    sources: Vec<PathBuf>,
    recipients: BTreeSet<String>,
    warnings: Vec<String>,
}

/// A secret for a file with others: name, value, who can read it.
type Named = (String, Zeroizing<Vec<u8>>, Vec<Recipient>);
/// A file to be written.
type Made = (PathBuf, Zeroizing<Vec<u8>>);

impl Convert {
    pub(super) fn run(self, session: &mut Session) -> Result<Exit, Failure> {
        let around: Vec<PathBuf> = if self.paths.is_empty() { vec![".".into()] } else { self.paths.clone() };
        if !self.dry_run {
            files::finish_interrupted(session, &around)?;
        }
        let identities = self.identities.load(session)?;
        let work = match self.to {
            Target::Sops => self.to_sops(&identities)?,
            Target::Agenix => self.to_agenix(&around, &identities)?,
        };
        let mut result = SecretsResult {
            changed: !work.writes.is_empty(),
            files: work.writes.keys().map(|path| path.display().to_string()).collect(),
            recipients: work.recipients.into_iter().collect(),
            warnings: work.warnings,
            ..SecretsResult::default()
        };
        if self.remove {
            result.removed = work.sources.iter().map(|path| path.display().to_string()).collect();
        }
        if !self.dry_run && result.changed {
            let _lock = Lock::of(work.writes.keys().chain(&work.sources).map(PathBuf::as_path))?;
            let mut batch = Batch::default();
            for (path, bytes) in &work.writes {
                batch.add(path, bytes)?;
            }
            if self.remove {
                work.sources.iter().for_each(|path| batch.remove(path));
            }
            session.begin_apply();
            batch.commit()?;
        }
        session.print(&result, describe)?;
        Ok(Exit::Done)
    }

    fn to_sops(&self, identities: &Identities) -> Result<Work, Failure> {
        let rules = AgenixRules::read(&self.agenix)?;
        let creation = self.rules.rules()?;
        let mut work = Work::default();
        let mut failures = Vec::new();
        // Secrets for one file: name, text, who can read it.
        let mut together: Vec<Named> = Vec::new();
        let mut groups: Vec<(PathBuf, Vec<Recipient>)> = Vec::new();
        for (path, entry) in rules.files() {
            let chosen = self.paths.is_empty() || self.paths.iter().any(|wanted| is_below(&path, wanted));
            if !chosen {
                continue;
            }
            if !path.exists() {
                work.warnings.push(format!("{}: the rules name it, and it is not there", path.display()));
                continue;
            }
            let plain = files::read(&path).and_then(|bytes| agenix::read(&bytes, identities));
            let plain = match plain {
                Ok(plain) => plain,
                Err(error) => {
                    failures.push(error.in_file(path.display()));
                    continue;
                }
            };
            let recipients = self.recipients_of(entry)?;
            work.sources.push(path.clone());
            if self.into.is_some() {
                let name = path.strip_prefix(rules.directory()).unwrap_or(&path).with_extension("");
                together.push((name.to_string_lossy().into_owned(), plain, recipients));
                continue;
            }
            match sealed_alone(&path, &plain, &recipients, identities) {
                Ok((target, _)) if target.exists() => failures.push(exists(&target)),
                Ok((target, bytes)) => {
                    work.recipients.extend(recipients.iter().map(|recipient| recipient.text().to_owned()));
                    groups.push((target.clone(), recipients));
                    work.writes.insert(target, bytes);
                }
                Err(error) => failures.push(error.in_file(path.display())),
            }
        }
        if let (Some(target), false) = (&self.into, together.is_empty()) {
            match self.sealed_together(target, &together, creation.as_ref()) {
                Ok((bytes, recipients)) => {
                    work.recipients.extend(recipients.iter().map(|recipient| recipient.text().to_owned()));
                    groups.push((target.clone(), recipients));
                    work.writes.insert(target.clone(), bytes);
                }
                Err(failure) => failures.push(failure),
            }
        }
        if let Some(failure) = Failure::join(failures) {
            return Err(failure.hint("no file was changed"));
        }
        add_rules(&mut work, &groups, creation.as_ref())?;
        Ok(work)
    }

    fn recipients_of(&self, entry: &Entry) -> Result<Vec<Recipient>, Error> {
        let converted = |recipient: &Recipient| match converted_recipient(recipient.text()) {
            Some(text) if !self.keep_ssh => text.parse(),
            _ => Ok(recipient.clone()),
        };
        let mut recipients: Vec<Recipient> = Vec::new();
        for recipient in entry.recipients.iter().map(converted) {
            let recipient = recipient?;
            if !recipients.contains(&recipient) {
                recipients.push(recipient);
            }
        }
        Ok(recipients)
    }

    /// One file with every secret under its name.
    fn sealed_together(
        &self,
        target: &Path,
        secrets: &[Named],
        creation: Option<&CreationRules>,
    ) -> Result<(Zeroizing<Vec<u8>>, Vec<Recipient>), Failure> {
        let place = target.display().to_string();
        if target.exists() {
            return Err(exists(target));
        }
        let named = !self.rules.recipients.is_empty() || creation.is_some_and(|rules| rules.rule_for(target).is_some());
        let rule = if named {
            self.rules.rule_for(target)?
        } else {
            let sets: BTreeSet<BTreeSet<&str>> =
                secrets.iter().map(|(_, _, recipients)| recipients.iter().map(Recipient::text).collect()).collect();
            if sets.len() > 1 {
                return Err(Failure::new(
                    Exit::Refused,
                    "different_recipients",
                    "the secrets are for different recipients, and one file has one list",
                )
                .place(place)
                .hint("name PATHs with the same recipients, give --recipient, or write a rule for the file into .sops.yaml"));
            }
            CreationRule::of(secrets.first().map(|(_, _, recipients)| recipients.clone()).unwrap_or_default())
        };
        let mut root = Map::new();
        for (name, plain, _) in secrets {
            let text = std::str::from_utf8(plain).map_err(|_| {
                Failure::new(Exit::BadDocument, "not_text", "the secret is no text, which a value cannot hold")
                    .place(format!("{name}.age"))
                    .hint("convert it without --into")
            })?;
            let mut map = &mut root;
            let mut parts: Vec<&str> = name.split('/').collect();
            let last = parts.pop().unwrap_or_default();
            for part in parts {
                let inner = map.entry(part).or_insert_with(|| Json::Object(Map::new()));
                map = inner.as_object_mut().ok_or_else(|| {
                    Failure::new(Exit::BadDocument, "name_twice", "a secret and a directory have the same name")
                        .place(format!("{name}.age"))
                })?;
            }
            map.insert(last.into(), Json::String(text.to_owned()));
        }
        let format = format_of(&place);
        let bytes = format.write_new(&Json::Object(root)).and_then(|plain| encrypt_new(format, &plain, &rule));
        let recipients = rule.groups.iter().flatten().cloned().collect();
        Ok((bytes.map_err(|error| error.in_file(&place))?, recipients))
    }

    fn to_agenix(&self, around: &[PathBuf], identities: &Identities) -> Result<Work, Failure> {
        let json = self.agenix.extension().is_none_or(|extension| extension != "nix");
        let mut rules = if self.agenix.exists() {
            AgenixRules::read(&self.agenix)?
        } else {
            AgenixRules { path: self.agenix.clone(), entries: BTreeMap::new() }
        };
        let home = files::absolute(rules.directory())?;
        let mut work = Work::default();
        let mut failures = Vec::new();
        for path in files::tree(around)? {
            let document = match sops_document(&path) {
                Ok(Some(document)) => document,
                Ok(None) => continue,
                Err(error) => {
                    failures.push(error.in_file(path.display()));
                    continue;
                }
            };
            match self.aged(&path, document, identities, &home) {
                Ok((entry, made)) => {
                    work.recipients.extend(entry.recipients.iter().map(|recipient| recipient.text().to_owned()));
                    for (name, (target, bytes)) in made {
                        rules.entries.insert(name, entry.clone());
                        if target.exists() || work.writes.insert(target.clone(), bytes).is_some() {
                            failures.push(exists(&target));
                        }
                    }
                    work.sources.push(path);
                }
                Err(error) => failures.push(error.in_file(path.display())),
            }
        }
        if let Some(failure) = Failure::join(failures) {
            return Err(failure.hint("no file was changed"));
        }
        if work.writes.is_empty() {
            return Ok(work);
        }
        let text = Zeroizing::new(rules.to_json().into_bytes());
        if json {
            work.writes.insert(rules.path.clone(), text);
            let nix = rules.path.with_extension("nix");
            if !nix.exists() {
                let name = rules.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let line = format!("builtins.fromJSON (builtins.readFile ./{name})\n");
                work.writes.insert(nix, Zeroizing::new(line.into_bytes()));
            }
        } else {
            work.warnings.push(format!("add the new files to {}, which only a person writes", rules.path.display()));
        }
        Ok(work)
    }

    /// The age files of one SOPS file, each with its name in the rules of this directory, and who can read them.
    fn aged(
        &self,
        path: &Path,
        document: SopsDocument,
        identities: &Identities,
        home: &Path,
    ) -> Result<(Entry, Vec<(String, Made)>), Error> {
        if document.metadata.groups().len() > 1 || !document.metadata.foreign().is_empty() {
            return Err(Error::Unsupported("age files know neither key groups nor recipients of other kinds".into()));
        }
        let recipients: Result<Vec<Recipient>, _> =
            document.metadata.recipients().iter().map(|text| text.parse()).collect();
        let entry = Entry { recipients: recipients?, armor: false };
        let opened = document.open(identities)?;
        let mut made = Vec::new();
        for (target, plain) in parts(path, &opened, self.split)? {
            let own = files::absolute(&target)?;
            let name = own.strip_prefix(home).ok().and_then(Path::to_str);
            let outside = || Error::Unsupported(format!("{} is not below the rules", target.display()));
            made.push((name.ok_or_else(outside)?.to_owned(), (target, entry.encrypt(&plain)?)));
        }
        Ok((entry, made))
    }
}

fn exists(target: &Path) -> Failure {
    Failure::new(Exit::CannotCreate, "exists", "something is there already, and nothing is replaced")
        .place(target.display().to_string())
        .hint("move it away, or name fewer PATHs")
}

fn is_below(path: &Path, wanted: &Path) -> bool {
    match (files::absolute(path), files::absolute(wanted)) {
        (Ok(path), Ok(wanted)) => path.starts_with(wanted),
        _ => false,
    }
}

/// One secret as a SOPS file of its own: in the format that its name says, if it comes back byte for byte, else binary.
fn sealed_alone(path: &Path, plain: &[u8], recipients: &[Recipient], identities: &Identities) -> Result<Made, Error> {
    let inner = path.with_extension("");
    let rule = CreationRule::of(recipients.to_vec());
    let format = format_of(&inner.to_string_lossy());
    if format.name() != "binary" && is_age_file(path) {
        let sealed = encrypt_new(format, plain, &rule).and_then(|bytes| {
            let back =
                SopsDocument::parse(format, bytes.to_vec())?.open(identities).and_then(|opened| opened.plaintext())?;
            Ok((*back == *plain).then_some(bytes))
        });
        if let Ok(Some(bytes)) = sealed {
            return Ok((inner, bytes));
        }
    }
    let target = PathBuf::from(format!("{}.sops", inner.display()));
    encrypt_new(&Binary, plain, &rule).map(|bytes| (target, bytes))
}

/// The age files that a SOPS file becomes.
fn parts(path: &Path, opened: &crate::document::OpenDocument, split: bool) -> Result<Vec<Made>, Error> {
    let plain = opened.plaintext()?;
    let format: &dyn Format = opened.document.format;
    let whole = path.to_string_lossy();
    let stem = whole.strip_suffix(".sops").unwrap_or(&whole);
    if !split || format.name() == "binary" {
        return Ok(vec![(PathBuf::from(format!("{stem}.age")), plain)]);
    }
    let directory = path.with_extension("");
    let json = format.read_json(&plain)?;
    let mut made = Vec::new();
    for (pointer, leaf) in references::leaves(&json) {
        let keys: Vec<String> = pointer.keys().collect();
        if keys.iter().any(|key| key.is_empty() || key.contains('/') || key.starts_with('.')) {
            return Err(Error::Unsupported(format!("{pointer} cannot be the name of a file")));
        }
        let text = match leaf {
            Json::String(text) => text.clone(),
            Json::Null => continue,
            other => other.to_string(),
        };
        let target = directory.join(keys.join("/") + ".age");
        made.push((target, Zeroizing::new(text.into_bytes())));
    }
    Ok(made)
}

/// Rules for the new files, where there are none; else what the present ones would make of them.
fn add_rules(
    work: &mut Work,
    groups: &[(PathBuf, Vec<Recipient>)],
    creation: Option<&CreationRules>,
) -> Result<(), Failure> {
    if let Some(rules) = creation {
        for (path, recipients) in groups {
            let same = rules.rule_for(path).is_some_and(|rule| {
                let wanted: BTreeSet<&Recipient> = rule.groups.iter().flatten().collect();
                wanted == recipients.iter().collect()
            });
            if !same {
                work.warnings.push(format!(
                    "{}: no rule of {} names its recipients; add one, or check will find a difference",
                    path.display(),
                    rules.path.display()
                ));
            }
        }
        return Ok(());
    }
    if groups.is_empty() {
        return Ok(());
    }
    let here = files::absolute(Path::new("."))?;
    let mut text = String::from("creation_rules:\n");
    for (path, recipients) in groups {
        let path = files::absolute(path)?;
        let name = path.strip_prefix(&here).unwrap_or(&path).to_string_lossy().into_owned();
        let pattern = serde_json::to_string(&format!("^{}$", regex::escape(&name))).unwrap_or_default();
        text.push_str(&format!("  - path_regex: {pattern}\n    age:\n"));
        for recipient in recipients {
            text.push_str(&format!("      - {}\n", recipient.text()));
        }
    }
    work.writes.insert(creation_rules::NAME.into(), Zeroizing::new(text.into_bytes()));
    Ok(())
}
