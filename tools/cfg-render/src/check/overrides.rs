//! What a person adds to generated files that nobody generates, and programs that are too old to be written for.

use contract::document::Engine;
use contract::{Finding, Pointer};

use super::context::{Context, accepted, place};
use crate::fleet::{ANY, Edge, Extra, Host, OsFamily, ProxyKind, Run, Service, TunnelManagement};

/// `override-target-missing`, `oci-published-any`, `old-version`, and `missing-key` of tunnels that a host manages.
pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    let edges = edges_of_services(context);
    for (name, service) in &context.fleet.services {
        published(name, service, found);
        if let Some(extra) = &service.extra {
            let kinds = edges.get(name.as_str()).map(Vec::as_slice).unwrap_or_default();
            of_service(context, name, service, extra, kinds, found);
        }
    }
    for (name, host) in context.hosts() {
        if let Some(extra) = &host.extra {
            of_host(name, host, extra, found);
        }
        versions(name, host, found);
    }
    for (name, cluster) in &context.fleet.databases {
        let old = cluster.version.filter(|version| *version < 13 && cluster.host.is_some());
        if let Some(version) = old.filter(|_| !accepted(&cluster.accept_risk, "old-version")) {
            let message = format!("PostgreSQL {version} gets no more security fixes");
            let at = place([&"databases", name, &"version"]);
            found.push(Finding::warning("old-version", at, message).fix("move to a newer major version: just upgrade"));
        }
    }
    for (name, tunnel) in &context.fleet.tunnels {
        if tunnel.managed == TunnelManagement::Local && tunnel.id.is_none() {
            let message = "a tunnel that is managed on its host needs its id, or no name can lead to it";
            let at = place([&"tunnels", name, &"id"]);
            found.push(
                Finding::error("missing-key", at, message)
                    .fix("give the id that the provider shows, or let it be managed remotely"),
            );
        }
    }
}

/// The proxies before each service.
fn edges_of_services<'a>(context: &Context<'a>) -> std::collections::BTreeMap<&'a str, Vec<ProxyKind>> {
    let mut all: std::collections::BTreeMap<&str, Vec<ProxyKind>> = std::collections::BTreeMap::new();
    for route in context.routes {
        let kinds = all.entry(route.service).or_default();
        if let Edge::Host(edge) = route.edge {
            kinds.push(kind_of(context.hosts().get(edge)));
            // A backend's own proxy may stand behind the edge.
            kinds.extend(route.hosts.iter().map(|host| kind_of(context.hosts().get(*host))));
        }
    }
    all
}

fn kind_of(host: Option<&Host>) -> ProxyKind {
    host.and_then(|host| host.proxy.as_ref()).map(|proxy| proxy.kind).unwrap_or_default()
}

fn missing(at: Pointer, what: &str, fix: &str, found: &mut Vec<Finding>) {
    found.push(
        Finding::error("override-target-missing", at, format!("there is no {what} that this could change")).fix(fix),
    );
}

fn of_service(
    context: &Context<'_>,
    name: &str,
    service: &Service,
    extra: &Extra,
    kinds: &[ProxyKind],
    found: &mut Vec<Finding>,
) {
    let at = |key: &str| place([&"services", &name, &"extra", &key]);
    let take_out = "take it out, or put it where the file is made";
    for (key, kind, there) in [
        ("nginx", ProxyKind::Nginx, extra.nginx.is_some()),
        ("caddy", ProxyKind::Caddy, extra.caddy.is_some()),
        ("traefik", ProxyKind::Traefik, extra.traefik.is_some()),
    ] {
        if there && !kinds.contains(&kind) {
            missing(at(key), &format!("{} before service {name}", kind.as_str()), take_out, found);
        }
    }
    let role = context.fleet.monitoring.prometheus.as_ref().is_some_and(|spec| spec.service == name);
    if extra.prometheus.is_some() && !role {
        missing(
            at("prometheus"),
            "configuration of Prometheus of this service",
            "put it with the service that monitoring.prometheus names",
            found,
        );
    }
    let containers = !service.run.containers().is_empty();
    let composed = |host: &Host| {
        let podman = host.containers.as_ref().is_some_and(|containers| containers.engine == Engine::Podman);
        !podman && !is_nixos(host)
    };
    let without = service.host.iter().find(|host| context.hosts().get(*host).is_some_and(|host| !composed(host)));
    if extra.compose.is_some() && !containers {
        missing(at("compose"), "Compose file of this service", take_out, found);
    } else if let (Some(_), Some(host)) = (&extra.compose, without) {
        let what = format!("Compose file on host {host}, where each container is a unit of its own,");
        missing(at("compose"), &what, "use the fields of the container, extra.systemd or extra.nixos", found);
    }
    let unit = !matches!(service.run, Run::Static(_) | Run::External(_));
    if !extra.systemd.is_empty() && !unit {
        missing(at("systemd"), "unit of this service", take_out, found);
    }
    let nixos = service.host.iter().filter_map(|host| context.hosts().get(host)).any(is_nixos);
    if extra.nixos.is_some() && !nixos {
        missing(at("nixos"), "NixOS host of this service", take_out, found);
    }
    for (key, there) in [("sshd", !extra.sshd.is_empty()), ("nftables", !extra.nftables.is_empty())] {
        if there {
            missing(at(key), "such file of a service", "put it into the extra of a host", found);
        }
    }
}

fn of_host(name: &str, host: &Host, extra: &Extra, found: &mut Vec<Finding>) {
    let at = |key: &str| place([&"hosts", &name, &"extra", &key]);
    let kind = kind_of(Some(host));
    for (key, wanted, there) in
        [("nginx", ProxyKind::Nginx, extra.nginx.is_some()), ("caddy", ProxyKind::Caddy, extra.caddy.is_some())]
    {
        if there && kind != wanted {
            missing(
                at(key),
                &format!("{} on host {name}", wanted.as_str()),
                "take it out, or change proxy.kind",
                found,
            );
        }
    }
    if extra.nixos.is_some() && !is_nixos(host) {
        missing(at("nixos"), "NixOS on this host", "take it out", found);
    }
    if extra.prometheus.is_some() {
        missing(
            at("prometheus"),
            "such file of a host",
            "put it into the extra of the service that is Prometheus",
            found,
        );
    }
}

fn is_nixos(host: &Host) -> bool {
    host.os.as_ref().is_some_and(crate::fleet::Os::is_nixos)
}

/// A container's port on every address goes past the chain of what comes in.
fn published(name: &str, service: &Service, found: &mut Vec<Finding>) {
    if service.run.containers().is_empty() || accepted(&service.accept_risk, "oci-published-any") {
        return;
    }
    for (port_name, port) in service.ports.iter().filter(|(_, port)| port.publish && port.bind == ANY) {
        let exposed =
            service.expose.iter().any(|expose| expose.port.as_deref().is_none_or(|wanted| wanted == port_name));
        if !exposed {
            let message = format!(
                "port {} of service {name} is published on every address of its host, and nothing says who may reach it",
                port.port
            );
            found.push(
                Finding::warning(
                    "oci-published-any",
                    place([&"services", &name, &"ports", &port_name, &"bind"]),
                    message,
                )
                .fix("bind it to local or to a network, or say who reaches it with expose"),
            );
        }
    }
}

fn versions(name: &str, host: &Host, found: &mut Vec<Finding>) {
    if accepted(&host.accept_risk, "old-version") {
        return;
    }
    if let Some(os) = &host.os {
        let old = match os.family {
            OsFamily::Debian => older(&os.release, &[12]),
            OsFamily::Ubuntu => older(&os.release, &[22, 4]),
            OsFamily::Nixos => os.release != "unstable" && older(&os.release, &[25, 5]),
        };
        if old {
            let at = place([&"hosts", &name, &"os"]);
            found.push(
                Finding::warning("old-version", at, format!("{os} gets no more security fixes, or soon none"))
                    .fix("move the host to a newer release"),
            );
        }
    }
    let Some((proxy, version)) = host.proxy.as_ref().and_then(|proxy| Some((proxy, proxy.version.as_deref()?))) else {
        return;
    };
    let oldest: &[u32] = match proxy.kind {
        ProxyKind::Nginx => &[1, 18],
        ProxyKind::Caddy => &[2, 6],
        ProxyKind::Traefik => &[3],
    };
    if older(version, oldest) {
        let message = format!("{} {version} is older than anything that is written here", proxy.kind.as_str());
        found.push(
            Finding::warning("old-version", place([&"hosts", &name, &"proxy", &"version"]), message)
                .fix("install a newer one"),
        );
    }
}

/// Whether a version comes before another.
fn older(version: &str, oldest: &[u32]) -> bool {
    let parts: Vec<u32> = version.split('.').map(|part| part.parse().unwrap_or(0)).collect();
    parts.as_slice() < oldest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_part_by_part() {
        assert!(older("1.9.9", &[1, 18]) && older("24.11", &[25, 5]) && older("2", &[2, 6]));
        assert!(!older("1.18.0", &[1, 18]) && !older("25.05", &[25, 5]) && !older("3.5", &[3]) && !older("12", &[12]));
    }
}
