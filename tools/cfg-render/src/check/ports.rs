//! Two things on one port.

use contract::Finding;

use super::context::Context;
use crate::fleet::{Listener, Owner};

/// `port-clash`.
pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    // Sorted by host and port, so that only neighbours can clash.
    for group in context.listeners.chunk_by(|a, b| a.host == b.host && a.port == b.port) {
        // One finding for each that comes too late, not one for each pair.
        for (index, listener) in group.iter().enumerate() {
            let mut earlier = group.iter().take(index);
            if let Some(first) = earlier.find(|other| listener.clashes(other) && !same_thing(listener, other)) {
                found.push(clash(context, first, listener));
            }
        }
    }
}

/// Something that is not ours may be the description of what the host has anyway.
fn same_thing(one: &Listener, other: &Listener) -> bool {
    let external = |owner: &Owner| matches!(owner, Owner::External(..));
    let of_host = |owner: &Owner| {
        matches!(
            owner,
            Owner::Sshd | Owner::Proxy | Owner::Agent(_) | Owner::Network(_) | Owner::Database(_) | Owner::Pooler(_)
        )
    };
    one.owner == other.owner
        || (external(&one.owner) && of_host(&other.owner))
        || (external(&other.owner) && of_host(&one.owner))
}

fn clash(context: &Context<'_>, one: &Listener, other: &Listener) -> Finding {
    // The service is the one to change, not sshd.
    let (at, related) = match (&one.owner, &other.owner) {
        (Owner::Service(..) | Owner::External(..), Owner::Service(..) | Owner::External(..)) => (other, one),
        (Owner::Service(..) | Owner::External(..), _) => (one, other),
        _ => (other, one),
    };
    let message = format!(
        "{} and {} both listen on {} port {} of host {}",
        related.owner,
        at.owner,
        at.proto.as_str(),
        at.port,
        at.host
    );
    let free = free_port(context, at);
    let fix = match (&at.owner, free) {
        (Owner::Service(service, _), Some(free)) => {
            let contained =
                context.fleet.services.get(service).is_some_and(|service| !service.run.containers().is_empty());
            if contained {
                format!("publish it elsewhere: {{\"port\": {free}, \"container_port\": {}}}", at.port)
            } else {
                format!("give one of them another port; {free} is free")
            }
        }
        (_, Some(free)) => format!("give one of them another port; {free} is free"),
        (_, None) => "give one of them another port".into(),
    };
    Finding::error("port-clash", at.place.clone(), message).related(related.place.clone()).fix(fix)
}

/// The next port above that nothing on the host uses.
fn free_port(context: &Context<'_>, listener: &Listener) -> Option<u16> {
    let start = context.listeners.partition_point(|other| other.host < listener.host);
    let used: Vec<u16> = context
        .listeners
        .iter()
        .skip(start)
        .take_while(|other| other.host == listener.host)
        .map(|other| other.port)
        .collect();
    let above = listener.port.max(1023).checked_add(1)?;
    (above..=u16::MAX).find(|port| used.binary_search(port).is_err())
}
