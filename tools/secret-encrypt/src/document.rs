//! A SOPS file as a whole: read, opened, changed, written.

use std::path::Path;

use contract::Pointer;
use serde_json::Value as Json;
use zeroize::Zeroizing;

use crate::Error;
use crate::creation_rules::CreationRule;
use crate::format::{Block, Format, Parsed, Put, Side, format_of};
use crate::keys::Identities;
use crate::proof::{comes_back, opens, put, remove};
use crate::sops::{Cipher, DataKey, Metadata, Opened, Reuse, SealedSlot, Value, open, overwrite_stack, seal};

/// An encrypted file.
pub(crate) struct SopsDocument {
    /// Its format.
    pub format: &'static dyn Format,
    /// Its text.
    pub bytes: Vec<u8>,
    /// Its values as they stand.
    pub parsed: Parsed,
    /// Its block.
    pub metadata: Metadata,
}

/// An encrypted file whose key is known and whose MAC was verified.
pub(crate) struct OpenDocument {
    /// The file.
    pub document: SopsDocument,
    /// Its values in clear.
    pub opened: Opened,
    cipher: Cipher,
}

impl SopsDocument {
    /// Reads a text that must have a `sops` block.
    ///
    /// # Errors
    /// Where it is not well formed or not encrypted.
    pub(crate) fn parse(format: &'static dyn Format, bytes: Vec<u8>) -> Result<Self, Error> {
        let mut parsed = format.parse(&bytes, Side::Sealed)?;
        let metadata = parsed.metadata.take().ok_or(Error::NotEncrypted)?;
        parsed.metadata = Some(metadata.clone());
        Ok(Self { format, bytes, parsed, metadata })
    }

    /// Opens it.
    ///
    /// # Errors
    /// Where no identity fits, or a value or the MAC is not what was written.
    pub(crate) fn open(self, identities: &Identities) -> Result<OpenDocument, Error> {
        let key = self.metadata.open_key(identities)?;
        let opened = self.open_with(key);
        overwrite_stack();
        opened
    }

    /// Opens it with its data key.
    ///
    /// # Errors
    /// Where a value or the MAC is not what was written.
    pub(crate) fn open_with(self, key: DataKey) -> Result<OpenDocument, Error> {
        let cipher = Cipher::new(key);
        let opened = open(&self.parsed, &self.metadata, &cipher)?;
        Ok(OpenDocument { document: self, opened, cipher })
    }
}

impl OpenDocument {
    /// Reads and opens a file; its name says the format.
    ///
    /// # Errors
    /// As its parts.
    pub(crate) fn read(path: &Path, identities: &Identities) -> Result<Self, Error> {
        let bytes = crate::files::read(path)?;
        SopsDocument::parse(format_of(&path.to_string_lossy()), bytes.to_vec())?.open(identities)
    }

    /// The text in clear, formatted as it was.
    ///
    /// # Errors
    /// Where a value cannot be written in the format.
    pub(crate) fn plaintext(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let puts: Vec<_> = self
            .opened
            .values
            .iter()
            .enumerate()
            .filter_map(|(index, value)| Some((index, Put::Plain(value.clone()?))))
            .collect();
        self.document.format.render(&self.document.bytes, &self.document.parsed, &puts, &Block::Remove)
    }

    /// The one value at a pointer; the root is the whole text in clear.
    ///
    /// # Errors
    /// Where nothing is there, or a mapping or list.
    pub(crate) fn value(&self, pointer: &Pointer) -> Result<Value, Error> {
        if pointer.as_str().is_empty() {
            return Ok(Value::new(crate::sops::Kind::Str, self.plaintext()?.to_vec()));
        }
        let slots = &self.document.parsed.slots;
        match slots.iter().position(|slot| !slot.is_comment() && slot.pointer == *pointer) {
            Some(index) => Ok(self.opened.values[index].clone().unwrap_or_else(|| slots[index].value.clone())),
            None => Err(missing(&self.document.parsed, pointer)),
        }
    }

    /// The file with values put at pointers and others taken away; unchanged values keep their ciphertext. `None` if nothing
    /// is different.
    ///
    /// # Errors
    /// Where a place cannot hold a value or nothing is there to take away.
    pub(crate) fn edited(
        &self,
        puts: &[(Pointer, Json)],
        removes: &[Pointer],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        self.edited_beside(puts, removes, None)
    }

    /// As [`OpenDocument::edited`]; values that stand in another state of the file with the same data key keep its ciphertext.
    ///
    /// # Errors
    /// As [`OpenDocument::edited`].
    pub(crate) fn edited_beside(
        &self,
        puts: &[(Pointer, Json)],
        removes: &[Pointer],
        other: Option<&OpenDocument>,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        let document = &self.document;
        if !removes.is_empty() && document.format.removes_in_clear() {
            let mut plain = self.plaintext()?;
            for pointer in removes {
                plain = remove(document.format, &plain, pointer).map_err(|error| near(error, &document.parsed))?;
            }
            for (pointer, json) in puts {
                refuse_enc(pointer, json)?;
                plain = put(document.format, &plain, pointer, json)?;
            }
            return self.replaced_beside(&plain, other);
        }
        let mut bytes = Zeroizing::new(document.bytes.clone());
        let mut changed = false;
        for pointer in removes {
            bytes = remove(document.format, &bytes, pointer).map_err(|error| near(error, &document.parsed))?;
            changed = true;
        }
        for (pointer, json) in puts {
            refuse_enc(pointer, json)?;
            let same = crate::format::value_of(json).is_some_and(|new| self.value(pointer).is_ok_and(|old| old == new));
            if !same {
                bytes = put(document.format, &bytes, pointer, json)?;
                changed = true;
            }
        }
        if !changed {
            return Ok(None);
        }
        let parsed = document.format.parse(&bytes, Side::Sealed)?;
        let metadata = &document.metadata;
        let reuse = other.map_or_else(Reuse::default, |other| Reuse::of(&other.document.parsed, &other.opened));
        let sealed = seal(&parsed, &metadata.rule()?, metadata.mac_only_encrypted(), &self.cipher, reuse, true)?;
        let mut metadata = metadata.clone();
        let now = Metadata::now();
        metadata.set_mac(self.cipher.encrypt_mac(&sealed.mac, &now)?, now);
        let text = document.format.render(&bytes, &parsed, &encs(sealed.slots), &Block::Stamp(&metadata))?;
        opens(document.format, &parsed, &text, &self.cipher)?;
        Ok(Some(text))
    }

    /// A new state of the file from its text in clear; unchanged values keep their ciphertext. `None` if nothing is different.
    ///
    /// # Errors
    /// Where the new text is not well formed or encrypted itself.
    pub(crate) fn replaced(&self, plain: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        self.replaced_beside(plain, None)
    }

    /// As [`OpenDocument::replaced`]; values that stand in another state of the file with the same data key keep its
    /// ciphertext.
    ///
    /// # Errors
    /// As [`OpenDocument::replaced`].
    pub(crate) fn replaced_beside(
        &self,
        plain: &[u8],
        other: Option<&OpenDocument>,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        let document = &self.document;
        let parsed = parse_plain(document.format, plain)?;
        let mut reuse = Reuse::of(&document.parsed, &self.opened);
        if let Some(other) = other {
            reuse.add(Reuse::of(&other.document.parsed, &other.opened));
        }
        let metadata = &document.metadata;
        let sealed = seal(&parsed, &metadata.rule()?, metadata.mac_only_encrypted(), &self.cipher, reuse, false)?;
        let puts = encs(sealed.slots);
        if sealed.mac == self.opened.mac {
            let (same, again) = document.format.render_and_read(plain, &parsed, &puts, &Block::Write(metadata))?;
            // The block may be formatted by another program; what counts is that nothing outside it differs.
            if without_block(document.format, &same, &again)?
                == without_block(document.format, &document.bytes, &document.parsed)?
            {
                return Ok(None);
            }
        }
        let mut metadata = metadata.clone();
        let now = Metadata::now();
        metadata.set_mac(self.cipher.encrypt_mac(&sealed.mac, &now)?, now);
        let (text, read) = document.format.render_and_read(plain, &parsed, &puts, &Block::Write(&metadata))?;
        comes_back(document.format, plain, &parsed, &puts, (&text, &read))?;
        Ok(Some(text))
    }

    /// The file for other recipients, with the same or a new data key; nothing else changes with the same key. `None` if
    /// the recipients are the same already and the key stays.
    ///
    /// # Errors
    /// Where a recipient cannot be wrapped for.
    pub(crate) fn rekeyed(&self, rule: &CreationRule, rotate: bool) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        let document = &self.document;
        let mut metadata = document.metadata.clone();
        if !rotate {
            // A rule without a threshold leaves that of the file as it is.
            let needed = metadata.needed_groups();
            if same_recipients(&metadata, rule) && (rule.threshold.is_none() || rule.threshold == needed) {
                return Ok(None);
            }
            metadata.wrap_key(self.cipher.key(), &rule.groups, rule.threshold)?;
            let text = document.format.render(&document.bytes, &document.parsed, &[], &Block::Write(&metadata))?;
            opens(document.format, &document.parsed, &text, &self.cipher)?;
            return Ok(Some(text));
        }
        if !metadata.foreign().is_empty() {
            return Err(Error::ForeignGroups(metadata.foreign()));
        }
        let cipher = Cipher::new(DataKey::generate()?);
        let mut puts = Vec::new();
        for (index, (slot, value)) in document.parsed.slots.iter().zip(&self.opened.values).enumerate() {
            if let Some(value) = value {
                puts.push((index, Put::Enc(cipher.encrypt(value, &slot.additional())?.to_string())));
            }
        }
        for key in ["age", "key_groups", "shamir_threshold"] {
            metadata.raw.remove(key);
        }
        metadata.wrap_key(cipher.key(), &rule.groups, rule.threshold)?;
        let now = Metadata::now();
        metadata.set_mac(cipher.encrypt_mac(&self.opened.mac, &now)?, now);
        let text = document.format.render(&document.bytes, &document.parsed, &puts, &Block::Write(&metadata))?;
        opens(document.format, &document.parsed, &text, &cipher)?;
        Ok(Some(text))
    }
}

impl OpenDocument {
    /// Whether another state of the file has the same data key.
    pub(crate) fn same_key(&self, other: &OpenDocument) -> bool {
        self.cipher.key().bytes() == other.cipher.key().bytes()
    }

    /// Its data key.
    pub(crate) fn key(&self) -> DataKey {
        self.cipher.key().clone()
    }
}

/// Whether a file is for exactly the recipients of a rule, group by group.
pub(crate) fn same_recipients(metadata: &Metadata, rule: &CreationRule) -> bool {
    let sorted = |mut list: Vec<String>| {
        list.sort();
        list
    };
    let have: Vec<_> = metadata
        .groups()
        .into_iter()
        .map(|group| sorted(group.into_iter().map(|entry| normal(&entry.recipient)).collect()))
        .collect();
    let want: Vec<_> = rule
        .groups
        .iter()
        .map(|group| sorted(group.iter().map(|recipient| recipient.text().to_owned()).collect()))
        .collect();
    have == want
}

fn normal(recipient: &str) -> String {
    if recipient.starts_with("ssh-") {
        recipient.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    } else {
        recipient.to_owned()
    }
}

/// Encrypts a text for the first time.
///
/// # Errors
/// Where it is not well formed, encrypted already, or nobody is named to encrypt it for.
pub(crate) fn encrypt_new(
    format: &'static dyn Format,
    plain: &[u8],
    rule: &CreationRule,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    if let Some(kind) = rule.foreign.first() {
        return Err(Error::Unsupported(format!(
            "the creation rule names recipients of kind {kind}, which only sops can encrypt for; create the file with sops, or give --recipient"
        )));
    }
    if rule.groups.is_empty() || rule.groups.iter().any(Vec::is_empty) {
        return Err(Error::NoRecipients);
    }
    let parsed = parse_plain(format, plain)?;
    let cipher = Cipher::new(DataKey::generate()?);
    let sealed = seal(&parsed, &rule.crypt, rule.mac_only_encrypted, &cipher, Reuse::default(), false)?;
    let mut metadata = Metadata::new(&rule.crypt, rule.mac_only_encrypted);
    metadata.wrap_key(cipher.key(), &rule.groups, rule.threshold)?;
    let now = Metadata::now();
    metadata.set_mac(cipher.encrypt_mac(&sealed.mac, &now)?, now);
    let puts = encs(sealed.slots);
    let (text, read) = format.render_and_read(plain, &parsed, &puts, &Block::Write(&metadata))?;
    comes_back(format, plain, &parsed, &puts, (&text, &read))?;
    Ok(text)
}

fn parse_plain(format: &'static dyn Format, plain: &[u8]) -> Result<Parsed, Error> {
    let parsed = format.parse(plain, Side::Plain)?;
    if parsed.metadata.is_some() {
        return Err(Error::AlreadyEncrypted);
    }
    Ok(parsed)
}

fn without_block(format: &'static dyn Format, bytes: &[u8], parsed: &Parsed) -> Result<Zeroizing<Vec<u8>>, Error> {
    if format.name() == "binary" {
        let value = parsed.slots.first().map(|slot| slot.value.bytes.to_vec());
        return Ok(Zeroizing::new(value.unwrap_or_default()));
    }
    format.render(bytes, parsed, &[], &Block::Remove)
}

fn encs(slots: Vec<SealedSlot>) -> Vec<(usize, Put)> {
    let enc = |(index, slot)| match slot {
        SealedSlot::Enc(text) => Some((index, Put::Enc(text))),
        SealedSlot::Keep => None,
    };
    slots.into_iter().enumerate().filter_map(enc).collect()
}

/// A value that looks encrypted would be taken for a ciphertext by every reader.
fn refuse_enc(pointer: &Pointer, json: &Json) -> Result<(), Error> {
    match json {
        Json::String(text) if crate::sops::EncText::is_meant(text) => {
            Err(Error::LooksEncrypted { pointer: pointer.clone() })
        }
        Json::Object(map) => map.iter().try_for_each(|(key, value)| refuse_enc(&pointer.join(key), value)),
        Json::Array(list) => list.iter().try_for_each(|value| refuse_enc(pointer, value)),
        _ => Ok(()),
    }
}

fn near(error: Error, parsed: &Parsed) -> Error {
    match error {
        Error::NoSuchValue { pointer, .. } => missing(parsed, &pointer),
        other => other,
    }
}

/// Why there is no single value at a pointer.
pub(crate) fn missing(parsed: &Parsed, pointer: &Pointer) -> Error {
    let inside = format!("{pointer}/");
    let values = || parsed.slots.iter().filter(|slot| !slot.is_comment());
    if let Some((_, what)) = parsed.layout.collections.iter().find(|(place, _)| place == pointer) {
        return Error::NotAValue { pointer: pointer.clone(), what };
    }
    if values().any(|slot| slot.pointer.as_str().starts_with(&inside)) {
        return Error::NotAValue { pointer: pointer.clone(), what: "a mapping or list" };
    }
    let near = cli::did_you_mean(pointer.as_str(), values().map(|slot| slot.pointer.as_str())).map(str::to_owned);
    Error::NoSuchValue { pointer: pointer.clone(), near }
}

/// The format of a file: as named, else by its name.
///
/// # Errors
/// Where the named one does not exist.
pub(crate) fn choose_format(named: Option<&str>, file: &Path) -> Result<&'static dyn Format, Error> {
    match named {
        None => Ok(format_of(&file.to_string_lossy())),
        Some(name) => crate::format::format_named(name).ok_or_else(|| {
            Error::Unsupported(format!("there is no format {name}; there are yaml, json, dotenv, ini and binary"))
        }),
    }
}
