//! Plans and results for people.

use cli::Style;
use contract::document::{ChangeStatus, Op, Outcome, PgOrphan, PgPlan, PgResult};
use contract::{Findings, Level};

fn mark(op: Op, style: Style) -> String {
    match op {
        Op::Create => style.green("+"),
        Op::Update => style.yellow("~"),
        Op::Delete => style.red("-"),
        Op::Run => "!".into(),
    }
}

/// A plan.
pub(crate) fn plan(plan: &PgPlan, style: Style) -> String {
    let mut text = String::new();
    let width = plan.changes.iter().map(|change| change.id.chars().count()).max().unwrap_or_default().min(60);
    for change in &plan.changes {
        text.push_str(&format!("{} {:width$}  {}\n", mark(change.op, style), change.id, change.why));
        for line in change.sql.lines() {
            text.push_str(&format!("    {}\n", style.dim(line)));
        }
    }
    text.push_str(&remarks(&plan.orphaned, &plan.warnings, style));
    let counts = &plan.summary;
    text.push_str(&if counts.has_changes() {
        format!(
            "Plan for {}: {} to create, {} to update, {} as they should be.\n",
            plan.cluster, counts.create, counts.update, counts.unchanged
        )
    } else {
        format!("{}: nothing to do, {} as they should be.\n", plan.cluster, counts.unchanged)
    });
    text
}

/// A result.
pub(crate) fn result(result: &PgResult, style: Style) -> String {
    let mut text = String::new();
    for change in &result.changes {
        let status = match change.status {
            ChangeStatus::Done => style.green("done"),
            ChangeStatus::Failed => style.red("failed"),
            ChangeStatus::Skipped => style.dim("not tried"),
            ChangeStatus::RolledBack => style.yellow("rolled back"),
            ChangeStatus::Unknown => style.yellow("not known"),
            ChangeStatus::NotRun => style.dim("not run"),
        };
        let message = change.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
        text.push_str(&format!("{} {}  {status}{message}\n", mark(change.op, style), change.id));
    }
    text.push_str(&remarks(&result.orphaned, &result.warnings, style));
    let counts = &result.summary;
    let ended = match result.outcome {
        Outcome::Done => "",
        Outcome::Interrupted => " Interrupted.",
        _ => " Not all of it could be done; run plan to see what is left.",
    };
    text.push_str(&if result.changes.is_empty() {
        format!("{}: nothing to do, {} as they should be.\n", result.cluster, counts.unchanged)
    } else {
        format!(
            "{}: {} created, {} updated, {} dropped.{ended}\n",
            result.cluster, counts.create, counts.update, counts.delete
        )
    });
    text
}

fn remarks(orphaned: &[PgOrphan], warnings: &[String], style: Style) -> String {
    let mut text = String::new();
    for orphan in orphaned {
        text.push_str(&format!(
            "{} {}  orphaned: no longer declared, kept; apply --allow {} drops it\n",
            style.yellow("?"),
            orphan.id,
            orphan.allow
        ));
    }
    for warning in warnings {
        text.push_str(&format!("{} {warning}\n", style.yellow("warning:")));
    }
    text
}

/// Findings.
pub(crate) fn findings(findings: &Findings, style: Style) -> String {
    let mut text = String::new();
    for finding in &findings.findings {
        let level = match finding.level {
            Level::Error => style.red("error"),
            Level::Warning => style.yellow("warning"),
            Level::Note => style.dim("note"),
        };
        text.push_str(&format!("{level} {} {}: {}\n", finding.code, finding.pointer, finding.message));
        if let Some(fix) = &finding.fix {
            text.push_str(&format!("    {fix}\n"));
        }
    }
    text.push_str(&format!("{} errors, {} warnings.\n", findings.count(Level::Error), findings.count(Level::Warning)));
    text
}
