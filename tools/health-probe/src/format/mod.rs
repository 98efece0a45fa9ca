//! A report in every format that a person or a pipeline reads, one file each.

mod html;
mod junit;
pub(crate) mod nagios;
mod prometheus;
mod svg;
mod tap;
mod text;

use cli::{Failure, Session};
use contract::document::{CheckState, HealthReport, HealthStatus};

/// Prints a report and writes every further one that was asked for.
///
/// # Errors
/// A file or stdout cannot be written.
pub(crate) fn print(report: &HealthReport, session: &Session) -> Result<(), Failure> {
    // Files first: a reader of stdout that left must not cost them.
    session.print_report("junit", || junit::write(report))?;
    session.print_report("tap", || tap::write(report))?;
    session.print_report("nagios", || nagios::write(report))?;
    session.print_report("prometheus", || prometheus::write(report))?;
    session.print_report("html", || html::write(report))?;
    session.print(report, text::write)
}

/// The word for a state.
fn state_word(state: CheckState) -> &'static str {
    match state {
        CheckState::Up => "up",
        CheckState::Degraded => "degraded",
        CheckState::Down => "down",
        CheckState::Unreachable => "unreachable",
        CheckState::Unknown => "unknown",
        CheckState::Skipped => "skipped",
    }
}

/// The word for a verdict.
fn status_word(status: HealthStatus) -> &'static str {
    match status {
        HealthStatus::Up => "up",
        HealthStatus::Degraded => "degraded",
        HealthStatus::Down => "down",
    }
}

/// Text on one line: whatever would begin another, or move a cursor, is a space.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c }).collect()
}

/// Text inside XML and HTML: escaped, and without signs that XML 1.0 does not know.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\t' | '\n' => escaped.push(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
