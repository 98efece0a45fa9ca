//! What the fleet says about a host and no part renders yet. Silence would look like success.

use super::HostBuilder;
use crate::fleet::{Auth, ProxyKind, Run};
use crate::model::Model;

pub(super) fn report(builder: &mut HostBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    if !host.is_debian_like() {
        builder.missing(host.at("os"), &format!("{} (the whole host)", host.os));
        return;
    }
    let proxy = host.proxy();
    if proxy.image.is_some() && proxy.kind != ProxyKind::Traefik {
        builder.missing(host.at("proxy").join("image"), "this reverse proxy in a container");
    }
    if proxy.acme.as_ref().is_some_and(|acme| acme.bucket.is_some()) {
        builder.missing(host.at("proxy").join("acme").join("bucket"), "a second copy of certificates in a bucket");
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
