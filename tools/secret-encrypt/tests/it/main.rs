//! The program from outside: arguments, standard input, environment; documents, messages, exit codes, files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, missing_docs)]

mod agenix;
mod bad_input;
mod check;
mod edit;
mod ini;
mod keys;
mod killed;
mod materialize;
mod matrix;
mod memory;
mod merge;
mod program;
mod readme;
mod refs;
mod round_trip;
mod sops;
mod sops_nix;
mod tree;
mod vectors;
