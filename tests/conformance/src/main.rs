//! The door of the conformance runner.

use std::process::ExitCode;

fn main() -> ExitCode {
    conformance::main()
}
