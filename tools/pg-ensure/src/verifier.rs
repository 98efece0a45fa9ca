//! SCRAM-SHA-256 verifiers (RFC 5802, RFC 7677), as PostgreSQL stores them in `pg_authid.rolpassword`.
//!
//! A verifier is made and checked here, so that the server never sees a password.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// Iterations of the server where it does not say otherwise (`scram_iterations`, PostgreSQL 16 and newer).
pub(crate) const ITERATIONS: u32 = 4096;
/// Bytes of salt, as the server uses.
const SALT: usize = 16;

/// What is known of a password that the server stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Match {
    /// It is the secret.
    Same,
    /// It is the secret, but hashed with MD5.
    SameButMd5,
    /// It is another one, or none.
    Other,
}

/// The verifier of a password with this salt.
pub(crate) fn make(password: &[u8], salt: &[u8], iterations: u32) -> Option<String> {
    let keys = Keys::derive(&prepared(password), salt, iterations)?;
    Some(format!(
        "SCRAM-SHA-256${iterations}:{}${}:{}",
        STANDARD.encode(salt),
        STANDARD.encode(keys.stored),
        STANDARD.encode(keys.server)
    ))
}

/// A verifier with a new random salt.
pub(crate) fn make_random(password: &[u8], iterations: u32) -> Option<String> {
    let mut salt = [0_u8; SALT];
    let mut filled = 0;
    while filled < SALT {
        filled += rustix::rand::getrandom(&mut salt[filled..], rustix::rand::GetRandomFlags::empty()).ok()?;
    }
    make(password, &salt, iterations)
}

/// Whether a stored verifier is that of a password.
pub(crate) fn check(stored: Option<&str>, role: &str, password: &[u8]) -> Match {
    let Some(stored) = stored else { return Match::Other };
    if stored.starts_with("md5") {
        let same = same(postgres_protocol::password::md5(password, role).as_bytes(), stored.as_bytes());
        return if same { Match::SameButMd5 } else { Match::Other };
    }
    let Some(parsed) = Stored::parse(stored) else { return Match::Other };
    let prepared = prepared(password);
    // The server falls back to the raw bytes where preparing fails, and the two need not agree on when it does.
    let raw = (prepared.as_ref() != password).then_some(Cow::Borrowed(password));
    let found = [Some(prepared), raw].into_iter().flatten().any(|password| {
        Keys::derive(&password, &parsed.salt, parsed.iterations)
            .is_some_and(|keys| same(&keys.stored, &parsed.keys.stored) && same(&keys.server, &parsed.keys.server))
    });
    if found { Match::Same } else { Match::Other }
}

/// The keys that a verifier holds.
struct Keys {
    stored: Vec<u8>,
    server: Vec<u8>,
}

impl Keys {
    fn derive(password: &[u8], salt: &[u8], iterations: u32) -> Option<Self> {
        let salted = pbkdf2(password, salt, iterations)?;
        let client = hmac(&salted, b"Client Key")?;
        Some(Self { stored: Sha256::digest(client).to_vec(), server: hmac(&salted, b"Server Key")? })
    }
}

struct Stored {
    iterations: u32,
    salt: Vec<u8>,
    keys: Keys,
}

impl Stored {
    fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("SCRAM-SHA-256$")?;
        let (parameters, keys) = rest.split_once('$')?;
        let (iterations, salt) = parameters.split_once(':')?;
        let (stored, server) = keys.split_once(':')?;
        Some(Self {
            iterations: iterations.parse().ok().filter(|count| *count > 0)?,
            salt: STANDARD.decode(salt).ok()?,
            keys: Keys { stored: STANDARD.decode(stored).ok()?, server: STANDARD.decode(server).ok()? },
        })
    }
}

/// PBKDF2-HMAC-SHA-256 with one block of output (RFC 8018, 5.2).
fn pbkdf2(password: &[u8], salt: &[u8], iterations: u32) -> Option<Vec<u8>> {
    // Keyed once: the two compressions of the key are not repeated for every iteration.
    let keyed = Hmac::<Sha256>::new_from_slice(password).ok()?;
    let mut mac = keyed.clone();
    mac.update(salt);
    mac.update(&[0, 0, 0, 1]);
    let mut block = mac.finalize().into_bytes();
    let mut result = block;
    for _ in 1..iterations {
        let mut mac = keyed.clone();
        mac.update(&block);
        block = mac.finalize().into_bytes();
        for (sum, byte) in result.iter_mut().zip(block) {
            *sum ^= byte;
        }
    }
    Some(result.to_vec())
}

fn hmac(key: &[u8], text: &[u8]) -> Option<Vec<u8>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(text);
    Some(mac.finalize().into_bytes().to_vec())
}

/// Compares without telling by the time it takes where two differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

/// SASLprep (RFC 4013) as the server does it: on any failure, the raw bytes.
fn prepared(password: &[u8]) -> Cow<'_, [u8]> {
    let Ok(text) = std::str::from_utf8(password) else { return Cow::Borrowed(password) };
    if text.is_ascii() || text.chars().any(prohibited_before_normalisation) {
        return Cow::Borrowed(password);
    }
    match stringprep::saslprep(text) {
        Ok(prepared) if !prepared.is_empty() => Cow::Owned(prepared.as_bytes().to_vec()),
        _ => Cow::Borrowed(password),
    }
}

/// Characters that the server prohibits and stringprep's crate normalises away first: those that change display properties
/// or are deprecated (RFC 3454 C.8), and tagging characters (C.9).
fn prohibited_before_normalisation(character: char) -> bool {
    matches!(u32::from(character),
        0x0340 | 0x0341 | 0x200e | 0x200f | 0x202a..=0x202e | 0x206a..=0x206f | 0xe0001 | 0xe0020..=0xe007f)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_vector_of_rfc_7677() {
        // RFC 7677 section 3: user "user", password "pencil"; the server's signature there follows from this server key.
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = make(b"pencil", &salt, 4096).unwrap();
        assert_eq!(
            verifier,
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
        assert_eq!(check(Some(&verifier), "user", b"pencil"), Match::Same);
        assert_eq!(check(Some(&verifier), "user", b"pencils"), Match::Other);
        assert_eq!(check(None, "user", b"pencil"), Match::Other);
    }

    #[test]
    fn broken_verifiers_match_nothing() {
        for stored in ["", "SCRAM-SHA-256$", "SCRAM-SHA-256$0:AAAA$AAAA:AAAA", "SCRAM-SHA-256$4096:AAAA$BBBB:CCCC", "x"]
        {
            assert_eq!(check(Some(stored), "user", b""), Match::Other, "{stored}");
        }
    }

    #[test]
    fn md5_is_recognised() {
        let stored = postgres_protocol::password::md5(b"secret", "app");
        assert_eq!(check(Some(&stored), "app", b"secret"), Match::SameButMd5);
        assert_eq!(check(Some(&stored), "other", b"secret"), Match::Other);
    }

    #[test]
    fn preparation_is_the_servers() {
        assert_eq!(prepared("\u{fb01}le".as_bytes()).as_ref(), b"file");
        assert_eq!(prepared("\u{ad}".as_bytes()).as_ref(), "\u{ad}".as_bytes());
        assert_eq!(prepared("\u{340}".as_bytes()).as_ref(), "\u{340}".as_bytes());
        assert_eq!(prepared(b"\xff\xfe").as_ref(), b"\xff\xfe");
        assert_eq!(prepared("a\u{a0}b".as_bytes()).as_ref(), b"a b");
    }
}
