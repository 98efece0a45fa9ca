//! A login over SSH that belongs to a service.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A login over SSH that belongs to a service, such as `git` of a forge. It stays what it is whatever else the host says
/// about logins: keys only, no terminal, no forwarding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceLogin {
    /// System user that people log in as; it is made where it is not there.
    pub user: String,
    /// That user's home; `/home/USER` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<String>,
    /// Program that prints who may log in, as lines of authorized_keys (`AuthorizedKeysCommand`): an absolute path and its
    /// arguments, in which `%u`, `%t`, `%k` and `%f` stand for user, type, key and fingerprint. Without it the user's own
    /// `.ssh/authorized_keys` says so, which the service keeps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys_command: Vec<String>,
    /// System user that this program runs as; `nobody` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys_user: Option<String>,
    /// The only program that ever runs, whatever a client asks for (`ForceCommand`). Without it each key's own `command=`
    /// decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
}
