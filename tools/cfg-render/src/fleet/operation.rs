//! A command that agents may run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An argument that whoever runs an operation gives. What fits neither its pattern nor its values is refused.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OperationParameter {
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A POSIX extended regular expression that the whole value fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// The only values that it may have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// A command that a restricted user may run as root through a wrapper, and nothing else: for agents and for people who
/// are no administrators. Exactly one of the keys before `users` names what is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// What it does, for those who choose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The host on which it is; that of the service if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,

    /// Restarts a service of the fleet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<String>,
    /// Shows the state of a service of the fleet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Shows the last lines of a service of the fleet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs: Option<String>,
    /// Runs a program with fixed arguments; no shell stands between.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,

    /// Arguments of the program that whoever runs it gives, in order; `{name}` in `command` stands for one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<OperationParameter>,
    /// System user that the program runs as; root if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as: Option<String>,
    /// The program can write nothing and gets no new rights. Off only for programs that change the system.
    #[serde(default = "super::yes", skip_serializing_if = "super::is_true")]
    pub sandbox: bool, //keep

    /// System users who may run it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    /// Most seconds that it may take; 60 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u32>,
}

impl Default for Operation {
    fn default() -> Self {
        Self {
            description: None,
            host: None,
            restart: None,
            status: None,
            logs: None,
            command: Vec::new(),
            parameters: Vec::new(),
            run_as: None,
            sandbox: true,
            users: Vec::new(),
            timeout_seconds: None,
        }
    }
}
