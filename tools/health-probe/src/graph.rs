//! What depends on what, and what a failure therefore means: root cause, blocked, or degraded.
//!
//! Nodes are numbers. The graph knows nothing of probes: it takes what each saw and gives each a state.

use std::collections::{BTreeMap, BTreeSet};

use contract::document::{CheckState, RawResult};

use crate::reason::Reason;

/// The edges of one node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Edges {
    /// All of these must be healthy.
    pub needs: Vec<usize>,
    /// Of each group one must be healthy.
    pub needs_any: Vec<Vec<usize>>,
    /// Without these it is only degraded.
    pub wants: Vec<usize>,
}

impl Edges {
    /// Every node that this one mentions.
    pub(crate) fn all(&self) -> impl Iterator<Item = usize> + '_ {
        self.hard().chain(self.wants.iter().copied())
    }

    /// Every node that it needs, alone or in a group.
    pub(crate) fn hard(&self) -> impl Iterator<Item = usize> + '_ {
        self.needs.iter().chain(self.needs_any.iter().flatten()).copied()
    }
}

/// A graph without cycles.
#[derive(Debug, Clone)]
pub(crate) struct Graph {
    edges: Vec<Edges>,
    /// Every node after all that it mentions.
    order: Vec<usize>,
}

/// What the probe of a node saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The result.
    pub raw: RawResult,
    /// Why.
    pub reason: Option<Reason>,
    /// Port that was connected to. Two checks of one port that nobody listens on are one failure.
    pub port: Option<u16>,
}

/// What the graph makes of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Judged {
    /// The state; `Up` until it is judged.
    pub state: Option<CheckState>,
    /// Root causes that block it, or that it hides.
    pub blocked_by: BTreeSet<usize>,
    /// Root causes that it works without, but not fully.
    pub weakened_by: BTreeSet<usize>,
    /// What it needs and what could not be looked at.
    pub possible_causes: Vec<usize>,
    /// It looks healthy although what it needs is not.
    pub contradiction: bool,
    /// Nobody looked at it, but everything that needs it fails together.
    pub suspected: bool,
}

impl Judged {
    /// The state.
    pub(crate) fn state(&self) -> CheckState {
        self.state.unwrap_or(CheckState::Unknown)
    }
}

impl Graph {
    /// A graph from the edges of its nodes.
    ///
    /// # Errors
    /// The nodes of a cycle, in order, where there is one.
    pub(crate) fn new(edges: Vec<Edges>) -> Result<Self, Vec<usize>> {
        let order = sort(&edges)?;
        Ok(Self { edges, order })
    }

    /// The edges of a node.
    pub(crate) fn edges(&self, node: usize) -> &Edges {
        &self.edges[node]
    }

    /// Nodes with everything that they need, directly or not.
    pub(crate) fn with_needs(&self, nodes: impl IntoIterator<Item = usize>) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut open: Vec<usize> = nodes.into_iter().collect();
        while let Some(node) = open.pop() {
            if found.insert(node) {
                open.extend(self.edges[node].hard());
            }
        }
        found
    }

    /// The state of every node.
    pub(crate) fn judge(&self, seen: &[Seen]) -> Vec<Judged> {
        let mut judged: Vec<Judged> = vec![Judged::default(); self.edges.len()];
        // The roots that each node passes on to what needs it: itself, if it is one, and those beneath it.
        let mut roots: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); self.edges.len()];
        for &node in &self.order {
            let edges = &self.edges[node];
            let mut beneath = BTreeSet::new();
            let mut weakened = BTreeSet::new();
            for &need in &edges.needs {
                beneath.extend(&roots[need]);
            }
            for group in &edges.needs_any {
                let broken = group.iter().filter(|&&member| !roots[member].is_empty());
                let all = broken.clone().count() == group.len();
                let target = if all { &mut beneath } else { &mut weakened };
                broken.for_each(|&member| target.extend(&roots[member]));
            }
            for &want in &edges.wants {
                weakened.extend(&roots[want]);
            }
            let result = judge_one(seen[node], &beneath, &weakened, || {
                edges.hard().filter(|&need| judged[need].state == Some(CheckState::Unknown)).collect()
            });
            roots[node] = beneath;
            if result.state == Some(CheckState::Down) {
                roots[node].insert(node);
            }
            judged[node] = result;
        }
        self.suspect(seen, &mut judged);
        judged
    }

    /// Marks nodes without a probe on which everything that needs them fails, as if the machine were gone.
    fn suspect(&self, seen: &[Seen], judged: &mut [Judged]) {
        let mut failing: BTreeMap<usize, BTreeSet<(usize, u16)>> = BTreeMap::new();
        let mut other = vec![false; self.edges.len()];
        for (node, edges) in self.edges.iter().enumerate() {
            // A port that refuses counts once, however many checks look at it; silence counts each time.
            let failure = match (seen[node].reason, seen[node].port) {
                (Some(Reason::ConnectRefused), Some(port)) => (usize::MAX, port),
                _ => (node, 0),
            };
            for &need in &edges.needs {
                match seen[node].raw {
                    RawResult::Fail if seen[node].reason.is_some_and(Reason::is_network) => {
                        failing.entry(need).or_default().insert(failure);
                    }
                    RawResult::Pass | RawResult::Warn | RawResult::Fail => other[need] = true,
                    RawResult::Error | RawResult::None | RawResult::Skip => {}
                }
            }
        }
        for (node, failures) in failing {
            let unseen = seen[node].raw == RawResult::None && judged[node].state == Some(CheckState::Up);
            if unseen && failures.len() >= 2 && !other[node] {
                judged[node].state = Some(CheckState::Unknown);
                judged[node].suspected = true;
            }
        }
    }

    /// The nodes that need a node directly.
    pub(crate) fn direct_dependants(&self, node: usize) -> Vec<usize> {
        (0..self.edges.len()).filter(|&other| self.edges[other].needs.contains(&node)).collect()
    }
}

/// The rules, for one node whose needs are judged already.
fn judge_one(
    seen: Seen,
    beneath: &BTreeSet<usize>,
    weakened: &BTreeSet<usize>,
    unknown_needs: impl FnOnce() -> Vec<usize>,
) -> Judged {
    let mut result = Judged::default();
    let broken = !beneath.is_empty();
    let state = match seen.raw {
        RawResult::Skip => {
            // It was to wait for what it needs, and that is down. What a filter leaves out is blocked by nothing.
            if seen.reason == Some(Reason::Dependency) {
                result.blocked_by.clone_from(beneath);
            }
            CheckState::Skipped
        }
        RawResult::Error => CheckState::Unknown,
        RawResult::Fail if broken && !seen.reason.is_some_and(Reason::is_own) => {
            result.blocked_by.clone_from(beneath);
            CheckState::Unreachable
        }
        RawResult::Fail => {
            result.possible_causes = unknown_needs();
            CheckState::Down
        }
        RawResult::None if broken => {
            result.blocked_by.clone_from(beneath);
            CheckState::Unreachable
        }
        RawResult::Pass | RawResult::Warn if broken => {
            result.blocked_by.clone_from(beneath);
            result.contradiction = true;
            CheckState::Degraded
        }
        RawResult::Warn => CheckState::Degraded,
        RawResult::Pass | RawResult::None if weakened.is_empty() => CheckState::Up,
        RawResult::Pass | RawResult::None => CheckState::Degraded,
    };
    if state == CheckState::Degraded {
        result.weakened_by = weakened.difference(beneath).copied().collect();
    }
    result.state = Some(state);
    result
}

/// Every node after all that it mentions, or the nodes of a cycle. Works on a stack of its own: a chain may be long.
fn sort(edges: &[Edges]) -> Result<Vec<usize>, Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let mut marks = vec![Mark::New; edges.len()];
    let mut order = Vec::with_capacity(edges.len());
    for start in 0..edges.len() {
        if marks[start] != Mark::New {
            continue;
        }
        marks[start] = Mark::Open;
        let mut path = vec![(start, edges[start].all().collect::<Vec<_>>())];
        while let Some((node, left)) = path.last_mut() {
            let node = *node;
            match left.pop() {
                Some(next) if marks[next] == Mark::New => {
                    marks[next] = Mark::Open;
                    path.push((next, edges[next].all().collect()));
                }
                Some(next) if marks[next] == Mark::Open => {
                    return Err(path.iter().map(|(node, _)| *node).skip_while(|node| *node != next).collect());
                }
                Some(_) => {}
                None => {
                    marks[node] = Mark::Done;
                    order.push(node);
                    path.pop();
                }
            }
        }
    }
    Ok(order)
}

#[cfg(test)]
mod tests;
