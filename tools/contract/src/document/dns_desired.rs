//! `dns.desired/v1`: what zones, tunnel routes and access policies shall hold.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Document;
use crate::{Pointer, SchemaId, SecretRef};

/// Zones and where they live.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DnsDesired {
    /// Who declares these records; markers in shared zones carry this name.
    pub owner: String,
    /// The document holds only some of the owner's records, so that nothing may be removed because of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// Where zones are kept, by a name of your choice.
    pub providers: BTreeMap<String, DnsProvider>,
    /// The zones.
    pub zones: Vec<DnsZone>,
    /// Routes of Cloudflare tunnels that are managed from here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tunnels: Vec<Tunnel>,
    /// Cloudflare Access policies and applications.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub access: Vec<AccessApplication>,
}

/// Where zones are kept. Exactly one key names the kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DnsProvider {
    /// Dynamic update and transfer (RFC 2136, RFC 5936) with TSIG (RFC 8945): BIND, Knot, PowerDNS, Technitium, Windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rfc2136: Option<Rfc2136>,
    /// A zone file on the controller (RFC 1035 section 5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zonefile: Option<ZoneFile>,
    /// Cloudflare API v4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloudflare: Option<Cloudflare>,
    /// PowerDNS HTTP API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub powerdns: Option<PowerDns>,
    /// Hetzner Cloud API (DNS in zones and rrsets).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hetzner: Option<TokenProvider>,
    /// deSEC API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desec: Option<TokenProvider>,
    /// Scaleway Domains and DNS API v2beta1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaleway: Option<TokenProvider>,
}

/// A primary server that takes updates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rfc2136 {
    /// Address and port, such as `192.0.2.53:53` or `[2001:db8::53]:53`.
    pub server: String,
    /// The key that signs every message.
    pub tsig: Tsig,
}

/// A TSIG key (RFC 8945).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tsig {
    /// The key's name as the server knows it.
    pub name: String,
    /// How it signs.
    #[serde(default)]
    pub algorithm: TsigAlgorithm,
    /// The shared secret in base64.
    pub secret: SecretRef,
}

/// Algorithms of RFC 8945 section 6 that may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TsigAlgorithm {
    /// HMAC-SHA-256.
    #[default]
    HmacSha256,
    /// HMAC-SHA-384.
    HmacSha384,
    /// HMAC-SHA-512.
    HmacSha512,
}

/// A directory of zone files on the controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ZoneFile {
    /// Where `ZONE.zone` lies, relative to `--base`.
    pub directory: String,
}

/// Cloudflare, with an API token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cloudflare {
    /// API token with Zone Read and DNS Write; for tunnels and Access the account's scopes as well.
    pub token: SecretRef,
    /// Account id, needed for tunnels and Access.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Another address of the API (tests, gateways).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// PowerDNS' HTTP API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PowerDns {
    /// Address of the API, such as `http://127.0.0.1:8081`.
    pub url: String,
    /// Value of `X-API-Key`.
    pub key: SecretRef,
}

/// A provider that needs a token and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenProvider {
    /// API token.
    pub token: SecretRef,
    /// Another address of the API (tests, gateways).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// What a zone may lose to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ZoneMode {
    /// Only what a marker says is ours is changed or removed.
    #[default]
    Owned,
    /// Everything that is neither declared, ignored nor protected is removed.
    WholeZone,
    /// Nothing is ever removed.
    Additive,
}

/// One zone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DnsZone {
    /// Its name, without the final dot.
    pub name: String,
    /// Which provider keeps it.
    pub provider: String,
    /// What it may lose to us.
    #[serde(default)]
    pub mode: ZoneMode,
    /// TTL in seconds of records that name none; the provider's own default if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_ttl: Option<u32>,
    /// Whether the NS records at the apex are ours.
    #[serde(default)]
    pub manage_apex_ns: bool,
    /// What is left alone, besides `_acme-challenge` TXT records and the types of DNSSEC.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<DnsIgnore>,
    /// The records. Several entries of one name and type are joined into one set.
    pub records: Vec<DnsRecord>,
}

/// Names and types to leave alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DnsIgnore {
    /// Name relative to the zone; `*` stands for any run of characters.
    pub name: String,
    /// Type; every type if not given.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub record_type: Option<String>,
}

/// One name and one type. Exactly one of the upper-case keys names the type and holds the values.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DnsRecord {
    /// Name relative to the zone; `@` is the zone itself, a final dot makes it absolute. UTF-8 is converted (IDNA).
    pub name: String,
    /// Seconds; the zone's default if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
    /// Answered by Cloudflare's edge instead of with the address itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxied: Option<bool>,
    /// A remark, where the provider keeps one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// When it may be written, seen from the host it points at.
    #[serde(default)]
    pub when: RecordPhase,
    /// Places in the fleet that made this record (provenance, for people).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<Pointer>,

    /// IPv4 addresses.
    #[serde(default, rename = "A", skip_serializing_if = "Option::is_none")]
    pub a: Option<Vec<std::net::Ipv4Addr>>,
    /// IPv6 addresses.
    #[serde(default, rename = "AAAA", skip_serializing_if = "Option::is_none")]
    pub aaaa: Option<Vec<std::net::Ipv6Addr>>,
    /// Canonical name. A target without a final dot is relative to the zone.
    #[serde(default, rename = "CNAME", skip_serializing_if = "Option::is_none")]
    pub cname: Option<String>,
    /// The provider's own apex alias.
    #[serde(default, rename = "ALIAS", skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Name servers of a delegated zone.
    #[serde(default, rename = "NS", skip_serializing_if = "Option::is_none")]
    pub ns: Option<Vec<String>>,
    /// Mail exchangers.
    #[serde(default, rename = "MX", skip_serializing_if = "Option::is_none")]
    pub mx: Option<Vec<Mx>>,
    /// Texts, each as it is (no quotes, no splitting).
    #[serde(default, rename = "TXT", skip_serializing_if = "Option::is_none")]
    pub txt: Option<Vec<String>>,
    /// Services.
    #[serde(default, rename = "SRV", skip_serializing_if = "Option::is_none")]
    pub srv: Option<Vec<Srv>>,
    /// Certification authorities (RFC 8659).
    #[serde(default, rename = "CAA", skip_serializing_if = "Option::is_none")]
    pub caa: Option<Vec<Caa>>,
    /// Reverse names.
    #[serde(default, rename = "PTR", skip_serializing_if = "Option::is_none")]
    pub ptr: Option<Vec<String>>,
    /// SSH host key fingerprints (RFC 4255).
    #[serde(default, rename = "SSHFP", skip_serializing_if = "Option::is_none")]
    pub sshfp: Option<Vec<Sshfp>>,
    /// TLS certificates (RFC 6698).
    #[serde(default, rename = "TLSA", skip_serializing_if = "Option::is_none")]
    pub tlsa: Option<Vec<Tlsa>>,
    /// HTTPS service bindings (RFC 9460), each in zone-file text.
    #[serde(default, rename = "HTTPS", skip_serializing_if = "Option::is_none")]
    pub https: Option<Vec<String>>,
    /// Service bindings (RFC 9460), each in zone-file text.
    #[serde(default, rename = "SVCB", skip_serializing_if = "Option::is_none")]
    pub svcb: Option<Vec<String>>,
    /// Any other type, in zone-file text.
    #[serde(default, rename = "OTHER", skip_serializing_if = "Option::is_none")]
    pub other: Option<OtherRecord>,
}

/// When a record may be written in a bootstrap or update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordPhase {
    /// Before the services stage: ACME needs it.
    Before,
    /// After the gate: it sends users there.
    #[default]
    After,
}

/// A mail exchanger.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mx {
    /// Lower is preferred.
    pub preference: u16,
    /// Host; `.` with preference 0 means that the name takes no mail (RFC 7505).
    pub exchange: String,
}

/// A service location (RFC 2782).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Srv {
    /// Lower is preferred.
    pub priority: u16,
    /// Share among equals.
    pub weight: u16,
    /// Port.
    pub port: u16,
    /// Host; `.` means that there is no such service.
    pub target: String,
}

/// Who may issue certificates.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Caa {
    /// 0, or 128 for critical.
    #[serde(default)]
    pub flags: u8,
    /// `issue`, `issuewild`, `iodef` or another property tag.
    pub tag: String,
    /// Its value; `;` means nobody.
    pub value: String,
}

/// Fingerprint of an SSH host key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sshfp {
    /// Key algorithm: 1 RSA, 3 ECDSA, 4 Ed25519.
    pub algorithm: u8,
    /// Hash: 1 SHA-1, 2 SHA-256.
    pub hash: u8,
    /// Fingerprint in hexadecimal.
    pub fingerprint: String,
}

/// Association of a certificate with a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tlsa {
    /// Certificate usage, 0 to 3.
    pub usage: u8,
    /// 0 whole certificate, 1 public key.
    pub selector: u8,
    /// 0 exact, 1 SHA-256, 2 SHA-512.
    pub matching: u8,
    /// Data in hexadecimal.
    pub data: String,
}

/// A record of a type that has no key of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OtherRecord {
    /// Mnemonic, or `TYPE65280` (RFC 3597).
    #[serde(rename = "type")]
    pub record_type: String,
    /// RDATA in zone-file text, or `\# LENGTH HEX`.
    pub values: Vec<String>,
}

/// Routes of one Cloudflare tunnel that is managed from here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tunnel {
    /// Name of the tunnel.
    pub name: String,
    /// Which provider (a `cloudflare` one).
    pub provider: String,
    /// Routes; exact names go before wildcards whatever their order here.
    pub routes: Vec<TunnelRoute>,
}

/// One public name and the service behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TunnelRoute {
    /// Public name.
    pub hostname: String,
    /// Regular expression on the path, where only part of the name goes there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Where it goes, such as `http://127.0.0.1:8123` or `ssh://localhost:22`.
    pub service: String,
    /// Places in the fleet that made this route.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<Pointer>,
}

/// A Cloudflare Access application with its policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessApplication {
    /// Name of the application.
    pub name: String,
    /// Which provider (a `cloudflare` one).
    pub provider: String,
    /// Names that it guards.
    pub hostnames: Vec<String>,
    /// Addresses of the people who may pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub emails: Vec<String>,
    /// Mail domains whose people may pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub email_domains: Vec<String>,
    /// How long a login lasts, such as `24h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<crate::Duration>,
}

impl Document for DnsDesired {
    const ID: SchemaId = SchemaId::DNS_DESIRED;
}
