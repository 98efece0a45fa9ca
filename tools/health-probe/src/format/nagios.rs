//! The output of a Nagios plugin: one line with figures, more lines below, and Nagios' own exit codes.

use cli::Failure;
use contract::Exit;
use contract::document::{CheckState, HealthReport, HealthStatus};

use super::one_line;

/// Writes it.
pub(crate) fn write(report: &HealthReport) -> String {
    let summary = &report.summary;
    let (word, said) = match (report.status, report.root_causes.first()) {
        _ if only_unknown(report) => ("UNKNOWN", format!("{} checks could not be looked at", summary.unknown)),
        (HealthStatus::Down, Some(first)) => {
            let count = report.root_causes.len();
            let s = if count == 1 { "" } else { "s" };
            ("CRITICAL", format!("{count} root cause{s}: {} ({} affected)", first.id, first.impacts.len()))
        }
        (HealthStatus::Down, None) => ("CRITICAL", "not healthy".to_owned()),
        (HealthStatus::Degraded, _) => ("WARNING", format!("{} checks degraded", summary.degraded)),
        (HealthStatus::Up, _) => ("OK", format!("{} checks up", summary.up)),
    };
    let mut text = format!(
        "{word} - {}|up={} degraded={} down={} unreachable={} unknown={} skipped={} time={}.{:03}s\n",
        plain(&said),
        summary.up,
        summary.degraded,
        summary.down,
        summary.unreachable,
        summary.unknown,
        summary.skipped,
        report.ms / 1000,
        report.ms % 1000,
    );
    for cause in &report.root_causes {
        text.push_str(&format!("{}: {}\n", plain(&cause.id), plain(&cause.message)));
    }
    for check in report.checks.iter().filter(|check| matches!(check.state, CheckState::Unknown | CheckState::Degraded))
    {
        text.push_str(&format!("{}: {}\n", plain(&check.id), plain(check.message.as_deref().unwrap_or_default())));
    }
    text
}

/// The line of a run that never came to look.
pub(crate) fn unknown(failure: &Failure) -> String {
    let message = failure.errors().first().map(|error| error.message.as_str()).unwrap_or_default();
    format!("UNKNOWN - {}\n", plain(message))
}

/// Nagios' own codes, named by the exits of ours that have the same number: 0 ok, 1 warning, 2 critical, 3 unknown.
pub(crate) fn exit(report: &HealthReport) -> Exit {
    match report.status {
        HealthStatus::Up => Exit::Done,
        HealthStatus::Degraded => Exit::No,
        HealthStatus::Down if only_unknown(report) => Exit::Partial,
        HealthStatus::Down => Exit::Usage,
    }
}

/// Nothing is known to be broken, but not everything could be looked at.
fn only_unknown(report: &HealthReport) -> bool {
    report.status == HealthStatus::Down
        && !report.root_causes.iter().any(|cause| cause.critical)
        && report.checks.iter().all(|check| !(check.critical && check.state == CheckState::Unreachable))
}

/// A bar would begin the figures.
fn plain(text: &str) -> String {
    one_line(text).replace('|', "/")
}
