//! Commands that know when they have nothing to do.

use std::time::Duration;

use contract::Exit;
use contract::document::{Command, Op};

use super::{Kind, Thing, View};
use crate::engine::apply::Apply;
use crate::engine::entry::Difference;
use crate::engine::host::Host;
use crate::engine::process::{Process, is_there};
use crate::fault::{Fault, Outcome};

pub(super) struct CommandKind<'a>(pub(super) &'a Command);

fn process(command: &Command, argv: &[String]) -> Process {
    let argv: Vec<String> = match &command.user {
        Some(user) if user != "root" => {
            // busybox has no runuser; its su wants a shell between.
            let become_user: &[&str] = if is_there("runuser") {
                &["runuser", "--user", user, "--"]
            } else {
                &["su", "-s", "/bin/sh", "-c", "exec \"$@\"", user, "sh"]
            };
            become_user.iter().map(|word| (*word).to_owned()).chain(argv.iter().cloned()).collect()
        }
        _ => argv.to_vec(),
    };
    let timeout = command.timeout.map_or(Duration::from_secs(300), contract::Duration::to_std);
    Process::new(argv).directory(command.directory.as_deref().unwrap_or("/")).timeout(timeout)
}

/// Whether a command has something to do, and why.
///
/// # Errors
/// 75 where a condition takes too long.
pub fn is_due(host: &Host, command: &Command) -> Outcome<Option<String>> {
    let mut why = Vec::new();
    if let Some(path) = &command.creates {
        if host.exists(path) {
            return Ok(None);
        }
        why.push(format!("{path} is missing"));
    }
    if let Some(path) = &command.removes {
        if !host.exists(path) {
            return Ok(None);
        }
        why.push(format!("{path} is there"));
    }
    // A condition whose program is not on the host (yet) is a condition that does not hold.
    let holds = |argv: &[String]| match process(command, argv).run() {
        Ok(ended) => Ok(ended.good()),
        Err(fault) if fault.code() == "program_missing" => Ok(false),
        Err(fault) => Err(fault),
    };
    if !command.unless.is_empty() {
        if holds(&command.unless)? {
            return Ok(None);
        }
        why.push("unless does not hold".into());
    }
    if !command.onlyif.is_empty() {
        if !holds(&command.onlyif)? {
            return Ok(None);
        }
        why.push("onlyif holds".into());
    }
    Ok(Some(why.join(", ")))
}

/// Runs a command, whatever its conditions say.
///
/// # Errors
/// 69 where it does not end with 0.
pub fn run(command: &Command) -> Outcome<()> {
    process(command, &command.argv).succeed().map(drop)
}

impl Kind for CommandKind<'_> {
    fn label(&self) -> &'static str {
        "command"
    }

    fn name(&self) -> String {
        self.0.argv.join(" ")
    }

    fn needs_system(&self) -> bool {
        true
    }

    fn things(&self, _view: View<'_>) -> Outcome<Vec<Thing>> {
        Ok(Vec::new())
    }

    fn observe(&self, view: View<'_>) -> Outcome<Difference> {
        if self.0.notified_only {
            return Ok(Difference::default());
        }
        let due = is_due(view.host, self.0)?;
        let observed = due.clone().unwrap_or_else(|| "not due".into());
        Ok(Difference {
            op: due.as_ref().map(|_| Op::Run),
            why: due.into_iter().collect(),
            observed,
            ..Difference::default()
        })
    }

    fn converge(&self, apply: &mut Apply<'_>) -> Outcome<()> {
        apply.barrier()?;
        apply.never_undone("command", &self.name(), "what a command did is not taken back")?;
        run(self.0)?;
        apply.host.forget_packages();
        if let Some(why) = is_due(apply.host, self.0)? {
            return Err(Fault::new(
                Exit::BadDocument,
                "not_converged",
                format!("`{}` ran well and still has something to do: {why}", self.name()),
            )
            .hint("its condition must hold after it ran, or it would run at every apply"));
        }
        Ok(())
    }

    fn remember(&self, _apply: &mut Apply<'_>) -> Outcome<()> {
        Ok(())
    }
}
