//! `exec`: a program that speaks the protocol of Nagios' plugins (nagios-plugins.org/doc/guidelines.html).
//!
//! It runs only with `--allow-exec`, without a shell, with next to no environment, and in a process group of its own that
//! does not outlive the check.

use std::process::Stdio;

use contract::document::ExecCheck;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::{Dial, Preparing, quoted};
use crate::net::Endpoint;
use crate::observation::{Problem, Step, Trace, Verdict};
use crate::reason::Reason;

/// The most that is read of what a plugin prints.
const LARGEST: u64 = 64 * 1024;

/// A plugin.
#[derive(Debug)]
pub(crate) struct Probe {
    argv: Vec<String>,
}

/// Ends the process group of a plugin, also where the check is cut off.
struct Group(Option<rustix::process::Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

impl Probe {
    pub(super) fn prepare(check: &ExecCheck, preparing: &mut Preparing<'_>) -> Option<Self> {
        if check.argv.first().is_none_or(String::is_empty) {
            preparing.wrong("argv", "empty-command", "expected a program and its arguments");
            return None;
        }
        if check.argv.iter().any(|argument| argument.contains('\0')) {
            preparing.wrong("argv", "bad-command", "an argument holds a NUL byte");
            return None;
        }
        Some(Self { argv: check.argv.clone() })
    }

    pub(super) fn target(&self) -> String {
        // Arguments may hold what should not be shown.
        self.argv.first().cloned().unwrap_or_default()
    }

    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        None
    }

    pub(super) async fn look(&self, dial: &Dial<'_>, trace: &mut Trace) -> Verdict {
        let program = self.target();
        trace.step = Step::Answer;
        let (status, printed) = run(&self.argv, dial, LARGEST).await?;
        let printed = String::from_utf8_lossy(&printed);
        let line = printed.lines().next().unwrap_or_default();
        let (words, data) = line.split_once('|').unwrap_or((line, ""));
        trace.figures.extend(figures(data));
        let words = quoted(words, &[]).trim_matches('"').to_owned();
        let code = status.and_then(|status| status.code());
        let words = if words.is_empty() { format!("{program} says nothing") } else { words };
        match code {
            Some(0) => Ok(words),
            Some(1) => Err(Problem::warn(Reason::ExecFailed, words)),
            Some(2) => Err(Problem::fail(Reason::ExecFailed, words)),
            Some(3) => Err(Problem::error(Reason::ExecFailed, words)),
            Some(code) => Err(Problem::error(Reason::ExecFailed, format!("{program} ended with {code}: {words}"))),
            None => Err(Problem::error(Reason::ExecFailed, format!("{program} was killed by a signal"))),
        }
    }
}

/// Runs a program and takes what it prints, up to so many bytes.
///
/// # Errors
/// There is no consent to it, or it cannot be run.
pub(super) async fn run(
    argv: &[String],
    dial: &Dial<'_>,
    largest: u64,
) -> Result<(Option<std::process::ExitStatus>, Vec<u8>), Problem> {
    let (program, arguments) = argv.split_first().ok_or_else(|| Problem::error(Reason::Internal, "no program"))?;
    if !dial.context.allow_exec {
        let message = format!("{program} is not run without --allow-exec");
        return Err(Problem::error(Reason::NotAllowed, message));
    }
    let mut command = Command::new(program);
    command.args(arguments).env_clear().process_group(0).kill_on_drop(true);
    command.envs(["PATH", "LANG"].iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command
        .spawn()
        .map_err(|error| Problem::error(Reason::ExecFailed, format!("{program} cannot be run: {}", error.kind())))?;
    let group = Group(child.id().and_then(|id| rustix::process::Pid::from_raw(id as i32)));
    let mut printed = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        // What comes after the most that is read makes the plugin end at its next write, or at the timeout.
        let _ = stdout.take(largest).read_to_end(&mut printed).await;
    }
    let status = child.wait().await.ok();
    drop(group);
    Ok((status, printed))
}

/// `'label'=value[unit];warn;crit;min;max ...`
fn figures(data: &str) -> Vec<(String, f64)> {
    let mut found = Vec::new();
    let mut rest = data.trim_start();
    while !rest.is_empty() && found.len() < 64 {
        let (label, tail) = match rest.strip_prefix('\'') {
            Some(quoted) => quoted.split_once("'=").unwrap_or((quoted, "")),
            None => rest.split_once('=').unwrap_or((rest, "")),
        };
        let (value, next) = tail.split_once(char::is_whitespace).unwrap_or((tail, ""));
        let number = value.split(';').next().unwrap_or_default();
        let number = number.trim_end_matches(|c: char| !(c.is_ascii_digit() || c == '.'));
        if let Ok(number) = number.parse::<f64>()
            && number.is_finite()
        {
            found.push((label.chars().filter(|c| !c.is_control()).take(64).collect(), number));
        }
        rest = next.trim_start();
    }
    found
}

#[cfg(test)]
mod tests {
    #[test]
    fn figures_are_read() {
        let found = super::figures(" time=0.012s;1;2;0 'free space'=81%;90;95 broken x=U");
        assert_eq!(found, [("time".to_owned(), 0.012), ("free space".to_owned(), 81.0)]);
        assert!(super::figures("'=").is_empty());
    }
}
