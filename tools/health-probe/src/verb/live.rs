//! What a person sees on a terminal while it waits: a line on how far it is, and what is not healthy yet.

use std::io::{IsTerminal, Write};

use cli::{LogFormat, Session};
use contract::document::{CheckState, HealthReport};

/// The most checks that are listed.
const MOST: usize = 8;

/// Lines on stderr that replace each other.
pub(super) struct Live {
    visible: bool,
    lines: usize,
}

impl Live {
    /// Shows itself only on a terminal, and not with `--quiet` or a log for programs.
    pub(super) fn new(session: &Session) -> Self {
        let flags = session.flags();
        let visible = std::io::stderr().is_terminal() && !flags.quiet && flags.log_format == LogFormat::Text;
        Self { visible, lines: 0 }
    }

    /// Shows where it is.
    pub(super) fn show(&mut self, report: &HealthReport, stable: u32, wanted: u32) {
        if !self.visible {
            return;
        }
        let good = report.summary.up + report.summary.degraded;
        let total = report.checks.len();
        let mut lines = vec![format!(
            "round {}, {} s: {good} of {total} healthy, {stable} of {wanted} good rounds",
            report.rounds,
            report.ms / 1000
        )];
        let bad = |state| matches!(state, CheckState::Down | CheckState::Unknown);
        for check in report.checks.iter().filter(|check| bad(check.state)).take(MOST) {
            lines.push(format!("  {} {}", check.id, check.message.as_deref().unwrap_or_default()));
        }
        self.clear();
        let mut stderr = std::io::stderr().lock();
        for line in &lines {
            // A line that wraps could not be taken back.
            let line: String = line.chars().take(78).collect();
            let _ = writeln!(stderr, "{line}");
        }
        self.lines = lines.len();
    }

    /// Takes the lines back.
    pub(super) fn clear(&mut self) {
        if self.lines > 0 {
            let _ = write!(std::io::stderr().lock(), "\u{1b}[{}A\u{1b}[J", self.lines);
            self.lines = 0;
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.clear();
    }
}
