//! One binary for all tests of cfg-render from outside: fast to link, run in parallel.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod check;
mod fleet;
mod seeds;
