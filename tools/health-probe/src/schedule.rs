//! Looking at many things at once, but not at too many, and not at too many on one host.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::checklist::{Checklist, Origin};
use crate::observation::Observation;
use crate::probe::Context;

/// How much is done at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Probes at once.
    pub concurrency: usize,
    /// Probes at once on one host.
    pub per_host: usize,
}

/// Checks that wait for their turn, by host.
struct Queue {
    hosts: Vec<(VecDeque<usize>, usize)>,
    /// Hosts with something to do and room to do it.
    ready: VecDeque<usize>,
    per_host: usize,
}

impl Queue {
    fn new(checklist: &Checklist, nodes: &[usize], per_host: usize) -> Self {
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut hosts: Vec<(VecDeque<usize>, usize)> = Vec::new();
        for &node in nodes {
            let item = &checklist.items[node];
            let host = match &item.origin {
                Origin::Probe(prepared) => prepared.probe.endpoint().map_or("", |endpoint| endpoint.host.as_str()),
                Origin::Taken(..) => "",
            };
            let place = *places.entry(host).or_insert_with(|| {
                hosts.push((VecDeque::new(), 0));
                hosts.len() - 1
            });
            hosts[place].0.push_back(node);
        }
        let ready = (0..hosts.len()).collect();
        Self { hosts, ready, per_host }
    }

    /// The next check and its host.
    fn next(&mut self) -> Option<(usize, usize)> {
        let host = self.ready.pop_front()?;
        let (waiting, running) = &mut self.hosts[host];
        let node = waiting.pop_front()?;
        *running += 1;
        if !waiting.is_empty() && *running < self.per_host {
            self.ready.push_back(host);
        }
        Some((node, host))
    }

    fn done(&mut self, host: usize) {
        let (waiting, running) = &mut self.hosts[host];
        let was_full = *running == self.per_host;
        *running -= 1;
        if was_full && !waiting.is_empty() {
            self.ready.push_back(host);
        }
    }
}

/// Looks at these checks and tells each as it is seen. `again` allows another attempt where a failure may pass. Ends at the deadline, with what was seen until then.
pub(crate) async fn look(
    checklist: &Checklist,
    nodes: &[usize],
    context: &Context,
    limits: Limits,
    again: bool,
    deadline: Option<Instant>,
    mut seen: impl FnMut(usize, Observation),
) {
    let mut queue = Queue::new(checklist, nodes, limits.per_host.max(1));
    let mut running = FuturesUnordered::new();
    let work = async {
        loop {
            while running.len() < limits.concurrency.max(1)
                && let Some((node, host)) = queue.next()
            {
                let origin = &checklist.items[node].origin;
                running.push(async move { (node, host, look_at(origin, context, again).await) });
            }
            let Some((node, host, observation)) = running.next().await else { break };
            queue.done(host);
            seen(node, observation);
        }
    };
    match deadline {
        Some(deadline) => {
            let left: Duration = deadline.saturating_duration_since(Instant::now());
            // What is under way then is dropped: a look that was cut short says nothing about its target.
            let _ = tokio::time::timeout(left, work).await;
        }
        None => work.await,
    }
}

async fn look_at(origin: &Origin, context: &Context, again: bool) -> Observation {
    match origin {
        Origin::Probe(prepared) => prepared.look(context, again).await,
        Origin::Taken(observation, _) => (**observation).clone(),
    }
}
