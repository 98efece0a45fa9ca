//! PgBouncer before a PostgreSQL server. It runs as the server's owner (so its Debian package has it), asks the server for the
//! verifiers of roles over the socket, and passes the proof of a client on: no password is anywhere.

use contract::document::{Handler, Stage};
use ipnet::IpNet;

use super::HostBuilder;
use crate::format::pg_hba::{self, Rule, Who};
use crate::format::pgbouncer;
use crate::model::{ClusterView, DatabaseUse};

pub(crate) const UNIT: &str = "pgbouncer.service";
pub(crate) const DIRECTORY: &str = "/etc/pgbouncer";
/// Whom it knows without a question.
pub(crate) const USERS: &str = "\"postgres\" \"\"\n";

pub(super) fn add(builder: &mut HostBuilder<'_, '_>) {
    let model = builder.model;
    let mut first = true;
    for cluster in model.clusters().filter(|cluster| cluster.spec.host.as_deref() == Some(&builder.host.name)) {
        if cluster.spec.pgbouncer.is_none() {
            continue;
        }
        if std::mem::take(&mut first) {
            add_pooler(builder, &cluster);
        } else {
            builder.missing(cluster.pointer().join("pgbouncer"), "a second PgBouncer");
        }
    }
}

fn add_pooler(builder: &mut HostBuilder<'_, '_>, cluster: &ClusterView<'_>) {
    let at = cluster.pointer().join("pgbouncer");
    let pooled = pooled(builder, cluster);
    builder.packages(Stage::Data, &["pgbouncer"], &at);
    // The package would start it with an example's configuration.
    builder.hold(Stage::Data, UNIT);

    let file = |name: &str| format!("{DIRECTORY}/{name}");
    let settings = settings(builder, cluster, DIRECTORY);
    let from = [at.clone(), cluster.pointer()];
    let mut text = builder.header(";", &from) + "%include /etc/pgbouncer/databases.ini\n\n[pgbouncer]\n";
    for (name, value) in &settings {
        if let Some(line) = builder.fit(pgbouncer::setting(name, value), &at.join("settings").join(name)) {
            text.push_str(&line);
        }
    }
    // Where it listens is read at the start only.
    let item = builder.file(Stage::Data, &file("pgbouncer.ini"), text, &from).notify(Handler::restart(UNIT));
    add_file(builder, item);

    let mut from = vec![at.clone()];
    from.extend(pooled.iter().map(|found| found.pointer.clone()));
    let mut text = builder.header(";", &from) + "[databases]\n";
    for found in &pooled {
        text.push_str(&database(builder, cluster, found).unwrap_or_default());
    }
    let item = builder.file(Stage::Data, &file("databases.ini"), text, &from).notify(Handler::reload(UNIT));
    add_file(builder, item);

    let rules = rules(builder, cluster, &pooled);
    if let Some(rules) = builder.fit(pg_hba::write(&rules), &at) {
        let text = builder.header("#", &from) + &rules;
        let item = builder.file(Stage::Data, &file("pg_hba.conf"), text, &from).notify(Handler::reload(UNIT));
        add_file(builder, item);
    }
    // Known without a password: who may ask for the others' verifiers, over the socket only.
    let text = builder.header(";", std::slice::from_ref(&at)) + USERS;
    let item =
        builder.file(Stage::Data, &file("userlist.txt"), text, std::slice::from_ref(&at)).notify(Handler::reload(UNIT));
    add_file(builder, item);
    builder.unit(Stage::Data, UNIT, &[at]);
}

fn add_file(builder: &mut HostBuilder<'_, '_>, item: super::builder::FileItem) {
    item.owner("postgres", "postgres").mode(0o640).add(builder);
}

/// What it is told, except where databases are.
pub(crate) fn settings(
    builder: &HostBuilder<'_, '_>,
    cluster: &ClusterView<'_>,
    directory: &str,
) -> Vec<(String, String)> {
    let Some(spec) = &cluster.spec.pgbouncer else { return Vec::new() };
    let addresses = super::listen_addresses(builder.host, cluster.pooler_networks());
    let file = |name: &str| format!("{directory}/{name}");
    let mut settings: Vec<(String, String)> = [
        ("listen_addr", addresses.join(",")),
        ("listen_port", spec.port.to_string()),
        ("unix_socket_dir", "/run/postgresql".into()),
        ("auth_type", "hba".into()),
        ("auth_hba_file", file("pg_hba.conf")),
        ("auth_file", file("userlist.txt")),
        ("auth_user", "postgres".into()),
        ("auth_query", "SELECT usename, passwd FROM pg_catalog.pg_shadow WHERE usename = $1".into()),
        ("admin_users", "postgres".into()),
        ("stats_users", "postgres".into()),
        ("pool_mode", spec.mode.as_str().into()),
        ("default_pool_size", spec.size.to_string()),
        ("max_client_conn", spec.clients.to_string()),
        // Drivers of Java and Go send it with every connection.
        ("ignore_startup_parameters", "extra_float_digits".into()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    for (name, value) in &spec.settings {
        settings.retain(|(ours, _)| ours != name);
        settings.push((name.clone(), value.clone()));
    }
    settings
}

/// The databases of a cluster that are asked for at its pooler.
pub(crate) fn pooled<'m>(builder: &HostBuilder<'m, '_>, cluster: &ClusterView<'_>) -> Vec<&'m DatabaseUse<'m>> {
    builder.model.databases_in(cluster.name).iter().filter(|found| found.spec.pool.is_some()).collect()
}

/// The line of a database; none, with a finding, where its name cannot be written.
pub(crate) fn database(
    builder: &mut HostBuilder<'_, '_>,
    cluster: &ClusterView<'_>,
    found: &DatabaseUse<'_>,
) -> Option<String> {
    let name = found.spec.name_or(found.service_name);
    let mut keys =
        vec![("host", "/run/postgresql".to_owned()), ("port", cluster.spec.port.to_string()), ("dbname", name.clone())];
    let pool = found.spec.pool.clone().unwrap_or_default();
    keys.extend(pool.mode.map(|mode| ("pool_mode", mode.as_str().to_owned())));
    keys.extend(pool.size.map(|size| ("pool_size", size.to_string())));
    builder.fit(pgbouncer::database(&name, &keys), &found.pointer.join("name"))
}

/// Each role comes to its own database and proves itself; the console is for the server's owner on this machine.
pub(crate) fn rules(
    builder: &HostBuilder<'_, '_>,
    cluster: &ClusterView<'_>,
    pooled: &[&DatabaseUse<'_>],
) -> Vec<Rule> {
    let name = |text: &str| Who::Name(text.to_owned());
    let rule = |kind: &'static str, database: Who, role: Who, address: Option<IpNet>, method: &'static str| Rule {
        kind,
        database,
        role,
        address,
        method,
    };
    let loopback = ["127.0.0.1/32", "::1/128"].iter().filter_map(|text| text.parse().ok());
    let addresses: Vec<IpNet> = loopback.chain(builder.model.ranges(cluster.pooler_networks())).collect();
    let mut rules = vec![rule("local", name("pgbouncer"), name("postgres"), None, "peer")];
    for found in pooled {
        let database = found.spec.name_or(found.service_name);
        let owner = found.spec.owner_or(found.service_name);
        let further = found.spec.roles.iter().filter(|role| role.password.is_some()).map(|role| role.name.clone());
        for role in std::iter::once(owner).chain(further) {
            rules.push(rule("local", name(&database), name(&role), None, "scram-sha-256"));
            let hosts = addresses.iter();
            rules.extend(hosts.map(|net| rule("host", name(&database), name(&role), Some(*net), "scram-sha-256")));
        }
    }
    rules
}
