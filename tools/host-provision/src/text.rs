//! Plans, results and facts as people read them.

use cli::Style;
use contract::Summary;
use contract::document::{ChangeStatus, HostFacts, HostKept, HostOrphan, HostPlan, HostResult, Op, Outcome};

fn mark(op: Op, style: Style) -> String {
    match op {
        Op::Create => style.green("+"),
        Op::Update => style.yellow("~"),
        Op::Delete => style.red("-"),
        Op::Run => style.bold("!"),
    }
}

fn counts(summary: Summary, verbs: [&str; 4]) -> String {
    let parts: Vec<String> = [summary.create, summary.update, summary.delete, summary.run]
        .iter()
        .zip(verbs)
        .map(|(count, verb)| format!("{count} {verb}"))
        .collect();
    format!("{}, {} unchanged", parts.join(", "), summary.unchanged)
}

/// A plan.
pub fn plan(plan: &HostPlan, style: Style) -> String {
    let mut text = format!("{} ({}) at {}\n", style.bold(&plan.host), plan.owner, plan.target);
    let width = plan.changes.iter().map(|change| change.kind.len()).max().unwrap_or(0);
    for change in &plan.changes {
        let why =
            if change.why.is_empty() { String::new() } else { style.dim(&format!("  ({})", change.why.join(", "))) };
        text.push_str(&format!("  {} {:width$}  {}{why}\n", mark(change.op, style), change.kind, change.name));
        if let Some(diff) = &change.diff {
            for line in diff.lines().skip(2) {
                let line = match line.as_bytes().first() {
                    Some(b'+') => style.green(line),
                    Some(b'-') => style.red(line),
                    _ => line.to_owned(),
                };
                text.push_str(&format!("      {line}\n"));
            }
        } else if change.redacted {
            text.push_str(&format!("      {}\n", style.dim("content not shown: the file is not for everybody")));
        }
    }
    asides(&mut text, &plan.orphaned, &plan.kept, &plan.not_run, &plan.warnings, style);
    if plan.guarded {
        text.push_str("  guarded: goes back by itself unless a new connection proves access\n");
    }
    text.push_str(&format!("Plan: {}.\n", counts(plan.summary, ["to create", "to update", "to delete", "to run"])));
    text
}

fn asides(
    text: &mut String,
    orphaned: &[HostOrphan],
    kept: &[HostKept],
    not_run: &[HostKept],
    warnings: &[String],
    style: Style,
) {
    for orphan in orphaned {
        let allow = style.dim(&format!("(remove with --allow {})", orphan.allow));
        text.push_str(&format!("  o {} {} is no longer declared {allow}\n", orphan.kind, orphan.name));
    }
    for thing in kept {
        text.push_str(&format!("  = {} {} stays: {}\n", thing.kind, thing.name, thing.reason));
    }
    for thing in not_run {
        text.push_str(&format!(
            "  {} {} {} {}\n",
            style.dim("/"),
            thing.kind,
            thing.name,
            style.dim(&format!("(not run: {})", thing.reason))
        ));
    }
    for warning in warnings {
        text.push_str(&format!("  {} {warning}\n", style.yellow("warning:")));
    }
}

/// A result.
pub fn result(result: &HostResult, style: Style) -> String {
    let mut text = format!("{} ({})", style.bold(&result.host), result.owner);
    if let Some(run) = &result.run {
        text.push_str(&format!(" run {run}"));
    }
    text.push('\n');
    let width = result.changes.iter().map(|change| change.kind.len()).max().unwrap_or(0);
    for change in &result.changes {
        let status = match change.status {
            ChangeStatus::Done => String::new(),
            ChangeStatus::Failed => style.red("  failed"),
            ChangeStatus::Skipped => style.dim("  skipped"),
            ChangeStatus::RolledBack => style.yellow("  put back"),
            ChangeStatus::Unknown => style.yellow("  unknown"),
            ChangeStatus::NotRun => style.dim("  not run"),
        };
        let message = change.message.as_ref().map_or(String::new(), |message| format!(": {message}"));
        text.push_str(&format!(
            "  {} {:width$}  {}{status}{message}\n",
            mark(change.op, style),
            change.kind,
            change.name
        ));
    }
    asides(&mut text, &result.orphaned, &result.kept, &[], &result.warnings, style);
    if let Some(error) = &result.error {
        let place = error.place.as_ref().map_or(String::new(), |place| format!("{place}: "));
        text.push_str(&format!("  {} {place}{}\n", style.red("error:"), error.message));
        for cause in &error.causes {
            text.push_str(&format!("    because: {cause}\n"));
        }
        if let Some(hint) = &error.hint {
            text.push_str(&format!("    hint: {hint}\n"));
        }
    }
    if let Some(proof) = &result.access_proof {
        text.push_str(&format!("  access proven by {proof}\n"));
    }
    let outcome = match result.outcome {
        Outcome::Done if !result.changed => style.green("Nothing to do"),
        Outcome::Done => style.green("Done"),
        Outcome::Partial => style.red("Partly done"),
        Outcome::RolledBack => style.yellow("Put back"),
        Outcome::NotRestored => style.red("Failed and not all put back"),
        Outcome::Interrupted => style.yellow("Interrupted"),
        Outcome::NotStarted => style.red("Not begun"),
    };
    text.push_str(&format!(
        "{outcome}: {} ({} ms).\n",
        counts(result.summary, ["created", "updated", "deleted", "run"]),
        result.ms
    ));
    text
}

/// Facts.
pub fn facts(facts: &HostFacts, style: Style) -> String {
    let mib = |bytes: u64| format!("{} MiB", bytes / (1024 * 1024));
    let ports: Vec<String> = facts.ssh_ports.iter().map(ToString::to_string).collect();
    let version = facts.os_version.clone().unwrap_or_default();
    let mut rows = vec![
        ("host", facts.hostname.clone()),
        ("system", format!("{} {version}", facts.os_id)),
        ("kernel", format!("{} ({})", facts.kernel, facts.arch.as_str())),
        ("init", facts.init.clone()),
        ("addresses", facts.addresses.join(", ")),
        ("ssh ports", ports.join(", ")),
        ("memory", mib(facts.memory_bytes)),
        ("free", mib(facts.free_bytes)),
    ];
    if let Some(running) = &facts.running {
        let units = running.units.iter().map(|unit| unit.name.as_str()).collect::<Vec<_>>();
        let sites: Vec<String> = running.sites.iter().flat_map(|site| site.names.clone()).collect();
        let databases: Vec<&str> = running.databases.iter().map(|database| database.name.as_str()).collect();
        let containers: Vec<&str> = running.containers.iter().map(|container| container.name.as_str()).collect();
        rows.extend([
            ("packages", running.packages.len().to_string()),
            ("units", units.join(", ")),
            ("sites", sites.join(", ")),
            ("databases", databases.join(", ")),
            ("cron", running.cron.len().to_string()),
            ("containers", containers.join(", ")),
        ]);
        rows.extend(running.unseen.iter().map(|what| ("unseen", what.clone())));
    }
    let row = |(name, value): &(&str, String)| format!("{}  {}", style.bold(&format!("{name:10}")), value.trim_end());
    rows.iter().map(row).collect::<Vec<_>>().join("\n") + "\n"
}
