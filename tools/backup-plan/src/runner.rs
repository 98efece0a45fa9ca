//! Running one command: its user, its environment, its time limit, and what it said.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, fchown};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cli::{Secret, Signals};
use contract::Exit;
use rustix::fs::MemfdFlags;
use rustix::process::{Pid, Signal};

use crate::error::Error;
use crate::system_user::ids_of;

/// What is kept of each stream of a command.
const KEPT: u64 = 64 * 1024 * 1024;
/// How long a command has to end by itself once it was asked to.
const GRACE: Duration = Duration::from_secs(20);

/// A command to run.
#[derive(Debug, Default)]
pub(crate) struct Order<'a> {
    /// What it is called in errors.
    pub name: &'a str,
    pub argv: &'a [String],
    /// Added to the environment.
    pub env: BTreeMap<String, OsString>,
    /// System user; our own if not given.
    pub user: Option<&'a str>,
    /// File that takes standard output.
    pub stdout: Option<File>,
    /// Lines for PGPASSFILE, which then only this command can read.
    pub pgpass: Option<Secret>,
    pub timeout: Option<contract::Duration>,
    /// Goes on although a signal has come: it puts something back.
    pub unstoppable: bool,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// The last words of its errors, for people.
    pub(crate) fn complaint(&self) -> String {
        let lines: Vec<_> = self.stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let last = lines.iter().rev().take(3).rev().copied().collect::<Vec<_>>().join("; ");
        last.chars().take(600).collect()
    }
}

/// Runs a command to its end.
///
/// # Errors
/// Where it cannot be started, takes too long, or a signal has come. A code other than 0 is none.
pub(crate) fn run(order: Order<'_>, signals: Option<&Signals>) -> Result<Ended, Error> {
    let program = order.argv.first().cloned().unwrap_or_default();
    let mut command = Command::new(&program);
    command.args(&order.argv[1..]).stdin(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_foreign(name)) {
        command.env_remove(name);
    }
    command.envs(&order.env);
    command.stdout(order.stdout.map_or_else(Stdio::piped, Stdio::from));
    let ids = match order.user {
        Some(user) => become_user(&mut command, order.name, user)?,
        None => None,
    };
    // Lives until the command was started: it is inherited by number.
    let _pgpass = match &order.pgpass {
        Some(lines) => {
            let file =
                secret_file(lines, ids).map_err(|error| Error::files("write", "a password file in memory", &error))?;
            command.env("PGPASSFILE", format!("/proc/self/fd/{}", file.as_raw_fd()));
            Some(file)
        }
        None => None,
    };
    let mut child = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::NoProgram { program: program.clone() },
        _ => Error::files("start", &program, &error),
    })?;
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let status = wait(&mut child, order.name, order.timeout, signals.filter(|_| !order.unstoppable))?;
    let text = |bytes: Option<Vec<u8>>| String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
    Ok(Ended {
        code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default()),
        stdout: text(stdout.join().ok()),
        stderr: text(stderr.join().ok()),
    })
}

/// Variables of whoever started us that would change what restic or libpq do.
fn is_foreign(name: &std::ffi::OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("RESTIC_") || (name.starts_with("PG") && name != "PGTZ")
}

fn become_user(command: &mut Command, step: &str, user: &str) -> Result<Option<(u32, u32)>, Error> {
    let (uid, gid) = ids_of(user)?;
    if rustix::process::geteuid().as_raw() == uid {
        return Ok(None);
    }
    if !rustix::process::geteuid().is_root() {
        return Err(Error::NotRoot { step: step.into(), user: user.into() });
    }
    // The directory we were started in may not be one of theirs.
    command.uid(uid).gid(gid).current_dir("/").env("HOME", "/");
    Ok(Some((uid, gid)))
}

/// A file in memory that a child inherits and only its user may open.
fn secret_file(lines: &Secret, ids: Option<(u32, u32)>) -> std::io::Result<OwnedFd> {
    let descriptor = rustix::fs::memfd_create("pgpass", MemfdFlags::empty())?;
    let mut file = File::from(descriptor);
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(lines.bytes())?;
    if let Some((uid, gid)) = ids {
        fchown(&file, Some(uid), Some(gid))?;
    }
    Ok(file.into())
}

fn collect(stream: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // What was read until an error is what there is; past the limit it is read and dropped, so that nothing blocks.
            let _ = (&mut stream).take(KEPT).read_to_end(&mut bytes);
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }
        bytes
    })
}

fn wait(
    child: &mut Child,
    name: &str,
    timeout: Option<contract::Duration>,
    signals: Option<&Signals>,
) -> Result<std::process::ExitStatus, Error> {
    let began = Instant::now();
    let mut asked: Option<(Instant, Error)> = None;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait().map_err(|error| Error::files("wait for", name, &error))? {
            return match asked {
                Some((_, error)) => Err(error),
                None => Ok(status),
            };
        }
        let stop = signals.and_then(Signals::requested).map(Error::Interrupted).or_else(|| {
            let limit = timeout.filter(|limit| began.elapsed() > limit.to_std())?;
            Some(Error::Timeout { step: name.into(), limit: limit.to_string() })
        });
        match (&asked, stop) {
            (None, Some(error)) => {
                let gentle = !matches!(&error, Error::Interrupted(Exit::Terminated));
                signal(child, if gentle { Signal::INT } else { Signal::TERM });
                asked = Some((Instant::now(), error));
            }
            (Some((since, _)), _) if since.elapsed() > GRACE => signal(child, Signal::KILL),
            _ => {}
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// To the whole group: what a command started ends with it.
fn signal(child: &Child, signal: Signal) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may have ended just now.
        let _ = rustix::process::kill_process_group(pid, signal);
    }
}
