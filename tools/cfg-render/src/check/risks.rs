//! Risks that a person has accepted.

use contract::{Finding, Pointer};

use super::context::{Context, place};

/// What can be accepted.
const KNOWN: [&str; 8] = [
    "duplicate-address",
    "image-not-pinned",
    "public-plaintext",
    "public-unauthenticated-admin",
    "risky-trust",
    "unmonitored",
    "old-version",
    "oci-published-any",
];

/// `unknown-risk`: a word in `accept_risk` that accepts nothing, because it is misspelt.
pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    for (name, host) in context.hosts() {
        let at = place([&"hosts", name]);
        list(&host.accept_risk, &at, found);
        for (index, allow) in host.allow.iter().enumerate() {
            list(&allow.accept_risk, &at.join("allow").join(index), found);
        }
    }
    for (name, service) in &context.fleet.services {
        let at = place([&"services", name]);
        list(&service.accept_risk, &at, found);
        for (index, route) in service.proxy.iter().enumerate() {
            list(&route.accept_risk, &at.join("proxy").join(index), found);
        }
        for (index, expose) in service.expose.iter().enumerate() {
            list(&expose.accept_risk, &at.join("expose").join(index), found);
        }
        for (index, database) in service.databases.iter().enumerate() {
            list(&database.accept_risk, &at.join("databases").join(index), found);
        }
    }
    for (name, cluster) in &context.fleet.databases {
        list(&cluster.accept_risk, &place([&"databases", name]), found);
    }
}

fn list(risks: &[String], at: &Pointer, found: &mut Vec<Finding>) {
    for (index, risk) in risks.iter().enumerate().filter(|(_, risk)| !KNOWN.contains(&risk.as_str())) {
        let fix = match cli::did_you_mean(risk, KNOWN) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("use one of {}", KNOWN.join(", ")),
        };
        let message = format!("\"{risk}\" is no risk that can be accepted");
        found.push(Finding::error("unknown-risk", at.join("accept_risk").join(index), message).fix(fix));
    }
}
