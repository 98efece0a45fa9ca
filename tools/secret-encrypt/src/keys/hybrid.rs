//! Hybrid post-quantum keys of age: `age1pq1...` and `AGE-SECRET-KEY-PQ-1...`.
//!
//! A file key is wrapped with HPKE (RFC 9180) in base mode: MLKEM768-X25519 (see `x_wing`), HKDF-SHA256, ChaCha20-Poly1305. The
//! form is that of age 1.3 (C2SP age.md, "mlkem768x25519"). The `age` crate does not have it yet, and the `hpke` crate that has
//! the KEM cannot be built beside it (both need `kem`, one of them a pre-release), so the key schedule stands here.

use std::collections::HashSet;
use std::str::FromStr;

use age::{DecryptError, EncryptError};
use age_core::format::{FileKey, Stanza};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Checksum, Hrp};
use chacha20poly1305::aead::Aead;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use hmac::{Hmac, KeyInit as _, Mac};
use secrecy::ExposeSecret;
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use super::x_wing::{PrivateKey, PublicKey};
use crate::Error;
use crate::random::random_bytes;

/// What recipients and identities begin with.
pub(super) const RECIPIENT: &str = "age1pq1";
pub(super) const IDENTITY: &str = "AGE-SECRET-KEY-PQ-1";

const RECIPIENT_HRP: &str = "age1pq";
const IDENTITY_HRP: &str = "age-secret-key-pq-";
const STANZA: &str = "mlkem768x25519";
/// The `info` of HPKE.
const INFO: &[u8] = b"age-encryption.org/mlkem768x25519";
/// A file key and the tag of the cipher.
const BODY: usize = 16 + 16;

/// Bech32 without its limit of length, which age does not keep.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LongBech32 {}

impl Checksum for LongBech32 {
    type MidstateRepr = <Bech32 as Checksum>::MidstateRepr;
    type CorrectionField = <Bech32 as Checksum>::CorrectionField;
    const ROOT_GENERATOR: Self::CorrectionField = Bech32::ROOT_GENERATOR;
    const ROOT_EXPONENTS: core::ops::RangeInclusive<usize> = Bech32::ROOT_EXPONENTS;
    const CODE_LENGTH: usize = usize::MAX;
    const CHECKSUM_LENGTH: usize = Bech32::CHECKSUM_LENGTH;
    const GENERATOR_SH: [u32; 5] = Bech32::GENERATOR_SH;
    const TARGET_RESIDUE: u32 = Bech32::TARGET_RESIDUE;
}

/// The bytes behind a Bech32 text with this prefix.
fn decode(text: &str, hrp: &str) -> Option<Zeroizing<Vec<u8>>> {
    let checked = CheckedHrpstring::new::<LongBech32>(text).ok()?;
    // One case throughout is Bech32's own rule; which one age fixes for each kind of key.
    let same = checked.hrp() == Hrp::parse(hrp).ok()?;
    same.then(|| Zeroizing::new(checked.byte_iter().collect()))
}

/// HKDF-SHA256 (RFC 5869) for outputs of at most 32 bytes; several parts are one input.
fn hmac(key: &[u8], parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Zeroizing::default() };
    for part in parts {
        mac.update(part);
    }
    Zeroizing::new(mac.finalize().into_bytes().into())
}

/// The cipher and nonce of the one message of an HPKE context (RFC 9180 section 5.1, base mode).
fn schedule(shared: &[u8; 32]) -> (ChaCha20Poly1305, Zeroizing<[u8; 12]>) {
    // "HPKE", the KEM, the KDF, the cipher.
    let version: &[u8] = b"HPKE-v1";
    let suite: &[u8] = b"HPKE\x64\x7a\x00\x01\x00\x03";
    let extract = |salt: &[u8], label: &[u8], input: &[u8]| hmac(salt, &[version, suite, label, input]);
    let (id, info) = (extract(b"", b"psk_id_hash", b""), extract(b"", b"info_hash", INFO));
    let secret = extract(shared, b"secret", b"");
    let expand =
        |label: &[u8], length: u8| hmac(&*secret, &[&[0, length], version, suite, label, &[0], &*id, &*info, &[1]]);
    let mut nonce = Zeroizing::new([0; 12]);
    nonce.copy_from_slice(&expand(b"base_nonce", 12)[..12]);
    (ChaCha20Poly1305::new((&*expand(b"key", 32)).into()), nonce)
}

/// A public key.
pub(super) struct HybridRecipient(PublicKey);

impl FromStr for HybridRecipient {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if !text.starts_with(RECIPIENT) {
            return Err(());
        }
        let bytes = decode(text, RECIPIENT_HRP).ok_or(())?;
        PublicKey::from_bytes(&bytes).map(Self).ok_or(())
    }
}

impl std::fmt::Display for HybridRecipient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hrp = Hrp::parse(RECIPIENT_HRP).map_err(|_| std::fmt::Error)?;
        bech32::encode_lower_to_fmt::<LongBech32, _>(f, hrp, &self.0.to_bytes()).map_err(|_| std::fmt::Error)
    }
}

impl age::Recipient for HybridRecipient {
    fn wrap_file_key(&self, file_key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        let failed = |_| EncryptError::Io(std::io::ErrorKind::InvalidInput.into());
        let mut randomness = Zeroizing::new([0; 64]);
        random_bytes(&mut *randomness).map_err(failed)?;
        let (encapped, shared) =
            self.0.encapsulate(&randomness).ok_or(()).map_err(|()| failed(Error::RoundTrip(None)))?;
        let (cipher, nonce) = schedule(&shared);
        let body = cipher.encrypt((&*nonce).into(), file_key.expose_secret().as_slice());
        let body = body.map_err(|_| failed(Error::RoundTrip(None)))?;
        let args = vec![STANDARD_NO_PAD.encode(encapped)];
        // The label keeps recipients that a quantum computer can break out of the same age file.
        Ok((vec![Stanza { tag: STANZA.into(), args, body }], HashSet::from(["postquantum".into()])))
    }
}

/// A private key.
pub(super) struct HybridIdentity(PrivateKey);

impl HybridIdentity {
    /// A new one, and its text.
    ///
    /// # Errors
    /// Where the system gives no random bytes.
    pub(super) fn generate() -> Result<(Self, Zeroizing<String>), Error> {
        let mut seed = Zeroizing::new([0; 32]);
        random_bytes(&mut *seed)?;
        let hrp = Hrp::parse(IDENTITY_HRP).ok();
        let text = hrp.and_then(|hrp| bech32::encode_upper::<LongBech32>(hrp, &*seed).ok()).map(Zeroizing::new);
        let text = text.ok_or_else(|| Error::Unsupported("no hybrid identity could be made".into()))?;
        Ok((Self(PrivateKey::from_seed(&seed)), text))
    }

    /// Its public key.
    pub(super) fn to_public(&self) -> HybridRecipient {
        HybridRecipient(self.0.public().clone())
    }
}

impl FromStr for HybridIdentity {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if !text.starts_with(IDENTITY) {
            return Err(());
        }
        let bytes = decode(text, IDENTITY_HRP).ok_or(())?;
        <[u8; 32]>::try_from(bytes.as_slice())
            .map(|seed| Self(PrivateKey::from_seed(&Zeroizing::new(seed))))
            .map_err(|_| ())
    }
}

impl age::Identity for HybridIdentity {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        if stanza.tag != STANZA {
            return None;
        }
        let [encapped] = stanza.args.as_slice() else { return Some(Err(DecryptError::InvalidHeader)) };
        let encapped = STANDARD_NO_PAD.decode(encapped).ok();
        let shared = encapped.and_then(|bytes| self.0.decapsulate(&bytes));
        let Some(shared) = shared.filter(|_| stanza.body.len() == BODY) else {
            return Some(Err(DecryptError::InvalidHeader));
        };
        // With another key decapsulation gives another secret, and the cipher says so.
        let (cipher, nonce) = schedule(&shared);
        let opened = Zeroizing::new(cipher.decrypt((&*nonce).into(), stanza.body.as_slice()).ok()?);
        let mut bytes = <[u8; 16]>::try_from(opened.as_slice()).ok()?;
        let key = FileKey::init_with_mut(|key| key.copy_from_slice(&bytes));
        bytes.zeroize();
        Some(Ok(key))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_made_reads_back_and_opens() {
        use age::{Identity as _, Recipient as _};
        let (identity, text) = HybridIdentity::generate().unwrap();
        assert!(text.starts_with(IDENTITY));
        let public = identity.to_public().to_string();
        assert_eq!((public.len(), &public[..7]), (1959, RECIPIENT));
        let read: HybridIdentity = text.parse().unwrap();
        let recipient: HybridRecipient = public.parse().unwrap();
        assert!(public.to_uppercase().parse::<HybridRecipient>().is_err());
        let key = FileKey::new(Box::new([7; 16]));
        let (mut stanzas, labels) = recipient.wrap_file_key(&key).unwrap();
        assert!(labels.contains("postquantum"));
        let opened = read.unwrap_stanzas(&stanzas).unwrap().ok().unwrap();
        assert_eq!(opened.expose_secret(), &[7; 16]);
        let (other, _) = HybridIdentity::generate().unwrap();
        assert!(other.unwrap_stanzas(&stanzas).is_none());
        stanzas[0].body.pop();
        assert!(matches!(read.unwrap_stanza(&stanzas[0]), Some(Err(DecryptError::InvalidHeader))));
    }
}
