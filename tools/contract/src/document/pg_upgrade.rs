//! `pg.upgrade/v1`: the state of a major upgrade of a cluster.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Document;
use crate::SchemaId;

/// How far an upgrade is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PgUpgrade {
    /// The cluster's name.
    pub cluster: String,
    /// Major version before.
    pub from: u32,
    /// Major version after.
    pub to: u32,
    /// The steps, in order.
    pub steps: Vec<PgUpgradeStep>,
}

/// One step of an upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PgUpgradeStep {
    /// Its name.
    pub name: String,
    /// `pending`, `done`, `failed` or `skipped`.
    pub state: String,
    /// What it found or why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Document for PgUpgrade {
    const ID: SchemaId = SchemaId::PG_UPGRADE;
}
