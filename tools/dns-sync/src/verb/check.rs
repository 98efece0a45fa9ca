//! `check`: problems of a document.

use clap::Args;
use cli::{Failure, Input, Session};
use contract::document::DnsDesired;
use contract::{Exit, Findings, Level};

use crate::error::plural;
use crate::lint::examine;

/// Look for problems in a document.
#[derive(Debug, Clone, Args)]
pub struct Check {
    #[command(flatten)]
    input: Input,
}

impl Check {
    pub(super) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let sourced = session.read::<DnsDesired>(&self.input)?;
        let (_, findings) = examine(&sourced.document).map_err(|error| sourced.source.located(error.into()))?;
        let findings = Findings::new(findings);
        session.print(&findings, |findings, style| {
            let mut text = String::new();
            for finding in &findings.findings {
                let level = match finding.level {
                    Level::Error => style.red("error"),
                    Level::Warning => style.yellow("warning"),
                    Level::Note => style.dim("note"),
                };
                text.push_str(&format!("{level} {}: {}\n", finding.pointer, finding.message));
                for related in &finding.related {
                    text.push_str(&format!("  {}\n", style.dim(&format!("see also {related}"))));
                }
                if let Some(fix) = &finding.fix {
                    text.push_str(&format!("  {}\n", style.dim(fix)));
                }
            }
            let errors = plural(findings.count(Level::Error), "error", "errors");
            let warnings = plural(findings.count(Level::Warning), "warning", "warnings");
            text.push_str(&format!("Check: {errors}, {warnings}.\n"));
            text
        })?;
        Ok(if findings.has_errors() { Exit::No } else { Exit::Done })
    }
}
