//! Bans of addresses that try passwords.

use std::collections::BTreeMap;

use contract::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bans of addresses that try passwords (fail2ban). On, with a jail for sshd, unless switched off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Fail2ban {
    /// Whether it runs.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub enable: bool,
    /// Failures within `findtime` that lead to a ban.
    pub maxretry: u32,
    /// How far back failures count.
    pub findtime: Duration,
    /// Length of a first ban.
    pub bantime: Duration,
    /// Each further ban of an address is longer than the last.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub increment: bool,
    /// Longest ban.
    pub maxtime: Duration,
    /// Networks of the fleet, addresses and ranges that are never banned.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<String>,
    /// Jails by name; `sshd` is always there unless its `enable` is false. Those of proxies and services are derived.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub jails: BTreeMap<String, Jail>,
}

impl Default for Fail2ban {
    fn default() -> Self {
        Self {
            enable: true,
            maxretry: 5,
            findtime: Duration::from_secs(600),
            bantime: Duration::from_secs(600),
            increment: true,
            maxtime: Duration::from_secs(7 * 86_400),
            ignore: Vec::new(),
            jails: BTreeMap::new(),
        }
    }
}

/// One jail. What it does not give, it takes from the whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Jail {
    /// Whether it is on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub enable: bool,
    /// Name of the filter; that of the jail if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Mode of the filter, such as `aggressive`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Files to read; the journal if none are given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logpath: Vec<String>,
    /// Match of the journal, such as `_SYSTEMD_UNIT=sshd.service`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journalmatch: Option<String>,
    /// Ports that a ban closes; all if none are given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,
    /// Failures within `findtime` that lead to a ban.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maxretry: Option<u32>,
    /// How far back failures count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub findtime: Option<Duration>,
    /// Length of a first ban.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bantime: Option<Duration>,
}

impl Default for Jail {
    fn default() -> Self {
        Self {
            enable: true,
            filter: None,
            mode: None,
            logpath: Vec::new(),
            journalmatch: None,
            ports: Vec::new(),
            maxretry: None,
            findtime: None,
            bantime: None,
        }
    }
}
