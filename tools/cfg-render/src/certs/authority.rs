//! The CA itself.

use cli::Secret;
use contract::Duration;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CidrSubnet, DistinguishedName, DnType, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256, PublicKeyData,
};

use super::{CertsError, Instant, Seen, WantedAuthority};

/// Life of the CA's certificate.
const LIFE: Duration = Duration::from_secs(3650 * 86_400);
/// How much earlier certificates begin, for clocks that are slow.
pub(super) const EARLIER: Duration = Duration::from_secs(3600);
/// Largest common name (RFC 5280, appendix A.1: ub-common-name, ub-organization-name).
pub(super) const LONGEST_NAME: usize = 64;

/// A CA that can sign: its certificate and its key.
pub struct Authority {
    certificate: String,
    seen: Seen,
    key: KeyPair,
}

impl Authority {
    /// Makes a CA with a new key.
    ///
    /// # Errors
    /// Only what the library refuses.
    pub fn generate(wanted: &WantedAuthority, now: Instant) -> Result<Self, CertsError> {
        Self::with_key(wanted, now, KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?)
    }

    /// Makes a new certificate for a key that is there, so that leaves signed with it stay good.
    ///
    /// # Errors
    /// [`CertsError::BadKey`], or what the library refuses.
    pub fn reissue(wanted: &WantedAuthority, now: Instant, key: &Secret) -> Result<Self, CertsError> {
        Self::with_key(wanted, now, read_key(key)?)
    }

    fn with_key(wanted: &WantedAuthority, now: Instant, key: KeyPair) -> Result<Self, CertsError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, shorten(&wanted.fleet));
        params.distinguished_name.push(DnType::CommonName, shorten(&wanted.name));
        set_validity(&mut params, now.before(EARLIER), now.after(LIFE));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.use_authority_key_identifier_extension = true;
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: wanted.domains.iter().cloned().map(GeneralSubtree::DnsName).collect(),
            // What no subtree speaks of would be allowed: addresses are excluded as a whole.
            excluded_subtrees: vec![
                GeneralSubtree::IpAddress(CidrSubnet::V4([0; 4], [0; 4])),
                GeneralSubtree::IpAddress(CidrSubnet::V6([0; 16], [0; 16])),
            ],
        });
        let certificate: Certificate = params.self_signed(&key)?;
        let pem = certificate.pem();
        let seen = Seen::parse(&pem, &wanted.certificate)?;
        Ok(Self { certificate: pem, seen, key })
    }

    /// The CA that is there.
    ///
    /// # Errors
    /// [`CertsError::BadKey`], [`CertsError::WrongKey`] where key and certificate do not belong together,
    /// [`CertsError::BadCertificate`].
    pub fn load(certificate: &str, file: &str, key: &Secret) -> Result<Self, CertsError> {
        let seen = Seen::parse(certificate, file)?;
        let key = read_key(key)?;
        if key.subject_public_key_info() != seen.public_key {
            return Err(CertsError::WrongKey);
        }
        Ok(Self { certificate: certificate.to_owned(), seen, key })
    }

    /// Its certificate (PEM).
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// What its certificate says.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Its private key (PKCS#8, PEM), for the pipe.
    pub fn private_key(&self) -> Secret {
        Secret::from(self.key.serialize_pem().into_bytes())
    }

    /// What signs leaves.
    pub(super) fn issuer(&self) -> Result<Issuer<'static, &KeyPair>, CertsError> {
        Ok(Issuer::from_ca_cert_pem(&self.certificate, &self.key)?)
    }
}

/// Whether a CA that is limited to these domains may certify a name.
pub fn covers(domains: &[String], name: &str) -> bool {
    let name = name.strip_prefix("*.").unwrap_or(name).to_ascii_lowercase();
    domains.iter().any(|domain| {
        let domain = domain.to_ascii_lowercase();
        name == domain || name.strip_suffix(&domain).is_some_and(|rest| rest.ends_with('.'))
    })
}

fn read_key(key: &Secret) -> Result<KeyPair, CertsError> {
    // What the library says about a key could hold a part of it.
    let text = key.text().ok_or(CertsError::BadKey)?;
    KeyPair::from_pem(text).map_err(|_| CertsError::BadKey)
}

/// From when until when a certificate is good. rcgen does not export the type of its moments.
pub(super) fn set_validity(params: &mut CertificateParams, from: Instant, until: Instant) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let since = |at: Instant| std::time::Duration::from_secs(u64::try_from(at.0).unwrap_or_default());
    params.not_before = epoch + since(from);
    params.not_after = epoch + since(until);
}

/// A text that fits into a distinguished name.
pub(super) fn shorten(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_covers_itself_and_what_is_below() {
        let domains = vec!["lab.test".to_owned()];
        for name in ["lab.test", "www.lab.test", "*.lab.test", "A.B.Lab.Test"] {
            assert!(covers(&domains, name), "{name}");
        }
        for name in ["xlab.test", "lab.test.evil.org", "test", ""] {
            assert!(!covers(&domains, name), "{name}");
        }
        assert!(!covers(&[], "lab.test"));
    }
}
