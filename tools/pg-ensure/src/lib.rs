//! Make PostgreSQL roles, databases and grants equal to what is declared.

mod verb;

use cli::Tool;
use contract::SchemaId;

pub use verb::{Verb, run};

/// The program.
pub static TOOL: Tool = Tool {
    name: "pg-ensure",
    version: env!("CARGO_PKG_VERSION"),
    about: "Make PostgreSQL roles, databases and grants equal to what is declared",
    examples: "",
    documents: &[
        SchemaId::PG_DESIRED,
        SchemaId::PG_PLAN,
        SchemaId::PG_RESULT,
        SchemaId::PG_UPGRADE,
        SchemaId::FINDINGS,
    ],
    reports: &[],
};
