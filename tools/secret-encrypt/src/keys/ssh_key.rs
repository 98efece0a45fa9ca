//! SSH ed25519 keys and the age keys that follow from them, as ssh-to-age and sops-nix convert them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bech32::{Bech32, Hrp};
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use curve25519_dalek::EdwardsPoint;
use curve25519_dalek::edwards::CompressedEdwardsY;
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

/// An ed25519 private key out of an unencrypted OpenSSH file.
pub(crate) struct SshPrivateKey {
    seed: Zeroizing<[u8; 32]>,
}

const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";

impl SshPrivateKey {
    /// Reads an OpenSSH private key (PROTOCOL.key). `None` if it is encrypted, of another type or damaged.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let file = OpenSshFile::parse(text)?;
        if file.cipher != b"none" || file.kdf != b"none" {
            return None;
        }
        Self::from_private_part(&file.private)
    }

    /// Reads an encrypted one. `None` if the passphrase does not fit, and for ciphers other than that of ssh-keygen.
    pub(super) fn parse_encrypted(text: &str, passphrase: &str) -> Option<Self> {
        let file = OpenSshFile::parse(text)?;
        if file.cipher != b"aes256-ctr" || file.kdf != b"bcrypt" {
            return None;
        }
        let mut options = Wire(&file.options);
        let (salt, rounds) = (options.string()?, options.number()?);
        let mut key = Zeroizing::new([0; 48]);
        // Far above what ssh-keygen takes, and still no way to stop the program for good.
        bcrypt_pbkdf::bcrypt_pbkdf(passphrase, salt, rounds.min(4096), &mut *key).ok()?;
        let mut private = file.private;
        let mut cipher = Ctr128BE::<aes_gcm::aes::Aes256>::new_from_slices(&key[..32], &key[32..]).ok()?;
        cipher.apply_keystream(&mut private);
        Self::from_private_part(&private)
    }

    fn from_private_part(bytes: &[u8]) -> Option<Self> {
        let mut inner = Wire(bytes);
        if inner.number()? != inner.number()? || inner.string()? != b"ssh-ed25519" {
            return None;
        }
        inner.string()?;
        let pair = inner.string()?;
        let seed = <[u8; 32]>::try_from(pair.get(..32)?).ok()?;
        Some(Self { seed: Zeroizing::new(seed) })
    }

    /// The public key line of a private key file, encrypted or not.
    pub(super) fn public_line(text: &str) -> Option<String> {
        let public = OpenSshFile::parse(text)?.public;
        let kind = std::str::from_utf8(Wire(&public).string()?).ok()?.to_owned();
        Some(format!("{kind} {}", STANDARD.encode(&public)))
    }

    /// A key from its seed.
    pub(crate) fn from_seed(seed: [u8; 32]) -> Self {
        Self { seed: Zeroizing::new(seed) }
    }

    /// The age identity that follows from it: `AGE-SECRET-KEY-1...`.
    ///
    /// The first half of SHA-512 of the seed is taken as it is. Clamping it would give another text for the same key, and
    /// the text is what people compare.
    pub(crate) fn age_identity(&self) -> Option<Zeroizing<String>> {
        let digest = Zeroizing::new(<[u8; 64]>::from(Sha512::digest(*self.seed)));
        let hrp = Hrp::parse("age-secret-key-").ok()?;
        bech32::encode_upper::<Bech32>(hrp, &digest[..32]).ok().map(Zeroizing::new)
    }

    /// The 32 bytes of its public key (RFC 8032 section 5.1.5).
    pub(crate) fn public(&self) -> [u8; 32] {
        let digest = Zeroizing::new(<[u8; 64]>::from(Sha512::digest(*self.seed)));
        let mut scalar = [0; 32];
        scalar.copy_from_slice(&digest[..32]);
        EdwardsPoint::mul_base_clamped(scalar).compress().to_bytes()
    }
}

/// The parts of an OpenSSH private key file with one key.
struct OpenSshFile {
    cipher: Vec<u8>,
    kdf: Vec<u8>,
    options: Vec<u8>,
    public: Vec<u8>,
    private: Zeroizing<Vec<u8>>,
}

impl OpenSshFile {
    fn parse(text: &str) -> Option<Self> {
        let body = text.trim().strip_prefix(BEGIN)?.strip_suffix(END)?;
        let base64: Zeroizing<String> = Zeroizing::new(body.split_whitespace().collect());
        let bytes = Zeroizing::new(STANDARD.decode(base64.as_bytes()).ok()?);
        let mut wire = Wire(bytes.strip_prefix(b"openssh-key-v1\0")?);
        let (cipher, kdf, options) = (wire.string()?, wire.string()?, wire.string()?);
        if wire.number()? != 1 {
            return None;
        }
        Some(Self {
            cipher: cipher.to_vec(),
            kdf: kdf.to_vec(),
            options: options.to_vec(),
            public: wire.string()?.to_vec(),
            private: Zeroizing::new(wire.string()?.to_vec()),
        })
    }
}

/// The age recipient of an SSH public key line such as `ssh-ed25519 AAAA... comment`; `None` for other types.
pub(crate) fn converted_recipient(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    if words.next()? != "ssh-ed25519" {
        return None;
    }
    let bytes = STANDARD.decode(words.next()?).ok()?;
    let mut wire = Wire(&bytes);
    if wire.string()? != b"ssh-ed25519" {
        return None;
    }
    recipient_of(wire.string()?)
}

/// The age recipient of an ed25519 public key: its point on the Montgomery curve.
pub(super) fn recipient_of(public: &[u8]) -> Option<String> {
    let point = CompressedEdwardsY::from_slice(public).ok()?.decompress()?;
    bech32::encode::<Bech32>(Hrp::parse("age").ok()?, point.to_montgomery().as_bytes()).ok()
}

/// An OpenSSH private key file for a seed (PROTOCOL.key, unencrypted).
pub(crate) fn openssh_private_key(key: &SshPrivateKey, check: u32) -> Zeroizing<String> {
    fn string(out: &mut Vec<u8>, bytes: &[u8]) {
        out.extend((bytes.len() as u32).to_be_bytes());
        out.extend(bytes);
    }
    let public = key.public();
    let mut public_blob = Vec::new();
    string(&mut public_blob, b"ssh-ed25519");
    string(&mut public_blob, &public);
    let mut inner = Zeroizing::new(Vec::with_capacity(256));
    inner.extend(check.to_be_bytes());
    inner.extend(check.to_be_bytes());
    string(&mut inner, b"ssh-ed25519");
    string(&mut inner, &public);
    let mut pair = Zeroizing::new([0; 64]);
    pair[..32].copy_from_slice(&*key.seed);
    pair[32..].copy_from_slice(&public);
    string(&mut inner, &*pair);
    string(&mut inner, b"");
    for pad in 1.. {
        if inner.len() % 8 == 0 {
            break;
        }
        inner.push(pad);
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(512));
    bytes.extend(b"openssh-key-v1\0");
    string(&mut bytes, b"none");
    string(&mut bytes, b"none");
    string(&mut bytes, b"");
    bytes.extend(1_u32.to_be_bytes());
    string(&mut bytes, &public_blob);
    string(&mut bytes, &inner);
    let base64 = Zeroizing::new(STANDARD.encode(&*bytes));
    let mut text = Zeroizing::new(format!("{BEGIN}\n"));
    for line in base64.as_bytes().chunks(70) {
        text.push_str(std::str::from_utf8(line).unwrap_or_default());
        text.push('\n');
    }
    text.push_str(END);
    text.push('\n');
    text
}

/// Reads the wire format of SSH (RFC 4251 section 5).
struct Wire<'a>(&'a [u8]);

impl<'a> Wire<'a> {
    fn number(&mut self) -> Option<u32> {
        let (head, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*head))
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.number()? as usize;
        let head = self.0.get(..length)?;
        self.0 = self.0.get(length..)?;
        Some(head)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_made_reads_back() {
        let key = SshPrivateKey::from_seed([7; 32]);
        let text = openssh_private_key(&key, 42);
        let read = SshPrivateKey::parse(&text).unwrap();
        assert_eq!(*read.seed, [7; 32]);
        let age: age::x25519::Identity = key.age_identity().unwrap().parse().unwrap();
        assert_eq!(age.to_public().to_string(), recipient_of(&key.public()).unwrap());
        for cut in 0..text.len() {
            let _ = SshPrivateKey::parse(&text[..cut]);
        }
    }
}
