//! The machine itself: names, release, packages, kernel, network, updates, timers and units that the fleet gives in full.

use contract::Finding;
use contract::document::Arch;

use super::builder::NixosBuilder;
use super::unit;
use crate::fleet::{HostNetwork, Timer, UpdateScope};
use crate::format::nix::Nix;

const MODULE: &str = "machine";

pub(super) fn add(builder: &mut NixosBuilder<'_, '_>) {
    let host = builder.host;
    let nixos = host.spec.nixos.clone().unwrap_or_default();
    let at = host.at("os");
    let release = host.os.release.clone();
    let state =
        nixos.state_version.clone().unwrap_or_else(|| if release == "unstable" { "25.11".into() } else { release });
    builder.option(MODULE, "system.stateVersion", Nix::text(state), &host.at("nixos"));
    let arch = host.spec.arch.unwrap_or(Arch::X86_64);
    builder.option(MODULE, "nixpkgs.hostPlatform", Nix::text(format!("{}-linux", arch.as_str())), &host.at("arch"));
    if nixos.allow_unfree {
        builder.option(MODULE, "nixpkgs.config.allowUnfree", Nix::Bool(true), &host.at("nixos"));
    }
    builder.option(MODULE, "nix.settings.experimental-features", Nix::texts(["nix-command", "flakes"]), &at);
    let named = if host.spec.hostname.is_some() { host.at("hostname") } else { host.pointer() };
    builder.option(MODULE, "networking.hostName", Nix::text(host.hostname()), &named);
    if let Some(domain) = builder.model.domain_of(host) {
        let at = if host.spec.domain.is_some() { host.at("domain") } else { super::place(&["domain"]) };
        builder.option(MODULE, "networking.domain", Nix::text(domain), &at);
    }
    if let Some(zone) = &host.spec.timezone {
        builder.option(MODULE, "time.timeZone", Nix::text(zone), &host.at("timezone"));
    }
    if let Some(locale) = &host.spec.locale {
        builder.option(MODULE, "i18n.defaultLocale", Nix::text(locale), &host.at("locale"));
    }
    if !host.spec.packages.is_empty() {
        let at = host.at("packages");
        let packages = packages(builder, &host.spec.packages, &at);
        builder.option(MODULE, "environment.systemPackages", packages, &at);
    }
    if !host.spec.sysctl.is_empty() {
        let at = host.at("sysctl");
        let values = Nix::set(host.spec.sysctl.iter().map(|(key, value)| (key.clone(), Nix::text(value))));
        builder.option(MODULE, "boot.kernel.sysctl", values, &at);
    }
    if !host.spec.kernel_modules.is_empty() {
        let at = host.at("kernel_modules");
        builder.option(MODULE, "boot.kernelModules", Nix::texts(&host.spec.kernel_modules), &at);
    }
    for (index, mount) in host.spec.mounts.iter().enumerate() {
        let at = host.at("mounts").join(index);
        let mut keys = vec![("device", Nix::text(&mount.device)), ("fsType", Nix::text(&mount.fstype))];
        if !mount.options.is_empty() {
            keys.push(("options", Nix::texts(&mount.options)));
        }
        builder.set(MODULE, &["fileSystems", &mount.path], Nix::set(keys), &[at]);
    }
    network(builder);
    updates(builder);
    for (name, spec) in &host.spec.units {
        unit::plain_unit(builder, name, spec);
    }
    for (name, timer) in &host.spec.timers {
        add_timer(builder, name, timer);
    }
    if let Some(text) = host.spec.extra.as_ref().and_then(|extra| extra.nixos.as_deref()) {
        builder.snippet("extra", text, &host.at("extra").join("nixos"));
    }
}

/// Packages by attribute path of nixpkgs.
pub(super) fn packages(builder: &mut NixosBuilder<'_, '_>, names: &[String], at: &contract::Pointer) -> Nix {
    let mut list = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let plain = !name.is_empty()
            && name
                .split('.')
                .all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "_-+'".contains(c)));
        if plain {
            list.push(Nix::package(name));
        } else {
            builder.shared.findings.push(
                Finding::error("unrepresentable", at.join(index), format!("\"{name}\" is no attribute path of nixpkgs"))
                    .fix("on NixOS a package is named by its attribute, such as htop or python3Packages.requests; its version is that of nixpkgs"),
            );
        }
    }
    Nix::List(list)
}

fn network(builder: &mut NixosBuilder<'_, '_>) {
    let host = builder.host;
    let at = host.at("network");
    match &host.spec.network {
        None | Some(HostNetwork::Unmanaged(_)) => {}
        Some(HostNetwork::Dhcp(dhcp)) => {
            match &dhcp.interface {
                Some(interface) if !interface.contains('*') => {
                    builder.option(MODULE, "networking.useDHCP", Nix::Bool(false), &at);
                    builder.set(
                        MODULE,
                        &["networking", "interfaces", interface, "useDHCP"],
                        Nix::Bool(true),
                        std::slice::from_ref(&at),
                    );
                }
                Some(interface) => {
                    builder.option(MODULE, "networking.useNetworkd", Nix::Bool(true), &at);
                    let network = Nix::set([
                        ("matchConfig", Nix::set([("Name", Nix::text(interface))])),
                        ("networkConfig", Nix::set([("DHCP", Nix::text("yes"))])),
                    ]);
                    builder.option(MODULE, "systemd.network.networks.10-plumbline", network, &at);
                }
                None => builder.option(MODULE, "networking.useDHCP", Nix::Bool(true), &at),
            }
            nameservers(builder, &dhcp.nameservers, &at);
        }
        Some(HostNetwork::Static(fixed)) => {
            builder.option(MODULE, "networking.useDHCP", Nix::Bool(false), &at);
            for (index, address) in fixed.addresses.iter().enumerate() {
                let Ok(net) = address.parse::<ipnet::IpNet>() else {
                    builder.shared.findings.push(Finding::error(
                        "unrepresentable",
                        at.join("static").join("addresses").join(index),
                        "an address has a prefix length, such as 192.0.2.10/24",
                    ));
                    continue;
                };
                let family = if net.addr().is_ipv4() { "ipv4" } else { "ipv6" };
                let entry = Nix::set([
                    ("address", Nix::text(net.addr().to_string())),
                    ("prefixLength", Nix::number(net.prefix_len())),
                ]);
                builder.set(
                    MODULE,
                    &["networking", "interfaces", &fixed.interface, family, "addresses"],
                    Nix::List(vec![entry]),
                    std::slice::from_ref(&at),
                );
            }
            for gateway in &fixed.gateways {
                let option = if gateway.is_ipv4() { "networking.defaultGateway" } else { "networking.defaultGateway6" };
                let value =
                    Nix::set([("address", Nix::text(gateway.to_string())), ("interface", Nix::text(&fixed.interface))]);
                builder.option(MODULE, option, value, &at);
            }
            nameservers(builder, &fixed.nameservers, &at);
        }
    }
}

fn nameservers(builder: &mut NixosBuilder<'_, '_>, servers: &[std::net::IpAddr], at: &contract::Pointer) {
    if !servers.is_empty() {
        let list = Nix::texts(servers.iter().map(ToString::to_string));
        builder.option(MODULE, "networking.nameservers", list, at);
    }
}

/// The lock stays the user's: the update builds with the newest commit of the release and writes nothing.
fn updates(builder: &mut NixosBuilder<'_, '_>) {
    let host = builder.host;
    let at = host.at("updates");
    let updates = host.spec.updates.clone().unwrap_or_default();
    let pulls = host.spec.nixos.as_ref().is_some_and(|nixos| nixos.pull.is_some());
    if !updates.enable || pulls {
        builder.option(MODULE, "system.autoUpgrade.enable", Nix::Bool(false), &at);
        return;
    }
    let nixos = host.spec.nixos.clone().unwrap_or_default();
    let attr = nixos.attr.clone().unwrap_or_else(|| host.name.clone());
    let release = &host.os.release;
    builder.option(MODULE, "system.autoUpgrade.enable", Nix::Bool(true), &at);
    builder.option(MODULE, "system.autoUpgrade.dates", Nix::text(&updates.schedule), &at);
    match &nixos.remote {
        // Its own lock says which nixpkgs: whoever renews it renews the hosts.
        Some(remote) => {
            builder.option(
                MODULE,
                "system.autoUpgrade.flake",
                Nix::text(format!("{remote}#{attr}")),
                &host.at("nixos"),
            );
            builder.option(MODULE, "system.autoUpgrade.upgrade", Nix::Bool(false), &at);
        }
        None => {
            let flake = Nix::text(format!("path:{}#{attr}", nixos.directory));
            builder.option(MODULE, "system.autoUpgrade.flake", flake, &at);
            let input = format!("github:NixOS/nixpkgs/nixos-{release}");
            let flags = Nix::texts(["--no-write-lock-file", "--override-input", "nixpkgs", &input]);
            builder.option(MODULE, "system.autoUpgrade.flags", flags, &at);
        }
    }
    match &updates.reboot {
        Some(time) => {
            builder.option(MODULE, "system.autoUpgrade.allowReboot", Nix::Bool(true), &at);
            if let Some(upper) = one_hour_later(time) {
                let window = Nix::set([("lower", Nix::text(time)), ("upper", Nix::text(upper))]);
                builder.option(MODULE, "system.autoUpgrade.rebootWindow", window, &at);
            }
        }
        None => builder.option(MODULE, "system.autoUpgrade.allowReboot", Nix::Bool(false), &at),
    }
    for (key, there) in [("hold", !updates.hold.is_empty()), ("email", updates.email.is_some())] {
        if there {
            builder.shared.findings.push(
                Finding::warning("unsupported-feature", at.join(key), format!("NixOS' own updates have no \"{key}\""))
                    .fix("pin what must stay in the flake's inputs; watch the unit nixos-upgrade.service"),
            );
        }
    }
    if updates.scope == UpdateScope::Security && host.spec.updates.is_some() {
        builder.shared.findings.push(
            Finding::note(
                "unsupported-feature",
                at.join("scope"),
                "NixOS takes all updates of its release, not only those for security",
            )
            .fix("say \"scope\": \"all\""),
        );
    }
}

fn one_hour_later(time: &str) -> Option<String> {
    let (hour, minute) = time.split_once(':')?;
    let hour: u32 = hour.parse().ok()?;
    Some(format!("{:02}:{minute}", (hour + 1) % 24))
}

fn add_timer(builder: &mut NixosBuilder<'_, '_>, name: &str, timer: &Timer) {
    let at = builder.host.at("timers").join(name);
    let Some(exec) = unit::exec(builder, &timer.exec, &at.join("exec")) else { return };
    let from = [at.clone()];
    let mut service = vec![("Type", Nix::text("oneshot")), ("ExecStart", exec)];
    if let Some(user) = &timer.user {
        service.push(("User", Nix::text(user)));
    }
    if let Some(timeout) = timer.timeout {
        service.push(("TimeoutStartSec", Nix::text(format!("{}s", timeout.as_secs()))));
    }
    let description = timer.description.as_deref().unwrap_or(name);
    builder.set(MODULE, &["systemd", "services", name, "description"], Nix::text(description), &from);
    builder.set(MODULE, &["systemd", "services", name, "serviceConfig"], Nix::set(service), &from);
    unit::environment(builder, unit::Scope::System, MODULE, name, name, &timer.env, &[], &at);
    let mut config = vec![("OnCalendar", Nix::text(&timer.calendar)), ("Persistent", Nix::Bool(timer.persistent))];
    if let Some(jitter) = timer.jitter.filter(|jitter| jitter.as_secs() > 0) {
        config.push(("RandomizedDelaySec", Nix::text(format!("{}s", jitter.as_secs()))));
        config.push(("FixedRandomDelay", Nix::Bool(true)));
    }
    let value = Nix::set([("wantedBy", Nix::texts(["timers.target"])), ("timerConfig", Nix::set(config))]);
    builder.set(MODULE, &["systemd", "timers", name], value, &from);
}
