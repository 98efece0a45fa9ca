//! The helper: the engine on a host, behind frames on standard input and output. It links neither the command line nor
//! any cryptography of connections.

mod connection;
mod kept_tool;
mod manager;
mod news;
mod serve;
mod tool_input;
mod tool_keeper;
mod tool_run;
mod worker;

#[cfg(feature = "controller")]
pub(crate) use kept_tool::keep_tool;
#[cfg(feature = "controller")]
pub(crate) use serve::nothing_to_do;
#[cfg(feature = "controller")]
pub(crate) use worker::Order;

use std::path::Path;
use std::process::ExitCode;

use crate::engine::programs::{SPOILT, is_from_memory, leave_own_mounts, own_path, starting, write_starter};

/// Runs the helper with the arguments after its name.
pub fn main(args: &[String]) -> ExitCode {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    ExitCode::from(match words[..] {
        ["from-memory", path, ref words @ ..] => match leave_own_mounts(path) {
            Ok(()) => run(words),
            Err(error) => {
                complain(&format!("the helper cannot leave the mounts that it was started in: {error}"));
                126
            }
        },
        _ => run(&words),
    })
}

fn run(words: &[&str]) -> u8 {
    match words[..] {
        ["serve"] => serve(),
        ["work", run] => worker::work(run),
        ["expire", run] => worker::expire(run, None),
        ["expire", run, seconds] => worker::expire(run, seconds.parse().ok()),
        // Does it run from where it lies?
        ["probe"] => 0,
        ["place", from, directory] => place(from, directory, None),
        ["place", from, directory, state] => place(from, directory, Some(state)),
        ["bury", run] => worker::bury(run),
        ["recover"] => worker::recover(),
        ["tool", run] => tool_keeper::keep(run),
        _ => 2,
    }
}

/// The one who started us reads these words.
fn complain(words: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{words}");
}

fn serve() -> u8 {
    use std::os::fd::AsFd;
    // Without a buffer: what waits in one would not be seen by who asks the kernel whether something came.
    match std::io::stdin().as_fd().try_clone_to_owned() {
        Ok(input) => serve::serve(&mut std::fs::File::from(input), &mut std::io::stdout().lock()),
        Err(_) => contract::Exit::Io.code(),
    }
}

/// Moves this very program, which was just sent, to where it stays, and serves: a directory that is called by its hash. A
/// state directory that was made for it gets the mode that it shall have.
fn place(from: &str, directory: &str, new_state: Option<&str>) -> u8 {
    use std::fs::{Permissions, create_dir_all, rename, set_permissions};
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    let directory = Path::new(directory);
    let placed = (|| {
        let hash = crate::engine::sha256(&std::fs::read(from)?);
        if directory.file_name().is_none_or(|name| name.to_str() != Some(&hash)) {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, SPOILT));
        }
        if let Some(state) = new_state {
            set_permissions(state, Permissions::from_mode(0o711))?;
        }
        create_dir_all(directory)?;
        if is_from_memory() {
            // Not to be started by itself: a shell that does not know the mount would try.
            set_permissions(from, Permissions::from_mode(0o600))?;
            write_starter(directory)?;
        }
        rename(from, directory.join("host-provision-helper"))?;
        let mut output = std::io::stdout().lock();
        output.write_all(b"sent\n").and_then(|()| output.flush())
    })();
    match placed {
        Ok(()) => serve(),
        Err(error) => {
            complain(&format!("the helper cannot be put into {}: {error}", directory.display()));
            contract::Exit::Io.code()
        }
    }
}

/// Starts one of the verbs above so that it outlives the connection: as a unit of systemd, or in a session of its own.
pub(crate) fn detach(host: &crate::engine::Host, unit: &str, args: &[&str]) -> crate::fault::Outcome<()> {
    detach_then(host, unit, args, &[])
}

/// The same, with another verb of ours that is run once the first one has ended, however it ended.
pub(crate) fn detach_then(
    host: &crate::engine::Host,
    unit: &str,
    args: &[&str],
    after: &[&str],
) -> crate::fault::Outcome<()> {
    use crate::engine::process::Process;
    use crate::fault::Fault;
    let start = starting(&own_path()?);
    if host.has_systemd() {
        let of_ours =
            |words: &[&str]| start.iter().cloned().chain(words.iter().map(|word| (*word).to_owned())).collect();
        let first: Vec<String> = of_ours(args);
        let then: Vec<String> = if after.is_empty() { Vec::new() } else { of_ours(after) };
        let service = manager::Service { name: unit, start: &first, stop_post: &then };
        match service.launch().map_err(|error| Fault::io("start the work", unit, &error))? {
            manager::Answer::Started => return Ok(()),
            // Its own program finds another way, or the words for it.
            manager::Answer::Refused => {}
        }
        let mut argv = vec!["systemd-run".to_owned(), "--quiet".into(), "--collect".into(), format!("--unit={unit}")];
        if !after.is_empty() {
            argv.push(format!("--property=ExecStopPost={} {}", start.join(" "), after.join(" ")));
        }
        argv.push("--property=KillMode=process".to_owned());
        argv.extend(start);
        argv.extend(args.iter().map(|arg| (*arg).to_owned()));
        return Process::new(argv).succeed().map(drop);
    }
    let mut command = std::process::Command::new("setsid");
    if after.is_empty() {
        command.args(start).args(args);
    } else {
        // A shell waits in the place of systemd.
        let script = match &start[..] {
            [_] => r#"h=$1; a=$2; shift 2; "$h" "$@"; exec "$h" $a"#,
            _ => r#"h=$1; a=$2; shift 2; sh "$h" "$@"; exec sh "$h" $a"#,
        };
        let helper = start.last().map(String::as_str).unwrap_or_default();
        command.args(["sh", "-c", script, "sh", helper, &after.join(" ")]).args(args);
    }
    command
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .map(drop)
        .map_err(|error| Fault::io("start the work", unit, &error))
}
