//! Traefik, by `services.traefik`: what it reads once in the proxy's module, each site's routers in the module of its service.

use serde_json::Value;

use super::super::builder::NixosBuilder;
use super::{MODULE, chain_and_key, module_of, shared_from};
use crate::fleet::TlsMode;
use crate::format::nix::Nix;
use crate::host::traefik::{dynamic_file, static_file};
use crate::model::Site;

pub(super) fn add(builder: &mut NixosBuilder<'_, '_>, sites: &[Site<'_>]) {
    let proxy = builder.host.proxy();
    let from = shared_from(builder, sites);
    let at = builder.host.at("proxy");
    builder.set(MODULE, &["services", "traefik", "enable"], Nix::Bool(true), &from);
    if let Some(package) = &proxy.package {
        builder.set(MODULE, &["services", "traefik", "package"], Nix::package(package), &from);
    }
    let mut document = static_file::write(&mut builder.shared, &proxy, sites);
    if let Value::Object(keys) = &mut document {
        // The module has its own way to the dynamic part.
        keys.remove("providers");
    }
    if let Some(value) = builder.json(&document, &at) {
        let all: Vec<_> = from.iter().cloned().chain(sites.iter().flat_map(Site::from)).collect();
        builder.set(MODULE, &["services", "traefik", "staticConfigOptions"], value, &all);
    }
    if let Some(value) = builder.json(&dynamic_file::shared(&proxy), &at) {
        builder.set(MODULE, &["services", "traefik", "dynamicConfigOptions"], value, &from);
    }
    for site in sites {
        let from = site.from();
        let Some(at) = from.first() else { continue };
        let Some(mut document) = dynamic_file::site(&mut builder.shared, &proxy, site) else { continue };
        let module = module_of(site);
        if let Value::Object(keys) = &mut document
            && matches!(site.tls, TlsMode::Internal | TlsMode::Files(_))
        {
            // The chain lies in the flake, so that its path is one of Nix.
            keys.remove("tls");
            let Some(certificate) = &site.certificate else { continue };
            let (chain, key) = chain_and_key(builder, &module, certificate);
            let value = Nix::set([("certFile", Nix::Text(vec![chain])), ("keyFile", Nix::text(key))]);
            let path = ["services", "traefik", "dynamicConfigOptions", "tls", "certificates"];
            builder.set(&module, &path, Nix::List(vec![value]), &from);
        }
        if let Some(value) = builder.json(&document, at) {
            builder.set(&module, &["services", "traefik", "dynamicConfigOptions"], value, &from);
        }
    }
}
