//! Which host gets which secret, and whose it becomes there.

use std::collections::{BTreeMap, BTreeSet};

use contract::document::Generator;
use contract::{FileMode, Pointer, SecretName, places};

use super::{HostView, Model};
use crate::fleet::{Auth, BackupTool, Container, DatabaseAuth, ProxyKind, Run, SshKey, Value};

/// Who uses a secret: a host of this name, or the controller (`None`).
type User = Option<String>;

/// A secret on one host (or the controller): whose it becomes there, and who is told when it changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecretUse {
    /// Owner of its file; root if nobody else.
    pub owner: Option<String>,
    /// Group of its file.
    pub group: Option<String>,
    /// Permission bits.
    pub mode: Option<FileMode>,
    /// A usual path that links to it.
    pub link: Option<String>,
    /// Units restarted when it changes.
    pub units: BTreeSet<String>,
    /// Units reloaded when it changes.
    pub reload_units: BTreeSet<String>,
    /// Needed before users are made.
    pub needed_for_users: bool,
    /// Places in the fleet that use it.
    pub from: BTreeSet<Pointer>,
}

/// Where the ciphertext of a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFile {
    /// The SOPS file, relative to the fleet.
    pub file: String,
    /// Place of the value in it.
    pub pointer: Pointer,
    /// How it is made where it is not there.
    pub generator: Option<Generator>,
    /// Where its value comes from instead.
    pub reference: Option<String>,
}

/// All uses, by secret and user.
#[derive(Debug, Clone, Default)]
pub(crate) struct SecretTable {
    uses: BTreeMap<SecretName, BTreeMap<User, SecretUse>>,
}

impl SecretTable {
    fn on(&mut self, user: User, name: &SecretName, from: &Pointer) -> &mut SecretUse {
        let found = self.uses.entry(name.clone()).or_default().entry(user).or_default();
        found.from.insert(from.clone());
        found
    }
}

impl Model<'_> {
    /// The secrets of a host, or of the controller, by name.
    pub fn secrets_of(&self, host: Option<&str>) -> BTreeMap<SecretName, SecretUse> {
        let user = host.map(str::to_owned);
        let uses = self.secret_table().uses.iter();
        uses.filter_map(|(name, by_user)| Some((name.clone(), by_user.get(&user)?.clone()))).collect()
    }

    /// Where the ciphertext of a secret is: the file given, else that of the one host that uses it, else the fleet's.
    pub fn secret_file(&self, name: &SecretName) -> SecretFile {
        let spec = self.fleet.secrets.get(name);
        let users = self.secret_table().uses.get(name);
        let usual = || match users.map(|users| users.keys().collect::<Vec<_>>()).as_deref() {
            Some([Some(host)]) => format!("secrets/{host}.yaml"),
            _ => "secrets/fleet.yaml".into(),
        };
        let ca = name.as_str() == super::CA_KEY && spec.is_none();
        let file = match spec.and_then(|spec| spec.file.clone()) {
            Some(file) => file,
            // What is resolved on the controller is no part of the repository.
            None if spec.is_some_and(|spec| spec.reference.is_some()) => {
                format!("{}/{}", places::CONTROLLER_STATE, usual())
            }
            None if ca => self.fleet.certificates.key_file.clone(),
            None => usual(),
        };
        SecretFile {
            file,
            pointer: spec.and_then(|spec| spec.pointer.clone()).unwrap_or_else(|| Pointer::root().join(name.as_str())),
            generator: spec.and_then(|spec| spec.generator.clone()),
            reference: spec.and_then(|spec| spec.reference.clone()),
        }
    }

    /// All uses, by secret and user.
    pub(super) fn find_secrets(&self) -> SecretTable {
        let mut table = SecretTable::default();
        for host in self.hosts() {
            self.host_secrets(&mut table, host);
        }
        for (name, service) in self.services() {
            let at = Self::service_at(name);
            let hosts: Vec<_> = self.hosts_of(service).map(|host| host.name.clone()).collect();
            for host in &hosts {
                let user = Some(host.clone());
                let unit = self.unit_of(name, service);
                for (index, secret) in service.secrets.iter().enumerate() {
                    let found = table.on(user.clone(), secret, &at.join("secrets").join(index));
                    found.owner = self.user_of(name, service);
                    found.units.extend(unit.clone());
                }
                for (index, secret) in service.env_secrets.iter().enumerate() {
                    let found = table.on(user.clone(), secret, &at.join("env_secrets").join(index));
                    found.units.extend(unit.clone());
                }
                self.env_secrets(&mut table, host, name, &service.env, &at.join("env"));
                for (container_name, container) in service.run.containers() {
                    let at = at.join("run");
                    let at = match &service.run {
                        Run::Containers(_) => at.join("containers").join(container_name),
                        _ => at.join("container"),
                    };
                    self.container_secrets(&mut table, host, name, container, &at);
                }
                for (path, file) in &service.files {
                    template_secrets(&mut table, host, file.template.as_deref(), &at.join("files").join(path));
                }
            }
            for (index, route) in service.proxy.iter().enumerate() {
                let Auth::Basic(basic) = &route.auth else { continue };
                for edge in self.edges_of(service, route) {
                    let at = at.join("proxy").join(index).join("auth");
                    let found = table.on(Some(edge.name.clone()), &basic.users.secret, &at);
                    let kind = edge.proxy().kind;
                    found.group = Some(if kind == ProxyKind::Caddy { "caddy".into() } else { "www-data".into() });
                    found.mode = Some(FileMode::new(0o440));
                }
            }
        }
        self.database_secrets(&mut table);
        self.controller_secrets(&mut table);
        for (name, spec) in &self.fleet.secrets {
            let at = Pointer::root().join("secrets").join(name);
            for host in spec.hosts.iter().filter(|host| self.host(host).is_some()) {
                table.on(Some(host.clone()), name, &at.join("hosts"));
            }
            for found in table.uses.get_mut(name).into_iter().flat_map(BTreeMap::values_mut) {
                found.owner = spec.owner.clone().or(found.owner.take());
                found.group = spec.group.clone().or(found.group.take());
                found.mode = spec.mode.or(found.mode);
                found.link = spec.link.clone().or(found.link.take());
                found.needed_for_users |= spec.needed_for_users;
                found.units.extend(spec.units.iter().cloned());
            }
        }
        table
    }

    fn host_secrets(&self, table: &mut SecretTable, host: &HostView) {
        let user = Some(host.name.clone());
        let keys = host.ssh().keys.into_iter().chain(host.spec.users.values().flat_map(|user| user.keys.clone()));
        for key in keys {
            if let SshKey::Secret(secret) = key {
                table.on(user.clone(), &secret.secret, &host.at("ssh"));
            }
        }
        for site in self.sites(host) {
            let Some(certificate) = self.certificate(host, &site) else { continue };
            let nginx = host.proxy().kind == ProxyKind::Nginx;
            if certificate.store.stand_in && !nginx {
                continue;
            }
            for from in &certificate.from {
                let found = table.on(user.clone(), &certificate.store.secret, from);
                found.link = Some(certificate.key.clone());
                if nginx {
                    found.reload_units.insert("nginx.service".into());
                } else {
                    // Caddy reads keys as its own user.
                    found.group = Some("caddy".into());
                    found.mode = Some(FileMode::new(0o440));
                    found.reload_units.insert("caddy.service".into());
                }
            }
        }
        if let Some(exporter) = host.spec.agents.as_ref().and_then(|agents| agents.postgres_exporter.as_ref())
            && let Some(password) = &exporter.password
        {
            let found = table.on(user.clone(), &password.secret, &host.at("agents").join("postgres_exporter"));
            found.units.insert("prometheus-postgres-exporter.service".into());
        }
        for (name, timer) in &host.spec.timers {
            self.env_secrets(table, &host.name, name, &timer.env, &host.at("timers").join(name).join("env"));
        }
        for (path, file) in &host.spec.files {
            template_secrets(table, &host.name, file.template.as_deref(), &host.at("files").join(path));
        }
        if let Some((_, plan)) = self.backup_plan(host).filter(|(_, plan)| plan.tool == BackupTool::Systemd) {
            for (name, repository) in self.repositories(plan) {
                let at = Pointer::root().join("backups").join("repositories").join(name);
                table.on(user.clone(), &repository.password.secret, &at.join("password"));
                for (variable, secret) in &repository.env {
                    table.on(user.clone(), &secret.secret, &at.join("env").join(variable));
                }
            }
        }
        if self.prometheus().is_some_and(|(prometheus, _)| prometheus.name == host.name) {
            for scrape in self.scrapes() {
                if let Some(bearer) = &scrape.bearer {
                    table.on(user.clone(), bearer, &scrape.pointer).owner = Some("prometheus".into());
                }
            }
        }
    }

    fn env_secrets(
        &self,
        table: &mut SecretTable,
        host: &str,
        owner: &str,
        env: &BTreeMap<String, Value>,
        at: &Pointer,
    ) {
        let Some(view) = self.host(host) else { return };
        for (variable, value) in env {
            for secret in self.resolve_value(view, owner, value).secrets() {
                table.on(Some(host.to_owned()), &secret, &at.join(variable));
            }
        }
    }

    fn container_secrets(
        &self,
        table: &mut SecretTable,
        host: &str,
        service: &str,
        container: &Container,
        at: &Pointer,
    ) {
        self.env_secrets(table, host, service, &container.env, &at.join("env"));
        for (index, secret) in container.secrets.iter().enumerate() {
            table.on(Some(host.to_owned()), secret, &at.join("secrets").join(index));
        }
        for (index, secret) in container.env_secrets.iter().enumerate() {
            table.on(Some(host.to_owned()), secret, &at.join("env_secrets").join(index));
        }
    }

    fn database_secrets(&self, table: &mut SecretTable) {
        for cluster in self.clusters() {
            // Whoever runs pg-ensure sets the passwords.
            let user: User = self.manager_of(&cluster).map(|host| host.name.clone());
            let at = cluster.pointer();
            if let Some(admin) = &cluster.spec.admin {
                table.on(user.clone(), &admin.password.secret, &at.join("admin").join("password"));
            }
            for (index, role) in cluster.spec.roles.iter().enumerate() {
                if let Some(password) = &role.password {
                    table.on(user.clone(), &password.secret, &at.join("roles").join(index).join("password"));
                }
            }
            for found in self.databases_in(cluster.name) {
                if let (Some(password), DatabaseAuth::Scram) = (&found.spec.password, found.spec.auth()) {
                    table.on(user.clone(), &password.secret, &found.pointer.join("password"));
                }
                for (index, role) in found.spec.roles.iter().enumerate() {
                    if let Some(password) = &role.password {
                        table.on(
                            user.clone(),
                            &password.secret,
                            &found.pointer.join("roles").join(index).join("password"),
                        );
                    }
                }
            }
            for host in self.hosts() {
                let exporter = host.spec.agents.as_ref().and_then(|agents| agents.postgres_exporter.as_ref());
                if let Some(password) = exporter
                    .filter(|exporter| exporter.cluster == cluster.name)
                    .and_then(|exporter| exporter.password.as_ref())
                {
                    table.on(
                        user.clone(),
                        &password.secret,
                        &host.at("agents").join("postgres_exporter").join("password"),
                    );
                }
            }
        }
    }

    fn controller_secrets(&self, table: &mut SecretTable) {
        for (name, provider) in &self.fleet.dns.providers {
            let at = Pointer::root().join("dns").join("providers").join(name);
            let secrets = [
                provider.rfc2136.as_ref().map(|p| &p.tsig.secret),
                provider.cloudflare.as_ref().map(|p| &p.token),
                provider.powerdns.as_ref().map(|p| &p.key),
                provider.hetzner.as_ref().map(|p| &p.token),
                provider.desec.as_ref().map(|p| &p.token),
                provider.scaleway.as_ref().map(|p| &p.token),
            ];
            for secret in secrets.into_iter().flatten() {
                table.on(None, &secret.secret, &at);
            }
        }
        if !self.internal_certificates().is_empty()
            && let Ok(name) = super::CA_KEY.parse()
        {
            table.on(None, &name, &Pointer::root().join("certificates"));
        }
    }
}

fn template_secrets(table: &mut SecretTable, host: &str, template: Option<&str>, at: &Pointer) {
    for (_, name) in contract::placeholders(template.unwrap_or_default()) {
        if let Ok(name) = name.parse() {
            table.on(Some(host.to_owned()), &name, at);
        }
    }
}
