//! `pg.result/v1`: what an apply did in a cluster.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ChangeStatus, Document, Op, Outcome, PgOrphan, Summary};
use crate::{ErrorObject, SchemaId};

/// What was done in one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PgResult {
    /// The cluster's name.
    pub cluster: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether anything is different from before.
    pub changed: bool,
    /// How many changes were made.
    pub summary: Summary,
    /// The changes, in order.
    pub changes: Vec<PgChangeResult>,
    /// Irreplaceable things that are no longer declared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orphaned: Vec<PgOrphan>,
    /// The error that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorObject>,
    /// What a person should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// One change and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PgChangeResult {
    /// What it was on.
    pub id: String,
    /// What was done.
    pub op: Op,
    /// How it ended.
    pub status: ChangeStatus,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Document for PgResult {
    const ID: SchemaId = SchemaId::PG_RESULT;
}
