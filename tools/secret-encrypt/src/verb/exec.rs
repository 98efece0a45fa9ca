//! `exec`: one program with secrets in a private directory in RAM.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use clap::Args;
use cli::{Failure, Input, Session};
use contract::document::{SecretsManifest, SecretsResult};
use contract::{Exit as Code, SecretName, places};
use rustix::process::{Pid, Signal, kill_process};

use super::describe;
use crate::Error;
use crate::host::{Manifest, base_of, pipe_directory, private_directory, serve};
use crate::keys::IdentityFlags;

/// Run one program with the secrets of a manifest: one file a secret, in a new directory in RAM that only this user can
/// enter and that CREDENTIALS_DIRECTORY names. It is removed when the program ends, also by a signal.
///
/// Where there is no directory in RAM (macOS), or with --pipes, each secret is a named pipe instead, which gives its value to
/// whoever opens it.
///
/// The program gets standard input, output and error as they are; its exit code is passed on.
#[derive(Debug, Clone, Args)]
pub struct Exec {
    /// The manifest
    #[arg(long, value_name = "FILE")]
    manifest: PathBuf,
    /// Only this secret (may be repeated); else all of the manifest
    #[arg(long, value_name = "NAME")]
    only: Vec<SecretName>,
    /// Directory that files in the manifest are relative to; else the manifest's own
    #[arg(long, value_name = "DIR")]
    base: Option<PathBuf>,
    /// Hand the values over through named pipes, so that they are in no file; the usual way where there is no RAM to write to
    #[arg(long)]
    pipes: bool,
    /// Open every secret and print their names, run nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    identities: IdentityFlags,
    /// The program and its arguments
    #[arg(value_name = "PROGRAM", required = true, last = true)]
    program: Vec<std::ffi::OsString>,
}

/// The directory, removed when this goes.
struct Private(PathBuf);

impl Drop for Private {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Exec {
    pub(super) fn run(self, session: &mut Session) -> Result<Code, Failure> {
        let input = Input::file(&self.manifest);
        let manifest =
            Manifest::check(session.read::<SecretsManifest>(&input)?, &base_of(self.base.as_deref(), &input))?;
        for name in &self.only {
            let names = || manifest.document.secrets.iter().map(|secret| secret.name.as_str());
            if !names().any(|known| known == name.as_str()) {
                let failure = Failure::new(Code::Usage, "unknown_secret", format!("the manifest has no secret {name}"));
                return Err(match cli::did_you_mean(name.as_str(), names()) {
                    Some(near) => failure.hint(format!("did you mean {near}?")),
                    None => failure,
                });
            }
        }
        let wanted = |name: &SecretName| self.only.is_empty() || self.only.contains(name);
        let values = manifest.values(&self.identities.load(session)?, |secret| wanted(&secret.name))?;
        if self.dry_run {
            let result = SecretsResult {
                added: values.keys().map(ToString::to_string).collect(),
                changed: false,
                ..SecretsResult::default()
            };
            session.print(&result, describe)?;
            return Ok(Code::Done);
        }
        let signals = session.begin_apply();
        let in_ram = if self.pipes { None } else { private_directory()? };
        let directory = match in_ram {
            Some(path) => {
                let directory = Private(path);
                for (name, bytes) in &values {
                    let path = directory.0.join(name.as_str());
                    let failed = |error| Error::io(Code::CannotCreate, "write the secret", path.display(), error);
                    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o400).open(&path);
                    file.and_then(|mut file| file.write_all(bytes)).map_err(failed)?;
                }
                drop(values);
                directory
            }
            None => {
                let directory = Private(pipe_directory()?);
                serve(&directory.0, values)?;
                directory
            }
        };
        let status = run(&self.program, &directory.0, &signals)?;
        drop(directory);
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        if code == 0 {
            return Ok(Code::Done);
        }
        #[allow(clippy::exit, reason = "the program's own exit code is passed on, which no table of ours holds")]
        std::process::exit(code);
    }
}

/// Runs the program; a signal that ends us is passed on to it, and its end is waited for.
fn run(program: &[std::ffi::OsString], directory: &Path, signals: &cli::Signals) -> Result<ExitStatus, Failure> {
    let (name, arguments) =
        program.split_first().map_or((std::ffi::OsString::new(), &[][..]), |(name, rest)| (name.clone(), rest));
    let spawned = Command::new(&name).args(arguments).env(places::CREDENTIALS_VARIABLE, directory).spawn();
    let mut child = spawned.map_err(|error| {
        Failure::new(Code::Unavailable, "program_missing", "the program cannot be run")
            .place(name.to_string_lossy().into_owned())
            .cause(error)
    })?;
    let pid = Pid::from_child(&child);
    let (sender, ended) = channel();
    std::thread::spawn(move || sender.send(child.wait()));
    let mut told = false;
    loop {
        match ended.recv_timeout(Duration::from_millis(50)) {
            Ok(status) => return status.map_err(|error| Failure::io(Code::Io, "wait for", "the program", &error)),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Failure::new(Code::Bug, "internal", "the program was lost"));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let (Some(exit), false) = (signals.requested(), told) {
            // A terminal sends SIGINT to both; a second one does no harm.
            let signal = if exit == Code::Interrupted { Signal::INT } else { Signal::TERM };
            let _ = kill_process(pid, signal);
            told = true;
        }
    }
}
