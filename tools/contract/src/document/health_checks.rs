//! `health.checks/v1`: what to probe, and what depends on what.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    DiskCheck, Document, ExecCheck, FailedUnitsCheck, FileCheck, FreshnessCheck, HttpCheck, MountCheck, UnitCheck,
};
use crate::{Duration, Pointer, SchemaId, SecretRef};

/// Checks and the graph between them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthChecks {
    /// Where the checks are run from: a host of the fleet, or `controller`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vantage: Option<String>,
    /// Values for checks that give none.
    #[serde(default)]
    pub defaults: HealthDefaults,
    /// The checks.
    pub checks: Vec<HealthCheck>,
}

/// Values for checks that give none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthDefaults {
    /// Longest time of one attempt; 5 s if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// How often a failure that may be a moment's trouble is tried again; 1 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u8>,
    /// Certificates (PEM) trusted besides the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

/// One check. Exactly one of the keys below `from` names its kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    /// Its name, unique in the document.
    pub id: String,
    /// What it belongs to, for reports: a service or a host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Words to select it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Checks without which this one cannot be healthy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// Groups of checks of which at least one must be healthy: two resolvers, two replicas. Losing some of a group degrades.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs_any: Vec<Vec<String>>,
    /// Checks without which this one is only degraded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wants: Vec<String>,
    /// Its failure fails the verdict; else it only degrades.
    #[serde(default = "yes")]
    pub critical: bool,
    /// Longest time of one attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// How often a failure that may be a moment's trouble (refused, reset, 5xx, DNS) is tried again within a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u8>,
    /// When it is looked at; at once with all others if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunWhen>,
    /// Slower than this is degraded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn_above: Option<Duration>,
    /// Slower than this is down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail_above: Option<Duration>,
    /// Which addresses of a name are tried; the first that answers is enough if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addresses: Option<AddressPolicy>,
    /// What the program is (`grafana`, `prometheus`, ...): fills in what healthy means where the check does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Places in the fleet that made this check.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<Pointer>,

    /// An HTTP or HTTPS request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpCheck>,
    /// A TCP connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpCheck>,
    /// A TLS handshake and its certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsCheck>,
    /// A question to a DNS server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<DnsCheck>,
    /// A PostgreSQL server, up to a login where a password is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<PostgresCheck>,
    /// A Redis server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisCheck>,
    /// A WebSocket and its first message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub websocket: Option<WebSocketCheck>,
    /// An SSH server's banner and host key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<SshCheck>,
    /// A mail server: SMTP or IMAP, with STARTTLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail: Option<MailCheck>,
    /// An echo request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp: Option<IcmpCheck>,
    /// A Zabbix agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zabbix: Option<ZabbixCheck>,
    /// A systemd unit on the machine where the check runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<UnitCheck>,
    /// No systemd unit has failed on the machine where the check runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_units: Option<FailedUnitsCheck>,
    /// Free space and inodes on the machine where the check runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskCheck>,
    /// A mount on the machine where the check runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<MountCheck>,
    /// A file on the machine where the check runs, and who may read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileCheck>,
    /// The age of a proof on the machine where the check runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freshness: Option<FreshnessCheck>,
    /// A program that speaks Nagios' plugin protocol; runs only with `--allow-exec`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecCheck>,
    /// Nothing to look at: a host or a site that other checks need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeCheck>,
}

/// Which addresses of a name are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AddressPolicy {
    /// The first that answers; one that does not is degraded.
    #[default]
    Any,
    /// Every one must be healthy.
    Each,
    /// The first IPv4 address that answers.
    V4,
    /// The first IPv6 address that answers.
    V6,
    /// One IPv4 address and one IPv6 address must both be healthy.
    Both,
}

/// When a check is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunWhen {
    /// At once with all others.
    #[default]
    AtOnce,
    /// After what it needs, and not at all where that is down (an expensive check).
    AfterNeeds,
}

/// Nothing to look at: a host or a site that other checks need. It shows whether what needs it fails together.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeCheck {}

/// How a certificate is judged.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsExpectation {
    /// Certificates (PEM) trusted besides the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// Degraded when the chain has less than this left; 21 days, but at most a quarter of the certificate's life, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn_before: Option<Duration>,
    /// Down when the chain has less than this left; 7 days, but at most a twelfth of the certificate's life, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail_before: Option<Duration>,
    /// Name to verify instead of the host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// SHA-256 of the server's own certificate (DER) in hexadecimal: trusted by that alone, whoever signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin_sha256: Option<String>,
    /// Name to ask the server for (SNI) instead of the one that is verified; none is asked for where it is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// The certificate is not verified; that it expires is still told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub insecure: bool,
    /// Certificate and key to show to the server. They are used only for a server whose own certificate is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<TlsClient>,
}

/// A certificate of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsClient {
    /// The certificate and those between it and the root (PEM); they stand beside the key in the secret if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// The private key (PEM), and the certificate if that is not given.
    pub key: SecretRef,
}

/// A TCP connection.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TcpCheck {
    /// `host:port`.
    pub address: String,
    /// Text to send after connecting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send: Option<String>,
    /// What the server must say, as a regular expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub banner: Option<String>,
    /// The connection must NOT succeed (a port that the firewall shall keep closed).
    #[serde(default)]
    pub closed: bool,
    /// Speak TLS before anything is said, and judge the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsExpectation>,
}

/// A TLS handshake.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsCheck {
    /// `host:port`.
    pub address: String,
    /// How the certificate is judged.
    #[serde(default)]
    pub expect: TlsExpectation,
}

/// A question to a DNS server.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DnsCheck {
    /// Name to ask for.
    pub name: String,
    /// Type; `A` if not given.
    #[serde(default = "type_a", rename = "type")]
    pub record_type: String,
    /// `address:port` of the server; the system's resolver if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Values that must all be in the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contains: Vec<String>,
    /// Nothing but those values may be in the answer.
    #[serde(default)]
    pub exact: bool,
    /// The name, or records of this type at it, must not exist.
    #[serde(default)]
    pub absent: bool,
    /// Further servers (`address:port`) that must give the same values; with type `SOA` the same serial.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub same_at: Vec<String>,
}

/// A PostgreSQL server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresCheck {
    /// `host:port`, or the absolute path of a socket's directory.
    pub address: String,
    /// Port, where `address` is a directory.
    #[serde(default = "port_5432")]
    pub port: u16,
    /// Role; without a password the check ends when the server asks for one, which proves that it takes connections.
    #[serde(default = "postgres")]
    pub user: String,
    /// Database.
    #[serde(default = "postgres")]
    pub database: String,
    /// Password of the role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
    /// Encrypt the connection, and judge the certificate; in clear if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsExpectation>,
    /// One SQL statement, run read-only after the login, within the timeout of the check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The first value that the statement must give, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<String>,
}

impl Default for PostgresCheck {
    fn default() -> Self {
        Self {
            address: String::new(),
            port: port_5432(),
            user: postgres(),
            database: postgres(),
            password: None,
            tls: None,
            query: None,
            equals: None,
        }
    }
}

/// A Redis server.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisCheck {
    /// `host:port`.
    pub address: String,
    /// Password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
    /// Name to log in with, where the server has users (ACL).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Encrypt the connection, and judge the certificate; in clear if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsExpectation>,
}

/// A WebSocket and its first message.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebSocketCheck {
    /// `ws://` or `wss://`.
    pub url: String,
    /// A first message must arrive within the timeout.
    #[serde(default)]
    pub first_message: bool,
    /// Address and port to connect to instead of those of the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<String>,
    /// How the certificate is judged.
    #[serde(default)]
    pub tls: TlsExpectation,
}

/// An SSH server.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SshCheck {
    /// `host:port`.
    pub address: String,
    /// Fingerprint of a host key that it must have, as `ssh-keygen -lf` prints it: `SHA256:...`. The server proves that it holds
    /// the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<String>,
}

/// A mail server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MailCheck {
    /// `host:port`.
    pub address: String,
    /// What it speaks.
    pub protocol: MailProtocol,
    /// STARTTLS is required, and the certificate judged.
    #[serde(default)]
    pub starttls: bool,
    /// How the certificate is judged.
    #[serde(default)]
    pub tls: TlsExpectation,
}

/// What a mail server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MailProtocol {
    /// SMTP, also on the submission port.
    Smtp,
    /// IMAP.
    Imap,
    /// POP3.
    Pop3,
}

/// An echo request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IcmpCheck {
    /// Name or address.
    pub host: String,
}

/// A Zabbix agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ZabbixCheck {
    /// `host:port`; the agent's port is 10050.
    pub address: String,
    /// The item that is asked for; `agent.ping` if not given, which must be 1.
    #[serde(default = "agent_ping")]
    pub key: String,
    /// What the item must be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<String>,
}

fn yes() -> bool {
    true
}

fn agent_ping() -> String {
    "agent.ping".into()
}

fn type_a() -> String {
    "A".into()
}

fn postgres() -> String {
    "postgres".into()
}

fn port_5432() -> u16 {
    5432
}

impl Document for HealthChecks {
    const ID: SchemaId = SchemaId::HEALTH_CHECKS;
}
