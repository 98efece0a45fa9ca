//! Probe services in parallel and name the root cause.

mod verb;

use cli::Tool;
use contract::SchemaId;

pub use verb::{Verb, run};

/// The program.
pub static TOOL: Tool = Tool {
    name: "health-probe",
    version: env!("CARGO_PKG_VERSION"),
    about: "Probe services in parallel and name the root cause",
    examples: "",
    documents: &[SchemaId::HEALTH_CHECKS, SchemaId::HEALTH_REPORT, SchemaId::FINDINGS],
    reports: &["junit", "tap", "prometheus", "html"],
};
