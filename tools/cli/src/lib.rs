//! What makes seven programs feel as one: flags, reading and writing documents, errors, exits, colours, signals.
//!
//! A tool is a [`Tool`] (its name and documents), a clap subcommand type with its verbs, and one function that runs a verb
//! in a [`Session`]. [`main`] does the rest. A thing belongs here only if a user would notice two tools differing in it.
//!
//! Invariants: stdout carries documents only; a failed run leaves stdout empty (but for exits 1 and 3); nothing but
//! [`main`] ends the process; no value of a document that might be a secret is repeated in an error.

mod atomic_file;
mod canonical;
mod consent;
mod failure;
mod flags;
mod input;
mod json;
mod listed;
mod locate;
mod progress;
mod secret_store;
mod session;
mod signals;
mod source;
mod style;
mod suggest;
mod tool;
mod tree;

pub use atomic_file::write_atomically;
pub use canonical::canonical;
pub use consent::{Consent, Consents};
pub use failure::Failure;
pub use flags::{ColorChoice, CommonFlags, LogFormat, OutputFormat, Report};
pub use input::Input;
pub use json::{canonical_json, parse_json, strip_extensions};
pub use listed::Listed;
pub use progress::Progress;
pub use secret_store::{Secret, SecretStore};
pub use session::Session;
pub use signals::Signals;
pub use source::{RawDocument, Source, Sourced};
pub use style::Style;
pub use suggest::did_you_mean;
pub use tool::{Tool, command, main};
