//! The door of `cfg-render`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main(&cfg_render::TOOL, cfg_render::run)
}
