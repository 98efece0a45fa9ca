//! `check`: what is wrong with a tree, without any key.

use std::path::PathBuf;

use clap::Args;
use cli::{Failure, Input, Session, Style};
use contract::document::SecretsManifest;
use contract::{Exit, Finding, Findings, Level, Pointer};

use super::RuleFlags;
use super::rekey::sops_document;
use crate::agenix::{self, AgenixFlags, AgenixRules, is_age_file};
use crate::check::Looks;
use crate::document::OpenDocument;
use crate::files;
use crate::host::{Manifest, base_of};
use crate::keys::IdentityFlags;

/// Check files and trees without any key, for CI and hooks. Exit 1 if there is an error among the findings.
///
/// Finds values in clear that a rule wants encrypted, malformed values, missing MACs, recipients that differ from the rules,
/// references of no good form, and private keys: an error where git tracks them or would add them, a note where it ignores
/// them. With --manifest: secrets that are not in their files. With --can-open: what no identity opens.
#[derive(Debug, Clone, Args)]
pub struct Check {
    /// Files and trees
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,
    /// Also check that every secret of this manifest has its place
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Directory that files in the manifest are relative to; else the manifest's own
    #[arg(long, value_name = "DIR")]
    base: Option<PathBuf>,
    /// Also open every encrypted file and verify its MAC; with --manifest: prove that every secret of it can be read
    #[arg(long)]
    can_open: bool,
    /// Also find what sops-nix cannot take: values that are no strings, nested JSON, lists, / in keys, SSH keys alone
    #[arg(long)]
    sops_nix: bool,
    /// Further schemes of references, as `refs seal --provider` declares them
    #[arg(long = "scheme", value_name = "SCHEME")]
    schemes: Vec<String>,
    #[command(flatten)]
    rules: RuleFlags,
    #[command(flatten)]
    agenix: AgenixFlags,
    #[command(flatten)]
    identities: IdentityFlags,
}

impl Check {
    pub(super) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let rules = self.rules.rules()?;
        let agenix = self.agenix.load()?;
        let looks =
            Looks { rules: rules.as_ref(), agenix: agenix.as_ref(), sops_nix: self.sops_nix, schemes: &self.schemes };
        let found = files::find(&self.paths)?;
        let mut findings = interrupted(&found);
        let mut openable = Vec::new();
        for path in &found.files {
            findings.extend(looks.at(path));
            if self.can_open
                && self.manifest.is_none()
                && (is_age_file(path) || sops_document(path).is_ok_and(|document| document.is_some()))
            {
                openable.push(path);
            }
        }
        if let Some(rules) = &agenix {
            findings.extend(missing_age_files(rules));
        }
        let identities = if self.can_open { Some(self.identities.load(session)?) } else { None };
        if let Some(path) = &self.manifest {
            let input = Input::file(path);
            let manifest =
                Manifest::check(session.read::<SecretsManifest>(&input)?, &base_of(self.base.as_deref(), &input))?;
            findings.extend(manifest.structure(&self.schemes));
            if let Some(identities) = &identities {
                findings.extend(manifest.can_open(identities));
            }
        } else if let Some(identities) = &identities {
            for path in openable {
                let opened = if is_age_file(path) {
                    files::read(path).and_then(|bytes| agenix::read(&bytes, identities)).map(drop)
                } else {
                    OpenDocument::read(path, identities).map(drop)
                };
                if let Err(error) = opened {
                    let pointer = error.pointer().cloned().unwrap_or_default();
                    let finding = Finding::error(&error.code().replace('_', "-"), pointer, error.to_string());
                    findings.push(finding.in_file(path.display().to_string()));
                }
            }
        }
        let findings = Findings::new(findings);
        session.print(&findings, describe)?;
        Ok(if findings.has_errors() { Exit::No } else { Exit::Done })
    }
}

/// What a killed run left behind.
fn interrupted(found: &files::Found) -> Vec<Finding> {
    let journals = found.journals.iter().map(|path| {
        Finding::warning("interrupted-run", Pointer::root(), "a run that writes several files was interrupted")
            .fix("the next rekey, create or set finishes it or takes it back")
            .in_file(path.display().to_string())
    });
    let leftovers = found.leftovers.iter().map(|path| {
        Finding::note("left-over", Pointer::root(), "a run that was killed left this behind; the next one removes it")
            .in_file(path.display().to_string())
    });
    journals.chain(leftovers).collect()
}

fn missing_age_files(rules: &AgenixRules) -> Vec<Finding> {
    let missing = rules.files().filter(|(path, _)| !path.exists());
    let finding = |name: String| {
        Finding::warning("age-missing", Pointer::root().join(&name), format!("{name} is named and not there"))
            .in_file(rules.path.display().to_string())
    };
    let name = |path: PathBuf| path.strip_prefix(rules.directory()).unwrap_or(&path).display().to_string();
    missing.map(|(path, _)| finding(name(path))).collect()
}

fn describe(findings: &Findings, style: Style) -> String {
    let mut text = String::new();
    for finding in &findings.findings {
        let level = match finding.level {
            Level::Error => style.red("error"),
            Level::Warning => style.yellow("warning"),
            Level::Note => style.dim("note"),
        };
        let place = [finding.file.as_deref().unwrap_or_default(), finding.pointer.as_str()].concat();
        text.push_str(&format!("{level}: {place}: {} [{}]\n", finding.message, finding.code));
        if !finding.related.is_empty() {
            let places: Vec<_> = finding.related.iter().map(Pointer::as_str).collect();
            text.push_str(&format!("  at: {}\n", places.join(", ")));
        }
        if let Some(fix) = &finding.fix {
            text.push_str(&format!("  fix: {fix}\n"));
        }
    }
    let (errors, warnings) = (findings.count(Level::Error), findings.count(Level::Warning));
    text + &match (errors, warnings) {
        (0, 0) => "Nothing is wrong.\n".to_owned(),
        _ => format!("Found: {errors} errors, {warnings} warnings.\n"),
    }
}
