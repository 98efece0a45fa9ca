//! Secrets of the host: sops-nix or agenix decrypts them into RAM, from the same files that secret-encrypt keeps.

use std::collections::BTreeSet;
use std::path::Path;

use contract::document::{ManifestTemplate, TemplateEscape};
use contract::{Finding, Pointer, SecretName, placeholders, places};

use super::builder::NixosBuilder;
use crate::fleet::{AgeKey, SecretBackend};
use crate::format::nix::{Nix, Part};
use crate::model::SecretUse;

const MODULE: &str = "secrets";
/// What a second declaration of a secret is called that is needed before users are made and also inside a template.
const TWIN: &str = ".text";

/// Where the value of a secret lies on the host, whichever program decrypts it.
pub(super) fn path(name: &str) -> String {
    format!("{}/{name}", places::SECRETS)
}

pub(super) fn add(builder: &mut NixosBuilder<'_, '_>) {
    let host = builder.host;
    let uses = builder.model.secrets_of(Some(&host.name));
    let spec = host.spec.secrets.clone().unwrap_or_default();
    let templates = std::mem::take(&mut builder.shared.templates);
    if uses.is_empty() && templates.is_empty() {
        return;
    }
    let at = host.at("secrets");
    match spec.backend {
        SecretBackend::None => {}
        SecretBackend::Sops => {
            let (files, keys): (Vec<String>, Vec<String>) = match &spec.key {
                AgeKey::SshHostKey => (Vec::new(), vec!["/etc/ssh/ssh_host_ed25519_key".into()]),
                AgeKey::File(file) => (vec![file.path.clone()], Vec::new()),
            };
            if let Some(file) = files.first() {
                builder.option(MODULE, "sops.age.keyFile", Nix::text(file), &at);
            }
            builder.option(MODULE, "sops.age.sshKeyPaths", Nix::texts(keys), &at);
            // It would look for an RSA host key otherwise.
            builder.option(MODULE, "sops.gnupg.sshKeyPaths", Nix::List(Vec::new()), &at);
            let in_templates: BTreeSet<String> = templates
                .iter()
                .flat_map(|template| placeholders(&template.text))
                .map(|(_, name)| name.to_owned())
                .collect();
            for (name, found) in uses {
                sops(builder, name, found, in_templates.contains(name.as_str()));
            }
            for template in &templates {
                sops_template(builder, template, uses);
            }
        }
        SecretBackend::Agenix => {
            // The same places as everywhere else.
            builder.option(MODULE, "age.secretsDir", Nix::text(places::SECRETS), &at);
            builder.option(MODULE, "age.secretsMountPoint", Nix::text(places::SECRETS_GENERATIONS), &at);
            let key = match &spec.key {
                AgeKey::SshHostKey => "/etc/ssh/ssh_host_ed25519_key".to_owned(),
                AgeKey::File(file) => file.path.clone(),
            };
            builder.option(MODULE, "age.identityPaths", Nix::texts([key]), &at);
            for (name, found) in uses {
                agenix(builder, name, found);
            }
            agenix_templates(builder, &templates, &at);
        }
    }
    for template in &templates {
        said_verbatim(builder, template, uses);
    }
    builder.shared.templates = templates;
}

type Uses = std::collections::BTreeMap<SecretName, SecretUse>;

/// Neither sops-nix nor agenix quotes what it fills in; a value must therefore not need it.
fn said_verbatim(builder: &mut NixosBuilder<'_, '_>, template: &ManifestTemplate, uses: &Uses) {
    if template.escape == TemplateEscape::None {
        return;
    }
    for (_, name) in placeholders(&template.text) {
        let at =
            uses.iter().find(|(known, _)| known.as_str() == name).and_then(|(_, found)| found.from.first().cloned());
        let what = match template.escape {
            TemplateEscape::Url => "a URL",
            TemplateEscape::Json => "a text in quotes",
            _ => "an environment file",
        };
        builder.shared.findings.push(
            Finding::note(
                "secret-verbatim",
                at.unwrap_or_else(|| builder.host.at("secrets")),
                format!("on NixOS the value of \"{name}\" goes into {what} as it is"),
            )
            .fix("let it be letters and digits, which generated passwords are"),
        );
    }
}

fn common(found: &SecretUse) -> Vec<(&'static str, Nix)> {
    let mut keys = Vec::new();
    keys.extend(found.owner.as_ref().map(|owner| ("owner", Nix::text(owner))));
    keys.extend(found.group.as_ref().map(|group| ("group", Nix::text(nixos_group(group)))));
    keys.extend(found.mode.map(|mode| ("mode", Nix::text(format!("{:04o}", mode.bits())))));
    keys
}

/// The usual path of a secret. Keys of certificates have none: the proxy's module names the secret itself.
fn link(found: &SecretUse) -> Option<&str> {
    found
        .link
        .as_deref()
        .filter(|link| !link.starts_with("/var/lib/plumbline/tls/") && !link.starts_with("/var/lib/acme/"))
}

/// Debian's group of web servers has the name of the server on NixOS.
fn nixos_group(group: &str) -> &str {
    if group == "www-data" { "nginx" } else { group }
}

/// The units that there are on NixOS where others have this one: each container has its own.
fn running(builder: &NixosBuilder<'_, '_>, unit: &str) -> Vec<String> {
    let name = unit.strip_suffix(".service").unwrap_or(unit);
    match builder.model.service(name).filter(|service| !service.run.containers().is_empty()) {
        Some(service) => {
            builder.model.units_on(builder.host, name, service).into_iter().map(|(_, unit)| unit).collect()
        }
        None => vec![unit.to_owned()],
    }
}

fn units(builder: &NixosBuilder<'_, '_>, found: &SecretUse) -> Vec<(&'static str, Nix)> {
    let mut keys = Vec::new();
    let restart: BTreeSet<String> = found.units.iter().flat_map(|unit| running(builder, unit)).collect();
    if !restart.is_empty() {
        keys.push(("restartUnits", Nix::texts(&restart)));
    }
    if !found.reload_units.is_empty() {
        keys.push(("reloadUnits", Nix::texts(&found.reload_units)));
    }
    keys
}

/// The module that owns a secret: that of the one service that uses it, else the host's. Without the others it would be in that
/// of the one, which comes from them as well therefore.
fn module_of(builder: &mut NixosBuilder<'_, '_>, found: &SecretUse) -> String {
    let services: BTreeSet<Option<String>> = found
        .from
        .iter()
        .map(|pointer| {
            let keys: Vec<String> = pointer.keys().take(2).collect();
            match keys.as_slice() {
                [services, name] if services == "services" => Some(name.clone()),
                _ => None,
            }
        })
        .collect();
    if let [Some(service)] = services.iter().collect::<Vec<_>>().as_slice() {
        return super::services::module(service);
    }
    for service in services.iter().flatten() {
        for other in services.iter().flatten().filter(|other| *other != service) {
            builder.also_from(&super::services::module(service), &crate::model::Model::service_at(other));
        }
    }
    MODULE.into()
}

fn sops(builder: &mut NixosBuilder<'_, '_>, name: &SecretName, found: &SecretUse, in_template: bool) {
    let module = module_of(builder, found);
    let from: Vec<Pointer> = found.places().cloned().collect();
    let file = builder.model.secret_file(name);
    for from in &from {
        builder.tree.source(&file.file, &file.file, from);
    }
    let key = file.pointer.keys().collect::<Vec<_>>().join("/");
    let mut keys = vec![("sopsFile", NixosBuilder::from_root(&module, &file.file)), ("key", Nix::text(key))];
    let format = match file.file.rsplit('.').next() {
        Some("json") => Some("json"),
        Some("env") => Some("dotenv"),
        Some("ini") => Some("ini"),
        Some("yaml" | "yml") => None,
        _ => Some("binary"),
    };
    keys.extend(format.map(|format| ("format", Nix::text(format))));
    if found.needed_for_users {
        // Values for users lie elsewhere and belong to root; a template cannot hold them, so that one has its own.
        let mut early = keys.clone();
        early.push(("neededForUsers", Nix::Bool(true)));
        builder.set(&module, &["sops", "secrets", name.as_str()], Nix::set(early), &from);
        if in_template {
            keys.extend(units(builder, found));
            builder.set(&module, &["sops", "secrets", &format!("{name}{TWIN}")], Nix::set(keys), &from);
        }
        return;
    }
    keys.extend(common(found));
    keys.extend(units(builder, found));
    keys.extend(link(found).map(|link| ("path", Nix::text(link))));
    builder.set(&module, &["sops", "secrets", name.as_str()], Nix::set(keys), &from);
}

/// The text of a template, with an expression in the place of each secret.
fn filled(text: &str, expression: impl Fn(&str) -> Part) -> Nix {
    let mut parts = Vec::new();
    let mut end = 0;
    for (range, name) in placeholders(text) {
        if range.start > end {
            parts.push(Part::Plain(text[end..range.start].to_owned()));
        }
        parts.push(expression(name));
        end = range.end;
    }
    parts.push(Part::Plain(text[end..].to_owned()));
    Nix::Text(parts)
}

fn template_module(template: &ManifestTemplate, builder: &NixosBuilder<'_, '_>) -> (String, Vec<Pointer>) {
    if let Some(owner) = builder.template_owners.get(&template.name) {
        return owner.clone();
    }
    let service = template.name.split('.').next().unwrap_or_default();
    if builder.model.fleet.services.contains_key(service) {
        (super::services::module(service), vec![crate::model::Model::service_at(service)])
    } else {
        (MODULE.into(), vec![builder.host.at("secrets")])
    }
}

fn sops_template(builder: &mut NixosBuilder<'_, '_>, template: &ManifestTemplate, uses: &Uses) {
    let (module, from) = template_module(template, builder);
    let content = filled(&template.text, |name| {
        let early = uses.iter().any(|(known, found)| known.as_str() == name && found.needed_for_users);
        let name = if early { format!("{name}{TWIN}") } else { name.to_owned() };
        Part::Expression(format!("config.sops.placeholder.{}", crate::format::nix::attribute(&name)))
    });
    let mut keys = vec![
        ("content", content),
        ("owner", Nix::text(&template.owner)),
        ("mode", Nix::text(format!("{:04o}", template.mode.bits()))),
    ];
    if template.group != "root" {
        keys.push(("group", Nix::text(&template.group)));
    }
    let restart: BTreeSet<String> = template.units.iter().flat_map(|unit| running(builder, unit)).collect();
    if !restart.is_empty() {
        keys.push(("restartUnits", Nix::texts(&restart)));
    }
    if !template.reload_units.is_empty() {
        keys.push(("reloadUnits", Nix::texts(&template.reload_units)));
    }
    builder.set(&module, &["sops", "templates", &template.name], Nix::set(keys), &from);
    if let Some(link) = &template.link {
        let argument = Nix::text(format!("{}/{}", places::RENDERED, template.name));
        builder.set(
            &module,
            &["systemd", "tmpfiles", "settings", "10-plumbline", link, "L+", "argument"],
            argument,
            &from,
        );
    }
}

/// Where agenix finds the ciphertext of a secret.
fn age_file(builder: &NixosBuilder<'_, '_>, name: &str) -> String {
    let given = builder.model.fleet.secrets.iter().find(|(known, _)| known.as_str() == name);
    given.and_then(|(_, spec)| spec.file.clone()).unwrap_or_else(|| format!("secrets/{name}.age"))
}

fn agenix(builder: &mut NixosBuilder<'_, '_>, name: &SecretName, found: &SecretUse) {
    let module = module_of(builder, found);
    let from: Vec<Pointer> = found.places().cloned().collect();
    let given = builder.model.fleet.secrets.get(name).and_then(|spec| spec.file.clone());
    let file = match given {
        Some(file) if Path::new(&file).extension().is_some_and(|ending| ending == "age") => file,
        Some(file) => {
            let at = super::place(&["secrets", name.as_str(), "file"]);
            builder.shared.findings.push(
                Finding::error("unsupported-feature", at, format!("agenix reads one .age file a secret, not {file}"))
                    .fix("name a .age file, or take \"sops\" as the host's secrets.backend"),
            );
            return;
        }
        None => format!("secrets/{name}.age"),
    };
    for from in &from {
        builder.tree.source(&file, &file, from);
    }
    let mut keys = vec![("file", NixosBuilder::from_root(&module, &file))];
    keys.extend(common(found));
    keys.extend(link(found).map(|link| ("path", Nix::text(link))));
    builder.set(&module, &["age", "secrets", name.as_str()], Nix::set(keys), &from);
    let units: Vec<String> = found.units.iter().flat_map(|unit| running(builder, unit)).collect();
    let reloaded = found.reload_units.iter().map(|unit| (unit, "reloadTriggers"));
    for (unit, key) in units.iter().map(|unit| (unit, "restartTriggers")).chain(reloaded) {
        let Some(unit) = unit.strip_suffix(".service") else { continue };
        // agenix restarts nothing by itself; a new ciphertext changes the unit.
        let trigger = Nix::List(vec![NixosBuilder::from_root(&module, &file)]);
        builder.set(&module, &["systemd", "services", unit, key], trigger, &from);
    }
}

/// agenix has no templates: a step of the activation fills them right after it.
fn agenix_templates(builder: &mut NixosBuilder<'_, '_>, templates: &[ManifestTemplate], at: &Pointer) {
    if templates.is_empty() {
        return;
    }
    let owners = templates.iter().flat_map(|template| template_module(template, builder).1);
    let from: Vec<Pointer> = std::iter::once(at.clone()).chain(owners).collect();
    let mut script = vec![Part::Plain(format!("umask 077\nmkdir -p {0}\nchmod 0751 {0}\n", places::RENDERED))];
    for template in templates {
        let units: Vec<String> = template.units.iter().flat_map(|unit| running(builder, unit)).collect();
        for unit in units.iter().filter_map(|unit| unit.strip_suffix(".service")) {
            // A new text or a new ciphertext restarts who reads it.
            let mut triggers = vec![Nix::text(&template.text)];
            triggers.extend(
                placeholders(&template.text).map(|(_, name)| NixosBuilder::from_root(MODULE, &age_file(builder, name))),
            );
            builder.set(MODULE, &["systemd", "services", unit, "restartTriggers"], Nix::List(triggers), &from);
        }
        let target = format!("{}/{}", places::RENDERED, template.name);
        let quoted = shell_word(&target);
        // Written aside and moved, so that no reader sees half of it.
        script.push(Part::Plain(format!("install -m 0600 /dev/stdin {quoted}.new < ")));
        let file = Nix::Call("pkgs.writeText", vec![Nix::text("template"), Nix::text(&template.text)]);
        let Some(file) = builder.shared.fit(crate::format::nix::write(&file), at) else { continue };
        script.push(Part::Expression(file.trim_end().to_owned()));
        script.push(Part::Plain("\n".into()));
        for (range, name) in placeholders(&template.text) {
            let mark = &template.text[range];
            script.push(Part::Expression("pkgs.replace-secret".into()));
            script
                .push(Part::Plain(format!("/bin/replace-secret '{mark}' {} {quoted}.new\n", shell_word(&path(name)))));
        }
        script.push(Part::Plain(format!(
            "chown {}:{} {quoted}.new\nchmod {:04o} {quoted}.new\nmv -f {quoted}.new {quoted}\n",
            shell_word(&template.owner),
            shell_word(nixos_group(&template.group)),
            template.mode.bits()
        )));
        if let Some(link) = &template.link {
            script.push(Part::Plain(format!("ln -sfn {quoted} {}\n", shell_word(link))));
        }
    }
    // agenix makes a new directory at every activation; what is filled from it follows each time.
    let value = Nix::set([("deps", Nix::texts(["agenix"])), ("text", Nix::Text(script))]);
    builder.set(MODULE, &["system", "activationScripts", "plumbline-templates"], value, &from);
}

/// A word of a shell script.
pub(super) fn shell_word(text: &str) -> String {
    let plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-:+@".contains(c));
    if plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
