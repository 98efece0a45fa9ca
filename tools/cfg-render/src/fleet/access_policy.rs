//! Who may pass a provider's login.

use contract::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who may pass Cloudflare Access, for proxy entries whose `auth` names it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessPolicy {
    /// A `cloudflare` provider of `dns.providers`; the only one if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// People, by all their mail addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub people: Vec<String>,
    /// Groups of people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Further mail addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub emails: Vec<String>,
    /// Mail domains whose people may pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub email_domains: Vec<String>,
    /// How long a login lasts; 24 h if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Duration>,
}
