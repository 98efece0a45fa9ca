//! The door of `cfg-render`.

use std::process::ExitCode;

/// musl's own allocator takes half of the time of a large fleet.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main(&cfg_render::TOOL, cfg_render::run)
}
