//! A service as a Compose project, and the one unit that stands for it.

use contract::document::{Engine, Handler, Stage};
use contract::{Finding, Pointer, SecretName, places};
use serde_json::{Map, Value, json};

use super::engine::Runtime;
use super::environment;
use crate::fleet::{ANY, ComposeRun, Container, LOCAL, Port, Proto, Run, Service};
use crate::format::env::Dialect;
use crate::format::systemd::{self, UnitFile};
use crate::format::yaml;
use crate::host::services::{dependencies, related};
use crate::host::{HostBuilder, merge_patch};

/// Where the engine keeps the environment of a container.
const DOCKER_KEEPS: &str = "/var/lib/docker/containers/ID/config.v2.json";

/// A service with containers of the fleet.
pub(super) fn add(builder: &mut HostBuilder<'_, '_>, runtime: &Runtime, name: &str, service: &Service, at: &Pointer) {
    let directory = super::directory(builder, name);
    let unit = format!("{name}.service");
    let mut from = vec![at.clone()];
    from.extend(related(builder, name));
    builder.directory(Stage::Services, &directory, 0o755, "root", "root", &from);
    let containers = service.run.containers();
    let only = match containers.as_slice() {
        [(_, container)] => Some(container.image.as_str()),
        _ => None,
    };
    let shared = environment::sort(builder, Dialect::Compose, name, only, &service.env, &at.join("env"));
    let link = service.env_file.clone().unwrap_or_else(|| format!("{directory}/.env"));
    let shared_files = shared.write(builder, Dialect::Compose, name, Some(&link), &unit, &from);
    let mut kept = shared.kept.clone();
    let mut services = Map::new();
    let mut named = Map::new();
    let mut any_env_file = !shared_files.is_empty();
    for (container_name, container) in &containers {
        let at = container_at(at, service, container_name);
        super::image(builder, Engine::Docker, &container.image, &at);
        let own =
            environment::sort(builder, Dialect::Compose, name, Some(&container.image), &container.env, &at.join("env"));
        kept.extend(own.kept.iter().cloned());
        let own_files = own.write(builder, Dialect::Compose, &format!("{name}.{container_name}"), None, &unit, &from);
        let mut env_files = shared_files.clone();
        env_files.extend(own_files);
        for secret in service.env_secrets.iter().chain(&container.env_secrets) {
            env_files.push(format!("{}/{secret}", places::SECRETS));
            builder.wait_for_secrets(Stage::Services, &unit, &from);
        }
        any_env_file |= !env_files.is_empty();
        let mut clear = shared.clear.clone();
        clear.extend(own.clear.clone());
        let files: Vec<SecretName> =
            service.secrets.iter().chain(&container.secrets).chain(&shared.files).chain(&own.files).cloned().collect();
        if !files.is_empty() {
            builder.wait_for_secrets(Stage::Services, &unit, &from);
        }
        let mut mounts = Vec::new();
        for (source, target, read_only) in super::volumes(builder, &directory, container, &at) {
            if !source.starts_with('/') {
                named.insert(source.clone(), json!({}));
            }
            mounts.push(format!("{source}:{target}{}", if read_only { ":ro" } else { "" }));
        }
        let mut seen = std::collections::BTreeSet::new();
        for secret in files.iter().filter(|secret| seen.insert((*secret).clone())) {
            let path = format!("{}/{secret}", places::SECRETS);
            mounts.push(format!("{path}:{path}:ro"));
        }
        let mut document = plain(container, &clear, &env_files, &mounts);
        if !container.host_network {
            let ports = ports(builder, service, container_name, containers.len() == 1);
            if !ports.is_empty() {
                document.insert("ports".into(), json!(ports));
            }
        }
        let needs: Map<String, Value> = container
            .needs
            .iter()
            .map(|needed| {
                let healthy =
                    containers.iter().any(|(known, other)| known == needed && !other.health_command.is_empty());
                let condition = if healthy { "service_healthy" } else { "service_started" };
                (needed.clone(), json!({"condition": condition}))
            })
            .collect();
        if !needs.is_empty() {
            document.insert("depends_on".into(), Value::Object(needs));
        }
        let key = if containers.len() == 1 { name } else { container_name };
        services.insert(key.to_owned(), Value::Object(document));
    }
    let mut document = Map::new();
    document.insert("services".into(), Value::Object(services));
    if !named.is_empty() {
        document.insert("volumes".into(), Value::Object(named));
    }
    let mut document = Value::Object(document);
    dollars(&mut document);
    if let Some(patch) = service.extra.as_ref().and_then(|extra| extra.compose.as_ref()) {
        merge_patch::apply(builder, &mut document, patch, &merge_patch::COMPOSE, &at.join("extra").join("compose"));
    }
    warn_of_kept(builder, &kept, DOCKER_KEEPS, &at.join("env"));
    let path = format!("{directory}/compose.yaml");
    let text = builder.header("#", &from) + &yaml::write(&document);
    let mut file = builder.file(Stage::Services, &path, text, &from).notify(Handler::reload(&unit));
    // With files of secrets the whole can be checked only where these are, which is after the apply has filled them.
    if !any_env_file {
        let set = format!("compose-{name}");
        let check = command(runtime, name, &directory, &["config", "--quiet"]);
        let words: Vec<_> = check.iter().map(String::as_str).collect();
        builder.check_set(&set, &[&words]);
        file = file.set(&set);
    }
    file.add(builder);
    add_unit(builder, runtime, name, name, service, &directory, at);
}

/// A service whose Compose file is the user's own: ours are its `.env` file and its unit.
pub(super) fn add_file_of_the_user(
    builder: &mut HostBuilder<'_, '_>,
    runtime: &Runtime,
    name: &str,
    service: &Service,
    run: &ComposeRun,
    at: &Pointer,
) {
    let directory = super::directory(builder, name);
    let unit = format!("{name}.service");
    let from = [at.clone()];
    builder.directory(Stage::Services, &directory, 0o755, "root", "root", &from);
    let at_run = at.join("run").join("compose");
    builder
        .file(Stage::Services, &format!("{directory}/compose.yaml"), String::new(), &[at_run])
        .source(&run.source)
        .notify(Handler::reload(&unit))
        .add(builder);
    let sorted = environment::sort(builder, Dialect::Compose, name, None, &service.env, &at.join("env"));
    let link = service.env_file.clone().unwrap_or_else(|| format!("{directory}/.env"));
    let mut lines = String::new();
    for (variable, value) in &sorted.clear {
        let written = crate::format::env::line(Dialect::Compose, variable, value);
        if let Some(line) = builder.fit(written, &at.join("env").join(variable)) {
            lines.push_str(&line);
        }
    }
    warn_of_kept(builder, &sorted.kept, DOCKER_KEEPS, &at.join("env"));
    sorted.write_all(builder, Dialect::Compose, name, &lines, &link, &unit, &from);
    let project = run.project.as_deref().unwrap_or(name);
    add_unit(builder, runtime, name, project, service, &directory, at);
}

/// The place of a container in the fleet.
pub(super) fn container_at(at: &Pointer, service: &Service, name: &str) -> Pointer {
    match &service.run {
        Run::Containers(_) => at.join("run").join("containers").join(name),
        _ => at.join("run").join("container"),
    }
}

/// What a container has that needs no look at the fleet.
fn plain(
    container: &Container,
    clear: &std::collections::BTreeMap<String, String>,
    env_files: &[String],
    mounts: &[String],
) -> Map<String, Value> {
    let mut out = Map::new();
    let mut set = |key: &str, value: Value| {
        let empty = matches!(&value, Value::Array(items) if items.is_empty())
            || matches!(&value, Value::Object(map) if map.is_empty())
            || value == Value::Bool(false)
            || value.is_null();
        if !empty {
            out.insert(key.to_owned(), value);
        }
    };
    set("image", json!(container.image));
    // Never "always": the engine would start it at boot, before the secrets are there. The unit starts it.
    set("restart", json!("on-failure"));
    set("entrypoint", json!(container.entrypoint));
    set("command", json!(container.command));
    set("environment", json!(clear));
    set("env_file", json!(env_files));
    set("volumes", json!(mounts));
    set("tmpfs", json!(container.tmpfs));
    set("user", json!(container.user));
    set("read_only", json!(container.read_only));
    if !container.capabilities.is_empty() {
        set("cap_drop", json!(["ALL"]));
        set("cap_add", json!(container.capabilities));
    }
    set("devices", json!(container.devices));
    set("network_mode", json!(container.host_network.then_some("host")));
    set("privileged", json!(container.privileged));
    if !container.privileged {
        set("security_opt", json!(["no-new-privileges:true"]));
    }
    set("mem_limit", json!(container.memory));
    if !container.health_command.is_empty() {
        let test: Vec<&str> =
            std::iter::once("CMD").chain(container.health_command.iter().map(String::as_str)).collect();
        set(
            "healthcheck",
            json!({"test": test, "interval": "30s", "timeout": "10s", "retries": 3, "start_period": "30s"}),
        );
    }
    // Without a limit the logs of one container fill the disk of all.
    set("logging", json!({"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}));
    out
}

/// Published ports of a container, as `ADDRESS:PORT:INNER/PROTO`.
pub(super) fn ports(builder: &HostBuilder<'_, '_>, service: &Service, container: &str, only: bool) -> Vec<String> {
    let mine = |port: &&Port| only || port.container.as_deref() == Some(container);
    let mut all = Vec::new();
    for port in service.ports.values().filter(|port| port.publish).filter(mine) {
        let address = match port.bind.as_str() {
            LOCAL => "127.0.0.1:".to_owned(),
            ANY => String::new(),
            network => match builder.host.address(network) {
                Some(address) if address.is_ipv6() => format!("[{address}]:"),
                Some(address) => format!("{address}:"),
                // Nowhere rather than everywhere.
                None => continue,
            },
        };
        let protos: &[&str] = match port.proto {
            Proto::Tcp => &["tcp"],
            Proto::Udp => &["udp"],
            Proto::Both => &["tcp", "udp"],
        };
        all.extend(protos.iter().map(|proto| format!("{address}{}:{}/{proto}", port.port, port.inner())));
    }
    all
}

/// A dollar sign begins a variable in a Compose file; two of them are one.
fn dollars(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('$') => *text = text.replace('$', "$$"),
        Value::Array(items) => items.iter_mut().for_each(dollars),
        Value::Object(map) => map.values_mut().for_each(dollars),
        _ => {}
    }
}

pub(super) fn warn_of_kept(builder: &mut HostBuilder<'_, '_>, kept: &[String], kept_in: &str, at: &Pointer) {
    if kept.is_empty() {
        return;
    }
    let names = kept.join(", ");
    let message = format!("{names}: in the environment of a container, which the engine keeps on disk ({kept_in})");
    builder.findings.push(
        Finding::warning("secret-in-environment", at.clone(), message).fix(
            "where the program can read a file, name the secret in \"secrets\" and give its path below /run/secrets",
        ),
    );
}

fn command(runtime: &Runtime, project: &str, directory: &str, verb: &[&str]) -> Vec<String> {
    let Runtime::Docker { compose, .. } = runtime else { return Vec::new() };
    let file = format!("{directory}/compose.yaml");
    let fixed = ["--project-name", project, "--project-directory", directory, "--file", &file];
    compose.iter().cloned().chain(fixed.iter().chain(verb).map(|word| (*word).to_owned())).collect()
}

fn add_unit(
    builder: &mut HostBuilder<'_, '_>,
    runtime: &Runtime,
    name: &str,
    project: &str,
    service: &Service,
    directory: &str,
    at: &Pointer,
) {
    let Runtime::Docker { waits, .. } = runtime else { return };
    let from = [at.clone()];
    let unit_name = format!("{name}.service");
    let description = service.description.clone().unwrap_or_else(|| name.to_owned());
    let Some(description) = builder.fit(systemd::text(&description), &at.join("description")) else { return };
    let mut unit = UnitFile::new()
        .set("Unit", "Description", &description)
        .set("Unit", "Requires", "docker.service")
        .set("Unit", "Wants", "network-online.target")
        .set("Unit", "After", "docker.service network-online.target");
    dependencies(builder, &mut unit, service);
    let mut up = vec!["up", "--detach", "--remove-orphans"];
    if *waits {
        up.push("--wait");
    }
    unit.push("Service", "Type", "oneshot");
    unit.push("Service", "RemainAfterExit", "yes");
    for (key, verb) in [("ExecStart", up.as_slice()), ("ExecReload", up.as_slice()), ("ExecStop", &["down"])] {
        let argv = command(runtime, project, directory, verb);
        let Some(line) = builder.fit(systemd::exec(&argv), at) else { return };
        unit.push("Service", key, line);
    }
    unit.push("Service", "TimeoutStartSec", "10min");
    unit.push("Install", "WantedBy", "multi-user.target");
    if let Some(extra) = &service.extra {
        crate::host::services::extra_settings(builder, &mut unit, &extra.systemd, &at.join("extra").join("systemd"));
    }
    let text = builder.header("#", &from) + &unit.write();
    builder
        .file(Stage::Services, &format!("/etc/systemd/system/{unit_name}"), text, &from)
        .notify(Handler::reload(&unit_name))
        .add(builder);
    builder.unit(Stage::Services, &unit_name, &from);
}
