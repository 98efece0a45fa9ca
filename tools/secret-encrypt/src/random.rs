//! Random bytes from the kernel.

use rustix::rand::{GetRandomFlags, getrandom};

use crate::Error;

/// Fills a buffer with random bytes.
///
/// # Errors
/// Where the kernel gives none.
pub(crate) fn random_bytes(buffer: &mut [u8]) -> Result<(), Error> {
    let mut filled = 0;
    while filled < buffer.len() {
        match getrandom(&mut buffer[filled..], GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Error::Random(error.into())),
        }
    }
    Ok(())
}
