//! `host.result/v1`: what an apply did on a host.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ChangeStatus, Document, HostKept, HostOrphan, Op, Outcome, Summary};
use crate::{ErrorObject, SchemaId};

/// What was done on one host. Printed also for a host that was not reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostResult {
    /// The host's name.
    pub host: String,
    /// Who declares.
    pub owner: String,
    /// The run, by which `attach`, `confirm` and `rollback` find it; none where the host was not reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether anything is different from before.
    pub changed: bool,
    /// How many changes were made.
    pub summary: Summary,
    /// The changes, in order.
    pub changes: Vec<HostChangeResult>,
    /// Irreplaceable things that are no longer declared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orphaned: Vec<HostOrphan>,
    /// Things that were left alone, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<HostKept>,
    /// How the owner's access was proven after a guarded apply, such as `ssh://root@192.0.2.1:2222`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_proof: Option<String>,
    /// The error that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorObject>,
    /// What a person should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Wall time in milliseconds.
    pub ms: u64,
}

/// One change and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostChangeResult {
    /// The item that wanted it; `-` for a removal.
    pub item: String,
    /// Kind of the thing.
    pub kind: String,
    /// What was done.
    pub op: Op,
    /// The thing itself.
    pub name: String,
    /// How it ended.
    pub status: ChangeStatus,
    /// Why it failed or was not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Document for HostResult {
    const ID: SchemaId = SchemaId::HOST_RESULT;
}
