//! Identities that are not at hand yet: behind a passphrase, or to be had from a program. They are opened when no other fits,
//! so that nobody is asked without a need.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::Read;
use std::process::{Command, Stdio};
use std::rc::Rc;

use age::Decryptor;
use age::armor::ArmoredReader;
use contract::Exit;
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use super::prompt::Prompt;
use super::{Identities, SshPrivateKey, converted_recipient};
use crate::Error;

/// What `age` itself takes at most: 2^22 rounds of scrypt, which is 4 GiB of memory.
const HIGHEST_WORK: u8 = 22;

/// An identity that has to be opened first.
pub(super) struct Locked {
    place: String,
    what: What,
    /// What came out, for which recipient it was asked; an error is asked for once.
    opened: RefCell<HashMap<String, Option<Rc<Identities>>>>,
}

enum What {
    /// An identity file that age encrypted with a passphrase.
    File(Zeroizing<Vec<u8>>),
    /// An SSH private key with a passphrase, and the recipients that it is for.
    Ssh(Zeroizing<String>, Vec<String>),
    /// A command that prints identities. It is told for which recipient, as by sops.
    Command(String),
}

impl Locked {
    /// An encrypted identity file.
    pub(super) fn file(place: &str, bytes: &[u8]) -> Self {
        Self::new(place, What::File(Zeroizing::new(bytes.to_vec())))
    }

    /// An encrypted SSH key, and the age recipient that follows from it.
    pub(super) fn ssh(place: &str, text: &str) -> (Self, Option<String>) {
        let public = SshPrivateKey::public_line(text);
        let converted = public.as_deref().and_then(converted_recipient);
        let recipients = public.into_iter().chain(converted.clone()).collect();
        (Self::new(place, What::Ssh(Zeroizing::new(text.to_owned()), recipients)), converted)
    }

    /// A command.
    pub(super) fn command(name: &str, command: &str) -> Self {
        Self::new(name, What::Command(command.to_owned()))
    }

    fn new(place: &str, what: What) -> Self {
        Self { place: place.to_owned(), what, opened: RefCell::default() }
    }

    /// The identities in it that may be for a recipient; `None` where it cannot be for it.
    ///
    /// # Errors
    /// Where it cannot be opened; a second time that is `None`.
    pub(super) fn open_for(&self, recipient: &str) -> Result<Option<Rc<Identities>>, Error> {
        let key = match &self.what {
            What::Ssh(_, recipients) if !recipients.iter().any(|own| recipient.starts_with(own.as_str())) => {
                return Ok(None);
            }
            What::Command(_) => recipient,
            What::File(_) | What::Ssh(..) => "",
        };
        if let Some(known) = self.opened.borrow().get(key) {
            return Ok(known.clone());
        }
        let opened = self.open(recipient).map(Rc::new);
        self.opened.borrow_mut().insert(key.to_owned(), opened.as_ref().ok().cloned());
        opened.map(Some)
    }

    /// A recipient that it is for, as far as that is known: age files do not say for whom they are.
    pub(super) fn own_recipient(&self) -> &str {
        match &self.what {
            What::Ssh(_, recipients) => recipients.first().map_or("", String::as_str),
            What::File(_) | What::Command(_) => "",
        }
    }

    fn open(&self, recipient: &str) -> Result<Identities, Error> {
        let mut found = Identities::default();
        match &self.what {
            What::File(bytes) => {
                let text = self.decrypt_file(bytes)?;
                found.add(&self.place, &text)?;
            }
            What::Ssh(text, _) => {
                let passphrase = self.passphrase(&format!("the SSH key {}", self.place))?;
                if let Some(key) = SshPrivateKey::parse_encrypted(text, passphrase.expose_secret()) {
                    found.add(&self.place, &super::openssh_private_key(&key, 0))?;
                    return Ok(found);
                }
                let identity =
                    age::ssh::Identity::from_buffer(text.as_bytes(), None).map_err(|_| self.bad("it is damaged"))?;
                let age::ssh::Identity::Encrypted(key) = identity else { return Err(self.bad("it is damaged")) };
                let key = key.decrypt(passphrase).map_err(|_| self.bad("the passphrase does not fit"))?;
                found.add_key(&self.place, Box::new(age::ssh::Identity::from(key)));
            }
            What::Command(command) => {
                let bytes = self.run(command, recipient)?;
                found.add_bytes(&self.place, &bytes)?;
            }
        }
        Ok(found)
    }

    fn passphrase(&self, what: &str) -> Result<secrecy::SecretString, Error> {
        Prompt::passphrase(what).ok_or_else(|| self.bad(&format!("it has a passphrase, and {}", Prompt::REMEDY)))
    }

    fn decrypt_file(&self, bytes: &[u8]) -> Result<Zeroizing<String>, Error> {
        let damaged = |_| self.bad("it is a damaged age file");
        let decryptor = Decryptor::new_buffered(ArmoredReader::new(bytes)).map_err(damaged)?;
        if !decryptor.is_scrypt() {
            return Err(self.bad("it is an age file for other keys, not for a passphrase"));
        }
        let mut identity = age::scrypt::Identity::new(self.passphrase(&format!("the identity file {}", self.place))?);
        identity.set_max_work_factor(HIGHEST_WORK);
        let mut reader = decryptor
            .decrypt(std::iter::once(&identity as &dyn age::Identity))
            .map_err(|_| self.bad("the passphrase does not fit"))?;
        // Room for all of it: a buffer that grows leaves copies of keys behind.
        let mut text = Zeroizing::new(String::with_capacity(bytes.len()));
        reader.read_to_string(&mut text).map_err(|_| self.bad("it is a damaged age file"))?;
        Ok(text)
    }

    /// Runs the command. As in sops no shell does; quotes and backslashes hold words together.
    fn run(&self, command: &str, recipient: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
        let words =
            words(command).filter(|words| !words.is_empty()).ok_or_else(|| self.bad("a quote is not closed"))?;
        let output = Command::new(&words[0])
            .args(&words[1..])
            .env("SOPS_AGE_RECIPIENT", recipient)
            .stdin(Stdio::inherit())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| Error::io(Exit::Unavailable, "run the identity command", &self.place, error))?;
        let bytes = Zeroizing::new(output.stdout);
        if output.status.success() { Ok(bytes) } else { Err(self.bad("the command failed")) }
    }

    fn bad(&self, reason: &str) -> Error {
        Error::BadIdentity { place: self.place.clone(), reason: reason.into() }
    }
}

/// The words of a command line, without a shell; `None` where a quote is not closed.
fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(open), c) if c == open => quote = None,
            (None | Some('"'), '\\') => word.get_or_insert_default().push(chars.next()?),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_split_as_sops_does() {
        let split = |line| words(line).unwrap_or_default();
        assert_eq!(split(" cat  a\\ b 'c d' \"e \\\" f\"g ''"), ["cat", "a b", "c d", "e \" fg", ""]);
        assert!(words("cat 'a").is_none());
    }
}
