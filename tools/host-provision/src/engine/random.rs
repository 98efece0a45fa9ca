//! Random bytes. They decide nothing by themselves: names of runs, and the key that hides what fingerprints are made of.

/// Fills the bytes; `false` where the system gives none.
#[cfg(target_os = "linux")]
pub(crate) fn fill(bytes: &mut [u8]) -> bool {
    // A host may have no /dev/urandom yet.
    rustix::rand::getrandom(bytes, rustix::rand::GetRandomFlags::empty()).is_ok()
}

/// The same on a controller that is no Linux machine.
#[cfg(not(target_os = "linux"))]
pub(crate) fn fill(bytes: &mut [u8]) -> bool {
    use std::io::Read;
    std::fs::File::open("/dev/urandom").and_then(|mut source| source.read_exact(bytes)).is_ok()
}
