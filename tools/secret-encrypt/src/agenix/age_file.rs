//! An age file: opened with a key, and what its header says without one (age-encryption.org/v1).

use std::io::Read;
use std::path::Path;

use age::armor::ArmoredReader;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use cli::Failure;
use contract::Exit;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::Error;
use crate::keys::{Identities, Recipient};

/// Whether a file of this name is an age file as a whole.
pub(crate) fn is_age_file(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "age")
}

/// Refuses an age file where places inside a file are meant.
///
/// # Errors
/// 65 with what to do instead.
pub(crate) fn refuse_age_file(path: &Path) -> Result<(), Failure> {
    if !is_age_file(path) {
        return Ok(());
    }
    Err(Failure::new(Exit::BadDocument, "whole_file", "an age file is one value and has no places in it")
        .place(path.display().to_string())
        .hint(format!(
            "give it a new value: secret-encrypt encrypt --agenix secrets.json --to {} < VALUE",
            path.display()
        )))
}

/// Decrypts an age file.
///
/// # Errors
/// Where it is none, no identity fits, or it was changed.
pub(crate) fn read(bytes: &[u8], identities: &Identities) -> Result<Zeroizing<Vec<u8>>, Error> {
    let header = Header::parse(bytes)?;
    if header.stanzas.iter().any(|(kind, _)| kind == "scrypt") {
        return Err(Error::Unsupported(
            "the age file is encrypted with a passphrase, which only `age -d` asks for".into(),
        ));
    }
    identities.decrypt(bytes)
}

/// How sure it is that a file is for some recipients. X25519 does not say for whom a file is, so that they can be counted only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It is for them and nobody else.
    Certain,
    /// It is for as many of each kind.
    Perhaps,
    /// It is not.
    No,
}

/// The header of an age file.
pub(crate) struct Header {
    /// Kind and first argument of every recipient stanza.
    stanzas: Vec<(String, String)>,
}

impl Header {
    /// Reads the header.
    ///
    /// # Errors
    /// Where the bytes are no age file.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let bad = || Error::syntax("it is no age file, or its header is damaged");
        let mut head = Vec::new();
        // A header holds one line or two a recipient; a megabyte is thousands of them.
        ArmoredReader::new(bytes.trim_ascii_start()).take(1024 * 1024).read_to_end(&mut head).map_err(|_| bad())?;
        let end = head.windows(4).position(|window| window == b"\n---").ok_or_else(bad)?;
        let text = std::str::from_utf8(head.get(..end).unwrap_or_default()).map_err(|_| bad())?;
        let mut lines = text.lines();
        if lines.next() != Some("age-encryption.org/v1") {
            return Err(bad());
        }
        let stanzas: Vec<_> = lines
            .filter_map(|line| line.strip_prefix("-> "))
            .map(|line| {
                let mut words = line.split(' ').map(str::to_owned);
                (words.next().unwrap_or_default(), words.next().unwrap_or_default())
            })
            // age and rage add stanzas of no meaning, so that readers stay open to new kinds.
            .filter(|(kind, _)| !kind.ends_with("-grease"))
            .collect();
        if stanzas.is_empty() { Err(bad()) } else { Ok(Self { stanzas }) }
    }

    /// Whether the file is for these recipients.
    pub(crate) fn fits(&self, recipients: &[Recipient]) -> Fit {
        let mut stanzas = self.stanzas.clone();
        let mut certain = true;
        for recipient in recipients {
            let text = recipient.text();
            let found = match ssh_tag(text) {
                Some(tag) => stanzas.iter().position(|(kind, own)| text.starts_with(kind.as_str()) && *own == tag),
                None => {
                    certain = false;
                    let native = x25519(text);
                    stanzas.iter().position(|(kind, _)| !kind.starts_with("ssh-") && (kind == "X25519") == native)
                }
            };
            match found {
                Some(index) => {
                    stanzas.swap_remove(index);
                }
                None => return Fit::No,
            }
        }
        match (stanzas.is_empty(), certain) {
            (false, _) => Fit::No,
            (true, true) => Fit::Certain,
            (true, false) => Fit::Perhaps,
        }
    }
}

fn x25519(text: &str) -> bool {
    text.parse::<age::x25519::Recipient>().is_ok()
}

/// How a stanza names an SSH key: the first four bytes of the SHA-256 of its wire form.
fn ssh_tag(recipient: &str) -> Option<String> {
    let (_, key) = recipient.strip_prefix("ssh-")?.split_once(' ')?;
    let wire = STANDARD.decode(key).ok()?;
    Some(STANDARD_NO_PAD.encode(&Sha256::digest(&wire)[..4]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn headers_that_are_none_are_refused() {
        for bytes in [
            &b""[..],
            b"x",
            b"age-encryption.org/v1\n",
            b"age-encryption.org/v1\n--- x",
            b"age-encryption.org/v2\n-> X25519 a\n---",
        ] {
            assert!(Header::parse(bytes).is_err());
        }
        let header = Header::parse(b"age-encryption.org/v1\n-> X25519 abc\nxyz\n-> q-grease 1\n\n--- mac\n").unwrap();
        assert_eq!(header.stanzas.len(), 1);
    }
}
