//! A service whose Compose file is the user's own: one unit stands for the project. The file is read from the flake, its
//! relative paths and its `.env` file lie where they do on other hosts.

use contract::document::{Engine, TemplateEscape};

use super::builder::NixosBuilder;
use super::services::{directory, module};
use super::unit::{dependencies, exec_with};
use crate::fleet::{ComposeRun, Run, Service};
use crate::format::env::{self, Dialect};
use crate::format::nix::{Nix, Part};
use crate::host::services::resolve;
use crate::model::Model;

/// Whether the host has such a service.
pub(super) fn used(builder: &NixosBuilder<'_, '_>) -> bool {
    builder.model.services_on(&builder.host.name).any(|(_, service)| matches!(service.run, Run::Compose(_)))
}

pub(super) fn add(builder: &mut NixosBuilder<'_, '_>, engine: Engine) {
    let (model, host) = (builder.model, builder.host);
    for (name, service) in model.services_on(&host.name) {
        if let Run::Compose(run) = &service.run {
            project(builder, name, service, run, engine);
        }
    }
}

fn project(builder: &mut NixosBuilder<'_, '_>, name: &str, service: &Service, run: &ComposeRun, engine: Engine) {
    let at = Model::service_at(name);
    let run_at = at.join("run").join("compose");
    let file = module(name);
    let parent = builder.host.spec.containers.as_ref().map_or("/opt", |engine| engine.directory.as_str());
    let folder = format!("{}/{name}", parent.trim_end_matches('/'));
    if !service.directories.contains_key(&folder) {
        directory(builder, &file, &folder, "0755", "root", "root", &run_at);
    }
    environment(builder, name, service, &folder);
    let inside = builder.relative(&run.source);
    builder.tree.source(&inside, &run.source, &run_at.join("source"));
    let source = NixosBuilder::from_root(&file, &inside);
    let Some(source) = builder.shared.fit(crate::format::nix::write(&source), &run_at) else { return };
    let source = Part::Expression(source.trim_end().to_owned());
    let project = run.project.as_deref().unwrap_or(name);
    let mut config = vec![("Type", Nix::text("oneshot")), ("RemainAfterExit", Nix::Bool(true))];
    let up = ["up", "--detach", "--remove-orphans", "--wait"].as_slice();
    for (key, verb) in [("ExecStart", up), ("ExecReload", up), ("ExecStop", &["down"])] {
        let before = ["--project-name", project, "--project-directory", &folder, "--file"];
        let program = Part::Expression("pkgs.docker-compose".into());
        let Some(line) = exec_with(builder, program, "/bin/docker-compose", &before, source.clone(), verb, &run_at)
        else {
            return;
        };
        config.push((key, line));
    }
    config.push(("TimeoutStartSec", Nix::text("10min")));
    let socket = match engine {
        Engine::Docker => "docker.service",
        Engine::Podman => {
            // Compose speaks to Podman as it does to Docker.
            config.push(("Environment", Nix::texts(["DOCKER_HOST=unix:///run/podman/podman.sock"])));
            "podman.socket"
        }
    };
    let description = service.description.as_deref().unwrap_or(name);
    let value = Nix::set([
        ("description", Nix::text(description)),
        ("requires", Nix::texts([socket])),
        ("wants", Nix::texts(["network-online.target"])),
        ("after", Nix::texts([socket, "network-online.target"])),
        ("wantedBy", Nix::texts(["multi-user.target"])),
        ("serviceConfig", Nix::set(config)),
    ]);
    builder.set(&file, &["systemd", "services", name], value, std::slice::from_ref(&at));
    dependencies(builder, &file, name, service, &at);
    super::unit::extra(builder, super::unit::Scope::System, &file, name, service, &at);
}

/// Compose reads one `.env` file beside the project, in which its variables stand.
fn environment(builder: &mut NixosBuilder<'_, '_>, name: &str, service: &Service, folder: &str) {
    let at = Model::service_at(name);
    let (clear, secret, url) = resolve(&mut builder.shared, name, &service.env, &at, Dialect::Compose);
    let mut text = String::new();
    for (variable, value, at) in clear {
        if let Some(line) = builder.shared.fit(env::line(Dialect::Compose, &variable, &value), &at) {
            text.push_str(&line);
        }
    }
    // sops-nix and agenix fill everything verbatim, so that one file holds both kinds of secrets.
    let escape = if url.is_empty() { Dialect::Compose.escape() } else { TemplateEscape::Url };
    text.push_str(&secret);
    text.push_str(&url);
    if text.is_empty() {
        return;
    }
    let template = builder.shared.template(format!("{name}.env"), text, escape);
    template.units = vec![format!("{name}.service")];
    template.link = Some(service.env_file.clone().unwrap_or_else(|| format!("{folder}/.env")));
}
