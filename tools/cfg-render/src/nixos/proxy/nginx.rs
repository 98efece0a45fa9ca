//! nginx, by `services.nginx`.

use std::collections::BTreeSet;

use contract::Pointer;

use super::super::builder::NixosBuilder;
use super::{MODULE, acme, chain_and_key, module_of, shared_from};
use crate::fleet::{ProxyKind, ProxyServer, TlsMode};
use crate::format::nginx::{self, Directive};
use crate::format::nix::{Nix, Part};
use crate::host::nginx as shared;
use crate::model::{Entry, Model, Site};

pub(super) fn add(builder: &mut NixosBuilder<'_, '_>, sites: &[Site<'_>]) {
    let proxy = builder.host.proxy();
    let from = shared_from(builder, sites);
    let quic = proxy.http3 || sites.iter().flat_map(|site| &site.entries).any(|entry| entry.route.http3 == Some(true));
    let mut option = |path: &str, value: Nix| {
        let path: Vec<&str> = path.split('.').collect();
        builder.set(MODULE, &path, value, &from);
    };
    option("services.nginx.enable", Nix::Bool(true));
    let package = proxy.package.clone().or_else(|| quic.then(|| "nginxQuic".to_owned()));
    if let Some(package) = package {
        option("services.nginx.package", Nix::package(&package));
    }
    option("services.nginx.recommendedTlsSettings", Nix::Bool(true));
    option("services.nginx.recommendedOptimisation", Nix::Bool(true));
    option("services.nginx.recommendedGzipSettings", Nix::Bool(true));
    // Ours say where a request comes from, which at an edge is not what the client says.
    option("services.nginx.recommendedProxySettings", Nix::Bool(false));
    option("services.nginx.serverTokens", Nix::Bool(false));
    if let Some(size) = &proxy.max_body {
        option("services.nginx.clientMaxBodySize", Nix::text(size));
    }
    if proxy.http_port != 80 {
        option("services.nginx.defaultHTTPListenPort", Nix::number(proxy.http_port));
    }
    if proxy.https_port != 443 {
        option("services.nginx.defaultSSLListenPort", Nix::number(proxy.https_port));
    }
    if proxy.metrics_port.is_some() {
        option("services.nginx.statusPage", Nix::Bool(true));
    }
    let addresses: Vec<String> = listen_addresses(builder, &proxy);
    if !addresses.is_empty() {
        builder.set(MODULE, &["services", "nginx", "defaultListenAddresses"], Nix::texts(addresses), &from);
    }
    let names = sites.iter().map(|site| site.names.len()).sum::<usize>();
    if names > 256 {
        let size = u64::try_from((names * 2).next_power_of_two()).unwrap_or(u64::MAX);
        let all: Vec<Pointer> = from.iter().cloned().chain(sites.iter().flat_map(Site::from)).collect();
        builder.set(MODULE, &["services", "nginx", "serverNamesHashMaxSize"], Nix::number(size), &all);
    }
    let http = common(builder, &proxy);
    let text = nginx::write(&http);
    builder.set(MODULE, &["services", "nginx", "commonHttpConfig"], Nix::text(text), &from);
    if proxy.sinkhole {
        sinkhole(builder, &proxy, quic, &from);
    }
    if proxy.ktls {
        builder.set(MODULE, &["boot", "kernelModules"], Nix::texts(["tls"]), &from);
    }
    for site in sites {
        add_site(builder, &proxy, site);
    }
}

/// Addresses to listen on, where these are not all.
fn listen_addresses(builder: &NixosBuilder<'_, '_>, proxy: &ProxyServer) -> Vec<String> {
    let all = proxy.listen.iter().flat_map(|network| builder.host.spec.addresses.get(network).into_iter().flatten());
    all.map(|address| if address.is_ipv6() { format!("[{address}]") } else { address.to_string() }).collect()
}

/// What stands in `http` for all sites.
fn common(builder: &mut NixosBuilder<'_, '_>, proxy: &ProxyServer) -> Vec<Directive> {
    let mut http = vec![nginx::dollar(), Directive::new("limit_req_status", ["429"])];
    let mut trusted = Vec::new();
    for name in &proxy.real_ip_from {
        trusted.extend(shared::main_file::trusted_addresses(&mut builder.shared, name));
    }
    http.extend(shared::main_file::real_ip(&trusted));
    if proxy.early_data {
        // The listener's first server owns its TLS, so that early data is one matter for all of them.
        http.push(Directive::new("ssl_early_data", ["on"]));
        http.push(Directive::block(
            "map",
            ["$ssl_early_data:$request_method", "$early_unsafe"],
            vec![Directive::new("default", ["0"]), Directive::new("~^1:(?!GET$|HEAD$|OPTIONS$)", ["1"])],
        ));
    }
    if let Some(extra) = builder.host.spec.extra.as_ref().and_then(|extra| extra.nginx.as_ref()) {
        let at = builder.host.at("extra").join("nginx").join("http");
        shared::snippet::merge(&mut builder.shared, &mut http, &extra.http, &at);
    }
    http
}

/// Requests for unknown names get no answer, and no certificate either.
fn sinkhole(builder: &mut NixosBuilder<'_, '_>, _proxy: &ProxyServer, quic: bool, from: &[Pointer]) {
    let mut keys =
        vec![("default", Nix::Bool(true)), ("rejectSSL", Nix::Bool(true)), ("extraConfig", Nix::text("return 444;\n"))];
    if quic {
        keys.push(("quic", Nix::Bool(true)));
        // Once an address and port.
        keys.push(("reuseport", Nix::Bool(true)));
    }
    builder.set(MODULE, &["services", "nginx", "virtualHosts", "_"], Nix::set(keys), from);
}

fn add_site(builder: &mut NixosBuilder<'_, '_>, proxy: &ProxyServer, site: &Site<'_>) {
    let module = module_of(site);
    let from = site.from();
    let Some(at) = from.first() else { return };
    let tls = !matches!(site.tls, TlsMode::None | TlsMode::Tunnel);
    let mut keys: Vec<(&str, Nix)> = Vec::new();
    let mut names = Vec::new();
    for name in &site.names {
        let Some(name) = builder.shared.fit(shared::site::site_name(name), at) else { return };
        names.push(name);
    }
    let name = names.remove(0);
    if !names.is_empty() {
        keys.push(("serverAliases", Nix::texts(&names)));
    }
    let quic = tls && site.entries.iter().any(|entry| entry.behind.is_none() && entry.http3(proxy));
    let mut entries = Vec::new();
    let mut zones = Vec::new();
    for entry in &site.entries {
        let Some(found) = shared::entry::write(&mut builder.shared, proxy, site, entry, quic, &mut zones) else {
            return;
        };
        entries.push((entry, found));
    }
    let mut extra = Vec::new();
    match &site.tls {
        TlsMode::None | TlsMode::Tunnel => {}
        TlsMode::OnDemand => {
            builder.shared.missing(at.clone(), "TLS of the kind \"on-demand\" with nginx");
            return;
        }
        TlsMode::Acme | TlsMode::AcmeDns => {
            if acme::certificate(builder, &module, site, ProxyKind::Nginx).is_none() {
                return;
            }
            let dns = acme::by_dns(&proxy.acme.clone().unwrap_or_default(), site);
            keys.push(("useACMEHost", Nix::text(acme::certificate_name(site))));
            if dns {
                keys.push(("acmeRoot", Nix::Null));
            } else {
                let webroot = Nix::text("/var/lib/acme/acme-challenge");
                builder.set(
                    &module,
                    &["security", "acme", "certs", &acme::certificate_name(site), "webroot"],
                    webroot,
                    &from,
                );
            }
        }
        TlsMode::Internal | TlsMode::Files(_) => {
            let Some(certificate) = &site.certificate else { return };
            let (chain, key) = chain_and_key(builder, &module, certificate);
            keys.push(("sslCertificate", Nix::Text(vec![chain])));
            keys.push(("sslCertificateKey", Nix::text(key)));
        }
    }
    if tls {
        keys.push(("forceSSL", Nix::Bool(true)));
        if proxy.ktls {
            keys.push(("kTLS", Nix::Bool(true)));
        }
        if quic {
            keys.push(("quic", Nix::Bool(true)));
            keys.push(("http3", Nix::Bool(true)));
        }
        if proxy.early_data {
            extra.push(Directive::block("if", ["($early_unsafe)"], vec![Directive::new("return", ["425"])]));
        }
    }
    for service in site.entries.iter().map(|entry| entry.service).collect::<BTreeSet<_>>() {
        let found =
            builder.model.fleet.services.get(service).and_then(|service| service.extra.as_ref()?.nginx.as_ref());
        if let Some(found) = found {
            let at = Model::service_at(service).join("extra").join("nginx").join("server");
            shared::snippet::merge(&mut builder.shared, &mut extra, &found.server, &at);
        }
    }
    if !extra.is_empty() {
        keys.push(("extraConfig", Nix::text(nginx::write(&extra))));
    }
    builder.set(&module, &["services", "nginx", "virtualHosts", &name], Nix::set(keys), &from);
    if !zones.is_empty() {
        builder.set(&module, &["services", "nginx", "commonHttpConfig"], Nix::text(nginx::write(&zones)), &from);
    }
    let mut own = BTreeSet::new();
    for (entry, locations) in entries {
        for location in locations {
            // Several entries may ask the same provider of logins, whose own locations stand once.
            if shared::forward_auth::is_own(&location) && !own.insert(location.args.clone()) {
                continue;
            }
            add_location(builder, &name, entry, location);
        }
    }
}

/// A location in the module of the service whose it is.
fn add_location(builder: &mut NixosBuilder<'_, '_>, name: &str, entry: &Entry<'_>, location: Directive) {
    let module = super::super::services::module(entry.service);
    let path = location.args.join(" ");
    let mut body = location.body.unwrap_or_default();
    let mut keys: Vec<(&str, Nix)> = Vec::new();
    if let Some(place) = body.iter().position(|directive| directive.name == "proxy_pass" && directive.args.len() == 1) {
        let pass = body.remove(place);
        keys.push(("proxyPass", Nix::text(&pass.args[0])));
    }
    trust(&mut body);
    keys.push(("extraConfig", text_with_paths(builder, &module, &body, entry)));
    builder.set(
        &module,
        &["services", "nginx", "virtualHosts", name, "locations", &path],
        Nix::set(keys),
        std::slice::from_ref(&entry.pointer),
    );
}

/// Files that only Debian has where the shared writer names them.
fn trust(body: &mut [Directive]) {
    for directive in body {
        if directive.name == "proxy_ssl_trusted_certificate"
            && directive.args.iter().any(|arg| arg.contains("/tls/ca.pem"))
        {
            directive.args = vec![CA_MARK.into()];
        }
    }
}

/// Stands for the certificate of the internal CA until the text is made.
const CA_MARK: &str = "__plumbline_internal_ca__";

fn text_with_paths(builder: &mut NixosBuilder<'_, '_>, module: &str, body: &[Directive], entry: &Entry<'_>) -> Nix {
    let text = nginx::write(body);
    let Some((before, after)) = text.split_once(CA_MARK) else { return Nix::text(text) };
    let file = builder.model.fleet.certificates.certificate.clone();
    builder.tree.source(&file, &file, &entry.pointer);
    let path = crate::format::nix::write(&NixosBuilder::from_root(module, &file)).unwrap_or_default();
    Nix::Text(vec![
        Part::Plain(before.to_owned()),
        Part::Expression(path.trim_end().to_owned()),
        Part::Plain(after.to_owned()),
    ])
}
