//! Asking a person: passphrases of keys, and what plugins want to know.
//!
//! Asked is the terminal itself, never standard input, which may be the document. Without a terminal a passphrase comes from the
//! file descriptor or the variable that age's own plugin for batches names.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::sync::OnceLock;

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use secrecy::SecretString;
use zeroize::{Zeroize, Zeroizing};

/// The number of an open file descriptor whose first line is the passphrase.
const DESCRIPTOR: &str = "AGE_PASSPHRASE_FD";
/// The passphrase itself, for where nothing else works; other processes of the user can see it.
const VARIABLE: &str = "AGE_PASSPHRASE";
/// The longest answer, in bytes.
const LONGEST: usize = 4096;

/// Where answers come from.
#[derive(Clone, Copy)]
pub(crate) struct Prompt;

impl Prompt {
    /// What to do where nobody can be asked.
    pub(super) const REMEDY: &'static str = "there is no terminal to ask for it; give it in the file descriptor that AGE_PASSPHRASE_FD names, or in AGE_PASSPHRASE";

    /// The passphrase of something; `None` where nobody can be asked, or nobody answered.
    pub(super) fn passphrase(what: &str) -> Option<SecretString> {
        // Read once: a pipe has it only once, and there may be several keys.
        static GIVEN: OnceLock<Option<SecretString>> = OnceLock::new();
        if std::env::var_os(DESCRIPTOR).or_else(|| std::env::var_os(VARIABLE)).is_some_and(|value| !value.is_empty()) {
            return GIVEN.get_or_init(given).clone();
        }
        ask(&format!("passphrase of {what}: "), true).map(SecretString::from)
    }
}

/// The passphrase that the environment gives.
fn given() -> Option<SecretString> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let Some(number) = variable(DESCRIPTOR) else { return variable(VARIABLE).map(SecretString::from) };
    let number: u16 = number.parse().ok()?;
    let mut text = Zeroizing::new(String::with_capacity(LONGEST));
    File::open(format!("/dev/fd/{number}")).ok()?.take(LONGEST as u64).read_to_string(&mut text).ok()?;
    Some(SecretString::from(text.lines().next().unwrap_or_default().to_owned()))
}

impl age::Callbacks for Prompt {
    fn display_message(&self, message: &str) {
        if let Ok(mut terminal) = terminal() {
            let _ = writeln!(terminal, "{}", printable(message));
        }
    }

    fn confirm(&self, message: &str, yes_string: &str, no_string: Option<&str>) -> Option<bool> {
        let no = no_string.unwrap_or("no");
        let question = format!("{} [y: {}, n: {}] ", printable(message), printable(yes_string), printable(no));
        let answer = ask(&question, false)?;
        Some(answer.trim().eq_ignore_ascii_case("y") || answer.trim().eq_ignore_ascii_case("yes"))
    }

    fn request_public_string(&self, description: &str) -> Option<String> {
        ask(&format!("{}: ", printable(description)), false)
    }

    fn request_passphrase(&self, description: &str) -> Option<SecretString> {
        Self::passphrase(&printable(description))
    }
}

/// A text of another program without what could move the cursor.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn terminal() -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).open("/dev/tty")
}

/// Puts a question to the terminal; the answer is not shown if it is secret.
fn ask(question: &str, secret: bool) -> Option<String> {
    let mut terminal = terminal().ok()?;
    terminal.write_all(question.as_bytes()).ok()?;
    let before = tcgetattr(&terminal).ok()?;
    let mut quiet = before.clone();
    if secret {
        // Without signals: who interrupts must not be left with a terminal that shows nothing.
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
    }
    tcsetattr(&terminal, OptionalActions::Now, &quiet).ok()?;
    let answer = read_line(&mut terminal);
    let _ = tcsetattr(&terminal, OptionalActions::Now, &before);
    if secret {
        let _ = terminal.write_all(b"\n");
    }
    answer
}

/// One line; `None` at the end of input or where Control-C was typed.
fn read_line(terminal: &mut File) -> Option<String> {
    let mut line = Vec::with_capacity(LONGEST);
    let mut byte = [0];
    loop {
        match terminal.read(&mut byte) {
            Ok(1) if byte[0] == b'\n' => return String::from_utf8(line).ok(),
            Ok(1) if byte[0] != 3 && line.len() < LONGEST => line.push(byte[0]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            _ => {
                line.zeroize();
                return None;
            }
        }
    }
}
