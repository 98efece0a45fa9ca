//! The door of `backup-plan`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main(&backup_plan::TOOL, backup_plan::run)
}
