//! The door of `pg-ensure`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main(&pg_ensure::TOOL, pg_ensure::run)
}
