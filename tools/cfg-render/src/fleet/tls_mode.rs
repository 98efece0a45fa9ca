//! Where the TLS of a name comes from.

use contract::SecretRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the TLS of a name comes from. A word, or exactly one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// A certificate by ACME, by the proxy's challenge.
    Acme,
    /// A certificate by ACME with DNS-01, whatever the proxy's challenge is; needed for wildcards.
    AcmeDns,
    /// A certificate of the internal CA.
    Internal,
    /// A certificate by ACME made at the first request.
    OnDemand,
    /// It ends at the tunnel's provider.
    Tunnel,
    /// None: plain HTTP.
    None,
    /// A certificate of your own.
    Files(TlsFiles),
}

impl TlsMode {
    /// The word that documents and messages use.
    pub const fn as_str(&self) -> &'static str {
        match self {
            TlsMode::Acme => "acme",
            TlsMode::AcmeDns => "acme-dns",
            TlsMode::Internal => "internal",
            TlsMode::OnDemand => "on-demand",
            TlsMode::Tunnel => "tunnel",
            TlsMode::None => "none",
            TlsMode::Files(_) => "files",
        }
    }
}

/// A certificate of your own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// Chain (PEM), leaf first: a file on the controller, relative to the fleet.
    pub certificate: String,
    /// Private key (PEM).
    pub key: SecretRef,
}
