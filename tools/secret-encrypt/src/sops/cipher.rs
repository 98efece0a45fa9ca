//! AES-256-GCM as SOPS uses it: one data key a file, 32-byte vectors, the key path as additional data.

use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::consts::{U12, U16, U32};
use aes_gcm::aes::Aes256;
use aes_gcm::{AesGcm, KeyInit, Nonce, Tag};
use secrecy::{ExposeSecret, SecretBox};
use zeroize::Zeroizing;

use super::{EncText, Kind, Value};
use crate::Error;
use crate::random::{PublicRandom, random_bytes};

/// The key that encrypts the values of one file. It lies on the heap and is never moved, so that no copy of it is left behind.
pub(crate) struct DataKey(SecretBox<[u8; 32]>);

impl Clone for DataKey {
    fn clone(&self) -> Self {
        Self(SecretBox::init_with_mut(|key: &mut [u8; 32]| key.copy_from_slice(self.bytes())))
    }
}

impl DataKey {
    /// A new random key.
    ///
    /// # Errors
    /// Where the system gives no random bytes.
    pub(crate) fn generate() -> Result<Self, Error> {
        let mut done = Ok(());
        let key = SecretBox::init_with_mut(|key: &mut [u8; 32]| done = random_bytes(key));
        done.map(|()| Self(key))
    }

    /// A key from its bytes; `None` unless there are 32.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == 32).then(|| Self(SecretBox::init_with_mut(|key: &mut [u8; 32]| key.copy_from_slice(bytes))))
    }

    /// The bytes, to be wrapped for a recipient.
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        self.0.expose_secret()
    }
}

/// Overwrites the part of the stack that calls before this one used: ciphers keep keys and blocks there for a while. It is
/// called where nothing but pointers to secrets is left in the frames above.
#[inline(never)]
#[allow(clippy::large_stack_arrays, reason = "that is its purpose; the stack has 8 MiB")]
pub(crate) fn overwrite_stack() {
    let area = [0_u8; 256 * 1024];
    std::hint::black_box(&area);
}

/// Encrypts and decrypts values with one data key.
pub(crate) struct Cipher {
    long: Box<AesGcm<Aes256, U32>>,
    key: DataKey,
    vectors: PublicRandom,
}

impl Cipher {
    /// A cipher for this key.
    pub(crate) fn new(key: DataKey) -> Self {
        Self { long: Box::new(AesGcm::new(key.bytes().into())), key, vectors: PublicRandom::default() }
    }

    /// The key.
    pub(crate) fn key(&self) -> &DataKey {
        &self.key
    }

    /// Encrypts a value with a fresh vector.
    ///
    /// # Errors
    /// Where the system gives no random bytes.
    pub(crate) fn encrypt(&self, value: &Value, additional: &str) -> Result<EncText, Error> {
        let iv = self.vectors.next::<32>()?;
        let mut data = value.bytes.to_vec();
        let tag = self
            .long
            .encrypt_inout_detached(&Nonce::<U32>::from(iv), additional.as_bytes(), data.as_mut_slice().into())
            .map_err(|_| Error::TooLarge)?;
        Ok(EncText { data, iv: iv.to_vec(), tag: tag.to_vec(), kind: value.kind })
    }

    /// Decrypts a value; `None` if anything of it or its place was changed, or the key is another.
    pub(crate) fn decrypt(&self, enc: &EncText, additional: &str) -> Option<Value> {
        let mut data = Zeroizing::new(enc.data.clone());
        let tag = Tag::try_from(enc.tag.as_slice()).ok()?;
        let (aad, buffer) = (additional.as_bytes(), data.as_mut_slice());
        // Other writers use shorter vectors; they are read and never written.
        let done = match enc.iv.len() {
            32 => self.long.decrypt_inout_detached(&nonce::<U32>(&enc.iv)?, aad, buffer.into(), &tag),
            16 => self.short::<U16>().decrypt_inout_detached(&nonce::<U16>(&enc.iv)?, aad, buffer.into(), &tag),
            12 => self.short::<U12>().decrypt_inout_detached(&nonce::<U12>(&enc.iv)?, aad, buffer.into(), &tag),
            _ => return None,
        };
        done.ok()?;
        Value::decrypted(enc.kind, std::mem::take(&mut *data))
    }

    fn short<N: aes_gcm::aead::array::ArraySize>(&self) -> AesGcm<Aes256, N> {
        AesGcm::new(self.key.bytes().into())
    }

    /// Encrypts the MAC of a file; the time of its last change is bound to it.
    ///
    /// # Errors
    /// As [`Cipher::encrypt`].
    pub(crate) fn encrypt_mac(&self, mac: &str, lastmodified: &str) -> Result<String, Error> {
        Ok(self.encrypt(&Value::new(Kind::Str, mac), lastmodified)?.to_string())
    }
}

fn nonce<N: aes_gcm::aead::array::ArraySize>(bytes: &[u8]) -> Option<Nonce<N>> {
    Nonce::<N>::try_from(bytes).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn place_type_and_every_bit_count() {
        let cipher = Cipher::new(DataKey::generate().unwrap());
        let enc = cipher.encrypt(&Value::text("hunter2"), "a:b:").unwrap();
        assert_eq!(cipher.decrypt(&enc, "a:b:").unwrap(), Value::text("hunter2"));
        assert!(cipher.decrypt(&enc, "a:c:").is_none());
        for at in 0..7 {
            let mut bad = enc.clone();
            bad.data[at] ^= 1;
            assert!(cipher.decrypt(&bad, "a:b:").is_none());
        }
        let mut short = enc.clone();
        short.iv.truncate(12);
        assert!(cipher.decrypt(&short, "a:b:").is_none());
        assert!(Cipher::new(DataKey::generate().unwrap()).decrypt(&enc, "a:b:").is_none());
    }
}
