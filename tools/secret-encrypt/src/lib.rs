//! Keep secrets in SOPS files, and hand them out in RAM.
//!
//! `sops` is the format itself, `format` the file formats that carry it, `keys` who can read a file, `document` a file as a
//! whole, `proof` what is read again before it is written, `merge` three states of one, `files` how they are written, `check` what is wrong with a tree, `agenix` and `references`
//! what others keep, `host` what happens on a machine, `verb` the command line.
//!
//! Invariants: no value of a secret in an argument, an error, a log or a result; the MAC is verified before a byte is given
//! out; a file is old or new and never between; what the program does not understand in a file's metadata it keeps.

mod agenix;
mod check;
mod creation_rules;
mod document;
mod error;
mod files;
mod format;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod generate;
mod host;
mod keys;
mod merge;
mod proof;
#[cfg(test)]
mod properties;
mod random;
mod references;
mod sops;
mod verb;

use cli::Tool;
use contract::SchemaId;

pub use error::Error;
pub use verb::{Verb, run};

/// The largest file that is read, in bytes.
pub(crate) const LARGEST: u64 = 64 * 1024 * 1024;

/// The program.
pub static TOOL: Tool = Tool {
    name: "secret-encrypt",
    version: env!("CARGO_PKG_VERSION"),
    about: "Keep secrets in SOPS files, and hand them out in RAM",
    examples: "\
secret-encrypt keygen age.key                                   a new identity; prints its recipient
secret-encrypt encrypt --in-place secrets/web1.yaml             by the rules of .sops.yaml
secret-encrypt set secrets/web1.yaml /db-password --generate password=32
secret-encrypt decrypt secrets/web1.yaml --pointer /db-password
secret-encrypt check .                                          without any key, for CI
secret-encrypt merge %O %A %B %P                                as a merge driver of git
secret-encrypt refs seal manifest.json                          op://... and scw:... into SOPS files
ssh-keyscan web1 | secret-encrypt recipient --output text       the age recipient of a host
secret-encrypt materialize /var/lib/plumbline/secrets/manifest.json
secret-encrypt exec --manifest manifest.json -- pg-ensure apply plan.json",
    documents: &[SchemaId::SECRETS_MANIFEST, SchemaId::SECRETS_RESULT, SchemaId::FINDINGS],
    reports: &[],
};
