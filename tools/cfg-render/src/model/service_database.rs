//! How a service reaches a database of its own.

use contract::{Pointer, SecretName};

use super::{HostView, Model};
use crate::fleet::{DatabaseAuth, Service};

/// How a service on a host reaches its first database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceDatabaseView {
    /// Address of the server, or the folder of its socket.
    pub server: String,
    /// Its port.
    pub port: u16,
    /// `server` is the folder of a socket.
    pub socket: bool,
    /// The database.
    pub name: String,
    /// The role.
    pub user: String,
    /// The role's password; none where the system's user is proof enough.
    pub password: Option<SecretName>,
    /// Where it stands in the fleet.
    pub at: Pointer,
}

impl Model<'_> {
    /// How a service on this host reaches its first database; none where it has none, or no way to it.
    pub fn first_database(&self, host: &HostView, name: &str, service: &Service) -> Option<ServiceDatabaseView> {
        let spec = service.databases.first()?;
        let cluster = self.cluster_of(spec)?;
        let here = cluster.spec.host.as_deref() == Some(&host.name);
        let server = match &cluster.spec.external {
            Some(external) => external.address.clone(),
            None if here && spec.auth() == DatabaseAuth::Peer => "/run/postgresql".into(),
            None if here => "127.0.0.1".into(),
            None => {
                let target = cluster.spec.host.as_deref().and_then(|host| self.host(host))?;
                let network = cluster.spec.bind.iter().find(|network| host.address(network).is_some())?;
                target.address(network)?.to_string()
            }
        };
        Some(ServiceDatabaseView {
            socket: server.starts_with('/'),
            server,
            port: cluster.spec.port,
            name: spec.name_or(name),
            user: spec.owner_or(name),
            password: spec.password.as_ref().map(|secret| secret.secret.clone()),
            at: Self::service_at(name).join("databases").join(0),
        })
    }
}
