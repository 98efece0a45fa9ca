//! What a certificate file says.

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{CertsError, Instant};

/// What a certificate (the first of a file) says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// From when on it is good.
    pub not_before: Instant,
    /// Until when.
    pub not_after: Instant,
    /// The DNS names in it, sorted.
    pub names: Vec<String>,
    /// Domains to which it is limited, where it is a CA; sorted.
    pub domains: Vec<String>,
    /// Its subject, as text.
    pub subject: String,
    /// Its public key (SubjectPublicKeyInfo, DER).
    pub public_key: Vec<u8>,
    der: Vec<u8>,
}

impl Seen {
    /// Reads the first certificate of a PEM text.
    ///
    /// # Errors
    /// [`CertsError::BadCertificate`], naming the file.
    pub fn parse(pem: &str, file: &str) -> Result<Self, CertsError> {
        let bad = || CertsError::BadCertificate { file: file.to_owned() };
        let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).map_err(|_| bad())?;
        let (_, certificate) = X509Certificate::from_der(&block.contents).map_err(|_| bad())?;
        let mut names = Vec::new();
        if let Ok(Some(found)) = certificate.subject_alternative_name() {
            names.extend(found.value.general_names.iter().filter_map(dns_name));
        }
        let mut domains = Vec::new();
        if let Ok(Some(found)) = certificate.name_constraints() {
            let permitted = found.value.permitted_subtrees.iter().flatten();
            domains.extend(permitted.filter_map(|subtree| dns_name(&subtree.base)));
        }
        names.sort();
        domains.sort();
        Ok(Self {
            not_before: Instant(certificate.validity().not_before.timestamp()),
            not_after: Instant(certificate.validity().not_after.timestamp()),
            names,
            domains,
            subject: certificate.subject().to_string(),
            public_key: certificate.public_key().raw.to_vec(),
            der: block.contents.clone(),
        })
    }

    /// Whether another's key has signed it.
    pub fn is_signed_by(&self, issuer: &Seen) -> bool {
        let (Ok((_, own)), Ok((_, other))) =
            (X509Certificate::from_der(&self.der), X509Certificate::from_der(&issuer.der))
        else {
            return false;
        };
        own.issuer() == other.subject() && own.verify_signature(Some(other.public_key())).is_ok()
    }

    /// When two thirds of its life are over.
    pub fn due(&self) -> Instant {
        let life = self.not_after.0.saturating_sub(self.not_before.0).max(0);
        Instant(self.not_before.0.saturating_add(life / 3 * 2))
    }
}

fn dns_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    }
}
