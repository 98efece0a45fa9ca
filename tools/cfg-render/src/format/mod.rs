//! Typed writers, one file a format. A text of the user goes in through a writer only, so that it comes back equal from the
//! program that reads the file, or is refused as unrepresentable. Nothing here knows the fleet.

pub mod alloy;
pub mod apt_conf;
pub mod caddyfile;
pub mod env;
pub mod ini;
pub mod nftables;
pub mod nginx;
pub mod nix;
pub mod pg_conf;
pub mod pg_hba;
pub mod pgbouncer;
pub mod sshd;
pub mod systemd;
pub mod yaml;

use std::borrow::Cow;

/// A text that a format has no way to hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{format} cannot hold {what}")]
pub struct Unrepresentable {
    /// The format, as people call it.
    pub format: &'static str,
    /// What it cannot hold, in general words: the text itself may be long or confidential.
    pub what: &'static str,
}

impl Unrepresentable {
    pub(crate) const fn new(format: &'static str, what: &'static str) -> Self {
        Self { format, what }
    }
}

/// What writing a text gives.
pub type Written<T = String> = Result<T, Unrepresentable>;

/// Refuses control characters (line ends and NUL among them), which most formats cannot hold.
pub(crate) fn one_line<'a>(format: &'static str, text: &'a str) -> Written<&'a str> {
    if has_control(text) {
        Err(Unrepresentable::new(format, "a line end or another control character here"))
    } else {
        Ok(text)
    }
}

/// The head of every file: what made it, from where, and how to change it. `mark` begins a comment.
pub fn header(mark: &str, fleet: &str, places: &[&str]) -> String {
    let mut text =
        format!("{mark} Made from the fleet \"{}\". Changes here are overwritten: change the fleet.\n", tame(fleet));
    let mut line = format!("{mark} From:");
    for place in places {
        let place = tame(place);
        if line.len() + place.len() > 118 && !line.ends_with("From:") {
            text.push_str(&line);
            text.push('\n');
            line = format!("{mark}      ");
        }
        line.push(' ');
        line.push_str(&place);
    }
    if !places.is_empty() {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// A text for a comment: control characters would end the comment.
fn tame(text: &str) -> Cow<'_, str> {
    if has_control(text) { text.replace(char::is_control, " ").into() } else { text.into() }
}

/// Whether there is a control character in a text. Nearly every text is plain ASCII, of which bytes say enough.
fn has_control(text: &str) -> bool {
    !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && text.chars().any(char::is_control)
}
