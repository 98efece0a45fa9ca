//! TAP 14 (testanything.org/tap-version-14-specification.html).

use contract::document::{CheckState, HealthReport};

use super::{one_line, state_word};

/// Writes it.
pub(super) fn write(report: &HealthReport) -> String {
    let mut text = format!("TAP version 14\n1..{}\n", report.checks.len());
    for (number, check) in report.checks.iter().enumerate() {
        let number = number + 1;
        let id = plain(&check.id);
        let message = check.message.as_deref().unwrap_or_default();
        match check.state {
            CheckState::Up | CheckState::Degraded => text.push_str(&format!("ok {number} - {id}\n")),
            CheckState::Unreachable => {
                text.push_str(&format!(
                    "ok {number} - {id} # SKIP blocked by {}\n",
                    plain(&check.blocked_by.join(", "))
                ));
            }
            CheckState::Skipped => text.push_str(&format!("ok {number} - {id} # SKIP {}\n", plain(message))),
            CheckState::Down | CheckState::Unknown => text.push_str(&format!("not ok {number} - {id}\n")),
        }
        if matches!(check.state, CheckState::Down | CheckState::Unknown | CheckState::Degraded) {
            let quoted = |text: &str| serde_json::Value::from(text).to_string();
            let reason = check.reason.as_deref().unwrap_or_default();
            text.push_str(&format!("  ---\n  message: {}\n  reason: {}\n", quoted(message), quoted(reason)));
            text.push_str(&format!("  state: {}\n  duration_ms: {}\n", state_word(check.state), check.ms));
            if let Some(target) = &check.target {
                text.push_str(&format!("  target: {}\n", quoted(target)));
            }
            text.push_str("  ...\n");
        }
    }
    text
}

/// A description: `#` would begin a directive, a backslash an escape.
fn plain(text: &str) -> String {
    one_line(text).trim().replace('\\', "\\\\").replace('#', "\\#")
}
