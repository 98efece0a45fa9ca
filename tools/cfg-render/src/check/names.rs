//! Names that programs can use everywhere.

use std::collections::BTreeMap;

use contract::{Finding, Pointer};

use super::context::{Context, place};
use crate::fleet::{ANY, LOCAL, PUBLIC};

/// `bad-name`, `reserved-name`, `name-clash`.
pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    let fleet = context.written;
    if !is_name(&fleet.name) {
        found.push(bad_name(place([&"name"]), "the fleet", &fleet.name));
    }
    names_of("person", "people", &fleet.people, found);
    names_of("network", "networks", &fleet.networks, found);
    names_of("host", "hosts", &fleet.hosts, found);
    names_of("service", "services", &fleet.services, found);
    names_of("database cluster", "databases", &fleet.databases, found);
    names_of("bucket", "buckets", &fleet.buckets, found);
    names_of("mailer", "mailers", &fleet.mailers, found);
    names_of("single sign-on provider", "sso", &fleet.sso, found);
    names_of("tunnel", "tunnels", &fleet.tunnels, found);
    names_of("access policy", "access", &fleet.access, found);
    names_of("operation", "operations", &fleet.operations, found);
    inside("DNS provider", &place([&"dns", &"providers"]), fleet.dns.providers.keys(), found);
    inside("repository", &place([&"backups", &"repositories"]), fleet.backups.repositories.keys(), found);
    inside("backup plan", &place([&"backups", &"plans"]), fleet.backups.plans.keys(), found);
    for (name, service) in &fleet.services {
        inside("port", &place([&"services", name, &"ports"]), service.ports.keys(), found);
        if let crate::fleet::Run::Containers(containers) = &service.run {
            inside("container", &place([&"services", name, &"run", &"containers"]), containers.keys(), found);
        }
    }
    for (name, host) in &fleet.hosts {
        inside("timer", &place([&"hosts", name, &"timers"]), host.timers.keys(), found);
        for (what, key, names) in [
            ("user", "users", host.users.keys().collect::<Vec<_>>()),
            ("group", "groups", host.groups.keys().collect()),
        ] {
            for user in names.into_iter().filter(|user| !is_system_name(user)) {
                let message = format!("\"{user}\" is no name of a {what} on Linux");
                found.push(
                    Finding::error("bad-name", place([&"hosts", name, &key, user]), message)
                        .fix("use [a-z_][a-z0-9_-]{0,31}"),
                );
            }
        }
    }
    reserved(context, found);
    for name in fleet.services.keys().filter(|name| fleet.databases.contains_key(*name)) {
        let message = format!("\"{name}\" is a service and a database cluster, so that `needs` could mean either");
        found.push(
            Finding::error("name-clash", place([&"services", name]), message)
                .related(place([&"databases", name]))
                .fix("give one of them another name"),
        );
    }
}

fn reserved(context: &Context<'_>, found: &mut Vec<Finding>) {
    for name in [PUBLIC, LOCAL, ANY] {
        if context.written.networks.contains_key(name) {
            let message = format!("the name \"{name}\" has a meaning of its own where networks are named");
            found.push(
                Finding::error("reserved-name", place([&"networks", &name]), message)
                    .fix("give the network another name"),
            );
        }
    }
    for name in ["local", "controller"] {
        if context.written.hosts.contains_key(name) {
            let message = format!("the name \"{name}\" has a meaning of its own where hosts are named");
            found.push(
                Finding::error("reserved-name", place([&"hosts", &name]), message).fix("give the host another name"),
            );
        }
    }
}

fn names_of<T>(what: &str, key: &str, map: &BTreeMap<String, T>, found: &mut Vec<Finding>) {
    inside(what, &place([&key]), map.keys(), found);
}

fn inside<'a>(what: &str, at: &Pointer, names: impl Iterator<Item = &'a String>, found: &mut Vec<Finding>) {
    found.extend(names.filter(|name| !is_name(name)).map(|name| bad_name(at.join(name), &format!("a {what}"), name)));
}

fn bad_name(at: Pointer, what: &str, name: &str) -> Finding {
    let message = format!("\"{name}\" is no good name of {what}: it ends up in file, unit and host names");
    let near: String = name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let near = near.trim_matches(|c: char| c == '-' || c.is_ascii_digit());
    let fix = if is_name(near) { format!("use \"{near}\"") } else { "use [a-z][a-z0-9-]{0,62}".into() };
    Finding::error("bad-name", at, message).fix(fix)
}

/// `[a-z][a-z0-9-]{0,62}`.
pub(crate) fn is_name(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// What useradd(8) takes.
fn is_system_name(name: &str) -> bool {
    name.len() <= 32
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}
