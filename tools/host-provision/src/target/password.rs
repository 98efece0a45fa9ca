//! Passwords, which nothing prints: from a file, the environment, or a person at the terminal.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cli::Failure;
use contract::Exit;
use contract::document::Escalation;

use super::transport::Channel;

/// The variable that may hold the password for sudo or doas.
const BECOME_PASSWORD: &str = "BECOME_PASSWORD";

/// A program that is started here. The password is for us alone: a gate or a proxy has no use for it.
pub(crate) fn child(program: impl AsRef<std::ffi::OsStr>) -> std::process::Command {
    let mut command = std::process::Command::new(program);
    command.env_remove(BECOME_PASSWORD);
    command
}

/// A password, which nothing prints.
#[derive(Clone)]
pub struct Password(pub String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(...)")
    }
}

impl Password {
    /// Writes it, and the end of its line, to one who asked.
    pub(super) fn give(&self, channel: &mut dyn Channel) {
        // One who does not read tells by his exit.
        let _ = channel.write_all(format!("{}\n", self.0).as_bytes());
    }

    /// The first line of a file; `None` where that is empty.
    ///
    /// # Errors
    /// 66 where it cannot be read.
    pub(crate) fn of_file(path: &Path) -> Result<Option<Self>, Failure> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::io(Exit::Unreadable, "read", path.display(), &error))?;
        Ok(text.lines().next().filter(|line| !line.is_empty()).map(|line| Self(line.to_owned())))
    }

    /// A variable of the environment; an empty one is none.
    pub(crate) fn of_variable(name: &str) -> Option<Self> {
        std::env::var(name).ok().filter(|word| !word.is_empty()).map(Self)
    }

    /// Asks on the terminal, without showing what is typed. `None` where there is no terminal, or no answer.
    ///
    /// # Errors
    /// 74 where the terminal cannot be written to.
    pub(crate) fn ask(question: &str) -> Result<Option<Self>, Failure> {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let Ok(mut terminal) = std::fs::OpenOptions::new().read(true).write(true).open("/dev/tty") else {
            return Ok(None);
        };
        let failed = |error: std::io::Error| Failure::io(Exit::Io, "ask for the password on", "/dev/tty", &error);
        let Ok(before) = tcgetattr(&terminal) else { return Ok(None) };
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        write!(terminal, "{question}: ").map_err(failed)?;
        tcsetattr(&terminal, OptionalActions::Flush, &silent).map_err(|error| failed(error.into()))?;
        let mut line = Vec::new();
        let mut byte = [0_u8];
        while matches!(terminal.read(&mut byte), Ok(1)) && byte[0] != b'\n' {
            line.push(byte[0]);
        }
        // The terminal must show again what is typed, whatever came of it.
        let _ = tcsetattr(&terminal, OptionalActions::Flush, &before);
        let _ = writeln!(terminal);
        let text = String::from_utf8_lossy(&line).into_owned();
        Ok((!text.is_empty()).then_some(Self(text)))
    }
}

/// The password by which login users become root, one for all hosts of a call. A person is asked once, when a host wants it.
#[derive(Debug, Clone, Default)]
pub struct RootPassword(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    password: Option<Password>,
    asked: bool,
    /// Whether sudo or doas wants it of these users of hosts, where that was asked.
    wanted: BTreeMap<String, bool>,
}

impl RootPassword {
    /// From a file, else from the variable `BECOME_PASSWORD`.
    ///
    /// # Errors
    /// 66 where the file cannot be read or has none.
    pub(super) fn open(file: Option<&Path>) -> Result<Self, Failure> {
        let password = match file {
            Some(path) => Some(Password::of_file(path)?.ok_or_else(|| {
                Failure::new(Exit::Unreadable, "no_password", "the first line of the file is no password")
                    .place(path.display().to_string())
            })?),
            None => Password::of_variable(BECOME_PASSWORD),
        };
        Ok(Self(Arc::new(Mutex::new(Known { password, ..Known::default() }))))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, or this one where none was given.
    #[must_use]
    pub(crate) fn or(self, other: Option<&Password>) -> Self {
        {
            let mut known = self.lock();
            if known.password.is_none() {
                known.password = other.cloned();
            }
        }
        self
    }

    /// Whether there is one already.
    pub(super) fn is_given(&self) -> bool {
        self.lock().password.is_some()
    }

    /// The password, for which a person is asked if need be.
    pub(super) fn get(&self, user: &str, how: Option<Escalation>) -> Result<Option<Password>, Failure> {
        // Held while a person types: other hosts want the same answer, and not to ask as well.
        let mut known = self.lock();
        if known.password.is_none() && !known.asked {
            known.asked = true;
            let program = if how == Some(Escalation::Doas) { "doas" } else { "sudo" };
            known.password = Password::ask(&format!("password of {user} for {program}"))?;
        }
        Ok(known.password.clone())
    }

    /// Whether it is wanted of this user of a host, where that is known. One that it wants was right.
    pub(super) fn is_wanted(&self, user: &str) -> Option<bool> {
        self.lock().wanted.get(user).copied()
    }

    /// It is wanted of this user of a host, and was taken; or it is not.
    pub(super) fn remember(&self, user: &str, wanted: bool) {
        self.lock().wanted.insert(user.to_owned(), wanted);
    }
}
