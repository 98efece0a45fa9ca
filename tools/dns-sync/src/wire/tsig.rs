//! Signatures of messages with a shared secret (RFC 8945).

use std::time::{SystemTime, UNIX_EPOCH};

use contract::document::TsigAlgorithm;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha384, Sha512};

use super::message::HEADER;
use super::{Class, Message, Rcode, Section};
use crate::name::Name;
use crate::record_type::RecordType;

/// A key that a server knows too.
#[derive(Clone)]
pub(crate) struct TsigKey {
    /// Its name.
    pub(crate) name: Name,
    algorithm: TsigAlgorithm,
    secret: cli::Secret,
}

/// Why a signature is no good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TsigError {
    #[error("the server does not know the key (BADKEY)")]
    BadKey,
    #[error("the server finds the signature wrong (BADSIG)")]
    BadSignature,
    #[error("the clocks are too far apart (BADTIME): the server's differs by {0} s")]
    BadTime(i64),
    #[error("the server refuses the signature (error {0})")]
    Other(u16),
    #[error("the answer is not signed")]
    Unsigned,
    #[error("the signature of the answer is wrong")]
    Forged,
}

impl TsigError {
    /// What to do about it.
    pub(crate) fn hint(self) -> &'static str {
        match self {
            Self::BadKey => "the key's name and algorithm must be those in the server's configuration",
            Self::BadSignature | Self::Forged => "the secret or the algorithm is not that of the server",
            Self::BadTime(_) => "set both clocks (NTP); at most 300 s may lie between them",
            Self::Unsigned => "the server answers without the key: is the zone configured for it?",
            Self::Other(_) => "the log of the server says more",
        }
    }
}

/// Seconds that a signature is valid before and after its time.
const FUDGE: u16 = 300;
/// Messages without a signature that may follow each other in a transfer (RFC 8945 section 5.3.1).
const MOST_UNSIGNED: u32 = 99;

impl TsigKey {
    /// A key from its parts; the secret is the bytes, not the base64.
    pub(crate) fn new(name: Name, algorithm: TsigAlgorithm, secret: cli::Secret) -> Self {
        Self { name, algorithm, secret }
    }

    /// The algorithm's name on the wire (RFC 8945 section 6).
    fn algorithm(&self) -> &'static [u8] {
        match self.algorithm {
            TsigAlgorithm::HmacSha256 => b"\x0bhmac-sha256\x00",
            TsigAlgorithm::HmacSha384 => b"\x0bhmac-sha384\x00",
            TsigAlgorithm::HmacSha512 => b"\x0bhmac-sha512\x00",
        }
    }

    fn mac(&self, parts: &[&[u8]]) -> Vec<u8> {
        fn run<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
            // HMAC takes keys of every length, so this is always `Ok`.
            let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else { return Vec::new() };
            for part in parts {
                mac.update(part);
            }
            mac.finalize().into_bytes().to_vec()
        }
        match self.algorithm {
            TsigAlgorithm::HmacSha256 => run::<Hmac<Sha256>>(self.secret.bytes(), parts),
            TsigAlgorithm::HmacSha384 => run::<Hmac<Sha384>>(self.secret.bytes(), parts),
            TsigAlgorithm::HmacSha512 => run::<Hmac<Sha512>>(self.secret.bytes(), parts),
        }
    }

    /// What is signed besides the message (RFC 8945 section 4.3.3).
    fn variables(&self, time: u64, fudge: u16, error: u16, other: &[u8]) -> Vec<u8> {
        let mut bytes = self.name.wire().to_vec();
        bytes.extend((Class::Any as u16).to_be_bytes());
        bytes.extend(0_u32.to_be_bytes());
        bytes.extend_from_slice(self.algorithm());
        bytes.extend(timers(time, fudge));
        bytes.extend(error.to_be_bytes());
        bytes.extend((other.len() as u16).to_be_bytes());
        bytes.extend_from_slice(other);
        bytes
    }
}

fn timers(time: u64, fudge: u16) -> Vec<u8> {
    let mut bytes = time.to_be_bytes()[2..].to_vec();
    bytes.extend(fudge.to_be_bytes());
    bytes
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// One signed request and the messages that answer it.
pub(crate) struct TsigExchange<'a> {
    key: &'a TsigKey,
    /// The signature before the next message.
    last_mac: Vec<u8>,
    first: bool,
    /// Messages without a signature since the last one with.
    unsigned: Vec<u8>,
    unsigned_count: u32,
}

/// The fields of a TSIG record.
struct Tsig<'a> {
    algorithm: Name,
    time: u64,
    fudge: u16,
    mac: &'a [u8],
    original_id: u16,
    error: u16,
    other: &'a [u8],
}

impl<'a> TsigExchange<'a> {
    /// Signs a request.
    pub(crate) fn sign(key: &'a TsigKey, message: &mut Vec<u8>) -> Self {
        Self::sign_at(key, message, now())
    }

    fn sign_at(key: &'a TsigKey, message: &mut Vec<u8>, time: u64) -> Self {
        let mac = key.mac(&[message, &key.variables(time, FUDGE, 0, &[])]);
        let mut rdata = key.algorithm().to_vec();
        rdata.extend(timers(time, FUDGE));
        rdata.extend((mac.len() as u16).to_be_bytes());
        rdata.extend_from_slice(&mac);
        rdata.extend_from_slice(&message[..2]);
        rdata.extend([0; 4]);
        message.extend_from_slice(key.name.wire());
        message.extend(RecordType::TSIG.0.to_be_bytes());
        message.extend((Class::Any as u16).to_be_bytes());
        message.extend(0_u32.to_be_bytes());
        message.extend((rdata.len() as u16).to_be_bytes());
        message.extend(rdata);
        let count = u16::from_be_bytes([message[10], message[11]]) + 1;
        message[10..12].copy_from_slice(&count.to_be_bytes());
        Self { key, last_mac: mac, first: true, unsigned: Vec::new(), unsigned_count: 0 }
    }

    /// Checks the next message of the answer. Messages without a signature are accepted between signed ones; `end` must be
    /// called after the last.
    pub(crate) fn verify(&mut self, message: &Message<'_>) -> Result<(), TsigError> {
        self.verify_at(message, now())
    }

    fn verify_at(&mut self, message: &Message<'_>, now: u64) -> Result<(), TsigError> {
        let record = message.records.last().filter(|record| record.record_type == RecordType::TSIG);
        let Some(record) = record.filter(|record| record.section == Section::Additional) else {
            if self.first || self.unsigned_count >= MOST_UNSIGNED {
                return Err(TsigError::Unsigned);
            }
            self.unsigned_count += 1;
            self.unsigned.extend_from_slice(message.bytes);
            return Ok(());
        };
        let tsig = read(message.bytes, record.rdata_at, record.rdata_length).ok_or(TsigError::Forged)?;
        let error = match tsig.error {
            0 => None,
            16 => Some(TsigError::BadSignature),
            17 => Some(TsigError::BadKey),
            18 => {
                let theirs = tsig.other.iter().fold(0_i64, |sum, byte| sum << 8 | i64::from(*byte));
                Some(TsigError::BadTime(theirs - now as i64))
            }
            other => Some(TsigError::Other(other)),
        };
        // These cannot be signed (RFC 8945 section 5.3.2), and all that they can do is to end the run.
        if let Some(error) = error {
            return Err(error);
        }
        if record.name != self.key.name || tsig.algorithm.wire() != self.key.algorithm() {
            return Err(TsigError::Forged);
        }
        let mut plain = message.bytes[..message.last_record_at].to_vec();
        plain[..2].copy_from_slice(&tsig.original_id.to_be_bytes());
        let count = u16::from_be_bytes([plain[10], plain[11]]).wrapping_sub(1);
        plain[10..HEADER].copy_from_slice(&count.to_be_bytes());
        let variables = if self.first {
            self.key.variables(tsig.time, tsig.fudge, tsig.error, tsig.other)
        } else {
            timers(tsig.time, tsig.fudge)
        };
        let length = (self.last_mac.len() as u16).to_be_bytes();
        let mac = self.key.mac(&[&length, &self.last_mac, &self.unsigned, &plain, &variables]);
        if !same(&mac, tsig.mac) {
            return Err(TsigError::Forged);
        }
        if now.abs_diff(tsig.time) > u64::from(tsig.fudge) {
            return Err(TsigError::BadTime(tsig.time as i64 - now as i64));
        }
        self.last_mac = mac;
        self.first = false;
        self.unsigned.clear();
        self.unsigned_count = 0;
        Ok(())
    }

    /// The last message of an answer must be signed.
    pub(crate) fn end(&self) -> Result<(), TsigError> {
        if self.first || self.unsigned_count > 0 { Err(TsigError::Unsigned) } else { Ok(()) }
    }
}

/// Compares in a time that does not depend on where the first difference is.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

fn read(message: &[u8], at: usize, length: usize) -> Option<Tsig<'_>> {
    let bytes = message.get(..at + length)?;
    let (algorithm, at) = Name::from_message(bytes, at).ok()?;
    let word = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let time = bytes.get(at..at + 6)?.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    let mac_length = usize::from(word(at + 8)?);
    let mac = bytes.get(at + 10..at + 10 + mac_length)?;
    let end = at + 10 + mac_length;
    let other = bytes.get(end + 6..end + 6 + usize::from(word(end + 4)?))?;
    Some(Tsig { algorithm, time, fudge: word(at + 6)?, mac, original_id: word(end)?, error: word(end + 2)?, other })
}

/// Whether an answer is one to a request that the server could not check: then the code of the TSIG record says more.
pub(crate) fn is_tsig_failure(message: &Message<'_>) -> bool {
    message.rcode == Rcode::NOTAUTH && message.records.last().is_some_and(|last| last.record_type == RecordType::TSIG)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::{Opcode, Writer};
    use super::*;

    fn key(secret: &[u8]) -> TsigKey {
        TsigKey::new(Name::absolute("key").unwrap(), TsigAlgorithm::HmacSha512, cli::Secret::from(secret.to_vec()))
    }

    #[test]
    fn a_signature_is_bound_to_secret_message_and_time() {
        let zone = Name::absolute("example.org").unwrap();
        let (ours, others) = (key(b"secret"), key(b"another"));
        let mut request = Writer::new(1, Opcode::Query, &zone, RecordType::SOA).finish();
        let mut exchange = TsigExchange::sign_at(&ours, &mut request, 1000);
        // An answer signed as servers do: over the request's signature too.
        let mut answer = Writer::new(1, Opcode::Query, &zone, RecordType::SOA).finish();
        let plain = answer.clone();
        let length = (exchange.last_mac.len() as u16).to_be_bytes();
        let mac = ours.mac(&[&length, &exchange.last_mac, &plain, &ours.variables(1000, FUDGE, 0, &[])]);
        TsigExchange::sign_at(&ours, &mut answer, 1000);
        let at = answer.len() - 6 - mac.len();
        answer[at..at + mac.len()].copy_from_slice(&mac);
        let message = Message::parse(&answer).unwrap();
        assert_eq!(
            TsigExchange {
                key: &others,
                last_mac: exchange.last_mac.clone(),
                first: true,
                unsigned: vec![],
                unsigned_count: 0
            }
            .verify_at(&message, 1000),
            Err(TsigError::Forged)
        );
        assert_eq!(exchange.verify_at(&message, 2000), Err(TsigError::BadTime(-1000)));
        assert_eq!(exchange.verify_at(&message, 1100), Ok(()));
        assert_eq!(exchange.end(), Ok(()));
        let unsigned = Message::parse(&plain).unwrap();
        assert_eq!(exchange.verify_at(&unsigned, 1100), Ok(()));
        assert_eq!(exchange.end(), Err(TsigError::Unsigned));
        let mut fresh = TsigExchange::sign_at(&ours, &mut plain.clone(), 1000);
        assert_eq!(fresh.verify_at(&unsigned, 1000), Err(TsigError::Unsigned));
    }
}
