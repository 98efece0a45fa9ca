//! The verbs of the program.

mod check;
mod live;
mod looking;
mod report;
mod run;
mod selection;

use clap::Subcommand;
use cli::{Failure, Input, Session};
use contract::Exit;

pub(crate) use run::RunFlags;

/// What the program is asked to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Verb {
    /// Find what is wrong with checks, without touching the network
    ///
    /// Reads health.checks/v1 and prints findings/v1: ids that stand twice, needs that do not exist, cycles, bad
    /// expressions, URLs, certificates and durations. Exits 1 where one of them is an error.
    Check {
        /// The checks
        #[command(flatten)]
        input: Input,
        /// No checks at all are fine
        #[arg(long)]
        allow_empty: bool,
    },
    /// Look at everything and say what is down, why, and what is merely blocked by it
    ///
    /// Reads health.checks/v1 and prints health.report/v1. Exits 0 where all that is required works (up, degraded), 1
    /// where it does not or could not be looked at. With --wait it looks again until it does, and prints one report at
    /// the end.
    Run(Box<RunFlags>),
    /// Write a stored report in another format, without looking at anything
    ///
    /// Reads health.report/v1, as run prints it, and writes it as --output and --report ask: a page from last night's
    /// run, JUnit for a CI system that comes later. Exits as run did: 0 for up and degraded, 1 for down.
    Report {
        /// The report
        #[command(flatten)]
        input: Input,
    },
}

/// Does it.
pub fn run(verb: Verb, session: &mut Session) -> Result<Exit, Failure> {
    match verb {
        Verb::Check { input, allow_empty } => check::check(&input, allow_empty, session),
        Verb::Run(flags) => run::run(&flags, session),
        Verb::Report { input } => report::report(&input, session),
    }
}
