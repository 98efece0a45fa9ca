//! What is wrong with a fleet, all of it in one run.
//!
//! One file a concern. Every check looks at the fleet as it takes effect, names the place where a thing was written, and
//! says what to do. None costs more than sorting what it looks at.

mod access;
mod backups;
mod certificates;
mod context;
mod databases;
mod dependencies;
mod dns;
mod exposure;
mod files;
mod host_network;
mod hostnames;
mod keys;
mod names;
mod networks;
mod overrides;
mod platforms;
mod ports;
mod proxies;
mod references;
mod risks;
mod secrets;
mod shapes;
mod shared_references;
mod user_units;
mod watching;

pub(crate) use hostnames::is_hostname;

use contract::{Finding, Findings, Pointer};

use crate::fleet::Fleet;
use crate::model::Model;
use context::Context;

/// Everything that is wrong or doubtful in a fleet, sorted. No finding of level error means that it can be compiled.
pub fn check(fleet: &Fleet) -> Vec<Finding> {
    check_model(&Model::new(fleet, &fleet.resolved()))
}

/// The same for whoever goes on with the model: what follows from a fleet is worked out once.
pub(crate) fn check_model(model: &Model<'_>) -> Vec<Finding> {
    let (fleet, context) = (model.written, Context::new(model));
    let mut found = Vec::new();
    let checks: [fn(&Context<'_>, &mut Vec<Finding>); 24] = [
        names::check,
        shapes::check,
        references::check,
        shared_references::check,
        networks::check,
        host_network::check,
        platforms::check,
        ports::check,
        hostnames::check,
        dns::check,
        dependencies::check,
        exposure::check,
        access::check,
        keys::check,
        secrets::check,
        backups::check,
        databases::check,
        certificates::check,
        proxies::check,
        files::check,
        watching::check,
        user_units::check,
        overrides::check,
        risks::check,
    ];
    for check in checks {
        check(&context, &mut found);
    }
    for finding in &mut found {
        finding.pointer = written_place(fleet, &finding.pointer);
        finding.related = finding.related.iter().map(|place| written_place(fleet, place)).collect();
    }
    Findings::new(found).findings
}

/// Where something of a host was written, which may be with a host that it is like.
fn written_place(fleet: &Fleet, place: &Pointer) -> Pointer {
    let keys: Vec<String> = place.keys().collect();
    match keys.as_slice() {
        [hosts, host, key, rest @ ..] if hosts == "hosts" && fleet.hosts.contains_key(host) => {
            let start = fleet.host_key(host, key);
            // A default that nobody wrote has no place of its own; the host is the nearest one.
            let nobody = start.keys().count() == 2;
            if nobody { start } else { rest.iter().fold(start, |place, key| place.join(key)) }
        }
        _ => place.clone(),
    }
}
