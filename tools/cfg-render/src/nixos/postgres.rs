//! The PostgreSQL server of a host: version, settings, client authentication. What is inside is pg-ensure's.

use super::builder::NixosBuilder;
use crate::format::nix::Nix;
use crate::host::{client_authentication, listen_addresses};
use crate::model::ClusterView;

const MODULE: &str = "postgres";

pub(super) fn add(builder: &mut NixosBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    let mut clusters = model.clusters().filter(|cluster| cluster.spec.host.as_deref() == Some(&host.name));
    let Some(cluster) = clusters.next() else { return };
    if cluster.spec.pgbouncer.is_some() {
        builder.shared.missing(cluster.pointer().join("pgbouncer"), "PgBouncer on NixOS");
    }
    for second in clusters {
        builder.shared.missing(second.pointer(), "a second cluster on a NixOS host");
    }
    add_cluster(builder, &cluster);
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
    // An address of an overlay may come after the server starts.
    if cluster
        .spec
        .bind
        .iter()
        .any(|name| builder.model.fleet.networks.get(name).is_some_and(|network| network.tailscale.is_some()))
    {
        builder.option(
            MODULE,
            "boot.kernel.sysctl",
            Nix::set([
                ("net.ipv4.ip_nonlocal_bind", Nix::number(1_u8)),
                ("net.ipv6.ip_nonlocal_bind", Nix::number(1_u8)),
            ]),
            &at.join("bind"),
        );
    }
    let (rules, from) = client_authentication(&mut builder.shared, cluster);
    if let Some(text) = rules {
        builder.set(MODULE, &["services", "postgresql", "authentication"], force(Nix::text(text)), &from);
    }
}
