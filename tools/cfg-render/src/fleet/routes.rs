//! Proxy entries as they take effect.

use std::borrow::Cow;
use std::collections::BTreeSet;

use contract::Pointer;

use super::{BackendTls, Fleet, Host, PUBLIC, Port, Route, Service, Through, TlsMode};

/// A proxy entry with everything filled in that it left open.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedRoute<'a> {
    /// The service's name.
    pub service: &'a str,
    /// The hosts on which the service runs and to which this edge passes on.
    pub hosts: Vec<&'a str>,
    /// What takes the requests.
    pub edge: Edge<'a>,
    /// The edge in front, where this one is the proxy of the service's own host.
    pub behind: Option<&'a str>,
    /// The names, each with where its TLS comes from.
    pub names: Vec<RouteName>,
    /// The service's port and its name; none for static sites, redirects and entries that name an unknown one.
    pub port: Option<(&'a str, &'a Port)>,
    /// The entry as it was written.
    pub route: &'a Route,
    /// Where it stands.
    pub place: Pointer,
}

/// What takes the requests for a proxy entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Edge<'a> {
    /// The proxy of this host.
    Host(&'a str),
    /// This tunnel.
    Tunnel(&'a str),
}

/// A name of a proxy entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteName {
    /// The name as DNS holds it: in lower case, `xn--` for other scripts, without a final dot.
    pub name: String,
    /// Where its TLS comes from.
    pub tls: TlsMode,
}

impl ResolvedRoute<'_> {
    /// Whether the internet may reach it.
    pub fn is_public(&self) -> bool {
        self.route.from.iter().any(|network| network == PUBLIC)
    }

    /// Whether the requests are taken by the host on which the service runs.
    pub fn is_at_home(&self) -> bool {
        matches!(self.edge, Edge::Host(edge) if self.hosts == [edge])
    }
}

impl Fleet {
    /// All proxy entries, in the order of services. To be asked of the resolved fleet.
    pub fn routes(&self) -> Vec<ResolvedRoute<'_>> {
        self.services.keys().flat_map(|name| self.routes_of(name)).collect()
    }

    /// The proxy entries of one service. To be asked of the resolved fleet.
    pub fn routes_of(&self, service: &str) -> Vec<ResolvedRoute<'_>> {
        let Some((name, service)) = self.services.get_key_value(service) else { return Vec::new() };
        let routes = service.proxy.iter().enumerate();
        routes.flat_map(|(index, route)| self.resolve_route(name, service, index, route)).collect()
    }

    /// Hosts with a reverse proxy: those that have the key `proxy`, and those that a proxy entry needs one on.
    pub fn edges(&self) -> BTreeSet<&str> {
        let declared = self.hosts.iter().filter(|(_, host)| host.proxy.is_some()).map(|(name, _)| name.as_str());
        let entries =
            self.services.values().flat_map(|service| service.proxy.iter().map(move |route| (service, route)));
        let needed = entries.filter(|(_, route)| route.tunnel.is_none()).flat_map(|(service, route)| {
            let own = service.host.iter().filter(|_| route.via.is_none() || route.backend.through == Through::Proxy);
            route.via.iter().chain(own).map(String::as_str)
        });
        declared.chain(needed).collect()
    }

    /// One entry. Without an edge of its own, a service on several hosts has one on each of them.
    fn resolve_route<'a>(
        &'a self,
        name: &'a str,
        service: &'a Service,
        index: usize,
        route: &'a Route,
    ) -> Vec<ResolvedRoute<'a>> {
        let hosts: Vec<&str> = service.host.iter().map(String::as_str).collect();
        let place = Pointer::of([&"services", &name, &"proxy", &index]);
        let one = |edge: Edge<'a>, hosts: Vec<&'a str>| ResolvedRoute {
            service: name,
            hosts,
            edge,
            behind: None,
            names: self.route_names(name, edge, route),
            port: service.port(route.port.as_deref()),
            route,
            place: place.clone(),
        };
        match (&route.tunnel, &route.via) {
            (Some(tunnel), _) => vec![one(Edge::Tunnel(tunnel), hosts)],
            (None, Some(via)) => vec![one(Edge::Host(via), hosts)],
            (None, None) => hosts.into_iter().map(|host| one(Edge::Host(host), vec![host])).collect(),
        }
    }

    fn route_names(&self, service: &str, edge: Edge<'_>, route: &Route) -> Vec<RouteName> {
        let usual = if route.names.is_empty() { self.usual_names(service, edge) } else { Vec::new() };
        let names = usual.iter().chain(&route.names).map(|name| dns_name(name.trim_end_matches('.')).into_owned());
        names.map(|name| RouteName { tls: usual_tls(&name, route), name }).collect()
    }

    /// The names of an entry that gives none.
    fn usual_names(&self, service: &str, edge: Edge<'_>) -> Vec<String> {
        // A tunnel has the names of the host on which it ends, without those that mean nothing on the internet.
        let (name, tunnel) = match edge {
            Edge::Host(name) => (name, false),
            Edge::Tunnel(name) => (self.tunnels.get(name).map_or("", |tunnel| &*tunnel.host), true),
        };
        let host = self.hosts.get(name);
        let patterns = host.and_then(|host| host.proxy.as_ref()).map(|proxy| proxy.name_patterns.clone());
        let patterns = patterns.unwrap_or_default();
        let domain = host.and_then(|host| self.domain_of(host)).or(self.domain.as_deref());
        let hostname = host.and_then(|host| host.hostname.as_deref()).unwrap_or(name);
        let patterns = if patterns.is_empty() { vec!["{service}.{domain}".into()] } else { patterns };
        let filled = patterns.iter().filter_map(|pattern| {
            if pattern.contains("{domain}") && domain.is_none() {
                return None;
            }
            let pattern = pattern.replace("{service}", service).replace("{host}", hostname);
            Some(pattern.replace("{domain}", domain.unwrap_or_default()))
        });
        filled.filter(|name| !tunnel || !is_special_use(name)).collect()
    }

    /// The domain of a host.
    pub fn domain_of<'a>(&'a self, host: &'a Host) -> Option<&'a str> {
        host.domain.as_deref().or(self.domain.as_deref())
    }
}

/// Proxy entries at every proxy that serves them: at their edges, and, where an edge talks to the proxy of the service's host
/// (`backend.through`), there too. What that proxy speaks is what the edge expects of it: nobody else talks to it.
pub(crate) fn served<'r, 'a>(routes: &'r [ResolvedRoute<'a>]) -> Vec<Cow<'r, ResolvedRoute<'a>>> {
    let mut served = Vec::with_capacity(routes.len());
    for route in routes {
        if let (Edge::Host(edge), Some(_), Through::Proxy) = (route.edge, &route.route.via, route.route.backend.through)
        {
            let tls = match route.route.backend.tls {
                BackendTls::None => TlsMode::None,
                BackendTls::Internal => TlsMode::Internal,
            };
            for host in route.hosts.iter().copied().filter(|host| *host != edge) {
                let names = route.names.iter();
                served.push(Cow::Owned(ResolvedRoute {
                    hosts: vec![host],
                    edge: Edge::Host(host),
                    behind: Some(edge),
                    names: names.map(|name| RouteName { name: name.name.clone(), tls: tls.clone() }).collect(),
                    ..route.clone()
                }));
            }
        }
        served.push(Cow::Borrowed(route));
    }
    served
}

/// A name as DNS and every program hold it (RFC 5891), in lower case; as it is where that cannot be, which `check` says.
pub(crate) fn dns_name(name: &str) -> Cow<'_, str> {
    if name.is_ascii() {
        return if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(name.to_ascii_lowercase())
        } else {
            Cow::Borrowed(name)
        };
    }
    let (star, rest) = name.strip_prefix("*.").map_or(("", name), |rest| ("*.", rest));
    Cow::Owned(
        idna::domain_to_ascii_strict(rest).map_or_else(|_| name.to_lowercase(), |ascii| format!("{star}{ascii}")),
    )
}

/// A name relative to a zone, `@` for the zone itself; `None` where it belongs to another.
pub(crate) fn name_in_zone(name: &str, zone: &str) -> Option<String> {
    let (name, zone) = (dns_name(name.trim_end_matches('.')), dns_name(zone));
    match name.strip_suffix(&*zone)? {
        "" => Some("@".into()),
        rest => rest.strip_suffix('.').map(str::to_owned),
    }
}

/// Where the TLS of a name comes from if the entry does not say.
fn usual_tls(name: &str, route: &Route) -> TlsMode {
    if let Some(tls) = &route.tls {
        return tls.clone();
    }
    if route.tunnel.is_some() {
        TlsMode::Tunnel
    } else if is_special_use(name) || !route.from.iter().any(|network| network == PUBLIC) {
        TlsMode::Internal
    } else {
        TlsMode::Acme
    }
}

/// Whether no public authority certifies such names (RFC 6761, RFC 6762, RFC 8375, ICANN's reservation of `internal`).
pub fn is_special_use(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    ["test", "local", "localhost", "internal", "lan", "home", "corp", "invalid", "example", "onion"].contains(&last)
        || name == "home.arpa"
        || name.ends_with(".home.arpa")
        || !name.contains('.')
}
