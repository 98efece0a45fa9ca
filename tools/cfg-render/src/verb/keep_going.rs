//! `host --all --keep-going`: the hosts that no broken service has anything to do with.
//!
//! A broken service is never rendered in part: without its lines a shared file, such as the firewall's, would close what still runs.
//! So hosts that it touches stay as they are, and what is printed for the others removes nothing.

use std::collections::BTreeSet;

use cli::{Failure, Session};
use contract::document::HostDesired;
use contract::{Exit, Finding, Level};

use super::fleet_input::FleetInput;
use super::{findings_of, text, warn};
use crate::fleet::Fleet;
use crate::host::{Rendered, render_each};
use crate::model::Model;

/// Prints the documents of untouched hosts, and fails with everything that is wrong.
pub(super) fn run(input: &FleetInput, session: &mut Session) -> Result<Exit, Failure> {
    let fleet = input.read_unchecked(session)?;
    let errors = errors_of(&fleet.document);
    let Some(left_out) = services_to_leave_out(&fleet.document, &errors) else {
        return Err(fleet.source.failure(errors));
    };
    let whole = render_all(&fleet.document);
    for (rendered, with_all) in render_all(&without(&fleet.document, &left_out)).into_iter().zip(whole) {
        let host = &rendered.desired.host;
        if !errors.is_empty() && !is_same(&rendered, &with_all) {
            session.warn(&format!("host \"{host}\" is left out: {} concerns it", quoted(&left_out)));
            continue;
        }
        warn(session, &rendered.findings);
        let desired = HostDesired { partial: !errors.is_empty(), ..rendered.desired };
        session.print_line(&desired, text::host)?;
    }
    if errors.is_empty() { Ok(Exit::Done) } else { Err(fleet.source.failure(errors)) }
}

fn errors_of(fleet: &Fleet) -> Vec<Finding> {
    findings_of(fleet).findings.into_iter().filter(|finding| finding.level == Level::Error).collect()
}

/// The services in which the errors are, and those that cannot be without them. `None` if the errors concern more than services.
fn services_to_leave_out(fleet: &Fleet, errors: &[Finding]) -> Option<BTreeSet<String>> {
    // A name that leads nowhere may have meant any host.
    if errors.iter().any(|error| matches!(error.code.as_str(), "unknown-ref" | "disabled-ref")) {
        return None;
    }
    let mut left_out = BTreeSet::new();
    let mut errors = errors.to_vec();
    while !errors.is_empty() {
        let before = left_out.len();
        for error in &errors {
            left_out.insert(service_of(&error.pointer)?);
            // Of two that want the same port nobody knows which one is right.
            left_out.extend(error.related.iter().filter_map(service_of));
        }
        if left_out.len() == before {
            return None;
        }
        errors = errors_of(&without(fleet, &left_out));
    }
    Some(left_out)
}

fn service_of(place: &contract::Pointer) -> Option<String> {
    let mut keys = place.keys();
    (keys.next()? == "services").then(|| keys.next()).flatten()
}

fn without(fleet: &Fleet, services: &BTreeSet<String>) -> Fleet {
    let mut fleet = fleet.clone();
    fleet.services.retain(|name, _| !services.contains(name));
    fleet
}

fn render_all(fleet: &Fleet) -> Vec<Rendered> {
    let resolved = fleet.resolved();
    let model = Model::new(fleet, &resolved);
    render_each(&model, &model.hosts().collect::<Vec<_>>(), |rendered| rendered)
}

/// Whether a host is the same with and without something. What people are told about it is no part of it.
fn is_same(one: &Rendered, other: &Rendered) -> bool {
    one.desired == other.desired && one.tree == other.tree
}

fn quoted(names: &BTreeSet<String>) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
    format!("{} {}", if quoted.len() == 1 { "service" } else { "one of services" }, quoted.join(", "))
}
