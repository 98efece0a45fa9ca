//! Ways for the owner to get in, which must never be cut.

use std::collections::BTreeSet;

use contract::Finding;

use super::context::{Context, place};
use crate::fleet::{Host, HostUser, PUBLIC, RootLogin, Ssh};

/// `lockout`, `via-cycle`, `unknown-ref`.
pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    operations(context, found);
    for (name, host) in context.hosts() {
        let ssh = host.ssh.clone().unwrap_or_default();
        keys(context, name, host, &ssh, found);
        root(name, host, &ssh, found);
        network(context, name, host, &ssh, found);
        jump(context, name, &ssh, found);
    }
}

/// Who may run an operation has a login where the operation is.
fn operations(context: &Context<'_>, found: &mut Vec<Finding>) {
    for (name, operation) in &context.fleet.operations {
        let service = [&operation.restart, &operation.status, &operation.logs].into_iter().flatten().next();
        let of_service = service.and_then(|service| context.fleet.services.get(service));
        let hosts: Vec<&String> = match (&operation.host, of_service) {
            (Some(host), _) => vec![host],
            (None, Some(service)) => service.host.iter().collect(),
            (None, None) => continue,
        };
        for host_name in hosts {
            let Some(host) = context.hosts().get(host_name) else { continue };
            for (index, user) in operation.users.iter().enumerate() {
                let there = host.users.get(user).is_some_and(|user| !user.absent) || user == "root";
                let of_a_service = context.fleet.services.values().any(|service| service.user.as_ref() == Some(user));
                if there || of_a_service || host.ssh.as_ref().is_some_and(|ssh| ssh.user == *user) {
                    continue;
                }
                let message = format!("operation {name} is for user {user}, whom host {host_name} does not have");
                let at = place([&"operations", name, &"users", &index]);
                let fix =
                    format!("add \"users\": {{\"{user}\": {{}}}} to host {host_name}, with the keys that may log in");
                found.push(Finding::warning("unknown-ref", at, message).related(place([&"hosts", host_name])).fix(fix));
            }
        }
    }
}

fn lockout(name: &str, key: &str, message: String, fix: &str) -> Finding {
    Finding::error("lockout", place([&"hosts", &name, &"ssh", &key]), message).fix(fix)
}

/// Nobody has a key, while passwords are refused.
fn keys(context: &Context<'_>, name: &str, host: &Host, ssh: &Ssh, found: &mut Vec<Finding>) {
    let people_have = |people: &[String], groups: &[String]| {
        context.fleet.people.iter().any(|(person, entry)| {
            let meant = people.contains(person) || entry.groups.iter().any(|group| groups.contains(group));
            meant && !entry.ssh_keys.is_empty()
        })
    };
    let own_flake = host.nixos.as_ref().is_some_and(|nixos| nixos.flake.is_some());
    let user = host.users.get(&ssh.user);
    let user_has = user.is_some_and(|user| !user.keys.is_empty() || people_have(&user.people, &user.people_groups));
    if ssh.keys.is_empty() && !people_have(&ssh.people, &ssh.groups) && !user_has && !own_flake {
        let message = format!("no key may log in to host {name} as {}, and passwords are refused", ssh.user);
        let fix = "add \"ssh\": {\"keys\": [\"ssh-ed25519 ...\"]} to the host or to defaults.host";
        found.push(lockout(name, "keys", message, fix));
    }
}

/// Nobody becomes root.
fn root(name: &str, host: &Host, ssh: &Ssh, found: &mut Vec<Finding>) {
    if ssh.user == "root" {
        if ssh.root == RootLogin::No {
            let message = format!("the tools log in to host {name} as root, and root may not log in");
            let fix = "name another \"user\" with \"become\": \"sudo\", or take \"root\": \"no\" out";
            found.push(lockout(name, "root", message, fix));
        }
        return;
    }
    if ssh.escalate.is_none() {
        let message = format!("{} logs in to host {name} and has no way to become root", ssh.user);
        found.push(lockout(name, "user", message, "add \"become\": \"sudo\""));
    }
    match host.users.get(&ssh.user) {
        Some(HostUser { absent: true, .. }) => {
            let message = format!("the user {} that the tools log in to host {name} as shall be gone", ssh.user);
            found.push(lockout(name, "user", message, "name another user, or take \"absent\" out"));
        }
        Some(HostUser { admin: false, .. }) => {
            let message = format!("{} logs in to host {name} and is no administrator", ssh.user);
            let fix = format!("add \"admin\": true to users.{}", ssh.user);
            found.push(lockout(name, "user", message, &fix));
        }
        Some(_) => {}
        // A user that the image brings along keeps what it has.
        None if ssh.user == ssh.initial.user => {}
        None => {
            let message = format!("the user {} that the tools log in to host {name} as is not declared", ssh.user);
            let fix = format!("add \"users\": {{\"{}\": {{\"admin\": true}}}} to the host", ssh.user);
            found.push(lockout(name, "user", message, &fix));
        }
    }
}

/// The firewall lets nobody through to sshd.
fn network(context: &Context<'_>, name: &str, host: &Host, ssh: &Ssh, found: &mut Vec<Finding>) {
    let own_flake = host.nixos.as_ref().is_some_and(|nixos| nixos.flake.is_some());
    if own_flake || host.firewall.as_ref().is_some_and(|firewall| !firewall.enable) {
        return;
    }
    if ssh.from.is_empty() {
        let message = format!("the firewall of host {name} lets nobody through to sshd");
        found.push(lockout(name, "from", message, "name at least one network in \"from\""));
        return;
    }
    // A network may route to the host without the host having an address in it.
    let reachable = ssh.from.iter().any(|network| {
        let overlay = context.fleet.networks.get(network).is_some_and(|network| network.tailscale.is_some());
        network == PUBLIC || context.on_network(name, network) || (!overlay && !host.addresses.is_empty())
    });
    if !reachable {
        let message =
            format!("sshd of host {name} is open to {} only, where the host has no address", ssh.from.join(", "));
        found.push(lockout(name, "from", message, "give the host an address there, or name another network"));
    }
    if host.addresses.values().all(Vec::is_empty) {
        let message = format!("host {name} has no address at which it could be reached");
        found.push(
            Finding::error("lockout", place([&"hosts", &name]), message)
                .fix("add \"addresses\": {\"public\": [\"192.0.2.10\"]}"),
        );
    }
}

/// Hosts that are reached through one another.
fn jump(context: &Context<'_>, name: &str, ssh: &Ssh, found: &mut Vec<Finding>) {
    let mut seen = BTreeSet::new();
    let mut next = ssh.via.as_deref();
    while let Some(current) = next.filter(|current| seen.insert(*current)) {
        if current == name {
            let message = format!("host {name} is reached through itself in the end");
            found.push(
                Finding::error("via-cycle", place([&"hosts", &name, &"ssh", &"via"]), message)
                    .fix("let one of them be reached directly"),
            );
            return;
        }
        next = context.hosts().get(current).and_then(|host| host.ssh.as_ref()?.via.as_deref());
    }
}
