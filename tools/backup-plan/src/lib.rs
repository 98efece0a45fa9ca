//! Plan, run, judge and prove the backups of a host.

mod verb;

use cli::Tool;
use contract::SchemaId;

pub use verb::{Verb, run};

/// The program.
pub static TOOL: Tool = Tool {
    name: "backup-plan",
    version: env!("CARGO_PKG_VERSION"),
    about: "Plan, run, judge and prove the backups of a host",
    examples: "",
    documents: &[
        SchemaId::BACKUP_SOURCES,
        SchemaId::BACKUP_PLAN,
        SchemaId::BACKUP_RESULT,
        SchemaId::BACKUP_VERDICT,
        SchemaId::BACKUP_PROOF,
        SchemaId::FINDINGS,
    ],
    reports: &[],
};
