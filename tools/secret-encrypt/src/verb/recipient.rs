//! `recipient`: from keys as they lie around to the age recipients that files are encrypted for.

use std::path::PathBuf;

use clap::Args;
use cli::{Failure, Session, Style};
use contract::Exit;
use contract::document::SecretsResult;

use crate::Error;
use crate::files;
use crate::keys::{Identities, converted_recipient, is_private_key};

/// Print the age recipients of keys.
///
/// Reads SSH public keys and host keys (.pub), lines of ssh-keyscan, age identity files, OpenSSH private keys and age
/// recipients. SSH ed25519 keys are converted as sops-nix expects it of hosts.
#[derive(Debug, Clone, Args)]
pub struct Recipients {
    /// Files with keys; standard input if - or none
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Recipients {
    pub(super) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let mut result = SecretsResult::default();
        let files = if self.files.is_empty() { vec![PathBuf::from("-")] } else { self.files };
        for file in files {
            let place = if file.as_os_str() == "-" { "standard input".into() } else { file.display().to_string() };
            let bytes = if file.as_os_str() == "-" { files::read_stdin() } else { files::read(&file) };
            let bytes = bytes.map_err(|error| error.in_file(&place))?;
            let text = std::str::from_utf8(&bytes)
                .map_err(|_| Failure::new(Exit::BadDocument, "not_utf8", "the file is no UTF-8 text").place(&place))?;
            let before = result.recipients.len();
            self::read(&place, text, &mut result)?;
            if result.recipients.len() == before {
                let why = result.warnings.last().cloned();
                let failure =
                    Failure::new(Exit::BadDocument, "no_recipient", "there is no key in it that has an age recipient")
                        .place(&place)
                        .hint("give an ssh-ed25519 public key, lines of ssh-keyscan, or an age identity");
                return Err(why.into_iter().fold(failure, Failure::cause));
            }
        }
        session.print(&result, |result, style: Style| {
            let lines = result.recipients.iter().fold(String::new(), |lines, recipient| lines + recipient + "\n");
            let warnings = result.warnings.iter().map(|warning| format!("{} {warning}\n", style.yellow("warning:")));
            lines + &warnings.collect::<String>()
        })?;
        Ok(Exit::Done)
    }
}

fn read(place: &str, text: &str, result: &mut SecretsResult) -> Result<(), Error> {
    let add = |result: &mut SecretsResult, recipient: String| {
        if !result.recipients.contains(&recipient) {
            result.recipients.push(recipient);
        }
    };
    if is_private_key(text) {
        let mut identities = Identities::default();
        identities.add(place, text)?;
        identities.recipients().iter().for_each(|recipient| add(result, recipient.clone()));
        return Ok(());
    }
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        // `host ssh-ed25519 AAAA...` of ssh-keyscan, `ssh-ed25519 AAAA... comment` of a public key, options before either.
        let key = line
            .split_whitespace()
            .position(|word| ["ssh-", "ecdsa-", "sk-"].iter().any(|kind| word.starts_with(kind)))
            .map(|at| line.split_whitespace().skip(at).take(2).collect::<Vec<_>>().join(" "));
        match key {
            Some(key) => match converted_recipient(&key) {
                Some(recipient) => add(result, recipient),
                None if key.starts_with("ssh-ed25519") => result.warnings.push(format!("{place}: a key is damaged")),
                None => result.warnings.push(format!(
                    "{place}: only ed25519 keys have an age recipient, not {}",
                    key.split(' ').next().unwrap_or_default()
                )),
            },
            None if line.starts_with("age1") => add(result, line.parse::<crate::keys::Recipient>()?.to_string()),
            None => {}
        }
    }
    Ok(())
}
