//! A TLS handshake that always tells what the server showed, and a verdict on it.
//!
//! The verifier lets the handshake end even where it refuses the chain, so that the report can say which certificate it was
//! and when it expires. Nothing is sent before the verdict was looked at; a certificate of ours is not even shown.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use contract::Duration;
use contract::document::{TlsClient, TlsExpectation};
use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::certificate::Judged;
use super::failure::tls_error;
use super::trust::{Trust, certificates};
use super::{Stream, classify};
use crate::observation::{Problem, Step, Trace, ms_since};
use crate::probe::Dial;
use crate::reason::Reason;

/// How a server's certificate is judged.
#[derive(Debug, Clone, Default)]
pub(crate) struct TlsPlan {
    /// Certificates (PEM) trusted besides.
    pub ca: Option<Arc<str>>,
    /// Degraded when less is left.
    pub warn_before: Option<Duration>,
    /// Down when less is left.
    pub fail_before: Option<Duration>,
    /// Name to verify and to ask for instead of the host's.
    pub server_name: Option<String>,
    /// Name to ask for; none where it is empty.
    pub sni: Option<String>,
    /// SHA-256 of the one certificate that is trusted.
    pub pin: Option<[u8; 32]>,
    /// Only the dates count.
    pub insecure: bool,
    /// What is shown to a server that asks.
    pub client: Option<TlsClient>,
}

impl TlsPlan {
    /// The plan of a check, or what is wrong with it: the key and the message.
    ///
    /// # Errors
    /// Every key that is wrong.
    pub(crate) fn of(expect: &TlsExpectation, default_ca: Option<&str>) -> Result<Self, Vec<(&'static str, String)>> {
        let mut wrong = Vec::new();
        if let Some(Err(why)) = expect.ca.as_deref().map(certificates) {
            wrong.push(("ca", why));
        }
        for (key, name) in [("server_name", &expect.server_name), ("sni", &expect.sni)] {
            if let Some(name) = name.as_deref().filter(|name| !(key == "sni" && name.is_empty()))
                && ServerName::try_from(name).is_err()
            {
                wrong.push((key, "it is no name that a certificate can have".into()));
            }
        }
        let pin = expect.pin_sha256.as_deref().map(parse_pin);
        if let Some(None) = pin {
            wrong.push(("pin_sha256", "expected 64 hexadecimal digits".into()));
        }
        if expect.insecure && (expect.pin_sha256.is_some() || expect.ca.is_some() || expect.client.is_some()) {
            wrong.push((
                "insecure",
                "it contradicts ca, pin_sha256 and client, which ask for a server that is known".into(),
            ));
        }
        if let Some(certificate) = expect.client.as_ref().and_then(|client| client.certificate.as_deref()) {
            if certificate.contains("PRIVATE KEY") {
                wrong.push(("client", "a private key stands here in clear; name it as a secret in key".into()));
            } else if let Err(why) = certificates(certificate) {
                wrong.push(("client", why));
            }
        }
        if let (Some(warn), Some(fail)) = (expect.warn_before, expect.fail_before)
            && warn < fail
        {
            wrong.push(("warn_before", "it would never warn: fail_before comes first".into()));
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        Ok(Self {
            ca: expect.ca.as_deref().or(default_ca).map(Arc::from),
            warn_before: expect.warn_before,
            fail_before: expect.fail_before,
            server_name: expect.server_name.clone(),
            sni: expect.sni.clone(),
            pin: pin.flatten(),
            insecure: expect.insecure,
            client: expect.client.clone(),
        })
    }
}

fn parse_pin(text: &str) -> Option<[u8; 32]> {
    let digits: String = text.chars().filter(|c| *c != ':').collect();
    if digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    let mut pin = [0; 32];
    for (at, byte) in pin.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(pin)
}

/// Writes down the chain and the verdict on it, and lets the handshake go on unless a certificate of ours is at stake.
#[derive(Debug)]
struct Recorder {
    trust: Arc<Trust>,
    fallback: Arc<rustls::crypto::CryptoProvider>,
    plan: TlsPlan,
    name: ServerName<'static>,
    shown_name: String,
    now: Option<i64>,
    judged: Mutex<Option<Judged>>,
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let now =
            self.now.map_or(now, |now| UnixTime::since_unix_epoch(std::time::Duration::from_secs(now.max(0) as u64)));
        let verdict = match &self.trust.verifier {
            Some(verifier) => {
                verifier.verify_server_cert(end_entity, intermediates, &self.name, ocsp_response, now).map(drop)
            }
            None => Err(CertificateError::UnknownIssuer.into()),
        };
        let chain: Vec<CertificateDer<'_>> = std::iter::once(end_entity).chain(intermediates).cloned().collect();
        let error = verdict.err();
        let seconds = now.as_secs() as i64;
        let judged = Judged::of(&chain, error.as_ref(), &self.shown_name, &self.plan, &self.trust, seconds);
        let good =
            judged.as_ref().is_some_and(|judged| judged.problem.as_ref().is_none_or(|problem| !problem.is_failure()));
        *self.judged.lock().unwrap_or_else(PoisonError::into_inner) = judged;
        if self.plan.client.is_some() && !good {
            return Err(error.unwrap_or_else(|| CertificateError::ApplicationVerificationFailure.into()));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.fallback.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.fallback.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.fallback.signature_verification_algorithms.supported_schemes()
    }
}

/// Our certificate, if there is one, and whether the server asked for any.
#[derive(Debug)]
struct Ours {
    key: Option<Arc<CertifiedKey>>,
    asked: AtomicBool,
}

impl ResolvesClientCert for Ours {
    fn resolve(&self, _issuers: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        self.key.clone()
    }

    fn has_certs(&self) -> bool {
        self.key.is_some()
    }
}

/// The certificate and the key of a check.
fn ours(client: &TlsClient, dial: &Dial<'_>) -> Result<Arc<CertifiedKey>, Problem> {
    let secret = dial.context.secret(&client.key)?;
    let name = &client.key.secret;
    let unfit = |what: &str| Problem::error(Reason::SecretMissing, format!("the secret {name} holds no {what} (PEM)"));
    let key = PrivateKeyDer::from_pem_slice(secret.bytes()).map_err(|_| unfit("private key"))?;
    let pem = client.certificate.as_deref().or_else(|| secret.text());
    let chain = pem.map(certificates).and_then(Result::ok).ok_or_else(|| unfit("certificate"))?;
    let key = dial.context.trusts.provider().key_provider.load_private_key(key);
    let certified = CertifiedKey::new(chain, key.map_err(|_| unfit("private key that can be used"))?);
    certified.keys_match().map_err(|_| {
        Problem::error(Reason::SecretMissing, format!("the key in the secret {name} is not that of the certificate"))
    })?;
    Ok(Arc::new(certified))
}

/// Speaks TLS over a stream and judges the certificate. The second value is a warning: it expires soon.
///
/// # Errors
/// The handshake failed or the certificate is not good; what the server showed is in the trace.
pub(crate) async fn handshake<S: Stream>(
    stream: S,
    host: &str,
    plan: &TlsPlan,
    dial: &Dial<'_>,
    trace: &mut Trace,
) -> Result<(TlsStream<S>, Option<Problem>), Problem> {
    trace.step = Step::Tls;
    let what = trace.address.clone().unwrap_or_else(|| host.to_owned());
    let shown_name = plan.server_name.as_deref().unwrap_or(host);
    let no_name =
        |name: &str| Problem::error(Reason::Internal, format!("{name} is no name that a certificate can have"));
    let name = ServerName::try_from(shown_name.to_owned()).map_err(|_| no_name(shown_name))?;
    let asked_for = match plan.sni.as_deref().filter(|sni| !sni.is_empty()) {
        Some(sni) => ServerName::try_from(sni.to_owned()).map_err(|_| no_name(sni))?,
        None => name.clone(),
    };
    let key = plan.client.as_ref().map(|client| ours(client, dial)).transpose()?;
    let ours = Arc::new(Ours { key, asked: AtomicBool::new(false) });
    let trusts = &dial.context.trusts;
    let recorder = Arc::new(Recorder {
        trust: trusts.with(plan.ca.as_ref()),
        fallback: Arc::clone(trusts.provider()),
        plan: plan.clone(),
        name,
        shown_name: shown_name.to_owned(),
        now: dial.context.now,
        judged: Mutex::default(),
    });
    let mut config = ClientConfig::builder_with_provider(Arc::clone(trusts.provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| Problem::error(Reason::Internal, "TLS cannot be set up"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::<Recorder>::clone(&recorder))
        .with_client_cert_resolver(Arc::<Ours>::clone(&ours));
    config.enable_sni = plan.sni.as_deref() != Some("");
    // A resumed handshake would show no certificate and flatter the phases.
    config.resumption = rustls::client::Resumption::disabled();
    let started = Instant::now();
    let result = TlsConnector::from(Arc::new(config)).connect(asked_for, stream).await;
    trace.phases.tls = Some(ms_since(started));
    trace.asked_for_certificate = ours.asked.load(Ordering::Relaxed);
    let judged = recorder.judged.lock().unwrap_or_else(PoisonError::into_inner).take();
    trace.certificate = judged.as_ref().map(|judged| Box::new(judged.report.clone()));
    match (result, judged) {
        (Ok(stream), Some(judged)) => match judged.problem {
            Some(problem) if problem.is_failure() => Err(problem),
            warning => Ok((stream, warning)),
        },
        (Ok(_), None) => Err(Problem::fail(Reason::TlsHandshake, format!("{what} showed no certificate"))),
        (Err(_), Some(Judged { problem: Some(problem), .. })) if problem.is_failure() => Err(problem),
        (Err(error), judged) => {
            let weak = judged.is_some_and(|judged| judged.weak);
            let refused = tls_error(&error).is_some_and(|tls| matches!(tls, rustls::Error::InvalidCertificate(_)));
            if weak || refused {
                return Err(Problem::fail(Reason::TlsWeakKey, format!("the key or signature of {what} is too weak")));
            }
            let alert = tls_error(&error).is_some_and(|tls| matches!(tls, rustls::Error::AlertReceived(_)));
            if alert && trace.asked_for_certificate && plan.client.is_none() {
                let message = format!("{what} asks for a certificate of ours");
                return Err(Problem::fail(Reason::TlsClientCertRequired, message));
            }
            Err(classify(&what, &error))
        }
    }
}
