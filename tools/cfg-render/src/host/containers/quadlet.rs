//! A service as quadlets (podman-systemd.unit(5)): one a container, which Podman's generator turns into units.

use contract::document::{Engine, Handler, HostItem, Stage, Unit, UnitState};
use contract::{Pointer, SecretName, places};

use super::compose::{container_at, ports, warn_of_kept};
use super::environment;
use crate::fleet::{Container, Service};
use crate::format::env::Dialect;
use crate::format::systemd::{self, UnitFile};
use crate::host::HostBuilder;
use crate::host::services::{dependencies, related};

const FOLDER: &str = "/etc/containers/systemd";
/// Where the engine keeps the environment of a container.
const PODMAN_KEEPS: &str = "/var/lib/containers/storage/overlay-containers/ID/userdata/config.json";

pub(super) fn add(builder: &mut HostBuilder<'_, '_>, name: &str, service: &Service, at: &Pointer) {
    let directory = super::directory(builder, name);
    let mut from = vec![at.clone()];
    from.extend(related(builder, name));
    builder.directory(Stage::Services, &directory, 0o755, "root", "root", &from);
    builder.directory(Stage::Services, FOLDER, 0o755, "root", "root", &from);
    let containers = service.run.containers();
    let several = containers.len() > 1;
    let whole = format!("{name}.service");
    let only = containers.first().filter(|_| !several).map(|(_, container)| container.image.as_str());
    let shared = environment::sort(builder, Dialect::Raw, name, only, &service.env, &at.join("env"));
    let link = service.env_file.clone().unwrap_or_else(|| format!("{directory}/.env"));
    let shared_files = shared.write(builder, Dialect::Raw, name, Some(&link), &whole, &from);
    let mut kept = shared.kept.clone();
    for (container_name, container) in &containers {
        let stem = if several { format!("{name}-{container_name}") } else { name.to_owned() };
        let unit_name = format!("{stem}.service");
        let at = container_at(at, service, container_name);
        super::image(builder, Engine::Podman, &container.image, &at);
        let own =
            environment::sort(builder, Dialect::Raw, name, Some(&container.image), &container.env, &at.join("env"));
        kept.extend(own.kept.iter().cloned());
        let mut env_files = shared_files.clone();
        env_files.extend(own.write(builder, Dialect::Raw, &format!("{name}.{container_name}"), None, &whole, &from));
        for secret in service.env_secrets.iter().chain(&container.env_secrets) {
            env_files.push(format!("{}/{secret}", places::SECRETS));
        }
        let mut clear = shared.clear.clone();
        clear.extend(own.clear.clone());
        let files: Vec<SecretName> =
            service.secrets.iter().chain(&container.secrets).chain(&shared.files).chain(&own.files).cloned().collect();
        if !files.is_empty() || !env_files.is_empty() {
            builder.wait_for_secrets(Stage::Services, &unit_name, &from);
        }
        let mut mounts: Vec<String> = super::volumes(builder, &directory, container, &at)
            .into_iter()
            .map(|(source, target, read_only)| format!("{source}:{target}{}", if read_only { ":ro" } else { "" }))
            .collect();
        let mut seen = std::collections::BTreeSet::new();
        for secret in files.iter().filter(|secret| seen.insert((*secret).clone())) {
            let path = format!("{}/{secret}", places::SECRETS);
            mounts.push(format!("{path}:{path}:ro"));
        }
        let description = service.description.clone().unwrap_or_else(|| stem.clone());
        let Some(description) = builder.fit(systemd::text(&description), &at) else { continue };
        let mut unit = UnitFile::new()
            .set("Unit", "Description", description)
            .set("Unit", "Wants", "network-online.target")
            .set("Unit", "After", "network-online.target");
        dependencies(builder, &mut unit, service);
        for needed in &container.needs {
            unit.push("Unit", "Requires", format!("{name}-{needed}.service"));
            unit.push("Unit", "After", format!("{name}-{needed}.service"));
        }
        if several {
            unit.push("Unit", "PartOf", &whole);
        }
        unit.push("Container", "ContainerName", &stem);
        if several && !container.host_network {
            unit.push("Container", "Network", format!("{name}.network"));
            unit.push("Container", "NetworkAlias", *container_name);
        }
        let published =
            if container.host_network { Vec::new() } else { ports(builder, service, container_name, !several) };
        if fill(builder, &mut unit, container, &clear, &env_files, &mounts, &published, &at).is_none() {
            continue;
        }
        unit.push("Service", "Restart", "on-failure");
        unit.push("Service", "RestartSec", "5s");
        unit.push("Service", "TimeoutStartSec", "10min");
        unit.push("Install", "WantedBy", "multi-user.target");
        let text = builder.header("#", &from) + &unit.write();
        builder
            .file(Stage::Services, &format!("{FOLDER}/{stem}.container"), text, &from)
            .notify(Handler::restart(&unit_name))
            .add(builder);
        // A generated unit is enabled by its own [Install] section.
        builder.push(HostItem {
            id: format!("unit:{unit_name}"),
            stage: Stage::Services,
            from: from.clone(),
            unit: Some(Unit { name: unit_name, state: Some(UnitState::Started), ..Unit::default() }),
            ..HostItem::default()
        });
    }
    warn_of_kept(builder, &kept, PODMAN_KEEPS, &at.join("env"));
    if several {
        together(builder, name, &containers.iter().map(|(name, _)| *name).collect::<Vec<_>>(), &from);
    }
}

/// What several containers share: a network, and a unit that stands for all of them.
fn together(builder: &mut HostBuilder<'_, '_>, name: &str, containers: &[&str], from: &[Pointer]) {
    let network = UnitFile::new().set("Network", "NetworkName", name);
    let text = builder.header("#", from) + &network.write();
    builder.file(Stage::Services, &format!("{FOLDER}/{name}.network"), text, from).add(builder);
    let mut unit = UnitFile::new().set("Unit", "Description", format!("All containers of {name}"));
    for container in containers {
        unit.push("Unit", "Requires", format!("{name}-{container}.service"));
        unit.push("Unit", "After", format!("{name}-{container}.service"));
    }
    let unit = unit
        .set("Service", "Type", "oneshot")
        .set("Service", "RemainAfterExit", "yes")
        .set("Service", "ExecStart", "/usr/bin/true")
        .set("Install", "WantedBy", "multi-user.target");
    let text = builder.header("#", from) + &unit.write();
    builder.file(Stage::Services, &format!("/etc/systemd/system/{name}.service"), text, from).add(builder);
    builder.unit(Stage::Services, &format!("{name}.service"), from);
}

#[allow(clippy::too_many_arguments)]
fn fill(
    builder: &mut HostBuilder<'_, '_>,
    unit: &mut UnitFile,
    container: &Container,
    clear: &std::collections::BTreeMap<String, String>,
    env_files: &[String],
    mounts: &[String],
    ports: &[String],
    at: &Pointer,
) -> Option<()> {
    let mut word = |builder: &mut HostBuilder<'_, '_>, key: &str, text: &str| -> Option<()> {
        let text = builder.fit(systemd::words(&[text]), at)?;
        unit.push("Container", key, text);
        Some(())
    };
    word(builder, "Image", &container.image)?;
    for (variable, value) in clear {
        word(builder, "Environment", &format!("{variable}={value}"))?;
    }
    for path in env_files {
        word(builder, "EnvironmentFile", path)?;
    }
    for port in ports {
        word(builder, "PublishPort", port)?;
    }
    for mount in mounts {
        word(builder, "Volume", mount)?;
    }
    for path in &container.tmpfs {
        word(builder, "Tmpfs", path)?;
    }
    if let Some(user) = &container.user {
        let (user, group) = user.split_once(':').unwrap_or((user, ""));
        word(builder, "User", user)?;
        if !group.is_empty() {
            word(builder, "Group", group)?;
        }
    }
    for device in &container.devices {
        word(builder, "AddDevice", device)?;
    }
    if !container.capabilities.is_empty() {
        unit.push("Container", "DropCapability", "all");
        for capability in &container.capabilities {
            word_of(builder, unit, "AddCapability", capability, at)?;
        }
    }
    if container.read_only {
        unit.push("Container", "ReadOnly", "true");
    }
    if container.host_network {
        unit.push("Container", "Network", "host");
    }
    if container.privileged {
        unit.push("Container", "PodmanArgs", "--privileged");
    } else {
        unit.push("Container", "NoNewPrivileges", "true");
    }
    if let Some(memory) = &container.memory {
        word_of(builder, unit, "PodmanArgs", &format!("--memory={memory}"), at)?;
    }
    if !container.health_command.is_empty() {
        // As JSON it is run without a shell.
        let command = serde_json::to_string(&container.health_command).unwrap_or_default();
        // The one key that Podman takes as it stands; systemd reads it afterwards.
        unit.push("Container", "HealthCmd", command.replace('%', "%%").replace('$', "$$"));
    }
    if let Some((program, rest)) = container.entrypoint.split_first() {
        word_of(builder, unit, "Entrypoint", program, at)?;
        let command: Vec<_> = rest.iter().chain(&container.command).collect();
        if !command.is_empty() {
            let text = builder.fit(systemd::words(&command), at)?;
            unit.push("Container", "Exec", text);
        }
    } else if !container.command.is_empty() {
        let text = builder.fit(systemd::words(&container.command), at)?;
        unit.push("Container", "Exec", text);
    }
    Some(())
}

fn word_of(builder: &mut HostBuilder<'_, '_>, unit: &mut UnitFile, key: &str, text: &str, at: &Pointer) -> Option<()> {
    let text = builder.fit(systemd::words(&[text]), at)?;
    unit.push("Container", key, text);
    Some(())
}
