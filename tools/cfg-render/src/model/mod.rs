//! The fleet by host: what each is, what its proxy serves, which secrets it gets and whose they become there. An index over
//! the one meaning of a fleet, which `fleet` works out (`Fleet::resolved`, `served`, `secret_uses`); nothing is worked out
//! twice, so that no two documents can disagree.
//!
//! Invariant: built once from a fleet that `check` found good; on one that it did not, nothing here panics.

mod agent;
mod backup;
mod by_host;
mod certificate;
mod database;
mod environment;
mod forward;
mod host_view;
mod names;
mod people;
mod scrape;
mod secret_use;
mod service_database;
mod sites;
mod sso;
mod units;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::OnceLock;

use contract::Pointer;
use contract::document::Engine;

use self::by_host::ByHost;
use self::secret_use::SecretTable;
use crate::fleet::{ANY, Dependency, Fleet, LOCAL, OsFamily, PUBLIC, Port, ProxyKind, Service};

pub use agent::{AgentView, ZabbixServer};
pub use certificate::{Certificate, CertificateStore};
pub(crate) use certificate::{file_name, hex};
pub use database::{ClusterView, DatabaseUse};
pub use environment::Resolved;
pub use forward::Forward;
pub use host_view::HostView;
pub use names::LocalName;
pub use scrape::Scrape;
pub use secret_use::{SecretFile, SecretUse};
pub use service_database::ServiceDatabaseView;
pub use sites::{Entry, Site, Upstream};
pub use sso::{OidcClient, is_program};

/// The secret with the key of the internal CA, which only administrators can read.
pub const CA_KEY: &str = "ca-key";

/// The group in which a proxy's workers are, so that they can read what it is given.
pub const fn proxy_group(kind: ProxyKind) -> &'static str {
    match kind {
        ProxyKind::Nginx => "www-data",
        ProxyKind::Caddy => "caddy",
        ProxyKind::Traefik => "traefik",
    }
}

/// The fleet as it is meant.
#[derive(Debug)]
pub struct Model<'f> {
    /// As it was written, with what is switched off.
    pub written: &'f Fleet,
    /// As it takes effect.
    pub fleet: &'f Fleet,
    hosts: BTreeMap<&'f str, HostView>,
    by_host: ByHost<'f>,
    sites: OnceLock<BTreeMap<&'f str, Vec<Site<'f>>>>,
    scrapes: OnceLock<Vec<Scrape>>,
    databases: OnceLock<BTreeMap<&'f str, Vec<DatabaseUse<'f>>>>,
    dependencies: OnceLock<BTreeMap<String, Vec<Dependency>>>,
    secret_uses: OnceLock<Vec<crate::fleet::SecretUse>>,
    secrets: OnceLock<SecretTable>,
}

impl<'f> Model<'f> {
    /// Looks at a fleet: as it was written, which says where things stand, and as it takes effect (`Fleet::resolved`).
    pub fn new(written: &'f Fleet, fleet: &'f Fleet) -> Self {
        let hosts = fleet.hosts.iter().map(|(name, host)| (name.as_str(), HostView::new(written, name, host)));
        let hosts = hosts.collect();
        Self {
            written,
            fleet,
            hosts,
            by_host: ByHost::of(fleet),
            sites: OnceLock::new(),
            scrapes: OnceLock::new(),
            databases: OnceLock::new(),
            dependencies: OnceLock::new(),
            secret_uses: OnceLock::new(),
            secrets: OnceLock::new(),
        }
    }

    /// Every place that mentions a secret, once for each holder.
    pub(crate) fn secret_uses(&self) -> &[crate::fleet::SecretUse] {
        self.secret_uses.get_or_init(|| self.fleet.secret_uses_with(self.routes()))
    }

    fn secret_table(&self) -> &SecretTable {
        self.secrets.get_or_init(|| self.find_secrets())
    }

    /// The hosts that take part, by name.
    pub fn hosts(&self) -> impl Iterator<Item = &HostView> {
        self.hosts.values()
    }

    /// The host of this name, if it takes part.
    pub fn host(&self, name: &str) -> Option<&HostView> {
        self.hosts.get(name)
    }

    /// The services that take part, by name.
    pub fn services(&self) -> impl Iterator<Item = (&'f str, &'f Service)> + '_ {
        self.fleet.services.iter().map(|(name, service)| (name.as_str(), &**service))
    }

    /// The service of this name, if it takes part.
    pub fn service(&self, name: &str) -> Option<&'f Service> {
        self.fleet.services.get(name).map(|service| &**service)
    }

    /// What a service depends on.
    pub fn dependencies_of(&self, service: &str) -> &[Dependency] {
        let all = self.dependencies.get_or_init(|| {
            let mut by_service: BTreeMap<String, Vec<Dependency>> = BTreeMap::new();
            for dependency in self.fleet.dependencies() {
                by_service.entry(dependency.service.clone()).or_default().push(dependency);
            }
            by_service
        });
        all.get(service).map(Vec::as_slice).unwrap_or_default()
    }

    /// The hosts of a service.
    pub fn hosts_of<'m>(&'m self, service: &'m Service) -> impl Iterator<Item = &'m HostView> {
        service.host.iter().filter_map(|name| self.host(name))
    }

    /// The place of a service in the fleet.
    pub fn service_at(name: &str) -> Pointer {
        Pointer::root().join("services").join(name)
    }

    /// The address on which a port of a host is reached from another host (or the same): loopback on the same host where
    /// that is enough, else the address on the network that the two share. `None` where there is no way, also because one
    /// speaks IPv4 there and the other IPv6.
    pub fn address_between(&self, from: Option<&HostView>, to: &HostView, bind: &str) -> Option<IpAddr> {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        if from.is_some_and(|from| from.name == to.name) {
            return match bind {
                LOCAL | ANY => Some(loopback),
                network => to.address(network),
            };
        }
        match bind {
            LOCAL => None,
            ANY => match from {
                Some(from) => self
                    .shared_network(from, to)
                    .and_then(|network| to.address(&network))
                    .or_else(|| to.address(PUBLIC).filter(|address| speaks(from, PUBLIC, *address))),
                None => to.any_address(),
            },
            network => to.address(network).filter(|address| from.is_none_or(|from| speaks(from, network, *address))),
        }
    }

    /// The first network on which both hosts have an address, of the same family.
    pub fn shared_network(&self, a: &HostView, b: &HostView) -> Option<String> {
        a.spec
            .addresses
            .keys()
            .filter(|network| *network != PUBLIC)
            .find(|network| b.address(network).is_some_and(|address| speaks(a, network, address)))
            .cloned()
    }

    /// The packages of Debian that a service comes from: those that are named, else those of its role, else one of its name.
    pub fn packages_of(&self, name: &str, run: &crate::fleet::PackageRun) -> Vec<String> {
        let monitoring = &self.fleet.monitoring;
        if !run.packages.is_empty() {
            run.packages.clone()
        } else if self.is_zabbix_web(name) {
            // A web server runs it, with packages of its own.
            Vec::new()
        } else if self.is_zabbix_server(name) {
            vec!["zabbix-server-pgsql".into()]
        } else if monitoring.alertmanager.as_ref().is_some_and(|role| role.service == name) {
            vec!["prometheus-alertmanager".into()]
        } else {
            vec![name.to_owned()]
        }
    }

    /// The addresses from which connections of a host to an address of another may come: those on the same network and of
    /// the same family.
    pub(crate) fn sources_to(&self, from: &HostView, to: &HostView, target: IpAddr) -> Vec<IpAddr> {
        let on = |network: &str| {
            let own = from.spec.addresses.get(network).into_iter().flatten();
            own.filter(|own| own.is_ipv4() == target.is_ipv4()).copied().collect::<Vec<_>>()
        };
        let network = to.spec.addresses.iter().find(|(_, all)| all.contains(&target));
        let own = network.map(|(network, _)| on(network)).unwrap_or_default();
        if own.is_empty() { self.shared_network(from, to).map(|network| on(&network)).unwrap_or_default() } else { own }
    }

    /// All addresses with which a host may come to another: those on the networks that they share, else those on the
    /// internet.
    pub(crate) fn addresses_towards(from: &HostView, to: &HostView) -> Vec<IpAddr> {
        let on = |wanted: &dyn Fn(&String) -> bool| -> Vec<IpAddr> {
            let networks = from.spec.addresses.iter().filter(|(network, _)| wanted(network));
            networks.flat_map(|(_, all)| all).copied().collect()
        };
        let shared = on(&|network| network != PUBLIC && to.address(network).is_some());
        let internet = if shared.is_empty() { on(&|network| network == PUBLIC) } else { shared };
        if internet.is_empty() { on(&|_| true) } else { internet }
    }

    /// The networks over which a host reaches what listens on `binds` of another.
    pub fn networks_between<'m>(&self, from: &'m HostView, to: &'m HostView, binds: &[String]) -> Vec<&'m str> {
        let shared = from.spec.addresses.keys().filter(|network| to.address(network).is_some());
        let all = binds.iter().any(|bind| bind == ANY);
        shared
            .filter(|network| if all { *network != PUBLIC } else { binds.contains(network) })
            .map(String::as_str)
            .collect()
    }

    /// The address on which a service's port listens, as a configuration writes it.
    pub fn listen_address(&self, host: &HostView, port: &Port) -> Option<IpAddr> {
        match port.bind.as_str() {
            LOCAL => Some(IpAddr::from([127, 0, 0, 1])),
            ANY => None,
            network => host.address(network),
        }
    }

    /// Ranges of the named networks; empty for the internet.
    pub fn ranges(&self, networks: &[String]) -> Vec<ipnet::IpNet> {
        if networks.iter().any(|network| network == PUBLIC || network == ANY) {
            return Vec::new();
        }
        let ranges: BTreeSet<_> = networks
            .iter()
            .filter_map(|name| self.fleet.networks.get(name))
            .flat_map(crate::fleet::Network::ranges)
            .map(|cidr| cidr.0)
            .collect();
        ranges.into_iter().collect()
    }

    /// The domain of a host.
    pub fn domain_of<'m>(&'m self, host: &'m HostView) -> Option<&'m str> {
        self.fleet.domain_of(&host.spec)
    }

    /// The unit of a service on its host, where it has one.
    pub fn unit_of(&self, name: &str, service: &Service) -> Option<String> {
        use crate::fleet::Run;
        match &service.run {
            Run::Systemd(_) => Some(format!("{name}.service")),
            // A web server runs it: there is no unit of its name.
            Run::Package(run) if run.unit.is_none() && self.is_zabbix_web(name) => Some("apache2.service".into()),
            Run::Package(run) if run.unit.is_none() && self.is_zabbix_server(name) => {
                Some("zabbix-server.service".into())
            }
            Run::Package(run) => Some(run.unit.clone().unwrap_or_else(|| {
                match self.packages_of(name, run).first().map_or(name, String::as_str) {
                    // The one that is not called like its package.
                    "grafana" | "grafana-enterprise" => "grafana-server.service".into(),
                    package => format!("{package}.service"),
                }
            })),
            Run::External(run) => run.unit.clone(),
            Run::Nixos(run) => Some(
                run.units
                    .first()
                    .cloned()
                    .or_else(|| units::of_module(&run.module))
                    .unwrap_or_else(|| format!("{}.service", run.module.rsplit('.').next().unwrap_or(name))),
            ),
            // One unit stands for all containers of a service.
            Run::Container(_) | Run::Containers(_) | Run::Compose(_) => Some(format!("{name}.service")),
            Run::Static(_) | Run::HomeManager(_) => None,
        }
    }

    /// The units of a service on a host, with the container that each runs. Where containers are a project, its unit stands for all;
    /// on NixOS each has its own.
    pub fn units_on(&self, host: &HostView, name: &str, service: &Service) -> Vec<(Option<String>, String)> {
        let containers = service.run.containers();
        if host.os.family != OsFamily::Nixos || containers.is_empty() {
            return self.unit_of(name, service).map(|unit| (None, unit)).into_iter().collect();
        }
        let docker = host.spec.containers.as_ref().is_some_and(|spec| spec.engine == Engine::Docker);
        let engine = if docker { "docker" } else { "podman" };
        if containers.len() == 1 {
            return vec![(None, format!("{engine}-{name}.service"))];
        }
        let unit = |container: &str| (Some(container.to_owned()), format!("{engine}-{name}-{container}.service"));
        containers.iter().map(|(container, _)| unit(container)).collect()
    }

    /// Whose manager runs the unit of a service, as `user:NAME`; none for the system's.
    pub fn scope_of(&self, service: &Service) -> Option<String> {
        use crate::fleet::Run;
        let of_user = matches!(&service.run, Run::Systemd(run) if run.user_unit);
        service.user.as_ref().filter(|_| of_user).map(|user| format!("user:{user}"))
    }

    /// The system user of a service: the one named, else that of its kind.
    pub fn user_of(&self, name: &str, service: &Service) -> Option<String> {
        use crate::fleet::Run;
        service.user.clone().or_else(|| match &service.run {
            Run::Systemd(run) if !run.user_unit => Some(name.to_owned()),
            _ => None,
        })
    }
}

/// Whether a host has an address of the same family on a network; one without any there may still have a way to it.
fn speaks(from: &HostView, network: &str, address: IpAddr) -> bool {
    let own = from.spec.addresses.get(network).map(Vec::as_slice).unwrap_or_default();
    own.is_empty() || own.iter().any(|own| own.is_ipv4() == address.is_ipv4())
}
