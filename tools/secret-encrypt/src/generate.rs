//! New secrets: random values in the forms that programs want.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use contract::document::Generator;
use zeroize::Zeroizing;

use crate::Error;
use crate::keys::{SshPrivateKey, openssh_private_key};
use crate::random::random_bytes;

/// Letters and digits.
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// The order of secp256k1 (SEC 2, section 2.4.1): a private key is below it and not zero.
const SECP256K1_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xba, 0xae, 0xdc,
    0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41,
];

/// The words that `--generate` knows.
pub(crate) const FORMS: &str = "hex=BYTES, base64=BYTES, password=LENGTH, ed25519, secp256k1, ssh-key or uuid";

/// Reads `password=32` and the like.
///
/// # Errors
/// For a form that is not known or a number out of range, as text for the command line.
pub(crate) fn parse_generator(text: &str) -> Result<Generator, String> {
    use contract::document::{EmptyObject, RandomBytes, RandomPassword};
    let (form, number) = text.split_once('=').map_or((text, None), |(form, number)| (form, Some(number)));
    let number = number.map(|number| number.parse::<u16>().map_err(|_| format!("expected {FORMS}"))).transpose()?;
    let mut generator = Generator::default();
    match (form, number) {
        ("hex", bytes) => generator.hex = Some(RandomBytes { bytes: bytes.unwrap_or(32) }),
        ("base64", bytes) => generator.base64 = Some(RandomBytes { bytes: bytes.unwrap_or(32) }),
        ("password", length) => generator.password = Some(RandomPassword { length: length.unwrap_or(32) }),
        ("ed25519", None) => generator.ed25519 = Some(EmptyObject {}),
        ("secp256k1", None) => generator.secp256k1 = Some(EmptyObject {}),
        ("ssh-key", None) => generator.ssh_key = Some(EmptyObject {}),
        ("uuid", None) => generator.uuid = Some(EmptyObject {}),
        _ => return Err(format!("expected {FORMS}")),
    }
    problem(&generator).map_or(Ok(generator), Err)
}

/// What is wrong with a generator, if anything.
pub(crate) fn problem(generator: &Generator) -> Option<String> {
    let kinds = [
        generator.hex.is_some(),
        generator.base64.is_some(),
        generator.password.is_some(),
        generator.ed25519.is_some(),
        generator.secp256k1.is_some(),
        generator.ssh_key.is_some(),
        generator.uuid.is_some(),
    ];
    if kinds.iter().filter(|given| **given).count() != 1 {
        return Some("a generator has exactly one key".into());
    }
    for bytes in [&generator.hex, &generator.base64].into_iter().flatten() {
        if !(8..=1024).contains(&bytes.bytes) {
            return Some("a secret has from 8 to 1024 random bytes".into());
        }
    }
    match &generator.password {
        Some(password) if !(12..=256).contains(&password.length) => {
            Some("a password has from 12 to 256 characters".into())
        }
        _ => None,
    }
}

/// A new value.
///
/// # Errors
/// Where the system gives no random bytes.
pub(crate) fn generate(generator: &Generator) -> Result<Zeroizing<String>, Error> {
    if let Some(form) = &generator.hex {
        return Ok(hex(&bytes(form.bytes.into())?));
    }
    if let Some(form) = &generator.base64 {
        return Ok(Zeroizing::new(STANDARD.encode(&*bytes(form.bytes.into())?)));
    }
    if let Some(form) = &generator.password {
        return password(form.length.into());
    }
    if generator.ed25519.is_some() {
        return ed25519_pem();
    }
    if generator.secp256k1.is_some() {
        loop {
            let key = bytes(32)?;
            if key.iter().any(|byte| *byte != 0) && key.as_slice() < SECP256K1_ORDER.as_slice() {
                return Ok(hex(&key));
            }
        }
    }
    if generator.ssh_key.is_some() {
        let mut seed = Zeroizing::new([0; 32]);
        random_bytes(&mut *seed)?;
        let mut check = [0; 4];
        random_bytes(&mut check)?;
        return Ok(openssh_private_key(&SshPrivateKey::from_seed(*seed), u32::from_be_bytes(check)));
    }
    uuid()
}

fn bytes(count: usize) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut bytes = Zeroizing::new(vec![0; count]);
    random_bytes(&mut bytes)?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() * 2));
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    text
}

/// Every character is equally likely: bytes that would favour some are thrown away.
fn password(length: usize) -> Result<Zeroizing<String>, Error> {
    let mut text = Zeroizing::new(String::with_capacity(length));
    while text.len() < length {
        for byte in bytes(length)?.iter() {
            if *byte < 248 && text.len() < length {
                text.push(char::from(ALPHABET[usize::from(byte % 62)]));
            }
        }
    }
    Ok(text)
}

/// An Ed25519 private key as PKCS#8 in PEM (RFC 8410 section 7).
fn ed25519_pem() -> Result<Zeroizing<String>, Error> {
    let mut der = Zeroizing::new(vec![
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
    ]);
    der.reserve_exact(32);
    der.extend_from_slice(&bytes(32)?);
    let body = Zeroizing::new(STANDARD.encode(&*der));
    Ok(Zeroizing::new(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", &*body)))
}

/// A UUID of version 4 (RFC 9562 section 5.4).
fn uuid() -> Result<Zeroizing<String>, Error> {
    let mut raw = bytes(16)?;
    raw[6] = (raw[6] & 0x0f) | 0x40;
    raw[8] = (raw[8] & 0x3f) | 0x80;
    let text = hex(&raw);
    Ok(Zeroizing::new(format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_form() {
        let make = |text: &str| generate(&parse_generator(text).unwrap()).unwrap();
        assert_eq!(make("hex=16").len(), 32);
        assert_eq!(make("base64=24").len(), 32);
        assert!(make("password=40").bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_eq!(make("secp256k1").len(), 64);
        assert_eq!(make("uuid").as_bytes()[14], b'4');
        assert!(make("ed25519").starts_with("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEI"));
        assert!(SshPrivateKey::parse(&make("ssh-key")).is_some());
        assert_ne!(*make("hex"), *make("hex"));
        for text in ["", "hex=4", "password=5", "hex=x", "uuid=4", "rot13"] {
            assert!(parse_generator(text).is_err(), "{text}");
        }
    }
}
