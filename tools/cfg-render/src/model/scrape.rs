//! What Prometheus asks for metrics.

use std::collections::BTreeMap;

use contract::{Duration, Pointer, SecretName};

use super::{HostView, Model};
use crate::fleet::{LOCAL, Port};

/// One target of Prometheus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scrape {
    /// Its job.
    pub job: String,
    /// `host:port`.
    pub target: String,
    /// Labels on it.
    pub labels: BTreeMap<String, String>,
    /// Path.
    pub path: Option<String>,
    /// It speaks TLS.
    pub tls: bool,
    /// How often.
    pub interval: Option<Duration>,
    /// Parameters.
    pub params: BTreeMap<String, Vec<String>>,
    /// Secret with the bearer token.
    pub bearer: Option<SecretName>,
    /// Host and port of the fleet, for the firewall: it must be reachable from Prometheus.
    pub on: Option<(String, u16)>,
    /// Where it stands in the fleet.
    pub pointer: Pointer,
}

impl Model<'_> {
    /// The host of Prometheus and the name of its service.
    pub fn prometheus(&self) -> Option<(&HostView, &str)> {
        let spec = self.fleet.monitoring.prometheus.as_ref()?;
        let (name, service) = self.fleet.services.get_key_value(&spec.service)?;
        let host = self.hosts_of(service).next()?;
        service.enable.then_some((host, name.as_str()))
    }

    /// Everything that Prometheus asks, by job and target.
    pub fn scrapes(&self) -> &[Scrape] {
        self.scrapes.get_or_init(|| self.find_scrapes())
    }

    fn find_scrapes(&self) -> Vec<Scrape> {
        let Some((prometheus, own)) = self.prometheus() else { return Vec::new() };
        let mut all = Vec::new();
        let on_host = |host: &HostView, address: std::net::IpAddr, port: u16, job: &str, pointer: Pointer| Scrape {
            job: job.to_owned(),
            target: std::net::SocketAddr::new(address, port).to_string(),
            labels: BTreeMap::from([("host".to_owned(), host.name.clone())]),
            path: None,
            tls: false,
            interval: None,
            params: BTreeMap::new(),
            bearer: None,
            on: Some((host.name.clone(), port)),
            pointer,
        };
        for host in self.hosts() {
            for agent in self.agents(host) {
                if let Some(address) = self.address_between(Some(prometheus), host, &agent.bind) {
                    all.push(on_host(host, address, agent.port, agent.name, agent.pointer));
                }
            }
        }
        for (name, service) in self.services() {
            for host in self.hosts_of(service) {
                for (index, metrics) in service.metrics.iter().enumerate() {
                    let port =
                        metrics.port.as_deref().or_else(|| service.ports.contains_key("metrics").then_some("metrics"));
                    let Some((_, port)) = service.port(port) else { continue };
                    let Some(address) = self.address_between(Some(prometheus), host, &port.bind) else { continue };
                    let pointer = Self::service_at(name).join("metrics").join(index);
                    let job = metrics.job.as_deref().unwrap_or(name);
                    let mut scrape = on_host(host, address, port.port, job, pointer);
                    scrape.labels.insert("service".into(), name.to_owned());
                    scrape.path.clone_from(&metrics.path);
                    scrape.tls = metrics.tls;
                    scrape.interval = metrics.interval;
                    scrape.params.clone_from(&metrics.params);
                    scrape.bearer = metrics.bearer.as_ref().map(|secret| secret.secret.clone());
                    all.push(scrape);
                }
            }
        }
        // Prometheus watches itself unless the service says how.
        if let Some(service) = self.service(own).filter(|service| service.metrics.is_empty()) {
            let port = service.port(None).map_or_else(|| Port::local(9090), |(_, port)| port.clone());
            if let Some(address) = self.address_between(
                Some(prometheus),
                prometheus,
                if port.bind.is_empty() { LOCAL } else { &port.bind },
            ) {
                let mut scrape = on_host(prometheus, address, port.port, "prometheus", Self::service_at(own));
                scrape.labels.insert("service".into(), own.to_owned());
                all.push(scrape);
            }
        }
        let spec = self.fleet.monitoring.prometheus.iter().flat_map(|spec| spec.scrape.iter().enumerate());
        for (index, extra) in spec {
            let pointer =
                ["monitoring", "prometheus", "scrape"].iter().fold(Pointer::root(), |at, key| at.join(key)).join(index);
            for target in &extra.targets {
                all.push(Scrape {
                    job: extra.job.clone(),
                    target: target.clone(),
                    labels: extra.labels.clone(),
                    path: extra.path.clone(),
                    tls: extra.tls,
                    interval: None,
                    params: BTreeMap::new(),
                    bearer: extra.bearer.as_ref().map(|secret| secret.secret.clone()),
                    on: None,
                    pointer: pointer.clone(),
                });
            }
        }
        all.sort_by(|a, b| (&a.job, &a.target).cmp(&(&b.job, &b.target)));
        all
    }
}
