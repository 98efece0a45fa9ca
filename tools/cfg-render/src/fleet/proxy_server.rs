//! The reverse proxy of a host.

use contract::SecretRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Limits;

/// The reverse proxy of a host, on ports 80 and 443. A host that has proxy entries but no such key gets nginx.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProxyServer {
    /// Which program.
    pub kind: ProxyKind,
    /// Its version, such as `1.26.3`; that of the host's release if not given. Decides what may be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Container image, where it runs in a container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Package, where it is not the usual one (`nginx-full`, `nginxQuic`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// Third-party modules that this build has, such as `http.handlers.rate_limit`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<String>,
    /// Hash of a build with these modules, which a failed build of NixOS names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modules_hash: Option<String>,
    /// Networks on whose addresses it listens; all addresses if none are given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listen: Vec<String>,
    /// Port for HTTP.
    #[schemars(range(min = 1))]
    pub http_port: u16,
    /// Port for HTTPS.
    #[schemars(range(min = 1))]
    pub https_port: u16,
    /// HTTP/3 on the same port over UDP.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub http3: bool,
    /// Encryption in the kernel (kTLS).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ktls: bool,
    /// TLS 1.3 early data (0-RTT) for requests that may be repeated.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub early_data: bool,
    /// Requests for unknown names are dropped without an answer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sinkhole: bool,
    /// Hosts, networks and ranges of the proxies in front, from which the client's address is believed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub real_ip_from: Vec<String>,
    /// Rate limit for entries that give none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Largest body of a request for entries that give none, such as `100m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_body: Option<String>,
    /// Headers added to every answer.
    pub security_headers: SecurityHeaders,
    /// Where certificates come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acme: Option<Acme>,
    /// Certificates made at the first request for a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_demand: Option<OnDemand>,
    /// Names of entries that give none, with `{service}`, `{host}` (its host name) and `{domain}`; `{service}.{domain}` if none are given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub name_patterns: Vec<String>,
    /// Where metrics are served: a port on loopback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics_port: Option<u16>,
}

impl Default for ProxyServer {
    fn default() -> Self {
        Self {
            kind: ProxyKind::default(),
            version: None,
            image: None,
            package: None,
            modules: Vec::new(),
            modules_hash: None,
            listen: Vec::new(),
            http_port: 80,
            https_port: 443,
            http3: false,
            ktls: false,
            early_data: false,
            sinkhole: true,
            real_ip_from: Vec::new(),
            limits: None,
            max_body: None,
            security_headers: SecurityHeaders::default(),
            acme: None,
            on_demand: None,
            name_patterns: Vec::new(),
            metrics_port: None,
        }
    }
}

/// A program that proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyKind {
    /// nginx.
    #[default]
    Nginx,
    /// Caddy.
    Caddy,
    /// Traefik.
    Traefik,
}

impl ProxyKind {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            ProxyKind::Nginx => "nginx",
            ProxyKind::Caddy => "caddy",
            ProxyKind::Traefik => "traefik",
        }
    }
}

/// Headers added to every answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SecurityHeaders {
    /// `Strict-Transport-Security` for two years, `X-Content-Type-Options: nosniff`, `Referrer-Policy`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub defaults: bool,
    /// Further headers, or other values, each in the place of the service's own; with an empty value none is added, and the service's own
    /// stands.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<Header>,
}

impl Default for SecurityHeaders {
    fn default() -> Self {
        Self { defaults: true, set: Vec::new() }
    }
}

/// A header of an answer. A list of them, not an object, because keys that begin with `x-` are ignored in documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// Certificates by ACME (RFC 8555).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Acme {
    /// How a name is proven.
    pub challenge: AcmeChallenge,
    /// A provider of `dns.providers`, for `dns-01`; that of the name's zone if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Token of that provider for this purpose only; the provider's own if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretRef>,
    /// Contact; the fleet's `email` if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Address of the ACME directory; Let's Encrypt if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// Certificates (PEM file on the controller) to trust for that directory, besides the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

impl Default for Acme {
    fn default() -> Self {
        Self { challenge: AcmeChallenge::Http01, provider: None, token: None, email: None, directory: None, ca: None }
    }
}

/// How a name is proven to an ACME server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum AcmeChallenge {
    /// A file on port 80.
    #[default]
    #[serde(rename = "http-01")]
    Http01,
    /// A TXT record.
    #[serde(rename = "dns-01")]
    Dns01,
    /// A handshake on port 443.
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
}

/// Certificates made at the first request for a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OnDemand {
    /// Address that is asked with `?domain=NAME` and answers 200 for names that may have one.
    pub ask: String,
}
