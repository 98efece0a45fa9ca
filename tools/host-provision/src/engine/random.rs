//! Random bytes. They decide nothing by themselves: names of runs, and the key that hides what fingerprints are made of.

use std::io::Read;

/// Fills the bytes; `false` where the system gives none.
pub(crate) fn fill(bytes: &mut [u8]) -> bool {
    std::fs::File::open("/dev/urandom").and_then(|mut source| source.read_exact(bytes)).is_ok()
}
