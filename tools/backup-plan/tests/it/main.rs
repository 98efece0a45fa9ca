//! The built program with real restic, and dumps of a real PostgreSQL server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, missing_docs)]

mod dumps;
mod faults;
mod house;
mod patterns;
mod plans;
mod runs;
mod server;
