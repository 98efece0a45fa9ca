//! nginx as the reverse proxy: one file for what all sites share, and one file a site.

pub(crate) mod entry;
pub(crate) mod forward_auth;
mod listen;
pub(crate) mod main_file;
pub(crate) mod site;
pub(crate) mod snippet;
mod upstream;

use std::collections::BTreeSet;

use contract::Pointer;
use contract::document::{Handler, Stage};

use self::listen::Listen;
use super::{HostBuilder, acme, certificates};
use crate::format::nginx;
use crate::model::Site;

const MAIN: &str = "/etc/nginx/nginx.conf";
const SITES: &str = "/etc/nginx/plumbline.d";
pub(super) const UNIT: &str = "nginx.service";

pub(super) fn add(builder: &mut HostBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    let sites = model.sites(host);
    if sites.is_empty() && host.spec.proxy.is_none() {
        return;
    }
    let proxy = host.proxy();
    let listen = Listen::of(builder, &proxy, host.proxy_version());
    let mut from: BTreeSet<Pointer> = sites.iter().flat_map(Site::from).collect();
    from.insert(host.at("proxy"));
    let from: Vec<_> = from.into_iter().collect();
    let package = proxy.package.as_deref().unwrap_or("nginx-light");
    builder.packages(Stage::Services, &[package], &host.at("proxy"));
    builder.hold(Stage::Services, UNIT);
    builder.check_set("nginx", &[&["/usr/sbin/nginx", "-t"]]);
    let mut first = true;
    let mut rendered = Vec::new();
    for site in sites {
        if let Some(directives) = site::write(builder, &proxy, &listen, site, &mut first) {
            rendered.push((site, directives));
        }
    }
    let text = builder.header("#", &from) + &nginx::write(&main_file::write(builder, &proxy, &listen, sites));
    builder.file(Stage::Services, MAIN, text, &from).set("nginx").notify(Handler::reload(UNIT)).add(builder);
    builder.directory(Stage::Services, SITES, 0o755, "root", "root", &from);
    for (site, directives) in rendered {
        let from = site.from();
        let path = format!("{SITES}/{}.conf", crate::model::file_name(site.name()));
        let text = builder.header("#", &from) + &nginx::write(&directives);
        builder.file(Stage::Services, &path, text, &from).set("nginx").notify(Handler::reload(UNIT)).add(builder);
        if let Some(certificate) = &site.certificate {
            certificates::add(builder, certificate, UNIT);
        }
    }
    if proxy.ktls && !host.spec.kernel_modules.iter().any(|module| module == "tls") {
        let at = [host.at("proxy")];
        let text = builder.header("#", &at) + "tls\n";
        builder
            .file(Stage::Base, "/etc/modules-load.d/plumbline-ktls.conf", text, &at)
            .notify(Handler::restart("systemd-modules-load.service"))
            .add(builder);
    }
    acme::add(builder, UNIT, "www-data", sites);
    builder.unit(Stage::Services, UNIT, &from);
}
