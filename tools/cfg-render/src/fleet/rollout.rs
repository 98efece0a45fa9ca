//! The order in which hosts change.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The order in which hosts change.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    /// Steps, each a list of hosts that may change together. Hosts that stand nowhere come last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<Vec<String>>,
}
