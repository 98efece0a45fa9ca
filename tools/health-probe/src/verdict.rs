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
    /// A signal ended it.
    pub interrupted: bool,
    /// What several runs in a row say makes the verdict.
    pub by_soft: bool,
}

/// What the graph makes of what was seen, ready to be told.
pub(crate) struct Judgement<'a> {
    checklist: &'a Checklist,
    observations: &'a [Observation],
    run: &'a Run,
    judged: Vec<Judged>,
    soft: Vec<Option<Soft>>,
}

/// What several runs in a row say of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Soft {
    /// Its state with some inertia.
    pub state: CheckState,
    /// It changes its mind too often.
    pub flapping: bool,
}

impl<'a> Judgement<'a> {
    /// Judges what was seen of each check.
    pub(crate) fn of(checklist: &'a Checklist, observations: &'a [Observation], run: &'a Run) -> Self {
        let seen: Vec<Seen> = checklist
            .items
            .iter()
            .zip(observations)
            .map(|(item, one)| Seen { raw: one.raw, reason: one.reason, port: item.port() })
            .collect();
        Self { checklist, observations, run, judged: checklist.graph.judge(&seen), soft: Vec::new() }
    }

    /// Adds what several runs in a row say, by check.
    pub(crate) fn with_soft(mut self, soft: Vec<Option<Soft>>) -> Self {
        self.soft = soft;
        self
    }

    /// How many checks there are.
    pub(crate) fn len(&self) -> usize {
        self.judged.len()
    }

    /// The state of a check.
    pub(crate) fn state(&self, node: usize) -> CheckState {
        self.judged[node].state()
    }

    /// Root causes that block a check.
    pub(crate) fn is_blocked(&self, node: usize) -> bool {
        !self.judged[node].blocked_by.is_empty()
    }

    /// The whole report.
    pub(crate) fn report(&self) -> HealthReport {
        HealthReport { checks: (0..self.len()).map(|node| self.check(node)).collect(), ..self.head() }
    }

    /// The report without its checks.
    pub(crate) fn head(&self) -> HealthReport {
        let run = self.run;
        let mut summary = HealthSummary::default();
        let mut status = HealthStatus::Up;
        for (node, item) in self.checklist.items.iter().enumerate() {
            count(&mut summary, self.state(node));
            status = status.max(self.weight(node, item));
        }
        HealthReport {
            vantage: run.vantage.clone(),
            status,
            started_at: run.started_at.clone(),
            ms: run.ms,
            rounds: run.rounds,
            deadline_exceeded: run.deadline_exceeded,
            interrupted: run.interrupted,
            summary,
            root_causes: self.root_causes(),
            suspects: self.suspects(),
            checks: Vec::new(),
        }
    }

    fn names(&self, nodes: &[usize]) -> Vec<String> {
        nodes.iter().map(|node| self.checklist.items[*node].id.clone()).collect()
    }

    fn root_causes(&self) -> Vec<RootCause> {
        let count = self.len();
        let (mut impacts, mut degrades) = (vec![Vec::new(); count], vec![Vec::new(); count]);
        for (node, judged) in self.judged.iter().enumerate() {
            for &root in &judged.blocked_by {
                impacts[root].push(node);
            }
            for &root in &judged.weakened_by {
                degrades[root].push(node);
            }
        }
        let mut causes: Vec<RootCause> = Vec::new();
        for (node, item) in self.checklist.items.iter().enumerate() {
            if self.state(node) != CheckState::Down {
                continue;
            }
            let evidence = impacts[node].iter().chain(&degrades[node]).flat_map(|&other| {
                let id = &self.checklist.items[other].id;
                self.observations[other].trace.evidence.iter().map(move |part| format!("{id}: {part}"))
            });
            causes.push(RootCause {
                id: item.id.clone(),
                reason: self.observations[node].reason.unwrap_or(Reason::Internal).as_str().into(),
                message: self.observations[node].message.clone(),
                evidence: evidence.take(20).collect(),
                impacts: self.names(&impacts[node]),
                degrades: self.names(&degrades[node]),
                critical: item.critical,
            });
        }
        causes.sort_by(|a, b| b.impacts.len().cmp(&a.impacts.len()).then_with(|| a.id.cmp(&b.id)));
        causes
    }

    fn suspects(&self) -> Vec<Suspect> {
        let suspected = (0..self.len()).filter(|&node| self.judged[node].suspected);
        let suspects = suspected.map(|node| {
            let impacts = self.names(&self.checklist.graph.direct_dependants(node));
            let id = self.checklist.items[node].id.clone();
            let message = format!("nobody looked at it, but all {} checks that need it fail to connect", impacts.len());
            Suspect { id, message, impacts }
        });
        suspects.collect()
    }

    /// What a check does to the verdict. One that is not critical degrades at most.
    fn weight(&self, node: usize, item: &Item) -> HealthStatus {
        let judged = &self.judged[node];
        let soft = if self.run.by_soft { self.soft.get(node).copied().flatten() } else { None };
        let status = match soft.map_or_else(|| judged.state(), |soft| soft.state) {
            CheckState::Up | CheckState::Skipped => HealthStatus::Up,
            CheckState::Degraded => HealthStatus::Degraded,
            // A suspicion adds nothing to the failures that it rests on.
            CheckState::Unknown if judged.suspected || self.run.unknown_ok => HealthStatus::Degraded,
            CheckState::Down | CheckState::Unreachable | CheckState::Unknown => HealthStatus::Down,
        };
        if item.critical { status } else { status.min(HealthStatus::Degraded) }
    }

    /// The report on one check.
    pub(crate) fn check(&self, node: usize) -> CheckReport {
        let report = check_report(self.checklist, node, &self.observations[node], &self.judged[node]);
        match self.soft.get(node).copied().flatten() {
            Some(soft) => CheckReport { soft: Some(soft.state), flapping: soft.flapping, ..report },
            None => report,
        }
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

fn check_report(checklist: &Checklist, node: usize, seen: &Observation, judged: &Judged) -> CheckReport {
    let item = &checklist.items[node];
    let name = |node: &usize| checklist.items[*node].id.clone();
    let edges = checklist.graph.edges(node);
    let trace = &seen.trace;
    let (reason, message) = words(seen, judged, &|nodes| nodes.iter().map(name).collect::<Vec<_>>().join(", "));
    CheckReport {
        id: item.id.clone(),
        group: item.group.clone(),
        kind: item.kind.to_string(),
        target: item.target(),
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
        certificate: trace.certificate.as_deref().cloned(),
        evidence: trace.evidence.clone(),
        figures: trace.figures.clone(),
        phases: Some(trace.phases).filter(|phases| *phases != Phases::default()),
        attempts: seen.attempts,
        tries: seen.tries.clone(),
        addresses: trace.addresses.clone(),
        soft: None,
        flapping: false,
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
