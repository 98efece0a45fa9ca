//! The helper: the engine on a host, behind frames on standard input and output. It links neither the command line nor
//! any cryptography of connections.

mod serve;
mod tool_input;
mod tool_keeper;
mod tool_run;
mod worker;

#[cfg(feature = "controller")]
pub(crate) use serve::{keep_tool, nothing_to_do};
#[cfg(feature = "controller")]
pub(crate) use worker::Order;

use std::process::ExitCode;

/// Runs the helper with the arguments after its name.
pub fn main(args: &[String]) -> ExitCode {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let code = match words[..] {
        ["serve"] => {
            use std::os::fd::AsFd;
            // Without a buffer: what waits in one would not be seen by who asks the kernel whether something came.
            match std::io::stdin().as_fd().try_clone_to_owned() {
                Ok(input) => serve::serve(&mut std::fs::File::from(input), &mut std::io::stdout().lock()),
                Err(_) => contract::Exit::Io.code(),
            }
        }
        ["work", run] => worker::work(run),
        ["expire", run] => worker::expire(run, None),
        ["expire", run, seconds] => worker::expire(run, seconds.parse().ok()),
        // Asked after it was sent: can it run from where it lies?
        ["probe"] => 0,
        ["recover"] => worker::recover(),
        ["tool", run] => tool_keeper::keep(run),
        _ => 2,
    };
    ExitCode::from(code)
}

/// Starts one of the verbs above so that it outlives the connection: as a unit of systemd, or in a session of its own.
pub(crate) fn detach(host: &crate::engine::Host, unit: &str, args: &[&str]) -> crate::fault::Outcome<()> {
    use crate::engine::process::Process;
    use crate::fault::Fault;
    let helper = own_path()?;
    if host.has_systemd() {
        let mut argv = vec!["systemd-run".to_owned(), "--quiet".into(), "--collect".into(), format!("--unit={unit}")];
        argv.extend(["--property=KillMode=process".to_owned(), helper.to_string_lossy().into_owned()]);
        argv.extend(args.iter().map(|arg| (*arg).to_owned()));
        return Process::new(argv).succeed().map(drop);
    }
    std::process::Command::new("setsid")
        .arg(helper)
        .args(args)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .map(drop)
        .map_err(|error| Fault::io("start the work", unit, &error))
}

/// Where this very binary lies.
pub(crate) fn own_path() -> crate::fault::Outcome<std::path::PathBuf> {
    std::env::current_exe().map_err(|error| crate::fault::Fault::io("find", "the helper", &error))
}
