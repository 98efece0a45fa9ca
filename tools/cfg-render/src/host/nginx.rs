//! nginx as the reverse proxy: one file for what all sites share, and one file a site.

use std::collections::{BTreeMap, BTreeSet};

use contract::document::{Handler, Stage};
use contract::{Finding, Pointer, places};

use super::HostBuilder;
use crate::fleet::{Auth, Header, ProxyServer, Scheme, SecurityHeaders, TlsMode};
use crate::format::nginx::{self, Directive, interpolated, literal};
use crate::model::{Certificate, Entry, Model, Site, Upstream};

const MAIN: &str = "/etc/nginx/nginx.conf";
const SITES: &str = "/etc/nginx/plumbline.d";
const UNIT: &str = "nginx.service";
/// Mozilla's intermediate profile (guidelines 5.7) without finite-field Diffie-Hellman.
const CIPHERS: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

pub(super) fn add(builder: &mut HostBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    let sites = model.sites(host);
    if sites.is_empty() && host.spec.proxy.is_none() {
        return;
    }
    let proxy = host.proxy();
    let version = host.proxy_version();
    let mut from: BTreeSet<Pointer> = sites.iter().flat_map(Site::from).collect();
    from.insert(host.at("proxy"));
    let from: Vec<_> = from.into_iter().collect();
    let package = proxy.package.as_deref().unwrap_or("nginx-light");
    builder.packages(Stage::Services, &[package], &host.at("proxy"));
    builder.hold(Stage::Services, UNIT);
    builder.check_set("nginx", &[&["/usr/sbin/nginx", "-t"]]);
    let rendered: Vec<_> =
        sites.iter().filter_map(|site| Some((site, render_site(builder, &proxy, version, site)?))).collect();
    let text = builder.header("#", &from) + &nginx::write(&main_file(builder, &proxy, version, sites));
    builder.file(Stage::Services, MAIN, text, &from).set("nginx").notify(Handler::reload(UNIT)).add(builder);
    builder.directory(Stage::Services, SITES, 0o755, "root", "root", &from);
    for (site, directives) in rendered {
        let from = site.from();
        let path = format!("{SITES}/{}.conf", crate::model::file_name(site.name()));
        let text = builder.header("#", &from) + &nginx::write(&directives);
        builder.file(Stage::Services, &path, text, &from).set("nginx").notify(Handler::reload(UNIT)).add(builder);
        if let Some(certificate) = model.certificate(host, site) {
            add_certificate(builder, &certificate, UNIT);
        }
    }
    builder.unit(Stage::Services, UNIT, &from);
}

/// Chain as a file, key as a secret with a link: what a proxy finds at the final path.
pub(super) fn add_certificate(builder: &mut HostBuilder<'_, '_>, certificate: &Certificate, unit: &str) {
    let from = &certificate.from;
    if let Some((directory, _)) = certificate.chain.rsplit_once('/') {
        if let Some((parent, _)) = directory.rsplit_once('/') {
            builder.directory(Stage::Services, parent, 0o755, "root", "root", from);
        }
        builder.directory(Stage::Services, directory, 0o755, "root", "root", from);
    }
    let file = builder
        .file(Stage::Services, &certificate.chain, String::new(), from)
        .source(&certificate.store.source)
        .notify(Handler::reload(unit));
    if certificate.store.stand_in {
        file.keep_existing().add(builder);
    } else {
        file.add(builder);
    }
    builder.wait_for_secrets(Stage::Services, unit, from);
}

fn main_file(
    builder: &mut HostBuilder<'_, '_>,
    proxy: &ProxyServer,
    version: (u32, u32, u32),
    sites: &[Site<'_>],
) -> Vec<Directive> {
    let host = builder.host;
    let mut http = vec![
        Directive::new("include", ["/etc/nginx/mime.types"]),
        Directive::new("default_type", ["application/octet-stream"]),
        Directive::new("server_tokens", ["off"]),
        Directive::new("sendfile", ["on"]),
        Directive::new("tcp_nopush", ["on"]),
        Directive::new("keepalive_timeout", ["65"]),
        Directive::new("access_log", ["/var/log/nginx/access.log"]),
        Directive::new("gzip", ["on"]),
        Directive::new("gzip_vary", ["on"]),
        Directive::new(
            "gzip_types",
            ["text/plain", "text/css", "application/json", "application/javascript", "image/svg+xml"],
        ),
        Directive::new("ssl_protocols", ["TLSv1.2", "TLSv1.3"]),
        Directive::new("ssl_ciphers", [CIPHERS]),
        Directive::new("ssl_prefer_server_ciphers", ["off"]),
        Directive::new("ssl_session_timeout", ["1d"]),
        Directive::new("ssl_session_cache", ["shared:SSL:10m"]),
        Directive::new("ssl_session_tickets", ["off"]),
    ];
    // Every name takes a slot; the default of 512 warns from a few hundred names on.
    let names = sites.iter().map(|site| site.names.len()).sum::<usize>();
    let longest = sites.iter().flat_map(|site| &site.names).map(String::len).max().unwrap_or(0);
    http.push(Directive::new("server_names_hash_max_size", [&(names * 2).next_power_of_two().max(512).to_string()]));
    if longest > 48 {
        http.push(Directive::new("server_names_hash_bucket_size", [&(longest + 32).next_power_of_two().to_string()]));
    }
    let mut trusted = Vec::new();
    for name in &proxy.real_ip_from {
        trusted.extend(trusted_addresses(builder, name));
    }
    if !trusted.is_empty() {
        http.extend(trusted.iter().map(|range| Directive::new("set_real_ip_from", [range])));
        http.push(Directive::new("real_ip_header", ["X-Forwarded-For"]));
        http.push(Directive::new("real_ip_recursive", ["on"]));
    }
    http.push(nginx::dollar());
    http.push(Directive::block(
        "map",
        ["$http_upgrade", "$connection_upgrade"],
        vec![Directive::new("default", ["upgrade"]), Directive::new("", [""])],
    ));
    http.push(Directive::new("limit_req_status", ["429"]));
    if let Some(size) = &proxy.max_body
        && let Some(size) = builder.fit(literal(size).map(str::to_owned), &host.at("proxy"))
    {
        http.push(Directive::new("client_max_body_size", [&size]));
    }
    if proxy.ktls {
        http.push(Directive::new("ssl_conf_command", ["Options", "KTLS"]));
    }
    if proxy.sinkhole {
        let tls = sites.iter().any(|site| site.tls != TlsMode::None);
        let mut sink = Vec::new();
        for address in listen_addresses(builder, proxy) {
            sink.push(Directive::new("listen", [&format!("{address}{}", proxy.http_port), "default_server"]));
            if tls {
                sink.push(listen_tls(&format!("{address}{}", proxy.https_port), version, &["default_server"]));
            }
        }
        sink.push(Directive::new("server_name", ["_"]));
        if tls {
            sink.push(Directive::new("ssl_reject_handshake", ["on"]));
        }
        sink.push(Directive::new("return", ["444"]));
        http.push(Directive::block("server", [], sink));
    }
    if let Some(port) = proxy.metrics_port {
        http.push(Directive::block(
            "server",
            [],
            vec![
                Directive::new("listen", [&format!("127.0.0.1:{port}")]),
                Directive::block("location", ["=", "/stub_status"], vec![Directive::new("stub_status", [])]),
            ],
        ));
    }
    if let Some(extra) = host.spec.extra.as_ref().and_then(|extra| extra.nginx.as_ref()) {
        merge_extra(builder, &mut http, &extra.http, &host.at("extra").join("nginx").join("http"));
    }
    http.push(Directive::new("include", ["/etc/nginx/conf.d/*.conf"]));
    http.push(Directive::new("include", [&format!("{SITES}/*.conf")]));
    vec![
        Directive::new("user", ["www-data"]),
        Directive::new("worker_processes", ["auto"]),
        Directive::new("worker_rlimit_nofile", ["8192"]),
        Directive::new("pid", ["/run/nginx.pid"]),
        Directive::new("error_log", ["/var/log/nginx/error.log"]),
        Directive::new("include", ["/etc/nginx/modules-enabled/*.conf"]),
        Directive::block("events", [], vec![Directive::new("worker_connections", ["2048"])]),
        Directive::block("http", [], http),
    ]
}

/// Addresses of a host, ranges of a network, or what was written.
pub(crate) fn trusted_addresses(builder: &mut HostBuilder<'_, '_>, name: &str) -> Vec<String> {
    if let Some(edge) = builder.model.host(name) {
        let shared = builder.model.shared_network(builder.host, edge).and_then(|network| edge.address(&network));
        return shared.or_else(|| edge.any_address()).iter().map(ToString::to_string).collect();
    }
    if let Some(network) = builder.model.fleet.networks.get(name) {
        return network.ranges().iter().map(ToString::to_string).collect();
    }
    if name.parse::<ipnet::IpNet>().is_ok() || name.parse::<std::net::IpAddr>().is_ok() {
        return vec![name.to_owned()];
    }
    let at = builder.host.at("proxy").join("real_ip_from");
    builder.findings.push(Finding::error("unknown-ref", at, format!("\"{name}\" is no host, network or address")));
    Vec::new()
}

/// What stands before the port in `listen`: nothing and `[::]:`, or addresses.
fn listen_addresses(builder: &HostBuilder<'_, '_>, proxy: &ProxyServer) -> Vec<String> {
    if proxy.listen.is_empty() {
        return vec![String::new(), "[::]:".into()];
    }
    let addresses =
        proxy.listen.iter().flat_map(|network| builder.host.spec.addresses.get(network).into_iter().flatten());
    addresses.map(|address| if address.is_ipv6() { format!("[{address}]:") } else { format!("{address}:") }).collect()
}

fn listen_tls(address: &str, version: (u32, u32, u32), more: &[&str]) -> Directive {
    let mut listen = Directive::new("listen", [address, "ssl"]);
    if version < (1, 25, 1) {
        listen.args.push("http2".into());
    }
    listen.args.extend(more.iter().map(|word| (*word).to_owned()));
    listen
}

fn render_site(
    builder: &mut HostBuilder<'_, '_>,
    proxy: &ProxyServer,
    version: (u32, u32, u32),
    site: &Site<'_>,
) -> Option<Vec<Directive>> {
    let at = site.entries.first()?.pointer.clone();
    let mut names = Vec::new();
    for name in &site.names {
        names.push(builder.fit(site_name(name), &at)?);
    }
    let certificate = builder.model.certificate(builder.host, site);
    if certificate.is_none() && site.tls != TlsMode::None {
        builder.missing(at, &format!("TLS of the kind \"{}\" with nginx", site.tls.as_str()));
        return None;
    }
    let mut locations = Vec::new();
    let mut zones = Vec::new();
    for entry in &site.entries {
        locations.extend(render_entry(builder, proxy, site, entry, &mut zones)?);
    }
    let addresses = listen_addresses(builder, proxy);
    let mut all = zones;
    let server_name = |names: &[String]| Directive { name: "server_name".into(), args: names.to_vec(), body: None };
    if certificate.is_some() {
        // One server a name, so that the answer never repeats what the client sent as a name.
        for name in &names {
            let mut server: Vec<_> = addresses
                .iter()
                .map(|address| Directive::new("listen", [&format!("{address}{}", proxy.http_port)]))
                .collect();
            server.push(server_name(std::slice::from_ref(name)));
            if matches!(site.tls, TlsMode::Acme) {
                server.push(Directive::block(
                    "location",
                    ["^~", "/.well-known/acme-challenge/"],
                    vec![
                        Directive::new("root", ["/var/lib/acme/acme-challenge"]),
                        Directive::new("auth_basic", ["off"]),
                    ],
                ));
            }
            let port = if proxy.https_port == 443 { String::new() } else { format!(":{}", proxy.https_port) };
            let target = if name.starts_with("*.") { "$host" } else { name.as_str() };
            server.push(Directive::block(
                "location",
                ["/"],
                vec![Directive::new("return", ["301", &format!("https://{target}{port}$request_uri")])],
            ));
            all.push(Directive::block("server", [], server));
        }
    }
    let mut server = Vec::new();
    for address in &addresses {
        match &certificate {
            Some(_) => server.push(listen_tls(&format!("{address}{}", proxy.https_port), version, &[])),
            None => server.push(Directive::new("listen", [&format!("{address}{}", proxy.http_port)])),
        }
    }
    if certificate.is_some() && version >= (1, 25, 1) {
        server.push(Directive::new("http2", ["on"]));
    }
    server.push(server_name(&names));
    if let Some(certificate) = &certificate {
        server.push(Directive::new("ssl_certificate", [&certificate.chain]));
        server.push(Directive::new("ssl_certificate_key", [&certificate.key]));
    }
    server.extend(locations);
    for service in site.entries.iter().map(|entry| entry.service).collect::<BTreeSet<_>>() {
        let extra =
            builder.model.fleet.services.get(service).and_then(|service| service.extra.as_ref()?.nginx.as_ref());
        if let Some(extra) = extra {
            let at = Model::service_at(service).join("extra").join("nginx").join("server");
            merge_extra(builder, &mut server, &extra.server, &at);
        }
    }
    all.push(Directive::block("server", [], server));
    Some(all)
}

/// A name for `server_name`: no expression, no wildcard but the first label.
pub(crate) fn site_name(name: &str) -> crate::format::Written {
    let name = idna::domain_to_ascii(name.strip_prefix("*.").unwrap_or(name))
        .map(|ascii| if name.starts_with("*.") { format!("*.{ascii}") } else { ascii });
    let good = |name: &String| {
        name.strip_prefix("*.").unwrap_or(name).chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
            && !name.is_empty()
    };
    name.ok().filter(good).ok_or(crate::format::Unrepresentable::new("server_name", "such a name"))
}

/// The locations of an entry. `None` if it must not be served.
pub(crate) fn render_entry(
    builder: &mut HostBuilder<'_, '_>,
    proxy: &ProxyServer,
    site: &Site<'_>,
    entry: &Entry<'_>,
    zones: &mut Vec<Directive>,
) -> Option<Vec<Directive>> {
    let at = &entry.pointer;
    if entry.behind.is_none() && !matches!(entry.route.auth, Auth::None | Auth::Basic(_)) {
        builder.missing(at.join("auth"), "this kind of login at the proxy (so the whole entry)");
        return None;
    }
    let path = builder.fit(location_path(&entry.path), &at.join("path"))?;
    let mut body = Vec::new();
    if !entry.is_public() {
        let ranges = builder.model.ranges(&entry.route.from);
        body.extend(ranges.iter().map(|range| Directive::new("allow", [&range.to_string()])));
        body.push(Directive::new("allow", ["127.0.0.1"]));
        body.push(Directive::new("deny", ["all"]));
    }
    if let Some(limits) = entry.limits(proxy.limits.as_ref()) {
        let zone = format!("{}_{}", crate::format::nftables::identifier("limit", site.name()), zones.len());
        zones.push(Directive::new(
            "limit_req_zone",
            ["$binary_remote_addr", &format!("zone={zone}:10m"), &format!("rate={}", limits.rate)],
        ));
        let mut limit = Directive::new("limit_req", [&format!("zone={zone}")]);
        if limits.burst > 0 {
            limit.args.extend([format!("burst={}", limits.burst), "nodelay".into()]);
        }
        body.push(limit);
    }
    if let Auth::Basic(basic) = &entry.route.auth {
        let realm = builder.fit(interpolated(basic.realm.as_deref().unwrap_or(entry.service)), &at.join("auth"))?;
        body.push(Directive::new("auth_basic", [&realm]));
        body.push(Directive::new("auth_basic_user_file", [&format!("{}/{}", places::SECRETS, basic.users.secret)]));
        builder.wait_for_secrets(Stage::Services, UNIT, std::slice::from_ref(at));
    }
    if let Some(size) = &entry.route.max_body {
        let size = builder.fit(literal(size).map(str::to_owned), &at.join("max_body"))?;
        body.push(Directive::new("client_max_body_size", [&size]));
    }
    // A header at an inner level takes away all those of outer levels: the whole set stands here.
    for (name, value) in headers(&proxy.security_headers, &entry.route.headers, site.tls != TlsMode::None) {
        let name = builder.fit(header_name(&name), &at.join("headers"))?;
        let value = builder.fit(interpolated(&value), &at.join("headers").join(&name))?;
        body.push(Directive::new("add_header", [&name, &value, "always"]));
    }
    match &entry.upstream {
        Upstream::Files(files) => {
            let root = builder.fit(interpolated(&files.root), at)?;
            body.push(Directive::new(if path == "/" { "root" } else { "alias" }, [&with_slash(&root, path != "/")]));
            let mut index = Directive::new("index", []);
            for name in &files.index {
                index.args.push(builder.fit(interpolated(name), at)?);
            }
            if index.args.is_empty() {
                index.args.push("index.html".into());
            }
            body.push(index);
            if files.listing {
                body.push(Directive::new("autoindex", ["on"]));
            }
            let fallback = match &files.fallback {
                Some(fallback) => builder.fit(interpolated(fallback), at)?,
                None => "=404".into(),
            };
            body.push(Directive::new("try_files", ["$uri", "$uri/", &fallback]));
        }
        Upstream::Address(address, scheme) => body.extend(proxy_pass(builder, proxy, entry, address, *scheme)?),
        Upstream::Redirect(target) => {
            let target = builder.fit(interpolated(target.trim_end_matches('/')), &at.join("redirect"))?;
            body.push(Directive::new("return", ["308", &format!("{target}$request_uri")]));
        }
        Upstream::Unreachable => {
            builder.findings.push(
                Finding::error(
                    "unreachable-upstream",
                    at.clone(),
                    format!("host \"{}\" has no way to service \"{}\"", builder.host.name, entry.service),
                )
                .fix("bind the port to a network that both hosts share"),
            );
            return None;
        }
    }
    let extra =
        builder.model.fleet.services.get(entry.service).and_then(|service| service.extra.as_ref()?.nginx.as_ref());
    if let Some(extra) = extra {
        let at = Model::service_at(entry.service).join("extra").join("nginx").join("location");
        merge_extra(builder, &mut body, &extra.location, &at);
    }
    Some(vec![Directive::block("location", [&path], body)])
}

fn with_slash(root: &str, wanted: bool) -> String {
    if wanted && !root.ends_with('/') { format!("{root}/") } else { root.to_owned() }
}

fn location_path(path: &str) -> crate::format::Written {
    // A path that begins otherwise would be read as a modifier or the name of another location.
    if !path.starts_with('/') {
        return Err(crate::format::Unrepresentable::new("a location", "a path that does not begin with a slash"));
    }
    literal(path).map(str::to_owned)
}

fn header_name(name: &str) -> crate::format::Written {
    let good = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if good { Ok(name.to_owned()) } else { Err(crate::format::Unrepresentable::new("an HTTP header", "such a name")) }
}

/// Headers added to answers: defaults, the proxy's, the entry's; an empty value takes one away.
pub(super) fn headers(proxy: &SecurityHeaders, route: &[Header], tls: bool) -> Vec<(String, String)> {
    let mut all: BTreeMap<String, (String, String)> = BTreeMap::new();
    let mut set = |name: &str, value: &str| {
        all.insert(name.to_ascii_lowercase(), (name.to_owned(), value.to_owned()));
    };
    if proxy.defaults {
        if tls {
            set("Strict-Transport-Security", "max-age=63072000");
        }
        set("X-Content-Type-Options", "nosniff");
        set("Referrer-Policy", "strict-origin-when-cross-origin");
    }
    for header in proxy.set.iter().chain(route) {
        set(&header.name, &header.value);
    }
    all.into_values().filter(|(_, value)| !value.is_empty()).collect()
}

fn proxy_pass(
    builder: &mut HostBuilder<'_, '_>,
    proxy: &ProxyServer,
    entry: &Entry<'_>,
    address: &str,
    scheme: Scheme,
) -> Option<Vec<Directive>> {
    let at = &entry.pointer;
    let mut body = Vec::new();
    match scheme {
        Scheme::Http | Scheme::Https => {
            body.push(Directive::new("proxy_pass", [&format!("{}://{address}", scheme.as_str())]));
        }
        Scheme::H2c | Scheme::Fastcgi | Scheme::Tcp | Scheme::Ssh | Scheme::Rdp => {
            builder.missing(at.join("scheme"), &format!("\"{}\" behind nginx (so the whole entry)", scheme.as_str()));
            return None;
        }
    }
    body.push(Directive::new("proxy_http_version", ["1.1"]));
    body.push(Directive::new("proxy_set_header", ["Host", "$host"]));
    body.push(Directive::new("proxy_set_header", ["X-Real-IP", "$remote_addr"]));
    // At the edge the client's own words about where it comes from count for nothing.
    let forwarded = if proxy.real_ip_from.is_empty() { "$remote_addr" } else { "$proxy_add_x_forwarded_for" };
    body.push(Directive::new("proxy_set_header", ["X-Forwarded-For", forwarded]));
    body.push(Directive::new("proxy_set_header", ["X-Forwarded-Proto", "$scheme"]));
    body.push(Directive::new("proxy_set_header", ["X-Forwarded-Host", "$host"]));
    if entry.route.websocket {
        body.push(Directive::new("proxy_set_header", ["Upgrade", "$http_upgrade"]));
        body.push(Directive::new("proxy_set_header", ["Connection", "$connection_upgrade"]));
    }
    if let Some(timeout) = entry.route.timeout {
        let seconds = format!("{}s", timeout.as_secs());
        body.push(Directive::new("proxy_read_timeout", [&seconds]));
        body.push(Directive::new("proxy_send_timeout", [&seconds]));
    }
    if entry.route.streaming {
        body.push(Directive::new("proxy_buffering", ["off"]));
        body.push(Directive::new("proxy_request_buffering", ["off"]));
    }
    Some(body)
}

/// Directives that may stand several times in a block; of all others the user's stands in the place of ours.
const REPEATED: [&str; 14] = [
    "add_header",
    "allow",
    "deny",
    "error_page",
    "if",
    "include",
    "limit_req",
    "limit_req_zone",
    "listen",
    "location",
    "map",
    "proxy_set_header",
    "rewrite",
    "server",
];

pub(crate) fn merge_extra(
    builder: &mut HostBuilder<'_, '_>,
    block: &mut Vec<Directive>,
    lines: &[String],
    at: &Pointer,
) {
    for (index, line) in lines.iter().enumerate() {
        let line = line.trim();
        let text = if line.ends_with(';') || line.ends_with('}') { line.to_owned() } else { format!("{line};") };
        match nginx::read(&text) {
            Ok(directives) => {
                for directive in directives {
                    if !REPEATED.contains(&directive.name.as_str()) {
                        block.retain(|ours| ours.name != directive.name);
                    }
                    block.push(directive);
                }
            }
            Err(problem) => {
                builder.findings.push(Finding::error("bad-snippet", at.join(index), format!("not nginx: {problem}")));
            }
        }
    }
}
