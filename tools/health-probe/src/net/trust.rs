//! Whom we trust: the system's certificates and those given, read once and only when TLS is spoken.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// Certificates that are trusted, with a verifier over them.
#[derive(Debug)]
pub(crate) struct Trust {
    /// Certificates given by the user, whole, for the comparison with a self-signed leaf.
    pub given: Vec<CertificateDer<'static>>,
    /// Names (DER) of all trust anchors.
    pub anchors: Vec<Vec<u8>>,
    /// Verifies chains; none where nobody is trusted at all.
    pub verifier: Option<Arc<WebPkiServerVerifier>>,
}

/// Every set of trusted certificates of a run.
#[derive(Debug)]
pub(crate) struct Trusts {
    everywhere: Vec<CertificateDer<'static>>,
    system: OnceLock<Vec<CertificateDer<'static>>>,
    provider: Arc<CryptoProvider>,
    sets: Mutex<HashMap<Option<Arc<str>>, Arc<Trust>>>,
}

impl Trusts {
    /// Trusts the system's certificates and `everywhere`.
    pub(crate) fn new(everywhere: Vec<CertificateDer<'static>>) -> Self {
        Self {
            everywhere,
            system: OnceLock::new(),
            provider: Arc::new(ring::default_provider()),
            sets: Mutex::default(),
        }
    }

    /// The cryptography in use.
    pub(crate) fn provider(&self) -> &Arc<CryptoProvider> {
        &self.provider
    }

    /// The set with the certificates of a PEM text besides.
    pub(crate) fn with(&self, pem: Option<&Arc<str>>) -> Arc<Trust> {
        let mut sets = self.sets.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let built = || Arc::new(self.build(pem.map(AsRef::as_ref)));
        Arc::clone(sets.entry(pem.cloned()).or_insert_with(built))
    }

    fn build(&self, pem: Option<&str>) -> Trust {
        let system = self.system.get_or_init(|| rustls_native_certs::load_native_certs().certs);
        let mut given = self.everywhere.clone();
        given.extend(pem.map(certificates).and_then(Result::ok).unwrap_or_default());
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(system.iter().cloned().chain(given.iter().cloned()));
        let anchors = roots.roots.iter().map(|anchor| anchor.subject.to_vec()).collect();
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider)).build().ok();
        Trust { given, anchors, verifier }
    }
}

/// The certificates of a PEM text.
///
/// # Errors
/// It is no PEM, or holds no certificate.
pub(crate) fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(found) if found.is_empty() => Err("it holds no certificate (-----BEGIN CERTIFICATE-----)".into()),
        Ok(found) => match found.iter().find(|one| x509_parser::parse_x509_certificate(one).is_err()) {
            Some(_) => Err("one of its certificates cannot be read".into()),
            None => Ok(found),
        },
        Err(_) => Err("it is no PEM".into()),
    }
}
