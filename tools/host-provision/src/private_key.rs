//! Private keys, which must lie nowhere but in secrets.

/// Whether a text holds one: in PEM (RFC 7468; OpenSSH, PKCS 1 and 8), or of age.
pub(crate) fn is_one(bytes: &[u8]) -> bool {
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(64 * 1024)]);
    let pem =
        start.lines().any(|line| line.starts_with("-----BEGIN ") && line.trim_end().ends_with("PRIVATE KEY-----"));
    // Split, so that this very text is no key for those who look for them.
    pem || start.contains(concat!("AGE-SECRET", "-KEY-1")) || start.contains(concat!("AGE-SECRET", "-KEY-PQ-1"))
}

#[cfg(test)]
mod tests {
    use super::is_one;

    #[test]
    fn keys_of_every_kind() {
        for key in [
            "a\n-----BEGIN OPENSSH PRIVATE KEY-----\r\n",
            "-----BEGIN PRIVATE KEY-----",
            concat!("# x\nAGE-SECRET", "-KEY-1AB"),
        ] {
            assert!(is_one(key.as_bytes()), "{key}");
        }
        for other in ["", "-----BEGIN PUBLIC KEY-----", "ssh-ed25519 AAAA", "PRIVATE KEY-----", "age1abc"] {
            assert!(!is_one(other.as_bytes()), "{other}");
        }
    }
}
