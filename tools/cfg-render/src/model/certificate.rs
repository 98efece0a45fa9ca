//! Certificates that a host's proxy needs, and where they lie.

use contract::{Pointer, SecretName};

use super::{HostView, Model, Site};
use crate::fleet::TlsMode;

/// A certificate of one site on one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The host whose proxy shows it.
    pub host: String,
    /// The names in it.
    pub names: Vec<String>,
    /// Chain on the host, leaf first.
    pub chain: String,
    /// Private key on the host.
    pub key: String,
    /// Where they come from.
    pub store: CertificateStore,
    /// Places in the fleet that made it.
    pub from: Vec<Pointer>,
}

/// Where a certificate and its key come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateStore {
    /// The secret that holds the key.
    pub secret: SecretName,
    /// The chain on the controller, relative to the fleet.
    pub source: String,
    /// Where that chain is put on the host.
    pub chain: String,
    /// Where the key appears on the host.
    pub key: String,
    /// A leaf of the internal CA.
    pub internal: bool,
    /// It only stands in until ACME has got the real one.
    pub stand_in: bool,
}

impl Certificate {
    /// The certificate of a site, where it is one of files. Asked once, for [`Site::certificate`].
    pub(super) fn of_site(host: &HostView, site: &Site<'_>) -> Option<Certificate> {
        let name = site.name();
        let secret = leaf_secret(&host.name, name);
        let source = format!("tls/{}/{}.pem", host.name, file_name(name));
        let own = format!("/var/lib/plumbline/tls/{}", file_name(name));
        let (directory, secret, source) = match &site.tls {
            TlsMode::Internal => (own.clone(), secret, source),
            TlsMode::Files(files) => (own.clone(), files.key.secret.clone(), files.certificate.clone()),
            // NixOS' client makes its own stand-in.
            TlsMode::Acme | TlsMode::AcmeDns if host.os.is_nixos() => return None,
            TlsMode::Acme | TlsMode::AcmeDns => (format!("/var/lib/acme/{}", file_name(name)), secret, source),
            TlsMode::OnDemand | TlsMode::Tunnel | TlsMode::None => return None,
        };
        let store = CertificateStore {
            secret,
            source,
            chain: format!("{own}/fullchain.pem"),
            key: format!("{own}/key.pem"),
            internal: !matches!(site.tls, TlsMode::Files(_)),
            stand_in: matches!(site.tls, TlsMode::Acme | TlsMode::AcmeDns),
        };
        Some(Certificate {
            host: host.name.clone(),
            names: site.names.clone(),
            chain: format!("{directory}/fullchain.pem"),
            key: format!("{directory}/key.pem"),
            store,
            from: site.from(),
        })
    }
}

impl Model<'_> {
    /// All certificates of the internal CA that the fleet needs, by host and name. Caddy gets those of ACME itself.
    pub fn internal_certificates(&self) -> Vec<Certificate> {
        let mut all = Vec::new();
        for host in self.hosts() {
            for site in self.sites(host) {
                if let Some(certificate) = site.certificate.as_ref().filter(|certificate| certificate.store.internal) {
                    if certificate.store.stand_in && host.proxy().kind != crate::fleet::ProxyKind::Nginx {
                        continue;
                    }
                    all.push(certificate.clone());
                }
            }
        }
        all
    }

    /// Domains that the internal CA may certify.
    pub fn ca_domains(&self) -> Vec<String> {
        let given = &self.fleet.certificates.domains;
        if !given.is_empty() {
            return given.clone();
        }
        let names = self.internal_certificates().into_iter().flat_map(|certificate| certificate.names);
        let domain = self.fleet.domain.clone();
        let mut domains: Vec<String> = domain.iter().cloned().collect();
        for name in names {
            let name = name.strip_prefix("*.").unwrap_or(&name).to_owned();
            let covered = domains.iter().any(|domain| name == *domain || name.ends_with(&format!(".{domain}")));
            if !covered {
                domains.push(name);
            }
        }
        domains.sort();
        domains.dedup();
        domains
    }
}

/// The name of a site as a file name: the asterisk of a wildcard is spelt out.
pub(crate) fn file_name(name: &str) -> String {
    name.replace('*', "_wildcard").replace(['/', ' '], "_")
}

/// The secret that holds the key of a leaf.
fn leaf_secret(host: &str, name: &str) -> SecretName {
    let text: String = format!("tls-{host}-{}", name.replace('*', "any"))
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    let text = if text.len() <= 63 {
        text
    } else {
        // Too long for a name: the end is replaced by something that is still particular to it.
        use sha2::{Digest, Sha256};
        let hash = hex(&Sha256::digest(text.as_bytes()));
        format!("{}-{}", &text[..54], &hash[..8])
    };
    text.parse().unwrap_or_else(|_| fallback())
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digits: Vec<_> = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).collect();
    digits.into_iter().filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect()
}

fn fallback() -> SecretName {
    // Unreachable: the text above begins with a letter and holds only letters, digits and dashes.
    #[allow(clippy::unwrap_used)]
    "tls".parse().unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_leaves_have_good_names() {
        assert_eq!(leaf_secret("web1", "www.first.test").as_str(), "tls-web1-www-first-test");
        assert_eq!(leaf_secret("web1", "*.first.test").as_str(), "tls-web1-any-first-test");
        assert_eq!(leaf_secret("web1", &"a.".repeat(40)).as_str().len(), 63);
    }
}
