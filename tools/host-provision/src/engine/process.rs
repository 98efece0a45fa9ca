//! Programs of the host, run with a limit and without a terminal.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use contract::Exit;

use crate::fault::{Fault, Outcome};

/// Where programs of a host are looked for.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin";

/// Whether a program is on the host.
pub fn is_there(program: &str) -> bool {
    PATH.split(':').any(|directory| std::path::Path::new(directory).join(program).exists())
}

/// How much of a program's output is kept.
const KEPT: u64 = 256 * 1024;

/// A program to run.
#[derive(Debug, Clone)]
pub struct Process {
    argv: Vec<String>,
    directory: String,
    timeout: Duration,
    input: Option<Vec<u8>>,
    environment: Vec<(String, String)>,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Exit code; 128 and more for a signal.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ended {
    /// Whether it ended with 0.
    pub fn good(&self) -> bool {
        self.code == 0
    }

    /// The last lines of what it said.
    pub fn last_words(&self) -> String {
        let text = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        let lines: Vec<&str> = text.trim().lines().collect();
        lines[lines.len().saturating_sub(6)..].join("; ")
    }
}

impl Process {
    /// A program and its arguments.
    pub fn new<S: AsRef<str>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self {
            argv: argv.into_iter().map(|arg| arg.as_ref().to_owned()).collect(),
            directory: "/".into(),
            timeout: Duration::from_secs(300),
            input: None,
            environment: Vec::new(),
        }
    }

    /// The same in this directory.
    #[must_use]
    pub fn directory(mut self, directory: &str) -> Self {
        directory.clone_into(&mut self.directory);
        self
    }

    /// The same, ended after this long.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same with this on standard input.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = Some(input.into());
        self
    }

    /// The same with a variable in its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// The program as people write it.
    pub fn line(&self) -> String {
        self.argv.join(" ")
    }

    /// Runs it.
    ///
    /// # Errors
    /// 69 where the program is not there, 75 where it takes too long.
    pub fn run(&self) -> Outcome<Ended> {
        let Some((program, args)) = self.argv.split_first() else {
            return Err(Fault::new(Exit::BadDocument, "empty_command", "a command without a program"));
        };
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .env("PATH", PATH)
            .env("LC_ALL", "C.UTF-8")
            .env("HOME", "/root")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.directory)
            .stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // A group of its own, so that a time-out ends its children too.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Fault::new(Exit::Unavailable, "program_missing", format!("the program {program} is not on the host"))
                    .hint("add the package that brings it to an earlier item")
            }
            _ => Fault::io("run", program, &error),
        })?;
        let writer = child.stdin.take().zip(self.input.clone()).map(|(mut pipe, input)| {
            // A program that does not read its input is its own business.
            std::thread::spawn(move || drop(pipe.write_all(&input)))
        });
        let stdout = child.stdout.take().map(collect);
        let stderr = child.stderr.take().map(collect);
        let code = self.wait(&mut child)?;
        drop(writer);
        let text = |output: Option<Output>| {
            String::from_utf8_lossy(&output.map(Output::finish).unwrap_or_default()).into_owned()
        };
        Ok(Ended { code, stdout: text(stdout), stderr: text(stderr) })
    }

    fn wait(&self, child: &mut Child) -> Outcome<i32> {
        use std::os::unix::process::ExitStatusExt;
        let end = Instant::now() + self.timeout;
        let watch = Watch::over(child);
        let mut pause = Duration::from_micros(500);
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))),
                Ok(None) if Instant::now() >= end => {
                    if let Some(pid) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
                        // Gone already is as good.
                        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
                    }
                    let _ = child.wait();
                    let limit = contract::Duration::from_millis(self.timeout.as_millis() as u64);
                    return Err(Fault::new(
                        Exit::TryAgain,
                        "timeout",
                        format!("`{}` took longer than {limit}", self.line()),
                    ));
                }
                Ok(None) if watch.doze(end.saturating_duration_since(Instant::now())) => {}
                Ok(None) => {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(10));
                }
                Err(error) => return Err(Fault::io("wait for", &self.argv[0], &error)),
            }
        }
    }

    /// Runs it and wants 0.
    ///
    /// # Errors
    /// As [`Process::run`], and 69 where it ends otherwise.
    pub fn succeed(&self) -> Outcome<Ended> {
        let ended = self.run()?;
        if ended.good() {
            return Ok(ended);
        }
        let fault =
            Fault::new(Exit::Unavailable, "command_failed", format!("`{}` ended with {}", self.line(), ended.code));
        let words = ended.last_words();
        Err(if words.is_empty() { fault } else { fault.cause(words) })
    }
}

/// Tells when a child ends, so that nobody has to look again and again.
struct Watch {
    #[cfg(target_os = "linux")]
    child: Option<std::os::fd::OwnedFd>,
}

impl Watch {
    #[cfg(target_os = "linux")]
    fn over(child: &Child) -> Self {
        use rustix::process::{Pid, PidfdFlags, pidfd_open};
        // Kernels before 5.3 cannot.
        let pid = Pid::from_raw(child.id().cast_signed());
        Self { child: pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) }
    }

    #[cfg(not(target_os = "linux"))]
    fn over(_child: &Child) -> Self {
        Self {}
    }

    /// Waits for the end, or for this time at most; `false` where that cannot be done.
    #[cfg(target_os = "linux")]
    fn doze(&self, limit: Duration) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let Some(child) = &self.child else { return false };
        let limit = Timespec::try_from(limit).ok();
        matches!(poll(&mut [PollFd::new(child, PollFlags::IN)], limit.as_ref()), Ok(_) | Err(rustix::io::Errno::INTR))
    }

    #[cfg(not(target_os = "linux"))]
    fn doze(&self, _limit: Duration) -> bool {
        false
    }
}

/// The output of a program, read while it runs.
struct Output(Receiver<Vec<u8>>);

impl Output {
    /// All of it, without waiting for a daemon that the program left behind with its output still open.
    fn finish(self) -> Vec<u8> {
        let mut kept = Vec::new();
        while let Ok(chunk) = self.0.recv_timeout(Duration::from_millis(300)) {
            if (kept.len() as u64) < KEPT {
                kept.extend(chunk);
            }
        }
        kept
    }
}

fn collect(mut pipe: impl Read + Send + 'static) -> Output {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut chunk = [0_u8; 8192];
        // What cannot be read is not there to be shown.
        while let Ok(length @ 1..) = pipe.read(&mut chunk) {
            if sender.send(chunk[..length].to_vec()).is_err() {
                break;
            }
        }
    });
    Output(receiver)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn output_exit_and_limit() {
        let ended = Process::new(["sh", "-c", "cat; echo no >&2; exit 3"]).input("in").run().unwrap();
        assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (3, "in", "no\n"));
        let slow = Process::new(["sleep", "9"]).timeout(Duration::from_millis(50)).run().unwrap_err();
        assert_eq!(slow.code(), "timeout");
        assert_eq!(Process::new(["/no/such/program"]).run().unwrap_err().code(), "program_missing");
    }
}
