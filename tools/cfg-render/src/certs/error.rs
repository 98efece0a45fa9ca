//! What can go wrong with certificates.

use cli::Failure;
use contract::{Exit, Pointer};
use thiserror::Error;

/// Why certificates could not be made.
#[derive(Debug, Error)]
pub enum CertsError {
    /// Keys would go to a terminal or a file.
    #[error("private keys go only into a pipe, and standard output is none")]
    NoPipe,
    /// A new CA would make all leaves worthless.
    #[error("the key of the CA is there ({key_file}) and its certificate is not ({certificate})")]
    KeyWithoutCertificate {
        /// The SOPS file.
        key_file: String,
        /// The certificate's file.
        certificate: String,
    },
    /// The CA's key belongs to another certificate.
    #[error("the key of the CA does not belong to its certificate")]
    WrongKey,
    /// The CA's key is no key.
    #[error("the key of the CA cannot be read")]
    BadKey,
    /// A CA without limits is too dangerous to be trusted.
    #[error("there is no domain to which the CA could be limited")]
    NoDomains,
    /// A certificate file is no certificate.
    #[error("it holds no certificate in PEM")]
    BadCertificate {
        /// The file.
        file: String,
    },
    /// The CA's certificate is too old to sign anything.
    #[error("the certificate of the CA has expired")]
    AuthorityExpired,
    /// The CA must not certify this name.
    #[error("the CA may not certify \"{name}\": it is limited to {domains}")]
    OutsideConstraints {
        /// The name.
        name: String,
        /// What the CA is limited to.
        domains: String,
        /// Who wants it.
        place: Pointer,
    },
    /// A name that no certificate can hold.
    #[error("\"{name}\" is no name for a certificate")]
    BadName {
        /// The name.
        name: String,
        /// Who wants it.
        place: Pointer,
    },
    /// A file of a certificate lies outside.
    #[error("\"{file}\" is not a path below the base directory")]
    Outside {
        /// The path.
        file: String,
    },
    /// The library refused.
    #[error("a certificate cannot be made: {0}")]
    Rcgen(#[from] rcgen::Error),
    /// The time given is none.
    #[error("\"{0}\" is no time in RFC 3339")]
    BadTime(String),
}

impl From<CertsError> for Failure {
    fn from(error: CertsError) -> Self {
        let message = error.to_string();
        let failure = |exit, code| Failure::new(exit, code, message.clone());
        match error {
            CertsError::NoPipe => failure(Exit::Refused, "keys_need_a_pipe")
                .hint("pipe it into `secret-encrypt set --many`, which encrypts them; `certs check` shows what is due"),
            CertsError::KeyWithoutCertificate { certificate, .. } => failure(Exit::Refused, "ca_key_exists").hint(format!(
                "take {certificate} back from git; or run it under `secret-encrypt exec`, so that the certificate is made \
                 for the key that is there; or give --allow replace:ca to start over"
            )),
            CertsError::WrongKey => failure(Exit::NotSetUp, "ca_key_mismatch")
                .hint("take both from the same commit, or start over with `certs ca --allow replace:ca`"),
            CertsError::BadKey => failure(Exit::NotSetUp, "ca_key_unreadable").hint("it is a PKCS#8 key in PEM, as `certs ca` made it"),
            CertsError::NoDomains => failure(Exit::BadDocument, "no_domains")
                .at(Pointer::root().join("certificates"))
                .hint("give the fleet a domain, or name some in certificates.domains"),
            CertsError::BadCertificate { file } => {
                failure(Exit::BadDocument, "bad_certificate").place(file).hint("take it back from git, or remove it to have it made again")
            }
            CertsError::AuthorityExpired => failure(Exit::NotSetUp, "ca_expired")
                .hint("`certs ca` under `secret-encrypt exec` makes a new certificate for the same key"),
            CertsError::OutsideConstraints { place, .. } => failure(Exit::BadDocument, "outside_name_constraints")
                .at(place)
                .hint("name the domain in certificates.domains, then run `certs ca` under `secret-encrypt exec`: it keeps its key"),
            CertsError::BadName { place, .. } => failure(Exit::BadDocument, "bad_name").at(place).hint("use letters, digits, dots and dashes"),
            CertsError::Outside { .. } => {
                failure(Exit::BadDocument, "path_outside_base").hint("paths are relative, without \"..\" and without links that lead out")
            }
            CertsError::Rcgen(_) => failure(Exit::Bug, "internal"),
            CertsError::BadTime(_) => failure(Exit::Usage, "usage").hint("such as 2026-01-31T12:00:00Z"),
        }
    }
}
