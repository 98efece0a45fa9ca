#![allow(clippy::unwrap_used, clippy::needless_for_each, clippy::needless_range_loop)]

use proptest::prelude::*;

use super::*;

fn seen(raw: RawResult) -> Seen {
    Seen { raw, reason: None, port: None }
}

fn needs(needs: &[usize]) -> Edges {
    Edges { needs: needs.to_vec(), ..Edges::default() }
}

fn states(edges: Vec<Edges>, raw: &[RawResult]) -> Vec<CheckState> {
    let seen: Vec<_> = raw.iter().map(|raw| seen(*raw)).collect();
    Graph::new(edges).unwrap().judge(&seen).iter().map(Judged::state).collect()
}

use CheckState::{Degraded, Down, Skipped, Unknown, Unreachable, Up};
use RawResult::{Error, Fail, None as Nothing, Pass, Skip, Warn};

#[test]
fn a_chain_has_one_root() {
    let chain = vec![needs(&[]), needs(&[0]), needs(&[1])];
    assert_eq!(states(chain.clone(), &[Fail, Fail, Fail]), [Down, Unreachable, Unreachable]);
    // The one in the middle has a shallow health page: it contradicts, and still passes the root on.
    assert_eq!(states(chain.clone(), &[Fail, Pass, Fail]), [Down, Degraded, Unreachable]);
    // Left out or not to be looked at: the same.
    assert_eq!(states(chain.clone(), &[Fail, Skip, Fail]), [Down, Skipped, Unreachable]);
    assert_eq!(states(chain.clone(), &[Fail, Error, Fail]), [Down, Unknown, Unreachable]);
    assert_eq!(states(chain.clone(), &[Fail, Nothing, Fail]), [Down, Unreachable, Unreachable]);
    // What could not be looked at explains nothing by itself.
    assert_eq!(states(chain, &[Error, Fail, Pass]), [Unknown, Down, Degraded]);
}

#[test]
fn a_group_breaks_when_its_last_member_does() {
    let edges = vec![needs(&[]), needs(&[]), Edges { needs_any: vec![vec![0, 1]], ..Edges::default() }, needs(&[2])];
    assert_eq!(states(edges.clone(), &[Fail, Pass, Pass, Pass]), [Down, Up, Degraded, Up]);
    assert_eq!(states(edges.clone(), &[Fail, Fail, Fail, Fail]), [Down, Down, Unreachable, Unreachable]);
    assert_eq!(states(edges, &[Pass, Warn, Fail, Fail]), [Up, Degraded, Down, Unreachable]);
}

#[test]
fn a_want_degrades_and_goes_no_further() {
    let edges = vec![needs(&[]), Edges { wants: vec![0], ..Edges::default() }, needs(&[1])];
    assert_eq!(states(edges, &[Fail, Pass, Pass]), [Down, Degraded, Up]);
}

#[test]
fn a_trouble_of_its_own_is_not_explained_away() {
    let graph = Graph::new(vec![needs(&[]), needs(&[0])]).unwrap();
    let expired = Seen { raw: Fail, reason: Some(Reason::TlsExpired), port: None };
    let judged = graph.judge(&[seen(Fail), expired]);
    assert_eq!(judged[1].state(), Down);
}

#[test]
fn a_machine_is_suspected_when_everything_on_it_is_silent() {
    let graph = Graph::new(vec![needs(&[]), needs(&[0]), needs(&[0])]).unwrap();
    let silent = Seen { raw: Fail, reason: Some(Reason::ConnectTimeout), port: Some(1) };
    let judged = graph.judge(&[seen(Nothing), silent, silent]);
    assert!(judged[0].suspected);
    assert_eq!(judged[1].state(), Down);
    assert!(!graph.judge(&[seen(Nothing), silent, seen(Pass)])[0].suspected);
    // One port that refuses is one program that is gone; two are a machine.
    let refused = |port| Seen { raw: Fail, reason: Some(Reason::ConnectRefused), port: Some(port) };
    assert!(!graph.judge(&[seen(Nothing), refused(80), refused(80)])[0].suspected);
    assert!(graph.judge(&[seen(Nothing), refused(80), refused(443)])[0].suspected);
    // It never makes anything worse by itself, and a node with a probe of its own is not guessed at.
    assert!(!graph.judge(&[seen(Pass), silent, silent])[0].suspected);
}

#[test]
fn what_was_to_wait_for_its_needs_says_what_blocks_it() {
    let graph = Graph::new(vec![needs(&[]), needs(&[0])]).unwrap();
    let waited = Seen { raw: Skip, reason: Some(Reason::Dependency), port: None };
    let judged = graph.judge(&[seen(Fail), waited]);
    assert_eq!((judged[1].state(), judged[1].blocked_by.len()), (Skipped, 1));
    let filtered = Seen { raw: Skip, reason: Some(Reason::Filtered), port: None };
    assert!(graph.judge(&[seen(Fail), filtered])[1].blocked_by.is_empty());
}

#[test]
fn a_cycle_is_named() {
    let cycle = Graph::new(vec![needs(&[1]), needs(&[2]), needs(&[1]), needs(&[])]).unwrap_err();
    assert_eq!(cycle, [1, 2]);
    assert_eq!(Graph::new(vec![needs(&[0])]).unwrap_err(), [0]);
}

#[test]
fn a_long_chain_does_not_overflow_the_stack() {
    let edges = (0..100_000).map(|node: usize| needs(&node.checked_sub(1).map_or(vec![], |need| vec![need]))).collect();
    assert!(Graph::new(edges).is_ok());
}

/// The rules once more, as slow and as literal as can be: search every path for roots, repeat until nothing moves.
struct Oracle<'a> {
    edges: &'a [Edges],
    seen: &'a [Seen],
    down: Vec<bool>,
}

impl Oracle<'_> {
    fn reached(&self, node: usize) -> BTreeSet<usize> {
        let mut roots = BTreeSet::new();
        for &need in &self.edges[node].needs {
            roots.extend(self.through(need));
        }
        for group in &self.edges[node].needs_any {
            if group.iter().all(|&member| !self.through(member).is_empty()) {
                group.iter().for_each(|&member| roots.extend(self.through(member)));
            }
        }
        roots
    }

    fn through(&self, node: usize) -> BTreeSet<usize> {
        let mut roots = self.reached(node);
        if self.down[node] {
            roots.insert(node);
        }
        roots
    }

    fn settle(&mut self) {
        for _ in 0..=self.edges.len() {
            self.down = (0..self.edges.len())
                .map(|node| {
                    self.seen[node].raw == Fail
                        && (self.seen[node].reason.is_some_and(Reason::is_own) || self.reached(node).is_empty())
                })
                .collect();
        }
    }

    /// Rule 8, word for word: nobody looked, at least two direct dependants fail to connect in different ways, and none of them
    /// shows that the machine is there.
    fn suspected(&self, node: usize) -> bool {
        if self.seen[node].raw != Nothing || self.state(node) != Up {
            return false;
        }
        let dependants: Vec<usize> =
            (0..self.edges.len()).filter(|&other| self.edges[other].needs.contains(&node)).collect();
        let network = |other: usize| self.seen[other].reason.is_some_and(Reason::is_network);
        let shows = |other: usize| match self.seen[other].raw {
            Pass | Warn => true,
            Fail => !network(other),
            _ => false,
        };
        let fails: Vec<usize> =
            dependants.iter().copied().filter(|&one| self.seen[one].raw == Fail && network(one)).collect();
        let differ = fails.iter().any(|&one| {
            fails.iter().any(|&other| {
                let refused = |node: usize| self.seen[node].reason == Some(Reason::ConnectRefused);
                one != other && !(refused(one) && refused(other) && self.seen[one].port == self.seen[other].port)
            })
        });
        differ && !dependants.into_iter().any(shows)
    }

    fn state(&self, node: usize) -> CheckState {
        let blocked = !self.reached(node).is_empty();
        let weak = self.edges[node].wants.iter().chain(self.edges[node].needs_any.iter().flatten());
        let weak = weak.copied().any(|other| !self.through(other).is_empty());
        match (self.seen[node].raw, blocked) {
            (Skip, _) => Skipped,
            (Error, _) => Unknown,
            (Fail, _) if self.down[node] => Down,
            (Fail | Nothing, true) => Unreachable,
            (Fail, false) => Down,
            (Warn, _) | (Pass, true) => Degraded,
            (Pass | Nothing, false) => {
                if weak {
                    Degraded
                } else {
                    Up
                }
            }
        }
    }
}

fn any_graph() -> impl Strategy<Value = (Vec<Edges>, Vec<Seen>)> {
    let node = (
        prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 1..3), 0..2),
        prop::collection::vec(any::<prop::sample::Index>(), 0..2),
        prop_oneof![4 => Just(Pass), 1 => Just(Warn), 3 => Just(Fail), 1 => Just(Error), 1 => Just(Nothing), 1 => Just(Skip)],
        prop_oneof![
            3 => Just(None),
            1 => Just(Some(Reason::TlsExpired)),
            2 => Just(Some(Reason::Timeout)),
            2 => Just(Some(Reason::ConnectRefused))
        ],
        1_u16..3,
    );
    prop::collection::vec(node, 1..9).prop_map(|nodes| {
        let mut edges = Vec::new();
        let mut seen = Vec::new();
        for (at, (needs, groups, wants, raw, reason, port)) in nodes.into_iter().enumerate() {
            // Edges lead to earlier nodes only, so that there is no cycle.
            let earlier = |index: prop::sample::Index| (at > 0).then(|| index.index(at));
            edges.push(Edges {
                needs: needs.into_iter().filter_map(earlier).collect(),
                needs_any: groups
                    .into_iter()
                    .map(|group| group.into_iter().filter_map(earlier).collect::<Vec<_>>())
                    .filter(|group| !group.is_empty())
                    .collect(),
                wants: wants.into_iter().filter_map(earlier).collect(),
            });
            seen.push(Seen { raw, reason: reason.filter(|_| raw == Fail), port: Some(port) });
        }
        (edges, seen)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn agrees_with_the_literal_rules((edges, seen) in any_graph()) {
        let judged = Graph::new(edges.clone()).unwrap().judge(&seen);
        let mut oracle = Oracle { edges: &edges, seen: &seen, down: vec![false; edges.len()] };
        oracle.settle();
        for node in 0..edges.len() {
            prop_assert_eq!(judged[node].suspected, oracle.suspected(node), "node {} of {:?} {:?}", node, edges, seen);
            if judged[node].suspected {
                prop_assert_eq!(oracle.state(node), Up);
                continue;
            }
            // Rule 5: what could not be looked at explains nothing, but is named.
            let unknown: BTreeSet<usize> = edges[node].hard().filter(|&need| seen[need].raw == Error).collect();
            let named: BTreeSet<usize> = judged[node].possible_causes.iter().copied().collect();
            let names = judged[node].state() == Down;
            prop_assert_eq!(named, if names { unknown } else { BTreeSet::new() });
            prop_assert_eq!(judged[node].state(), oracle.state(node), "node {} of {:?} {:?}", node, edges, seen);
            if matches!(judged[node].state(), Unreachable) || judged[node].contradiction {
                prop_assert_eq!(&judged[node].blocked_by, &oracle.reached(node));
            }
        }
    }

    #[test]
    fn a_recovery_never_makes_anything_worse((edges, seen) in any_graph(), at in any::<prop::sample::Index>()) {
        let failing: Vec<usize> = (0..seen.len()).filter(|&node| seen[node].raw == Fail).collect();
        if failing.is_empty() {
            return Ok(());
        }
        let node = *at.get(&failing);
        let graph = Graph::new(edges).unwrap();
        let before = graph.judge(&seen);
        let mut better = seen.clone();
        better[node] = Seen { raw: Pass, reason: None, port: None };
        let after = graph.judge(&better);
        for other in (0..seen.len()).filter(|&other| other != node) {
            // Fewer roots reach it; one that was blocked may become a root itself, when nothing explains it any more.
            prop_assert!(after[other].blocked_by.is_subset(&before[other].blocked_by.iter().copied()
                .chain((0..seen.len()).filter(|&root| after[root].state() == Down && before[root].state() != Down)).collect()));
            if before[other].state() == Up && !before[other].suspected {
                prop_assert_eq!(after[other].state(), Up);
            }
        }
    }

    #[test]
    fn what_waits_for_all_of_one_is_what_waits_for_a_group_of_one((edges, seen) in any_graph()) {
        let grouped: Vec<Edges> = edges
            .iter()
            .map(|one| Edges {
                needs: Vec::new(),
                needs_any: one.needs.iter().map(|need| vec![*need]).chain(one.needs_any.iter().cloned()).collect(),
                wants: one.wants.clone(),
            })
            .collect();
        let states = |edges: Vec<Edges>| -> Vec<(CheckState, BTreeSet<usize>)> {
            let judged = Graph::new(edges).unwrap().judge(&seen);
            judged.into_iter().map(|one| (if one.suspected { Up } else { one.state() }, one.blocked_by)).collect()
        };
        prop_assert_eq!(states(edges), states(grouped));
    }

    #[test]
    fn something_is_a_root_where_something_is_blocked((edges, seen) in any_graph()) {
        let judged = Graph::new(edges).unwrap().judge(&seen);
        for one in &judged {
            prop_assert_eq!(one.state() == Unreachable || one.contradiction, !one.blocked_by.is_empty());
            prop_assert!(one.blocked_by.iter().all(|&root| judged[root].state() == Down));
        }
        let failing = seen.iter().any(|one| one.raw == Fail);
        prop_assert_eq!(failing, judged.iter().any(|one| one.state() == Down));
    }

    #[test]
    fn no_graph_panics(links in prop::collection::vec(prop::collection::vec(0_usize..12, 0..4), 12)) {
        let edges: Vec<_> = links.iter().map(|links| needs(links)).collect();
        if let Err(cycle) = Graph::new(edges.clone()) {
            for (at, node) in cycle.iter().enumerate() {
                prop_assert!(edges[*node].needs.contains(&cycle[(at + 1) % cycle.len()]));
            }
        }
    }
}
