//! `health.report/v1`: what is healthy, what is not, and why.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Document;
use crate::SchemaId;

/// The verdict on all checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HealthReport {
    /// Where the checks were run from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vantage: Option<String>,
    /// The verdict: `up`, `degraded`, `down`.
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
    /// How many checks are in each state.
    pub summary: HealthSummary,
    /// What is broken in itself, the widest impact first.
    pub root_causes: Vec<RootCause>,
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
    /// Checks that fail because of it.
    pub impacts: Vec<String>,
}

/// One check and what was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckReport {
    /// The check.
    pub id: String,
    /// What it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Its kind: `http`, `tcp`, ...
    pub kind: String,
    /// Its state.
    pub state: CheckState,
    /// Reason from the closed list; none where it is up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Root causes that block it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked_by: Vec<String>,
    /// Checks that it needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
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
    /// Wall time of the last attempt in milliseconds.
    pub ms: u64,
}

impl Document for HealthReport {
    const ID: SchemaId = SchemaId::HEALTH_REPORT;
}
