//! Text for people: the root cause first, then a table.

use cli::Style;
use contract::document::{CheckReport, CheckState, HealthReport, HealthStatus};

use super::{one_line, state_word, status_word};

/// More healthy checks than this are only counted: a person looks for the others.
const UNFOLDED: usize = 50;

/// More names than this are only counted.
const NAMED: usize = 12;

/// The first of some names, and how many there are besides.
fn some_of(names: &[String]) -> String {
    let first = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > NAMED { format!("{first} and {} more", names.len() - NAMED) } else { first }
}

/// Writes it.
pub(super) fn write(report: &HealthReport, style: Style) -> String {
    let mut text = String::new();
    for cause in &report.root_causes {
        let optional = if cause.critical { "" } else { " (not required)" };
        text.push_str(&format!(
            "{} {}{optional}: {}\n",
            style.red("✗"),
            style.bold(&one_line(&cause.id)),
            one_line(&cause.message)
        ));
        for (word, names) in [("blocks", &cause.impacts), ("weakens", &cause.degrades)] {
            if !names.is_empty() {
                text.push_str(&format!("    {word} {}: {}\n", names.len(), one_line(&some_of(names))));
            }
        }
        for part in &cause.evidence {
            text.push_str(&format!("    {}\n", style.dim(&one_line(part))));
        }
    }
    for suspect in &report.suspects {
        text.push_str(&format!(
            "{} {}: {}\n",
            style.yellow("?"),
            style.bold(&one_line(&suspect.id)),
            one_line(&suspect.message)
        ));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    let width = |column: &dyn Fn(&CheckReport) -> usize| report.checks.iter().map(column).max().unwrap_or(0);
    let (ids, kinds) = (width(&|check| check.id.chars().count()), width(&|check| check.kind.len()));
    let up = report.checks.iter().filter(|check| check.state == CheckState::Up).count();
    let folded = if up > UNFOLDED { up } else { 0 };
    for check in report.checks.iter().filter(|check| folded == 0 || check.state != CheckState::Up) {
        let word = format!("{:<11}", state_word(check.state));
        let word = match check.state {
            CheckState::Up => style.green(&word),
            CheckState::Degraded | CheckState::Unknown => style.yellow(&word),
            CheckState::Down => style.red(&word),
            CheckState::Unreachable | CheckState::Skipped => style.dim(&word),
        };
        let mut said = match check.state {
            CheckState::Unreachable => format!("blocked by {}", check.blocked_by.join(", ")),
            _ => check.message.clone().unwrap_or_default(),
        };
        if check.flaky {
            said.push_str(" (at the second look)");
        }
        if check.flapping {
            said.push_str(" (changes its mind too often)");
        }
        let (id, said) = (one_line(&check.id), one_line(&said));
        let line = format!("{word} {id:<ids$}  {:<kinds$} {:>6} ms  {said}", one_line(&check.kind), check.ms);
        text.push_str(line.trim_end());
        text.push('\n');
    }
    if folded > 0 {
        text.push_str(&format!("{} {folded} more checks (--output json lists them)\n", style.green("up         ")));
    }
    let status = match report.status {
        HealthStatus::Up => style.green(status_word(report.status)),
        HealthStatus::Degraded => style.yellow(status_word(report.status)),
        HealthStatus::Down => style.red(status_word(report.status)),
    };
    let summary = &report.summary;
    let counts = [
        (summary.up, "up"),
        (summary.degraded, "degraded"),
        (summary.down, "down"),
        (summary.unreachable, "unreachable"),
        (summary.unknown, "unknown"),
        (summary.skipped, "skipped"),
    ];
    let counts: Vec<_> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    let ended = if report.interrupted { ", interrupted" } else { "" };
    let late = if report.deadline_exceeded { ", the time to wait is over" } else { "" };
    let counts = if counts.is_empty() { "no checks".to_owned() } else { counts.join(", ") };
    text.push_str(&format!("\nHealth: {status} ({counts}) in {} ms{late}{ended}\n", report.ms));
    text
}
