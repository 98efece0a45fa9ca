//! What the fleet says about a host and no part renders yet. Silence would look like success.

use super::HostBuilder;
use crate::fleet::{Auth, Edge, ProxyKind, Run};
use crate::model::Model;

pub(super) fn report(builder: &mut HostBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    if !host.is_debian_like() {
        builder.missing(host.at("os"), &format!("{} (the whole host)", host.os));
        return;
    }
    several_hosts(builder, false);
    let proxy = host.proxy();
    if proxy.image.is_some() && proxy.kind != ProxyKind::Traefik {
        builder.missing(host.at("proxy").join("image"), "this reverse proxy in a container");
    }
    for (name, service) in model.services_on(&host.name) {
        let at = Model::service_at(name);
        match &service.run {
            Run::Nixos(_) | Run::HomeManager(_) => {
                builder.missing(
                    at.join("run").join(service.run.kind()),
                    &format!("the service \"{name}\" ({})", service.run.kind()),
                );
            }
            Run::Static(_)
            | Run::Systemd(_)
            | Run::Package(_)
            | Run::External(_)
            | Run::Container(_)
            | Run::Containers(_)
            | Run::Compose(_) => {}
        }
        for (index, route) in service.proxy.iter().enumerate() {
            if route.tunnel.is_none() && matches!(route.auth, Auth::Access(_)) {
                builder.missing(at.join("proxy").join(index).join("auth"), "an access policy without a tunnel");
            }
        }
    }
}

/// What a host passes on without a reverse proxy to a service on several others reaches the first of them only: a tunnel's
/// route has one origin, and on NixOS (`ports`) a port that is passed on has one target.
pub(crate) fn several_hosts(builder: &mut HostBuilder<'_, '_>, ports: bool) {
    let (model, host) = (builder.model, builder.host);
    let elsewhere = |hosts: &[&str]| hosts.len() > 1 && !hosts.contains(&host.name.as_str());
    let tunnels = |name: &str| model.fleet.tunnels.get(name).is_some_and(|tunnel| tunnel.host == host.name);
    let mut found = Vec::new();
    for route in model.routes() {
        if matches!(route.edge, Edge::Tunnel(tunnel) if tunnels(tunnel)) && elsewhere(&route.hosts) {
            found.push((route.place.clone(), route.service.to_owned()));
        }
    }
    for (name, service) in model.exposing_at(&host.name).filter(|_| ports) {
        let hosts: Vec<&str> = service.host.iter().map(String::as_str).collect();
        for (index, expose) in service.expose.iter().enumerate() {
            if expose.via.as_deref() == Some(&host.name) && elsewhere(&hosts) {
                found.push((Model::service_at(name).join("expose").join(index), name.to_owned()));
            }
        }
    }
    for (at, service) in found {
        builder.missing(at, &format!("the way to every host of service \"{service}\" but the first"));
    }
}
