//! Traefik, by `services.traefik`.

use super::super::builder::NixosBuilder;
use crate::model::Site;

pub(super) fn add(builder: &mut NixosBuilder<'_, '_>, _sites: &[Site<'_>]) {
    let at = builder.host.at("proxy").join("kind");
    builder.shared.missing(at, "Traefik on NixOS (and every name behind it)");
}
