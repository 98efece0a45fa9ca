//! Plans, results and answers for people.

use std::fmt::Write;

use cli::Style;
use contract::document::{
    ChangeStatus, DnsChange, DnsPlan, DnsResult, DnsVerify, Op, Outcome, RecordSet, ServerState, ZoneMode,
};

use crate::error::plural;

/// Values that are written out before the rest is counted.
const MOST_VALUES: usize = 4;
/// Characters of a value that are shown.
const LONGEST_VALUE: usize = 72;

/// A plan.
pub(crate) fn plan(plan: &DnsPlan, style: Style) -> String {
    let mut text = String::new();
    for zone in &plan.zones {
        let mode = match zone.mode {
            ZoneMode::Owned => "owned",
            ZoneMode::WholeZone => "whole zone",
            ZoneMode::Additive => "additive",
        };
        let about = style.dim(&format!("({}, {mode})", zone.provider));
        let _ = writeln!(text, "{} {about}", style.bold(&zone.zone));
        if zone.changes.is_empty() && zone.claims.is_empty() {
            let _ = writeln!(text, "  {}", style.dim("nothing to do"));
        }
        changes(&mut text, &zone.changes, &zone.zone, style);
        for claim in &zone.claims {
            let name = relative(&claim.name, &zone.zone);
            let _ = writeln!(text, "  {} {name} {} becomes ours", style.yellow("~"), claim.record_type);
        }
        for (reason, count) in reasons(zone.kept.iter().map(|kept| kept.reason.as_str())) {
            let _ = writeln!(
                text,
                "  {}",
                style.dim(&format!("left alone: {} ({reason})", plural(count, "record set", "record sets")))
            );
        }
        for refusal in &zone.refusals {
            let _ = writeln!(text, "  {} {}", style.red("!"), refusal.message);
            let consent = match &refusal.consent {
                Some(consent) => format!("apply takes it with --allow {consent}"),
                None => "an apply refuses it".into(),
            };
            let _ = writeln!(text, "    {}", style.dim(&consent));
        }
    }
    for warning in &plan.warnings {
        let _ = writeln!(text, "{}: {warning}", style.yellow("warning"));
    }
    let summary = &plan.summary;
    let _ = writeln!(
        text,
        "Plan: {} to create, {} to update, {} to delete; {} unchanged.",
        summary.create, summary.update, summary.delete, summary.unchanged
    );
    text
}

/// A result.
pub(crate) fn result(result: &DnsResult, style: Style) -> String {
    let mut text = String::new();
    for zone in &result.zones {
        let status = match zone.status {
            ChangeStatus::Done if zone.applied.is_empty() => style.dim("as declared"),
            ChangeStatus::Done => style.green("done"),
            ChangeStatus::Skipped => style.yellow("not finished"),
            ChangeStatus::Unknown => style.red("not known"),
            _ => style.red("failed"),
        };
        let _ = writeln!(text, "{} {status}", style.bold(&zone.zone));
        changes(&mut text, &zone.applied, &zone.zone, style);
        for (what, list) in
            [("no effect", &zone.not_effective), ("not known", &zone.unknown), ("not made", &zone.failed)]
        {
            for change in list {
                let name = relative(&change.name, &zone.zone);
                let _ = writeln!(text, "  {} {name} {}: {what}", style.red("!"), change.record_type);
            }
        }
        if let Some(error) = &zone.error {
            let _ = writeln!(text, "  {} {}", style.red("!"), error.message);
        }
    }
    let ended = match result.outcome {
        Outcome::Done => "Done",
        Outcome::Interrupted => "Interrupted",
        _ => "Partly done",
    };
    let summary = &result.summary;
    let _ =
        writeln!(text, "{ended}: {} created, {} updated, {} deleted.", summary.create, summary.update, summary.delete);
    text
}

/// What servers answer.
pub(crate) fn verify(verify: &DnsVerify, style: Style) -> String {
    let mut text = String::new();
    let (mut good, mut all) = (0, 0);
    for zone in &verify.zones {
        let _ = writeln!(text, "{}", style.bold(&zone.zone));
        let widest = zone.servers.iter().map(|server| server.name.len()).max().unwrap_or(0);
        for server in &zone.servers {
            all += 1;
            let state = match server.state {
                ServerState::Match => {
                    good += 1;
                    style.green("match")
                }
                ServerState::Stale => style.yellow("stale"),
                ServerState::Lame => style.red("lame"),
                ServerState::Timeout => style.red("timeout"),
            };
            let serial = server.serial.map(|serial| format!(" serial {serial}")).unwrap_or_default();
            let address = style.dim(&format!("{}{serial}", server.address));
            let _ = writeln!(text, "  {:widest$}  {state}  {address}", server.name);
            for different in server.different.iter().take(MOST_VALUES) {
                let _ = writeln!(text, "    {} {different}", style.yellow("~"));
            }
            if server.different.len() > MOST_VALUES {
                let _ = writeln!(text, "    and {} more", server.different.len() - MOST_VALUES);
            }
        }
    }
    let _ = writeln!(text, "Verify: {good} of {} answer as declared.", plural(all, "server", "servers"));
    text
}

fn changes(text: &mut String, changes: &[DnsChange], zone: &str, style: Style) {
    let names: Vec<String> = changes.iter().map(|change| relative(&change.name, zone)).collect();
    let name_width = names.iter().map(String::len).max().unwrap_or(0);
    let type_width = changes.iter().map(|change| change.record_type.len()).max().unwrap_or(0);
    for (change, name) in changes.iter().zip(&names) {
        let mark = match change.op {
            Op::Create => style.green("+"),
            Op::Delete => style.red("-"),
            _ => style.yellow("~"),
        };
        let what = match (&change.before, &change.after) {
            (Some(before), Some(after)) if before.values == after.values => {
                format!("{}  TTL {} -> {}", values(&after.values), before.ttl, after.ttl)
            }
            (Some(before), Some(after)) => {
                let ttl = if before.ttl == after.ttl {
                    String::new()
                } else {
                    format!("  TTL {} -> {}", before.ttl, after.ttl)
                };
                format!("{} -> {}{ttl}", values(&before.values), values(&after.values))
            }
            (Some(RecordSet { ttl, values: list }), None) | (None, Some(RecordSet { ttl, values: list })) => {
                format!("{}  TTL {ttl}", values(list))
            }
            (None, None) => String::new(),
        };
        let _ = writeln!(text, "  {mark} {name:name_width$}  {:type_width$}  {what}", change.record_type);
    }
}

fn values(values: &[String]) -> String {
    let shown: Vec<String> = values.iter().take(MOST_VALUES).map(|value| shortened(value)).collect();
    match values.len().saturating_sub(MOST_VALUES) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn shortened(value: &str) -> String {
    if value.chars().count() <= LONGEST_VALUE {
        return value.to_owned();
    }
    let start: String = value.chars().take(LONGEST_VALUE - 3).collect();
    format!("{start}...")
}

/// A name without the zone, `@` for the zone itself.
fn relative(name: &str, zone: &str) -> String {
    match name.strip_suffix(zone) {
        Some("") => "@".into(),
        Some(rest) if rest.ends_with('.') => rest[..rest.len() - 1].to_owned(),
        _ => name.to_owned(),
    }
}

/// Each reason and how often it is given.
fn reasons<'a>(all: impl Iterator<Item = &'a str>) -> Vec<(&'a str, usize)> {
    let mut counts = std::collections::BTreeMap::new();
    for reason in all {
        *counts.entry(reason).or_insert(0) += 1;
    }
    counts.into_iter().collect()
}
