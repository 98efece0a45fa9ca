//! Health of the fleet as a whole.

use contract::document::{HealthCheck, HealthDefaults};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Health of the fleet as a whole. The checks of hosts and services are derived.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Values for checks that give none.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub defaults: HealthDefaults,
    /// Checks that belong to nothing else, in full.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<HealthCheck>,
}
