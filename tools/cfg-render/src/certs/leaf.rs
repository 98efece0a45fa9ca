//! Leaves of the CA.

use cli::Secret;
use contract::Duration;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SanType,
};

use super::authority::{EARLIER, LONGEST_NAME, covers, set_validity};
use super::{Authority, CertsError, Instant, Wanted};

impl Authority {
    /// Makes a leaf with a new key: its certificate (PEM), and its private key (PKCS#8, PEM). It ends with the CA's own
    /// certificate at the latest.
    ///
    /// # Errors
    /// [`CertsError::OutsideConstraints`] and [`CertsError::BadName`], naming who wants it;
    /// [`CertsError::AuthorityExpired`]; what the library refuses.
    pub fn issue(&self, wanted: &Wanted, life: Duration, now: Instant) -> Result<(String, Secret), CertsError> {
        if self.seen().not_after <= now {
            return Err(CertsError::AuthorityExpired);
        }
        let domains = &self.seen().domains;
        let mut params = CertificateParams::default();
        for name in &wanted.names {
            let bad = || CertsError::BadName { name: name.clone(), place: wanted.place.clone() };
            if !is_dns_name(name) {
                return Err(bad());
            }
            if !covers(domains, name) {
                let (name, domains) = (name.clone(), domains.join(", "));
                return Err(CertsError::OutsideConstraints { name, domains, place: wanted.place.clone() });
            }
            params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into().map_err(|_| bad())?));
        }
        params.distinguished_name = DistinguishedName::new();
        // Who checks names reads the alternative ones; this one is for people.
        if wanted.name().len() <= LONGEST_NAME {
            params.distinguished_name.push(DnType::CommonName, wanted.name());
        }
        set_validity(&mut params, now.before(EARLIER), now.after(life).min(self.seen().not_after));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.signed_by(&key, &self.issuer()?)?;
        Ok((certificate.pem(), Secret::from(key.serialize_pem().into_bytes())))
    }
}

/// Letters, digits, dashes and underscores in labels of 1 to 63, at most 253 in all; the first label may be `*`.
fn is_dns_name(name: &str) -> bool {
    let rest = name.strip_prefix("*.").unwrap_or(name);
    !rest.is_empty()
        && name.len() <= 253
        && rest.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_certificates() {
        for name in ["a", "www.lab.test", "*.lab.test", "xn--bcher-kva.test"] {
            assert!(is_dns_name(name), "{name}");
        }
        for name in ["", "*", "*.", "a..b", "a b.test", "bücher.test", "*.*.test", "a\0.test"] {
            assert!(!is_dns_name(name), "{name}");
        }
    }
}
