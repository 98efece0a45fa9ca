//! Services, each in a module of its own: modules of NixOS, and what every kind of service has.

use contract::{Finding, Pointer};
use serde_json::Value as Json;

use super::builder::NixosBuilder;
use super::unit::{Scope, dependencies, environment, extra};
use super::{adapter, program};
use crate::fleet::{NixosRun, Run, Service};
use crate::format::nix::Nix;
use crate::host::single_sign_on;
use crate::model::Model;

/// The module of a service.
pub(super) fn module(name: &str) -> String {
    format!("services/{name}")
}

pub(super) fn add(builder: &mut NixosBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    for (name, service) in model.services_on(&host.name) {
        let at = Model::service_at(name);
        match &service.run {
            Run::Nixos(run) => nixos(builder, name, &single_sign_on::fitted(model, name, service), run),
            Run::Systemd(run) => program::add(builder, name, service, run),
            Run::Package(_) => {
                builder.shared.findings.push(
                    Finding::error(
                        "unsupported-feature",
                        at.join("run").join("package"),
                        format!("NixOS has modules, not packages with units (service \"{name}\")"),
                    )
                    .fix("name the module: \"run\": {\"nixos\": {\"module\": \"services.NAME\"}}"),
                );
            }
            Run::Static(site) if !service.directories.contains_key(&site.root) => {
                directory(builder, &module(name), &site.root, "0755", "root", "root", &at.join("run").join("static"));
            }
            _ => {}
        }
        // What it is told of its provider goes with the provider.
        let provider = service.sso.as_ref().and_then(|sso| model.fleet.sso.get(&sso.provider));
        if let Some(provider) = provider {
            builder.also_from(&module(name), &Model::service_at(&provider.service));
        }
        for (path, spec) in &service.directories {
            let user = model.user_of(name, service).unwrap_or_else(|| "root".into());
            let owner = spec.owner.clone().unwrap_or(user);
            let group = spec.group.clone().or_else(|| service.group.clone()).unwrap_or_else(|| owner.clone());
            let mode = format!("{:04o}", spec.mode.bits());
            directory(builder, &module(name), path, &mode, &owner, &group, &at.join("directories").join(path));
        }
        if let Some(text) = service.extra.as_ref().and_then(|extra| extra.nixos.as_deref()) {
            builder.snippet(&format!("{}-extra", module(name)), text, &at.join("extra").join("nixos"));
        }
    }
    for (path, spec) in &host.spec.directories {
        let owner = spec.owner.as_deref().unwrap_or("root");
        let mode = format!("{:04o}", spec.mode.bits());
        directory(
            builder,
            "machine",
            path,
            &mode,
            owner,
            spec.group.as_deref().unwrap_or(owner),
            &host.at("directories").join(path),
        );
    }
}

/// A directory, made at boot and at every switch; what is in it stays.
pub(super) fn directory(
    builder: &mut NixosBuilder<'_, '_>,
    module: &str,
    path: &str,
    mode: &str,
    user: &str,
    group: &str,
    at: &Pointer,
) {
    let value = Nix::set([("mode", Nix::text(mode)), ("user", Nix::text(user)), ("group", Nix::text(group))]);
    builder.set(
        module,
        &["systemd", "tmpfiles", "settings", "10-plumbline", path, "d"],
        value,
        std::slice::from_ref(at),
    );
}

/// An option path of the user, such as `services.forgejo`.
fn option_path(builder: &mut NixosBuilder<'_, '_>, path: &str, at: &Pointer) -> Option<Vec<String>> {
    let parts: Vec<String> = path.split('.').map(str::to_owned).collect();
    if path.is_empty() || parts.iter().any(String::is_empty) {
        let finding = Finding::error("unrepresentable", at.clone(), format!("\"{path}\" is no path of options"))
            .fix("write it as services.NAME");
        builder.shared.findings.push(finding);
        return None;
    }
    Some(parts)
}

fn nixos(builder: &mut NixosBuilder<'_, '_>, name: &str, service: &Service, run: &NixosRun) {
    let at = Model::service_at(name);
    let run_at = at.join("run").join("nixos");
    let file = module(name);
    let from = [run_at.clone()];
    let Some(path) = option_path(builder, &run.module, &run_at.join("module")) else { return };
    let below =
        |key: &str| path.iter().map(String::as_str).chain(key.split('.')).map(str::to_owned).collect::<Vec<_>>();
    builder.set(&file, &below("enable"), Nix::Bool(true), &from);
    // What the fleet says elsewhere about the service, in the words of the modules that we know.
    for (option, value, at) in adapter::options(builder, name, service, &run.module) {
        builder.set(&file, &below(&option), value, &[at]);
    }
    for (key, value) in &run.options {
        let at = run_at.join("options").join(key);
        if opens_firewall(key, value) {
            firewall_is_ours(builder, &at);
            continue;
        }
        if let Some(value) = builder.json(value, &at) {
            builder.set(&file, &below(key), value, &[at]);
        }
    }
    for (key, value) in &run.system {
        let at = run_at.join("system").join(key);
        if opens_firewall(key, value) || key.starts_with("networking.firewall") {
            firewall_is_ours(builder, &at);
            continue;
        }
        let Some(path) = option_path(builder, key, &at) else { continue };
        if let Some(value) = builder.json(value, &at) {
            builder.set(&file, &path, value, &[at]);
        }
    }
    // What starts with its first visitor is a service all the same.
    let stem = |unit: String| unit.strip_suffix(".service").or(unit.strip_suffix(".socket")).map(str::to_owned);
    if let Some(unit) = builder.model.unit_of(name, service).and_then(stem) {
        dependencies(builder, &file, &unit, service, &at);
        environment(builder, Scope::System, &file, name, &unit, &service.env, &service.env_secrets, &at);
        extra(builder, Scope::System, &file, &unit, service, &at);
    }
}

/// Holes follow from what the fleet exposes; a module that makes its own would go round every check.
fn opens_firewall(key: &str, value: &Json) -> bool {
    let own = key.rsplit('.').next().is_some_and(|last| last == "openFirewall") && value != &Json::Bool(false);
    let inner = value.as_object().is_some_and(|keys| keys.iter().any(|(key, value)| opens_firewall(key, value)));
    own || inner
}

fn firewall_is_ours(builder: &mut NixosBuilder<'_, '_>, at: &Pointer) {
    builder.shared.findings.push(
        Finding::error("open-firewall", at.clone(), "a module would open the firewall by itself")
            .fix("take it out and say who reaches the service with proxy.from or expose"),
    );
}
