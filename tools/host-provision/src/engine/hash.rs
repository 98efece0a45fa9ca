//! Hashes and fingerprints.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        text.push_str(&format!("{byte:02x}"));
        text
    })
}

/// What was observed, as a word that tells nothing without the key of the host: a hash alone would let a reader of the
/// plan try guesses for a short secret.
pub(crate) fn fingerprint(key: &[u8], observed: &str) -> String {
    // Keys of any length are allowed, so that this cannot fail.
    Hmac::<Sha256>::new_from_slice(key).map_or_else(
        |_| sha256(observed.as_bytes()),
        |mut mac| {
            mac.update(observed.as_bytes());
            hex(&mac.finalize().into_bytes()[..16])
        },
    )
}
