//! `health.report/v1`: what is healthy, what is not, and why.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Document;
use crate::SchemaId;

/// The verdict on all checks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HealthReport {
    /// Where the checks were run from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vantage: Option<String>,
    /// The verdict. `down` also where something that is required could not be looked at: a gate must not pass on that.
    pub status: HealthStatus,
    /// When it began (RFC 3339, UTC).
    pub started_at: String,
    /// Wall time in milliseconds.
    pub ms: u64,
    /// How often all checks were run.
    pub rounds: u32,
    /// The wait ended without the verdict that it waited for.
    #[serde(default)]
    pub deadline_exceeded: bool,
    /// It was ended by a signal; this is what the last whole round saw.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
    /// How many checks are in each state.
    pub summary: HealthSummary,
    /// What is broken in itself, the widest impact first.
    pub root_causes: Vec<RootCause>,
    /// Things that nobody looked at, but on which everything that needs them fails together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suspects: Vec<Suspect>,
    /// Every check, in the order of the document.
    pub checks: Vec<CheckReport>,
}

/// A verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// All that is required is healthy.
    Up,
    /// It works, but something that is wanted is missing or slow.
    Degraded,
    /// Something that is required is not healthy.
    Down,
}

/// The state of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// Healthy.
    Up,
    /// Works, but slow, expiring, or without something that it wants.
    Degraded,
    /// Broken in itself.
    Down,
    /// Fails because something that it needs is down.
    Unreachable,
    /// Could not be looked at.
    Unknown,
    /// Was not looked at, on purpose.
    Skipped,
}

/// How many checks are in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct HealthSummary {
    /// Healthy.
    pub up: u32,
    /// Degraded.
    pub degraded: u32,
    /// Broken in themselves.
    pub down: u32,
    /// Blocked by others.
    pub unreachable: u32,
    /// Could not be looked at.
    pub unknown: u32,
    /// Left out on purpose.
    pub skipped: u32,
}

/// A check that is broken in itself, and what it drags down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RootCause {
    /// The check.
    pub id: String,
    /// Reason from the closed list.
    pub reason: String,
    /// The same in words.
    pub message: String,
    /// Checks that fail because of it, or look healthy but cannot be.
    pub impacts: Vec<String>,
    /// Checks that work without it, but not fully.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub degrades: Vec<String>,
    /// Its own failure fails the verdict.
    #[serde(default = "yes")]
    pub critical: bool,
    /// What programs that need it say about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
}

/// Something that nobody looked at, but on which everything that needs it fails together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Suspect {
    /// The check, of kind `node`.
    pub id: String,
    /// Why it is suspected, in words.
    pub message: String,
    /// Checks that fail together.
    pub impacts: Vec<String>,
}

/// What the probe itself saw, before the graph is considered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawResult {
    /// Healthy.
    Pass,
    /// Works, but slow, expiring, or otherwise doubtful.
    Warn,
    /// Not healthy.
    Fail,
    /// Could not be looked at.
    Error,
    /// There is nothing to look at.
    None,
    /// Was not looked at, on purpose.
    Skip,
}

/// Where the time of the last attempt went, in milliseconds. What did not happen is left out.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Phases {
    /// Finding the addresses of the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolve: Option<f64>,
    /// Connecting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<f64>,
    /// The TLS handshake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<f64>,
    /// From the request to the head of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processing: Option<f64>,
    /// The body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<f64>,
}

/// The certificate of a server, also where it was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateReport {
    /// Names that it is valid for.
    pub names: Vec<String>,
    /// Who signed it.
    pub issuer: String,
    /// When it expires itself (RFC 3339, UTC).
    pub expires_at: String,
    /// When the first certificate between it and the root expires (RFC 3339, UTC).
    pub chain_expires_at: String,
    /// SHA-256 of it (DER) in hexadecimal.
    pub sha256: String,
    /// How many certificates the server sent.
    pub sent: u32,
    /// It was signed by someone trusted, for this name, and is valid now.
    pub verified: bool,
    /// When the first of all certificates that the server sent expires (RFC 3339, UTC), old roots included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_expires_at: Option<String>,
}

/// An attempt that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TryReport {
    /// Reason from the closed list.
    pub reason: String,
    /// The same in words.
    pub message: String,
    /// Wall time in milliseconds.
    pub ms: u64,
}

/// What was seen at one address of a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AddressReport {
    /// The address.
    pub address: String,
    /// What the probe saw there.
    pub raw: RawResult,
    /// Reason from the closed list; none where it passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Wall time in milliseconds.
    pub ms: u64,
}

/// One check and what was seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CheckReport {
    /// The check.
    pub id: String,
    /// What it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Its kind: `http`, `tcp`, ...
    pub kind: String,
    /// What is looked at: a URL, an address, a path. Never holds a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Words to select it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Its failure fails the verdict; else it only degrades.
    #[serde(default = "yes")]
    pub critical: bool,
    /// Its state.
    pub state: CheckState,
    /// What the probe itself saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<RawResult>,
    /// Reason from the closed list; none where it is up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Root causes that block it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked_by: Vec<String>,
    /// Checks that might block it, but could not be looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub possible_causes: Vec<String>,
    /// It looks healthy although something that it needs is down: its health page is shallow, or the edge is wrong.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub contradiction: bool,
    /// It failed first and passed when it was looked at again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub flaky: bool,
    /// Checks that it needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// Groups of checks of which it needs one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs_any: Vec<Vec<String>>,
    /// Checks that it wants.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wants: Vec<String>,
    /// Address that was connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Status of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// When the first certificate of the chain expires (RFC 3339, UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_expires_at: Option<String>,
    /// The server's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateReport>,
    /// What the program itself says about its parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// Figures that it measured, such as `used_percent`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<String, f64>,
    /// Where the time went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phases: Option<Phases>,
    /// Earlier attempts of the same round, which failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tries: Vec<TryReport>,
    /// What was seen at each address, where several were looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<AddressReport>,
    /// Its state with some inertia: what several runs in a row said (`--state`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soft: Option<CheckState>,
    /// It changes its mind too often (`--state`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub flapping: bool,
    /// How often it was tried in the last round.
    #[serde(default = "one")]
    pub attempts: u32,
    /// Where it was looked at from, if that is not the report's own vantage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vantage: Option<String>,
    /// Wall time of the last attempt in milliseconds.
    pub ms: u64,
}

fn yes() -> bool {
    true
}

fn one() -> u32 {
    1
}

impl Document for HealthReport {
    const ID: SchemaId = SchemaId::HEALTH_REPORT;
}
