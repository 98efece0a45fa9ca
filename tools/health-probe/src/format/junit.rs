//! JUnit XML, as CI systems read it: failures before output, what is blocked is skipped and not failed twice.

use std::collections::HashMap;

use contract::document::{CheckReport, CheckState, HealthReport, RootCause};

use super::escape;

/// Writes it.
pub(super) fn write(report: &HealthReport) -> String {
    let summary = &report.summary;
    let counts = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{}\"",
        report.checks.len(),
        summary.down,
        summary.unknown,
        summary.unreachable + summary.skipped,
        seconds(report.ms)
    );
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts}>\n  <testsuite name=\"health\" {counts} timestamp=\"{}\">\n",
        escape(&report.started_at)
    );
    let causes: HashMap<&str, &RootCause> = report.root_causes.iter().map(|cause| (cause.id.as_str(), cause)).collect();
    for check in &report.checks {
        let class = escape(check.group.as_deref().unwrap_or(&check.kind));
        let head = format!(
            "    <testcase classname=\"{class}\" name=\"{}\" time=\"{}\"",
            escape(&check.id),
            seconds(check.ms)
        );
        let message = escape(check.message.as_deref().unwrap_or_default());
        let reason = escape(check.reason.as_deref().unwrap_or("unknown"));
        let body = match check.state {
            CheckState::Up => String::new(),
            CheckState::Degraded => format!("      <system-out>degraded: {message}</system-out>\n"),
            CheckState::Down => {
                let more = details(check, causes.get(check.id.as_str()).copied());
                format!("      <failure type=\"{reason}\" message=\"{message}\">{more}</failure>\n")
            }
            CheckState::Unknown => {
                let more = details(check, causes.get(check.id.as_str()).copied());
                format!("      <error type=\"{reason}\" message=\"{message}\">{more}</error>\n")
            }
            CheckState::Unreachable => {
                format!("      <skipped message=\"blocked by {}\"/>\n", escape(&check.blocked_by.join(", ")))
            }
            CheckState::Skipped => format!("      <skipped message=\"{message}\"/>\n"),
        };
        if body.is_empty() {
            text.push_str(&format!("{head}/>\n"));
        } else {
            text.push_str(&format!("{head}>\n{body}    </testcase>\n"));
        }
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

/// What helps whoever reads the failure in a CI system, a line each.
fn details(check: &CheckReport, cause: Option<&RootCause>) -> String {
    let mut lines = Vec::new();
    lines.extend(check.target.as_ref().map(|target| format!("target: {target}")));
    lines.extend(check.address.as_ref().map(|address| format!("address: {address}")));
    lines.extend(check.certificate_expires_at.as_ref().map(|until| format!("certificate until: {until}")));
    if let Some(cause) = cause {
        for (word, names) in [("blocks", &cause.impacts), ("weakens", &cause.degrades)] {
            if !names.is_empty() {
                lines.push(format!("{word}: {}", names.join(", ")));
            }
        }
        lines.extend(cause.evidence.iter().map(|part| format!("evidence: {part}")));
    }
    lines.iter().map(|line| escape(line)).collect::<Vec<_>>().join("\n")
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}
