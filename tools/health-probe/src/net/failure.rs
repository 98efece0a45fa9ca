//! What an error of the network means.

use std::error::Error;
use std::io::{self, ErrorKind};

use rustls::{AlertDescription, InvalidMessage, PeerIncompatible};

use crate::observation::Problem;
use crate::reason::Reason;

/// The problem that an error of reading, writing or connecting stands for. `what` names the peer.
pub(crate) fn classify(what: &str, error: &io::Error) -> Problem {
    if let Some(tls) = tls_error(error) {
        return classify_tls(what, tls);
    }
    let (reason, message) = match error.kind() {
        ErrorKind::ConnectionRefused => (Reason::ConnectRefused, format!("{what} refused the connection")),
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
            (Reason::ConnectReset, format!("{what} cut the connection"))
        }
        ErrorKind::UnexpectedEof => (Reason::ConnectReset, format!("{what} closed the connection in the middle")),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            (Reason::ConnectUnreachable, format!("there is no route to {what}"))
        }
        ErrorKind::TimedOut => (Reason::ConnectTimeout, format!("{what} does not answer")),
        ErrorKind::NotFound => (Reason::ConnectRefused, format!("{what} is not there")),
        ErrorKind::PermissionDenied => {
            return Problem::error(Reason::Permission, format!("we may not connect to {what}"));
        }
        _ => return Problem::error(Reason::Internal, format!("cannot talk to {what}: {}", error.kind())),
    };
    Problem::fail(reason, message)
}

/// The TLS error inside an error of input or output.
pub(super) fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    let mut source: Option<&(dyn Error + 'static)> = error.get_ref().map(|inner| inner as _);
    while let Some(inner) = source {
        if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        source = inner.source();
    }
    None
}

/// The problem that an error of TLS stands for, apart from certificates.
fn classify_tls(what: &str, error: &rustls::Error) -> Problem {
    let (reason, message) = match error {
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)
        | rustls::Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13 | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => (Reason::TlsVersion, format!("{what} speaks no TLS 1.2 or newer")),
        rustls::Error::AlertReceived(AlertDescription::UnrecognisedName) => {
            (Reason::TlsUnrecognizedName, format!("{what} has no certificate for the name that it was asked for"))
        }
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            (Reason::TlsClientCertRequired, format!("{what} asks for a certificate of ours"))
        }
        rustls::Error::AlertReceived(alert) => {
            (Reason::TlsHandshake, format!("{what} ended the handshake with the alert {alert:?}"))
        }
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => {
            (Reason::TlsHandshake, format!("{what} does not speak TLS"))
        }
        _ => (Reason::TlsHandshake, format!("the handshake with {what} failed: {error}")),
    };
    Problem::fail(reason, message)
}
