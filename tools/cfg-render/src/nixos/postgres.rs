//! The PostgreSQL server of a host: version, settings, client authentication. What is inside is pg-ensure's.

use super::builder::NixosBuilder;
use crate::format::nix::Nix;
use crate::format::pg_hba;
use crate::host::{client_authentication, listen_addresses, pgbouncer};
use crate::model::ClusterView;

const MODULE: &str = "postgres";
const POOLER: &str = "pgbouncer";

pub(super) fn add(builder: &mut NixosBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    let mut clusters = model.clusters().filter(|cluster| cluster.spec.host.as_deref() == Some(&host.name));
    let Some(cluster) = clusters.next() else { return };
    for second in clusters {
        builder.shared.missing(second.pointer(), "a second cluster on a NixOS host");
    }
    add_cluster(builder, &cluster);
    add_pooler(builder, &cluster);
}

/// PgBouncer by its module. It runs as the server's owner, whom the server knows by the socket, so that no password is
/// anywhere.
fn add_pooler(builder: &mut NixosBuilder<'_, '_>, cluster: &ClusterView<'_>) {
    if cluster.spec.pgbouncer.is_none() {
        return;
    }
    let at = cluster.pointer().join("pgbouncer");
    builder.option(POOLER, "services.pgbouncer.enable", Nix::Bool(true), &at);
    for (name, value) in pgbouncer::settings(&builder.shared, cluster, pgbouncer::DIRECTORY) {
        let own = at.join("settings").join(&name);
        if builder.shared.fit(crate::format::pgbouncer::setting(&name, &value), &own).is_none() {
            continue;
        }
        // The module has types for some.
        let value = value.parse::<u64>().map_or_else(|_| Nix::text(&value), Nix::number);
        let path = ["services", "pgbouncer", "settings", "pgbouncer", &name];
        builder.set(POOLER, &path, value, std::slice::from_ref(&at));
    }
    let pooled = pgbouncer::pooled(&builder.shared, cluster);
    for found in &pooled {
        let Some(line) = pgbouncer::database(&mut builder.shared, cluster, found) else { continue };
        let Some((name, value)) = line.trim_end().split_once(" = ") else { continue };
        let path = ["services", "pgbouncer", "settings", "databases", name];
        builder.set(POOLER, &path, Nix::text(value), std::slice::from_ref(&found.pointer));
    }
    let rules = pgbouncer::rules(&builder.shared, cluster, &pooled);
    let Some(rules) = builder.shared.fit(pg_hba::write(&rules), &at) else { return };
    let from: Vec<_> = std::iter::once(at.clone()).chain(pooled.iter().map(|found| found.pointer.clone())).collect();
    for (name, text) in [("pg_hba.conf", rules.as_str()), ("userlist.txt", pgbouncer::USERS)] {
        let path = format!("{}/{name}", pgbouncer::DIRECTORY.trim_start_matches("/etc/"));
        builder.set(POOLER, &["environment", "etc", &path], Nix::set([("text", Nix::text(text))]), &from);
    }
    let unit = |key: &'static str| ["systemd", "services", "pgbouncer", "serviceConfig", key];
    for key in ["User", "Group"] {
        let value = Nix::Call("lib.mkForce", vec![Nix::text("postgres")]);
        builder.set(POOLER, &unit(key), value, std::slice::from_ref(&at));
    }
    let path = ["systemd", "services", "pgbouncer", "restartTriggers"];
    builder.set(POOLER, &path, Nix::texts([rules]), &from);
}

fn add_cluster(builder: &mut NixosBuilder<'_, '_>, cluster: &ClusterView<'_>) {
    let host = builder.host;
    let at = cluster.pointer();
    builder.option(MODULE, "services.postgresql.enable", Nix::Bool(true), &at);
    let package = format!("postgresql_{}", cluster.version(host));
    builder.option(MODULE, "services.postgresql.package", Nix::package(&package), &at);
    if let Some(directory) = &cluster.spec.data_directory {
        builder.option(MODULE, "services.postgresql.dataDir", Nix::text(directory), &at.join("data_directory"));
    }
    let addresses = listen_addresses(host, &cluster.spec.bind);
    let force = |value: Nix| Nix::Call("lib.mkForce", vec![value]);
    builder.option(
        MODULE,
        "services.postgresql.settings.listen_addresses",
        force(Nix::text(addresses.join(", "))),
        &at,
    );
    builder.option(MODULE, "services.postgresql.settings.port", Nix::number(cluster.spec.port), &at);
    builder.option(MODULE, "services.postgresql.settings.password_encryption", Nix::text("scram-sha-256"), &at);
    for (name, value) in &cluster.spec.settings {
        let value = if name == "listen_addresses" { force(Nix::text(value)) } else { Nix::text(value) };
        builder.set(MODULE, &["services", "postgresql", "settings", name], value, &[at.join("settings").join(name)]);
    }
    let (rules, from) = client_authentication(&mut builder.shared, cluster);
    if let Some(text) = rules {
        builder.set(MODULE, &["services", "postgresql", "authentication"], force(Nix::text(text)), &from);
    }
}
