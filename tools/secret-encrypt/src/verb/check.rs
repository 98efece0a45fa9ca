//! `check`: what is wrong with a tree, without any key.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use cli::{Failure, Input, Session, Style};
use contract::document::SecretsManifest;
use contract::{Exit, Finding, Findings, Level, Pointer};

use super::RuleFlags;
use super::rekey::sops_document;
use crate::creation_rules::CreationRules;
use crate::document::{SopsDocument, same_recipients};
use crate::files;
use crate::format::{Side, format_of};
use crate::host::{Manifest, base_of};
use crate::keys::{IdentityFlags, is_private_key};
use crate::sops::status;

/// Check files and trees without any key, for CI and hooks. Exit 1 if there is an error among the findings.
///
/// Finds values in clear that a rule wants encrypted, malformed values, missing MACs, recipients that differ from the rules,
/// and private keys. With --manifest: secrets that are not in their files. With --can-open: files that no identity opens.
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
    /// Also open every encrypted file (or those of the manifest) and verify its MAC
    #[arg(long)]
    can_open: bool,
    #[command(flatten)]
    rules: RuleFlags,
    #[command(flatten)]
    identities: IdentityFlags,
}

impl Check {
    pub(super) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let rules = self.rules.rules()?;
        let mut findings = Vec::new();
        let mut openable = Vec::new();
        for path in files::tree(&self.paths)? {
            look(&path, rules.as_ref(), &mut findings);
            if self.can_open && self.manifest.is_none() && sops_document(&path).is_some() {
                openable.push(path);
            }
        }
        if let Some(path) = &self.manifest {
            let input = Input::file(path);
            let manifest =
                Manifest::check(session.read::<SecretsManifest>(&input)?, &base_of(self.base.as_deref(), &input))?;
            findings.extend(manifest.structure());
            if self.can_open {
                openable = manifest.by_file(|_| true).into_keys().collect();
            }
        }
        if self.can_open {
            let identities = self.identities.load(session)?;
            for path in openable {
                if let Err(error) = crate::host::open(&path, &identities) {
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

fn look(path: &Path, rules: Option<&CreationRules>, findings: &mut Vec<Finding>) {
    let name = path.display().to_string();
    let mut find = |finding: Finding| findings.push(finding.in_file(&name));
    let Ok(bytes) = files::read(path) else {
        find(Finding::warning("unreadable", Pointer::root(), "the file cannot be read or is larger than 64 MiB"));
        return;
    };
    if let Ok(text) = std::str::from_utf8(&bytes)
        && is_private_key(text)
    {
        let finding = if ignored_by_git(path) {
            Finding::note("private-key", Pointer::root(), "a private key lies here in clear; git ignores it")
        } else {
            Finding::error("private-key", Pointer::root(), "a private key lies in the tree in clear")
                .fix("take it out, make a new one, and list the place in .gitignore")
        };
        find(finding);
        return;
    }
    let named = rules.is_some_and(|rules| rules.names(path)) && path.file_name() != Some(".sops.yaml".as_ref());
    let Some(document) = sops_document(path) else {
        if named {
            let parsed = format_of(&name).parse(&bytes, Side::Plain);
            let finding = match parsed {
                Ok(parsed) if parsed.metadata.is_some() => {
                    Finding::error("malformed", Pointer::root(), "the file has a sops block that cannot be read")
                }
                _ => Finding::error(
                    "plaintext",
                    Pointer::root(),
                    "a creation rule names this file, and it is not encrypted",
                )
                .fix(format!("secret-encrypt encrypt --in-place {name}")),
            };
            find(finding);
        }
        return;
    };
    let rule = rules.and_then(|rules| rules.rule_for(path));
    for finding in of_document(&document) {
        find(finding);
    }
    let metadata = &document.metadata;
    if let Some(rule) = rule.filter(|rule| !rule.groups.iter().all(Vec::is_empty))
        && !same_recipients(metadata, rule)
    {
        find(
            Finding::error(
                "recipients-drift",
                Pointer::root(),
                "the file is for other recipients than its creation rule names",
            )
            .fix(format!("secret-encrypt rekey {name}")),
        );
    }
}

fn of_document(document: &SopsDocument) -> Vec<Finding> {
    let mut findings = Vec::new();
    let metadata = &document.metadata;
    let rule = match metadata.rule() {
        Ok(rule) => rule,
        Err(error) => return vec![Finding::error("bad-metadata", Pointer::root(), error.to_string())],
    };
    for slot in &document.parsed.slots {
        if let Err(error) = status(slot, &rule) {
            let pointer = error.pointer().cloned().unwrap_or_default();
            findings.push(Finding::error(&error.code().replace('_', "-"), pointer, error.to_string()));
        }
    }
    if metadata.mac().and_then(crate::sops::EncText::parse).is_none() || metadata.lastmodified().is_none() {
        let message = "the file has no good MAC, so that nothing protects its values from being swapped";
        findings.push(Finding::error("mac-missing", Pointer::root(), message));
    }
    let recipients = metadata.recipients();
    if recipients.is_empty() && metadata.foreign().is_empty() {
        findings.push(Finding::error("no-recipients", Pointer::root(), "nobody can decrypt the file"));
    }
    if !recipients.is_empty() && recipients.iter().all(|recipient| recipient.starts_with("ssh-")) {
        findings.push(
            Finding::warning(
                "ssh-only",
                Pointer::root(),
                "every recipient is an SSH key as it is, which sops-nix cannot use",
            )
            .fix("use the age recipient of the key: secret-encrypt recipient KEY.pub"),
        );
    }
    findings
}

/// Whether git leaves the file out. Where there is no git, nothing is ignored.
fn ignored_by_git(path: &Path) -> bool {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Some(name) = path.file_name() else { return false };
    let status = Command::new("git")
        .arg("-C")
        .arg(directory)
        .args(["check-ignore", "--quiet", "--"])
        .arg(name)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
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
