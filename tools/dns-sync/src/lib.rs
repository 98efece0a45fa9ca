//! Make DNS zones equal to what is declared.

mod verb;

use cli::Tool;
use contract::SchemaId;

pub use verb::{Verb, run};

/// The program.
pub static TOOL: Tool = Tool {
    name: "dns-sync",
    version: env!("CARGO_PKG_VERSION"),
    about: "Make DNS zones equal to what is declared",
    examples: "",
    documents: &[
        SchemaId::DNS_DESIRED,
        SchemaId::DNS_PLAN,
        SchemaId::DNS_RESULT,
        SchemaId::DNS_VERIFY,
        SchemaId::FINDINGS,
    ],
    reports: &[],
};
