//! What the fleet says about a NixOS host and no part renders yet. Silence would look like success.

use contract::{Finding, Pointer};

use super::builder::NixosBuilder;
use crate::fleet::Run;
use crate::model::Model;

pub(super) fn report(builder: &mut NixosBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    let nixos = host.spec.nixos.clone().unwrap_or_default();
    crate::host::several_hosts(&mut builder.shared);
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
    if let Some(agents) = &host.spec.agents {
        for (key, what, there) in [
            ("cadvisor", "cAdvisor on NixOS", agents.cadvisor.is_some()),
            ("alloy", "Grafana Alloy on NixOS", agents.alloy.is_some()),
            ("zabbix_agent", "the Zabbix agent on NixOS", agents.zabbix_agent.is_some()),
        ] {
            if there {
                builder.shared.missing(host.at("agents").join(key), what);
            }
        }
    }
    for (name, operation) in &model.fleet.operations {
        let service = operation.restart.as_ref().or(operation.status.as_ref()).or(operation.logs.as_ref());
        let on = operation.host.clone().or_else(|| model.service(service?)?.host.iter().next().cloned());
        if on.as_deref() == Some(&host.name) {
            builder.shared.missing(Pointer::root().join("operations").join(name), "the operation");
        }
    }
    for (name, service) in model.services_on(&host.name) {
        let at = Model::service_at(name);
        if matches!(service.run, Run::Compose(_)) {
            builder.shared.missing(at.join("run").join("compose"), "a Compose file on NixOS");
        }
        if service.sso.is_some() {
            builder.shared.missing(at.join("sso"), "single sign-on on NixOS");
        }
    }
}
