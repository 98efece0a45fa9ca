//! Circles of services that need one another.

use std::collections::{BTreeMap, BTreeSet};

use contract::Finding;

use super::context::Context;
use crate::fleet::{Dependency, Strength};

/// `dependency-cycle`, `needs-itself`.
pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    let hard = || context.dependencies.iter().filter(|dependency| dependency.strength == Strength::Needs);
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    for dependency in hard() {
        for name in [dependency.service.as_str(), dependency.on.name()] {
            let next = numbers.len();
            numbers.entry(name).or_insert(next);
        }
    }
    let mut edges: Vec<Vec<usize>> = vec![Vec::new(); numbers.len()];
    for dependency in hard() {
        edges[numbers[dependency.service.as_str()]].push(numbers[dependency.on.name()]);
    }
    let component = components(&edges);
    // The steps inside each circle. A node that is in none has no step to its own component.
    let mut circles: BTreeMap<usize, Vec<&Dependency>> = BTreeMap::new();
    for dependency in hard() {
        let (from, to) = (numbers[dependency.service.as_str()], numbers[dependency.on.name()]);
        if component[from] == component[to] {
            circles.entry(component[from]).or_default().push(dependency);
        }
    }
    for steps in circles.values() {
        let Some((first, rest)) = steps.split_first() else { continue };
        let names: BTreeSet<&str> = steps.iter().map(|step| step.service.as_str()).collect();
        let (code, message) = if names.len() == 1 {
            ("needs-itself", format!("service {} needs itself", first.service))
        } else {
            let names: Vec<&str> = names.into_iter().collect();
            ("dependency-cycle", format!("none of these can start before the others: {}", names.join(", ")))
        };
        let finding =
            Finding::error(code, first.place.clone(), message).fix("turn one of the needs into a want, or take it out");
        found.push(rest.iter().fold(finding, |finding, step| finding.related(step.place.clone())));
    }
}

/// The strongly connected component of each node (Tarjan's algorithm, without recursion).
fn components(edges: &[Vec<usize>]) -> Vec<usize> {
    const NEW: usize = usize::MAX;
    let mut index = vec![NEW; edges.len()];
    let mut low = vec![0; edges.len()];
    let mut component = vec![NEW; edges.len()];
    let (mut next, mut found, mut open) = (0, 0, Vec::new());
    for start in 0..edges.len() {
        if index[start] != NEW {
            continue;
        }
        // Each entry is a node and how many of its edges have been followed.
        let mut path = vec![(start, 0)];
        while let Some((node, followed)) = path.pop() {
            if followed == 0 {
                index[node] = next;
                low[node] = next;
                next += 1;
                open.push(node);
            }
            if let Some(&target) = edges[node].get(followed) {
                path.push((node, followed + 1));
                if index[target] == NEW {
                    path.push((target, 0));
                } else if component[target] == NEW {
                    low[node] = low[node].min(index[target]);
                }
                continue;
            }
            if low[node] == index[node] {
                while let Some(member) = open.pop() {
                    component[member] = found;
                    if member == node {
                        break;
                    }
                }
                found += 1;
            }
            if let Some(&(parent, _)) = path.last() {
                low[parent] = low[parent].min(low[node]);
            }
        }
    }
    component
}

#[cfg(test)]
mod tests {
    use super::components;

    #[test]
    fn circles_are_found() {
        // 0 -> 1 -> 2 -> 0, 2 -> 3, 4 -> 4
        let found = components(&[vec![1], vec![2], vec![0, 3], vec![], vec![4]]);
        assert_eq!(found[0], found[1]);
        assert_eq!(found[1], found[2]);
        assert_ne!(found[2], found[3]);
        assert_ne!(found[3], found[4]);
    }

    #[test]
    fn a_long_chain_needs_no_stack() {
        let count = 200_000;
        let edges: Vec<Vec<usize>> =
            (0..count).map(|node| if node + 1 < count { vec![node + 1] } else { vec![] }).collect();
        let mut found = components(&edges);
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len(), count);
    }
}
