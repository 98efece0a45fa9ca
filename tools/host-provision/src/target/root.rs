//! How commands on a host become root's: the login user is root, or by sudo or doas, if need be with a password.
//!
//! sudo takes a password from standard input (`-S`), one byte at a time, so that what follows it is the command's. That holds
//! only where it does ask: `-k` makes it forget who it let in before, and a command that is asked nothing would take the
//! password for its own input. So it is asked first, over a channel of its own that ends with the password: a wrong one
//! costs one attempt and not three, and never reaches a command. doas is asked first as well; see there.

use std::io::Read;

use cli::Failure;
use contract::Exit;
use contract::document::{Escalation, InventoryAddress};

use super::doas::{self, NO_TERMINAL};
use super::password::{Password, RootPassword};
use super::transport::{Channel, Transport};
use super::{SshHost, describe};

/// What sudo prints where no password was needed.
const FREE: &str = "free\n";

/// The way to root on one host.
pub(crate) struct Root {
    how: Option<Escalation>,
    source: RootPassword,
    /// The login user on this host.
    user: String,
    /// Taken by sudo or doas; none while it was not asked for.
    password: Option<Password>,
    settled: bool,
}

impl Root {
    /// Commands of the login user himself.
    pub(crate) fn none() -> Self {
        Self { how: None, source: RootPassword::default(), user: String::new(), password: None, settled: true }
    }

    /// The way of a host that was logged in to by this address. Nothing is asked yet unless a password was given.
    ///
    /// # Errors
    /// 77 where the password is not taken, 75 where the connection does not hold.
    pub(crate) fn open(transport: &mut dyn Transport, host: &SshHost, way: &InventoryAddress) -> Result<Self, Failure> {
        let how = if way.user == "root" { None } else { host.escalate };
        let (source, user) = (host.root_password.clone(), describe(way));
        let known = source.is_wanted(&user);
        let password = if known == Some(true) { source.get(&user, how)? } else { None };
        let mut root = Self { how, settled: how.is_none() || known.is_some(), source, user, password };
        if root.source.is_given() {
            root.settle(transport)?;
        }
        Ok(root)
    }

    /// Starts a script as root.
    ///
    /// # Errors
    /// 75 where the connection does not hold.
    pub(crate) fn exec(&self, transport: &mut dyn Transport, script: &str) -> Result<Box<dyn Channel>, Failure> {
        // In English, so that what they refuse can be told.
        match (self.how, &self.password) {
            (None, _) => transport.exec(&format!("exec sh -c '{script}'")),
            (Some(Escalation::Sudo), None) => transport.exec(&format!("exec env LC_ALL=C sudo -n -- sh -c '{script}'")),
            (Some(Escalation::Sudo), Some(password)) => {
                let mut channel =
                    transport.exec(&format!("exec env LC_ALL=C sudo -k -S -p \"\" -- sh -c '{script}'"))?;
                password.give(&mut *channel);
                Ok(channel)
            }
            (Some(Escalation::Doas), None) => doas::exec_free(transport, script),
            (Some(Escalation::Doas), Some(password)) => doas::exec(transport, script, password),
        }
    }

    /// Whether these words of a command that did not start ask for a password that can still be had.
    pub(crate) fn is_asked(&self, words: &str) -> bool {
        !self.settled && wants_password(words)
    }

    /// Finds out whether sudo or doas wants a password, and whether it takes ours.
    ///
    /// # Errors
    /// 77 where there is none, or it is not taken.
    pub(crate) fn settle(&mut self, transport: &mut dyn Transport) -> Result<(), Failure> {
        let wanted = match self.how {
            _ if self.settled => return Ok(()),
            None => false,
            Some(Escalation::Sudo) => self.settle_sudo(transport)?,
            Some(Escalation::Doas) => self.settle_doas(transport)?,
        };
        self.settled = true;
        if wanted {
            self.password = self.source.get(&self.user, self.how)?;
        }
        self.source.remember(&self.user, wanted);
        Ok(())
    }

    fn settle_sudo(&self, transport: &mut dyn Transport) -> Result<bool, Failure> {
        let given = self.source.is_given();
        let first = if given { self.source.get(&self.user, self.how)? } else { None };
        let (mut code, mut said, mut words) = ask_sudo(transport, first)?;
        if code != 0 && !given && wants_password(&words) {
            // Only now is it known that a person must be asked.
            if let Some(password) = self.source.get(&self.user, self.how)? {
                (code, said, words) = ask_sudo(transport, Some(password))?;
            }
        }
        if code == 0 { Ok(said != FREE) } else { Err(refused(&words, "sudo")) }
    }

    fn settle_doas(&self, transport: &mut dyn Transport) -> Result<bool, Failure> {
        let (code, words) = doas::ask(transport, None)?;
        if code == 0 {
            return Ok(false);
        }
        let password = if wants_password(&words) { self.source.get(&self.user, self.how)? } else { None };
        let Some(password) = password else { return Err(refused(&words, "doas")) };
        let (code, words) = doas::ask(transport, Some(&password))?;
        if code == 0 { Ok(true) } else { Err(refused(&words, "doas")) }
    }
}

fn refused(words: &str, program: &str) -> Failure {
    explain(words).unwrap_or_else(|| {
        Failure::new(Exit::Permission, "become_refused", format!("{program} refuses the login user"))
            .cause(words.to_owned())
    })
}

/// What sudo says to a command that does nothing: exit, output, and its words.
fn ask_sudo(transport: &mut dyn Transport, password: Option<Password>) -> Result<(i32, String, String), Failure> {
    let free = "env LC_ALL=C sudo -k -n -- sh -c \"echo free\"";
    let command = match password {
        None => format!("exec {free}"),
        Some(_) => format!("{free} 2>/dev/null || exec env LC_ALL=C sudo -k -S -p \"\" -- sh -c :"),
    };
    let mut channel = transport.exec(&format!("exec sh -c '{command}'"))?;
    if let Some(password) = &password {
        password.give(&mut *channel);
    }
    channel.close_input();
    let mut said = String::new();
    let _ = channel.read_to_string(&mut said);
    let (code, words) = channel.finish();
    Ok((code, said, words.trim().replace('\n', "; ")))
}

fn wants_password(words: &str) -> bool {
    ["a password is required", "a terminal is required", "Authorization required", "Authentication required"]
        .iter()
        .any(|what| words.contains(what))
}

/// What sudo or doas mean by these words; `None` where they are not theirs.
pub(crate) fn explain(words: &str) -> Option<Failure> {
    let missing = |program: &str| {
        words.contains(&format!("{program}: not found"))
            || words.contains(&format!("{program}: command not found"))
            || (words.contains("env:") && words.contains(program) && words.contains("No such file"))
    };
    if let Some(program) = ["sudo", "doas"].into_iter().find(|program| missing(program)) {
        let failure = Failure::new(Exit::Unavailable, "no_become", format!("the host has no {program}"));
        return Some(failure.hint("correct \"become\" of the host (--become), or log in as root"));
    }
    let of_sudo = words.contains("sudo:") || words.contains("is not in the sudoers file");
    let of_doas = words.contains("doas:");
    let no_terminal = words.contains(NO_TERMINAL);
    if !of_sudo && !of_doas && !no_terminal {
        return None;
    }
    let (message, hint) = if no_terminal {
        (
            "doas takes a password only at a terminal, and the host has not the programs to make one (script, mkfifo, mktemp)",
            "allow it without a password: \"permit nopass USER as root\" in doas.conf; or install them, or log in as root",
        )
    } else if of_doas && words.contains("Authentication failed") {
        (
            "doas does not take the password",
            "it was tried once; correct it, and mind that too many wrong ones may lock the user",
        )
    } else if words.contains("incorrect password") || words.contains("Sorry, try again") {
        (
            "sudo does not take the password",
            "it was tried once; correct it, and mind that too many wrong ones may lock the user",
        )
    } else if words.contains("sudoers file") || words.contains("is not allowed") || words.contains("may not run sudo") {
        ("the login user may not become root by sudo", "add it to the group sudo, or to sudoers; or log in as root")
    } else if words.contains("must have a tty") {
        (
            "sudo of this host works only at a terminal",
            "take requiretty out of sudoers for this user, or log in as root",
        )
    } else if of_doas && wants_password(words) {
        (
            "the login user may not become root without a password",
            "give it: --become-password-file FILE, BECOME_PASSWORD in the environment, or at the terminal; or allow it without one: \"permit nopass USER as root\" in doas.conf",
        )
    } else if of_doas {
        (
            "the login user may not become root by doas",
            "permit it in doas.conf: \"permit USER as root\", or \"permit nopass USER as root\"; or log in as root",
        )
    } else if wants_password(words) {
        (
            "the login user may not become root without a password",
            "give it: --become-password-file FILE, BECOME_PASSWORD in the environment, or at the terminal; or allow it without one: NOPASSWD in sudoers",
        )
    } else {
        ("sudo refuses the login user", "see what it says; or log in as root")
    };
    Some(Failure::new(Exit::Permission, "become_refused", message).hint(hint))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_sudo_and_doas_say() {
        let message = |words: &str| explain(words).map(|failure| failure.errors()[0].message.clone());
        for (words, part) in [
            ("sudo: a password is required", "without a password"),
            ("sudo: no password was provided; sudo: 1 incorrect password attempt", "does not take"),
            ("ops is not in the sudoers file.", "may not become root by sudo"),
            ("sudo: sorry, you must have a tty to run sudo", "terminal"),
            ("doas: Authorization required", "without a password"),
            ("doas: Authentication failed", "doas does not take"),
            ("plumbline-no-terminal script", "only at a terminal"),
            ("doas: Operation not permitted", "may not become root by doas"),
            ("sh: 1: exec: sudo: not found", "has no sudo"),
            ("env: 'doas': No such file or directory", "has no doas"),
            ("env: can't execute 'doas': No such file or directory", "has no doas"),
        ] {
            let said = message(words).unwrap();
            assert!(said.contains(part), "{words}: {said}");
        }
        assert_eq!(message("sh: Permission denied"), None);
    }
}
