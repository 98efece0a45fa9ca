//! How a service is reached by name.

use contract::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Auth, Header, Limits, TlsMode};

/// How a service is reached by name through a reverse proxy or a tunnel. From it follow the virtual host, the firewall,
/// the certificate, the DNS records and a health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    /// Names; `*.` may stand for one label. Those of the host's `name_patterns`, else `SERVICE.DOMAIN`, if none are given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Only paths that begin with this; all if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Name of the service's port; `http`, or the only one, if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// What the service speaks on that port.
    pub scheme: Scheme,
    /// Of a service that speaks FastCGI: what is asked, and where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fastcgi: Option<FastCgi>,
    /// Networks from which it may be reached.
    pub from: Vec<String>,
    /// Host whose proxy takes the requests (the edge); the service's own if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// Tunnel that takes the requests, instead of a proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<String>,
    /// Where TLS comes from. If not given: `tunnel` with a tunnel, `internal` for names that no public authority certifies
    /// (`.test`, `.internal`, `.lan`, `.local`, `.home.arpa`) or that are not public, else `acme`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsMode>,
    /// Between the edge and the service's host, where these differ.
    pub backend: Backend,
    /// Who may pass.
    pub auth: Auth,
    /// Rate limit; that of the proxy if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Largest body of a request, such as `100m`; that of the proxy if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_body: Option<String>,
    /// WebSockets pass.
    pub websocket: bool,
    /// HTTP/3; that of the proxy if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http3: Option<bool>,
    /// Longest silence of the service; 60 s if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Answers are passed on as they come (server-sent events, large downloads).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub streaming: bool,
    /// Headers of answers, besides those of the proxy, each in the place of the service's own; with an empty value the proxy adds none, and
    /// the service's own stands.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Header>,
    /// Answers with a redirect to this address instead of passing on; the path is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<String>,
    /// DNS records are derived.
    pub dns: bool,
    /// DNS records point at Cloudflare's edge instead of the host; the zone's default if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxied: Option<bool>,
    /// Path of the health check; `/` if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_path: Option<String>,
    /// Why something unusual is meant to be so; shown in the architecture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Codes of findings about this entry that a person has accepted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accept_risk: Vec<String>,
}

impl Default for Route {
    fn default() -> Self {
        Self {
            names: Vec::new(),
            path: None,
            port: None,
            scheme: Scheme::default(),
            fastcgi: None,
            from: super::public(),
            via: None,
            tunnel: None,
            tls: None,
            backend: Backend::default(),
            auth: Auth::default(),
            limits: None,
            max_body: None,
            websocket: true,
            http3: None,
            timeout: None,
            streaming: false,
            headers: Vec::new(),
            redirect: None,
            dns: true,
            proxied: None,
            health_path: None,
            reason: None,
            accept_risk: Vec::new(),
        }
    }
}

/// What a service speaks on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// HTTP.
    #[default]
    Http,
    /// HTTPS.
    Https,
    /// HTTP/2 without TLS (gRPC).
    H2c,
    /// FastCGI.
    Fastcgi,
    /// Any bytes over TCP, for tunnels.
    Tcp,
    /// SSH, for tunnels.
    Ssh,
    /// Remote desktop, for tunnels.
    Rdp,
}

impl Scheme {
    /// The word that addresses use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::H2c => "h2c",
            Scheme::Fastcgi => "fastcgi",
            Scheme::Tcp => "tcp",
            Scheme::Ssh => "ssh",
            Scheme::Rdp => "rdp",
        }
    }
}

/// How a program is asked that speaks FastCGI.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FastCgi {
    /// Directory of PHP's scripts on the service's host; files in it that are no scripts are served as they are, and what is
    /// no file goes to `index.php`. Without it every request goes to the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// Socket of the program, such as `/run/php/php8.2-fpm.sock`; the service's port if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<String>,
}

/// How an edge reaches the host of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Backend {
    /// Whether the edge talks to the proxy of the service's host or straight to the service's port.
    pub through: Through,
    /// TLS between the two.
    pub tls: BackendTls,
    /// Network between the two; the first that they share if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
}

impl Default for Backend {
    fn default() -> Self {
        Self { through: Through::Port, tls: BackendTls::None, network: None }
    }
}

/// What an edge talks to on the host of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Through {
    /// The service's own port.
    #[default]
    Port,
    /// The proxy of that host, on port 80, or 443 with TLS.
    Proxy,
}

/// TLS between an edge and the host of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BackendTls {
    /// None; the network between them encrypts, or is trusted.
    #[default]
    None,
    /// A certificate of the internal CA, verified.
    Internal,
}
