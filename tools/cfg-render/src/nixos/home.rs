//! Services of a user, by Home Manager.

use contract::Finding;

use super::builder::NixosBuilder;
use super::flake::input_path;
use super::services::module;
use super::unit::{Scope, environment, extra};
use crate::fleet::{HomeManagerRun, Run, Service};
use crate::format::nix::Nix;
use crate::model::Model;

pub(super) fn add(builder: &mut NixosBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    for (name, service) in model.services_on(&host.name) {
        if let Run::HomeManager(run) = &service.run {
            add_service(builder, name, service, run);
        }
    }
}

fn add_service(builder: &mut NixosBuilder<'_, '_>, name: &str, service: &Service, run: &HomeManagerRun) {
    let host = builder.host;
    let at = Model::service_at(name).join("run").join("home_manager");
    let file = module(name);
    let from = [at.clone()];
    let nixos = host.spec.nixos.clone().unwrap_or_default();
    let there = nixos.input_modules.iter().any(|module| module.starts_with("home-manager.")) || nixos.flake.is_some();
    if !there {
        builder.shared.findings.push(
            Finding::error("missing-key", at.clone(), "Home Manager is no input of the flake")
                .related(host.at("nixos"))
                .fix("give the host \"nixos\": {\"inputs\": {\"home-manager\": \"github:nix-community/home-manager/release-25.11\"}, \"input_modules\": [\"home-manager.nixosModules.home-manager\"]}"),
        );
        return;
    }
    builder.option(&file, "home-manager.useGlobalPkgs", Nix::Bool(true), &at);
    builder.option(&file, "home-manager.useUserPackages", Nix::Bool(true), &at);
    let mut imports = Vec::new();
    for import in &run.imports {
        let known = import.split('.').next().unwrap_or_default();
        if nixos.flake.is_none() && !nixos.inputs.contains_key(known) {
            builder.shared.findings.push(
                Finding::error(
                    "unknown-ref",
                    at.join("imports"),
                    format!("the flake of host \"{}\" has no input \"{known}\"", host.name),
                )
                .related(host.at("nixos"))
                .fix(format!("add it to the host's nixos.inputs: {{\"{known}\": \"github:OWNER/REPOSITORY\"}}")),
            );
            continue;
        }
        imports.push(Nix::expression(input_path(import)));
    }
    if !imports.is_empty() {
        builder.uses_inputs(&file);
        builder.set(&file, &["home-manager", "users", &run.user, "imports"], Nix::List(imports), &from);
    }
    let state = nixos.state_version.clone().unwrap_or_else(|| host.os.release.clone());
    builder.set(&file, &["home-manager", "users", &run.user, "home", "stateVersion"], Nix::text(state), &from);
    let base = ["home-manager", "users", run.user.as_str()];
    let below = |key: &str| -> Vec<String> {
        base.iter().copied().chain(run.module.split('.')).chain(key.split('.')).map(str::to_owned).collect()
    };
    if run.module.is_empty() || run.module.split('.').any(str::is_empty) {
        builder.shared.findings.push(
            Finding::error("unrepresentable", at.join("module"), "no path of options").fix("write it as programs.NAME"),
        );
        return;
    }
    builder.set(&file, &below("enable"), Nix::Bool(true), &from);
    for (key, value) in &run.options {
        let at = at.join("options").join(key);
        if let Some(value) = builder.json(value, &at) {
            builder.set(&file, &below(key), value, &[at]);
        }
    }
    let unit = run.units.first().map_or(name, |unit| unit.strip_suffix(".service").unwrap_or(unit));
    let (scope, at) = (Scope::Home(&run.user), Model::service_at(name));
    environment(builder, scope, &file, name, unit, &service.env, &service.env_secrets, &at);
    extra(builder, scope, &file, unit, service, &at);
}
