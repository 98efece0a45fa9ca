//! One site of nginx: its servers.

use std::collections::BTreeSet;

use super::listen::Listen;
use super::{entry, snippet};
use crate::fleet::{ProxyServer, TlsMode};
use crate::format::nginx::Directive;
use crate::format::{Unrepresentable, Written};
use crate::host::HostBuilder;
use crate::model::{Model, Site};

/// The servers of a site. `None` if it must not be served. `first` is the first one with HTTP/3.
pub(super) fn write(
    builder: &mut HostBuilder<'_, '_>,
    proxy: &ProxyServer,
    listen: &Listen,
    site: &Site<'_>,
    first: &mut bool,
) -> Option<Vec<Directive>> {
    let at = site.entries.first()?.pointer.clone();
    let mut names = Vec::new();
    for name in &site.names {
        names.push(builder.fit(site_name(name), &at)?);
    }
    let certificate = site.certificate.as_ref();
    if certificate.is_none() && site.tls != TlsMode::None {
        builder.missing(at, &format!("TLS of the kind \"{}\" with nginx", site.tls.as_str()));
        return None;
    }
    let tls = certificate.is_some();
    let quic = tls && site.entries.iter().any(|entry| entry.behind.is_none() && entry.http3(proxy));
    let mut locations = Vec::new();
    let mut shared = Vec::new();
    for entry in &site.entries {
        for location in entry::write(builder, proxy, site, entry, quic, &mut shared)? {
            // Several entries may ask the same provider, whose own locations stand once.
            let twice = super::forward_auth::is_own(&location)
                && locations.iter().any(|known: &Directive| known.args == location.args);
            if !twice {
                locations.push(location);
            }
        }
    }
    let mut all = shared;
    if tls {
        all.extend(names.iter().map(|name| redirect(proxy, listen, site, name)));
    }
    let mut server = if tls { listen.tls(&[]) } else { listen.plain(&[]) };
    if quic {
        // Exactly one server an address asks for the port to be shared between workers: the sinkhole, or the first site.
        let words: &[&str] = if *first && !proxy.sinkhole { &["reuseport"] } else { &[] };
        server.extend(listen.quic(words));
        *first = false;
    }
    if tls && listen.has_http2_directive() {
        server.push(Directive::new("http2", ["on"]));
    }
    if quic {
        server.push(Directive::new("http3", ["on"]));
    }
    server.push(server_name(&names));
    if let Some(certificate) = certificate {
        server.push(Directive::new("ssl_certificate", [&certificate.chain]));
        server.push(Directive::new("ssl_certificate_key", [&certificate.key]));
        if proxy.early_data {
            server.push(Directive::block("if", ["($early_unsafe)"], vec![Directive::new("return", ["425"])]));
        }
    }
    server.extend(locations);
    for service in site.entries.iter().map(|entry| entry.service).collect::<BTreeSet<_>>() {
        let extra =
            builder.model.fleet.services.get(service).and_then(|service| service.extra.as_ref()?.nginx.as_ref());
        if let Some(extra) = extra {
            let at = Model::service_at(service).join("extra").join("nginx").join("server");
            snippet::merge(builder, &mut server, &extra.server, &at);
        }
    }
    // Without an entry for all paths the others would get what the package has put into nginx' own directory.
    let whole =
        |directive: &Directive| directive.name == "location" && directive.args.last().is_some_and(|path| path == "/");
    if !server.iter().any(whole) {
        server.push(Directive::block("location", ["/"], vec![Directive::new("return", ["404"])]));
    }
    all.push(Directive::block("server", [], server));
    Some(all)
}

fn server_name(names: &[String]) -> Directive {
    Directive { name: "server_name".into(), args: names.to_vec(), body: None }
}

/// From plain HTTP to HTTPS. One server a name, so that the answer never repeats what the client sent as a name.
fn redirect(proxy: &ProxyServer, listen: &Listen, site: &Site<'_>, name: &String) -> Directive {
    let mut server = listen.plain(&[]);
    server.push(server_name(std::slice::from_ref(name)));
    if matches!(site.tls, TlsMode::Acme) {
        server.push(Directive::block(
            "location",
            ["^~", "/.well-known/acme-challenge/"],
            vec![Directive::new("root", ["/var/lib/acme/acme-challenge"]), Directive::new("auth_basic", ["off"])],
        ));
    }
    let port = if proxy.https_port == 443 { String::new() } else { format!(":{}", proxy.https_port) };
    let target = if name.starts_with("*.") { "$host" } else { name.as_str() };
    server.push(Directive::block(
        "location",
        ["/"],
        vec![Directive::new("return", ["301", &format!("https://{target}{port}$request_uri")])],
    ));
    Directive::block("server", [], server)
}

/// A name for `server_name`: no expression, no wildcard but the first label.
pub(crate) fn site_name(name: &str) -> Written {
    let name = idna::domain_to_ascii(name.strip_prefix("*.").unwrap_or(name))
        .map(|ascii| if name.starts_with("*.") { format!("*.{ascii}") } else { ascii });
    let good = |name: &String| {
        name.strip_prefix("*.").unwrap_or(name).chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
            && !name.is_empty()
    };
    name.ok().filter(good).ok_or(Unrepresentable::new("server_name", "such a name"))
}
