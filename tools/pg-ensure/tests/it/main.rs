//! The built program against a real PostgreSQL server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, missing_docs)]

mod cluster;
mod documents;
mod over_socket;
mod over_tcp;
mod tool;
