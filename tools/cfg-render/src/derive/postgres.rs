//! `pg.desired`: what a cluster shall hold.

use contract::document::{PgCluster, PgDatabase, PgDesired, PgMembership, PgRole, PgSocket, PgTcp};

use crate::fleet::DatabaseAuth;
use crate::host::OWNER;
use crate::model::{ClusterView, Model};

/// What a cluster shall hold. `certificate` is the text of the file that the cluster names to trust.
pub fn postgres(model: &Model<'_>, cluster: &ClusterView<'_>, certificate: Option<String>) -> PgDesired {
    let mut roles: Vec<PgRole> = cluster.spec.roles.clone();
    for (index, role) in roles.iter_mut().enumerate() {
        role.from = vec![cluster.pointer().join("roles").join(index)];
    }
    let mut databases: Vec<PgDatabase> = cluster.spec.databases.clone();
    for (index, database) in databases.iter_mut().enumerate() {
        database.from = vec![cluster.pointer().join("databases").join(index)];
    }
    for found in model.databases_in(cluster.name) {
        let spec = found.spec;
        let owner = spec.owner_or(found.service_name);
        let user = model.user_of(found.service_name, found.service);
        let peer = spec.auth() == DatabaseAuth::Peer;
        add_role(
            &mut roles,
            PgRole {
                name: owner.clone(),
                login: Some(true),
                password: spec.password.clone().filter(|_| !peer),
                // Another system user than the role's own name needs a map.
                os_user: user.filter(|user| peer && *user != owner),
                from: vec![found.pointer.clone()],
                ..PgRole::default()
            },
        );
        for (index, role) in spec.roles.iter().enumerate() {
            add_role(&mut roles, PgRole { from: vec![found.pointer.join("roles").join(index)], ..role.clone() });
        }
        databases.push(PgDatabase {
            name: spec.name_or(found.service_name),
            owner: Some(owner),
            encoding: spec.encoding.clone(),
            locale: spec.locale.clone(),
            connection_limit: spec.connection_limit,
            extensions: spec.extensions.clone(),
            schemas: spec.schemas.clone(),
            grants: spec.grants.clone(),
            settings: spec.settings.clone(),
            from: vec![found.pointer.clone()],
            ..PgDatabase::default()
        });
    }
    for host in model.hosts() {
        let exporter = host.spec.agents.as_ref().and_then(|agents| agents.postgres_exporter.as_ref());
        if let Some(exporter) = exporter.filter(|exporter| exporter.cluster == cluster.name) {
            add_role(
                &mut roles,
                PgRole {
                    name: exporter.role.clone(),
                    login: Some(true),
                    password: exporter.password.clone(),
                    os_user: exporter.password.is_none().then(|| "prometheus".into()),
                    member_of: vec![PgMembership { role: "pg_monitor".into(), inherit: true, set: true, admin: false }],
                    from: vec![host.at("agents").join("postgres_exporter")],
                    ..PgRole::default()
                },
            );
        }
    }
    roles.sort_by(|a, b| a.name.cmp(&b.name));
    databases.sort_by(|a, b| a.name.cmp(&b.name));
    PgDesired {
        cluster: PgCluster { name: cluster.name.to_owned(), socket: socket(cluster), tcp: tcp(cluster, certificate) },
        owner: OWNER.into(),
        partial: false,
        defaults: cluster.spec.defaults.clone(),
        roles,
        databases,
        // The file itself is one of the host's.
        hba: None,
    }
}

/// A role that several places want is one role.
fn add_role(roles: &mut Vec<PgRole>, role: PgRole) {
    match roles.iter_mut().find(|known| known.name == role.name) {
        Some(known) => {
            known.password = known.password.take().or(role.password);
            known.os_user = known.os_user.take().or(role.os_user);
            known.login = known.login.or(role.login);
            known.from.extend(role.from);
            for membership in role.member_of {
                if !known.member_of.contains(&membership) {
                    known.member_of.push(membership);
                }
            }
        }
        None => roles.push(role),
    }
}

fn socket(cluster: &ClusterView<'_>) -> Option<PgSocket> {
    cluster.spec.external.is_none().then(|| PgSocket {
        directory: "/run/postgresql".into(),
        port: cluster.spec.port,
        user: "postgres".into(),
    })
}

fn tcp(cluster: &ClusterView<'_>, certificate: Option<String>) -> Option<PgTcp> {
    let external = cluster.spec.external.as_ref()?;
    let admin = cluster.spec.admin.as_ref();
    Some(PgTcp {
        host: external.address.clone(),
        port: cluster.spec.port,
        user: admin.map_or_else(|| "postgres".into(), |admin| admin.user.clone()),
        password: admin.map(|admin| admin.password.clone()),
        database: admin.map_or_else(|| "postgres".into(), |admin| admin.database.clone()),
        tls: external.tls,
        ca: certificate,
    })
}
