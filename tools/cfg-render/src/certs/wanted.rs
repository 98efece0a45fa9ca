//! The certificates that a fleet needs.

use contract::Pointer;

use crate::model::{CA_KEY, Model};

/// A leaf of the internal CA that the fleet needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The host whose proxy shows it.
    pub host: String,
    /// The names in it, as they are written in certificates (IDNA A-labels).
    pub names: Vec<String>,
    /// The chain on the controller, relative to the fleet.
    pub chain: String,
    /// The SOPS file of its key, relative to the fleet.
    pub key_file: String,
    /// Place of the key in that file.
    pub key_pointer: Pointer,
    /// Who wants it.
    pub place: Pointer,
}

impl Wanted {
    /// All leaves that a fleet needs, by host and name.
    pub fn of(model: &Model<'_>) -> Vec<Self> {
        let certificates = model.internal_certificates().into_iter();
        let wanted = certificates.map(|certificate| {
            let secret = model.secret_file(&certificate.store.secret);
            Self {
                host: certificate.host,
                names: certificate.names.iter().map(|name| a_labels(name)).collect(),
                chain: certificate.store.source,
                key_file: secret.file,
                key_pointer: secret.pointer,
                place: certificate.from.first().cloned().unwrap_or_default(),
            }
        });
        wanted.collect()
    }

    /// The name by which a person knows it.
    pub fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }
}

/// The CA that a fleet needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedAuthority {
    /// Its common name.
    pub name: String,
    /// The fleet, as its organization.
    pub fleet: String,
    /// Domains to which it is limited, sorted.
    pub domains: Vec<String>,
    /// Its certificate on the controller, relative to the fleet.
    pub certificate: String,
    /// The SOPS file of its key, relative to the fleet.
    pub key_file: String,
    /// Place of the key in that file.
    pub key_pointer: Pointer,
}

impl WantedAuthority {
    /// The CA of a fleet.
    pub fn of(model: &Model<'_>) -> Self {
        let fleet = model.fleet;
        let secret = CA_KEY.parse().map(|name| model.secret_file(&name));
        let (key_file, key_pointer) = match secret {
            // A secret that nothing uses yet would be looked for in the fleet's file, which hosts can read.
            Ok(secret) if fleet.secrets.iter().any(|(name, _)| name.as_str() == CA_KEY) => {
                (secret.file, secret.pointer)
            }
            _ => (fleet.certificates.key_file.clone(), Pointer::root().join(CA_KEY)),
        };
        let mut domains: Vec<String> =
            model.ca_domains().iter().map(|domain| a_labels(domain.trim_start_matches('.'))).collect();
        domains.sort();
        domains.dedup();
        Self {
            name: fleet.certificates.name.clone().unwrap_or_else(|| format!("{} internal CA", fleet.name)),
            fleet: fleet.name.clone(),
            domains,
            certificate: fleet.certificates.certificate.clone(),
            key_file,
            key_pointer,
        }
    }
}

/// A name as it is written in certificates. One that has no such form is left as it is; making a leaf of it then fails.
fn a_labels(name: &str) -> String {
    let (star, rest) = name.strip_prefix("*.").map_or(("", name), |rest| ("*.", rest));
    match idna::domain_to_ascii(rest) {
        Ok(ascii) if !ascii.is_empty() => format!("{star}{ascii}"),
        _ => name.to_owned(),
    }
}
