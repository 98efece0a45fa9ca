//! A verdict on a chain of certificates, with all that a report says of it.

use contract::Duration;
use contract::document::CertificateReport;
use rustls::CertificateError;
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::TlsPlan;
use super::trust::Trust;
use crate::observation::Problem;
use crate::reason::Reason;

/// Degraded when less than this is left, if the check says nothing; but at most a quarter of the certificate's life, so that
/// short-lived ones do not warn all the time.
const WARN_BEFORE: Duration = Duration::from_secs(21 * 24 * 3600);
/// Down when less than this is left, if the check says nothing; but at most a twelfth of the certificate's life.
const FAIL_BEFORE: Duration = Duration::from_secs(7 * 24 * 3600);

/// The chain with a verdict on it.
#[derive(Debug, Clone)]
pub(super) struct Judged {
    /// What a report says.
    pub report: CertificateReport,
    /// What is wrong: a failure, or a warning.
    pub problem: Option<Problem>,
    /// The key is too weak for a handshake to succeed.
    pub weak: bool,
}

impl Judged {
    /// Judges what a server showed. `error` is what the verifier says, `now` are seconds since 1970.
    pub(super) fn of(
        chain: &[CertificateDer<'_>],
        error: Option<&rustls::Error>,
        name: &str,
        plan: &TlsPlan,
        trust: &Trust,
        now: i64,
    ) -> Option<Self> {
        let der = chain.first()?;
        let (_, leaf) = X509Certificate::from_der(der).ok()?;
        let sent: Vec<_> =
            chain.iter().skip(1).filter_map(|der| Some(X509Certificate::from_der(der).ok()?.1)).collect();
        let path = path(&leaf, &sent, trust);
        let end = |one: &X509Certificate<'_>| one.validity().not_after.timestamp();
        let first = path.iter().copied().min_by_key(|one| end(one)).unwrap_or(&leaf);
        let first_sent = std::iter::once(&leaf).chain(&sent).map(end).min().unwrap_or_else(|| end(&leaf));
        let names = names_of(&leaf);
        let fingerprint: [u8; 32] = Sha256::digest(der).into();
        let pinned = plan.pin.is_some_and(|pin| pin == fingerprint);
        let given = trust.given.iter().any(|one| one == der);
        let untrusted = match (&plan.pin, error) {
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
        let untrusted = if plan.insecure { dates(&path, name, now) } else { untrusted };
        let problem = untrusted.or_else(|| expiry(plan, first, now, name));
        let report = CertificateReport {
            names,
            issuer: printable(&leaf.issuer().to_string()),
            expires_at: rfc3339(end(&leaf)),
            chain_expires_at: rfc3339(end(first)),
            sha256: fingerprint.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")),
            sent: chain.len() as u32,
            verified,
            sent_expires_at: (chain.len() > 1).then(|| rfc3339(first_sent)),
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

/// Whether too little time is left for the one that expires first.
fn expiry(plan: &TlsPlan, first: &X509Certificate<'_>, now: i64, name: &str) -> Option<Problem> {
    let validity = first.validity();
    let end = validity.not_after.timestamp();
    let seconds = |seconds: i64| Duration::from_secs(seconds.max(0) as u64);
    let (left, life) = (seconds(end - now), seconds(end - validity.not_before.timestamp()));
    let share = |limit: Duration, part: u64| limit.min(Duration::from_secs(life.as_secs() / part));
    let which = subject_of(first);
    let days = left.as_secs() / 86_400;
    let message = format!("the certificate {which} of {name} expires in {days} days");
    if left < plan.fail_before.unwrap_or_else(|| share(FAIL_BEFORE, 12)) {
        return Some(Problem::fail(Reason::TlsExpiring, message));
    }
    let warn = left < plan.warn_before.unwrap_or_else(|| share(WARN_BEFORE, 4));
    warn.then(|| Problem::warn(Reason::TlsExpiring, message))
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

fn rfc3339(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "9999-12-31T23:59:59Z".into(), |time| time.to_string())
}
