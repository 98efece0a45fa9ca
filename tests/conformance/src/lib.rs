//! Runs the conformance cases against any implementation of a tool, in whatever language it is written.
//!
//! A case is a file: what to run, what to put in, what must come out. `tools/NAME.json` says which documents a tool reads;
//! from that the cases of the contract (usage, empty input, unknown keys, closed pipes, ...) follow for every tool alike.
//! `cases/NAME/*.json` are the cases of its behaviour.
//!
//! The runner knows nothing of the tools' code: it links `contract` for the schemas, and runs programs.

mod arguments;
mod case;
mod contract_cases;
mod descriptor;
mod expectation;
mod run;
mod server;

use std::process::ExitCode;

pub use arguments::Arguments;
pub use case::{Case, Level, Output};
pub use descriptor::Descriptor;
pub use expectation::Expectation;

/// Runs what the command line asks for. 0 if all cases pass, 1 if one fails, 2 for wrong usage.
#[allow(clippy::print_stdout, clippy::print_stderr, reason = "a test runner prints")]
pub fn main() -> ExitCode {
    let arguments = <Arguments as clap::Parser>::parse();
    let cases = match arguments.cases() {
        Ok(cases) => cases,
        Err(message) => {
            eprintln!("conformance: error: {message}");
            return ExitCode::from(2);
        }
    };
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (case, program) in &cases {
        match run::run(case, program) {
            run::Verdict::Passed => passed += 1,
            run::Verdict::Skipped(needs) => {
                skipped += 1;
                println!("skipped: {} ({needs})", case.name);
            }
            run::Verdict::Failed(why) => {
                failed += 1;
                println!("FAILED {}: {}", case.name, case.about);
                for line in why {
                    println!("    {line}");
                }
            }
        }
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
