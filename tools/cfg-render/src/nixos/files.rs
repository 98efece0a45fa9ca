//! Whole files of the user.

use contract::Pointer;
use contract::document::TemplateEscape;

use super::builder::NixosBuilder;
use super::services::module;
use crate::fleet::UserFile;
use crate::format::nix::{Nix, Part};
use crate::model::Model;

pub(super) fn add(builder: &mut NixosBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    for (path, file) in &host.spec.files {
        add_file(builder, "files", path, file, &host.at("files").join(path));
    }
    for (name, service) in model.services_on(&host.name) {
        for (path, file) in &service.files {
            add_file(builder, &module(name), path, file, &Model::service_at(name).join("files").join(path));
        }
    }
}

fn add_file(builder: &mut NixosBuilder<'_, '_>, module: &str, path: &str, file: &UserFile, at: &Pointer) {
    let from = std::slice::from_ref(at);
    if let Some(text) = &file.template {
        let name = format!("file{}", path.replace('/', "-"));
        let made = builder.shared.template(name, text.clone(), TemplateEscape::None);
        made.owner.clone_from(&file.owner);
        made.group.clone_from(&file.group);
        made.mode = file.mode;
        made.link = Some(path.to_owned());
        made.units.clone_from(&file.restart);
        made.reload_units.clone_from(&file.reload);
        return;
    }
    let source = file.source.as_ref().map(|source| {
        let inside = builder.relative(source);
        builder.tree.source(&inside, source, at);
        NixosBuilder::from_root(module, &inside)
    });
    let mode = format!("{:04o}", file.mode.bits());
    let units: Vec<String> = file.restart.iter().chain(&file.reload).cloned().collect();
    if let Some(name) = path.strip_prefix("/etc/") {
        // The last word, also where a module of NixOS or of ours makes the same file.
        let force = |value: Nix| Nix::Call("lib.mkForce", vec![value]);
        let mut keys = vec![match source.clone() {
            Some(source) => ("source", force(source)),
            None => ("text", force(Nix::text(file.content.clone().unwrap_or_default()))),
        }];
        // Without a mode it is a link to the store, which all can read.
        if file.mode.bits() != 0o644 || file.owner != "root" || file.group != "root" {
            keys.push(("mode", Nix::text(mode)));
            keys.push(("user", Nix::text(&file.owner)));
            keys.push(("group", Nix::text(&file.group)));
        }
        builder.set(module, &["environment", "etc", name], Nix::set(keys), from);
    } else {
        let text = match source.clone() {
            Some(Nix::Path(path)) => Part::Expression(path),
            _ => {
                let value = Nix::Call(
                    "pkgs.writeText",
                    vec![Nix::text("file"), Nix::text(file.content.clone().unwrap_or_default())],
                );
                let Some(text) = builder.shared.fit(crate::format::nix::write(&value), at) else { return };
                Part::Expression(text.trim_end().to_owned())
            }
        };
        let kind = if file.mode.bits() == 0o644 && file.owner == "root" { "L+" } else { "C+" };
        let mut keys = vec![("argument", Nix::Text(vec![text]))];
        if kind == "C+" {
            keys.push(("mode", Nix::text(mode)));
            keys.push(("user", Nix::text(&file.owner)));
            keys.push(("group", Nix::text(&file.group)));
        }
        builder.set(module, &["systemd", "tmpfiles", "settings", "10-plumbline", path, kind], Nix::set(keys), from);
    }
    for unit in units.iter().filter_map(|unit| unit.strip_suffix(".service")) {
        let trigger = match (&source, &file.content) {
            (Some(source), _) => source.clone(),
            (None, Some(content)) => Nix::text(content),
            _ => continue,
        };
        builder.set(module, &["systemd", "services", unit, "restartTriggers"], Nix::List(vec![trigger]), from);
    }
}
