//! `dns.plan/v1`: what an apply would change in zones, with all that it needs to be applied alone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DnsDesired, Document, Op, RecordPhase, Summary, ZoneMode};
use crate::{Pointer, SchemaId};

/// The changes of all zones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DnsPlan {
    /// Who declares.
    pub owner: String,
    /// The plan holds only records of this phase and removes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<RecordPhase>,
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
    /// What the zone may lose to us.
    #[serde(default)]
    pub mode: ZoneMode,
    /// Serial that was observed, where the provider has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<u32>,
    /// The changes, in the order in which they are made.
    pub changes: Vec<DnsChange>,
    /// Record sets that are as declared and become ours, as `--allow takeover:NAME/TYPE` asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<DnsSetName>,
    /// The record sets that hold the marks of ownership, as they will be; they are written together with the changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<DnsChange>,
    /// What an apply refuses, and the consent that it takes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<DnsRefusal>,
    /// Declared record sets that are as they should be.
    #[serde(default)]
    pub unchanged: u64,
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

/// Name and type of a record set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct DnsSetName {
    /// Owner name, absolute, lower case.
    pub name: String,
    /// Type.
    #[serde(rename = "type")]
    pub record_type: String,
}

/// Something that an apply refuses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DnsRefusal {
    /// Why.
    pub message: String,
    /// What `--allow` must name, such as `deletes:25`; nothing allows it where this is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<String>,
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
