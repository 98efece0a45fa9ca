//! Probe services in parallel and name the root cause.
//!
//! A document is read into a [`checklist`] (everything that can be wrong is found there), looked at by the kinds in `probe`
//! under the limits of `schedule`, judged by the [`graph`], made into a report by `verdict`, and written by `format`.

mod checklist;
mod format;
mod graph;
mod net;
mod observation;
mod other_report;
mod probe;
mod profile;
mod reason;
mod schedule;
mod state;
mod verb;
mod verdict;

use cli::Tool;
use contract::SchemaId;

pub use verb::{Verb, run};

/// The program.
pub static TOOL: Tool = Tool {
    name: "health-probe",
    version: env!("CARGO_PKG_VERSION"),
    about: "Probe services in parallel and name the root cause",
    examples: "\
health-probe check checks.json
health-probe run checks.json
cfg-render health --from controller fleet.json | health-probe run --output text
health-probe run --wait 10m --stable 3 --report junit=health.xml --report html=health.html checks.json
health-probe run --only tag:edge --resolve www.example.org:443:203.0.113.7 checks.json
health-probe run --with web1.report.json --output nagios checks.json
health-probe report report.json --report html=health.html",
    documents: &[SchemaId::HEALTH_CHECKS, SchemaId::HEALTH_REPORT, SchemaId::FINDINGS],
    reports: &["junit", "tap", "nagios", "prometheus", "html"],
};
