//! Database clusters and who uses them.

use std::collections::BTreeMap;

use contract::Pointer;

use super::{HostView, Model};
use crate::fleet::{Cluster, OsFamily, Service, ServiceDatabase};

/// A cluster, where it is and what its places are called.
#[derive(Debug, Clone)]
pub struct ClusterView<'f> {
    /// Its name.
    pub name: &'f str,
    /// What was written.
    pub spec: &'f Cluster,
}

impl ClusterView<'_> {
    /// Where it stands in the fleet.
    pub fn pointer(&self) -> Pointer {
        Pointer::root().join("databases").join(self.name)
    }

    /// Its major version on this host.
    pub fn version(&self, host: &HostView) -> u16 {
        self.spec.version.unwrap_or_else(|| host.postgres_version())
    }

    /// The port at which a database of a service is asked for, and the networks on which that listens: the server's own, or those
    /// of the pooler before it.
    pub fn entrance(&self, database: &ServiceDatabase) -> (u16, &[String]) {
        match &self.spec.pgbouncer {
            Some(pooler) if database.pool.is_some() => (pooler.port, self.pooler_networks()),
            _ => (self.spec.port, &self.spec.bind),
        }
    }

    /// The networks on which the pooler listens.
    pub fn pooler_networks(&self) -> &[String] {
        let own = self.spec.pgbouncer.as_ref().map(|pooler| pooler.bind.as_slice()).unwrap_or_default();
        if own.is_empty() { &self.spec.bind } else { own }
    }

    /// Its unit on this host.
    pub fn unit(&self, host: &HostView) -> String {
        // NixOS runs one server; Debian's units are named after their clusters.
        if host.os.family == OsFamily::Nixos {
            return "postgresql.service".into();
        }
        format!("postgresql@{}-main.service", self.version(host))
    }
}

/// A database of a service.
#[derive(Debug, Clone)]
pub struct DatabaseUse<'f> {
    /// Whose it is.
    pub service_name: &'f str,
    /// The service.
    pub service: &'f Service,
    /// What was written.
    pub spec: &'f ServiceDatabase,
    /// Where that stands.
    pub pointer: Pointer,
}

impl<'f> Model<'f> {
    /// All clusters.
    pub fn clusters(&self) -> impl Iterator<Item = ClusterView<'f>> + '_ {
        let fleet = self.fleet;
        fleet.databases.iter().map(|(name, spec)| ClusterView { name, spec }).filter(|cluster| self.takes_part(cluster))
    }

    /// Whether the host of a cluster, if it is on one, takes part.
    fn takes_part(&self, cluster: &ClusterView<'f>) -> bool {
        cluster.spec.host.as_deref().is_none_or(|host| self.host(host).is_some())
    }

    /// The cluster of this name.
    pub fn cluster(&self, name: &str) -> Option<ClusterView<'f>> {
        let (name, spec) = self.fleet.databases.get_key_value(name)?;
        Some(ClusterView { name, spec }).filter(|cluster| self.takes_part(cluster))
    }

    /// The cluster that a service's database is in: the one named, or the only one.
    pub fn cluster_of(&self, database: &ServiceDatabase) -> Option<ClusterView<'f>> {
        match &database.cluster {
            Some(name) => self.cluster(name),
            None => self.clusters().next(),
        }
    }

    /// The databases of services in a cluster.
    pub fn databases_in(&self, cluster: &str) -> &[DatabaseUse<'f>] {
        let all = self.databases.get_or_init(|| self.find_databases());
        all.get(cluster).map(Vec::as_slice).unwrap_or_default()
    }

    fn find_databases(&self) -> BTreeMap<&'f str, Vec<DatabaseUse<'f>>> {
        let mut all: BTreeMap<&str, Vec<DatabaseUse<'f>>> = BTreeMap::new();
        for (service_name, service) in self.services() {
            for (index, spec) in service.databases.iter().enumerate() {
                let Some(cluster) = self.cluster_of(spec) else { continue };
                let pointer = Self::service_at(service_name).join("databases").join(index);
                all.entry(cluster.name).or_default().push(DatabaseUse { service_name, service, spec, pointer });
            }
        }
        all
    }

    /// The host on which a cluster is managed; none means the controller.
    pub fn manager_of(&self, cluster: &ClusterView<'f>) -> Option<&HostView> {
        let name = cluster.spec.run_on.as_deref().or(cluster.spec.host.as_deref())?;
        self.host(name)
    }
}
