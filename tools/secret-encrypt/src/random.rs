//! Random bytes from the kernel, be it Linux or that of a Mac.

use std::cell::RefCell;

use crate::Error;

/// Fills a buffer with random bytes.
///
/// # Errors
/// Where the kernel gives none.
pub(crate) fn random_bytes(buffer: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(buffer).map_err(|error| Error::Random(error.into()))
}

/// Random bytes that need not be secret (initialisation vectors), taken from the kernel many at a time: a system call for each
/// value of a large file takes longer than encrypting it.
#[derive(Default)]
pub(crate) struct PublicRandom(RefCell<Vec<u8>>);

impl PublicRandom {
    /// The next bytes.
    ///
    /// # Errors
    /// As [`random_bytes`].
    pub(crate) fn next<const N: usize>(&self) -> Result<[u8; N], Error> {
        let mut stock = self.0.borrow_mut();
        if stock.len() < N {
            *stock = vec![0; 64 * N];
            random_bytes(&mut stock)?;
        }
        let rest = stock.len() - N;
        let mut bytes = [0; N];
        bytes.copy_from_slice(&stock[rest..]);
        // What was given out is gone, so that it cannot be given out again.
        stock.truncate(rest);
        Ok(bytes)
    }
}
