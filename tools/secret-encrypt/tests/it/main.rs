//! The program from outside: arguments, standard input, environment; documents, messages, exit codes, files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, missing_docs)]

mod bad_input;
mod edit;
mod ini;
mod keys;
mod materialize;
mod matrix;
mod memory;
mod program;
mod round_trip;
mod sops;
mod sops_nix;
mod tree;
mod vectors;
