//! `flake.nix`: pinned inputs, a system a host, and a module a host for a flake of the user.

use std::collections::{BTreeMap, BTreeSet};

use contract::{Finding, Pointer};

use super::builder::NixosBuilder;
use crate::fleet::SecretBackend;
use crate::format::nix::{self, Nix, attribute};
use crate::model::{HostView, Model};

/// The flake is the same for every host of the fleet, so that a tree in git holds one lock for all of them: it finds the hosts
/// by their directories.
pub(super) fn add(builder: &mut NixosBuilder<'_, '_>) {
    let nixos = builder.host.spec.nixos.clone().unwrap_or_default();
    let at = builder.host.at("nixos");
    system_file(builder);
    for (index, file) in nixos.files.iter().enumerate() {
        let path = builder.relative(file);
        builder.tree.source(&path, file, &at.join("files").join(index));
    }
    if let Some(own) = &nixos.flake {
        // The user's own flake imports `hosts/HOST` (or `nixosModules` of the generated tree).
        for name in ["flake.nix", "flake.lock"] {
            let source = format!("{}/{name}", own.trim_end_matches('/'));
            builder.tree.source(name, &source, &at.join("flake"));
        }
        return;
    }
    builder.tree.source("flake.lock", "flake.lock", &at);
    if let Some((text, from)) = flake(builder) {
        builder.tree.text("flake.nix", text, from);
    }
}

/// The input of a release of nixpkgs: `nixpkgs` where all hosts have the same, else one a release.
fn nixpkgs_of(model: &Model<'_>, host: &HostView) -> String {
    let releases: BTreeSet<&str> = nixos_hosts(model).map(|host| host.os.release.as_str()).collect();
    // The newest is the one that other inputs follow.
    match releases.last() {
        Some(newest) if *newest != host.os.release => format!("nixpkgs-{}", host.os.release.replace('.', "-")),
        _ => "nixpkgs".into(),
    }
}

fn nixos_hosts<'m>(model: &'m Model<'_>) -> impl Iterator<Item = &'m HostView> {
    model
        .hosts()
        .filter(|host| host.os.is_nixos() && host.spec.nixos.as_ref().is_none_or(|nixos| nixos.flake.is_none()))
}

fn flake(builder: &mut NixosBuilder<'_, '_>) -> Option<(String, BTreeSet<Pointer>)> {
    let model = builder.model;
    let mut inputs: BTreeMap<String, Nix> = BTreeMap::new();
    let mut from = BTreeSet::new();
    let url = |url: &str| Nix::set([("url", Nix::text(url))]);
    let following = |url: &str| {
        Nix::set([
            ("url", Nix::text(url)),
            ("inputs", Nix::set([("nixpkgs", Nix::set([("follows", Nix::text("nixpkgs"))]))])),
        ])
    };
    let mut given: BTreeMap<&str, (&str, Pointer)> = BTreeMap::new();
    for host in nixos_hosts(model) {
        from.insert(host.at("os"));
        let release = &host.os.release;
        inputs.insert(nixpkgs_of(model, host), url(&format!("github:NixOS/nixpkgs/nixos-{release}")));
        if host.spec.disk.is_some() {
            from.insert(host.at("disk"));
            inputs.insert("disko".into(), following("github:nix-community/disko"));
        }
        let (name, input) = secrets_input(host);
        if let Some(input) = input {
            from.insert(host.at("secrets"));
            inputs.insert(name.into(), following(input));
        }
        for (name, reference) in host.spec.nixos.iter().flat_map(|nixos| &nixos.inputs) {
            let at = host.at("nixos").join("inputs").join(name);
            if let Some((other, place)) = given.get(name.as_str())
                && *other != reference
            {
                builder.shared.findings.push(
                    Finding::error("input-clash", at.clone(), format!("the input \"{name}\" is two different things"))
                        .related(place.clone())
                        .fix("one flake has one input of a name: give both the same reference, or another name"),
                );
            }
            from.insert(at.clone());
            given.insert(name, (reference, at));
        }
    }
    for (name, (reference, _)) in given {
        // What the user says about an input of ours counts; an input of nixpkgs itself follows nothing.
        let value = if name.starts_with("nixpkgs") { url(reference) } else { following_if_it_has(name, reference) };
        inputs.insert(name.to_owned(), value);
    }
    let outputs = Nix::expression(
        "inputs:\n    let\n      hosts = builtins.attrNames (builtins.readDir ./hosts);\n      each = make: builtins.listToAttrs (map (name: { inherit name; value = make name; }) hosts);\n    in\n    {\n      nixosConfigurations = each (name: import (./hosts + \"/${name}/system.nix\") inputs);\n      # For a flake of your own: its `modules` list takes one of these.\n      nixosModules = each (name: { imports = (import (./hosts + \"/${name}/inputs.nix\") inputs) ++ [ (import (./hosts + \"/${name}\") inputs) ]; });\n    }",
    );
    let description = format!("The NixOS hosts of the fleet {}", model.fleet.name);
    let value = Nix::set([("description", Nix::text(description)), ("inputs", Nix::Set(inputs)), ("outputs", outputs)]);
    let list: Vec<Pointer> = from.iter().cloned().collect();
    let written = nix::write(&value);
    let text = builder.shared.fit(written, &builder.host.pointer())?;
    Some((builder.shared.header("#", &list) + &text, from))
}

/// An input whose own nixpkgs is replaced by ours, as those of home-manager and its like want it.
fn following_if_it_has(name: &str, reference: &str) -> Nix {
    let mut keys = vec![("url", Nix::text(reference))];
    if matches!(name, "home-manager" | "disko" | "sops-nix" | "agenix") {
        keys.push(("inputs", Nix::set([("nixpkgs", Nix::set([("follows", Nix::text("nixpkgs"))]))])));
    }
    Nix::set(keys)
}

/// The input that decrypts secrets on a host, and the module in it.
fn secrets_input(host: &HostView) -> (&'static str, Option<&'static str>) {
    match host.spec.secrets.clone().unwrap_or_default().backend {
        SecretBackend::Sops => ("sops-nix", Some("github:Mic92/sops-nix")),
        SecretBackend::Agenix => ("agenix", Some("github:ryantm/agenix")),
        SecretBackend::None => ("", None),
    }
}

/// `inputs.nix`: the modules that the host takes from inputs; `system.nix`: the whole system.
fn system_file(builder: &mut NixosBuilder<'_, '_>) {
    let host = builder.host;
    let mut modules: Vec<String> = Vec::new();
    let mut from = BTreeSet::from([host.at("os"), host.at("secrets")]);
    match secrets_input(host).0 {
        "sops-nix" => modules.push("inputs.sops-nix.nixosModules.sops".into()),
        "agenix" => modules.push("inputs.agenix.nixosModules.default".into()),
        _ => {}
    }
    if host.spec.disk.is_some() {
        from.insert(host.at("disk"));
        modules.push("inputs.disko.nixosModules.disko".into());
    }
    for (index, module) in host.spec.nixos.iter().flat_map(|nixos| &nixos.input_modules).enumerate() {
        let at = host.at("nixos").join("input_modules").join(index);
        modules.push(input_path(module));
        from.insert(at);
    }
    let list: Vec<Pointer> = from.iter().cloned().collect();
    let header = builder.shared.header("#", &list);
    let lines = modules.iter().fold(String::new(), |lines, module| lines + "  " + module + "\n");
    let path = builder.path_of("inputs");
    builder.tree.text(&path, format!("{header}inputs:\n[\n{lines}]\n"), from.clone());
    let nixpkgs = attribute(&nixpkgs_of(builder.model, host));
    let text = format!(
        "{header}inputs:\ninputs.{nixpkgs}.lib.nixosSystem {{\n  # Modules of your own may use the flake's inputs.\n  specialArgs = {{ inherit inputs; }};\n  modules = (import ./inputs.nix inputs) ++ [ (import ./. inputs) ];\n}}\n"
    );
    let path = builder.path_of("system");
    builder.tree.text(&path, text, from);
}

/// `home-manager.nixosModules.home-manager` as an expression.
pub(super) fn input_path(path: &str) -> String {
    let parts: Vec<String> = path.split('.').map(attribute).collect();
    format!("inputs.{}", parts.join("."))
}
