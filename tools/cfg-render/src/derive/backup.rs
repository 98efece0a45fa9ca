//! `backup.sources`: what is backed up on a host, and where to.

use std::collections::BTreeMap;

use contract::document::{BackupDump, BackupOmission, BackupRepository, BackupService, BackupSources, PostgresDump};

use crate::fleet::{Omission, ProxyKind, ServiceBackup, TlsMode};
use crate::model::{HostView, Model};

/// What is backed up on a host; `None` where nothing is.
pub fn backup(model: &Model<'_>, host: &HostView) -> Option<BackupSources> {
    let (_, plan) = model.backup_plan(host)?;
    let mut services = Vec::new();
    let mut omit = Vec::new();
    let mut add_omissions = |omissions: &[Omission]| {
        omit.extend(
            omissions
                .iter()
                .map(|omission| BackupOmission { path: omission.path.clone(), reason: omission.reason.clone() }),
        );
    };
    if let Some(spec) = &host.spec.backup {
        add_omissions(&spec.omit);
        if !spec.paths.is_empty() {
            services.push(BackupService {
                name: format!("host-{}", host.name),
                paths: spec.paths.clone(),
                exclude: spec.exclude.clone(),
                from: vec![host.at("backup")],
                ..BackupService::default()
            });
        }
    }
    for (name, service) in model.services_on(&host.name) {
        let at = Model::service_at(name);
        let usual = ServiceBackup::default();
        let spec = service.backup.as_ref().unwrap_or(&usual);
        add_omissions(&spec.omit);
        if spec.none.is_none() && !(spec.paths.is_empty() && spec.dumps.is_empty()) {
            services.push(BackupService {
                name: name.to_owned(),
                paths: spec.paths.clone(),
                exclude: spec.exclude.clone(),
                dumps: spec.dumps.clone(),
                quiesce: spec.quiesce.clone(),
                optional: false,
                from: vec![at.join("backup")],
            });
        }
    }
    services.extend(certificates(model, host));
    services.extend(cluster_dumps(model, host));
    services.sort_by(|a, b| a.name.cmp(&b.name));
    let repositories = model.repositories(plan).into_iter().map(|(id, repository)| BackupRepository {
        id: id.to_owned(),
        uri: repository.uri.replace("{host}", &host.name),
        password: repository.password.clone(),
        env: repository.env.clone(),
        offsite: repository.offsite,
        append_only: repository.append_only,
        init: repository.init,
    });
    Some(BackupSources {
        host: host.name.clone(),
        plan: host.name.clone(),
        staging: plan.staging.clone().unwrap_or_else(|| "/var/backups/plumbline".into()),
        services,
        omit,
        repositories: repositories.collect(),
        policy: plan.policy.clone(),
    })
}

/// Certificates that Traefik got itself: an authority gives only so many a week, so that losing them can close a site.
fn certificates(model: &Model<'_>, host: &HostView) -> Option<BackupService> {
    let traefik = host.proxy().kind == ProxyKind::Traefik && host.is_debian_like();
    let own = model.sites(host).iter().any(|site| matches!(site.tls, TlsMode::Acme | TlsMode::AcmeDns));
    (traefik && own && model.service("traefik").is_none()).then(|| BackupService {
        name: "traefik".into(),
        paths: vec!["/var/lib/traefik".into()],
        from: vec![host.at("proxy")],
        ..BackupService::default()
    })
}

/// Dumps of the clusters on the host: every database that wants it, and what belongs to none of them.
fn cluster_dumps(model: &Model<'_>, host: &HostView) -> Vec<BackupService> {
    let mut services = Vec::new();
    for cluster in model.clusters().filter(|cluster| cluster.spec.host.as_deref() == Some(&host.name)) {
        let dump = |id: String, database: Option<String>| BackupDump {
            id,
            postgres: Some(PostgresDump {
                database,
                host: "/run/postgresql".into(),
                port: cluster.spec.port,
                user: "postgres".into(),
                password: None,
            }),
            ..BackupDump::default()
        };
        let mut from = vec![cluster.pointer()];
        let mut dumps: BTreeMap<String, BackupDump> = BTreeMap::new();
        let globals = format!("{}-globals", cluster.name);
        dumps.insert(globals.clone(), dump(globals, None));
        for database in &cluster.spec.databases {
            let id = format!("{}-{}", cluster.name, database.name);
            dumps.insert(id.clone(), dump(id, Some(database.name.clone())));
        }
        for found in model.databases_in(cluster.name).iter().filter(|found| found.spec.dump) {
            let name = found.spec.name_or(found.service_name);
            let id = format!("{}-{name}", cluster.name);
            dumps.insert(id.clone(), dump(id, Some(name)));
            from.push(found.pointer.clone());
        }
        services.push(BackupService {
            name: format!("postgres-{}", cluster.name),
            dumps: dumps.into_values().collect(),
            from,
            ..BackupService::default()
        });
    }
    services
}
