//! A public key that a file is encrypted for.

use std::str::FromStr;

use age::plugin;

use super::armor;
use super::hybrid::{self, HybridRecipient};
use super::prompt::Prompt;
use crate::Error;

/// A recipient as it stands in `.sops.yaml` and in metadata.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Recipient(String);

impl Recipient {
    /// The text of the recipient.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Whether a quantum computer cannot open what is wrapped for it.
    pub(crate) fn is_post_quantum(&self) -> bool {
        self.0.starts_with(hybrid::RECIPIENT)
    }

    /// Wraps a data key for it: an armored age file.
    ///
    /// # Errors
    /// Where the recipient is no good, or a plugin's program is not there or fails.
    pub(crate) fn wrap(&self, secret: &[u8]) -> Result<String, Error> {
        armor::wrap(self.to_age()?.as_ref(), &self.0, secret)
    }

    /// The recipient as the age crate takes it.
    ///
    /// # Errors
    /// Where the recipient is no good, or a plugin's program is not there.
    pub(crate) fn to_age(&self) -> Result<Box<dyn age::Recipient>, Error> {
        let text = self.0.as_str();
        let bad = |reason: String| Error::BadRecipient { recipient: short(text), reason };
        if text.starts_with("ssh-") {
            let recipient = age::ssh::Recipient::from_str(text).map_err(|_| bad("no usable SSH public key".into()))?;
            return Ok(Box::new(recipient));
        }
        if let Ok(recipient) = age::x25519::Recipient::from_str(text) {
            return Ok(Box::new(recipient));
        }
        if let Ok(recipient) = HybridRecipient::from_str(text) {
            return Ok(Box::new(recipient));
        }
        let recipient = plugin::Recipient::from_str(text).map_err(|reason| bad(reason.into()))?;
        let name = recipient.plugin().to_owned();
        let program = plugin::RecipientPluginV1::new(&name, &[recipient], &[], Prompt).map_err(|_| Error::Program {
            message: format!("the recipient needs age-plugin-{name}, which is not there"),
            hint: format!("install age-plugin-{name}"),
        })?;
        Ok(Box::new(program))
    }
}

impl FromStr for Recipient {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let bad = |reason: &str| Err(Error::BadRecipient { recipient: short(text), reason: reason.into() });
        if super::is_private_key(text) {
            return Err(Error::BadRecipient {
                recipient: "(not shown)".into(),
                reason: "a private key stands where a recipient belongs: treat it as leaked".into(),
            });
        }
        if text.starts_with("ssh-") {
            return match age::ssh::Recipient::from_str(text) {
                // The comment of a public key is no part of it, and sops keeps it; two spellings must not be two recipients.
                Ok(_) => Ok(Self(text.split_whitespace().take(2).collect::<Vec<_>>().join(" "))),
                Err(_) => bad("no usable SSH public key; ed25519 and RSA of at least 2048 bits are"),
            };
        }
        if text.starts_with(hybrid::RECIPIENT) {
            return match HybridRecipient::from_str(text) {
                Ok(_) => Ok(Self(text.into())),
                Err(()) => bad("the hybrid recipient is damaged: its checksum or its key is no good"),
            };
        }
        if !text.starts_with("age1") {
            return bad("the recipient is of no known kind");
        }
        if age::x25519::Recipient::from_str(text).is_err() && plugin::Recipient::from_str(text).is_err() {
            return bad("the recipient is damaged: its checksum does not fit");
        }
        Ok(Self(text.into()))
    }
}

impl std::fmt::Display for Recipient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What to tell who encrypts one file for both kinds: the weaker one decides. `None` where all are of one kind.
pub(crate) fn mixing_warning<'a>(recipients: impl IntoIterator<Item = &'a Recipient>) -> Option<String> {
    let (strong, weak): (Vec<_>, Vec<_>) = recipients.into_iter().partition(|recipient| recipient.is_post_quantum());
    let weak = weak.first().filter(|_| !strong.is_empty())?;
    Some(format!(
        "post-quantum recipients beside others ({}) do not keep the file from a quantum computer: it needs only one of them",
        short(weak.text())
    ))
}

/// A recipient for a message: long keys are cut.
fn short(text: &str) -> String {
    if text.chars().count() > 72 { text.chars().take(72).chain("...".chars()).collect() } else { text.into() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn kinds() {
        assert!("age1a8pk4akrdamj7nvqy3zywgtny8dxz7t5xzu7u8v9mhrayp9freqsqatyrs".parse::<Recipient>().is_ok());
        assert!("age1a8pk4akrdamj7nvqy3zywgtny8dxz7t5xzu7u8v9mhrayp9freqsqatyrt".parse::<Recipient>().is_err());
        assert!("hello".parse::<Recipient>().is_err());
        let key = "AGE-SECRET-KEY-1D88T3T22862F5SWX0V7M7CG9Q5T9FA90CCN9NVLJRCQATZ3WGL3QMR7CN4";
        assert!(!key.parse::<Recipient>().unwrap_err().to_string().contains("D88T"));
    }
}
