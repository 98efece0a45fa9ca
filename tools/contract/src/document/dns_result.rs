//! `dns.result/v1`: what an apply did in zones.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ChangeStatus, DnsChange, Document, Outcome, Summary};
use crate::{ErrorObject, SchemaId};

/// What was done in all zones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DnsResult {
    /// How it ended.
    pub outcome: Outcome,
    /// Whether anything is different from before.
    pub changed: bool,
    /// How many changes were made.
    pub summary: Summary,
    /// The zones.
    pub zones: Vec<DnsZoneResult>,
}

/// What was done in one zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DnsZoneResult {
    /// The zone, with its final dot.
    pub zone: String,
    /// How it ended.
    pub status: ChangeStatus,
    /// Changes that were made and seen again afterwards.
    pub applied: Vec<DnsChange>,
    /// Changes that the server accepted but that do not show.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_effective: Vec<DnsChange>,
    /// Changes of which it is not known whether they were made, because the zone could not be read again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<DnsChange>,
    /// Changes that were not made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<DnsChange>,
    /// Serial afterwards, where the provider has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<u32>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorObject>,
}

impl Document for DnsResult {
    const ID: SchemaId = SchemaId::DNS_RESULT;
}
