//! Names of proxy entries.

use std::collections::BTreeMap;

use contract::{Finding, Pointer};

use super::context::Context;
use crate::fleet::{Edge, ResolvedRoute};

/// `bad-hostname`, `no-name`, `no-edge`, `hostname-clash`, `shadowed-wildcard`.
pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    let mut taken: BTreeMap<(Edge<'_>, String, &str), &ResolvedRoute<'_>> = BTreeMap::new();
    for route in context.routes {
        if route.names.is_empty() {
            let message = format!("the proxy entry of service {} has no name", route.service);
            found.push(
                Finding::error("no-name", route.place.clone(), message)
                    .fix("add \"names\", or \"domain\" to the fleet"),
            );
        }
        for (index, name) in route.names.iter().enumerate() {
            let at = name_place(route, index);
            let Some(ascii) = ascii_name(&name.name) else {
                let message = format!("\"{}\" is no name that DNS can hold", name.name);
                found.push(
                    Finding::error("bad-hostname", at, message)
                        .fix("use labels of letters, digits and dashes; * only as the whole first label"),
                );
                continue;
            };
            let path = route.route.path.as_deref().unwrap_or("/").trim_end_matches('/');
            match taken.get(&(route.edge, ascii.clone(), path)) {
                Some(first) => found.push(clash(first, route, &name.name, at)),
                None => {
                    taken.insert((route.edge, ascii, path), route);
                }
            }
        }
    }
    for (name, service) in &context.fleet.services {
        for index in 0..service.proxy.len() {
            let at = super::context::place([&"services", name, &"proxy", &index]);
            let route = service.proxy.get(index);
            if service.host.is_empty() && route.is_some_and(|route| route.via.is_none() && route.tunnel.is_none()) {
                let message = format!("service {name} is on no host of the fleet, so that nothing takes its requests");
                found.push(
                    Finding::error("no-edge", at, message).fix("add \"via\" with the host whose proxy shall take them"),
                );
            }
        }
    }
    shadowed(&taken, found);
}

/// Where a name stands, if it was written.
fn name_place(route: &ResolvedRoute<'_>, index: usize) -> Pointer {
    if route.route.names.is_empty() { route.place.clone() } else { route.place.join("names").join(index) }
}

fn clash(first: &ResolvedRoute<'_>, second: &ResolvedRoute<'_>, name: &str, at: Pointer) -> Finding {
    let edge = match second.edge {
        Edge::Host(host) => format!("the proxy of host {host}"),
        Edge::Tunnel(tunnel) => format!("tunnel {tunnel}"),
    };
    let message = if first.service == second.service {
        format!("service {} has the name {name} twice at {edge}", second.service)
    } else {
        format!("services {} and {} both have the name {name} at {edge}", first.service, second.service)
    };
    Finding::error("hostname-clash", at, message)
        .related(first.place.clone())
        .fix("give one of them another name or \"path\"; a proxy would silently use one and ignore the other")
}

/// A name that a wildcard of another service would match as well.
fn shadowed(taken: &BTreeMap<(Edge<'_>, String, &str), &ResolvedRoute<'_>>, found: &mut Vec<Finding>) {
    for ((edge, name, path), route) in taken {
        let Some((_, parent)) = name.split_once('.').filter(|(label, _)| *label != "*") else { continue };
        let wildcard = taken.get(&(*edge, format!("*.{parent}"), *path));
        if let Some(wildcard) = wildcard.filter(|wildcard| wildcard.service != route.service) {
            let message = format!("{name} is taken out of *.{parent}, which is of service {}", wildcard.service);
            found.push(
                Finding::warning("shadowed-wildcard", route.place.clone(), message)
                    .related(wildcard.place.clone())
                    .fix("nothing, if that is meant; else use another name"),
            );
        }
    }
}

/// Whether DNS can hold a name.
pub(crate) fn is_hostname(name: &str) -> bool {
    ascii_name(name).is_some()
}

/// A name as DNS holds it, in lower case; none if it cannot. A leading `*.` stays.
pub(crate) fn ascii_name(name: &str) -> Option<String> {
    let (star, rest) = name.strip_prefix("*.").map_or(("", name), |rest| ("*.", rest));
    let ascii = idna::domain_to_ascii_strict(rest).ok()?;
    let good = !ascii.is_empty() && ascii.len() <= 253 && ascii.split('.').all(|label| (1..=63).contains(&label.len()));
    good.then(|| format!("{star}{ascii}"))
}
