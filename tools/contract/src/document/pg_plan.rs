//! `pg.plan/v1`: what an apply would change in a cluster, with all that it needs to be applied alone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Document, Op, PgDesired, Summary};
use crate::{Pointer, SchemaId};

/// The changes of one cluster, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PgPlan {
    /// The cluster's name.
    pub cluster: String,
    /// Version of the server as a number, such as 180006.
    pub server_version: u32,
    /// How many changes there are.
    pub summary: Summary,
    /// The changes, in order.
    pub changes: Vec<PgChange>,
    /// Irreplaceable things that the owner no longer declares; never removed without consent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orphaned: Vec<PgOrphan>,
    /// What a person should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The desired state, so that the plan can be applied alone.
    pub desired: PgDesired,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PgChange {
    /// What it is on, such as `role/app` or `database/app/extension/citext`.
    pub id: String,
    /// What is done.
    pub op: Op,
    /// What is different.
    pub why: String,
    /// The statement, with secrets left out.
    pub sql: String,
    /// What was observed, as a fingerprint; an apply refuses where it has moved.
    pub fingerprint: String,
    /// Places in the fleet that made it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<Pointer>,
}

/// Something irreplaceable that is no longer declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PgOrphan {
    /// What it is, such as `database/old`.
    pub id: String,
    /// The consent with which an apply removes it.
    pub allow: String,
}

impl Document for PgPlan {
    const ID: SchemaId = SchemaId::PG_PLAN;
}
