//! Private keys that open files, wherever they came from.

use std::cell::RefCell;
use std::str::FromStr;

use age::{plugin, x25519};
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use super::hybrid::{self, HybridIdentity};
use super::locked::Locked;
use super::prompt::Prompt;
use super::{SshPrivateKey, armor};
use crate::Error;

/// Identities and where each came from, for messages.
#[derive(Default)]
pub(crate) struct Identities {
    keys: Vec<Box<dyn age::Identity>>,
    locked: Vec<Locked>,
    names: Vec<String>,
    recipients: Vec<String>,
    /// Why a locked one could not be opened.
    trouble: RefCell<Option<Error>>,
}

impl Identities {
    /// The places that identities came from.
    pub(crate) fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    /// The public recipients of the age identities among them.
    pub(crate) fn recipients(&self) -> &[String] {
        &self.recipients
    }

    /// Why an identity that might have fitted could not be opened, if that happened.
    pub(crate) fn trouble(&self) -> Option<Error> {
        self.trouble.borrow_mut().take()
    }

    /// Opens the first of these armored files (each with the recipient that it is for) that an identity fits. Who has a
    /// passphrase is asked for it only where no other identity fits.
    pub(crate) fn open_any<'a>(
        &self,
        entries: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    ) -> Option<Zeroizing<Vec<u8>>> {
        let at_hand = entries.clone().find_map(|(_, armored)| armor::unwrap(armored, &self.keys));
        at_hand.or_else(|| {
            entries.flat_map(|entry| self.locked.iter().map(move |locked| (locked, entry))).find_map(
                |(locked, (recipient, armored))| match locked.open_for(recipient) {
                    Ok(found) => found?.open_any(std::iter::once((recipient, armored))),
                    Err(error) => {
                        self.trouble.borrow_mut().get_or_insert(error);
                        None
                    }
                },
            )
        })
    }

    /// Adds the identities of a file: a text, or a file that age encrypted with a passphrase.
    ///
    /// # Errors
    /// As [`Identities::add`].
    pub(crate) fn add_bytes(&mut self, place: &str, bytes: &[u8]) -> Result<(), Error> {
        if bytes.starts_with(b"age-encryption.org/") || bytes.trim_ascii_start().starts_with(b"-----BEGIN AGE") {
            self.locked.push(Locked::file(place, bytes));
            self.names.push(place.into());
            return Ok(());
        }
        let text = std::str::from_utf8(bytes).map_err(|_| bad(place, "it is no text"))?;
        self.add(place, text)
    }

    /// Opens a whole age file, armored or not.
    ///
    /// # Errors
    /// Where no identity fits, or the file was changed.
    pub(crate) fn decrypt(&self, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let no_key = || Error::NoKey { recipients: Vec::new(), foreign: Vec::new(), tried: self.names() };
        let mut found = armor::decrypt(bytes, &self.keys, no_key);
        for locked in &self.locked {
            if !matches!(found, Err(Error::NoKey { .. })) {
                break;
            }
            if let Some(opened) = locked.open_for(locked.own_recipient())? {
                found = opened.decrypt(bytes);
            }
        }
        found
    }

    /// Adds the identities of a text: age identities one a line, or an OpenSSH or PEM private key.
    ///
    /// # Errors
    /// Where the text holds none, or one that is no good. The text is not repeated.
    pub(crate) fn add(&mut self, place: &str, text: &str) -> Result<(), Error> {
        let before = self.keys.len() + self.locked.len();
        if text.trim_start().starts_with("-----BEGIN ") && !text.trim_start().starts_with("-----BEGIN AGE") {
            self.add_ssh(place, text)?;
        } else {
            for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
                self.add_age(place, line)?;
            }
        }
        if self.keys.len() + self.locked.len() == before {
            return Err(bad(place, "there is no identity in it"));
        }
        self.names.push(place.into());
        Ok(())
    }

    /// Adds a command that prints identities; it runs when no other identity fits.
    pub(super) fn add_command(&mut self, name: &str, command: &str) {
        self.locked.push(Locked::command(name, command));
        self.names.push(name.into());
    }

    /// Adds one identity as it is.
    pub(super) fn add_key(&mut self, place: &str, key: Box<dyn age::Identity>) {
        self.keys.push(key);
        self.names.push(place.into());
    }

    /// The identities that need nothing more.
    #[cfg(test)]
    pub(super) fn at_hand(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.keys.iter().map(AsRef::as_ref)
    }

    fn add_age(&mut self, place: &str, line: &str) -> Result<(), Error> {
        if let Ok(identity) = x25519::Identity::from_str(line) {
            self.recipients.push(identity.to_public().to_string());
            self.keys.push(Box::new(identity));
            return Ok(());
        }
        if line.starts_with(hybrid::IDENTITY) {
            let identity = HybridIdentity::from_str(line).map_err(|()| bad(place, "a hybrid identity is damaged"))?;
            self.recipients.push(identity.to_public().to_string());
            self.keys.push(Box::new(identity));
            return Ok(());
        }
        let identity = plugin::Identity::from_str(line).map_err(|_| bad(place, "a line is no age identity"))?;
        let name = identity.plugin().to_owned();
        let program = plugin::IdentityPluginV1::new(&name, &[identity], Prompt).map_err(|_| Error::Program {
            message: format!("the identity in {place} needs age-plugin-{name}, which is not there"),
            hint: format!("install age-plugin-{name}"),
        })?;
        self.keys.push(Box::new(program));
        Ok(())
    }

    /// An SSH key opens what was encrypted for it as an SSH recipient and, if it is ed25519, what was encrypted for the age
    /// recipient that follows from it.
    fn add_ssh(&mut self, place: &str, text: &str) -> Result<(), Error> {
        let identity = age::ssh::Identity::from_buffer(text.as_bytes(), Some(place.into()))
            .map_err(|_| bad(place, "it is no SSH private key that can be used"))?;
        match &identity {
            age::ssh::Identity::Unencrypted(_) => {}
            age::ssh::Identity::Encrypted(_) => {
                let (locked, converted) = Locked::ssh(place, text);
                self.recipients.extend(converted);
                self.locked.push(locked);
                return Ok(());
            }
            age::ssh::Identity::Unsupported(_) => return Err(bad(place, "SSH keys of this type cannot decrypt")),
        }
        self.keys.push(Box::new(identity));
        if let Some(converted) = SshPrivateKey::parse(text).and_then(|key| key.age_identity())
            && let Ok(identity) = x25519::Identity::from_str(&converted)
        {
            self.recipients.push(identity.to_public().to_string());
            self.keys.push(Box::new(identity));
        }
        Ok(())
    }

    /// A new hybrid post-quantum identity: its public recipient and the text of an identity file.
    ///
    /// # Errors
    /// Where the system gives no random bytes.
    pub(crate) fn generate_hybrid() -> Result<(String, Zeroizing<String>), Error> {
        let (identity, secret) = HybridIdentity::generate()?;
        let recipient = identity.to_public().to_string();
        let text = Zeroizing::new(format!("# public key: {recipient}\n{}\n", &*secret));
        Ok((recipient, text))
    }

    /// A new age identity: its public recipient and the text of an identity file.
    pub(crate) fn generate() -> (String, Zeroizing<String>) {
        let identity = x25519::Identity::generate();
        let recipient = identity.to_public().to_string();
        let secret = identity.to_string();
        let text = Zeroizing::new(format!("# public key: {recipient}\n{}\n", secret.expose_secret()));
        (recipient, text)
    }
}

fn bad(place: &str, reason: &str) -> Error {
    Error::BadIdentity { place: place.into(), reason: reason.into() }
}

/// Whether a text holds a private key that must not lie in a tree: an age identity, or an OpenSSH or PEM private key.
pub(crate) fn is_private_key(text: &str) -> bool {
    let age = |mark: &str| {
        text.match_indices(mark).any(|(at, _)| {
            let tail = text[at + mark.len()..].bytes();
            tail.take_while(u8::is_ascii_alphanumeric).count() >= 58
        })
    };
    age("AGE-SECRET-KEY-1")
        || age("AGE-SECRET-KEY-PQ-1")
        || ["OPENSSH", "RSA", "EC", "ENCRYPTED"].iter().any(|kind| {
            let mark = format!("-----BEGIN {kind} PRIVATE KEY-----\n");
            text.find(&mark).is_some_and(|at| text[at + mark.len()..].contains("-----END "))
        })
        || text.find("-----BEGIN PRIVATE KEY-----\n").is_some_and(|at| text[at..].contains("-----END PRIVATE KEY"))
}
