//! From what was seen to the report.

use contract::document::{
    CheckReport, CheckState, HealthReport, HealthStatus, HealthSummary, Phases, RawResult, RootCause, Suspect,
};

use crate::checklist::{Checklist, Item, Origin};
use crate::graph::{Judged, Seen};
use crate::observation::Observation;
use crate::reason::Reason;

/// What a report says besides the checks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Run {
    /// Where we are.
    pub vantage: Option<String>,
    /// When it began (RFC 3339).
    pub started_at: String,
    /// Wall time in milliseconds.
    pub ms: u64,
    /// How often all checks were run.
    pub rounds: u32,
    /// The wait ended without what it waited for.
    pub deadline_exceeded: bool,
    /// What could not be looked at only degrades.
    pub unknown_ok: bool,
}

/// The report on what was seen of each check.
pub(crate) fn report(checklist: &Checklist, observations: &[Observation], run: &Run) -> HealthReport {
    let seen: Vec<Seen> = observations.iter().map(|one| Seen { raw: one.raw, reason: one.reason }).collect();
    let judged = checklist.graph.judge(&seen);
    let names = |nodes: &mut dyn Iterator<Item = usize>| -> Vec<String> {
        nodes.map(|node| checklist.items[node].id.clone()).collect()
    };
    let mut summary = HealthSummary::default();
    let mut status = HealthStatus::Up;
    let mut checks = Vec::with_capacity(checklist.items.len());
    for (node, item) in checklist.items.iter().enumerate() {
        count(&mut summary, judged[node].state());
        status = status.max(weight(item, &judged[node], run.unknown_ok));
        checks.push(check_report(checklist, node, &observations[node], &judged[node]));
    }
    let mut root_causes: Vec<RootCause> = Vec::new();
    for (node, item) in checklist.items.iter().enumerate() {
        if judged[node].state() != CheckState::Down {
            continue;
        }
        let impacts = (0..judged.len()).filter(|&other| judged[other].blocked_by.contains(&node));
        let degrades = (0..judged.len()).filter(|&other| judged[other].weakened_by.contains(&node));
        let (impacts, degrades): (Vec<_>, Vec<_>) = (impacts.collect(), degrades.collect());
        let evidence = impacts.iter().flat_map(|&other| {
            let id = &checklist.items[other].id;
            observations[other].trace.evidence.iter().map(move |part| format!("{id}: {part}"))
        });
        let evidence = evidence.take(20).collect();
        root_causes.push(RootCause {
            id: item.id.clone(),
            reason: observations[node].reason.unwrap_or(Reason::Internal).as_str().into(),
            message: observations[node].message.clone(),
            impacts: names(&mut impacts.iter().copied()),
            degrades: names(&mut degrades.iter().copied()),
            critical: item.critical,
            evidence,
        });
    }
    root_causes.sort_by(|a, b| b.impacts.len().cmp(&a.impacts.len()).then_with(|| a.id.cmp(&b.id)));
    let suspects = (0..judged.len()).filter(|&node| judged[node].suspected).map(|node| {
        let impacts = names(&mut checklist.graph.direct_dependants(node).into_iter());
        let id = checklist.items[node].id.clone();
        let message = format!("nobody looked at it, but all {} checks that need it fail to connect", impacts.len());
        Suspect { id, message, impacts }
    });
    HealthReport {
        vantage: run.vantage.clone(),
        status,
        started_at: run.started_at.clone(),
        ms: run.ms,
        rounds: run.rounds,
        deadline_exceeded: run.deadline_exceeded,
        summary,
        root_causes,
        suspects: suspects.collect(),
        checks,
    }
}

fn count(summary: &mut HealthSummary, state: CheckState) {
    let counter = match state {
        CheckState::Up => &mut summary.up,
        CheckState::Degraded => &mut summary.degraded,
        CheckState::Down => &mut summary.down,
        CheckState::Unreachable => &mut summary.unreachable,
        CheckState::Unknown => &mut summary.unknown,
        CheckState::Skipped => &mut summary.skipped,
    };
    *counter += 1;
}

/// What a check does to the verdict. One that is not critical degrades at most.
fn weight(item: &Item, judged: &Judged, unknown_ok: bool) -> HealthStatus {
    let status = match judged.state() {
        CheckState::Up | CheckState::Skipped => HealthStatus::Up,
        CheckState::Degraded => HealthStatus::Degraded,
        // A suspicion adds nothing to the failures that it rests on.
        CheckState::Unknown if judged.suspected || unknown_ok => HealthStatus::Degraded,
        CheckState::Down | CheckState::Unreachable | CheckState::Unknown => HealthStatus::Down,
    };
    if item.critical { status } else { status.min(HealthStatus::Degraded) }
}

fn check_report(checklist: &Checklist, node: usize, seen: &Observation, judged: &Judged) -> CheckReport {
    let item = &checklist.items[node];
    let name = |node: &usize| checklist.items[*node].id.clone();
    let edges = checklist.graph.edges(node);
    let trace = &seen.trace;
    let (reason, message) = words(seen, judged, &|nodes| nodes.iter().map(name).collect::<Vec<_>>().join(", "));
    CheckReport {
        id: item.id.clone(),
        group: item.group.clone(),
        kind: item.kind.clone(),
        target: item.target.clone(),
        tags: item.tags.clone(),
        critical: item.critical,
        state: judged.state(),
        raw: Some(seen.raw),
        reason: reason.map(|reason| reason.as_str().to_owned()),
        message: Some(message).filter(|message| !message.is_empty()),
        blocked_by: judged.blocked_by.iter().map(name).collect(),
        possible_causes: judged.possible_causes.iter().map(name).collect(),
        contradiction: judged.contradiction,
        flaky: seen.attempts > 1 && seen.raw == RawResult::Pass,
        needs: edges.needs.iter().map(name).collect(),
        needs_any: edges.needs_any.iter().map(|group| group.iter().map(name).collect()).collect(),
        wants: edges.wants.iter().map(name).collect(),
        address: trace.address.clone(),
        http_status: trace.http_status,
        certificate_expires_at: trace.certificate.as_ref().map(|certificate| certificate.chain_expires_at.clone()),
        certificate: trace.certificate.clone(),
        evidence: trace.evidence.clone(),
        figures: trace.figures.clone(),
        phases: Some(trace.phases).filter(|phases| *phases != Phases::default()),
        attempts: seen.attempts,
        vantage: match &item.origin {
            Origin::Taken(_, vantage) => vantage.clone(),
            Origin::Probe(_) => None,
        },
        ms: seen.ms,
    }
}

/// Why a check is in its state. What the graph says goes before what the probe saw, where that was good.
fn words(
    seen: &Observation,
    judged: &Judged,
    names: &dyn Fn(&std::collections::BTreeSet<usize>) -> String,
) -> (Option<Reason>, String) {
    if judged.suspected {
        return (Some(Reason::Suspected), "everything that needs it fails together".into());
    }
    if seen.reason.is_some() || seen.raw == RawResult::Fail {
        return (seen.reason, seen.message.clone());
    }
    match judged.state() {
        CheckState::Degraded if judged.contradiction => {
            let causes = names(&judged.blocked_by);
            (Some(Reason::Dependency), format!("looks healthy, but what it needs is down: {causes}"))
        }
        CheckState::Degraded if !judged.weakened_by.is_empty() => {
            (Some(Reason::Dependency), format!("works without {}", names(&judged.weakened_by)))
        }
        CheckState::Unreachable => (Some(Reason::Dependency), format!("needs {}", names(&judged.blocked_by))),
        _ => (seen.reason, seen.message.clone()),
    }
}
