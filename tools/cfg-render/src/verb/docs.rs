//! `cfg-render docs`: pictures of the fleet.

use clap::Args;
use cli::{Failure, Input, Session};
use contract::Exit;

/// `docs`
#[derive(Debug, Clone, Args)]
pub struct DocsArgs {
    #[command(flatten)]
    input: Input,
}

/// Does it.
pub(crate) fn run(_args: &DocsArgs, _session: &mut Session) -> Result<Exit, Failure> {
    Ok(Exit::Done)
}
