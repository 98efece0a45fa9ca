//! A TLS handshake that always tells what the server showed, and a verdict on it.
//!
//! The verifier lets the handshake end even where it refuses the chain, so that the report can say which certificate it was
//! and when it expires. Nothing is sent before the verdict was looked at.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use contract::Duration;
use contract::document::{CertificateReport, TlsExpectation};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::failure::tls_error;
use super::trust::Trust;
use super::{Stream, classify};
use crate::observation::{Problem, Step, Trace, ms_since};
use crate::probe::Dial;
use crate::reason::Reason;

/// Degraded when less than this is left, if the check says nothing.
const WARN_BEFORE: Duration = Duration::from_secs(14 * 24 * 3600);

/// How a server's certificate is judged.
#[derive(Debug, Clone, Default)]
pub(crate) struct TlsPlan {
    /// Certificates (PEM) trusted besides.
    pub ca: Option<String>,
    /// Degraded when less is left.
    pub warn_before: Option<Duration>,
    /// Down when less is left.
    pub fail_before: Option<Duration>,
    /// Name to verify and to ask for instead of the host's.
    pub server_name: Option<String>,
    /// SHA-256 of the one certificate that is trusted.
    pub pin: Option<[u8; 32]>,
}

impl TlsPlan {
    /// The plan of a check, or what is wrong with it: the key and the message.
    ///
    /// # Errors
    /// Every key that is wrong.
    pub(crate) fn of(expect: &TlsExpectation, default_ca: Option<&str>) -> Result<Self, Vec<(&'static str, String)>> {
        let mut wrong = Vec::new();
        if let Some(Err(why)) = expect.ca.as_deref().map(super::trust::certificates) {
            wrong.push(("ca", why));
        }
        if let Some(name) = &expect.server_name
            && ServerName::try_from(name.as_str()).is_err()
        {
            wrong.push(("server_name", "it is no name that a certificate can have".into()));
        }
        let pin = expect.pin_sha256.as_deref().map(parse_pin);
        if let Some(None) = pin {
            wrong.push(("pin_sha256", "expected 64 hexadecimal digits".into()));
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
            ca: expect.ca.clone().or_else(|| default_ca.map(str::to_owned)),
            warn_before: expect.warn_before,
            fail_before: expect.fail_before,
            server_name: expect.server_name.clone(),
            pin: pin.flatten(),
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

/// What the server showed.
#[derive(Debug, Clone, Default)]
struct Shown {
    chain: Vec<CertificateDer<'static>>,
    error: Option<rustls::Error>,
}

/// Writes down the chain and the verdict on it, and lets the handshake go on.
#[derive(Debug)]
struct Recorder {
    trust: Arc<Trust>,
    fallback: Arc<rustls::crypto::CryptoProvider>,
    shown: Mutex<Shown>,
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verdict = match &self.trust.verifier {
            Some(verifier) => {
                verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now).map(drop)
            }
            None => Err(CertificateError::UnknownIssuer.into()),
        };
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.chain = std::iter::once(end_entity).chain(intermediates).map(|one| one.clone().into_owned()).collect();
        shown.error = verdict.err();
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
    let name = plan.server_name.as_deref().unwrap_or(host);
    let server_name = ServerName::try_from(name.to_owned())
        .map_err(|_| Problem::error(Reason::Internal, format!("{name} is no name that a certificate can have")))?;
    let trusts = &dial.context.trusts;
    let recorder = Arc::new(Recorder {
        trust: trusts.with(plan.ca.as_deref()),
        fallback: Arc::clone(trusts.provider()),
        shown: Mutex::default(),
    });
    let mut config = ClientConfig::builder_with_provider(Arc::clone(trusts.provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| Problem::error(Reason::Internal, "TLS cannot be set up"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::<Recorder>::clone(&recorder))
        .with_no_client_auth();
    // A resumed handshake would show no certificate and flatter the phases.
    config.resumption = rustls::client::Resumption::disabled();
    let started = Instant::now();
    let result = TlsConnector::from(Arc::new(config)).connect(server_name, stream).await;
    trace.phases.tls = Some(ms_since(started));
    let shown = recorder.shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let judged = Judged::of(&shown, name, plan, &recorder.trust);
    trace.certificate = judged.as_ref().map(|judged| judged.report.clone());
    match (result, judged) {
        (Ok(stream), Some(judged)) => match judged.problem {
            Some(problem) if problem.raw == contract::document::RawResult::Fail => Err(problem),
            warning => Ok((stream, warning)),
        },
        (Ok(_), None) => Err(Problem::fail(Reason::TlsHandshake, format!("{what} showed no certificate"))),
        (Err(_), Some(Judged { problem: Some(problem), .. })) => Err(problem),
        (Err(error), judged) => {
            let weak = judged.is_some_and(|judged| judged.weak);
            let refused = tls_error(&error).is_some_and(|tls| matches!(tls, rustls::Error::InvalidCertificate(_)));
            if weak || refused {
                return Err(Problem::fail(Reason::TlsWeakKey, format!("the key or signature of {what} is too weak")));
            }
            Err(classify(&what, &error))
        }
    }
}

/// The chain with a verdict on it.
struct Judged {
    report: CertificateReport,
    problem: Option<Problem>,
    weak: bool,
}

impl Judged {
    fn of(shown: &Shown, name: &str, plan: &TlsPlan, trust: &Trust) -> Option<Self> {
        let der = shown.chain.first()?;
        let (_, leaf) = X509Certificate::from_der(der).ok()?;
        let sent: Vec<_> =
            shown.chain.iter().skip(1).filter_map(|der| Some(X509Certificate::from_der(der).ok()?.1)).collect();
        let path = path(&leaf, &sent, trust);
        let now = now();
        let first = path.iter().copied().min_by_key(|one| one.validity().not_after.timestamp()).unwrap_or(&leaf);
        let chain_expires = first.validity().not_after.timestamp();
        let names = names_of(&leaf);
        let fingerprint: [u8; 32] = Sha256::digest(der).into();
        let pinned = plan.pin.is_some_and(|pin| pin == fingerprint);
        let given = trust.given.iter().any(|one| one == der);
        let untrusted = match (&plan.pin, &shown.error) {
            (Some(_), _) if !pinned => Some(Problem::fail(
                Reason::TlsUntrusted,
                format!("{name} does not show the certificate that is pinned"),
            )),
            (Some(_), _) => dates(&path, name, now),
            (None, None) => None,
            // `openssl req -x509` makes certificates that say they are authorities. Given as they are, they are trusted as they are.
            (None, Some(_)) if given => dates(&path, name, now).or_else(|| {
                (!valid_for(&leaf, name)).then(|| Problem::fail(Reason::TlsWrongHost, wrong_host(name, &names)))
            }),
            (None, Some(error)) => Some(refusal(error, &leaf, &sent, &names, name, now, &path)),
        };
        let weak = matches!(leaf.public_key().parsed(), Ok(PublicKey::RSA(key)) if key.key_size() < 2048);
        let verified = untrusted.is_none();
        let problem = untrusted.or_else(|| expiry(plan, chain_expires - now, &subject_of(first), name));
        let report = CertificateReport {
            names,
            issuer: leaf.issuer().to_string(),
            expires_at: rfc3339(leaf.validity().not_after.timestamp()),
            chain_expires_at: rfc3339(chain_expires),
            sha256: fingerprint.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")),
            sent: shown.chain.len() as u32,
            verified,
        };
        Some(Self { report, problem, weak })
    }
}

/// The certificates from the leaf up to, but without, what is trusted: old roots that the server sends besides do not count.
fn path<'a, 'b>(
    leaf: &'a X509Certificate<'b>,
    sent: &'a [X509Certificate<'b>],
    trust: &Trust,
) -> Vec<&'a X509Certificate<'b>> {
    let mut path = vec![leaf];
    while let Some(last) = path.last().copied() {
        // Names of anchors are kept without the outer SEQUENCE, so the end is what is compared.
        let issuer = last.issuer().as_raw();
        if last.issuer() == last.subject() || trust.anchors.iter().any(|anchor| issuer.ends_with(anchor)) {
            break;
        }
        match sent.iter().find(|one| one.subject() == last.issuer()) {
            Some(next) if path.len() <= sent.len() => path.push(next),
            _ => break,
        }
    }
    path
}

/// What is wrong with the dates of a path.
fn dates(path: &[&X509Certificate<'_>], name: &str, now: i64) -> Option<Problem> {
    path.iter().enumerate().find_map(|(at, one)| {
        let which = if at == 0 {
            format!("the certificate of {name}")
        } else {
            format!("the intermediate certificate {} of {name}", subject_of(one))
        };
        let validity = one.validity();
        if validity.not_after.timestamp() < now {
            let when = rfc3339(validity.not_after.timestamp());
            Some(Problem::fail(Reason::TlsExpired, format!("{which} expired at {when}")))
        } else if validity.not_before.timestamp() > now {
            let when = rfc3339(validity.not_before.timestamp());
            Some(Problem::fail(Reason::TlsNotYetValid, format!("{which} is not valid before {when}")))
        } else {
            None
        }
    })
}

/// Whether too little time is left.
fn expiry(plan: &TlsPlan, left_secs: i64, which: &str, name: &str) -> Option<Problem> {
    let left = Duration::from_secs(left_secs.max(0) as u64);
    let days = left.as_secs() / 86_400;
    let message = format!("the certificate {which} of {name} expires in {days} days");
    if plan.fail_before.is_some_and(|limit| left < limit) {
        return Some(Problem::fail(Reason::TlsExpiring, message));
    }
    (left < plan.warn_before.unwrap_or(WARN_BEFORE)).then(|| Problem::warn(Reason::TlsExpiring, message))
}

/// What a refusal of the verifier means.
fn refusal(
    error: &rustls::Error,
    leaf: &X509Certificate<'_>,
    sent: &[X509Certificate<'_>],
    names: &[String],
    name: &str,
    now: i64,
    path: &[&X509Certificate<'_>],
) -> Problem {
    let rustls::Error::InvalidCertificate(error) = error else {
        return Problem::fail(Reason::TlsHandshake, format!("the certificate of {name} is refused: {error}"));
    };
    let text = format!("{error:?}");
    let (reason, message) = match error {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => {
            if let Some(problem) = dates(path, name, now) {
                return problem;
            }
            (Reason::TlsExpired, format!("a certificate in the chain of {name} is not valid now"))
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            (Reason::TlsWrongHost, wrong_host(name, names))
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            (Reason::TlsPurpose, format!("the certificate of {name} is not for servers"))
        }
        _ if text.contains("NameConstraintViolation") => {
            (Reason::TlsNameConstraint, format!("the issuer of the certificate of {name} may not sign for this name"))
        }
        CertificateError::UnknownIssuer => {
            let issuer = leaf.issuer().to_string();
            let alone = sent.is_empty() && leaf.issuer() != leaf.subject();
            if alone {
                let message =
                    format!("nobody trusted signed the certificate of {name}: its issuer {issuer} is not sent along");
                (Reason::TlsIncompleteChain, message)
            } else {
                (Reason::TlsUntrusted, format!("nobody trusted signed the certificate of {name} (issuer {issuer})"))
            }
        }
        _ if text.contains("CaUsedAsEndEntity") => {
            let message = format!(
                "{name} shows the certificate of an authority as its own; give it as `ca` or `pin_sha256` to trust it"
            );
            (Reason::TlsUntrusted, message)
        }
        CertificateError::BadSignature => {
            (Reason::TlsUntrusted, format!("a signature in the chain of {name} is wrong or too weak"))
        }
        _ if text.contains("UnsupportedSignatureAlgorithm") => {
            (Reason::TlsWeakKey, format!("the chain of {name} is signed with an outdated algorithm"))
        }
        _ => (Reason::TlsUntrusted, format!("the certificate of {name} is refused: {error}")),
    };
    Problem::fail(reason, message)
}

fn wrong_host(name: &str, names: &[String]) -> String {
    if names.is_empty() {
        return format!("the certificate of {name} names no host (it has no subject alternative name)");
    }
    let shown: Vec<_> = names.iter().take(4).map(String::as_str).collect();
    let more = if names.len() > 4 { format!(" and {} more", names.len() - 4) } else { String::new() };
    format!("the certificate is not for {name} but for {}{more}", shown.join(", "))
}

/// Names and addresses that a certificate is for.
fn names_of(leaf: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = leaf.subject_alternative_name() else { return Vec::new() };
    let names = extension.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(printable(name)),
        GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
            Ok(v4) => Some(std::net::Ipv4Addr::from(v4).to_string()),
            Err(_) => <[u8; 16]>::try_from(*bytes).ok().map(|v6| std::net::Ipv6Addr::from(v6).to_string()),
        },
        _ => None,
    });
    names.take(100).collect()
}

/// A name that a stranger wrote, fit to be shown.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(255).collect()
}

/// Whether a certificate is for a name, with a wildcard in the first label only (RFC 6125, section 6.4.3).
fn valid_for(leaf: &X509Certificate<'_>, name: &str) -> bool {
    names_of(leaf).iter().any(|own| {
        own.eq_ignore_ascii_case(name)
            || own
                .strip_prefix("*.")
                .zip(name.split_once('.'))
                .is_some_and(|(own, (_, rest))| own.eq_ignore_ascii_case(rest))
    })
}

fn subject_of(one: &X509Certificate<'_>) -> String {
    printable(&one.subject().to_string())
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

fn rfc3339(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "9999-12-31T23:59:59Z".into(), |time| time.to_string())
}
