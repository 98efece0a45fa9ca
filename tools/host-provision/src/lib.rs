//! Bring hosts to a declared state over SSH, locally or into a sandbox, and never lock the owner out.

mod verb;

use cli::Tool;
use contract::SchemaId;

pub use verb::{Verb, run};

/// The program.
pub static TOOL: Tool = Tool {
    name: "host-provision",
    version: env!("CARGO_PKG_VERSION"),
    about: "Bring hosts to a declared state over SSH, locally or into a sandbox, and never lock the owner out",
    examples: "",
    documents: &[
        SchemaId::HOSTS_INVENTORY,
        SchemaId::HOST_DESIRED,
        SchemaId::HOST_PLAN,
        SchemaId::HOST_RESULT,
        SchemaId::HOST_FACTS,
        SchemaId::HOST_OWNED,
        SchemaId::SECRETS_RESULT,
    ],
    reports: &[],
};
