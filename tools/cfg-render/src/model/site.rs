//! Names that a host's proxy serves.

use std::collections::BTreeMap;

use contract::Pointer;

use super::{HostView, Model};
use crate::fleet::{
    Auth, BackendTls, LOCAL, Limits, OneOrMany, PUBLIC, Route, Run, Scheme, Service, StaticSite, Through, TlsMode,
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
        self.route.limits.clone().or_else(|| proxy.cloned())
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
    /// `address:port`, and what is spoken there.
    Address(String, Scheme),
    /// To another address.
    Redirect(&'f str),
    /// Nowhere that can be reached.
    Unreachable,
}

/// Where the TLS of names comes from, given what was written.
pub fn tls_of(route: &Route, names: &[String]) -> TlsMode {
    if let Some(tls) = &route.tls {
        return tls.clone();
    }
    if route.tunnel.is_some() {
        return TlsMode::Tunnel;
    }
    let private = names.iter().any(|name| is_private_name(name));
    if private || !route.from.iter().any(|network| network == PUBLIC) { TlsMode::Internal } else { TlsMode::Acme }
}

/// Names that no public authority certifies.
fn is_private_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [".test", ".internal", ".lan", ".local", ".home.arpa", ".localhost"].iter().any(|suffix| name.ends_with(suffix))
        || !name.contains('.')
}

impl<'f> Model<'f> {
    /// The names of a route as the proxy of `edge` serves it.
    pub fn names_of(&self, service: &str, route: &Route, edge: &HostView) -> Vec<String> {
        if !route.names.is_empty() {
            return route.names.iter().map(|name| name.to_ascii_lowercase()).collect();
        }
        let domain = self.domain_of(edge).unwrap_or("internal");
        let fill = |pattern: &str| {
            pattern
                .replace("{service}", service)
                .replace("{host}", edge.hostname())
                .replace("{domain}", domain)
                .to_ascii_lowercase()
        };
        let patterns = edge.proxy().name_patterns;
        if patterns.is_empty() {
            vec![fill("{service}.{domain}")]
        } else {
            patterns.iter().map(|pattern| fill(pattern)).collect()
        }
    }

    /// The hosts whose proxies serve a route: first the edge, then, where the edge talks to that, the service's own.
    pub fn edges_of(&self, service: &Service, route: &Route) -> Vec<&HostView> {
        if route.tunnel.is_some() {
            return Vec::new();
        }
        let own = &service.host;
        let Some(via) = &route.via else { return self.named(own) };
        let mut edges = self.named(&OneOrMany(vec![via.clone()]));
        if route.backend.through == Through::Proxy {
            edges.extend(self.named(own).into_iter().filter(|host| host.name != *via));
        }
        edges
    }

    fn named(&self, names: &OneOrMany) -> Vec<&HostView> {
        names.iter().filter_map(|name| self.host(name)).collect()
    }

    /// Everything that the proxy of a host serves.
    pub fn sites(&self, host: &HostView) -> Vec<Site<'f>> {
        let mut by_name: BTreeMap<String, Vec<(Entry<'f>, TlsMode)>> = BTreeMap::new();
        for (service_name, service) in self.services() {
            for (index, route) in service.proxy.iter().enumerate() {
                if !self.edges_of(service, route).iter().any(|edge| edge.name == host.name) {
                    continue;
                }
                let names = self.names_of(service_name, route, host);
                let tls = tls_of(route, &names);
                let entry = Entry {
                    service: service_name,
                    route,
                    pointer: Self::service_at(service_name).join("proxy").join(index),
                    path: route.path.clone().unwrap_or_else(|| "/".into()),
                    upstream: self.upstream(host, service, route),
                };
                for name in names {
                    by_name.entry(name).or_default().push((entry.clone(), tls.clone()));
                }
            }
        }
        let mut sites: Vec<Site<'f>> = Vec::new();
        let mut known: BTreeMap<Vec<Pointer>, usize> = BTreeMap::new();
        for (name, mut entries) in by_name {
            entries.sort_by(|(a, _), (b, _)| b.path.len().cmp(&a.path.len()).then_with(|| a.pointer.cmp(&b.pointer)));
            let tls = entries.first().map_or(TlsMode::None, |(_, tls)| tls.clone());
            let entries: Vec<_> = entries.into_iter().map(|(entry, _)| entry).collect();
            let key = entries.iter().map(|entry| entry.pointer.clone()).collect();
            let same = known.get(&key).and_then(|place| sites.get_mut(*place)).filter(|site| site.tls == tls);
            match same {
                Some(site) => site.names.push(name),
                None => {
                    known.insert(key, sites.len());
                    sites.push(Site { names: vec![name], tls, entries });
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

    fn upstream(&self, edge: &HostView, service: &'f Service, route: &'f Route) -> Upstream<'f> {
        if let Some(target) = &route.redirect {
            return Upstream::Redirect(target);
        }
        let local = service.host.iter().any(|name| *name == edge.name);
        if let (Run::Static(site), true) = (&service.run, local) {
            return Upstream::Files(site);
        }
        let Some(target) = (if local { Some(edge) } else { self.hosts_of(service).next() }) else {
            let Run::External(external) = &service.run else { return Upstream::Unreachable };
            return match (&external.address, service.port(route.port.as_deref())) {
                (Some(address), Some((_, port))) => Upstream::Address(format!("{address}:{}", port.port), route.scheme),
                _ => Upstream::Unreachable,
            };
        };
        if !local && route.backend.through == Through::Proxy {
            let proxy = target.proxy();
            let (port, scheme) = match route.backend.tls {
                BackendTls::None => (proxy.http_port, Scheme::Http),
                BackendTls::Internal => (proxy.https_port, Scheme::Https),
            };
            let address = route.backend.network.as_deref().and_then(|network| target.address(network));
            let address =
                address.or_else(|| self.shared_network(edge, target).and_then(|network| target.address(&network)));
            return address.map_or(Upstream::Unreachable, |address| Upstream::Address(socket(address, port), scheme));
        }
        let Some((_, port)) = service.port(route.port.as_deref()) else { return Upstream::Unreachable };
        let network = route.backend.network.as_deref().filter(|_| !local && port.bind != LOCAL);
        let address = match network {
            Some(network) => target.address(network),
            None => self.address_between(Some(edge), target, &port.bind),
        };
        address.map_or(Upstream::Unreachable, |address| Upstream::Address(socket(address, port.port), route.scheme))
    }

    /// Whether a route can be rendered with its guard; one whose guard is missing must not be served open.
    pub fn auth_is_rendered(auth: &Auth) -> bool {
        matches!(auth, Auth::None | Auth::Basic(_))
    }
}

/// `address:port`, with brackets for IPv6.
fn socket(address: std::net::IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(address, port).to_string()
}
