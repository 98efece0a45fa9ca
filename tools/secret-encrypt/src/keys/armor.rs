//! age files in ASCII armor, as they stand in the `enc` of metadata.

use std::io::{Read, Write};

use age::armor::{ArmoredReader, ArmoredWriter, Format};
use zeroize::Zeroizing;

use crate::Error;

/// Encrypts a secret for one recipient.
///
/// # Errors
/// Where the recipient's own program fails.
pub(super) fn wrap(recipient: &dyn age::Recipient, name: &str, secret: &[u8]) -> Result<String, Error> {
    let failed = |reason: String| Error::BadRecipient { recipient: name.into(), reason };
    let encryptor =
        age::Encryptor::with_recipients(std::iter::once(recipient)).map_err(|error| failed(error.to_string()))?;
    let mut bytes = Vec::new();
    let done: Result<(), std::io::Error> = (|| {
        let armored = ArmoredWriter::wrap_output(&mut bytes, Format::AsciiArmor)?;
        let mut writer = encryptor.wrap_output(armored)?;
        writer.write_all(secret)?;
        writer.finish()?.finish()?;
        Ok(())
    })();
    done.map_err(|error| failed(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| failed(error.to_string()))
}

/// Decrypts with the first identity that fits; `None` if none does or the file is damaged.
pub(super) fn unwrap(armored: &str, identities: &[Box<dyn age::Identity>]) -> Option<Zeroizing<Vec<u8>>> {
    // The reader wants the armor alone; other writers leave blank lines around it.
    let reader = ArmoredReader::new(armored.trim().as_bytes());
    let decryptor = age::Decryptor::new_buffered(reader).ok()?;
    let mut plain = Zeroizing::new(Vec::with_capacity(64));
    let mut reader = decryptor.decrypt(identities.iter().map(AsRef::as_ref)).ok()?;
    reader.by_ref().take(64).read_to_end(&mut plain).ok()?;
    Some(plain)
}

/// Decrypts a whole age file.
///
/// # Errors
/// `no_key` where no identity fits, else that the file was changed.
pub(super) fn decrypt(
    bytes: &[u8],
    identities: &[Box<dyn age::Identity>],
    no_key: impl Fn() -> Error,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let changed = || Error::Tampered { pointer: contract::Pointer::root() };
    let reader = ArmoredReader::new(bytes.trim_ascii_start());
    let decryptor = age::Decryptor::new_buffered(reader).map_err(|_| changed())?;
    let mut reader = match decryptor.decrypt(identities.iter().map(AsRef::as_ref)) {
        Ok(reader) => reader,
        Err(age::DecryptError::NoMatchingKeys | age::DecryptError::KeyDecryptionFailed) => return Err(no_key()),
        Err(_) => return Err(changed()),
    };
    // Room for all of it: a buffer that grows leaves copies of secrets behind.
    let mut plain = Zeroizing::new(Vec::with_capacity(bytes.len() + 1));
    reader.read_to_end(&mut plain).map_err(|_| changed())?;
    Ok(plain)
}
