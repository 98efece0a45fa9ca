//! The door of the helper.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    host_provision::helper::main(&args)
}
