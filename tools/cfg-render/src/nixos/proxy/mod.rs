//! The reverse proxy, by NixOS' module of it: what all sites share in one module, each service's names in its own.

mod acme;
mod caddy;
mod nginx;
mod traefik;

use contract::Pointer;

use super::builder::NixosBuilder;
use crate::fleet::ProxyKind;
use crate::format::nix::{Nix, Part};
use crate::model::{Certificate, Site};

/// What all sites of a host share.
const MODULE: &str = "proxy";

pub(super) fn add(builder: &mut NixosBuilder<'_, '_>) {
    let sites = builder.model.sites(builder.host);
    if sites.is_empty() && builder.host.spec.proxy.is_none() {
        return;
    }
    match builder.host.proxy().kind {
        ProxyKind::Nginx => nginx::add(builder, sites),
        ProxyKind::Caddy => caddy::add(builder, sites),
        ProxyKind::Traefik => traefik::add(builder, sites),
    }
}

/// What made the module of all sites: the proxy, and, where nothing says that there shall be one, the names behind it.
fn shared_from(builder: &NixosBuilder<'_, '_>, sites: &[Site<'_>]) -> Vec<Pointer> {
    let mut from = vec![builder.host.at("proxy")];
    if builder.host.spec.proxy.is_none() {
        from.extend(sites.iter().flat_map(Site::from));
    }
    from
}

/// The module that a site's own settings belong to: that of the service of its first entry.
fn module_of(site: &Site<'_>) -> String {
    super::services::module(site.entries.first().map_or("", |entry| entry.service))
}

/// Chain and key of a certificate of files: the chain is public and lies in the flake, the key is a secret.
fn chain_and_key(builder: &mut NixosBuilder<'_, '_>, module: &str, certificate: &Certificate) -> (Part, String) {
    for from in &certificate.from {
        builder.tree.source(&certificate.store.source, &certificate.store.source, from);
    }
    let Nix::Path(path) = NixosBuilder::from_root(module, &certificate.store.source) else {
        return (Part::Plain(certificate.chain.clone()), certificate.key.clone());
    };
    // As a text, because the path of a file of the flake is one of the store.
    let value = crate::format::nix::write(&Nix::Path(path)).unwrap_or_default();
    (Part::Expression(value.trim_end().to_owned()), super::secrets::path(certificate.store.secret.as_str()))
}
