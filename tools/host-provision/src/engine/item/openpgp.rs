//! Fingerprints of OpenPGP keys (RFC 9580), so that a host needs no gpg to know whose key it trusts.

use base64::Engine as _;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::engine::hash::hex;

/// The packet tag of a primary public key (RFC 9580 section 5).
const PRIMARY: u8 = 6;

/// The fingerprints of all primary keys in an ASCII-armoured block, in capital hexadecimal; `None` where it is none.
pub(super) fn fingerprints(armoured: &str) -> Option<Vec<String>> {
    let bytes = unarmour(armoured)?;
    let mut found = Vec::new();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let (tag, body, after) = packet(rest)?;
        if tag == PRIMARY {
            found.push(fingerprint(body)?);
        }
        rest = after;
    }
    (!found.is_empty()).then_some(found)
}

/// The bytes of all armoured public keys in a text.
fn unarmour(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut base64 = String::new();
    // Headers end with an empty line; the checksum begins with an equals sign.
    let (mut inside, mut body) = (false, false);
    for line in text.lines().map(str::trim) {
        match line {
            "-----BEGIN PGP PUBLIC KEY BLOCK-----" => (inside, body) = (true, false),
            "-----END PGP PUBLIC KEY BLOCK-----" => {
                let decoded = base64::engine::general_purpose::STANDARD.decode(&base64).ok()?;
                bytes.extend(decoded);
                base64.clear();
                inside = false;
            }
            "" => body = true,
            line if inside && body && !line.starts_with('=') => base64.push_str(line),
            _ => {}
        }
    }
    (!bytes.is_empty() && !inside).then_some(bytes)
}

/// The first packet: its tag, its body, and what comes after (RFC 9580 section 4.2).
fn packet(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let number = |at: usize, length: usize| -> Option<usize> {
        Some(bytes.get(at..at + length)?.iter().fold(0, |value, byte| (value << 8) | usize::from(*byte)))
    };
    let first = *bytes.first()?;
    let (tag, start, length) = match first & 0xc0 {
        0xc0 => {
            let (start, length) = match number(1, 1)? {
                short @ 0..192 => (2, short),
                middle @ 192..224 => (3, ((middle - 192) << 8) + number(2, 1)? + 192),
                255 => (6, number(2, 4)?),
                // A body in parts is only for data.
                _ => return None,
            };
            (first & 0x3f, start, length)
        }
        0x80 => {
            let width = match first & 3 {
                0 => 1,
                1 => 2,
                2 => 4,
                _ => return None,
            };
            ((first >> 2) & 0x0f, 1 + width, number(1, width)?)
        }
        _ => return None,
    };
    let end = start.checked_add(length)?;
    Some((tag, bytes.get(start..end)?, bytes.get(end..)?))
}

fn fingerprint(body: &[u8]) -> Option<String> {
    let long = u32::try_from(body.len()).ok()?.to_be_bytes();
    let hash = match body.first()? {
        4 => {
            let short = u16::try_from(body.len()).ok()?.to_be_bytes();
            hex(&Sha1::new().chain_update([0x99]).chain_update(short).chain_update(body).finalize())
        }
        6 => hex(&Sha256::new().chain_update([0x9b]).chain_update(long).chain_update(body).finalize()),
        _ => return None,
    };
    Some(hash.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The key of RFC 9580 appendix A.3 (version 6); its fingerprint is given there.
    const SAMPLE: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nxioGY4d/4xsAAAAg+U2nu0jWCmHlZ3BqZYfQMxmZu52JGggkLq2EVD34laPCsQYf\nGwoAAABCBYJjh3/jAwsJBwUVCg4IDAIWAAKbAwIeCSIhBssYbE8GCaaX5NUt+mxy\nKwwfHifBilZwj2Ul7Ce62azJBScJAgcCAAAAAK0oIBA+LX0ifsDm185Ecds2v8lw\ngyU2kCcUmKfvBXbAf6rhRYWzuQOwEn7E/aLwIwRaLsdry0+VcallHhSu4RN6HWaE\nQsiPlR4zxP/TP7mhfVEe7XWPxtnMUMtf15OyA51YBM4qBmOHf+MZAAAAIIaTJINn\n+eUBXbki+PSAld2nhJh/LVmFsS+60WyvXkQ1wpsGGBsKAAAALAWCY4d/4wKbDCIh\nBssYbE8GCaaX5NUt+mxyKwwfHifBilZwj2Ul7Ce62azJAAAAAAQBIKbpGG2dWTX8\nj+VjFM21J0hqWlEg+bdiojWnKfA5AQpWUWtnNwDEM0g12vYxoWM8Y81W+bHBw805\nI8kWVkXU6vFOi+HWvv/ira7ofJu16NnoUkhclkUrk0mXubZvyl4GBg==\n-----END PGP PUBLIC KEY BLOCK-----\n";

    #[test]
    fn the_sample_of_the_standard() {
        let found = fingerprints(SAMPLE).unwrap_or_default();
        assert_eq!(found, ["CB186C4F0609A697E4D52DFA6C722B0C1F1E27C18A56708F6525EC27BAD9ACC9"]);
        // Two blocks are two keys.
        assert_eq!(fingerprints(&format!("{SAMPLE}\n{SAMPLE}")).map_or(0, |found| found.len()), 2);
        assert_eq!(fingerprints("no key"), None);
        assert_eq!(fingerprints(&SAMPLE[..400]), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), text in "\\PC{0,60}") {
            let _ = packet(&bytes);
            let _ = fingerprints(&text);
        }
    }
}
