//! Names that a host's proxy serves.

use std::collections::BTreeMap;
use std::net::IpAddr;

use contract::Pointer;

use super::{Certificate, HostView, Model};
use crate::fleet::{
    BackendTls, Edge, LOCAL, Limits, PUBLIC, Port, ProxyServer, Route, Run, Scheme, Service, StaticSite, Through,
    TlsMode, served,
};

/// Names with the same entries behind them.
#[derive(Debug, Clone)]
pub struct Site<'f> {
    /// The names, the first of them naming the site.
    pub names: Vec<String>,
    /// Where its TLS comes from.
    pub tls: TlsMode,
    /// What is behind it, longest path first.
    pub entries: Vec<Entry<'f>>,
    /// Its certificate, where it is one of files.
    pub certificate: Option<Certificate>,
}

impl Site<'_> {
    /// What the site is called in file names.
    pub fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }

    /// Places in the fleet that made it.
    pub fn from(&self) -> Vec<Pointer> {
        self.entries.iter().map(|entry| entry.pointer.clone()).collect()
    }
}

/// One entry of a site.
#[derive(Debug, Clone)]
pub struct Entry<'f> {
    /// Whose it is.
    pub service: &'f str,
    /// What was written.
    pub route: &'f Route,
    /// The edge in front, where this is the proxy of the service's own host. It alone talks to us, and has done what a
    /// public proxy does: login, rate limits, headers.
    pub behind: Option<&'f str>,
    /// The upstream shows a certificate of the internal CA for the name that was asked for.
    pub verify: bool,
    /// Where that stands.
    pub pointer: Pointer,
    /// Requests whose path begins with this.
    pub path: String,
    /// Where they go.
    pub upstream: Upstream<'f>,
}

impl Entry<'_> {
    /// The rate limit, given the proxy's.
    pub fn limits(&self, proxy: Option<&Limits>) -> Option<Limits> {
        if self.behind.is_some() {
            return None;
        }
        self.route.limits.clone().or_else(|| proxy.cloned())
    }

    /// Whether it is served over HTTP/3, given the proxy.
    pub fn http3(&self, proxy: &ProxyServer) -> bool {
        self.route.http3.unwrap_or(proxy.http3)
    }

    /// Whether everybody may reach it.
    pub fn is_public(&self) -> bool {
        self.route.from.iter().any(|network| network == PUBLIC)
    }
}

/// Where requests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstream<'f> {
    /// Files on the same host.
    Files(&'f StaticSite),
    /// One `address:port` or several that share the requests, and what is spoken there.
    Addresses(Vec<String>, Scheme),
    /// To another address.
    Redirect(&'f str),
    /// Nowhere that can be reached.
    Unreachable,
}

impl<'f> Model<'f> {
    /// Everything that the proxy of a host serves.
    pub fn sites(&self, host: &HostView) -> &[Site<'f>] {
        let all = self.sites.get_or_init(|| self.find_sites());
        all.get(host.name.as_str()).map(Vec::as_slice).unwrap_or_default()
    }

    fn find_sites(&self) -> BTreeMap<&'f str, Vec<Site<'f>>> {
        let mut by_host: BTreeMap<&'f str, ByName<'f>> = BTreeMap::new();
        for served in served(self.routes()) {
            let Edge::Host(edge) = served.edge else { continue };
            let Some((host, service)) = self.host(edge).zip(self.service(served.service)) else { continue };
            let here = service.host.iter().any(|name| name == edge);
            let entry = Entry {
                service: served.service,
                route: served.route,
                behind: served.behind,
                verify: !here && served.route.backend.tls == BackendTls::Internal,
                pointer: served.place.clone(),
                path: served.route.path.clone().unwrap_or_else(|| "/".into()),
                upstream: self.upstream(host, service, served.route),
            };
            let by_name = by_host.entry(edge).or_default();
            for name in &served.names {
                by_name.entry(name.name.clone()).or_default().push((entry.clone(), name.tls.clone()));
            }
        }
        let with_certificates = |(host, by_name)| {
            let mut sites = sites_of(by_name);
            if let Some(host) = self.host(host) {
                for site in &mut sites {
                    site.certificate = Certificate::of_site(host, site);
                }
            }
            (host, sites)
        };
        by_host.into_iter().map(with_certificates).collect()
    }

    fn upstream(&self, edge: &HostView, service: &'f Service, route: &'f Route) -> Upstream<'f> {
        if let Some(target) = &route.redirect {
            return Upstream::Redirect(target);
        }
        let local = service.host.iter().any(|name| *name == edge.name);
        if let (Run::Static(site), true) = (&service.run, local) {
            return Upstream::Files(site);
        }
        if service.host.iter().next().is_none() {
            let Run::External(external) = &service.run else { return Upstream::Unreachable };
            return match (&external.address, service.port(route.port.as_deref())) {
                (Some(address), Some((_, port))) => {
                    Upstream::Addresses(vec![format!("{address}:{}", port.port)], route.scheme)
                }
                _ => Upstream::Unreachable,
            };
        }
        if let (Some(socket), true) = (route.fastcgi.as_ref().and_then(|spec| spec.socket.as_ref()), local) {
            return Upstream::Addresses(vec![format!("unix:{socket}")], route.scheme);
        }
        // Where the service is here, nobody has to go further.
        let (addresses, scheme): (Vec<_>, _) = if local {
            (self.address_of(edge, edge, service, route).into_iter().collect(), route.scheme)
        } else if route.backend.through == Through::Proxy {
            let scheme = match route.backend.tls {
                BackendTls::None => Scheme::Http,
                BackendTls::Internal => Scheme::Https,
            };
            (self.hosts_of(service).filter_map(|host| self.address_of_proxy(edge, host, route)).collect(), scheme)
        } else {
            let hosts = self.hosts_of(service);
            (hosts.filter_map(|host| self.address_of(edge, host, service, route)).collect(), route.scheme)
        };
        if addresses.is_empty() { Upstream::Unreachable } else { Upstream::Addresses(addresses, scheme) }
    }

    /// Where an edge finds the port of a service on one of its hosts.
    fn address_of(&self, edge: &HostView, host: &HostView, service: &Service, route: &Route) -> Option<String> {
        let (_, port) = service.port(route.port.as_deref())?;
        Some(socket(self.address_of_port(edge, host, port, route)?, port.port))
    }

    /// The address at which an edge finds a port of another host, or of its own.
    pub(crate) fn address_of_port(
        &self,
        edge: &HostView,
        host: &HostView,
        port: &Port,
        route: &Route,
    ) -> Option<IpAddr> {
        let network = route.backend.network.as_deref().filter(|_| host.name != edge.name && port.bind != LOCAL);
        match network {
            Some(network) => host.address(network),
            None => self.address_between(Some(edge), host, &port.bind),
        }
    }

    /// Where an edge finds the proxy of another host.
    fn address_of_proxy(&self, edge: &HostView, host: &HostView, route: &Route) -> Option<String> {
        let proxy = host.proxy();
        let port = match route.backend.tls {
            BackendTls::None => proxy.http_port,
            BackendTls::Internal => proxy.https_port,
        };
        Some(socket(self.address_of_other_proxy(edge, host, route)?, port))
    }

    /// The address at which an edge finds the proxy of another host: over the internet only with TLS between the two.
    pub(crate) fn address_of_other_proxy(&self, edge: &HostView, host: &HostView, route: &Route) -> Option<IpAddr> {
        let named = route.backend.network.as_deref().and_then(|network| host.address(network));
        let shared = || self.shared_network(edge, host).and_then(|network| host.address(&network));
        let internet = || {
            let safe = route.backend.tls == BackendTls::Internal;
            safe.then(|| self.address_between(Some(edge), host, PUBLIC)).flatten()
        };
        named.or_else(shared).or_else(internet)
    }
}

type ByName<'f> = BTreeMap<String, Vec<(Entry<'f>, TlsMode)>>;

/// Names with the same entries behind them are one site.
fn sites_of(by_name: ByName<'_>) -> Vec<Site<'_>> {
    let mut sites: Vec<Site<'_>> = Vec::new();
    let mut known: BTreeMap<(Vec<Pointer>, &'static str), usize> = BTreeMap::new();
    for (name, mut entries) in by_name {
        entries.sort_by(|(a, _), (b, _)| b.path.len().cmp(&a.path.len()).then_with(|| a.pointer.cmp(&b.pointer)));
        let tls = entries.first().map_or(TlsMode::None, |(_, tls)| tls.clone());
        let entries: Vec<_> = entries.into_iter().map(|(entry, _)| entry).collect();
        let key = (entries.iter().map(|entry| entry.pointer.clone()).collect(), tls.as_str());
        let same = known.get(&key).and_then(|place| sites.get_mut(*place)).filter(|site| site.tls == tls);
        match same {
            Some(site) => site.names.push(name),
            None => {
                known.insert(key, sites.len());
                sites.push(Site { names: vec![name], tls, entries, certificate: None });
            }
        }
    }
    // The order that a person wrote decides which name the site is called by.
    for site in &mut sites {
        if let Some(first) = site.entries.first() {
            let order = &first.route.names;
            site.names.sort_by_key(|name| order.iter().position(|written| written.eq_ignore_ascii_case(name)));
        }
    }
    sites
}

/// `address:port`, with brackets for IPv6.
fn socket(address: std::net::IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(address, port).to_string()
}
