//! Routes of tunnels, and who may pass the login in front of them.

use contract::document::{AccessApplication, Tunnel, TunnelRoute};

use crate::fleet::{Auth, Edge, Run, TunnelManagement};
use crate::model::Model;

/// The routes of a tunnel: exact names before wildcards, longer paths before shorter ones.
pub(crate) fn tunnel_routes(model: &Model<'_>, tunnel: &str) -> Vec<TunnelRoute> {
    let Some(end) = model.fleet.tunnels.get(tunnel).and_then(|tunnel| model.host(&tunnel.host)) else {
        return Vec::new();
    };
    let mut routes = Vec::new();
    for served in model.routes().iter().filter(|route| route.edge == Edge::Tunnel(tunnel)) {
        let Some(service) = model.service(served.service) else { continue };
        let Some((_, port)) = served.port else { continue };
        let target =
            model.hosts_of(service).find(|host| host.name == end.name).or_else(|| model.hosts_of(service).next());
        let address = match (target, &service.run) {
            (Some(target), _) => {
                model.address_between(Some(end), target, &port.bind).map(|address| address.to_string())
            }
            (None, Run::External(external)) => external.address.clone(),
            (None, _) => None,
        };
        let Some(address) = address else { continue };
        let address = if address.contains(':') { format!("[{address}]") } else { address };
        for name in &served.names {
            routes.push(TunnelRoute {
                hostname: name.name.clone(),
                path: served.route.path.as_deref().filter(|path| *path != "/").map(|path| format!("^{}", escape(path))),
                service: format!("{}://{address}:{}", served.route.scheme.as_str(), port.port),
                from: vec![served.place.clone()],
            });
        }
    }
    let length = |route: &TunnelRoute| route.path.as_ref().map_or(0, String::len);
    routes.sort_by(|a, b| {
        let wild = |route: &TunnelRoute| route.hostname.starts_with("*.");
        (wild(a), &a.hostname, std::cmp::Reverse(length(a))).cmp(&(wild(b), &b.hostname, std::cmp::Reverse(length(b))))
    });
    routes
}

/// A path as an expression that matches what begins with it.
fn escape(path: &str) -> String {
    let special = |c: char| "\\.+*?()|[]{}^$".contains(c);
    path.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

/// Tunnels whose routes the provider keeps.
pub(super) fn tunnels(model: &Model<'_>) -> Vec<Tunnel> {
    let fleet = model.fleet;
    let remote = fleet.tunnels.iter().filter(|(_, tunnel)| tunnel.managed == TunnelManagement::Remote);
    remote
        .filter_map(|(name, tunnel)| {
            Some(Tunnel {
                name: tunnel.name.clone().unwrap_or_else(|| name.clone()),
                provider: provider(model, tunnel.provider.as_deref())?,
                routes: tunnel_routes(model, name),
            })
        })
        .collect()
}

/// One application for each policy that guards a name.
pub(super) fn access(model: &Model<'_>) -> Vec<AccessApplication> {
    let fleet = model.fleet;
    let mut all = Vec::new();
    for (name, policy) in &fleet.access {
        let guarded = model.routes().iter().filter(|route| {
            matches!(&route.route.auth, Auth::Access(used) if used == name) && matches!(route.edge, Edge::Tunnel(_))
        });
        let mut hostnames: Vec<_> = guarded.flat_map(|route| &route.names).map(|name| name.name.clone()).collect();
        hostnames.sort();
        hostnames.dedup();
        let Some(provider) = provider(model, policy.provider.as_deref()).filter(|_| !hostnames.is_empty()) else {
            continue;
        };
        let people = fleet.people.iter().filter(|(name, person)| {
            policy.people.contains(name) || person.groups.iter().any(|group| policy.groups.contains(group))
        });
        let mut emails: Vec<_> =
            people.flat_map(|(_, person)| person.emails.iter()).chain(&policy.emails).cloned().collect();
        emails.sort();
        emails.dedup();
        all.push(AccessApplication {
            name: name.clone(),
            provider,
            hostnames,
            emails,
            email_domains: policy.email_domains.clone(),
            session: policy.session,
        });
    }
    all
}

/// The provider named, or the only one that has tunnels.
fn provider(model: &Model<'_>, named: Option<&str>) -> Option<String> {
    let mut able = model.fleet.dns.providers.iter().filter(|(_, provider)| provider.cloudflare.is_some());
    match named {
        Some(name) => Some(name.to_owned()),
        None => able.next().filter(|_| able.next().is_none()).map(|(name, _)| name.clone()),
    }
}
