//! The door of `host-provision`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main(&host_provision::TOOL, host_provision::run)
}
