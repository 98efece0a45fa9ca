//! `cfg-render docs`: pictures of the fleet.

use clap::Args;
use cli::{Failure, Input, Session, Sourced, did_you_mean};
use contract::Exit;

use crate::docs::{Format, View, draw};
use crate::fleet::Fleet;

/// `docs`
#[derive(Debug, Clone, Args)]
pub struct DocsArgs {
    /// How the picture is written
    #[arg(long, value_enum, default_value = "mermaid")]
    format: Format,
    /// What is looked at: network, dependencies, zones, secrets, backup, dns, or request:SERVICE
    #[arg(long, value_name = "VIEW", default_value = "network")]
    view: View,
    #[command(flatten)]
    input: Input,
}

/// Does it.
pub(crate) fn run(args: &DocsArgs, session: &mut Session) -> Result<Exit, Failure> {
    let directory = !args.input.is_stdin() && args.input.file.is_dir();
    let fleet: Sourced<Fleet> =
        if directory { super::join::read(&args.input.file)? } else { session.read(&args.input)? };
    let picture = draw(&fleet.document, &args.view, args.format).map_err(|unknown| {
        let hint = match did_you_mean(&unknown.name, unknown.known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean request:{near}?"),
            None => format!("the fleet has {}", unknown.known.join(", ")),
        };
        Failure::new(Exit::Usage, "unknown_service", format!("the fleet has no service \"{}\"", unknown.name))
            .hint(hint)
    })?;
    session.print_bytes(picture.as_bytes())?;
    Ok(Exit::Done)
}
