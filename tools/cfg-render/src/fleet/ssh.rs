//! How a host is logged in to.

use contract::document::Escalation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SshKey;

/// How a host is logged in to. Passwords are never accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ssh {
    /// TCP port of sshd in the end.
    #[schemars(range(min = 1))]
    pub port: u16,
    /// Networks from which sshd is reachable.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<String>,
    /// The user that the tools log in as.
    pub user: String,
    /// How that user becomes root, where it is not root.
    #[serde(rename = "become", skip_serializing_if = "Option::is_none")]
    pub escalate: Option<Escalation>,
    /// Keys that may log in as that user, besides those of `people` and `groups`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<SshKey>,
    /// People whose keys may log in as that user.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub people: Vec<String>,
    /// Groups of people whose keys may log in as that user.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Keys in authorized_keys that are not declared are taken away.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub exclusive: bool,
    /// Whether root may log in.
    pub root: RootLogin,
    /// Networks, in order, whose address of the host the tools try; every network of the host, `public` last, if not given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// Another host through which this one is reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// How a host is reached that has not been converged yet.
    pub initial: InitialSsh,
}

impl Default for Ssh {
    fn default() -> Self {
        Self {
            port: 22,
            from: super::public(),
            user: "root".into(),
            escalate: None,
            keys: Vec::new(),
            people: Vec::new(),
            groups: Vec::new(),
            exclusive: false,
            root: RootLogin::KeyOnly,
            networks: Vec::new(),
            via: None,
            initial: InitialSsh::default(),
        }
    }
}

/// Whether root may log in over SSH.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RootLogin {
    /// With a key.
    #[default]
    KeyOnly,
    /// Not at all; another user must be able to become root.
    No,
}

/// How a host is reached that has not been converged yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct InitialSsh {
    /// TCP port of sshd.
    #[schemars(range(min = 1))]
    pub port: u16,
    /// Login user.
    pub user: String,
}

impl Default for InitialSsh {
    fn default() -> Self {
        Self { port: 22, user: "root".into() }
    }
}
