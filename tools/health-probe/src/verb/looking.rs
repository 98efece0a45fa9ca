//! Looking at everything, once or until it is healthy.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use cli::{Failure, Session};
use contract::document::{CheckState, HealthReport, HealthStatus, RawResult};

use super::live::Live;
use crate::checklist::{Checklist, Origin};
use crate::observation::Observation;
use crate::probe::Context;
use crate::reason::Reason;
use crate::schedule::{Limits, look};
use crate::state::State;
use crate::verdict::{Judgement, Run, Soft};

/// How long after a failure it is looked at again before it is believed.
const SECOND_LOOK: Duration = Duration::from_millis(250);
/// The longest time between two rounds, where the user asks for no longer one.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Less time than this is left for no further round.
const SHORTEST_ROUND: Duration = Duration::from_millis(100);

/// One run of the verb.
pub(super) struct Looking {
    /// What there is to look at.
    pub checklist: Checklist,
    /// Which of it is looked at.
    pub chosen: Vec<bool>,
    /// What all probes share.
    pub context: Context,
    /// How much is done at once.
    pub limits: Limits,
    /// What a report says besides the checks.
    pub run: Run,
    /// When it began.
    pub started: Instant,
    /// What is remembered of other runs.
    pub state: Option<State>,
    /// Failures that may pass are tried again, and root causes looked at twice.
    pub second_look: bool,
    /// What is degraded is not good.
    pub strict: bool,
    /// It looks until all is good.
    pub wait: Option<Wait>,
    /// What the last whole round saw, for the case that a signal comes.
    pub last: RefCell<Option<Round>>,
}

/// How it waits.
pub(super) struct Wait {
    /// For at most this long.
    pub most: Duration,
    /// Time between the first two rounds.
    pub interval: Duration,
    /// Good rounds in a row that are wanted.
    pub stable: u32,
}

/// What was seen up to the end of a round.
#[derive(Debug, Clone)]
pub(super) struct Round {
    /// By check.
    pub observations: Vec<Observation>,
    /// How many rounds there were.
    pub rounds: u32,
    /// The time was up.
    pub deadline_exceeded: bool,
}

impl Looking {
    /// Looks once, with a second look at what may pass; or again and again, until it is good or the time is up.
    pub(super) async fn look_until_good(&self, session: &Session) -> Round {
        let all: Vec<usize> = (0..self.chosen.len()).filter(|&node| self.chosen[node]).collect();
        let mut observations: Vec<Observation> = self.chosen.iter().map(|chosen| unseen(*chosen)).collect();
        match &self.wait {
            Some(wait) => self.wait_until_good(wait, &all, observations, session).await,
            None => {
                self.look(&all, None, self.second_look, &mut observations).await;
                if self.second_look {
                    self.look_again(&mut observations).await;
                }
                Round { observations, rounds: 1, deadline_exceeded: false }
            }
        }
    }

    async fn wait_until_good(
        &self,
        wait: &Wait,
        all: &[usize],
        mut observations: Vec<Observation>,
        session: &Session,
    ) -> Round {
        let deadline = self.started + wait.most;
        let mut live = Live::new(session);
        let (mut rounds, mut stable) = (0, 0);
        let mut nodes = all.to_vec();
        let mut pause = wait.interval;
        loop {
            let whole = nodes.len() == all.len();
            let complete = self.look(&nodes, Some(deadline), false, &mut observations).await;
            rounds += 1;
            let report = self.report(&observations, rounds);
            let good = complete && is_good(&report, self.strict);
            // An early pass may be stale by now, so only whole rounds count.
            stable = if good && whole { stable + 1 } else { 0 };
            live.show(&report, stable, wait.stable);
            let round = |observations, deadline_exceeded| Round { observations, rounds, deadline_exceeded };
            if stable >= wait.stable {
                return round(observations, false);
            }
            if complete {
                *self.last.borrow_mut() = Some(round(observations.clone(), false));
            }
            nodes = if good { all.to_vec() } else { self.not_good(&report) };
            // A whole round right after the last missing piece came is what it waits for; it needs no pause.
            if good && !whole {
                pause = wait.interval;
                continue;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left < SHORTEST_ROUND {
                tokio::time::sleep(left).await;
                return round(observations, true);
            }
            // Near the end there is one more look instead of a rest.
            tokio::time::sleep(jittered(pause, rounds).min(left / 2)).await;
            pause = if good { wait.interval } else { pause.mul_f64(1.5).min(LONGEST_PAUSE.max(wait.interval)) };
        }
    }

    /// Looks at some checks; whether all were seen before the deadline.
    async fn look(
        &self,
        nodes: &[usize],
        deadline: Option<Instant>,
        again: bool,
        observations: &mut [Observation],
    ) -> bool {
        self.context.units.next_round();
        let waits = |node: &usize| self.checklist.is_after_needs(*node);
        let at_once: Vec<usize> = nodes.iter().copied().filter(|node| !waits(node)).collect();
        let mut later: BTreeSet<usize> = nodes.iter().copied().filter(waits).collect();
        let mut complete = self.look_now(&at_once, deadline, again, observations).await;
        // Those that wait for what they need, from the bottom up.
        while complete && !later.is_empty() {
            let ready: Vec<usize> = later
                .iter()
                .copied()
                .filter(|&node| {
                    self.checklist.graph.with_needs([node]).iter().all(|it| *it == node || !later.contains(it))
                })
                .collect();
            later.retain(|node| !ready.contains(node));
            let message = "not looked at, because what it needs is down";
            for &node in &ready {
                observations[node] = Observation::unprobed(RawResult::Skip, Some(Reason::Dependency), message);
            }
            let judgement = Judgement::of(&self.checklist, observations, &self.run);
            let free: Vec<usize> = ready.into_iter().filter(|&node| !judgement.is_blocked(node)).collect();
            complete = self.look_now(&free, deadline, again, observations).await;
        }
        complete
    }

    async fn look_now(
        &self,
        nodes: &[usize],
        deadline: Option<Instant>,
        again: bool,
        observations: &mut [Observation],
    ) -> bool {
        let mut seen = 0;
        look(&self.checklist, nodes, &self.context, self.limits, again, deadline, |node, mut observation| {
            seen += 1;
            self.note_restarts(node, &mut observation);
            observations[node] = observation;
        })
        .await;
        seen == nodes.len()
    }

    /// A unit that systemd had to start again since the last run is up, but not well.
    fn note_restarts(&self, node: usize, observation: &mut Observation) {
        let before = self.state.as_ref().and_then(|state| state.restarts(&self.checklist.items[node].id));
        if let (RawResult::Pass, Some(before), Some(now)) = (observation.raw, before, restarts(observation))
            && now > before
        {
            observation.raw = RawResult::Warn;
            observation.reason = Some(Reason::UnitRestarted);
            observation.message = format!("restarted {} times since the last run", now - before);
        }
    }

    /// Looks once more at root causes that may have been a moment's trouble, and at what they need: that may have died
    /// after it was seen.
    async fn look_again(&self, observations: &mut [Observation]) {
        let first = Judgement::of(&self.checklist, observations, &self.run);
        let doubtful: BTreeSet<usize> = (0..first.len())
            .filter(|&node| {
                first.state(node) == CheckState::Down && observations[node].is_transient() && self.may_repeat(node)
            })
            .collect();
        if doubtful.is_empty() {
            return;
        }
        let needs = doubtful.iter().flat_map(|&node| self.checklist.graph.edges(node).hard());
        let again = needs.chain(doubtful.iter().copied()).filter(|&node| self.chosen[node] && self.may_repeat(node));
        let again: BTreeSet<usize> = again.collect();
        tokio::time::sleep(SECOND_LOOK).await;
        let nodes: Vec<usize> = again.into_iter().collect();
        let before: HashMap<usize, Observation> =
            nodes.iter().map(|&node| (node, observations[node].clone())).collect();
        self.look(&nodes, None, false, observations).await;
        for (node, mut before) in before {
            // A need that was good both times is not flaky.
            if doubtful.contains(&node) {
                let tried = before.as_try();
                let seen = &mut observations[node];
                seen.attempts += before.attempts;
                seen.tries.append(&mut before.tries);
                seen.tries.push(tried);
            }
        }
    }

    fn may_repeat(&self, node: usize) -> bool {
        matches!(&self.checklist.items[node].origin, Origin::Probe(prepared) if prepared.may_repeat())
    }

    /// What is not as it must be, with everything that it needs.
    fn not_good(&self, report: &HealthReport) -> Vec<usize> {
        let bad = (0..report.checks.len()).filter(|&node| match report.checks[node].state {
            CheckState::Up => false,
            CheckState::Skipped => !report.checks[node].blocked_by.is_empty(),
            CheckState::Degraded => self.strict,
            CheckState::Down | CheckState::Unreachable | CheckState::Unknown => true,
        });
        self.checklist.graph.with_needs(bad).into_iter().filter(|&node| self.chosen[node]).collect()
    }

    fn report(&self, observations: &[Observation], rounds: u32) -> HealthReport {
        self.judgement(observations, &Run { rounds, ms: self.ms(), ..self.run.clone() }).report()
    }

    fn ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// What the graph makes of what was seen.
    pub(super) fn judgement<'a>(&'a self, observations: &'a [Observation], run: &'a Run) -> Judgement<'a> {
        Judgement::of(&self.checklist, observations, run)
    }

    /// What the report says of the run, and what several runs together say of each check.
    ///
    /// # Errors
    /// The verdict rests on what is remembered, and that cannot be written down.
    pub(super) fn end(
        &self,
        round: &Round,
        interrupted: bool,
        session: &Session,
    ) -> Result<(Run, Vec<Option<Soft>>), Failure> {
        let (rounds, deadline_exceeded) = (round.rounds, round.deadline_exceeded);
        let run = Run { ms: self.ms(), rounds, deadline_exceeded, interrupted, ..self.run.clone() };
        // What a signal cut short is no outcome.
        let Some(state) = self.state.as_ref().filter(|_| !interrupted) else { return Ok((run, Vec::new())) };
        let judgement = self.judgement(&round.observations, &run);
        let seen = self
            .checklist
            .items
            .iter()
            .enumerate()
            .map(|(node, item)| (item.id.as_str(), judgement.state(node), restarts(&round.observations[node])));
        match state.learn(seen, self.context.now()) {
            Ok(soft) => Ok((run, soft)),
            Err(failure) if self.run.by_soft => Err(failure),
            Err(failure) => {
                session.report(&failure);
                session.warn("what this run saw is not remembered");
                Ok((run, Vec::new()))
            }
        }
    }
}

/// Whether a gate opens.
pub(super) fn is_good(report: &HealthReport, strict: bool) -> bool {
    if strict { report.status == HealthStatus::Up } else { report.status != HealthStatus::Down }
}

/// How often systemd has restarted the unit that was looked at.
fn restarts(observation: &Observation) -> Option<u64> {
    observation.trace.figures.get("restarts").map(|restarts| *restarts as u64)
}

/// A tenth more or less, so that many of us do not ask at the same time.
fn jittered(pause: Duration, round: u32) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(round) % 201;
    pause.mul_f64(0.9 + random as f64 / 1000.0)
}

/// What is known of a check before anybody looked.
fn unseen(chosen: bool) -> Observation {
    if chosen {
        Observation::unprobed(RawResult::Error, Some(Reason::NotReached), "the time was up before it was looked at")
    } else {
        Observation::unprobed(RawResult::Skip, Some(Reason::Filtered), "left out by --only or --skip")
    }
}
