//! Services in containers: a unit a container, by NixOS' own module.

use contract::document::{Engine, TemplateEscape};
use contract::{Finding, Pointer, places};

use super::builder::NixosBuilder;
use super::services::module;
use super::unit::dependencies;
use super::{compose, secrets};
use crate::fleet::{ANY, Container, Proto, Run, Service};
use crate::format::env::Dialect;
use crate::format::nix::Nix;
use crate::host::services::resolve;
use crate::host::single_sign_on;
use crate::model::Model;

pub(super) fn add(builder: &mut NixosBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    let engine = host.spec.containers.as_ref().map_or(Engine::Podman, |engine| engine.engine);
    let word = if engine == Engine::Docker { "docker" } else { "podman" };
    let services: Vec<_> =
        model.services_on(&host.name).filter(|(_, service)| !service.run.containers().is_empty()).collect();
    let projects = compose::used(builder);
    if host.spec.containers.is_none() && services.is_empty() && !projects {
        return;
    }
    let at = host.at("containers");
    builder.option("containers", &format!("virtualisation.{word}.enable"), Nix::Bool(true), &at);
    builder.option("containers", "virtualisation.oci-containers.backend", Nix::text(word), &at);
    if projects && engine == Engine::Podman {
        builder.option("containers", "virtualisation.podman.dockerSocket.enable", Nix::Bool(true), &at);
    }
    for (name, service) in services {
        // What follows from single sign-on: settings of the program, blueprints of the provider.
        let signed = single_sign_on::fitted(model, name, service);
        let service = single_sign_on::with_blueprints(model, name, signed);
        for place in single_sign_on::places(model, name) {
            builder.also_from(&module(name), &place);
        }
        let all = service.run.containers();
        let several = all.len() > 1;
        if several {
            network(builder, name, word);
        }
        for (container_name, container) in &all {
            let id = if several { format!("{name}-{container_name}") } else { name.to_owned() };
            add_container(builder, name, &service, container_name, container, &id, several, word);
        }
    }
    compose::add(builder, engine);
}

/// The containers of a service find one another by name on a network of their own.
fn network(builder: &mut NixosBuilder<'_, '_>, name: &str, engine: &str) {
    let at = Model::service_at(name).join("run");
    let create = if engine == "docker" {
        format!("docker network inspect {name} >/dev/null 2>&1 || docker network create {name}")
    } else {
        format!("podman network create --ignore {name}")
    };
    let value = Nix::set([
        ("description", Nix::text(format!("Network of the containers of {name}"))),
        ("path", Nix::List(vec![Nix::expression(format!("config.virtualisation.{engine}.package"))])),
        ("serviceConfig", Nix::set([("Type", Nix::text("oneshot")), ("RemainAfterExit", Nix::Bool(true))])),
        ("script", Nix::text(format!("{create}\n"))),
    ]);
    builder.set(&module(name), &["systemd", "services", &format!("{engine}-network-{name}")], value, &[at]);
}

#[allow(clippy::too_many_arguments)]
fn add_container(
    builder: &mut NixosBuilder<'_, '_>,
    name: &str,
    service: &Service,
    container_name: &str,
    container: &Container,
    id: &str,
    several: bool,
    engine: &str,
) {
    let at = container_at(service, name, container_name);
    let file = module(name);
    let from = [at.clone()];
    let unit = format!("{engine}-{id}");
    let mut keys: Vec<(&str, Nix)> = vec![("image", Nix::text(&container.image))];
    if !container.command.is_empty() {
        keys.push(("cmd", Nix::texts(&container.command)));
    }
    match container.entrypoint.as_slice() {
        [] => {}
        [one] => keys.push(("entrypoint", Nix::text(one))),
        _ => builder.shared.findings.push(
            Finding::error("unrepresentable", at.join("entrypoint"), "NixOS' containers take one word as entry point")
                .fix("put its arguments into command"),
        ),
    }
    let mut files = Vec::new();
    let mut clear: Vec<(String, Nix)> = Vec::new();
    for (values, at, suffix) in [(&service.env, Model::service_at(name), ""), (&container.env, at.clone(), ".own")] {
        // A container's file is raw: no quotes, no line ends.
        let (found, secret_lines, url_lines) = resolve(&mut builder.shared, name, values, &at, Dialect::Raw);
        clear.extend(found.into_iter().map(|(variable, text, _)| (variable, Nix::text(text))));
        for (ending, text, escape) in
            [("env", secret_lines, Dialect::Raw.escape()), ("url.env", url_lines, TemplateEscape::Url)]
        {
            if !text.is_empty() {
                let template = format!("{name}.{container_name}{suffix}.{ending}");
                files.push(format!("{}/{template}", places::RENDERED));
                builder.shared.template(template, text, escape).units = vec![format!("{unit}.service")];
            }
        }
    }
    let secret_files = service.env_secrets.iter().chain(&container.env_secrets);
    files.extend(secret_files.map(|secret| secrets::path(secret.as_str())));
    if !clear.is_empty() {
        keys.push(("environment", Nix::set(clear)));
    }
    if !files.is_empty() {
        keys.push(("environmentFiles", Nix::texts(files)));
    }
    let ports = published(builder, service, container_name);
    if !ports.is_empty() {
        keys.push(("ports", Nix::texts(ports)));
    }
    let directory = builder.host.spec.containers.as_ref().map_or("/opt", |engine| engine.directory.as_str()).to_owned();
    let mut volumes: Vec<String> = container
        .volumes
        .iter()
        .map(|volume| match volume.source.strip_prefix("./") {
            Some(inside) => {
                format!("{directory}/{name}/{inside}:{}{}", volume.target, if volume.read_only { ":ro" } else { "" })
            }
            None => volume.to_string(),
        })
        .collect();
    for secret in service.secrets.iter().chain(&container.secrets) {
        let path = secrets::path(secret.as_str());
        volumes.push(format!("{path}:{path}:ro"));
    }
    if !volumes.is_empty() {
        keys.push(("volumes", Nix::texts(volumes)));
    }
    keys.extend(container.user.as_ref().map(|user| ("user", Nix::text(user))));
    if !container.needs.is_empty() {
        keys.push(("dependsOn", Nix::texts(container.needs.iter().map(|other| format!("{name}-{other}")))));
    }
    let mut options = Vec::new();
    if several && !container.host_network {
        options.extend([format!("--network={name}"), format!("--network-alias={container_name}")]);
    }
    options.extend(limits(container));
    if !options.is_empty() {
        keys.push(("extraOptions", Nix::texts(options)));
    }
    builder.set(&file, &["virtualisation", "oci-containers", "containers", id], Nix::set(keys), &from);
    dependencies(builder, &file, &unit, service, &Model::service_at(name));
    if several {
        for key in ["after", "requires"] {
            let value = Nix::texts([format!("{engine}-network-{name}.service")]);
            builder.set(&file, &["systemd", "services", &unit, key], value, &from);
        }
    }
}

fn limits(container: &Container) -> Vec<String> {
    let mut options = vec!["--cap-drop=ALL".to_owned(), "--security-opt=no-new-privileges".to_owned()];
    if container.privileged {
        options = vec!["--privileged".to_owned()];
    }
    options.extend(container.capabilities.iter().map(|capability| format!("--cap-add={capability}")));
    options.extend(container.devices.iter().map(|device| format!("--device={device}")));
    options.extend(container.tmpfs.iter().map(|path| format!("--tmpfs={path}")));
    if container.read_only {
        options.push("--read-only".into());
    }
    if container.host_network {
        options.push("--network=host".into());
    }
    options.extend(container.memory.as_ref().map(|memory| format!("--memory={memory}")));
    if !container.health_command.is_empty() {
        options.push(format!("--health-cmd={}", container.health_command.join(" ")));
    }
    options
}

/// Where a container publishes its ports: on the address that the fleet names, never on all of them by itself.
fn published(builder: &NixosBuilder<'_, '_>, service: &Service, container_name: &str) -> Vec<String> {
    let mut all = Vec::new();
    for port in service.ports.values().filter(|port| port.publish) {
        if port.container.as_deref().is_some_and(|own| own != container_name) {
            continue;
        }
        let address = match (port.bind.as_str(), builder.host.bind_address(&port.bind)) {
            (ANY, _) => String::new(),
            (_, Some(address)) if address.is_ipv6() => format!("[{address}]:"),
            (_, Some(address)) => format!("{address}:"),
            (_, None) => continue,
        };
        for (proto, there) in [("", port.proto != Proto::Udp), ("/udp", port.proto != Proto::Tcp)] {
            if there {
                all.push(format!("{address}{}:{}{proto}", port.port, port.inner()));
            }
        }
    }
    all
}

fn container_at(service: &Service, name: &str, container: &str) -> Pointer {
    let at = Model::service_at(name).join("run");
    match &service.run {
        Run::Containers(_) => at.join("containers").join(container),
        _ => at.join("container"),
    }
}
