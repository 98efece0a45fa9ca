//! One verified backup plan per host: emit it, run it, judge it, prove restores.
//!
//! `plan` checks what services declare ([`check`]), looks at the host ([`survey`]) and puts everything that a run will do
//! into one document ([`planner`]). `run` executes its steps and decides nothing ([`run`]); `judge` asks the repositories
//! ([`judge`]); `drill` restores and compares ([`drill`]); `emit` writes the plan for others ([`emit`]).
//!
//! Invariants: restic is the only engine; no step goes through a shell; the previous good dump stays until the new one is
//! verified; nothing is restored into a place that holds data; no value of a secret is in arguments, plans or results.

mod check;
mod drill;
mod emit;
mod error;
mod judge;
mod manifest;
mod metrics;
mod pattern;
mod planner;
mod restic;
mod restore;
mod run;
mod runner;
mod state;
mod survey;
mod system_user;
mod text;
mod verb;

use cli::Tool;
use contract::SchemaId;

pub use verb::{Verb, run};

/// The program.
pub static TOOL: Tool = Tool {
    name: "backup-plan",
    version: env!("CARGO_PKG_VERSION"),
    about: "Turn what services declare into one verified backup plan, run it, judge it, prove restores",
    examples: "\
backup-plan plan --out /var/lib/plumbline/backup/plan.json < sources.json
backup-plan run /var/lib/plumbline/backup/plan.json
backup-plan judge /var/lib/plumbline/backup/plan.json    exit 1 if a backup is too old or suspiciously small
backup-plan drill /var/lib/plumbline/backup/plan.json    restore a sample and every dump, and compare
backup-plan restore plan.json --target /srv/restored --path /var/lib/app
backup-plan emit --to argv plan.json                     the same as command lines",
    documents: &[
        SchemaId::BACKUP_SOURCES,
        SchemaId::BACKUP_PLAN,
        SchemaId::BACKUP_RESULT,
        SchemaId::BACKUP_VERDICT,
        SchemaId::BACKUP_PROOF,
        SchemaId::HOST_DESIRED,
    ],
    reports: &[],
};
