//! What is backed up, once and whole.

use std::collections::BTreeMap;

use contract::{Finding, Pointer};

use super::context::{Context, place};
use crate::fleet::Run;

/// `backup-overlap`, `no-backup-plan`, `no-repository`, `unbacked-state`.
pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    overlaps(context, found);
    plans(context, found);
    unbacked(context, found);
}

/// A path and whose it is.
struct Claim<'a> {
    path: String,
    owner: &'a str,
    what: String,
    place: Pointer,
}

/// Paths by host, with those of live databases and of repositories.
fn claims<'a>(context: &Context<'a>) -> BTreeMap<&'a str, Vec<Claim<'a>>> {
    let mut hosts: BTreeMap<&str, Vec<Claim<'_>>> = BTreeMap::new();
    for (name, host) in context.hosts() {
        for (index, path) in host.backup.iter().flat_map(|backup| backup.paths.iter().enumerate()) {
            let place = place([&"hosts", name, &"backup", &"paths", &index]);
            let claim = Claim { path: closed(path), owner: "", what: format!("host {name}"), place };
            hosts.entry(name).or_default().push(claim);
        }
    }
    for (name, service) in &context.fleet.services {
        for (index, path) in service.backup.iter().flat_map(|backup| backup.paths.iter().enumerate()) {
            for host in &service.host {
                let place = place([&"services", name, &"backup", &"paths", &index]);
                let claim = Claim { path: closed(path), owner: name, what: format!("service {name}"), place };
                hosts.entry(host).or_default().push(claim);
            }
        }
    }
    hosts
}

/// A path with one slash at its end, so that what begins with it is inside.
fn closed(path: &str) -> String {
    format!("{}/", path.trim_end_matches('/'))
}

fn overlaps(context: &Context<'_>, found: &mut Vec<Finding>) {
    let mut claims = claims(context);
    for list in claims.values_mut() {
        list.sort_by(|a, b| (&a.path, a.owner).cmp(&(&b.path, b.owner)));
        // Everything inside a path follows it directly, so that the open ones are a stack.
        let mut open: Vec<&Claim<'_>> = Vec::new();
        for claim in list.iter() {
            while open.last().is_some_and(|outer| !claim.path.starts_with(&outer.path)) {
                open.pop();
            }
            if let Some(outer) = open.last() {
                let same = if outer.path == claim.path { "the same as" } else { "inside" };
                let message = format!("{} of {} is {same} {} of {}", claim.path, claim.what, outer.path, outer.what);
                found.push(
                    Finding::error("backup-overlap", claim.place.clone(), message)
                        .related(outer.place.clone())
                        .fix("let one of them own the path: what two own, neither restores"),
                );
            }
            open.push(claim);
        }
    }
    for (name, cluster) in &context.fleet.databases {
        let Some(host) = &cluster.host else { continue };
        let data = closed(cluster.data_directory.as_deref().unwrap_or("/var/lib/postgresql"));
        for claim in claims.get(host.as_str()).into_iter().flatten().filter(|claim| touches(&claim.path, &data)) {
            let message =
                format!("{} holds the files of the running database cluster {name}, which are no backup", claim.path);
            found.push(
                Finding::error("backup-overlap", claim.place.clone(), message)
                    .related(place([&"databases", name]))
                    .fix("take the path out: databases are dumped by themselves"),
            );
        }
    }
    repositories(context, &claims, found);
}

/// Whether one path is inside the other.
fn touches(one: &str, other: &str) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

/// A repository inside of what goes into it.
fn repositories(context: &Context<'_>, claims: &BTreeMap<&str, Vec<Claim<'_>>>, found: &mut Vec<Finding>) {
    for (host, list) in claims {
        let Some(plan) = context.fleet.backup_plan_of(host) else { continue };
        for repository in context.fleet.repositories_of(plan) {
            let Some(entry) = context.fleet.backups.repositories.get(repository) else { continue };
            let Some(path) = entry.uri.strip_prefix("local:").or(Some(&*entry.uri)).filter(|uri| uri.starts_with('/'))
            else {
                continue;
            };
            let path = closed(path);
            for claim in list.iter().filter(|claim| touches(&claim.path, &path)) {
                let message = format!("{} and repository {repository} ({path}) are inside one another", claim.path);
                found.push(
                    Finding::error("backup-overlap", claim.place.clone(), message)
                        .related(place([&"backups", &"repositories", &repository]))
                        .fix("move the repository: a backup of itself grows without end"),
                );
            }
        }
    }
}

/// Something to back up and nowhere to put it.
fn plans(context: &Context<'_>, found: &mut Vec<Finding>) {
    let mut missing: BTreeMap<&str, Pointer> = BTreeMap::new();
    for (host, list) in claims(context) {
        if let (None, Some(first)) = (context.fleet.backup_plan_of(host), list.first()) {
            missing.insert(host, first.place.clone());
        }
    }
    for (host, first) in missing {
        let none =
            context.hosts().get(host).and_then(|host| host.backup.as_ref()).is_some_and(|backup| backup.none.is_some());
        let message = if none {
            format!("host {host} is not backed up, and something on it shall be")
        } else {
            format!("it is not clear by which plan host {host} is backed up")
        };
        let fix = match (none, context.fleet.backups.plans.len()) {
            (true, _) => "take \"none\" out of the host's backup, or the paths of its services",
            (false, 0) => "add \"backups\": {\"repositories\": {...}, \"plans\": {\"nightly\": {}}}",
            (false, _) => "add \"backup\": {\"plan\": \"...\"} to the host or to defaults.host",
        };
        found.push(Finding::error("no-backup-plan", first, message).fix(fix));
    }
    for (name, _) in
        context.fleet.backups.plans.iter().filter(|(name, _)| context.fleet.repositories_of(name).is_empty())
    {
        let message = format!("backup plan {name} has no repository");
        found.push(
            Finding::error("no-repository", place([&"backups", &"plans", name]), message)
                .fix("add one to \"backups\": {\"repositories\": {...}}"),
        );
    }
}

/// A service of which nothing is said.
fn unbacked(context: &Context<'_>, found: &mut Vec<Finding>) {
    for (name, service) in &context.fleet.services {
        if service.is_external() || service.backup.is_some() || matches!(service.run, Run::Static(_)) {
            continue;
        }
        let covered = service.host.iter().all(|host| {
            let backup = context.hosts().get(host).and_then(|host| host.backup.as_ref());
            backup.is_some_and(|backup| backup.none.is_some())
        });
        if !covered {
            let message = format!("nothing is said about a backup of service {name}");
            found.push(
                Finding::warning("unbacked-state", place([&"services", name]), message)
                    .fix("add \"backup\": {\"paths\": [...]}, or \"backup\": {\"none\": \"why that is right\"}"),
            );
        }
    }
}
