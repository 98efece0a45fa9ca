//! doas asks for a password at a terminal and nowhere else. `script` makes one on the host: doas asks there, while the streams
//! of what it starts are those of the connection, bytes for bytes.

use std::io::Read;

use cli::Failure;

use super::password::Password;
use super::transport::{Channel, Transport};

/// What is said where the host cannot make a terminal.
pub(super) const NO_TERMINAL: &str = "plumbline-no-terminal";

/// A shell of the login user that reads a password (`p`), and starts as root what `S` says. What is written to the terminal
/// before doas asks would be thrown away by it, so the first letter of its question is waited for: from there on it shows
/// nothing of what is typed. Keys are pressed through a pipe without a name; they are in no argument, environment or file. A
/// rule that asks for nothing gets nothing.
const AT_A_TERMINAL: &str = r#"
IFS= read -r p
for c in script mkfifo mktemp; do command -v $c >/dev/null || { echo plumbline-no-terminal $c >&2; exit 127; }; done
d=$(mktemp -d) && mkfifo -m 600 $d/keys && exec 3<&0 4>&1 5>&2 6<>$d/keys || exit 1
rm -r $d
SHELL=/bin/sh
export SHELL
c="exec 6>&-; LC_ALL=C doas -- sh -c \"\$S\" <&3 >&4 2>&5; echo \" end \$?\""
r=$(script -q -c "$c" /dev/null <&6 2>&5 | { head -c 1 >/dev/null; printf "%s\n" "$p" >&6; tail -n 1; })
r=${r##*end }
exit ${r%%[!0-9]*}"#;

/// Starts a script as root, without a password.
///
/// # Errors
/// 75 where the connection does not hold.
pub(super) fn exec_free(transport: &mut dyn Transport, script: &str) -> Result<Box<dyn Channel>, Failure> {
    // In English, so that what it refuses can be told.
    transport.exec(&format!("exec env LC_ALL=C doas -n -- sh -c '{script}'"))
}

/// The same with a password.
///
/// # Errors
/// 75 where the connection does not hold.
pub(super) fn exec(
    transport: &mut dyn Transport,
    script: &str,
    password: &Password,
) -> Result<Box<dyn Channel>, Failure> {
    let mut channel = transport.exec(&format!("exec env S='{script}' sh -c '{AT_A_TERMINAL}'"))?;
    password.give(&mut *channel);
    Ok(channel)
}

/// What doas says to a command that does nothing: exit and words.
///
/// # Errors
/// 75 where the connection does not hold.
pub(super) fn ask(transport: &mut dyn Transport, password: Option<&Password>) -> Result<(i32, String), Failure> {
    let mut channel = match password {
        None => exec_free(transport, ":")?,
        Some(password) => exec(transport, ":", password)?,
    };
    channel.close_input();
    let _ = channel.read_to_end(&mut Vec::new());
    let (code, words) = channel.finish();
    Ok((code, words.trim().replace('\n', "; ")))
}
