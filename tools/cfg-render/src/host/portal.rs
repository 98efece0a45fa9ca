//! The start page (Homepage): a tile for each service that has one (gethomepage.dev/configs).

use std::borrow::Cow;
use std::collections::BTreeMap;

use contract::Pointer;
use contract::document::{Handler, Stage};
use serde_json::{Map, Value, json};

use super::HostBuilder;
use crate::fleet::{Run, Service, Value as Setting};
use crate::format::yaml;
use crate::model::Model;

/// Where its files lie on the host; its container sees them as `/app/config`.
const FOLDER: &str = "/etc/homepage";

pub(super) fn add(builder: &mut HostBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    let Some(portal) = &model.fleet.portal else { return };
    let Some(service) =
        model.service(&portal.service).filter(|service| service.host.iter().any(|own| *own == host.name))
    else {
        return;
    };
    let Some(unit) = model.unit_of(&portal.service, service) else { return };
    let at = Pointer::root().join("portal");
    let mut from = vec![at.clone(), Model::service_at(&portal.service)];
    let mut groups: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for (name, service) in model.services() {
        let Some(tile) = &service.dashboard else { continue };
        from.push(Model::service_at(name).join("dashboard"));
        let mut body = Map::new();
        let href = tile.href.clone().or_else(|| model.public_address(name).map(|(_, url)| url));
        for (key, value) in [
            ("icon", tile.icon.clone()),
            ("href", href.clone()),
            ("description", tile.description.clone().or_else(|| service.description.clone())),
            ("siteMonitor", href),
        ] {
            body.extend(value.map(|value| (key.to_owned(), json!(value))));
        }
        if !tile.widget.is_empty() {
            body.insert("widget".into(), json!(tile.widget));
        }
        let title = tile.name.clone().unwrap_or_else(|| name.to_owned());
        groups.entry(tile.group.as_deref().unwrap_or("Services")).or_default().push(json!({title: body}));
    }
    // The groups that the fleet puts in order, then the others by name.
    let rank = |group: &str| portal.groups.iter().position(|known| known == group).unwrap_or(usize::MAX);
    let mut order: Vec<&str> = groups.keys().copied().collect();
    order.sort_by_key(|group| (rank(group), *group));
    let services: Vec<_> = order.iter().map(|group| json!({*group: groups.get(group)})).collect();
    let title = portal.title.as_deref().unwrap_or(&model.fleet.name);
    builder.directory(Stage::Services, FOLDER, 0o755, "root", "root", &from);
    // It writes examples where one of its files is missing: every file is there.
    for (name, document) in [
        ("services", Value::Array(services)),
        ("settings", json!({"title": title})),
        ("bookmarks", json!([])),
        ("widgets", json!([])),
        ("docker", json!({})),
        ("kubernetes", json!({})),
        ("proxmox", json!({})),
    ] {
        let text = builder.header("#", &from) + &yaml::write(&document);
        builder
            .file(Stage::Services, &format!("{FOLDER}/{name}.yaml"), text, &from)
            .notify(Handler::restart(&unit))
            .add(builder);
    }
}

/// The page's own service: its container sees the files, and it answers to its name alone.
pub(super) fn fitted(model: &Model<'_>, name: &str, service: &mut Cow<'_, Service>) {
    if model.fleet.portal.as_ref().is_none_or(|portal| portal.service != name) {
        return;
    }
    let mut allowed: Vec<String> = model.public_address(name).map(|(name, _)| name).into_iter().collect();
    if let Some((_, port)) = service.port(None) {
        allowed.push(format!("127.0.0.1:{}", port.port));
    }
    let service = service.to_mut();
    service.env.entry("HOMEPAGE_ALLOWED_HOSTS".into()).or_insert_with(|| Setting::text(allowed.join(",")));
    if let Run::Container(container) = &mut service.run {
        container.volumes.extend(format!("{FOLDER}:/app/config").parse().ok());
    }
}
