//! What a reverse proxy can do, and whether it reaches what is behind it.

use contract::{Finding, Pointer};

use super::context::{Context, place};
use crate::fleet::{
    ANY, AcmeChallenge, BackendTls, Edge, Host, LOCAL, OsFamily, PUBLIC, Port, ProxyKind, ProxyServer, ResolvedRoute,
    Run, Scheme, Through, TlsMode,
};

/// `unsupported-feature`, `unreachable-upstream`.
pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    for edge in context.fleet.edges() {
        if let Some(host) = context.hosts().get(edge) {
            server(edge, host, found);
        }
    }
    let usual = ProxyServer::default();
    for route in context.routes {
        if let Edge::Host(edge) = route.edge {
            let proxy = context.hosts().get(edge).and_then(|host| host.proxy.as_ref());
            entry(route, proxy.unwrap_or(&usual), found);
        } else if matches!(route.route.scheme, Scheme::H2c | Scheme::Fastcgi) {
            let message = format!("a tunnel does not speak {}", route.route.scheme.as_str());
            let fix = "put a reverse proxy before the service and lead the tunnel there";
            found.push(unsupported(route.place.join("scheme"), message, fix));
        } else {
            behind_tunnel(context, route, found);
        }
        upstream(context, route, found);
    }
    exposed(context, found);
}

fn unsupported(at: Pointer, message: String, fix: &str) -> Finding {
    Finding::error("unsupported-feature", at, message).fix(fix)
}

/// The version that a release brings, as numbers.
fn version(host: &Host, proxy: &ProxyServer) -> Option<(u32, u32)> {
    if let Some(version) = &proxy.version {
        let mut parts = version.trim_start_matches('v').split('.').map(|part| part.parse::<u32>().ok());
        return Some((parts.next()??, parts.next().flatten().unwrap_or(0)));
    }
    let os = host.os.as_ref()?;
    match (proxy.kind, os.family, os.release.as_str()) {
        (ProxyKind::Nginx, OsFamily::Debian, "11") => Some((1, 18)),
        (ProxyKind::Nginx, OsFamily::Debian, "12") => Some((1, 22)),
        (ProxyKind::Nginx, OsFamily::Debian, "13") => Some((1, 26)),
        (ProxyKind::Nginx, OsFamily::Ubuntu, "22.04") => Some((1, 18)),
        (ProxyKind::Nginx, OsFamily::Ubuntu, "24.04") => Some((1, 24)),
        (ProxyKind::Caddy, OsFamily::Debian, "12" | "13") => Some((2, 6)),
        _ => None,
    }
}

fn server(name: &str, host: &Host, found: &mut Vec<Finding>) {
    let Some(proxy) = &host.proxy else { return };
    let at = |key: &str| place([&"hosts", &name, &"proxy", &key]);
    let kind = proxy.kind.as_str();
    let version = version(host, proxy);
    if proxy.http3 && proxy.kind == ProxyKind::Nginx && version.is_some_and(|version| version < (1, 25)) {
        let (major, minor) = version.unwrap_or_default();
        let message = format!("nginx {major}.{minor} has no HTTP/3, which came with 1.25");
        found.push(unsupported(at("http3"), message, "use Debian 13, or a newer package with \"version\""));
    }
    for (key, on) in [("ktls", proxy.ktls), ("early_data", proxy.early_data)] {
        if on && proxy.kind != ProxyKind::Nginx {
            let message = format!("{kind} has no such switch");
            found.push(unsupported(at(key), message, "take it out, or use nginx"));
        }
    }
    let has = |module: &str| proxy.modules.iter().any(|have| have.starts_with(module));
    if proxy.kind == ProxyKind::Caddy {
        if proxy.limits.is_some() && !has("http.handlers.rate_limit") {
            let message = "Caddy as it comes has no rate limit".into();
            let fix = "add \"http.handlers.rate_limit\" to \"modules\" if your build has it, use nginx, or limit with fail2ban";
            found.push(unsupported(at("limits"), message, fix));
        }
        let by_dns = proxy.acme.as_ref().is_some_and(|acme| acme.challenge == AcmeChallenge::Dns01);
        if by_dns && !has("dns.providers.") {
            let message = "Caddy as it comes speaks to no DNS provider".into();
            let fix = "add \"dns.providers.NAME\" to \"modules\" if your build has it, or use http-01";
            found.push(unsupported(at("acme"), message, fix));
        }
    } else if proxy.on_demand.is_some() {
        let message = format!("{kind} makes no certificates on demand");
        found.push(unsupported(at("on_demand"), message, "use Caddy, or a wildcard by \"acme-dns\""));
    }
    let nixos = host.os.as_ref().is_some_and(crate::fleet::Os::is_nixos);
    if proxy.kind == ProxyKind::Traefik && proxy.image.is_none() && !nixos {
        let message = "Traefik is no package of Debian or Ubuntu".into();
        found.push(unsupported(at("image"), message, "add \"image\": \"docker.io/library/traefik:v3.5\""));
    }
    if proxy.image.is_some() && host.containers.is_none() {
        let message = format!("the proxy runs in a container, and host {name} has no container engine");
        found.push(unsupported(at("image"), message, "add \"containers\": {\"engine\": \"docker\"} to the host"));
    }
}

fn entry(route: &ResolvedRoute<'_>, proxy: &ProxyServer, found: &mut Vec<Finding>) {
    let kind = proxy.kind.as_str();
    let has_limit = proxy.modules.iter().any(|module| module.starts_with("http.handlers.rate_limit"));
    if route.route.limits.is_some() && proxy.kind == ProxyKind::Caddy && !has_limit {
        let message = "Caddy as it comes has no rate limit".into();
        let fix = "add \"http.handlers.rate_limit\" to \"modules\" if your build has it, or use nginx";
        found.push(unsupported(route.place.join("limits"), message, fix));
    }
    if proxy.kind != ProxyKind::Caddy && route.names.iter().any(|name| name.tls == TlsMode::OnDemand) {
        let message = format!("{kind} makes no certificates on demand");
        found.push(unsupported(route.place.join("tls"), message, "use Caddy, or a wildcard by \"acme-dns\""));
    }
    if route.route.fastcgi.is_some() && route.route.scheme != Scheme::Fastcgi {
        let message = format!("\"fastcgi\" says nothing where {} is spoken", route.route.scheme.as_str());
        found.push(unsupported(route.place.join("fastcgi"), message, "add \"scheme\": \"fastcgi\", or take it out"));
    }
    match route.route.scheme {
        Scheme::Tcp | Scheme::Ssh | Scheme::Rdp => {
            let message = format!("only a tunnel passes {} on by name", route.route.scheme.as_str());
            found.push(unsupported(
                route.place.join("scheme"),
                message,
                "add \"tunnel\", or use \"expose\" instead of \"proxy\"",
            ));
        }
        Scheme::Fastcgi if proxy.kind == ProxyKind::Traefik => {
            let message = "Traefik does not speak FastCGI".into();
            found.push(unsupported(
                route.place.join("scheme"),
                message,
                "put a web server before the service, or use nginx",
            ));
        }
        _ => {}
    }
}

/// A tunnel passes requests on to a port, and knows nothing of files and redirections.
fn behind_tunnel(context: &Context<'_>, route: &ResolvedRoute<'_>, found: &mut Vec<Finding>) {
    let service = context.fleet.services.get(route.service);
    let (what, fix) = if route.route.redirect.is_some() {
        ("redirects nobody", "let the service redirect, or a rule of the tunnel's provider")
    } else if service.is_some_and(|service| matches!(service.run, Run::Static(_))) {
        (
            "serves no files",
            "serve them by a program with a port of its own, such as a container or services.static-web-server",
        )
    } else if route.port.is_none() {
        ("passes requests on to a port, and the service has none", "add \"ports\": {\"http\": NUMBER} to the service")
    } else {
        return;
    };
    found.push(unsupported(route.place.clone(), format!("a tunnel {what}"), fix));
}

/// Whether an edge gets through to what is behind it.
fn upstream(context: &Context<'_>, route: &ResolvedRoute<'_>, found: &mut Vec<Finding>) {
    let edge = match route.edge {
        Edge::Host(edge) => edge,
        Edge::Tunnel(tunnel) => match context.fleet.tunnels.get(tunnel) {
            Some(tunnel) => tunnel.host.as_str(),
            None => return,
        },
    };
    let service = context.fleet.services.get(route.service);
    let is_static = service.is_some_and(|service| matches!(service.run, Run::Static(_)));
    let traefik =
        context.hosts().get(edge).and_then(|host| host.proxy.as_ref()).is_some_and(|p| p.kind == ProxyKind::Traefik);
    if is_static && traefik && matches!(route.edge, Edge::Host(_)) && route.hosts.contains(&edge) {
        let message = "Traefik serves no files".into();
        found.push(unsupported(route.place.clone(), message, "use nginx or Caddy, or a container that serves them"));
    }
    for host in route.hosts.iter().filter(|host| **host != edge) {
        let through_proxy = is_static || route.route.backend.through == Through::Proxy;
        let port = route.port.filter(|_| !through_proxy);
        if route.route.redirect.is_some() || (port.is_none() && !through_proxy) {
            continue;
        }
        if let Some((why, fix)) =
            no_way(context, edge, host, port, route.route.backend.tls, route.route.backend.network.as_deref())
        {
            let message = format!("host {edge} cannot pass requests on to service {}: {why}", route.service);
            let finding = Finding::error("unreachable-upstream", route.place.clone(), message).fix(fix);
            let at = port.map(|(port, _)| place([&"services", &route.service, &"ports", &port]));
            found.push(at.into_iter().fold(finding, Finding::related));
        }
    }
}

/// Why one host does not get to a port of another, and what helps.
pub(super) fn no_way(
    context: &Context<'_>,
    from: &str,
    to: &str,
    port: Option<(&str, &Port)>,
    tls: BackendTls,
    network: Option<&str>,
) -> Option<(String, String)> {
    let shared = context.shared_networks(from, to);
    let named = |network: &str| context.on_network(from, network) && context.on_network(to, network);
    if let Some(network) = network.filter(|network| !named(network)) {
        let fix = format!("give both hosts an address on {network}, or name another network");
        return Some((format!("hosts {from} and {to} are not both on network {network}"), fix));
    }
    let bind = port.map(|(name, port)| (name, port.bind.as_str()));
    // The network on which the two meet: the one that is named, or where the port is, or the first that both are on.
    let meeting = network.or_else(|| match bind {
        Some((_, LOCAL)) => None,
        Some((_, network)) if network != ANY => Some(network),
        _ => {
            let same = shared.iter().find(|network| context.other_family(from, to, network).is_none());
            same.or(shared.first()).copied()
        }
    });
    if let Some((network, family)) =
        meeting.and_then(|network| Some((network, context.other_family(from, to, network)?)))
    {
        let fix = format!("give host {from} an {family} address on {network}, or put another first at host {to}");
        return Some((
            format!("host {to} is reached by {family} on network {network}, and host {from} has no such address there"),
            fix,
        ));
    }
    match bind {
        Some((name, LOCAL)) => {
            let fix = match shared.first() {
                Some(network) => format!("bind the port to a network: {{\"port\": ..., \"bind\": \"{network}\"}}"),
                None => format!("hosts {from} and {to} share no network: give both an address on one"),
            };
            Some((format!("port {name} is bound to loopback of host {to}"), fix))
        }
        Some((name, network)) if network != ANY && network != PUBLIC && !shared.contains(&network) => {
            let absent = if context.on_network(to, network) { from } else { to };
            let fix = format!("give host {absent} an address on {network}");
            Some((format!("port {name} is bound to network {network}, where host {absent} is not"), fix))
        }
        // Over the internet only with TLS between the two.
        _ if shared.is_empty() && !(tls == BackendTls::Internal && context.on_network(to, PUBLIC)) => {
            let fix = "give both an address on one network, or use \"backend\": {\"through\": \"proxy\", \"tls\": \"internal\"}";
            Some((format!("hosts {from} and {to} share no network"), fix.into()))
        }
        _ => None,
    }
}

/// Ports that are reached directly: bound where they can be reached from.
fn exposed(context: &Context<'_>, found: &mut Vec<Finding>) {
    for (name, service) in &context.fleet.services {
        for (index, expose) in service.expose.iter().enumerate() {
            let Some((port_name, port)) = service.port(expose.port.as_deref()) else { continue };
            let at = place([&"services", name, &"expose", &index]);
            let place_of_port = place([&"services", name, &"ports", &port_name]);
            let mut unreachable = |at: &Pointer, message: String, fix: String| {
                found.push(
                    Finding::error("unreachable-upstream", at.clone(), message).related(place_of_port.clone()).fix(fix),
                );
            };
            for host in &service.host {
                let at_home = expose.via.as_deref().is_none_or(|via| via == host);
                if let Some(outer) = expose.on_port.filter(|outer| at_home && *outer != port.port) {
                    let message = format!(
                        "service {name} listens on port {} of its own host {host}, and nothing there passes {outer} on to it",
                        port.port
                    );
                    let fix = format!("take on_port out, or let the service itself listen on {outer}");
                    unreachable(&at.join("on_port"), message, fix);
                    break;
                }
                match expose.via.as_deref().filter(|via| via != host) {
                    Some(via) => {
                        if let Some((why, fix)) =
                            no_way(context, via, host, Some((port_name, port)), BackendTls::None, None)
                        {
                            unreachable(
                                &at,
                                format!("host {via} cannot pass connections on to service {name}: {why}"),
                                fix,
                            );
                        }
                    }
                    None if port.bind == LOCAL => {
                        let message =
                            format!("port {port_name} of service {name} is bound to loopback, where nobody reaches it");
                        unreachable(&at, message, "add \"bind\": \"any\" or a network to the port".into());
                    }
                    None if port.bind != ANY
                        && port.bind != PUBLIC
                        && expose.from.iter().any(|network| network == PUBLIC)
                        && context.on_network(host, PUBLIC) =>
                    {
                        let message = format!(
                            "port {port_name} of service {name} is bound to network {}, so that the internet, which may reach it, does not",
                            port.bind
                        );
                        unreachable(
                            &at,
                            message,
                            format!("bind the port to \"any\", or say \"from\": [\"{}\"]", port.bind),
                        );
                    }
                    None => {}
                }
            }
        }
    }
}
