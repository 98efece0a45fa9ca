//! How nginx passes requests on.

use super::UNIT;
use super::main_file::{FORWARDED_FOR, FORWARDED_PROTO};
use crate::fleet::{FastCgi, ProxyServer, Route, Scheme};
use crate::format::nftables;
use crate::format::nginx::{Directive, interpolated, literal};
use crate::host::{HostBuilder, certificates};
use crate::model::{Entry, Site};

/// What requests are passed on to: the one address, or the name of a group of several, which stands beside servers.
/// <https://nginx.org/en/docs/http/ngx_http_upstream_module.html>
pub(super) fn target(site: &Site<'_>, addresses: &[String], shared: &mut Vec<Directive>) -> Target {
    let name = match addresses {
        [one] => return Target { name: one.clone(), several: false },
        _ => format!("{}_{}", nftables::identifier("upstream", site.name()), shared.len()),
    };
    // All workers know together who does not answer.
    let mut body = vec![Directive::new("zone", [name.as_str(), "64k"])];
    body.extend(addresses.iter().map(|address| Directive::new("server", [address])));
    shared.push(Directive::block("upstream", [&name], body));
    Target { name, several: true }
}

/// Where requests go.
pub(super) struct Target {
    name: String,
    several: bool,
}

/// What a location does with a request. `None`, with a finding, where nginx does not speak what the service does.
pub(super) fn write(
    builder: &mut HostBuilder<'_, '_>,
    proxy: &ProxyServer,
    site: &Site<'_>,
    entry: &Entry<'_>,
    target: &Target,
    scheme: Scheme,
) -> Option<Vec<Directive>> {
    match scheme {
        Scheme::Http | Scheme::Https => Some(http(builder, proxy, site, entry, target, scheme)),
        Scheme::H2c => Some(grpc(proxy, entry, target)),
        Scheme::Fastcgi => fastcgi(builder, proxy, entry, target),
        Scheme::Tcp | Scheme::Ssh | Scheme::Rdp => {
            let at = entry.pointer.join("scheme");
            builder.missing(at, &format!("\"{}\" behind nginx (so the whole entry)", scheme.as_str()));
            None
        }
    }
}

fn http(
    builder: &mut HostBuilder<'_, '_>,
    proxy: &ProxyServer,
    site: &Site<'_>,
    entry: &Entry<'_>,
    target: &Target,
    scheme: Scheme,
) -> Vec<Directive> {
    let at = &entry.pointer;
    let mut body = vec![Directive::new("proxy_pass", [&format!("{}://{}", scheme.as_str(), target.name)])];
    body.push(Directive::new("proxy_http_version", ["1.1"]));
    body.extend(forwarded("proxy_set_header", proxy, entry));
    if entry.verify && scheme == Scheme::Https {
        certificates::add_ca(builder, UNIT, std::slice::from_ref(at));
        let name = if site.name().starts_with("*.") { "$host" } else { site.name() };
        // Sessions are taken up again as they are by default: only the server that was verified can do so.
        body.push(Directive::new("proxy_ssl_verify", ["on"]));
        body.push(Directive::new("proxy_ssl_verify_depth", ["2"]));
        body.push(Directive::new("proxy_ssl_trusted_certificate", [certificates::CA]));
        body.push(Directive::new("proxy_ssl_server_name", ["on"]));
        body.push(Directive::new("proxy_ssl_name", [name]));
        body.push(Directive::new("proxy_ssl_protocols", ["TLSv1.2", "TLSv1.3"]));
    }
    if entry.route.websocket {
        body.push(Directive::new("proxy_set_header", ["Upgrade", "$http_upgrade"]));
        body.push(Directive::new("proxy_set_header", ["Connection", "$connection_upgrade"]));
    }
    body.extend(timeouts("proxy", entry.route, target));
    if entry.route.streaming {
        body.push(Directive::new("proxy_buffering", ["off"]));
        body.push(Directive::new("proxy_request_buffering", ["off"]));
    }
    body
}

/// What takes a header out of the service's answer.
pub(super) const fn hide_header(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::H2c => "grpc_hide_header",
        Scheme::Fastcgi => "fastcgi_hide_header",
        _ => "proxy_hide_header",
    }
}

/// What the service learns about whoever asks.
fn forwarded(directive: &str, proxy: &ProxyServer, entry: &Entry<'_>) -> Vec<Directive> {
    // At the edge the client's own words about where it comes from count for nothing.
    let trusts = !proxy.real_ip_from.is_empty();
    let address = if trusts { FORWARDED_FOR } else { "$remote_addr" };
    // Behind an edge that ends TLS, the edge knows how the client came.
    let scheme = match (entry.behind.is_some(), trusts) {
        (true, true) => FORWARDED_PROTO,
        (true, false) => "$http_x_forwarded_proto",
        (false, _) => "$scheme",
    };
    let mut all = vec![
        ("Host", "$host"),
        ("X-Real-IP", "$remote_addr"),
        ("X-Forwarded-For", address),
        ("X-Forwarded-Proto", scheme),
        ("X-Forwarded-Host", "$host"),
    ];
    if proxy.early_data {
        all.push(("Early-Data", "$ssl_early_data"));
    }
    all.into_iter().map(|(name, value)| Directive::new(directive, [name, value])).collect()
}

fn timeouts(protocol: &str, route: &Route, target: &Target) -> Vec<Directive> {
    let mut all = Vec::new();
    if target.several {
        // A host that is away costs one request a moment, and not the minute that it is by default.
        all.push(Directive::new(&format!("{protocol}_connect_timeout"), ["3s"]));
    }
    if let Some(timeout) = route.timeout {
        let seconds = format!("{}s", timeout.as_secs());
        all.extend(["read", "send"].map(|way| Directive::new(&format!("{protocol}_{way}_timeout"), [&seconds])));
    }
    all
}

/// HTTP/2 without TLS. Only nginx' module for gRPC speaks it to servers.
fn grpc(proxy: &ProxyServer, entry: &Entry<'_>, target: &Target) -> Vec<Directive> {
    let mut body = vec![Directive::new("grpc_pass", [&format!("grpc://{}", target.name)])];
    body.extend(forwarded("grpc_set_header", proxy, entry));
    body.extend(timeouts("grpc", entry.route, target));
    body
}

fn fastcgi(
    builder: &mut HostBuilder<'_, '_>,
    proxy: &ProxyServer,
    entry: &Entry<'_>,
    target: &Target,
) -> Option<Vec<Directive>> {
    let spec = entry.route.fastcgi.clone().unwrap_or_default();
    let at = entry.pointer.join("fastcgi");
    let server = match &spec.socket {
        Some(socket) => builder.fit(literal(&format!("unix:{socket}")).map(str::to_owned), &at.join("socket"))?,
        None => target.name.clone(),
    };
    let asked = |spec: &FastCgi| {
        let mut body = vec![Directive::new("include", ["/etc/nginx/fastcgi_params"])];
        let parameters: &[(&str, &str)] = if spec.root.is_some() {
            &[
                ("SCRIPT_FILENAME", "$document_root$fastcgi_script_name"),
                ("DOCUMENT_ROOT", "$document_root"),
                ("PATH_INFO", "$plumbline_path_info"),
            ]
        } else {
            &[("SCRIPT_NAME", ""), ("PATH_INFO", "$uri")]
        };
        body.extend(parameters.iter().map(|(name, value)| Directive::new("fastcgi_param", [name, value])));
        body.push(Directive::new("fastcgi_param", ["SERVER_NAME", "$host"]));
        // A program of CGI would take the header "Proxy" for a setting of its own.
        body.push(Directive::new("fastcgi_param", ["HTTP_PROXY", ""]));
        let headers = forwarded("fastcgi_param", proxy, entry);
        body.extend(
            headers.into_iter().filter(|header| header.args.first().is_some_and(|name| name != "Host")).map(parameter),
        );
        body.extend(timeouts("fastcgi", entry.route, target));
        body.push(Directive::new("fastcgi_pass", [&server]));
        body
    };
    let Some(root) = &spec.root else { return Some(asked(&spec)) };
    let root = builder.fit(interpolated(root), &at.join("root"))?;
    let mut script = vec![
        Directive::new("fastcgi_split_path_info", ["^(.+?\\.php)(/.*)$"]),
        // What is looked for takes the rest of the path away.
        Directive::new("set", ["$plumbline_path_info", "$fastcgi_path_info"]),
        // A script that is not there is never asked for: PHP would look for one further up.
        Directive::new("try_files", ["$fastcgi_script_name", "=404"]),
    ];
    script.extend(asked(&spec));
    let front = format!("{}/index.php", entry.path.trim_end_matches('/'));
    Some(vec![
        Directive::new("root", [&root]),
        Directive::new("index", ["index.php", "index.html"]),
        Directive::new("try_files", ["$uri", "$uri/", &format!("{front}$is_args$args")]),
        Directive::block("location", ["~", "/\\.(?!well-known/)"], vec![Directive::new("deny", ["all"])]),
        Directive::block("location", ["~", "\\.php(?:$|/)"], script),
    ])
}

/// A header as the parameter that FastCGI has for it.
fn parameter(mut header: Directive) -> Directive {
    header.name = "fastcgi_param".into();
    if let Some(name) = header.args.first_mut() {
        *name = format!("HTTP_{}", name.to_ascii_uppercase().replace('-', "_"));
    }
    header
}

/// Headers that a login sets for what is behind it, in the words of what is spoken there.
pub(super) fn spoken(body: Vec<Directive>, scheme: Scheme) -> Vec<Directive> {
    if matches!(scheme, Scheme::Http | Scheme::Https) {
        return body;
    }
    let (headers, mut body): (Vec<_>, Vec<_>) =
        body.into_iter().partition(|directive| directive.name == "proxy_set_header");
    if scheme == Scheme::Fastcgi {
        let parameters: Vec<_> = headers.into_iter().map(parameter).collect();
        // Where it is asked: what stands further out holds only where nothing of its kind does.
        beside(&mut body, "fastcgi_pass", &parameters);
    } else {
        body.extend(headers.into_iter().map(|header| Directive { name: "grpc_set_header".into(), ..header }));
    }
    body
}

fn beside(body: &mut Vec<Directive>, name: &str, more: &[Directive]) {
    if body.iter().any(|directive| directive.name == name) {
        body.extend(more.iter().cloned());
    }
    for inner in body.iter_mut().filter_map(|directive| directive.body.as_mut()) {
        beside(inner, name, more);
    }
}
