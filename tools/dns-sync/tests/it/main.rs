//! Tests from outside: the built program against documents, zone files and real name servers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, missing_docs)]

mod documents;
mod peer;
mod program;
mod races;
mod servers;
mod vectors;
mod zone_files;
