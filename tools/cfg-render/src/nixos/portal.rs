//! The start page: a tile for each service that has one (Homepage).

use std::collections::BTreeMap;

use contract::Pointer;
use serde_json::{Value, json};

use super::builder::NixosBuilder;
use super::services::module;
use crate::fleet::Run;
use crate::format::nix::Nix;
use crate::model::Model;

pub(super) fn add(builder: &mut NixosBuilder<'_, '_>) {
    let model = builder.model;
    let Some(portal) = &model.fleet.portal else { return };
    let Some(service) = model.service(&portal.service) else { return };
    let here = service.host.iter().any(|host| *host == builder.host.name);
    if !here || !matches!(&service.run, Run::Nixos(run) if run.module == "services.homepage-dashboard") {
        return;
    }
    let file = module(&portal.service);
    let at = super::place(&["portal"]);
    let mut from = vec![at.clone()];
    let mut groups: BTreeMap<(usize, &str), Vec<Value>> = BTreeMap::new();
    for (name, service) in model.services() {
        let Some(tile) = &service.dashboard else { continue };
        let group = tile.group.as_deref().unwrap_or("Services");
        // Groups in the order that a person gave, others behind them by name.
        let place = portal.groups.iter().position(|known| known == group).unwrap_or(usize::MAX);
        let mut keys = serde_json::Map::new();
        if let Some(href) = tile.href.clone().or_else(|| model.public_address(name).map(|(_, url)| url)) {
            keys.insert("href".into(), json!(href));
        }
        if let Some(icon) = &tile.icon {
            keys.insert("icon".into(), json!(icon));
        }
        if let Some(description) = tile.description.as_ref().or(service.description.as_ref()) {
            keys.insert("description".into(), json!(description));
        }
        if !tile.widget.is_empty() {
            keys.insert("widget".into(), json!(tile.widget));
        }
        let mut entry = serde_json::Map::new();
        entry.insert(tile.name.clone().unwrap_or_else(|| name.to_owned()), Value::Object(keys));
        groups.entry((place, group)).or_default().push(Value::Object(entry));
        from.push(Model::service_at(name).join("dashboard"));
    }
    let list: Vec<Value> = groups.into_iter().map(|((_, group), tiles)| json!({ group: tiles })).collect();
    if let Some(value) = builder.json(&Value::Array(list), &at) {
        builder.set(&file, &["services", "homepage-dashboard", "services"], value, &from);
    }
    let title = portal.title.as_deref().unwrap_or(&model.fleet.name);
    builder.set(
        &file,
        &["services", "homepage-dashboard", "settings", "title"],
        Nix::text(title),
        std::slice::from_ref(&at),
    );
    // It answers only for names that it knows.
    let mut names = Vec::new();
    for route in model.fleet.routes_of(&portal.service) {
        names.extend(route.names.into_iter().map(|name| name.name));
    }
    names.sort();
    names.dedup();
    if !names.is_empty() {
        let from: Vec<Pointer> = vec![Model::service_at(&portal.service).join("proxy")];
        builder.set(&file, &["services", "homepage-dashboard", "allowedHosts"], Nix::text(names.join(",")), &from);
    }
}
