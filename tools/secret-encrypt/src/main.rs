//! The door of `secret-encrypt`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main(&secret_encrypt::TOOL, secret_encrypt::run)
}
