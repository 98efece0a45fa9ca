//! A manifest on this machine: what it says is checked as a whole, then its values are read from their files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cli::{Failure, Input, Sourced};
use contract::document::{ManifestSecret, SecretsManifest};
use contract::{Finding, Pointer, SecretName, placeholders};
use zeroize::Zeroizing;

use super::Accounts;
use crate::Error;
use crate::agenix::{self, is_age_file};
use crate::document::{OpenDocument, SopsDocument, missing};
use crate::files;
use crate::format::format_of;
use crate::keys::Identities;
use crate::references::Reference;

/// Secrets that are materialised before users are made.
pub(crate) const FOR_USERS: &str = "/run/secrets-for-users";

/// A manifest that was found to be good.
pub(crate) struct Manifest {
    /// What it says.
    pub document: SecretsManifest,
    base: PathBuf,
}

/// The values of a manifest's secrets, by name.
pub(crate) type Values = BTreeMap<SecretName, Zeroizing<Vec<u8>>>;

impl Manifest {
    /// Checks the manifest's meaning; all problems at once. Paths in it are relative to `base`.
    ///
    /// # Errors
    /// 65 with every problem.
    pub(crate) fn check(sourced: Sourced<SecretsManifest>, base: &Path) -> Result<Self, Failure> {
        let problems = problems(&sourced.document);
        if !problems.is_empty() {
            return Err(sourced.source.failure(problems));
        }
        Ok(Self { document: sourced.document, base: base.to_owned() })
    }

    /// Where a secret's SOPS file is.
    pub(crate) fn file(&self, secret: &ManifestSecret) -> PathBuf {
        self.base.join(&secret.file)
    }

    /// The encrypted files with the secrets that are in each.
    pub(crate) fn by_file(&self, wanted: impl Fn(&ManifestSecret) -> bool) -> BTreeMap<PathBuf, Vec<&ManifestSecret>> {
        let mut files: BTreeMap<PathBuf, Vec<&ManifestSecret>> = BTreeMap::new();
        for secret in self.document.secrets.iter().filter(|secret| wanted(secret)) {
            files.entry(self.file(secret)).or_default().push(secret);
        }
        files
    }

    /// Opens every file once and reads the wanted values; every problem in one failure.
    ///
    /// # Errors
    /// Where a file cannot be opened or a value is not there.
    pub(crate) fn values(
        &self,
        identities: &Identities,
        wanted: impl Fn(&ManifestSecret) -> bool,
    ) -> Result<Values, Failure> {
        let mut values = Values::new();
        let mut failures = Vec::new();
        for (path, secrets) in self.by_file(wanted) {
            let source = match Source::open(&path, identities) {
                Ok(source) => source,
                Err(error) => {
                    failures.push(error.in_file(path.display()));
                    continue;
                }
            };
            for secret in secrets {
                match source.value(&secret.pointer) {
                    Ok(value) if value.is_empty() => failures.push(
                        Failure::new(
                            contract::Exit::BadDocument,
                            "empty_secret",
                            format!("the secret {} is empty", secret.name),
                        )
                        .place(path.display().to_string())
                        .at(secret.pointer.clone()),
                    ),
                    Ok(value) => {
                        values.insert(secret.name.clone(), value);
                    }
                    Err(error) => failures.push(error.in_file(path.display())),
                }
            }
        }
        Failure::join(failures).map_or(Ok(values), Err)
    }

    /// Without a key: whether every secret has its file and a single value in it, and whether references are well formed.
    pub(crate) fn structure(&self, schemes: &[String]) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (path, secrets) in self.by_file(|_| true) {
            let name = path.display().to_string();
            for secret in &secrets {
                if let Some(Err(reason)) = secret.reference.as_ref().map(|text| Reference::parse(text, schemes)) {
                    let message = format!("the reference of the secret {} is not well formed: {reason}", secret.name);
                    findings.push(Finding::error("bad-reference", secret.pointer.clone(), message).in_file(&name));
                }
            }
            if secrets.iter().all(|secret| secret.reference.is_some()) && !path.exists() {
                let message = "the references of this file were not resolved yet";
                let finding = Finding::warning("references-unsealed", Pointer::root(), message);
                findings.push(finding.fix("secret-encrypt refs seal MANIFEST").in_file(&name));
                continue;
            }
            if !path.exists() {
                let missing = |secret: &&ManifestSecret| {
                    let message = format!("the secret {}: its file is not there", secret.name);
                    let finding = Finding::error("secret-missing", secret.pointer.clone(), message).in_file(&name);
                    finding.fix(filled_by(secret, &name))
                };
                findings.extend(secrets.iter().map(missing));
                continue;
            }
            if is_age_file(&path) {
                continue;
            }
            let read = files::read(&path).and_then(|bytes| SopsDocument::parse(format_of(&name), bytes.to_vec()));
            match read {
                Err(error) => findings.push(
                    Finding::error(&error.code().replace('_', "-"), Pointer::root(), error.to_string()).in_file(&name),
                ),
                Ok(document) => findings.extend(secrets.iter().filter_map(|secret| {
                    let there = secret.pointer.as_str().is_empty()
                        || document
                            .parsed
                            .slots
                            .iter()
                            .any(|slot| !slot.is_comment() && slot.pointer == secret.pointer);
                    let error = (!there).then(|| missing(&document.parsed, &secret.pointer))?;
                    let message = format!("the secret {}: {error}", secret.name);
                    let finding = Finding::error("secret-missing", secret.pointer.clone(), message).in_file(&name);
                    Some(finding.fix(filled_by(secret, &name)))
                })),
            }
        }
        findings
    }

    /// With a key: every secret that cannot be read with it.
    pub(crate) fn can_open(&self, identities: &Identities) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (path, secrets) in self.by_file(|_| true) {
            let name = path.display().to_string();
            let mut find = |secret: &ManifestSecret, code: &str, what: &str, fix: &str| {
                let message = format!("the secret {}: {what}", secret.name);
                findings.push(Finding::error(code, secret.pointer.clone(), message).fix(fix).in_file(&name));
            };
            match Source::open(&path, identities) {
                Err(error) => {
                    let fix = match &error {
                        Error::NoKey { recipients, .. } | Error::TooFewGroups { recipients, .. } => {
                            format!(
                                "the file is for {}; secret-encrypt rekey {name} brings it to its rule",
                                recipients.join(", ")
                            )
                        }
                        _ => "restore the file from version control".into(),
                    };
                    let code = error.code().replace('_', "-");
                    for secret in secrets {
                        find(secret, &code, &error.to_string(), &fix);
                    }
                }
                Ok(source) => {
                    for secret in secrets {
                        match source.value(&secret.pointer) {
                            Ok(value) if value.is_empty() => {
                                find(secret, "empty-secret", "it is empty", "put a value there");
                            }
                            Ok(_) => {}
                            Err(error) => {
                                find(
                                    secret,
                                    "secret-missing",
                                    &error.to_string(),
                                    "put it there with `secret-encrypt set`",
                                );
                            }
                        }
                    }
                }
            }
        }
        findings
    }

    /// Owners and groups that do not exist, each named with what it was to own.
    pub(crate) fn unknown_accounts(&self, accounts: &Accounts, for_users: bool) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut look = |pointer: Pointer, what: &str, owner: &str, group: &str| {
            if accounts.user(owner).is_none() {
                let message = format!("{what} belongs to the user {owner}, who does not exist");
                findings.push(Finding::error("unknown-owner", pointer.join("owner"), message));
            }
            if accounts.group(group).is_none() {
                let message = format!("{what} belongs to the group {group}, which does not exist");
                findings.push(Finding::error("unknown-group", pointer.join("group"), message));
            }
        };
        let root = Pointer::root();
        for (index, secret) in
            self.document.secrets.iter().enumerate().filter(|(_, secret)| secret.needed_for_users == for_users)
        {
            look(
                root.join("secrets").join(index),
                &format!("the secret {}", secret.name),
                &secret.owner,
                &secret.group,
            );
        }
        for (index, template) in self.document.templates.iter().enumerate().filter(|_| !for_users) {
            look(
                root.join("templates").join(index),
                &format!("the template {}", template.name),
                &template.owner,
                &template.group,
            );
        }
        findings
    }
}

/// An opened file that secrets come from.
enum Source {
    /// A SOPS file.
    Sops(Box<OpenDocument>),
    /// An age file, which is one secret as a whole.
    Age(Zeroizing<Vec<u8>>),
}

impl Source {
    fn open(path: &Path, identities: &Identities) -> Result<Self, Error> {
        if is_age_file(path) {
            return agenix::read(&files::read(path)?, identities).map(Self::Age);
        }
        OpenDocument::read(path, identities).map(Box::new).map(Self::Sops)
    }

    fn value(&self, pointer: &Pointer) -> Result<Zeroizing<Vec<u8>>, Error> {
        match self {
            Self::Sops(document) => document.value(pointer).map(|value| value.for_programs()),
            Self::Age(bytes) if pointer.as_str().is_empty() => Ok(bytes.clone()),
            Self::Age(_) => Err(Error::nothing_at(pointer)),
        }
    }
}

/// The directory that files of a manifest are relative to: as given, else that of the manifest, else the working directory.
pub(crate) fn base_of(given: Option<&Path>, input: &Input) -> PathBuf {
    let own = input.file.parent().filter(|_| !input.is_stdin());
    given.or(own).map_or_else(PathBuf::new, Path::to_owned)
}

/// What brings a secret that is not there into its file.
fn filled_by(secret: &ManifestSecret, file: &str) -> String {
    match (&secret.reference, &secret.generator) {
        (Some(_), _) => "secret-encrypt refs seal MANIFEST".into(),
        (None, Some(_)) => "secret-encrypt create --missing MANIFEST".into(),
        (None, None) if is_age_file(Path::new(file)) => format!("secret-encrypt encrypt --to {file}"),
        (None, None) => format!("secret-encrypt set {file} {}", secret.pointer),
    }
}

/// What is wrong with a manifest.
fn problems(manifest: &SecretsManifest) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut names = BTreeMap::new();
    let mut links = BTreeSet::new();
    let mut link = |pointer: &Pointer, link: &Option<String>, findings: &mut Vec<Finding>| {
        let Some(path) = link else { return };
        let good =
            path.starts_with('/') && !path.ends_with('/') && !path.split('/').any(|part| part == ".." || part == ".");
        if !good {
            findings.push(Finding::error("bad-link", pointer.join("link"), "a link is an absolute path without .."));
        } else if !links.insert(path.clone()) {
            findings.push(Finding::error("link-twice", pointer.join("link"), format!("the link {path} stands twice")));
        }
    };
    for (index, secret) in manifest.secrets.iter().enumerate() {
        let pointer = Pointer::root().join("secrets").join(index);
        if let Some(first) = names.insert(secret.name.clone(), pointer.clone()) {
            let message = format!("the secret {} stands twice", secret.name);
            findings.push(Finding::error("secret-twice", pointer.join("name"), message).related(first));
        }
        if secret.name.as_str() == "rendered" {
            let message = "a secret cannot be called rendered: filled templates lie in a directory of that name";
            findings.push(Finding::error("reserved-name", pointer.join("name"), message));
        }
        if secret.file.is_empty() || secret.file.split('/').any(|part| part == "..") {
            findings.push(Finding::error("bad-file", pointer.join("file"), "a file is a path without .."));
        }
        if !secret.pointer.as_str().is_empty() && !secret.pointer.as_str().starts_with('/') {
            findings.push(Finding::error("bad-pointer", pointer.join("pointer"), "a pointer begins with / (RFC 6901)"));
        }
        if secret.needed_for_users && (secret.owner != "root" || secret.group != "root") {
            let message = format!("the secret {} is needed before users are made, so it belongs to root", secret.name);
            findings.push(Finding::error("owner-too-early", pointer.join("owner"), message));
        }
        if let Some(problem) = secret.generator.as_ref().and_then(crate::generate::problem) {
            findings.push(Finding::error("bad-generator", pointer.join("generator"), problem));
        }
        link(&pointer, &secret.link, &mut findings);
    }
    let mut templates = BTreeSet::new();
    for (index, template) in manifest.templates.iter().enumerate() {
        let pointer = Pointer::root().join("templates").join(index);
        let good = !template.name.is_empty()
            && template.name.len() < 200
            && !template.name.starts_with('.')
            && !template.name.contains(['/', '\0', '\n']);
        if !good {
            findings.push(Finding::error("bad-name", pointer.join("name"), "a template's name is a plain file name"));
        }
        if !templates.insert(template.name.as_str()) {
            let message = format!("the template {} stands twice", template.name);
            findings.push(Finding::error("template-twice", pointer.join("name"), message));
        }
        for (_, name) in placeholders(&template.text) {
            let parsed = name.parse::<SecretName>();
            if parsed.as_ref().map_or(true, |name| !names.contains_key(name)) {
                // Text between the marks that is no name may be a value that was put there by mistake.
                let message = parsed.map_or_else(
                    |_| "a placeholder names no secret".to_owned(),
                    |name| format!("a placeholder names the secret {name}, which the manifest does not have"),
                );
                let near = cli::did_you_mean(name, names.keys().map(SecretName::as_str));
                let mut finding = Finding::error("unknown-secret", pointer.join("text"), message);
                finding.fix = near.map(|near| format!("did you mean {near}?"));
                findings.push(finding);
            }
        }
        link(&pointer, &template.link, &mut findings);
    }
    findings
}
