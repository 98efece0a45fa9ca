//! `host.plan/v1`: what an apply would change on a host, with all that it needs to be applied alone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Document, HostDesired, Op, Stage, Summary};
use crate::SchemaId;

/// The changes of one host, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostPlan {
    /// The host's name.
    pub host: String,
    /// Who declares.
    pub owner: String,
    /// Where it was observed: `ssh://user@address:port`, `local` or `sandbox:DIR`.
    pub target: String,
    /// The last stage that is applied, where not all are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<Stage>,
    /// How many changes there are.
    pub summary: Summary,
    /// The changes, in order.
    pub changes: Vec<HostChange>,
    /// Irreplaceable things that the owner no longer declares; never removed without consent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orphaned: Vec<HostOrphan>,
    /// Things that were left alone, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<HostKept>,
    /// What cannot be done at this target (a sandbox has no packages, users, units and commands), and is left out on purpose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_run: Vec<HostKept>,
    /// The apply arms a rollback that fires unless a new connection proves that the owner can get in.
    #[serde(default)]
    pub guarded: bool,
    /// What a person should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The desired state, so that the plan can be applied alone.
    pub desired: HostDesired,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostChange {
    /// The item that wants it; `-` for a removal.
    pub item: String,
    /// Kind of the thing: `file`, `unit`, `packages`, ...
    pub kind: String,
    /// What is done.
    pub op: Op,
    /// The thing itself: a path, a unit, a user, a command line.
    pub name: String,
    /// What is different: `content`, `mode`, `owner`, `missing`, ...
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<String>,
    /// Unified diff of a world-readable text file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// The diff is not shown because not everybody may read the file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub redacted: bool,
    /// What was observed, as a fingerprint; an apply refuses where it has moved.
    pub fingerprint: String,
}

/// Something irreplaceable that is no longer declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostOrphan {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The consent with which an apply removes it.
    pub allow: String,
}

/// Something that was left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostKept {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
}

impl Document for HostPlan {
    const ID: SchemaId = SchemaId::HOST_PLAN;
}
