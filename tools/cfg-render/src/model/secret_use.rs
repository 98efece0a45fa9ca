//! Which host gets which secret, and whose it becomes there.

use std::collections::{BTreeMap, BTreeSet};

use contract::document::Generator;
use contract::{FileMode, Pointer, SecretName, places};

use super::{HostView, Model};
use crate::fleet::{Auth, Edge, Holder, ProxyKind, Run};

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
    /// Services that use it through what stands elsewhere, such as a mailer; and its users on other hosts, since a file of one host
    /// holds it where there are none.
    pub because: BTreeSet<Pointer>,
}

impl SecretUse {
    /// Every place without which it would not be here as it is.
    pub fn places(&self) -> impl Iterator<Item = &Pointer> {
        self.from.union(&self.because)
    }
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

/// The secrets of one user, by name.
pub(crate) type Secrets = BTreeMap<SecretName, SecretUse>;

/// All uses, by user and secret.
#[derive(Debug, Clone, Default)]
pub(crate) struct SecretTable {
    uses: BTreeMap<User, Secrets>,
    users: BTreeMap<SecretName, BTreeSet<User>>,
    /// What somebody has who has none.
    none: Secrets,
}

impl SecretTable {
    fn on(&mut self, user: User, name: &SecretName, from: &Pointer) -> &mut SecretUse {
        self.users.entry(name.clone()).or_default().insert(user.clone());
        let found = self.uses.entry(user).or_default().entry(name.clone()).or_default();
        found.from.insert(from.clone());
        found
    }

    /// A use on a host, where there is one.
    fn known(&mut self, host: &str, name: &SecretName) -> Option<&mut SecretUse> {
        self.uses.get_mut(&Some(host.to_owned()))?.get_mut(name)
    }
}

impl Model<'_> {
    /// The secrets of a host, or of the controller, by name.
    pub fn secrets_of(&self, host: Option<&str>) -> &BTreeMap<SecretName, SecretUse> {
        let table = self.secret_table();
        table.uses.get(&host.map(str::to_owned)).unwrap_or(&table.none)
    }

    /// Where the ciphertext of a secret is: the file given, else that of the one host that uses it, else the fleet's.
    pub fn secret_file(&self, name: &SecretName) -> SecretFile {
        let spec = self.fleet.secrets.get(name);
        let users = self.secret_table().users.get(name);
        let usual = || match users.filter(|users| users.len() == 1).and_then(BTreeSet::first) {
            Some(Some(host)) => format!("secrets/{host}.yaml"),
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

    /// All uses, by secret and user: those that the fleet mentions, those that follow from certificates, and whose each
    /// becomes.
    pub(super) fn find_secrets(&self) -> SecretTable {
        let mut table = SecretTable::default();
        for used in self.secret_uses() {
            let user = match &used.holder {
                Holder::Host(host) if self.host(host).is_none() => continue,
                Holder::Host(host) => Some(host.clone()),
                Holder::Controller => None,
            };
            let found = table.on(user, &used.secret, &used.place);
            let service = used.service.as_ref().map(|name| Self::service_at(name));
            let inside =
                |at: &Pointer| used.place.as_str().strip_prefix(at.as_str()).is_some_and(|rest| rest.starts_with('/'));
            found.because.extend(service.filter(|at| !inside(at)));
        }
        for host in self.hosts() {
            self.host_secrets(&mut table, host);
        }
        for (name, service) in self.services() {
            // Only units of the system are restarted.
            let of_user = self.scope_of(service).is_some();
            let unit = self.unit_of(name, service).filter(|_| !of_user);
            for host in self.hosts_of(service) {
                for secret in &service.secrets {
                    if let Some(found) = table.known(&host.name, secret) {
                        found.owner = self.user_of(name, service);
                        found.units.extend(unit.clone());
                    }
                }
                for secret in &service.env_secrets {
                    if let Some(found) = table.known(&host.name, secret) {
                        found.units.extend(unit.clone());
                        // The system's manager reads such files as root, that of a user as the user.
                        found.owner = found.owner.take().or_else(|| service.user.clone().filter(|_| of_user));
                    }
                }
            }
        }
        for route in self.routes() {
            let (Auth::Basic(basic), Edge::Host(edge)) = (&route.route.auth, route.edge) else { continue };
            let kind = self.host(edge).map(|host| host.proxy().kind);
            if let Some((found, kind)) = table.known(edge, &basic.users.secret).zip(kind) {
                found.group = Some(super::proxy_group(kind).into());
                found.mode = Some(FileMode::new(0o440));
                // nginx reads it with every request, the others when they read their own files.
                match kind {
                    ProxyKind::Nginx => {}
                    ProxyKind::Caddy => {
                        found.reload_units.insert("caddy.service".into());
                    }
                    ProxyKind::Traefik => {
                        found.units.insert("traefik.service".into());
                    }
                }
            }
        }
        // The key of the CA signs: it belongs to administrators, and only where something is to be signed.
        if !self.internal_certificates().is_empty()
            && let Ok(name) = super::CA_KEY.parse()
        {
            table.on(None, &name, &Pointer::root().join("certificates"));
        }
        for (name, users) in &table.users {
            let Some(spec) = self.fleet.secrets.get(name) else { continue };
            for user in users {
                let Some(found) = table.uses.get_mut(user).and_then(|uses| uses.get_mut(name)) else { continue };
                found.owner = spec.owner.clone().or(found.owner.take());
                found.group = spec.group.clone().or(found.group.take());
                found.mode = spec.mode.or(found.mode);
                found.link = spec.link.clone().or(found.link.take());
                found.needed_for_users |= spec.needed_for_users;
                found.units.extend(spec.units.iter().cloned());
            }
        }
        for (name, users) in &table.users {
            if users.len() > 1 && self.fleet.secrets.get(name).is_none_or(|spec| spec.file.is_none()) {
                let uses = users.iter().filter_map(|user| table.uses.get(user)?.get(name));
                let all: BTreeSet<_> = uses.flat_map(SecretUse::places).cloned().collect();
                for user in users {
                    if let Some(found) = table.uses.get_mut(user).and_then(|uses| uses.get_mut(name)) {
                        found.because.clone_from(&all);
                    }
                }
            }
        }
        table
    }

    fn host_secrets(&self, table: &mut SecretTable, host: &HostView) {
        let user = Some(host.name.clone());
        let kind = host.proxy().kind;
        for site in self.sites(host) {
            // The others get certificates of ACME themselves.
            let files = site.certificate.as_ref().filter(|found| kind == ProxyKind::Nginx || !found.store.stand_in);
            let Some(certificate) = files else { continue };
            for from in &certificate.from {
                let found = table.on(user.clone(), &certificate.store.secret, from);
                found.link = Some(certificate.store.key.clone());
                found.reload_units.insert(format!("{}.service", kind.as_str()));
                if kind != ProxyKind::Nginx {
                    // nginx reads keys as root, the others as their own user.
                    found.group = Some(super::proxy_group(kind).into());
                    found.mode = Some(FileMode::new(0o440));
                }
            }
        }
        let exporter = host.spec.agents.as_ref().and_then(|agents| agents.postgres_exporter.as_ref());
        if let Some(password) = exporter.and_then(|exporter| exporter.password.as_ref())
            && let Some(found) = table.known(&host.name, &password.secret)
        {
            found.units.insert("prometheus-postgres-exporter.service".into());
        }
        if let Some(spec) = &self.fleet.monitoring.alertmanager
            && let Some(mailer) = spec.mailer.as_ref().and_then(|name| self.fleet.mailers.get(name))
            && let Some(password) = &mailer.password
            && self.service(&spec.service).is_some_and(|service| service.host.iter().any(|own| *own == host.name))
            && let Some(found) = table.known(&host.name, &password.secret)
            && found.owner.is_none()
            // NixOS hands it over as a credential of the unit.
            && !host.os.is_nixos()
        {
            found.owner = Some(self.watcher(Some(&spec.service)));
        }
        if self.prometheus().is_some_and(|(prometheus, _)| prometheus.name == host.name) {
            for bearer in self.scrapes().iter().filter_map(|scrape| scrape.bearer.as_ref()) {
                if let Some(found) = table.known(&host.name, bearer) {
                    found.owner =
                        Some(self.watcher(self.fleet.monitoring.prometheus.as_ref().map(|role| &role.service)));
                }
            }
        }
    }

    /// As whom Prometheus and Alertmanager run: the user of their package or module, or nobody in their images.
    fn watcher(&self, service: Option<&String>) -> String {
        let package = service
            .and_then(|name| self.service(name))
            .is_some_and(|service| matches!(service.run, Run::Package(_) | Run::Nixos(_)));
        if package { "prometheus".into() } else { "nobody".into() }
    }
}
