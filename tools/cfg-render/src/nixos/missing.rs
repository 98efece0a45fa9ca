//! What the fleet says about a NixOS host and no part renders yet. Silence would look like success.

use contract::Finding;

use super::builder::NixosBuilder;
use crate::fleet::Run;

pub(super) fn report(builder: &mut NixosBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    let nixos = host.spec.nixos.clone().unwrap_or_default();
    crate::host::several_hosts(&mut builder.shared, true);
    if host.spec.disk.is_none()
        && nixos.modules.is_empty()
        && nixos.flake.is_none()
        && host.spec.mounts.iter().all(|mount| mount.path != "/")
    {
        builder.shared.findings.push(
            Finding::warning(
                "no-file-systems",
                host.at("nixos"),
                format!("nothing says where the root of host \"{}\" is", host.name),
            )
            .fix("give \"disk\" for an installation, or the machine's own hardware-configuration.nix in nixos.modules"),
        );
    }
    if nixos.flake.is_some() && nixos.remote.is_some() {
        builder.shared.findings.push(
            Finding::error("two-flakes", host.at("nixos"), format!("host \"{}\" has two flakes", host.name))
                .fix("name \"flake\" for files that are sent, or \"remote\" for a repository that the host fetches"),
        );
    }
    for (key, there) in [
        ("apt_repositories", !host.spec.apt_repositories.is_empty()),
        ("absent_packages", !host.spec.absent_packages.is_empty()),
    ] {
        if there {
            builder.shared.findings.push(
                Finding::warning(
                    "unsupported-feature",
                    host.at(key),
                    format!("NixOS has no {key}; host \"{}\" leaves it out", host.name),
                )
                .fix("take it out"),
            );
        }
    }
    let monitoring = &model.fleet.monitoring;
    for (key, what, service) in [
        ("prometheus", "Prometheus", monitoring.prometheus.as_ref().map(|role| &role.service)),
        ("alertmanager", "Alertmanager", monitoring.alertmanager.as_ref().map(|role| &role.service)),
        ("grafana", "Grafana", monitoring.grafana.as_ref().map(|role| &role.service)),
        ("loki", "Loki", monitoring.loki.as_ref().map(|role| &role.service)),
    ] {
        let Some(service) = service.and_then(|name| model.service(name)) else { continue };
        let here = service.host.iter().any(|own| *own == host.name);
        // Its configuration is made for its module; in a container nothing would read it.
        let module = matches!(service.run, Run::Nixos(_));
        if here && !module && !service.is_external() {
            let at = super::place(&["monitoring", key]);
            builder.shared.missing(at, &format!("the configuration of {what} as it runs here"));
        }
    }
}
