//! `dns.verify/v1`: what the authoritative servers answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Document;
use crate::SchemaId;

/// Whether every authoritative server answers as declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DnsVerify {
    /// All servers of all zones agree with what is declared.
    pub ok: bool,
    /// The zones.
    pub zones: Vec<DnsZoneVerify>,
}

/// The servers of one zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DnsZoneVerify {
    /// The zone, with its final dot.
    pub zone: String,
    /// Its authoritative servers.
    pub servers: Vec<DnsServerVerify>,
}

/// What an authoritative server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServerState {
    /// What is declared.
    Match,
    /// Something else.
    Stale,
    /// It is not authoritative for the zone.
    Lame,
    /// Nothing in time.
    Timeout,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DnsServerVerify {
    /// Its name.
    pub name: String,
    /// Address and port that was asked.
    pub address: String,
    /// What it answers.
    pub state: ServerState,
    /// The serial that it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<u32>,
    /// Record sets that differ, as `name TYPE`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub different: Vec<String>,
}

impl Document for DnsVerify {
    const ID: SchemaId = SchemaId::DNS_VERIFY;
}
