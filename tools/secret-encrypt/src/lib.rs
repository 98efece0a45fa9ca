//! Keep secrets in SOPS files, and hand them out in RAM.

mod verb;

use cli::Tool;
use contract::SchemaId;

pub use verb::{Verb, run};

/// The program.
pub static TOOL: Tool = Tool {
    name: "secret-encrypt",
    version: env!("CARGO_PKG_VERSION"),
    about: "Keep secrets in SOPS files, and hand them out in RAM",
    examples: "",
    documents: &[SchemaId::SECRETS_MANIFEST, SchemaId::SECRETS_RESULT, SchemaId::FINDINGS],
    reports: &[],
};
