//! Databases and who may reach them.

use std::collections::BTreeMap;

use contract::document::PgHbaProfile;
use contract::{Finding, Pointer};

use super::context::{Context, accepted, place};
use crate::fleet::{ANY, Cluster, DatabaseAuth, LOCAL, PUBLIC, Service, ServiceDatabase};

/// `database-clash`, `risky-trust`, `impossible-login`, `no-pooler`, `unreachable-database`.
pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    clashes(context, found);
    for (name, cluster) in &context.fleet.databases {
        trust(name, cluster, found);
        if cluster.pgbouncer.is_some() && cluster.host.is_none() {
            let message = format!("cluster {name} is on no host of the fleet, so that no PgBouncer can run beside it");
            found.push(
                Finding::error("no-pooler", place([&"databases", name, &"pgbouncer"]), message)
                    .fix("take it out; most providers of managed clusters have a pooler of their own"),
            );
        }
    }
    for (name, service) in &context.fleet.services {
        for (index, database) in service.databases.iter().enumerate() {
            let cluster = context.fleet.cluster_name(database.cluster.as_deref());
            let Some((cluster_name, cluster)) = cluster.and_then(|name| context.fleet.databases.get_key_value(name))
            else {
                continue;
            };
            let at = place([&"services", name, &"databases", &index]);
            login(name, service, database, cluster_name, cluster, &at, found);
            pool(database, cluster_name, cluster, &at, found);
            let pooler = cluster.pgbouncer.as_ref().filter(|pooler| database.pool.is_some() && !pooler.bind.is_empty());
            let binds = pooler.map_or(&cluster.bind, |pooler| &pooler.bind);
            for host in &service.host {
                reach(context, host, cluster_name, cluster, binds, &at, found);
            }
        }
    }
    for (name, host) in context.hosts() {
        let exporter = host.agents.as_ref().and_then(|agents| agents.postgres_exporter.as_ref());
        let Some(exporter) = exporter else { continue };
        let at = place([&"hosts", name, &"agents", &"postgres_exporter"]);
        if let Some(cluster) = context.fleet.databases.get(&exporter.cluster) {
            reach(context, name, &exporter.cluster, cluster, &cluster.bind, &at, found);
            if exporter.password.is_none() && cluster.host.as_deref() != Some(name) {
                let message =
                    format!("cluster {} is not on this host, so that its exporter needs a password", exporter.cluster);
                found.push(
                    Finding::error("impossible-login", at, message).fix("add \"password\": {\"secret\": \"...\"}"),
                );
            }
        }
    }
}

/// The same database in one cluster twice.
fn clashes(context: &Context<'_>, found: &mut Vec<Finding>) {
    let mut taken: BTreeMap<(&str, String), Pointer> = BTreeMap::new();
    let mut take =
        |cluster, name: String, at: Pointer, found: &mut Vec<Finding>| match taken.get(&(cluster, name.clone())) {
            Some(first) => {
                let message = format!("database {name} is declared twice in cluster {cluster}");
                found.push(
                    Finding::error("database-clash", at, message)
                        .related(first.clone())
                        .fix("give one of them another \"name\"; two services that share a database need one another"),
                );
            }
            None => {
                taken.insert((cluster, name), at);
            }
        };
    for (name, cluster) in &context.fleet.databases {
        for (index, database) in cluster.databases.iter().enumerate() {
            take(name.as_str(), database.name.clone(), place([&"databases", name, &"databases", &index]), found);
        }
    }
    for (name, service) in &context.fleet.services {
        for (index, database) in service.databases.iter().enumerate() {
            if let Some(cluster) = context.fleet.cluster_name(database.cluster.as_deref()) {
                take(cluster, database.name_or(name), place([&"services", name, &"databases", &index]), found);
            }
        }
    }
}

fn risky(at: Pointer, message: String) -> Finding {
    Finding::error("risky-trust", at, message)
        .fix("use a password (\"scram\") or the system user (\"peer\"), or add \"risky-trust\" to \"accept_risk\"")
}

/// Rules that let anyone in who can reach the port.
fn trust(name: &str, cluster: &Cluster, found: &mut Vec<Finding>) {
    if accepted(&cluster.accept_risk, "risky-trust") {
        return;
    }
    let at = place([&"databases", &name, &"hba"]);
    if cluster.hba.profile == PgHbaProfile::DeclaredTrust {
        let message = format!("cluster {name} lets anyone in who can reach it, as any declared role");
        found.push(risky(at.join("profile"), message));
    }
    for (index, rule) in cluster.hba.extra.iter().enumerate().filter(|(_, rule)| rule.method == "trust") {
        let message = format!(
            "this rule lets anyone from {} in as {}",
            rule.address.as_deref().unwrap_or("this host"),
            rule.role
        );
        found.push(risky(at.join("extra").join(index), message));
    }
}

fn login(
    name: &str,
    service: &Service,
    database: &ServiceDatabase,
    cluster_name: &str,
    cluster: &Cluster,
    at: &Pointer,
    found: &mut Vec<Finding>,
) {
    let away = service.host.iter().find(|host| cluster.host.as_deref() != Some(host.as_str()));
    let contained = !service.run.containers().is_empty();
    match database.auth() {
        DatabaseAuth::Trust => {
            let allowed =
                accepted(&database.accept_risk, "risky-trust") || accepted(&cluster.accept_risk, "risky-trust");
            if !allowed {
                let message = format!("service {name} logs in without any proof, as could anyone who reaches the port");
                found.push(risky(at.join("auth"), message));
            }
        }
        DatabaseAuth::Peer if away.is_some() || contained => {
            let why = if contained { "runs in a container" } else { "is not on the host of the cluster" };
            let message = format!("service {name} {why}, so that cluster {cluster_name} cannot see which user it is");
            found.push(
                Finding::error("impossible-login", at.clone(), message).fix("add \"password\": {\"secret\": \"...\"}"),
            );
        }
        DatabaseAuth::Scram if database.password.is_none() => {
            let message = format!("service {name} logs in with a password, and none is named");
            found.push(
                Finding::error("impossible-login", at.clone(), message).fix("add \"password\": {\"secret\": \"...\"}"),
            );
        }
        DatabaseAuth::Peer | DatabaseAuth::Scram => {}
    }
}

/// A database behind a pooler that is not there, or that cannot see who comes.
fn pool(database: &ServiceDatabase, name: &str, cluster: &Cluster, at: &Pointer, found: &mut Vec<Finding>) {
    if database.pool.is_none() {
        return;
    }
    if cluster.pgbouncer.is_none() {
        found.push(
            Finding::error("no-pooler", at.join("pool"), format!("cluster {name} has no PgBouncer"))
                .related(place([&"databases", &name]))
                .fix("add \"pgbouncer\": {} to the cluster, or take \"pool\" out"),
        );
    }
    if database.auth() != DatabaseAuth::Scram {
        let message = "PgBouncer passes on the proof of a password, and this database has none";
        found.push(
            Finding::error("impossible-login", at.join("pool"), message)
                .fix("add \"password\": {\"secret\": \"...\"}, or take \"pool\" out"),
        );
    }
}

/// Whether a host gets to a cluster.
fn reach(
    context: &Context<'_>,
    host: &str,
    name: &str,
    cluster: &Cluster,
    binds: &[String],
    at: &Pointer,
    found: &mut Vec<Finding>,
) {
    let Some(home) = cluster.host.as_deref() else {
        let network = cluster.external.as_ref().and_then(|external| external.network.as_deref()).unwrap_or(PUBLIC);
        if network != PUBLIC && !context.on_network(host, network) {
            let message = format!("cluster {name} is on network {network}, where host {host} has no address");
            found.push(
                Finding::error("unreachable-database", at.clone(), message)
                    .related(place([&"databases", &name]))
                    .fix(format!("add \"{network}\" to the addresses of host {host}")),
            );
        }
        return;
    };
    let between = |network: &str| context.on_network(host, network) && context.on_network(home, network);
    let bound = binds.iter().any(|bind| match bind.as_str() {
        LOCAL => false,
        ANY => !context.shared_networks(host, home).is_empty(),
        network => between(network),
    });
    if home != host && !bound {
        let shared = context.shared_networks(host, home);
        let message = format!("cluster {name} on host {home} does not listen where host {host} could reach it");
        let fix = match shared.first() {
            Some(network) => format!("add \"bind\": [\"{network}\"] to the cluster"),
            None => format!("hosts {host} and {home} share no network: give both an address on one"),
        };
        found.push(
            Finding::error("unreachable-database", at.clone(), message).related(place([&"databases", &name])).fix(fix),
        );
    }
}
