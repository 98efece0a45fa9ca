//! What hosts have in common.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Host;

/// What hosts have in common.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// Keys that every host takes where neither it nor the host named by its `like` gives them.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub host: Host,
}
