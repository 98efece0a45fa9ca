//! The door of `secret-encrypt`.

use std::process::ExitCode;

use zeroizing_alloc::ZeroAlloc;

/// Everything that is freed is overwritten: keys and values also where a crate that we call forgets to.
#[global_allocator]
static MEMORY: ZeroAlloc<dlmalloc::GlobalDlmalloc> = ZeroAlloc(dlmalloc::GlobalDlmalloc);

fn main() -> ExitCode {
    cli::main(&secret_encrypt::TOOL, secret_encrypt::run)
}
