//! X-Wing (draft-connolly-cfrg-xwing-kem), the KEM MLKEM768-X25519 of hybrid age keys: who wants the secret has to break both.

use ml_kem::kem::Decapsulate;
use ml_kem::{B32, Ciphertext, EncapsulateDeterministic, Encoded, EncodedSizeUser, KemCore, MlKem768};
use sha3::digest::{ExtendableOutput, Update, XofReader};
use sha3::{Digest, Sha3_256, Shake256};
use x25519_dalek::{PublicKey as PointX, StaticSecret};
use zeroize::Zeroizing;

type EncapsulationKey = <MlKem768 as KemCore>::EncapsulationKey;
type DecapsulationKey = <MlKem768 as KemCore>::DecapsulationKey;

/// Bytes of the ML-KEM-768 halves of a public key and of a ciphertext (FIPS 203, table 3); 32 of X25519 follow each.
const PUBLIC: usize = 1184;
const CIPHERTEXT: usize = 1088;
/// What sets its hashes apart from others'.
const LABEL: &[u8] = br"\.//^\";

/// A public key.
#[derive(Clone)]
pub(super) struct PublicKey {
    lattice: EncapsulationKey,
    point: PointX,
}

/// A private key.
pub(super) struct PrivateKey {
    lattice: DecapsulationKey,
    scalar: StaticSecret,
    public: PublicKey,
}

impl PublicKey {
    /// The key of these bytes; `None` unless they are one (FIPS 203 section 7.2 wants that checked).
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (lattice, point) = bytes.split_at_checked(PUBLIC)?;
        let encoded = Encoded::<EncapsulationKey>::try_from(lattice).ok()?;
        let lattice = EncapsulationKey::from_bytes(&encoded);
        let point = PointX::from(<[u8; 32]>::try_from(point).ok()?);
        (lattice.as_bytes() == encoded).then_some(Self { lattice, point })
    }

    /// Its bytes.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        [self.lattice.as_bytes().as_slice(), self.point.as_bytes()].concat()
    }

    /// A ciphertext for it and the secret in it; `None` for a point that gives no secret.
    pub(super) fn encapsulate(&self, randomness: &[u8; 64]) -> Option<(Vec<u8>, Zeroizing<[u8; 32]>)> {
        let (message, scalar) = randomness.split_at(32);
        let message = Zeroizing::new(<[u8; 32]>::try_from(message).ok()?);
        let scalar = StaticSecret::from(<[u8; 32]>::try_from(scalar).ok()?);
        let (lattice, secret) = self.lattice.encapsulate_deterministic(&B32::from(*message)).ok()?;
        let point = PointX::from(&scalar);
        let shared = combine(&secret, &scalar, &self.point, &point, &self.point)?;
        Some(([lattice.as_slice(), point.as_bytes()].concat(), shared))
    }
}

impl PrivateKey {
    /// The key that follows from a seed.
    pub(super) fn from_seed(seed: &[u8; 32]) -> Self {
        let mut expanded = Zeroizing::new([0; 96]);
        let mut hash = Shake256::default();
        hash.update(seed);
        hash.finalize_xof().read(&mut *expanded);
        let part = |at: usize| {
            let mut part = Zeroizing::new([0; 32]);
            part.copy_from_slice(&expanded[at..at + 32]);
            part
        };
        let (lattice, public) = MlKem768::generate_deterministic(&B32::from(*part(0)), &B32::from(*part(32)));
        let scalar = StaticSecret::from(*part(64));
        let public = PublicKey { lattice: public, point: PointX::from(&scalar) };
        Self { lattice, scalar, public }
    }

    /// Its public half.
    pub(super) fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The secret in a ciphertext; `None` if it is none. A ciphertext for another key gives another secret.
    pub(super) fn decapsulate(&self, bytes: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
        let (lattice, point) = bytes.split_at_checked(CIPHERTEXT)?;
        let lattice = Ciphertext::<MlKem768>::try_from(lattice).ok()?;
        let point = PointX::from(<[u8; 32]>::try_from(point).ok()?);
        let secret = self.lattice.decapsulate(&lattice).ok()?;
        combine(&secret, &self.scalar, &point, &point, &self.public.point)
    }
}

/// The secret of both: `SHA3-256(lattice secret, point secret, ciphertext point, public point, label)`.
fn combine(
    lattice: &[u8],
    scalar: &StaticSecret,
    other: &PointX,
    sent: &PointX,
    public: &PointX,
) -> Option<Zeroizing<[u8; 32]>> {
    let shared = scalar.diffie_hellman(other);
    if !shared.was_contributory() {
        return None;
    }
    let mut hash = Sha3_256::new();
    for part in [lattice, shared.as_bytes(), sent.as_bytes(), public.as_bytes(), LABEL] {
        Digest::update(&mut hash, part);
    }
    Some(Zeroizing::new(hash.finalize().into()))
}
