//! What sops-nix cannot take, though sops can: found here instead of at the activation of a host.

use contract::{Finding, Pointer};

use crate::document::SopsDocument;
use crate::format::Slot;
use crate::sops::{EncText, Kind};

/// The findings of one file.
pub(super) fn lint(document: &SopsDocument) -> Vec<Finding> {
    let mut findings = Vec::new();
    let format = document.format.name();
    let recipients = document.metadata.recipients();
    if !recipients.is_empty() && recipients.iter().all(|recipient| recipient.starts_with("ssh-")) {
        findings.push(
            Finding::warning(
                "sops-nix-ssh-only",
                Pointer::root().join("sops").join("age"),
                "every recipient is an SSH key as it is; sops-nix converts host keys and opens only what is for age recipients",
            )
            .fix("use the age recipient of the key: secret-encrypt recipient KEY.pub"),
        );
    }
    // Files of other formats are handed over as a whole.
    if !["yaml", "json"].contains(&format) {
        return findings;
    }
    let later = |slot: &Slot| {
        // Documents after the first are told apart by `#1`, `#2` in pointers, which are no keys of theirs.
        slot.pointer.keys().next().is_some_and(|first| first.starts_with('#') && slot.path.first() != Some(&first))
    };
    if document.parsed.slots.iter().any(|slot| !slot.is_comment() && later(slot)) {
        let message = "the file holds several documents, and sops-nix looks into the first only";
        findings.push(Finding::warning("sops-nix-documents", Pointer::root(), message).fix("one file a document"));
    }
    for slot in document.parsed.slots.iter().filter(|slot| !slot.is_comment() && !later(slot)) {
        let at = || slot.pointer.clone();
        let in_list = slot.pointer.keys().count() > slot.path.len();
        if in_list {
            let message = "the value is in a list, where no key of sops-nix reaches it";
            findings.push(Finding::warning("sops-nix-list", at(), message).fix("put it under a key of its own"));
        } else if format == "json" && slot.path.len() > 1 {
            let message = "the value is nested in a JSON file, where sops-nix reaches only the top";
            findings
                .push(Finding::warning("sops-nix-nested-json", at(), message).fix("move it to the top, or use YAML"));
        }
        if slot.path.iter().any(|key| key.contains('/')) {
            let message = "a key has a / in it, which sops-nix takes for a step down";
            findings.push(Finding::warning("sops-nix-slash", at(), message).fix("rename the key"));
        }
        if let Some(what) = not_text(slot) {
            let message = format!("the value is {what}, and sops-nix takes strings only");
            findings.push(Finding::warning("sops-nix-type", at(), message).fix("write it in quotes"));
        }
    }
    findings
}

/// What the value is, if it is no string.
fn not_text(slot: &Slot) -> Option<&'static str> {
    let kind = match slot.value.as_text().and_then(EncText::parse) {
        Some(enc) if slot.value.kind == Kind::Str => enc.kind,
        _ => slot.value.kind,
    };
    match kind {
        Kind::Int => Some("a number"),
        Kind::Float => Some("a number with a fraction"),
        Kind::Bool => Some("a truth value"),
        Kind::Time => Some("a time"),
        Kind::Null => Some("nothing"),
        Kind::Str | Kind::Bytes | Kind::Comment => None,
    }
}
