//! A way to send mail.

use contract::SecretRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A server through which services send mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mailer {
    /// Name of the server.
    pub host: String,
    /// Port.
    #[serde(default = "port_587")]
    #[schemars(range(min = 1))]
    pub port: u16,
    /// Whether and how TLS is used.
    #[serde(default)]
    pub tls: MailTls,
    /// Sender.
    pub from: String,
    /// User at the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// That user's password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
    /// The service of the fleet that is this server, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// TLS to a mail server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MailTls {
    /// Begun after the greeting, and required.
    #[default]
    Starttls,
    /// From the first byte (port 465).
    Implicit,
    /// None; for loopback only.
    None,
}

fn port_587() -> u16 {
    587
}
