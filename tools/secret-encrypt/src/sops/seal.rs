//! From a parsed file to its values in clear, and back to encrypted ones with a MAC.

use std::collections::{HashMap, VecDeque};

use sha2::{Digest, Sha256, Sha512};

use super::{Cipher, CryptRule, EncText, Kind, Metadata, Value};
use crate::Error;
use crate::format::{Parsed, Slot};

/// With `mac_only_encrypted` the hash begins with this: the SHA-256 of "sops".
const MAC_ONLY_ENCRYPTED: [u8; 32] = [
    0x8a, 0x3f, 0xd2, 0xad, 0x54, 0xce, 0x66, 0x52, 0x7b, 0x10, 0x34, 0xf3, 0xd1, 0x47, 0xbe, 0x0b, 0x0b, 0x97, 0x5b,
    0x3b, 0xf4, 0x4f, 0x72, 0xc6, 0xfd, 0xad, 0xec, 0x81, 0x76, 0xf2, 0x7d, 0x69,
];

/// The values of a file in clear, its MAC verified.
pub(crate) struct Opened {
    /// One a slot: the decrypted value, or `None` where the slot stands in clear.
    pub values: Vec<Option<Value>>,
    /// The MAC in hexadecimal.
    pub mac: String,
}

/// One slot after sealing.
pub(crate) enum SealedSlot {
    /// As it stands: in clear by rule, empty, or encrypted already.
    Keep,
    /// Replaced by this.
    Enc(String),
}

/// A file with every covered value encrypted.
pub(crate) struct Sealed {
    /// One a slot.
    pub slots: Vec<SealedSlot>,
    /// The MAC in hexadecimal.
    pub mac: String,
}

/// The ciphertexts of an older state of the same file, found by place and value.
#[derive(Default)]
pub(crate) struct Reuse(HashMap<[u8; 32], VecDeque<String>>);

impl Reuse {
    /// The ciphertexts of an opened file. The same value may stand several times at one place (a list, comments), each time
    /// with a ciphertext of its own; they are used again in their order.
    pub(crate) fn of(parsed: &Parsed, opened: &Opened) -> Self {
        let mut found: HashMap<[u8; 32], VecDeque<String>> = HashMap::new();
        for (slot, value) in parsed.slots.iter().zip(&opened.values) {
            if let (Some(value), Some(text)) = (value, slot.enc_text()) {
                found.entry(digest(slot, value)).or_default().push_back(text);
            }
        }
        Self(found)
    }

    /// Adds the ciphertexts of another state with the same data key, for values that this one does not have.
    pub(crate) fn add(&mut self, other: Self) {
        for (digest, texts) in other.0 {
            self.0.entry(digest).or_insert(texts);
        }
    }

    fn next(&mut self, slot: &Slot, value: &Value) -> Option<String> {
        if self.0.is_empty() { None } else { self.0.get_mut(&digest(slot, value))?.pop_front() }
    }
}

/// Names a value at a place without holding it.
fn digest(slot: &Slot, value: &Value) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(slot.additional().as_bytes());
    hash.update([0, value.kind as u8]);
    hash.update(&*value.bytes);
    hash.finalize().into()
}

struct Mac {
    hash: Sha512,
    only_encrypted: bool,
}

impl Mac {
    fn new(only_encrypted: bool) -> Self {
        let mut hash = Sha512::new();
        if only_encrypted {
            hash.update(MAC_ONLY_ENCRYPTED);
        }
        Self { hash, only_encrypted }
    }

    fn add(&mut self, value: &Value, covered: bool) {
        if value.kind != Kind::Comment && value.kind != Kind::Null && (covered || !self.only_encrypted) {
            self.hash.update(&*value.bytes);
        }
    }

    fn hex(self) -> String {
        self.hash.finalize().iter().fold(String::with_capacity(128), |mut text, byte| {
            text.push_str(&format!("{byte:02X}"));
            text
        })
    }
}

/// Whether the value in a slot is one that sops encrypts at all.
fn can_be_encrypted(value: &Value) -> bool {
    value.kind != Kind::Null && !value.bytes.is_empty()
}

/// Decrypts every covered value and verifies the MAC.
///
/// # Errors
/// For a value that stands in clear under the rule, is malformed or was changed, and for a MAC that does not fit. Nothing of
/// the file is given out then.
pub(crate) fn open(parsed: &Parsed, metadata: &Metadata, cipher: &Cipher) -> Result<Opened, Error> {
    let rule = metadata.rule()?;
    let mut mac = Mac::new(metadata.mac_only_encrypted());
    let mut values = Vec::with_capacity(parsed.slots.len());
    for slot in &parsed.slots {
        let covered = slot.always || rule.covers(slot);
        let value = if covered { decrypt(slot, cipher)? } else { None };
        mac.add(value.as_ref().unwrap_or(&slot.value), covered);
        values.push(value);
    }
    let mac = mac.hex();
    verify(&mac, metadata, cipher)?;
    Ok(Opened { values, mac })
}

fn decrypt(slot: &Slot, cipher: &Cipher) -> Result<Option<Value>, Error> {
    let text = slot.value.as_text().unwrap_or_default();
    if slot.is_comment() {
        // A plain comment in an encrypted file is no error: people add them, and old versions wrote them.
        let Some(enc) = EncText::parse(text) else { return Ok(None) };
        let mut places = std::iter::once(slot.additional()).chain(slot.elsewhere.iter().map(|path| additional(path)));
        return Ok(places.find_map(|place| cipher.decrypt(&enc, &place)));
    }
    if !can_be_encrypted(&slot.value) {
        return Ok(None);
    }
    if slot.value.kind != Kind::Str || !EncText::is_meant(text) {
        return Err(Error::PlainUnderRule { pointer: slot.pointer.clone() });
    }
    let enc = EncText::parse(text).ok_or_else(|| Error::Malformed { pointer: slot.pointer.clone() })?;
    match cipher.decrypt(&enc, &slot.additional()) {
        Some(value) => Ok(Some(value)),
        None => Err(Error::Tampered { pointer: slot.pointer.clone() }),
    }
}

/// Whether an encrypted comment opens under the path of the place where it stands.
fn opens_here(slot: &Slot, cipher: &Cipher) -> bool {
    let enc = EncText::parse(slot.value.as_text().unwrap_or_default());
    enc.is_some_and(|enc| cipher.decrypt(&enc, &slot.additional()).is_some())
}

fn verify(mac: &str, metadata: &Metadata, cipher: &Cipher) -> Result<(), Error> {
    let stored = metadata.mac().ok_or(Error::MacMissing)?;
    let time = metadata.lastmodified().ok_or(Error::MacMissing)?;
    let enc = EncText::parse(stored).ok_or(Error::MacMismatch)?;
    let stored = cipher.decrypt(&enc, time).ok_or(Error::MacMismatch)?;
    // Neither side is a secret once both are known, but a comparison in constant time costs nothing.
    let differing = stored.bytes.iter().zip(mac.as_bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
    if stored.bytes.len() != mac.len() || differing != 0 {
        return Err(Error::MacMismatch);
    }
    Ok(())
}

/// Encrypts every covered value that is not encrypted yet. `mixed` says that values may be encrypted already with this key.
///
/// # Errors
/// For a value that cannot be encrypted where it stands.
pub(crate) fn seal(
    parsed: &Parsed,
    rule: &CryptRule,
    mac_only_encrypted: bool,
    cipher: &Cipher,
    mut reuse: Reuse,
    mixed: bool,
) -> Result<Sealed, Error> {
    let mut mac = Mac::new(mac_only_encrypted);
    let mut slots = Vec::with_capacity(parsed.slots.len());
    for slot in &parsed.slots {
        let covered = slot.always || rule.covers(slot);
        let meant = EncText::is_meant(slot.value.as_text().unwrap_or_default());
        if covered && mixed && meant && !slot.always {
            let value = decrypt(slot, cipher)?;
            mac.add(value.as_ref().unwrap_or(&slot.value), covered);
            // A comment that was moved is bound to its new place, where other readers look for it.
            slots.push(match value.filter(|_| slot.is_comment() && !slot.elsewhere.is_empty()) {
                Some(value) if !opens_here(slot, cipher) => {
                    SealedSlot::Enc(cipher.encrypt(&value, &slot.additional())?.to_string())
                }
                _ => SealedSlot::Keep,
            });
            continue;
        }
        mac.add(&slot.value, covered);
        if !covered || !can_be_encrypted(&slot.value) {
            slots.push(SealedSlot::Keep);
            continue;
        }
        if slot.fixed {
            return Err(Error::Alias { pointer: slot.pointer.clone() });
        }
        if meant && !slot.is_comment() && !slot.always {
            return Err(Error::LooksEncrypted { pointer: slot.pointer.clone() });
        }
        let text = match reuse.next(slot, &slot.value) {
            Some(text) => text,
            None => cipher.encrypt(&slot.value, &slot.additional())?.to_string(),
        };
        if let (CryptRule::UnencryptedCommentRegex(regex), true) = (rule, slot.is_comment())
            && regex.is_match(&text)
        {
            return Err(Error::BadMetadata("unencrypted_comment_regex matches an encrypted comment".into()));
        }
        slots.push(SealedSlot::Enc(text));
    }
    Ok(Sealed { slots, mac: mac.hex() })
}

/// What a slot of an encrypted file looks like without a key.
pub(crate) fn status(slot: &Slot, rule: &CryptRule) -> Result<(), Error> {
    if !(slot.always || rule.covers(slot)) || slot.is_comment() || !can_be_encrypted(&slot.value) {
        return Ok(());
    }
    let text = slot.value.as_text().unwrap_or_default();
    if slot.value.kind != Kind::Str || !EncText::is_meant(text) {
        return Err(Error::PlainUnderRule { pointer: slot.pointer.clone() });
    }
    EncText::parse(text).map(|_| ()).ok_or_else(|| Error::Malformed { pointer: slot.pointer.clone() })
}

/// The additional data of a key path: every key and a colon behind each; the colon alone for the top.
pub(crate) fn additional(path: &[String]) -> String {
    path.join(":") + ":"
}
