//! What every implementation of a tool must agree with, whatever language it is written in.
//!
//! Documents and their schema ids, exit codes, the error object, how a secret is referred to, and the fixed names of
//! places on a host. Nothing here reads, writes, prints or decides: that is `cli` and the tools.
//!
//! Invariant: this crate depends on serde and schemars only, and on nothing of the other crates.

pub mod document;
mod duration;
mod error_object;
mod exit;
mod file_mode;
mod finding;
pub mod places;
mod pointer;
mod schema;
mod secret_ref;

pub use document::{Document, Outcome, Summary};
pub use duration::Duration;
pub use error_object::ErrorObject;
pub use exit::Exit;
pub use file_mode::FileMode;
pub use finding::{Finding, Findings, Level};
pub use pointer::Pointer;
pub use schema::{SCHEMAS, SchemaId, published_schema, schema_of};
pub use secret_ref::{PLACEHOLDER_END, PLACEHOLDER_START, SecretName, SecretRef, placeholder, placeholders};
