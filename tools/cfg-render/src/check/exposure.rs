//! What the internet can reach and should not.

use contract::{Finding, Pointer};

use super::context::{Context, accepted, place};
use crate::fleet::{Auth, PUBLIC, PortRange, ResolvedRoute, TlsMode};

/// Ports of programs that trust whoever reaches them, or that are never meant for the internet; whether they speak HTTP
/// and nobody else is known for the port, so that a proxy before it leads to them.
const ADMIN_PORTS: [(u16, &str, bool); 14] = [
    (2019, "Caddy's administration", true),
    (2375, "Docker", true),
    (3100, "Loki", false),
    (3306, "MySQL", false),
    (5432, "PostgreSQL", false),
    (6379, "Redis", false),
    (8428, "VictoriaMetrics", true),
    (9090, "Prometheus", false),
    (9093, "Alertmanager", true),
    (9100, "the node exporter", true),
    (9187, "the PostgreSQL exporter", true),
    (9200, "Elasticsearch", true),
    (11211, "memcached", false),
    (27017, "MongoDB", false),
];

/// The code of what can be accepted here.
const ADMIN: &str = "public-unauthenticated-admin";

/// `public-plaintext`, `public-unauthenticated-admin`, `access-without-tunnel`.
pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    for route in context.routes {
        plaintext(route, found);
        admin_route(context, route, found);
        access(context, route, found);
    }
    for (name, service) in &context.fleet.services {
        for (index, expose) in service.expose.iter().enumerate().filter(|(_, expose)| from_public(&expose.from)) {
            let Some((_, port)) = service.port(expose.port.as_deref()) else { continue };
            if !accepted(&expose.accept_risk, ADMIN) {
                admin_port(port.inner(), place([&"services", name, &"expose", &index]), found);
            }
        }
    }
    for (name, host) in context.hosts() {
        for (index, allow) in host.allow.iter().enumerate().filter(|(_, allow)| from_public(&allow.from)) {
            if !accepted(&allow.accept_risk, ADMIN) {
                admin_range(allow.port, place([&"hosts", name, &"allow", &index]), found);
            }
        }
    }
    for listener in context.listeners.iter().filter(|listener| listener.bind == PUBLIC) {
        // Services are judged by `expose`: the firewall is closed without it. Agents and clusters open it themselves.
        use crate::fleet::Owner;
        let opens = matches!(listener.owner, Owner::Agent(_) | Owner::Database(_) | Owner::Pooler(_));
        let host = context.hosts().get(&listener.host);
        if opens && !host.is_some_and(|host| accepted(&host.accept_risk, ADMIN)) {
            admin_port(listener.port, listener.place.clone(), found);
        }
    }
}

fn from_public(from: &[String]) -> bool {
    from.iter().any(|network| network == PUBLIC)
}

fn plaintext(route: &ResolvedRoute<'_>, found: &mut Vec<Finding>) {
    let plain =
        route.is_public() && route.route.tunnel.is_none() && route.names.iter().any(|name| name.tls == TlsMode::None);
    if plain && !accepted(&route.route.accept_risk, "public-plaintext") {
        let message = format!("service {} is reached from the internet without TLS", route.service);
        found.push(
            Finding::error("public-plaintext", route.place.join("tls"), message)
                .fix("take \"tls\": \"none\" out, or add \"public-plaintext\" to \"accept_risk\" with a \"reason\""),
        );
    }
}

/// A program that asks nobody for a password, behind a proxy that does not either.
fn admin_route(context: &Context<'_>, route: &ResolvedRoute<'_>, found: &mut Vec<Finding>) {
    if !route.is_public() || route.route.auth != Auth::None || accepted(&route.route.accept_risk, ADMIN) {
        return;
    }
    let monitoring = &context.fleet.monitoring;
    let roles = [
        ("Prometheus", monitoring.prometheus.as_ref().map(|role| &role.service)),
        ("Alertmanager", monitoring.alertmanager.as_ref().map(|role| &role.service)),
        ("Loki", monitoring.loki.as_ref().map(|role| &role.service)),
    ];
    let role = roles
        .iter()
        .find(|(_, service)| service.is_some_and(|service| service == route.service))
        .map(|(role, _)| *role);
    let by_port = route.port.and_then(|(_, port)| known(port.inner()));
    if let Some(program) = role.or(by_port) {
        let message = format!("{program} asks nobody who they are, and anyone on the internet can reach it");
        found.push(
            Finding::error(ADMIN, route.place.clone(), message)
                .fix("limit \"from\" to a network, or add \"auth\"; else add the code to \"accept_risk\""),
        );
    }
}

fn known(port: u16) -> Option<&'static str> {
    ADMIN_PORTS.iter().find(|(known, _, http)| *known == port && *http).map(|(_, program, _)| *program)
}

fn admin_port(port: u16, at: Pointer, found: &mut Vec<Finding>) {
    admin_range(PortRange::one(port), at, found);
}

fn admin_range(range: PortRange, at: Pointer, found: &mut Vec<Finding>) {
    if let Some((port, program, _)) = ADMIN_PORTS.iter().find(|(port, ..)| range.contains(*port)) {
        let message = format!("port {port} of {program} is open to the internet");
        found.push(
            Finding::error(ADMIN, at, message)
                .fix("name a network in \"from\" or \"bind\", or add the code to \"accept_risk\""),
        );
    }
}

/// A policy of the tunnel's provider guards only what comes through it.
fn access(context: &Context<'_>, route: &ResolvedRoute<'_>, found: &mut Vec<Finding>) {
    let Auth::Access(policy) = &route.route.auth else { return };
    if route.route.tunnel.is_none() && route.route.proxied != Some(true) {
        let message = format!("access policy {policy} guards nothing here: the requests do not pass its provider");
        let fix = if context.fleet.tunnels.is_empty() { "use \"auth\": {\"forward\": ...}" } else { "add \"tunnel\"" };
        found.push(Finding::error("access-without-tunnel", route.place.join("auth"), message).fix(fix));
    }
}
