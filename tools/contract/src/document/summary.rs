//! Words that plans and results of all tools share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a change does to the thing it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// It is not there and will be.
    Create,
    /// It is there and will be different.
    Update,
    /// It is there and will not be.
    Delete,
    /// Something is run: a command, a handler, a unit.
    Run,
}

/// How many changes of each kind a plan or result holds. All zero means: nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// Things to be made.
    pub create: u64,
    /// Things to be changed.
    pub update: u64,
    /// Things to be taken away.
    pub delete: u64,
    /// Things to be run.
    pub run: u64,
    /// Things that are as they should be.
    pub unchanged: u64,
}

impl Summary {
    /// Counts one change.
    pub fn count(&mut self, op: Op) {
        match op {
            Op::Create => self.create += 1,
            Op::Update => self.update += 1,
            Op::Delete => self.delete += 1,
            Op::Run => self.run += 1,
        }
    }

    /// Whether there is anything to do.
    pub fn has_changes(&self) -> bool {
        self.create + self.update + self.delete + self.run > 0
    }
}

/// How an apply ended. Everything but `done` ends the process with 3 once something was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything is as the plan says.
    #[default]
    Done,
    /// Some of it is done and some failed; the rest was not tried or was.
    Partial,
    /// It failed, and what had been changed was put back.
    RolledBack,
    /// It failed, and not all that had been changed could be put back; the result lists what.
    NotRestored,
    /// A signal ended it after the current change.
    Interrupted,
    /// It failed before anything was changed (the host was not reached, the document or the plan is not good).
    NotStarted,
}

impl Outcome {
    /// Whether the apply ended well.
    pub fn is_done(self) -> bool {
        self == Outcome::Done
    }
}

/// How one change of an apply ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeStatus {
    /// It was made.
    Done,
    /// It failed; the error is with it.
    Failed,
    /// It was not tried, because something before it failed or a signal came.
    Skipped,
    /// It was made and then put back.
    RolledBack,
    /// Whether it was made is not known (a connection broke); a new plan will tell.
    Unknown,
    /// It cannot be done at this target (a sandbox has no units) and was left out on purpose.
    NotRun,
}
