//! What Authentik is told of its clients: blueprints, filled on the host because they hold secrets.

use super::builder::NixosBuilder;
use super::services::module;
use crate::host::single_sign_on as shared;

pub(super) fn add(builder: &mut NixosBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    let before = builder.shared.templates.len();
    shared::add(&mut builder.shared);
    let new: Vec<_> = builder.shared.templates[before..].to_vec();
    for template in new {
        let mine = |name: &str, service| {
            let unit = model.unit_of(name, service);
            unit.is_some() && unit.as_ref() == template.units.first()
        };
        // They belong to the provider, and change with every client.
        if let Some((name, _)) = model.services_on(&host.name).find(|(name, service)| mine(name, service)) {
            let from = shared::places(model, name);
            builder.template_owners.insert(template.name.clone(), (module(name), from));
        }
    }
}
