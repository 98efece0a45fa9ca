//! The door of `dns-sync`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main(&dns_sync::TOOL, dns_sync::run)
}
