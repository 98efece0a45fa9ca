//! `check`: what is wrong with a document, offline.

use cli::{Failure, Input, Session, Style};
use contract::document::HealthChecks;
use contract::{Exit, Findings, Level};
use serde::de::IgnoredAny;

use crate::checklist::{Checklist, ForAll};

/// Checks a document and prints the findings.
pub(super) fn check(input: &Input, allow_empty: bool, session: &Session) -> Result<Exit, Failure> {
    let document = session.read_listed::<HealthChecks>(input, "checks")?;
    let mut findings = Vec::new();
    let for_all = ForAll { allow_empty, ..ForAll::default() };
    let _ = Checklist::of(&document, Vec::new(), for_all, &mut findings)?;
    let mut count = 0;
    document.each(|_: IgnoredAny| count += 1)?;
    let findings = Findings::new(findings);
    session.print(&findings, |findings, style| text(findings, count, style))?;
    Ok(if findings.has_errors() { Exit::No } else { Exit::Done })
}

fn text(findings: &Findings, count: usize, style: Style) -> String {
    let mut text = String::new();
    for finding in &findings.findings {
        let level = match finding.level {
            Level::Error => style.red("error"),
            Level::Warning => style.yellow("warning"),
            Level::Note => style.dim("note"),
        };
        text.push_str(&format!(
            "{level} {} {}: {}\n",
            finding.code,
            style.bold(finding.pointer.as_str()),
            finding.message
        ));
        if let Some(fix) = &finding.fix {
            text.push_str(&format!("      {fix}\n"));
        }
    }
    let (errors, warnings) = (findings.count(Level::Error), findings.count(Level::Warning));
    text.push_str(&format!("{count} checks: {errors} errors, {warnings} warnings\n"));
    text
}
