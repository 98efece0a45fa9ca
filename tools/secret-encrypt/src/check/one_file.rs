//! What is wrong with one file.

use std::collections::BTreeSet;
use std::path::Path;

use contract::{Finding, Level, Pointer};

use super::git::Git;
use super::sops_nix;
use crate::agenix::{self, AgenixRules, Fit, is_age_file};
use crate::creation_rules::{self, CreationRule, CreationRules};
use crate::document::{SopsDocument, same_recipients};
use crate::format::{Format, Side, format_of};
use crate::keys::is_private_key;
use crate::references::{Catalogue, is_reference};
use crate::sops::{EncText, Metadata, status};
use crate::{Error, files};

/// How many places one finding names.
const PLACES: usize = 20;

/// By what a file is judged.
pub(crate) struct Looks<'a> {
    /// The rules of the tree.
    pub rules: Option<&'a CreationRules>,
    /// Those of agenix.
    pub agenix: Option<&'a AgenixRules>,
    /// Whether sops-nix must be able to take it.
    pub sops_nix: bool,
    /// Schemes of references besides those built in.
    pub schemes: &'a [String],
}

impl Looks<'_> {
    /// Everything that is wrong with a file.
    pub(crate) fn at(&self, path: &Path) -> Vec<Finding> {
        let name = path.display().to_string();
        self.findings(path, &name).into_iter().map(|finding| finding.in_file(&name)).collect()
    }

    fn findings(&self, path: &Path, name: &str) -> Vec<Finding> {
        let bytes = match files::read(path) {
            Ok(bytes) => bytes,
            Err(Error::TooLarge) => {
                return vec![Finding::note("not-looked-at", Pointer::root(), "the file is larger than 64 MiB")];
            }
            Err(_) => return vec![Finding::warning("unreadable", Pointer::root(), "the file cannot be read")],
        };
        if is_age_file(path) {
            return self.age_file(path, &bytes);
        }
        let text = std::str::from_utf8(&bytes).ok();
        if text.is_some_and(is_private_key) {
            return vec![private_key(path, name)];
        }
        let rule = self.rules.and_then(|rules| rules.rule_for(path));
        let format = format_of(name);
        let named = self.rules.is_some_and(|rules| rules.names(path))
            && path.file_name() != Some(creation_rules::NAME.as_ref());
        let has = |word: &str| text.is_some_and(|text| text.contains(word));
        if has("sops") && (has("ENC[") || has("lastmodified")) {
            match SopsDocument::parse(format, bytes.to_vec()) {
                Ok(document) => return self.document(&document, rule, name),
                Err(Error::NotEncrypted) => {}
                Err(error) if named || format.name() != "binary" => return vec![unreadable(text, &error)],
                Err(_) => {}
            }
        }
        let may_be_references = has("op://") || has("scw:") || !self.schemes.is_empty();
        if may_be_references && let Some(catalogue) = Catalogue::read(format, &bytes, self.schemes) {
            return bad_references(&catalogue);
        }
        match rule.filter(|_| named) {
            Some(rule) => in_clear(format, &bytes, rule, path, name),
            None => lost_block(format, &bytes, text),
        }
    }

    fn document(&self, document: &SopsDocument, rule: Option<&CreationRule>, name: &str) -> Vec<Finding> {
        let mut findings = of_document(document);
        if let Some(rule) = rule.filter(|rule| !rule.groups.iter().all(Vec::is_empty)) {
            findings.extend(drift(&document.metadata, rule, name));
        }
        if self.sops_nix {
            findings.extend(sops_nix::lint(document));
        }
        findings
    }

    fn age_file(&self, path: &Path, bytes: &[u8]) -> Vec<Finding> {
        let header = match agenix::Header::parse(bytes) {
            Ok(header) => header,
            Err(error) => {
                return vec![
                    Finding::error("malformed", Pointer::root(), error.to_string())
                        .fix("restore it from version control; if it stands in clear, treat the secret as leaked"),
                ];
            }
        };
        let Some(rules) = self.agenix else { return Vec::new() };
        let Some(entry) = rules.entry(path) else {
            let message = format!("{} does not name the file, so that agenix leaves it out", rules.path.display());
            return vec![Finding::warning("age-not-in-rules", Pointer::root(), message)];
        };
        if header.fits(&entry.recipients) == Fit::No {
            let message = format!("the file is for other recipients than {} names", rules.path.display());
            let fix = format!("secret-encrypt rekey --agenix {} {}", rules.path.display(), path.display());
            return vec![Finding::error("recipients-drift", Pointer::root(), message).fix(fix)];
        }
        Vec::new()
    }
}

fn private_key(path: &Path, name: &str) -> Finding {
    let error = |message: &str| Finding::error("private-key", Pointer::root(), message);
    match Git::about(path) {
        Git::Tracks => error("a private key lies here in clear, and git tracks it").fix(format!(
            "git rm --cached {name}, then make a new key and rekey with --rotate: this one is in the history"
        )),
        Git::WouldAdd => error("a private key lies here in clear, and git would add it")
            .fix("move it out of the tree, or list it in .gitignore"),
        Git::Ignores => {
            Finding::note("private-key", Pointer::root(), "a private key lies here in clear; git ignores it")
        }
        Git::CannotSay(why) => {
            error(&format!("a private key lies here in clear, and nobody can say whether git ignores it: {why}"))
                .fix("move it out of the tree")
        }
    }
}

/// A file that means to be encrypted and cannot be read.
fn unreadable(text: Option<&str>, error: &Error) -> Finding {
    if text.is_some_and(|text| text.lines().any(|line| line.starts_with("<<<<<<< "))) {
        return Finding::error("merge-conflict", Pointer::root(), "the file holds the marks of a merge conflict")
            .fix("take one side (git checkout --ours), and let `secret-encrypt merge` merge such files from now on");
    }
    let pointer = error.pointer().cloned().unwrap_or_default();
    Finding::error("malformed", pointer, format!("the encrypted file cannot be read: {error}"))
        .fix("restore it from version control")
}

fn bad_references(catalogue: &Catalogue) -> Vec<Finding> {
    let bad = |(pointer, reference): &(Pointer, Result<_, String>)| {
        let reason = reference.as_ref().err()?;
        Some(
            Finding::error("bad-reference", pointer.clone(), format!("the reference is not well formed: {reason}"))
                .fix("write op://VAULT/ITEM/FIELD or scw:NAME"),
        )
    };
    catalogue.references.iter().filter_map(bad).collect()
}

/// A file in clear that a rule names.
fn in_clear(format: &dyn Format, bytes: &[u8], rule: &CreationRule, path: &Path, name: &str) -> Vec<Finding> {
    let mut finding =
        Finding::error("plaintext", Pointer::root(), "a creation rule names this file, and it is not encrypted")
            .fix(format!("secret-encrypt encrypt --in-place {name}"));
    match format.parse(bytes, Side::Plain) {
        Ok(parsed) if parsed.metadata.is_some() => {
            return vec![
                Finding::error("malformed", Pointer::root(), "the file has a sops block that cannot be read")
                    .fix("restore it from version control"),
            ];
        }
        Ok(parsed) => {
            let lost = parsed.slots.iter().find(|slot| meant(slot));
            if let Some(slot) = lost {
                return vec![without_block(slot.pointer.clone())];
            }
            let covered: BTreeSet<Pointer> = parsed
                .slots
                .iter()
                .filter(|slot| !slot.is_comment() && !slot.value.bytes.is_empty())
                .filter(|slot| slot.always || rule.crypt.covers(slot))
                .filter(|slot| !is_reference(slot.value.as_text().unwrap_or_default()))
                .map(|slot| slot.pointer.clone())
                .collect();
            if covered.is_empty() {
                finding.level = Level::Note;
                finding.message = "a creation rule names this file, which holds nothing to encrypt".into();
                finding.fix = None;
                return vec![finding];
            }
            finding.related = covered.into_iter().filter(|pointer| !pointer.as_str().is_empty()).take(PLACES).collect();
        }
        Err(error) => finding.message = format!("{}; it cannot be read either: {error}", finding.message),
    }
    if Git::about(path) == Git::Ignores {
        finding.level = Level::Warning;
        finding.message.push_str("; git ignores it");
    }
    vec![finding]
}

fn meant(slot: &crate::format::Slot) -> bool {
    !slot.always && !slot.is_comment() && slot.value.as_text().is_some_and(EncText::is_meant)
}

fn without_block(pointer: Pointer) -> Finding {
    Finding::error("sops-block-missing", pointer, "a value is encrypted, and the sops block of the file is gone")
        .fix("restore the file from version control: without its block nobody can decrypt it")
}

/// Encrypted values in a file without a block, where no rule names it.
fn lost_block(format: &dyn Format, bytes: &[u8], text: Option<&str>) -> Vec<Finding> {
    if format.name() == "binary" || !text.is_some_and(|text| text.contains("ENC[AES256_GCM,")) {
        return Vec::new();
    }
    let Ok(parsed) = format.parse(bytes, Side::Plain) else { return Vec::new() };
    let slot = parsed.slots.iter().find(|slot| meant(slot)).filter(|_| parsed.metadata.is_none());
    slot.map(|slot| without_block(slot.pointer.clone())).into_iter().collect()
}

fn of_document(document: &SopsDocument) -> Vec<Finding> {
    let mut findings = Vec::new();
    let metadata = &document.metadata;
    let block = || Pointer::root().join("sops");
    let rule = match metadata.rule() {
        Ok(rule) => rule,
        Err(error) => {
            return vec![
                Finding::error("bad-metadata", block(), error.to_string())
                    .fix("restore the block from version control"),
            ];
        }
    };
    for slot in &document.parsed.slots {
        if let Err(error) = status(slot, &rule) {
            let pointer = error.pointer().cloned().unwrap_or_default();
            let finding = Finding::error(&error.code().replace('_', "-"), pointer, error.to_string());
            findings.push(match error {
                Error::PlainUnderRule { .. } => finding
                    .fix("take it out, put it in with `secret-encrypt set`, and change the secret: it was in clear"),
                _ => finding.fix("restore the line from version control"),
            });
        }
    }
    // Keys are joined with colons where a value is bound to its place: `a: {b: x}` and `"a:b": x` are the same place.
    for slot in document.parsed.slots.iter().filter(|slot| !slot.is_comment()) {
        if slot.path.iter().any(|key| key.contains(':')) {
            let message = "a key has a colon in it, so that the format cannot tell its place from another one";
            findings.push(Finding::note("colon-in-key", slot.pointer.clone(), message).fix("rename the key"));
        }
    }
    if metadata.mac().and_then(EncText::parse).is_none() || metadata.lastmodified().is_none() {
        let message = "the file has no good MAC, so that nothing protects its values from being swapped";
        findings.push(
            Finding::error("mac-missing", block().join("mac"), message).fix("restore the file from version control"),
        );
    }
    if metadata.recipients().is_empty() && metadata.foreign().is_empty() {
        findings.push(
            Finding::error("no-recipients", block(), "nobody can decrypt the file")
                .fix("restore the file from version control"),
        );
    }
    findings
}

/// How the recipients of a file differ from those of its rule.
fn drift(metadata: &Metadata, rule: &CreationRule, name: &str) -> Option<Finding> {
    if same_recipients(metadata, rule) {
        return None;
    }
    let have: BTreeSet<String> = metadata.recipients().into_iter().collect();
    let want: BTreeSet<String> = rule.groups.iter().flatten().map(|recipient| recipient.text().to_owned()).collect();
    let list = |names: Vec<&String>| {
        names.iter().take(3).map(|name| name.chars().take(24).collect::<String>()).collect::<Vec<_>>().join(", ")
    };
    let lacks: Vec<_> = want.difference(&have).collect();
    let more: Vec<_> = have.difference(&want).collect();
    let mut message = "the file is for other recipients than its creation rule names".to_owned();
    if lacks.is_empty() && more.is_empty() {
        message.push_str(": the same in other key groups");
    }
    if !lacks.is_empty() {
        message.push_str(&format!("; it lacks {}", list(lacks)));
    }
    if !more.is_empty() {
        message.push_str(&format!("; it also has {}", list(more.clone())));
    }
    let mut finding = Finding::error("recipients-drift", Pointer::root().join("sops"), message)
        .fix(format!("secret-encrypt rekey {name}"));
    let entries = metadata.recipients();
    finding.related = entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| metadata.groups().len() == 1 && more.contains(entry))
        .map(|(index, _)| Pointer::root().join("sops").join("age").join(index))
        .take(PLACES)
        .collect();
    Some(finding)
}
