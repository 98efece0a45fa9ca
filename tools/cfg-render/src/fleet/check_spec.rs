//! A health check of a service or host.

use contract::document::{
    BodyCondition, DiskCheck, DnsCheck, EmptyObject, ExecCheck, FreshnessCheck, HeaderCondition, HttpHeader,
    MailProtocol, MountCheck, StatusRange, UnitCheck,
};
use contract::{Duration, SecretRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A health check of a service or host. Exactly one of the keys behind `tags` names its kind. Where it goes follows from
/// `port`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckSpec {
    /// Its name within the service; the name of its kind if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Name of the service's port; `http`, or the only one, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// Its failure fails the verdict; as the service says if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub critical: Option<bool>,
    /// Longest time of one attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Slower than this is degraded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn_above: Option<Duration>,
    /// What the program is (`grafana`, `prometheus`, ...): fills in what healthy means where the check does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Words to select it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,

    /// An HTTP request straight to the port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpSpec>,
    /// A TCP connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpSpec>,
    /// A TLS handshake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<EmptyObject>,
    /// A Redis server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisSpec>,
    /// A WebSocket and its first message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub websocket: Option<WebSocketSpec>,
    /// A mail server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail: Option<MailSpec>,
    /// A question to the port as a DNS server, or to `server`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<DnsCheck>,
    /// A systemd unit of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<UnitCheck>,
    /// Free space on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskCheck>,
    /// A mount of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<MountCheck>,
    /// The age of a proof on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freshness: Option<FreshnessCheck>,
    /// A program that speaks Nagios' plugin protocol, on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecCheck>,
}

/// An HTTP request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpSpec {
    /// Path, such as `/-/healthy`.
    pub path: String,
    /// The port speaks TLS.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tls: bool,
    /// Headers of the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HttpHeader>,
    /// Status codes and ranges of them (`"300-302"`, `"2xx"`) that are good; 200 to 299 if none are given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<StatusRange>,
    /// Conditions on the body, all of which must hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub body: Vec<BodyCondition>,
    /// Conditions on the headers of the answer, all of which must hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub response_headers: Vec<HeaderCondition>,
}

impl Default for HttpSpec {
    fn default() -> Self {
        Self {
            path: "/".into(),
            tls: false,
            headers: Vec::new(),
            status: Vec::new(),
            body: Vec::new(),
            response_headers: Vec::new(),
        }
    }
}

/// A TCP connection.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TcpSpec {
    /// Text to send after connecting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send: Option<String>,
    /// What the server must say, as a regular expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub banner: Option<String>,
}

/// A Redis server.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisSpec {
    /// Password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
}

/// A WebSocket.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebSocketSpec {
    /// Path; `/` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// A first message must arrive within the timeout.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub first_message: bool,
    /// The port speaks TLS.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tls: bool,
}

/// A mail server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MailSpec {
    /// What it speaks.
    pub protocol: MailProtocol,
    /// STARTTLS is required, and the certificate judged.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub starttls: bool,
}
