//! `dns.plan/v1`: what an apply would change in zones, with all that it needs to be applied alone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DnsDesired, Document, Op, Summary};
use crate::{Pointer, SchemaId};

/// The changes of all zones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DnsPlan {
    /// Who declares.
    pub owner: String,
    /// How many changes there are.
    pub summary: Summary,
    /// The zones.
    pub zones: Vec<DnsZonePlan>,
    /// What a person should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The desired state with its providers, so that the plan can be applied alone.
    pub desired: DnsDesired,
}

/// The changes of one zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DnsZonePlan {
    /// The zone, with its final dot.
    pub zone: String,
    /// Which provider keeps it.
    pub provider: String,
    /// Serial that was observed, where the provider has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<u32>,
    /// The changes, in the order in which they are made.
    pub changes: Vec<DnsChange>,
    /// Record sets that were left alone, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<DnsKept>,
    /// How an apply makes sure that nobody changed the zone meanwhile: `prerequisites` or `reread`.
    pub guard: String,
}

/// One record set before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DnsChange {
    /// What is done.
    pub op: Op,
    /// Owner name, absolute, lower case.
    pub name: String,
    /// Type.
    #[serde(rename = "type")]
    pub record_type: String,
    /// What was observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<RecordSet>,
    /// What it becomes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<RecordSet>,
    /// Places in the fleet that made it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<Pointer>,
}

/// TTL and values of one name and type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordSet {
    /// Seconds.
    pub ttl: u32,
    /// RDATA in canonical zone-file text, sorted.
    pub values: Vec<String>,
}

/// A record set that was left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DnsKept {
    /// Owner name.
    pub name: String,
    /// Type.
    #[serde(rename = "type")]
    pub record_type: String,
    /// Why.
    pub reason: String,
}

impl Document for DnsPlan {
    const ID: SchemaId = SchemaId::DNS_PLAN;
}
