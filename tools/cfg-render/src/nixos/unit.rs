//! Settings that units of every kind have: order, environment, and what the user puts into them.

use std::collections::BTreeMap;

use contract::document::TemplateEscape;
use contract::{Finding, Pointer, SecretName, places};

use super::builder::NixosBuilder;
use crate::fleet::{HostUnit, Service, Value};
use crate::format::env::Dialect;
use crate::format::nix::{Nix, Part};
use crate::format::systemd;
use crate::host::services::resolve;
use crate::model::Model;

/// Whose manager runs a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope<'a> {
    /// The system's.
    System,
    /// That of this user.
    User(&'a str),
    /// The same, where Home Manager writes the unit.
    Home(&'a str),
}

impl Scope<'_> {
    /// The options of a unit of this kind (`services`, `timers`), and below them.
    pub(super) fn path<'p>(self, kind: &'p str, unit: &'p str, below: &[&'p str]) -> Vec<&'p str>
    where
        Self: 'p,
    {
        let mut path = match self {
            Scope::System => vec!["systemd"],
            Scope::User(_) => vec!["systemd", "user"],
            Scope::Home(user) => vec!["home-manager", "users", user, "systemd", "user"],
        };
        path.extend([kind, unit]);
        // Home Manager calls sections as systemd does.
        path.extend(below.iter().map(|key| match (self, *key) {
            (Scope::Home(_), "serviceConfig") => "Service",
            (Scope::Home(_), "unitConfig") => "Unit",
            (_, key) => key,
        }));
        path
    }
}

/// A command line for `ExecStart`.
pub(super) fn exec(builder: &mut NixosBuilder<'_, '_>, argv: &[String], at: &Pointer) -> Option<Nix> {
    builder.shared.fit(systemd::exec(argv), at).map(Nix::text)
}

/// A command line whose program is of a package, and in which a file of the flake stands between words.
pub(super) fn exec_with(
    builder: &mut NixosBuilder<'_, '_>,
    package: Part,
    program: &str,
    before: &[&str],
    file: Part,
    after: &[&str],
    at: &Pointer,
) -> Option<Nix> {
    let before = builder.shared.fit(systemd::words(before), at)?;
    let after = builder.shared.fit(systemd::words(after), at)?;
    Some(Nix::Text(vec![package, Part::Plain(format!("{program} {before} ")), file, Part::Plain(format!(" {after}"))]))
}

/// Units on the same host that are started before.
pub(super) fn dependencies(
    builder: &mut NixosBuilder<'_, '_>,
    file: &str,
    unit: &str,
    service: &Service,
    at: &Pointer,
) {
    let (model, host) = (builder.model, builder.host);
    let of = |name: &String| -> Vec<String> {
        if model.cluster(name).is_some_and(|cluster| cluster.spec.host.as_deref() == Some(&host.name)) {
            return vec!["postgresql.service".into()];
        }
        let Some(needed) = model
            .service(name)
            .filter(|needed| needed.host.iter().any(|own| *own == host.name) && model.scope_of(needed).is_none())
        else {
            return Vec::new();
        };
        model.units_on(host, name, needed).into_iter().map(|(_, unit)| unit).collect()
    };
    let databases: Vec<String> = service
        .databases
        .iter()
        .filter_map(|database| model.cluster_of(database))
        .map(|cluster| cluster.name.to_owned())
        .collect();
    let mut units: Vec<String> = Vec::new();
    let mut from = vec![at.clone()];
    for name in service.needs.iter().chain(&databases).chain(&service.wants) {
        for found in of(name) {
            if !units.contains(&found) && found.strip_suffix(".service") != Some(unit) {
                units.push(found);
                from.push(model.cluster(name).map_or_else(|| Model::service_at(name), |cluster| cluster.pointer()));
            }
        }
    }
    if units.is_empty() {
        return;
    }
    for key in ["after", "wants"] {
        builder.set(file, &["systemd", "services", unit, key], Nix::texts(&units), &from);
    }
}

/// Environment of a unit: clear values as settings, those with secrets in files that are filled in RAM.
#[allow(clippy::too_many_arguments)]
pub(super) fn environment(
    builder: &mut NixosBuilder<'_, '_>,
    scope: Scope<'_>,
    file: &str,
    name: &str,
    unit: &str,
    values: &BTreeMap<String, Value>,
    env_secrets: &[SecretName],
    at: &Pointer,
) {
    let mut clear = Vec::new();
    let mut files = Vec::new();
    let (assignments, secret_lines, url_lines) = resolve(&mut builder.shared, name, values, at, Dialect::Systemd);
    for (variable, text, at) in assignments {
        if let Some(assignment) = builder.shared.fit(systemd::environment(&variable, &text), &at) {
            clear.push(assignment);
        }
    }
    for (template, text, escape) in [
        (format!("{name}.env"), secret_lines, Dialect::Systemd.escape()),
        (format!("{name}.url.env"), url_lines, TemplateEscape::Url),
    ] {
        if !text.is_empty() {
            files.push(format!("{}/{template}", places::RENDERED));
            let template = builder.shared.template(template, text, escape);
            match scope {
                Scope::System => template.units = vec![format!("{unit}.service")],
                // Its own manager reads the file, and nobody restarts a unit of a user.
                Scope::User(user) | Scope::Home(user) => user.clone_into(&mut template.owner),
            }
        }
    }
    files.extend(env_secrets.iter().map(|secret| super::secrets::path(secret.as_str())));
    let from = [at.join("env")];
    if !clear.is_empty() {
        let path = scope.path("services", unit, &["serviceConfig", "Environment"]);
        builder.set(file, &path, Nix::texts(clear), &from);
    }
    if !files.is_empty() {
        let path = scope.path("services", unit, &["serviceConfig", "EnvironmentFile"]);
        builder.set(file, &path, Nix::texts(files), &from);
    }
}

/// Settings of the user's in the service's unit, which stand in the place of ours.
pub(super) fn extra(
    builder: &mut NixosBuilder<'_, '_>,
    scope: Scope<'_>,
    file: &str,
    unit: &str,
    service: &Service,
    at: &Pointer,
) {
    let Some(extra) = &service.extra else { return };
    let at = at.join("extra").join("systemd");
    for (section, settings) in &extra.systemd {
        let option = match section.as_str() {
            "Unit" => "unitConfig",
            "Service" => "serviceConfig",
            _ => {
                builder.shared.findings.push(
                    Finding::error(
                        "unsupported-feature",
                        at.join(section),
                        format!("units of NixOS take Unit and Service here, not \"{section}\""),
                    )
                    .fix("use extra.nixos for the rest"),
                );
                continue;
            }
        };
        for (key, values) in settings {
            let value = match values.as_slice() {
                [one] => Nix::text(one),
                several => Nix::texts(several),
            };
            // The priority lets it stand in the place of what a module of NixOS says.
            let value = Nix::Call("lib.mkForce", vec![value]);
            builder.set(file, &scope.path("services", unit, &[option, key]), value, &[at.join(section).join(key)]);
        }
    }
}

/// A unit that the fleet gives in full, or one that is there already.
pub(super) fn plain_unit(builder: &mut NixosBuilder<'_, '_>, name: &str, spec: &HostUnit) {
    let from = [builder.host.at("units").join(name)];
    let mut value: Vec<(&str, Nix)> = Vec::new();
    value.extend(spec.content.as_ref().map(|content| ("text", Nix::text(content))));
    if spec.masked {
        value.push(("enable", Nix::Bool(false)));
    }
    if spec.enabled == Some(true) {
        value.push(("wantedBy", Nix::texts(["multi-user.target"])));
    }
    if !value.is_empty() {
        builder.set("machine", &["systemd", "units", name], Nix::set(value), &from);
    }
}
