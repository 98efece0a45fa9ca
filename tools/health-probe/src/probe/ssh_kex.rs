//! The host key of an SSH server, with its proof: one key exchange (RFC 4253, sections 6 to 8; RFC 8731), after which we leave.
//!
//! Everything up to the proof is said in clear, so no cipher is needed. A server that merely repeats somebody's public key cannot sign the
//! exchange, and fails.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey as Verifier};
use sha2::{Digest, Sha256};

use super::quoted;
use super::talk::Talk;
use crate::net::Stream;
use crate::observation::Problem;
use crate::reason::Reason;

/// The largest packet that is read (RFC 4253, section 6.1).
const LARGEST: usize = 35_000;
/// The most packets that a server may say before it comes to the point.
const MOST_PACKETS: usize = 20;

/// How the exchange is made. Both names stand for the same.
const EXCHANGES: &str = "curve25519-sha256,curve25519-sha256@libssh.org";
/// What kinds of keys can be proved, the best first.
const KEYS: &str = "ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-512,rsa-sha2-256";
/// Named because every server asks for some; nothing is encrypted here.
const CIPHERS: &str =
    "chacha20-poly1305@openssh.com,aes128-gcm@openssh.com,aes256-gcm@openssh.com,aes128-ctr,aes256-ctr";
/// The same for message codes.
const CODES: &str = "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,hmac-sha2-512";

/// A host key that is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostKey {
    kind: Option<String>,
    fingerprint: String,
}

/// A host key that a server has proved to hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Proved {
    kind: String,
    fingerprint: String,
}

impl fmt::Display for Proved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.fingerprint)
    }
}

impl HostKey {
    /// `SHA256:...`, or with the kind of the key before it: `ssh-ed25519 SHA256:...`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "expected a fingerprint as ssh-keygen -lf prints it: SHA256: and 43 signs".to_owned();
        let (kind, fingerprint) = match text.trim().split_once(' ') {
            Some((kind, fingerprint)) => (Some(kind.trim().to_ascii_lowercase()), fingerprint.trim()),
            None => (None, text.trim()),
        };
        let digest = fingerprint.strip_prefix("SHA256:").ok_or_else(wrong)?.trim_end_matches('=');
        STANDARD_NO_PAD.decode(digest).ok().filter(|digest| digest.len() == 32).ok_or_else(wrong)?;
        let known = ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"];
        if let Some(kind) = kind.as_deref().filter(|kind| !known.contains(kind)) {
            return Err(format!("a key of the kind {kind} cannot be proved: {}", known.join(", ")));
        }
        Ok(Self { kind, fingerprint: format!("SHA256:{digest}") })
    }

    /// The kinds that are asked for.
    fn algorithms(&self) -> &str {
        match self.kind.as_deref() {
            Some("ssh-rsa") => "rsa-sha2-512,rsa-sha2-256",
            Some(kind) => kind,
            None => KEYS,
        }
    }

    /// Whether it is the one that was proved.
    ///
    /// # Errors
    /// It is another.
    pub(super) fn judge(&self, peer: &str, proved: &Proved) -> Result<(), Problem> {
        if self.fingerprint == proved.fingerprint {
            return Ok(());
        }
        let message = format!("{peer} has the host key {proved}, wanted {}", self.fingerprint);
        Err(Problem::fail(Reason::HostKeyMismatch, message))
    }
}

/// Exchanges keys with a server and checks its proof. `ours` and `theirs` are what both introduced themselves with.
///
/// # Errors
/// The server ends it, speaks no SSH, or cannot prove its key.
pub(super) async fn exchange<S: Stream>(
    talk: &mut Talk<'_, S>,
    peer: &str,
    wanted: &HostKey,
    ours: &str,
    theirs: &str,
) -> Result<Proved, Problem> {
    let random = SystemRandom::new();
    let no_luck = || Problem::error(Reason::Internal, "no random numbers");
    let our_offer = offer(&random, wanted.algorithms()).ok_or_else(no_luck)?;
    let private = EphemeralPrivateKey::generate(&X25519, &random).map_err(|_| no_luck())?;
    let public = private.compute_public_key().map_err(|_| no_luck())?;
    let mut packets = Packets { talk, peer };
    packets.send(&our_offer).await?;
    let their_offer = packets.next(20).await?;
    let algorithm = agreed(&their_offer, wanted.algorithms()).ok_or_else(|| {
        let message =
            format!("{peer} knows no way to exchange keys, or has no host key of the kind, that we can check");
        Problem::fail(Reason::HostKeyMismatch, message)
    })?;
    let mut start = vec![30];
    put(&mut start, public.as_ref());
    packets.send(&start).await?;
    if guessed_wrong(&their_offer, &algorithm) {
        packets.any().await?;
    }
    let reply = packets.next(31).await?;
    let odd = || Problem::fail(Reason::BannerMismatch, format!("{peer} does not speak SSH 2 as it should"));
    let mut fields = Fields(&reply[1..]);
    let (Some(key), Some(their_public), Some(proof)) = (fields.bytes(), fields.bytes(), fields.bytes()) else {
        return Err(odd());
    };
    let shared = agree_ephemeral(private, &UnparsedPublicKey::new(&X25519, their_public), <[u8]>::to_vec);
    let shared = shared.map_err(|_| odd())?;
    let mut text = Vec::new();
    for part in [ours.as_bytes(), theirs.as_bytes(), &our_offer, &their_offer, key, public.as_ref(), their_public] {
        put(&mut text, part);
    }
    put(&mut text, &number(&shared));
    let hash = Sha256::digest(&text);
    let kind = verify(key, proof, &hash, &algorithm).ok_or_else(|| {
        Problem::fail(Reason::HostKeyMismatch, format!("{peer} shows a host key that it cannot prove to hold"))
    })?;
    // "By application": we are done (RFC 4253, section 11.1).
    let _ = packets.send(&[1, 0, 0, 0, 11, 0, 0, 0, 0, 0, 0, 0, 0]).await;
    let fingerprint = format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(key)));
    Ok(Proved { kind, fingerprint })
}

/// What we offer (section 7.1).
fn offer(random: &SystemRandom, keys: &str) -> Option<Vec<u8>> {
    let mut payload = vec![20; 17];
    random.fill(&mut payload[1..]).ok()?;
    for list in [EXCHANGES, keys, CIPHERS, CIPHERS, CODES, CODES, "none", "none", "", ""] {
        put(&mut payload, list.as_bytes());
    }
    payload.extend_from_slice(&[0; 5]);
    Some(payload)
}

/// The names of one list of an offer.
fn list_of(offer: &[u8], at: usize) -> Option<Vec<String>> {
    let mut fields = Fields(offer.get(17..)?);
    for _ in 0..at {
        fields.bytes()?;
    }
    Some(String::from_utf8_lossy(fields.bytes()?).split(',').map(str::to_owned).collect())
}

/// The kind of signature that both sides know, if both also know the exchange.
fn agreed(their_offer: &[u8], keys: &str) -> Option<String> {
    let exchanges = list_of(their_offer, 0)?;
    EXCHANGES.split(',').find(|own| exchanges.iter().any(|their| their == own))?;
    let known = list_of(their_offer, 1)?;
    keys.split(',').find(|own| known.iter().any(|their| their == own)).map(str::to_owned)
}

/// A server may send its first packet on a guess; a wrong guess is passed over.
fn guessed_wrong(their_offer: &[u8], algorithm: &str) -> bool {
    let mut fields = Fields(their_offer.get(17..).unwrap_or_default());
    for _ in 0..10 {
        fields.bytes();
    }
    let guesses = fields.0.first().is_some_and(|flag| *flag != 0);
    let first = |at| list_of(their_offer, at).and_then(|list| list.into_iter().next()).unwrap_or_default();
    guesses && !(EXCHANGES.split(',').next() == Some(first(0).as_str()) && first(1) == algorithm)
}

/// Whether the proof is one, and the kind of the key.
fn verify(key: &[u8], proof: &[u8], hash: &[u8], algorithm: &str) -> Option<String> {
    let mut key = Fields(key);
    let mut proof = Fields(proof);
    let kind = String::from_utf8(key.bytes()?.to_vec()).ok()?;
    let signed_as = proof.bytes()?;
    let signature = proof.bytes()?;
    if signed_as != algorithm.as_bytes() {
        return None;
    }
    match (kind.as_str(), algorithm) {
        ("ssh-ed25519", "ssh-ed25519") => {
            Verifier::new(&signature::ED25519, key.bytes()?).verify(hash, signature).ok()?;
        }
        ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256") => {
            (key.bytes()? == b"nistp256").then_some(())?;
            let mut parts = Fields(signature);
            let mut fixed = padded(parts.bytes()?)?.to_vec();
            fixed.extend_from_slice(&padded(parts.bytes()?)?);
            Verifier::new(&signature::ECDSA_P256_SHA256_FIXED, key.bytes()?).verify(hash, &fixed).ok()?;
        }
        ("ssh-rsa", "rsa-sha2-512" | "rsa-sha2-256") => {
            let parameters = match algorithm {
                "rsa-sha2-512" => &signature::RSA_PKCS1_2048_8192_SHA512,
                _ => &signature::RSA_PKCS1_2048_8192_SHA256,
            };
            let (e, n) = (plain(key.bytes()?), plain(key.bytes()?));
            RsaPublicKeyComponents { n, e }.verify(parameters, hash, signature).ok()?;
        }
        _ => return None,
    }
    Some(kind)
}

/// A number without zeros before it.
fn plain(number: &[u8]) -> &[u8] {
    &number[number.iter().position(|byte| *byte != 0).unwrap_or(number.len())..]
}

/// A number of at most 32 bytes, filled up from the left.
fn padded(number: &[u8]) -> Option<[u8; 32]> {
    let number = plain(number);
    let mut fixed = [0; 32];
    fixed.get_mut(32_usize.checked_sub(number.len())?..)?.copy_from_slice(number);
    Some(fixed)
}

/// A number as RFC 4251, section 5, writes it: the shortest form that is not negative.
fn number(bytes: &[u8]) -> Vec<u8> {
    let mut number = plain(bytes).to_vec();
    if number.first().is_some_and(|first| *first >= 0x80) {
        number.insert(0, 0);
    }
    number
}

/// Adds bytes with their length before them.
fn put(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    to.extend_from_slice(bytes);
}

/// Fields with their lengths before them.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let length = u32::from_be_bytes(*length) as usize;
        let field = rest.get(..length)?;
        self.0 = &rest[length..];
        Some(field)
    }
}

/// Packets in clear (section 6).
struct Packets<'a, 'b, S> {
    talk: &'a mut Talk<'b, S>,
    peer: &'a str,
}

impl<S: Stream> Packets<'_, '_, S> {
    async fn send(&mut self, payload: &[u8]) -> Result<(), Problem> {
        // At least four bytes of padding, up to a multiple of eight.
        let padding = 4 + (8 - (payload.len() + 9) % 8) % 8;
        let mut packet = ((payload.len() + padding + 1) as u32).to_be_bytes().to_vec();
        packet.push(padding as u8);
        packet.extend_from_slice(payload);
        packet.resize(packet.len() + padding, 0);
        self.talk.say(&packet).await
    }

    async fn any(&mut self) -> Result<Vec<u8>, Problem> {
        let odd = || Problem::fail(Reason::BannerMismatch, format!("{} does not speak SSH 2 as it should", self.peer));
        let head = self.talk.exactly(5).await?;
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let padding = usize::from(head[4]);
        if !(2..=LARGEST).contains(&length) || padding + 2 > length {
            return Err(odd());
        }
        let mut payload = self.talk.exactly(length - 1).await?;
        payload.truncate(length - 1 - padding);
        Ok(payload)
    }

    /// The next packet of a kind. Remarks are passed over.
    async fn next(&mut self, kind: u8) -> Result<Vec<u8>, Problem> {
        for _ in 0..MOST_PACKETS {
            let payload = self.any().await?;
            match payload.first() {
                Some(first) if *first == kind => return Ok(payload),
                Some(1) => {
                    let mut fields = Fields(payload.get(5..).unwrap_or_default());
                    let why = quoted(&String::from_utf8_lossy(fields.bytes().unwrap_or_default()), &[]);
                    return Err(Problem::fail(Reason::BannerMismatch, format!("{} ends the talk: {why}", self.peer)));
                }
                Some(2..=4 | 7) => {}
                _ => break,
            }
        }
        Err(Problem::fail(Reason::BannerMismatch, format!("{} does not speak SSH 2 as it should", self.peer)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fingerprints_are_read() {
        let digest = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU";
        assert_eq!(HostKey::parse(digest).unwrap().algorithms(), KEYS);
        assert_eq!(HostKey::parse(&format!("ssh-rsa {digest}")).unwrap().algorithms(), "rsa-sha2-512,rsa-sha2-256");
        for wrong in ["", "SHA256:", "SHA256:abc", "MD5:aa:bb", &format!("ssh-dss {digest}")] {
            assert!(HostKey::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_are_never_negative() {
        assert_eq!(number(&[0, 0, 0x80]), [0, 0x80]);
        assert_eq!(number(&[0, 1]), [1]);
        assert!(number(&[0]).is_empty());
        assert_eq!(padded(&[0; 40]), Some([0; 32]));
        assert_eq!(padded(&[1; 33]), None);
    }

    proptest! {
        #[test]
        fn no_offer_and_no_proof_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = agreed(&bytes, KEYS);
            let _ = guessed_wrong(&bytes, "ssh-ed25519");
            prop_assert_eq!(verify(&bytes, &bytes, &[0; 32], "ssh-ed25519"), None);
        }
    }
}
