//! Who a host is: pinned keys, fingerprints, and the user's known_hosts, read by ourselves because the library's own
//! reader passes over revoked keys, certificate authorities and patterns.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use cli::Failure;
use contract::Exit;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::pattern::fits;

/// A public key of a host: its bytes as they go over the wire (RFC 4253 section 6.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(Vec<u8>);

impl PublicKey {
    /// From the bytes of the wire.
    pub fn from_wire(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// From `TYPE BASE64`, with or without a comment.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let kind = words.next()?;
        let bytes = STANDARD.decode(words.next()?).ok()?;
        let key = Self(bytes);
        (key.kind()? == kind).then_some(key)
    }

    /// The public half of a private key file: OpenSSH's own format holds it in clear (PROTOCOL.key); beside others it may
    /// lie in a file of the same name with `.pub`.
    pub fn of_identity(path: &std::path::Path) -> Option<Self> {
        let text = std::fs::read_to_string(path).ok()?;
        let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
        let bytes = STANDARD.decode(body.trim()).unwrap_or_default();
        let inside = bytes.strip_prefix(b"openssh-key-v1\0").and_then(|mut rest| {
            let mut field = || {
                let length = u32::from_be_bytes(rest.get(..4)?.try_into().ok()?) as usize;
                let field = rest.get(4..4 + length)?;
                rest = &rest[4 + length..];
                Some(field)
            };
            // Cipher, key derivation and its options; then the number of keys, and the first of them.
            field()?;
            field()?;
            field()?;
            let length = u32::from_be_bytes(rest.get(4..8)?.try_into().ok()?) as usize;
            Some(Self(rest.get(8..8 + length)?.to_vec()))
        });
        inside.filter(|key| key.kind().is_some()).or_else(|| {
            let mut beside = path.as_os_str().to_owned();
            beside.push(".pub");
            Self::parse(&std::fs::read_to_string(beside).ok()?)
        })
    }

    /// Its type, such as `ssh-ed25519`.
    pub fn kind(&self) -> Option<&str> {
        let length = u32::from_be_bytes(self.0.get(..4)?.try_into().ok()?) as usize;
        std::str::from_utf8(self.0.get(4..4 + length)?).ok()
    }

    /// `SHA256:...` as ssh-keygen prints it.
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(&self.0)))
    }

    /// `TYPE BASE64`, as an inventory holds it.
    pub fn line(&self) -> String {
        format!("{} {}", self.kind().unwrap_or("unknown"), STANDARD.encode(&self.0))
    }
}

/// What is known of a host's keys.
#[derive(Debug, Clone, Default)]
pub struct HostKeys {
    pinned: Vec<PublicKey>,
    fingerprint: Option<String>,
    accept_new: bool,
    /// What was known before does not count.
    replaced: bool,
}

/// What a key turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is the host's.
    Known,
    /// It was taken because `--accept-new` says so.
    New,
}

impl HostKeys {
    /// From the inventory's lines and the flags.
    ///
    /// # Errors
    /// 65 for a line that is no key, 2 for a fingerprint that is none.
    pub fn new(lines: &[String], fingerprint: Option<&str>, accept_new: bool) -> Result<Self, Failure> {
        let pinned = lines.iter().map(|line| {
            PublicKey::parse(line).ok_or_else(|| {
                Failure::new(Exit::BadDocument, "bad_host_key", "a host key of the inventory is none")
                    .hint("write it as TYPE BASE64, as keyscan prints it")
            })
        });
        if fingerprint.is_some_and(|text| !text.starts_with("SHA256:") || text.len() < 20) {
            return Err(Failure::new(Exit::Usage, "usage", "--host-key takes a fingerprint as SHA256:..."));
        }
        let fingerprint = fingerprint.map(|text| text.trim_end_matches('=').to_owned());
        Ok(Self { pinned: pinned.collect::<Result<_, _>>()?, fingerprint, accept_new, replaced: false })
    }

    /// Types of the pinned keys, to be asked for: a host has several keys and shows one.
    pub fn kinds(&self, known_hosts: &KnownHosts, address: &str, port: u16) -> Vec<String> {
        let pinned = self.pinned.iter().filter_map(|key| Some(key.kind()?.to_owned()));
        let mut kinds: Vec<String> = pinned.collect();
        if kinds.is_empty() && self.fingerprint.is_none() && !self.replaced {
            kinds.extend(known_hosts.keys(address, port).iter().filter_map(|key| Some(key.kind()?.to_owned())));
        }
        kinds.dedup();
        kinds
    }

    /// The same, with this key alone.
    #[must_use]
    pub fn pinned_to(&self, key: PublicKey) -> Self {
        Self { pinned: vec![key], fingerprint: None, accept_new: false, replaced: false }
    }

    /// The same for a host that was made anew: what was known of the old one does not count, but a revoked key is one.
    #[must_use]
    pub fn made_anew(&self) -> Self {
        Self { pinned: Vec::new(), replaced: true, ..self.clone() }
    }

    /// The pinned keys, for a transport that has to be told.
    pub fn pinned(&self) -> &[PublicKey] {
        &self.pinned
    }

    /// Whether new keys are taken.
    pub fn accepts_new(&self) -> bool {
        self.accept_new
    }

    /// The fingerprint of the command line.
    pub fn fingerprint(&self) -> Option<&str> {
        self.fingerprint.as_deref()
    }

    /// Judges the key that a host shows.
    ///
    /// # Errors
    /// 77 for a key that is not the host's or of which nothing is known.
    pub fn judge(
        &self,
        key: &PublicKey,
        known_hosts: &KnownHosts,
        address: &str,
        port: u16,
    ) -> Result<Verdict, Failure> {
        let shown = key.fingerprint();
        if known_hosts.is_revoked(key, address, port) {
            return Err(refused(
                "host_key_revoked",
                format!("the host shows the key {shown}, which known_hosts revokes"),
            ));
        }
        if let Some(wanted) = &self.fingerprint {
            return if *wanted == shown { Ok(Verdict::Known) } else { Err(mismatch(&shown, wanted)) };
        }
        let known = if self.replaced {
            Vec::new()
        } else if self.pinned.is_empty() {
            known_hosts.keys(address, port)
        } else {
            self.pinned.clone()
        };
        if known.contains(key) {
            return Ok(Verdict::Known);
        }
        if !known.is_empty() {
            let wanted: Vec<String> = known.iter().map(PublicKey::fingerprint).collect();
            return Err(mismatch(&shown, &wanted.join(" or ")));
        }
        if self.accept_new {
            return Ok(Verdict::New);
        }
        Err(refused("host_key_unknown", format!("nothing is known of the host's key, which is {shown}")).hint(format!(
            "compare it with what the provider's console shows, then use --host-key {shown} or --accept-new"
        )))
    }
}

fn refused(code: &str, message: String) -> Failure {
    Failure::new(Exit::Permission, code, message)
}

fn mismatch(shown: &str, wanted: &str) -> Failure {
    refused("host_key_mismatch", format!("the host shows the key {shown}, but it has to be {wanted}")).hint(
        "another machine answers there, or the host was installed anew; only in the latter case change the pinned key",
    )
}

/// The lines of known_hosts files (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT").
#[derive(Debug, Clone, Default)]
pub struct KnownHosts(Vec<Line>);

#[derive(Debug, Clone)]
struct Line {
    revoked: bool,
    authority: bool,
    hosts: String,
    key: PublicKey,
}

impl KnownHosts {
    /// The user's own file and the system's.
    pub fn of_user() -> Self {
        let home = std::env::var_os("HOME").map(std::path::PathBuf::from);
        let files = [home.map(|home| home.join(".ssh/known_hosts")), Some("/etc/ssh/ssh_known_hosts".into())];
        let texts = files.into_iter().flatten().filter_map(|path| std::fs::read_to_string(path).ok());
        Self(texts.flat_map(|text| Self::parse(&text).0).collect())
    }

    /// Reads lines. A certificate authority is no key of a host, but says that the host shows a certificate.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter_map(|line| {
            let line = line.trim();
            let (marker, rest) = match line.strip_prefix('@') {
                Some(rest) => rest.split_once(char::is_whitespace)?,
                None => ("", line),
            };
            if line.is_empty() || line.starts_with('#') || !matches!(marker, "" | "revoked" | "cert-authority") {
                return None;
            }
            let (hosts, key) = rest.trim().split_once(char::is_whitespace)?;
            let (revoked, authority) = (marker == "revoked", marker == "cert-authority");
            Some(Line { revoked, authority, hosts: hosts.to_owned(), key: PublicKey::parse(key)? })
        });
        Self(lines.collect())
    }

    /// The keys of a host.
    pub fn keys(&self, address: &str, port: u16) -> Vec<PublicKey> {
        let lines = self.0.iter().filter(|line| !line.revoked && !line.authority && line.matches(address, port));
        lines.map(|line| line.key.clone()).collect()
    }

    /// Whether a host's key would be vouched for by an authority, and is not known itself.
    pub fn has_authority(&self, address: &str, port: u16) -> bool {
        self.0.iter().any(|line| line.authority && line.matches(address, port)) && self.keys(address, port).is_empty()
    }

    /// Whether a key must never be accepted.
    pub fn is_revoked(&self, key: &PublicKey, address: &str, port: u16) -> bool {
        self.0.iter().any(|line| line.revoked && line.key == *key && line.matches(address, port))
    }
}

impl Line {
    fn matches(&self, address: &str, port: u16) -> bool {
        let name = if port == 22 {
            address.to_ascii_lowercase()
        } else {
            format!("[{}]:{port}", address.to_ascii_lowercase())
        };
        if let Some(hashed) = self.hosts.strip_prefix("|1|") {
            return is_hash_of(hashed, &name);
        }
        let mut found = false;
        for pattern in self.hosts.split(',') {
            match pattern.strip_prefix('!') {
                Some(pattern) if fits(&pattern.to_ascii_lowercase(), &name) => return false,
                Some(_) => {}
                None => found |= fits(&pattern.to_ascii_lowercase(), &name),
            }
        }
        found
    }
}

/// `salt|hash` of a hashed line: HMAC-SHA1 of the name with the salt as key.
fn is_hash_of(hashed: &str, name: &str) -> bool {
    let Some((salt, hash)) = hashed.split_once('|') else { return false };
    let (Ok(salt), Ok(hash)) = (STANDARD.decode(salt), STANDARD.decode(hash)) else { return false };
    let Ok(mut mac) = Hmac::<sha1::Sha1>::new_from_slice(&salt) else { return false };
    mac.update(name.as_bytes());
    mac.verify_slice(&hash).is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGMEqbYl1h5vxqr0CBo3oDSq9ipkTCxUsqMGuiAZxBQh";
    const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEaSn7Q0kiHoTNUhHw4rTiV0hOeHlFHyFbAnwpLcxOMT";

    #[test]
    fn every_form_of_a_line() {
        let key = PublicKey::parse(KEY).unwrap();
        let text = format!(
            "# comment\nplain,10.0.0.1 {KEY} me\n[ported]:2222 {KEY}\n*.example,!bad.example {KEY}\n@cert-authority * {OTHER}\n\
             @revoked * {OTHER}\n|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= {KEY}\nbroken\n"
        );
        let known = KnownHosts::parse(&text);
        for (host, port) in
            [("plain", 22), ("PLAIN", 22), ("10.0.0.1", 22), ("ported", 2222), ("a.example", 22), ("192.168.1.61", 22)]
        {
            assert_eq!(known.keys(host, port).first(), Some(&key), "{host}");
        }
        for (host, port) in [("plain", 2222), ("ported", 22), ("bad.example", 22), ("other", 22)] {
            assert!(known.keys(host, port).is_empty(), "{host}");
        }
        assert!(known.is_revoked(&PublicKey::parse(OTHER).unwrap(), "other", 22));
        assert!(!known.is_revoked(&key, "other", 22));
    }

    #[test]
    fn judgements() {
        let (key, other) = (PublicKey::parse(KEY).unwrap(), PublicKey::parse(OTHER).unwrap());
        let none = KnownHosts::default();
        let pinned = HostKeys::new(&[KEY.into()], None, true).unwrap();
        assert_eq!(pinned.judge(&key, &none, "h", 22).unwrap(), Verdict::Known);
        // A pin is never overridden by --accept-new, and the message names both keys.
        let failure = pinned.judge(&other, &none, "h", 22).unwrap_err();
        assert_eq!((failure.exit(), failure.errors()[0].code.as_str()), (Exit::Permission, "host_key_mismatch"));
        assert!(
            failure.errors()[0].message.contains(&key.fingerprint())
                && failure.errors()[0].message.contains(&other.fingerprint())
        );
        let nothing = HostKeys::new(&[], None, false).unwrap();
        assert_eq!(nothing.judge(&key, &none, "h", 22).unwrap_err().errors()[0].code, "host_key_unknown");
        assert_eq!(HostKeys::new(&[], None, true).unwrap().judge(&key, &none, "h", 22).unwrap(), Verdict::New);
        let by_print = HostKeys::new(&[], Some(&key.fingerprint()), false).unwrap();
        assert!(by_print.judge(&key, &none, "h", 22).is_ok() && by_print.judge(&other, &none, "h", 22).is_err());
        let revoked = KnownHosts::parse(&format!("@revoked * {KEY}"));
        assert_eq!(pinned.judge(&key, &revoked, "h", 22).unwrap_err().errors()[0].code, "host_key_revoked");
    }

    /// What ssh-keygen(1) finds for a name: the base64 of plain lines, and how many of the others.
    fn ssh_keygen(file: &std::path::Path, name: &str) -> Option<(Vec<String>, usize)> {
        let found = std::process::Command::new("ssh-keygen").args(["-F", name, "-f"]).arg(file).output().ok()?;
        let text = String::from_utf8_lossy(&found.stdout).into_owned();
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let plain = lines.iter().filter(|line| !line.starts_with('@'));
        let keys: Vec<String> = plain.filter_map(|line| line.split(' ').nth(2).map(str::to_owned)).collect();
        Some((keys.clone(), lines.len() - keys.len()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn as_ssh_keygen_finds_them(
            lines in prop::collection::vec((0..4_u8, prop::collection::vec("!?(\\[[abA]{1,2}\\]:2[0-9]|[abA*?]{1,3}(\\.[ab*]{1,2})?)", 1..4), any::<bool>()), 1..6),
            host in "[abA]{1,2}(\\.[ab]{1,2})?", port in prop::sample::select(vec![22_u16, 20, 21, 2])
        ) {
            let file = tempfile::NamedTempFile::new().unwrap();
            let mut text = String::new();
            for (marker, hosts, other) in &lines {
                let marker = ["", "", "@revoked ", "@cert-authority "][usize::from(*marker)];
                text.push_str(&format!("{marker}{} {}\n", hosts.join(","), if *other { OTHER } else { KEY }));
            }
            std::fs::write(file.path(), &text).unwrap();
            let name = if port == 22 { host.clone() } else { format!("[{host}]:{port}") };
            let Some((mut theirs, marked)) = ssh_keygen(file.path(), &name) else { return Ok(()) };
            let known = KnownHosts::parse(&text);
            let mut ours: Vec<String> = known.keys(&host, port).iter().map(|key| key.line().split(' ').nth(1).unwrap().to_owned()).collect();
            ours.sort();
            theirs.sort();
            prop_assert_eq!(ours, theirs, "{} in\n{}", name, text);
            let our_marked = known.0.iter().filter(|line| (line.revoked || line.authority) && line.matches(&host, port)).count();
            prop_assert_eq!(our_marked, marked);
            // Hashed, the same names are found; patterns cannot be hashed.
            let plain: String = text.lines().filter(|line| !line.starts_with('@') && !line.contains(['*', '?', '!'])).flat_map(|line| [line, "\n"]).collect();
            std::fs::write(file.path(), &plain).unwrap();
            std::process::Command::new("ssh-keygen").args(["-H", "-f"]).arg(file.path()).output().unwrap();
            let hashed = KnownHosts::parse(&std::fs::read_to_string(file.path()).unwrap());
            prop_assert_eq!(hashed.keys(&host, port).len(), KnownHosts::parse(&plain).keys(&host, port).len());
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,80}", host in "[a-z.*?!]{0,8}") {
            let known = KnownHosts::parse(&text);
            let _ = known.keys(&host, 22);
            let _ = PublicKey::parse(&text);
        }
    }
}
