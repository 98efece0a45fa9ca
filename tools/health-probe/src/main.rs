//! The door of `health-probe`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main(&health_probe::TOOL, health_probe::run)
}
