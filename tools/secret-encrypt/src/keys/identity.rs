//! Private keys that open files, wherever they came from.

use std::str::FromStr;

use age::{NoCallbacks, plugin, x25519};
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use super::{SshPrivateKey, armor};
use crate::Error;

/// Identities and where each came from, for messages.
#[derive(Default)]
pub(crate) struct Identities {
    keys: Vec<Box<dyn age::Identity>>,
    names: Vec<String>,
    recipients: Vec<String>,
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

    /// Opens the first of these armored files that an identity fits.
    pub(crate) fn open_any<'a>(&self, armored: impl Iterator<Item = &'a str>) -> Option<Zeroizing<Vec<u8>>> {
        armored.into_iter().find_map(|text| armor::unwrap(text, &self.keys))
    }

    /// Opens a whole age file, armored or not.
    ///
    /// # Errors
    /// Where no identity fits, or the file was changed.
    pub(crate) fn decrypt(&self, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        armor::decrypt(bytes, &self.keys, || Error::NoKey {
            recipients: Vec::new(),
            foreign: Vec::new(),
            tried: self.names(),
        })
    }

    /// Adds the identities of a text: age identities one a line, or an OpenSSH or PEM private key.
    ///
    /// # Errors
    /// Where the text holds none, or one that is no good. The text is not repeated.
    pub(crate) fn add(&mut self, place: &str, text: &str) -> Result<(), Error> {
        let before = self.keys.len();
        if text.trim_start().starts_with("-----BEGIN ") && !text.trim_start().starts_with("-----BEGIN AGE") {
            self.add_ssh(place, text)?;
        } else {
            for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
                self.add_age(place, line)?;
            }
        }
        if self.keys.len() == before {
            return Err(bad(place, "there is no identity in it"));
        }
        self.names.push(place.into());
        Ok(())
    }

    fn add_age(&mut self, place: &str, line: &str) -> Result<(), Error> {
        if let Ok(identity) = x25519::Identity::from_str(line) {
            self.recipients.push(identity.to_public().to_string());
            self.keys.push(Box::new(identity));
            return Ok(());
        }
        if line.starts_with("AGE-SECRET-KEY-PQ-1") {
            return Err(bad(place, "hybrid post-quantum identities cannot be used yet"));
        }
        let identity = plugin::Identity::from_str(line).map_err(|_| bad(place, "a line is no age identity"))?;
        let name = identity.plugin().to_owned();
        let program = plugin::IdentityPluginV1::new(&name, &[identity], NoCallbacks).map_err(|_| Error::Program {
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
                return Err(bad(place, "the SSH key has a passphrase; use a key without one, or an age identity"));
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
