//! PostgreSQL servers: package, settings, client authentication, unit. What is inside is pg-ensure's.

use std::collections::BTreeSet;

use contract::document::{Handler, PgHbaProfile, Stage};
use contract::{Finding, Pointer};
use ipnet::IpNet;

use super::HostBuilder;
use crate::fleet::DatabaseAuth;
use crate::format::pg_conf;
use crate::format::pg_hba::{self, Rule, Who};
use crate::model::ClusterView;

pub(super) fn add(builder: &mut HostBuilder<'_, '_>) {
    let model = builder.model;
    let mut versions = BTreeSet::new();
    for cluster in model.clusters().filter(|cluster| cluster.spec.host.as_deref() == Some(&builder.host.name)) {
        if !versions.insert(cluster.version(builder.host)) {
            builder.missing(cluster.pointer(), "a second cluster of the same major version");
            continue;
        }
        add_cluster(builder, &cluster);
    }
}

fn add_cluster(builder: &mut HostBuilder<'_, '_>, cluster: &ClusterView<'_>) {
    let host = builder.host;
    let version = cluster.version(host);
    let at = cluster.pointer();
    let directory = format!("/etc/postgresql/{version}/main");
    let unit = cluster.unit(host);
    if version != host.postgres_version() && host.spec.apt_repositories.is_empty() {
        builder.findings.push(
            Finding::warning(
                "package-not-in-release",
                at.join("version"),
                format!("{} brings PostgreSQL {}, not {version}", host.os, host.postgres_version()),
            )
            .fix("name a repository that has it in the host's apt_repositories, or take the release's version"),
        );
    }
    if cluster.spec.data_directory.is_some() {
        builder.missing(at.join("data_directory"), "another data directory than the package's");
    }
    builder.packages(Stage::Data, &[format!("postgresql-{version}")], &at);

    let mut settings = vec![
        ("listen_addresses".to_owned(), listen_addresses(host, &cluster.spec.bind).join(", ")),
        ("port".to_owned(), cluster.spec.port.to_string()),
        ("password_encryption".to_owned(), "scram-sha-256".to_owned()),
    ];
    for (name, value) in &cluster.spec.settings {
        settings.retain(|(ours, _)| ours != name);
        settings.push((name.clone(), value.clone()));
    }
    let mut text = builder.header("#", std::slice::from_ref(&at));
    for (name, value) in &settings {
        if let Some(line) = builder.fit(pg_conf::line(name, value), &at.join("settings").join(name)) {
            text.push_str(&line);
        }
    }
    // `-C` reads the files as the server would; the server itself refuses to be root.
    let binary = format!("/usr/lib/postgresql/{version}/bin/postgres");
    let set = format!("postgres-{version}");
    builder.check_set(&set, &[&["/usr/sbin/runuser", "-u", "postgres", "--", &binary, "-D", &directory, "-C", "port"]]);
    let conf = format!("{directory}/conf.d/plumbline.conf");
    builder
        .file(Stage::Data, &conf, text, std::slice::from_ref(&at))
        .owner("postgres", "postgres")
        .set(&set)
        .notify(Handler::restart(&unit))
        .add(builder);

    let (rules, from) = client_authentication(builder, cluster);
    if let Some(rules) = rules {
        let text = builder.header("#", &from) + &rules;
        builder
            .file(Stage::Data, &format!("{directory}/pg_hba.conf"), text, &from)
            .owner("postgres", "postgres")
            .mode(0o640)
            .set(&set)
            .notify(Handler::reload(&unit))
            .add(builder);
    }
    builder.unit(Stage::Data, &unit, &[at]);
}

/// Loopback and the addresses on networks, or all of them.
pub(crate) fn listen_addresses(host: &crate::model::HostView, binds: &[String]) -> Vec<String> {
    if binds.iter().any(|bind| bind == crate::fleet::ANY) {
        return vec!["*".into()];
    }
    let own = binds.iter().filter_map(|network| host.address(network)).map(|address| address.to_string());
    ["127.0.0.1".to_owned(), "::1".to_owned()].into_iter().chain(own).collect()
}

/// The text of `pg_hba.conf` without its header, and what made it.
pub(crate) fn client_authentication(
    builder: &mut HostBuilder<'_, '_>,
    cluster: &ClusterView<'_>,
) -> (Option<String>, Vec<Pointer>) {
    let model = builder.model;
    let at = cluster.pointer();
    let databases = model.databases_in(cluster.name);
    let exporters: Vec<_> = model
        .hosts()
        .filter_map(|other| {
            let exporter = other.spec.agents.as_ref()?.postgres_exporter.as_ref()?;
            (exporter.cluster == cluster.name).then(|| (other, exporter, other.at("agents").join("postgres_exporter")))
        })
        .collect();
    let mut from = vec![at.clone()];
    from.extend(databases.iter().map(|database| database.pointer.clone()));
    from.extend(exporters.iter().map(|(_, _, at)| at.clone()));
    let rules = rules(builder, cluster, databases, &exporters);
    (builder.fit(pg_hba::write(&rules), &at), from)
}

type Exporters<'e> = [(&'e crate::model::HostView, &'e crate::fleet::PostgresExporter, Pointer)];

fn rules(
    builder: &mut HostBuilder<'_, '_>,
    cluster: &ClusterView<'_>,
    databases: &[crate::model::DatabaseUse<'_>],
    exporters: &Exporters<'_>,
) -> Vec<Rule> {
    let loopback: Vec<IpNet> = ["127.0.0.1/32", "::1/128"].iter().filter_map(|text| text.parse().ok()).collect();
    let everywhere: Vec<IpNet> = ["0.0.0.0/0", "::/0"].iter().filter_map(|text| text.parse().ok()).collect();
    let name = |text: &str| Who::Name(text.to_owned());
    let mut rules = Vec::new();
    let rule = |kind: &'static str, database: Who, role: Who, address: Option<IpNet>, method: &'static str| Rule {
        kind,
        database,
        role,
        address,
        method,
    };
    // The owner of the cluster comes over the socket as itself and in no other way.
    rules.push(rule("local", Who::All, name("postgres"), None, "peer"));
    rules.extend(everywhere.iter().map(|net| rule("host", Who::All, name("postgres"), Some(*net), "reject")));
    for (index, extra) in cluster.spec.hba.extra.iter().enumerate() {
        let at = cluster.pointer().join("hba").join("extra").join(index);
        let kind = ["local", "host", "hostssl", "hostnossl"].into_iter().find(|kind| *kind == extra.kind);
        let method = ["scram-sha-256", "peer", "reject", "md5", "cert", "trust"]
            .into_iter()
            .find(|method| *method == extra.method);
        let address = extra.address.as_deref().map(str::parse::<IpNet>);
        match (kind, method, address.transpose()) {
            (Some(kind), Some(method), Ok(address)) => {
                let who = |text: &str| if text == "all" { Who::All } else { name(text) };
                rules.push(rule(kind, who(&extra.database), who(&extra.role), address, method));
            }
            _ => builder.findings.push(Finding::error(
                "unrepresentable",
                at,
                "a rule has a known type and method and a range of addresses",
            )),
        }
    }
    let networks = if cluster.spec.hba.networks.is_empty() { &cluster.spec.bind } else { &cluster.spec.hba.networks };
    let outside = builder.model.ranges(networks);
    let trust = cluster.spec.hba.profile == PgHbaProfile::DeclaredTrust;
    let mut seen = BTreeSet::new();
    for found in databases {
        let database = found.spec.name_or(found.service_name);
        let owner = found.spec.owner_or(found.service_name);
        let method = match found.spec.auth() {
            DatabaseAuth::Peer => "peer",
            DatabaseAuth::Scram => "scram-sha-256",
            DatabaseAuth::Trust if trust => "trust",
            DatabaseAuth::Trust => "scram-sha-256",
        };
        let roles = std::iter::once((owner, method)).chain(
            found
                .spec
                .roles
                .iter()
                .map(|role| (role.name.clone(), if role.os_user.is_some() { "peer" } else { "scram-sha-256" })),
        );
        for (role, method) in roles {
            if !seen.insert((database.clone(), role.clone())) {
                continue;
            }
            rules.push(rule("local", name(&database), name(&role), None, method));
            let remote = if method == "peer" { "scram-sha-256" } else { method };
            rules.extend(loopback.iter().map(|net| rule("host", name(&database), name(&role), Some(*net), remote)));
            rules.extend(outside.iter().map(|net| rule("host", name(&database), name(&role), Some(*net), remote)));
        }
    }
    for (other, exporter, _) in exporters {
        let local = other.name == builder.host.name;
        if exporter.password.is_none() {
            rules.push(rule("local", Who::All, name(&exporter.role), None, "peer"));
        } else if local {
            rules.extend(
                loopback.iter().map(|net| rule("host", Who::All, name(&exporter.role), Some(*net), "scram-sha-256")),
            );
        } else {
            rules.extend(
                outside.iter().map(|net| rule("host", Who::All, name(&exporter.role), Some(*net), "scram-sha-256")),
            );
        }
    }
    rules.push(rule("local", Who::All, Who::All, None, "peer"));
    rules.extend(loopback.iter().map(|net| rule("host", Who::All, Who::All, Some(*net), "scram-sha-256")));
    rules
}
