//! What a host's system can run.

use contract::Finding;
use contract::document::Arch;

use super::context::{Context, place};
use crate::fleet::{Host, Os, OsFamily, Run, Service};

/// `unsupported-feature` where a service or key does not fit the host's system.
pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    for (name, service) in &context.fleet.services {
        for host_name in &service.host {
            if let Some(host) = context.hosts().get(host_name) {
                of_service(name, service, host_name, host, found);
            }
        }
    }
    for (name, host) in context.hosts() {
        of_host(name, host, found);
    }
}

fn of_service(name: &str, service: &Service, host_name: &str, host: &Host, found: &mut Vec<Finding>) {
    let Some(os) = &host.os else { return };
    let at = place([&"services", &name, &"run", &service.run.kind()]);
    let mut unsupported = |message: String, fix: &str| {
        found.push(
            Finding::error("unsupported-feature", at.clone(), message).related(place([&"hosts", &host_name])).fix(fix),
        );
    };
    let containers = matches!(service.run, Run::Container(_) | Run::Containers(_) | Run::Compose(_));
    if containers && host.containers.is_none() {
        let message = format!("service {name} runs in containers, and host {host_name} has no container engine");
        unsupported(message, "add \"containers\": {\"engine\": \"docker\"} to the host");
    }
    let nix = matches!(service.run, Run::Nixos(_) | Run::HomeManager(_));
    if nix && !os.is_nixos() {
        let message = format!("service {name} is a module of NixOS, and host {host_name} runs {os}");
        unsupported(message, "run it on a NixOS host, or in another way");
    }
    if matches!(service.run, Run::Package(_)) && os.is_nixos() {
        let message = format!("service {name} is a package with a unit of its own, and host {host_name} runs {os}");
        unsupported(message, "use \"run\": {\"nixos\": {\"module\": \"services.NAME\"}}");
    }
}

fn of_host(name: &str, host: &Host, found: &mut Vec<Finding>) {
    let Some(os) = &host.os else { return };
    let keys =
        [("nixos", host.nixos.is_some()), ("disk", host.disk.is_some()), ("bootloader", host.bootloader.is_some())];
    for (key, _) in keys.into_iter().filter(|(_, given)| *given && !os.is_nixos()) {
        let message = format!("\"{key}\" is for NixOS hosts, and host {name} runs {os}");
        found.push(
            Finding::error("unsupported-feature", place([&"hosts", &name, &key]), message)
                .fix("take it out, or change \"os\""),
        );
    }
    if os.is_nixos() && !host.apt_repositories.is_empty() {
        let message = format!("host {name} runs {os}, which has no apt");
        found.push(
            Finding::error("unsupported-feature", place([&"hosts", &name, &"apt_repositories"]), message)
                .fix("take it out, or add an input under \"nixos\""),
        );
    }
    if let Some((oldest, release)) = too_old(os) {
        let message = format!("{release} is older than what is supported ({oldest} and newer)");
        found.push(
            Finding::error("unsupported-feature", place([&"hosts", &name, &"os"]), message).fix("upgrade the host"),
        );
    }
    if host.arch == Some(Arch::Armv7) && os.is_nixos() {
        let message = "NixOS has no binary cache for 32-bit ARM, so that everything would be built from source";
        found.push(Finding::warning("unsupported-feature", place([&"hosts", &name, &"arch"]), message));
    }
}

/// The oldest supported release, where this one is older.
fn too_old(os: &Os) -> Option<(&'static str, String)> {
    let major: u32 = os.release.split('.').next()?.parse().ok()?;
    let (oldest, name) = match os.family {
        OsFamily::Debian => (11, "debian-11"),
        OsFamily::Ubuntu => (20, "ubuntu-20.04"),
        OsFamily::Nixos => (24, "nixos-24.05"),
    };
    (major < oldest).then(|| (name, os.to_string()))
}
