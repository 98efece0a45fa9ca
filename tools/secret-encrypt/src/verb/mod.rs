//! The verbs of the program, one a file.

mod check;
mod convert;
mod create;
mod decrypt;
mod encrypt;
mod exec;
mod keygen;
mod materialize;
mod merge;
mod recipient;
mod refs;
mod rekey;
mod set;
mod set_many;
mod unset;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use cli::{Failure, Session, Style};
use contract::Exit;
use contract::document::SecretsResult;

use crate::Error;
use crate::creation_rules::{CreationRule, CreationRules};
use crate::host::guard_process;
use crate::keys::Recipient;

/// What the program is asked to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Verb {
    /// Encrypt a file by the rules of .sops.yaml
    Encrypt(encrypt::Encrypt),
    /// Print a file, or one value of it, in clear
    Decrypt(decrypt::Decrypt),
    /// Put values into an encrypted file; they come from standard input or are generated
    Set(set::Set),
    /// Take values out of an encrypted file
    Unset(unset::Unset),
    /// Make a new age identity
    Keygen(keygen::Keygen),
    /// Print the age recipients of SSH public keys, host keys, ssh-keyscan lines or identity files
    Recipient(recipient::Recipients),
    /// Check a tree without any key: plaintext, damage, recipients, private keys
    Check(check::Check),
    /// Bring files to the recipients of .sops.yaml: all of them or none
    Rekey(rekey::Rekey),
    /// Merge two states of an encrypted file value by value: a merge driver for git
    Merge(merge::Merge),
    /// Resolve references (1Password, Scaleway and others) into SOPS files
    Refs(refs::Refs),
    /// Move a tree between agenix and SOPS
    Convert(convert::Convert),
    /// Make the secrets of a manifest that are not there yet; never replace one
    Create(create::Create),
    /// Put the secrets of a manifest into RAM, with owners, modes, links and filled templates
    Materialize(materialize::Materialize),
    /// Run one program with the secrets of a manifest in a private directory in RAM
    Exec(exec::Exec),
}

/// Does it.
///
/// # Errors
/// As the contract's table of exits says.
pub fn run(verb: Verb, session: &mut Session) -> Result<Exit, Failure> {
    guard_process();
    match verb {
        Verb::Encrypt(verb) => verb.run(session),
        Verb::Decrypt(verb) => verb.run(session),
        Verb::Set(verb) => verb.run(session),
        Verb::Unset(verb) => verb.run(session),
        Verb::Keygen(verb) => verb.run(session),
        Verb::Recipient(verb) => verb.run(session),
        Verb::Check(verb) => verb.run(session),
        Verb::Rekey(verb) => verb.run(session),
        Verb::Merge(verb) => verb.run(session),
        Verb::Refs(verb) => verb.run(session),
        Verb::Convert(verb) => verb.run(session),
        Verb::Create(verb) => verb.run(session),
        Verb::Materialize(verb) => verb.run(session),
        Verb::Exec(verb) => verb.run(session),
    }
}

/// For whom and by which rules.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct RuleFlags {
    /// The rules; else $SOPS_CONFIG, else the nearest .sops.yaml from the working directory upwards (for a new file outside of
    /// its tree: from the file's directory upwards)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Encrypt for this recipient instead of those of the rules (may be repeated): age1..., ssh-ed25519 ..., ssh-rsa ...
    #[arg(short, long = "recipient", value_name = "RECIPIENT", value_parser = parse_recipient)]
    pub recipients: Vec<Recipient>,
}

fn parse_recipient(text: &str) -> Result<Recipient, String> {
    text.parse().map_err(|error: Error| error.to_string())
}

impl RuleFlags {
    /// The rules of the tree.
    fn rules(&self) -> Result<Option<CreationRules>, Error> {
        CreationRules::find(self.config.as_deref(), Path::new("."))
    }

    /// The rules of the tree that a file lies in: those of the working directory, as with sops, unless the file lies elsewhere.
    fn rules_at(&self, file: &Path) -> Result<Option<CreationRules>, Error> {
        let rules = self.rules()?;
        let outside = |rules: &CreationRules| {
            !rules.named && std::path::absolute(file).is_ok_and(|file| !file.starts_with(rules.directory()))
        };
        if !rules.as_ref().is_none_or(outside) {
            return Ok(rules);
        }
        Ok(CreationRules::find(None, crate::files::directory_of(file))?.or(rules))
    }

    /// The rule for a file: that of the tree, with the recipients of the flags in place of its own.
    fn rule_for(&self, file: &Path) -> Result<CreationRule, Error> {
        let rules = self.rules_at(file)?;
        let found = rules.as_ref().and_then(|rules| rules.rule_for(file)).cloned();
        let mut recipients = self.recipients.clone();
        if recipients.is_empty() && found.is_none() {
            let named = std::env::var("SOPS_AGE_RECIPIENTS").unwrap_or_default();
            let parts = named.split([',', '\n']).map(str::trim).filter(|part| !part.is_empty());
            recipients = parts.map(str::parse).collect::<Result<_, _>>()?;
        }
        match (found, recipients.is_empty()) {
            (Some(rule), true) => Ok(rule),
            (Some(rule), false) => Ok(rule.with_recipients(recipients)),
            (None, false) => Ok(CreationRule::of(recipients)),
            (None, true) => Err(Error::NoRecipients),
        }
    }
}

/// The result for people.
fn describe(result: &SecretsResult, style: Style) -> String {
    let mut text = String::new();
    for (mark, names) in
        [(style.green("+"), &result.added), (style.yellow("~"), &result.updated), (style.red("-"), &result.removed)]
    {
        for name in names {
            text.push_str(&format!("{mark} {name}\n"));
        }
    }
    for file in &result.files {
        text.push_str(&format!("  {file}\n"));
    }
    for unit in &result.units {
        text.push_str(&format!("  restart {unit}\n"));
    }
    for unit in &result.reload_units {
        text.push_str(&format!("  reload {unit}\n"));
    }
    for pointer in &result.conflicts {
        text.push_str(&format!("{} {pointer}: both sides changed it; ours is kept\n", style.red("conflict:")));
    }
    for recipient in &result.recipients {
        text.push_str(&format!("{recipient}\n"));
    }
    for warning in &result.warnings {
        text.push_str(&format!("{} {warning}\n", style.yellow("warning:")));
    }
    if result.changed {
        let counts = [
            (result.added.len(), "added"),
            (result.updated.len(), "changed"),
            (result.removed.len(), "removed"),
            (result.files.len(), if result.files.len() == 1 { "file written" } else { "files written" }),
        ];
        let counts: Vec<_> =
            counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        text.push_str(&format!("Done: {}.\n", if counts.is_empty() { "changed".into() } else { counts.join(", ") }));
    } else if result.recipients.is_empty() {
        text.push_str("Nothing to do.\n");
    }
    text
}
