//! The verbs of the program.

use clap::Subcommand;
use cli::{Failure, Session};
use contract::Exit;

/// What the program is asked to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Verb {}

/// Does it.
pub fn run(verb: Verb, _session: &mut Session) -> Result<Exit, Failure> {
    match verb {}
}
