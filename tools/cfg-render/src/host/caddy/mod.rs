//! Caddy as the reverse proxy (2.6 and newer): one Caddyfile.

mod dns;
pub(crate) mod passwords;

use std::collections::BTreeSet;

use contract::document::{Group, Handler, HostItem, Stage, User};
use contract::{Finding, Pointer};

use super::gate::Gate;
use super::nginx::main_file::trusted_addresses;
use super::{HostBuilder, certificates, headers};
use crate::fleet::{AcmeChallenge, Auth, ForwardAuth, Limits, ProxyKind, ProxyServer, Route, Scheme, SsoKind, TlsMode};
use crate::format::caddyfile::{self, Line, word};
use crate::format::nftables;
use crate::model::{Entry, Model, Site, Upstream};

const FILE: &str = "/etc/caddy/Caddyfile";
const UNIT: &str = "caddy.service";

pub(super) fn add(builder: &mut HostBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    let sites = model.sites(host);
    if sites.is_empty() && host.spec.proxy.is_none() {
        return;
    }
    let proxy = host.proxy();
    let mut from: BTreeSet<Pointer> = sites.iter().flat_map(Site::from).collect();
    from.insert(host.at("proxy"));
    let from: Vec<_> = from.into_iter().collect();
    builder.packages(Stage::Services, &[proxy.package.as_deref().unwrap_or("caddy")], &host.at("proxy"));
    builder.hold(Stage::Services, UNIT);
    // The package makes the same user where it is not there; keys need it before.
    builder.push(HostItem {
        id: "group:caddy".into(),
        stage: Stage::Base,
        from: vec![host.at("proxy")],
        group: Some(Group { name: "caddy".into(), gid: None, system: true }),
        ..HostItem::default()
    });
    builder.push(HostItem {
        id: "user:caddy".into(),
        stage: Stage::Base,
        from: vec![host.at("proxy")],
        user: Some(User {
            name: "caddy".into(),
            system: true,
            group: Some("caddy".into()),
            home: Some("/var/lib/caddy".into()),
            shell: Some("/usr/sbin/nologin".into()),
            comment: Some("Caddy web server".into()),
            ..User::default()
        }),
        ..HostItem::default()
    });
    // A module of DNS looks at its token, which is not there while files are checked.
    let verb = if by_dns(&proxy, sites) { "adapt" } else { "validate" };
    builder.check_set("caddy", &[&["/usr/bin/caddy", verb, "--adapter", "caddyfile", "--config", FILE]]);
    let mut lines = vec![Line { words: Vec::new(), body: Some(global(builder, &proxy)) }];
    for site in sites {
        if let Some(blocks) = render_site(builder, &proxy, site) {
            lines.extend(blocks);
            if let Some(certificate) = site.certificate.as_ref().filter(|certificate| !certificate.store.stand_in) {
                certificates::add(builder, certificate, UNIT);
            }
        }
    }
    if proxy.sinkhole {
        lines.push(Line::new(&format!("http://:{}", proxy.http_port)).body(vec![Line::new("abort")]));
    }
    passwords::add(builder, sites);
    if let Some(ca) = proxy.acme.as_ref().and_then(|acme| acme.ca.as_ref()) {
        let at = [host.at("proxy").join("acme").join("ca")];
        certificates::add_authority(builder, UNIT, ca, &at);
    }
    let text = builder.header("#", &from) + &caddyfile::write(&lines);
    builder.file(Stage::Services, FILE, text, &from).set("caddy").notify(Handler::reload(UNIT)).add(builder);
    builder.unit(Stage::Services, UNIT, &from);
}

/// Whether a name is proven by DNS.
fn by_dns(proxy: &ProxyServer, sites: &[Site<'_>]) -> bool {
    let always = proxy.acme.as_ref().is_some_and(|acme| acme.challenge == AcmeChallenge::Dns01);
    sites.iter().any(|site| site.tls == TlsMode::AcmeDns || (always && site.tls == TlsMode::Acme))
}

pub(crate) fn global(builder: &mut HostBuilder<'_, '_>, proxy: &ProxyServer) -> Vec<Line> {
    let host = builder.host;
    // Redirects are written below, because the sinkhole would stand before those that Caddy makes by itself.
    let mut lines = vec![Line::new("auto_https disable_redirects")];
    let acme = proxy.acme.clone().unwrap_or_default();
    if let Some(email) = acme.email.as_ref().or(builder.model.fleet.email.as_ref())
        && let Some(email) = builder.fit(word(email), &host.at("proxy").join("acme"))
    {
        lines.push(Line::new("email").with(email));
    }
    if let Some(directory) = &acme.directory
        && let Some(directory) = builder.fit(word(directory), &host.at("proxy").join("acme").join("directory"))
    {
        lines.push(Line::new("acme_ca").with(directory));
    }
    if acme.ca.is_some() && !host.os.is_nixos() {
        lines.push(Line::new("acme_ca_root").with(certificates::AUTHORITY));
    }
    if proxy.http_port != 80 {
        lines.push(Line::new(&format!("http_port {}", proxy.http_port)));
    }
    if proxy.https_port != 443 {
        lines.push(Line::new(&format!("https_port {}", proxy.https_port)));
    }
    if let Some(on_demand) = &proxy.on_demand
        && let Some(ask) = builder.fit(word(&on_demand.ask), &host.at("proxy").join("on_demand"))
    {
        lines.push(Line::new("on_demand_tls").body(vec![Line::new("ask").with(ask)]));
    }
    let mut servers = Vec::new();
    if !proxy.http3 {
        servers.push(Line::new("protocols h1 h2"));
    }
    let trusted = trusted(builder, proxy);
    if !trusted.is_empty() && has_client_address(builder) {
        servers.push(Line::new(&format!("trusted_proxies static {}", trusted.join(" "))));
        servers.push(Line::new("client_ip_headers X-Forwarded-For"));
        // From right to left, as nginx does: what a client wrote itself stands furthest to the left.
        servers.push(Line::new("trusted_proxies_strict"));
    }
    if !servers.is_empty() {
        lines.push(Line::new("servers").body(servers));
    }
    if let Some(extra) = host.spec.extra.as_ref().and_then(|extra| extra.caddy.as_ref()) {
        let at = host.at("extra").join("caddy").join("global");
        snippets(builder, &mut lines, &extra.global, &at);
    }
    lines
}

/// Ranges of the proxies in front.
fn trusted(builder: &mut HostBuilder<'_, '_>, proxy: &ProxyServer) -> Vec<String> {
    proxy.real_ip_from.iter().flat_map(|name| trusted_addresses(builder, name)).collect()
}

/// Whether this Caddy knows the client's address behind a trusted proxy, and is not told another by the client (2.8).
fn has_client_address(builder: &HostBuilder<'_, '_>) -> bool {
    builder.host.proxy_version() >= (2, 8, 0)
}

pub(crate) fn snippets(builder: &mut HostBuilder<'_, '_>, lines: &mut Vec<Line>, snippets: &[String], at: &Pointer) {
    for (index, snippet) in snippets.iter().enumerate() {
        if snippet.contains('\n') || !caddyfile::is_balanced(snippet) {
            builder.findings.push(Finding::error(
                "bad-snippet",
                at.join(index),
                "not a line of a Caddyfile with balanced braces and quotes",
            ));
            continue;
        }
        let keyword = snippet.split_whitespace().next().unwrap_or_default();
        lines.retain(|line| {
            line.words.first().and_then(|word| word.split_whitespace().next()) != Some(keyword) || keyword == "header"
        });
        lines.push(Line::new(snippet.trim()));
    }
}

fn render_site(builder: &mut HostBuilder<'_, '_>, proxy: &ProxyServer, site: &Site<'_>) -> Option<Vec<Line>> {
    let at = site.entries.first()?.pointer.clone();
    let mut names = Vec::new();
    for name in &site.names {
        names.push(builder.fit(word(name), &at)?);
    }
    let mut body = Vec::new();
    match &site.tls {
        TlsMode::None | TlsMode::Tunnel => {}
        TlsMode::Internal | TlsMode::Files(_) => {
            let certificate = site.certificate.as_ref()?;
            body.push(Line::new("tls").with(&certificate.chain).with(&certificate.key));
        }
        TlsMode::OnDemand => body.push(Line::new("tls").body(vec![Line::new("on_demand")])),
        TlsMode::Acme | TlsMode::AcmeDns => {
            let acme = proxy.acme.clone().unwrap_or_default();
            if site.tls == TlsMode::AcmeDns || acme.challenge == AcmeChallenge::Dns01 {
                let at = builder.host.at("proxy").join("acme");
                let proof = dns::proof(builder, &acme, &proxy.modules, &site.names, &at)?;
                body.push(Line::new("tls").body(vec![proof]));
            } else if acme.challenge == AcmeChallenge::TlsAlpn01 {
                let issuer = Line::new("issuer acme").body(vec![Line::new("disable_http_challenge")]);
                body.push(Line::new("tls").body(vec![issuer]));
            }
        }
    }
    let plain = matches!(site.tls, TlsMode::None | TlsMode::Tunnel);
    for entry in &site.entries {
        let lines = render_entry(builder, proxy, entry, !plain)?;
        if entry.path == "/" {
            body.push(Line::new("handle").body(lines));
        } else {
            let path = builder.fit(word(&format!("{}*", entry.path)), &entry.pointer.join("path"))?;
            body.push(Line::new("handle").with(path).body(lines));
        }
    }
    for service in site.entries.iter().map(|entry| entry.service).collect::<BTreeSet<_>>() {
        let extra =
            builder.model.fleet.services.get(service).and_then(|service| service.extra.as_ref()?.caddy.as_ref());
        if let Some(extra) = extra {
            let at = Model::service_at(service).join("extra").join("caddy").join("site");
            snippets(builder, &mut body, &extra.site, &at);
        }
    }
    // Without an entry for all paths the others would get an empty answer that says that all is well.
    let own_lines = site.entries.iter().filter_map(|entry| builder.model.fleet.services.get(entry.service));
    let mut own_lines = own_lines.filter_map(|service| service.extra.as_ref()?.caddy.as_ref());
    if site.entries.iter().all(|entry| entry.path != "/") && own_lines.all(|extra| extra.site.is_empty()) {
        body.push(Line::new("handle").body(vec![Line::new("respond 404")]));
    }
    let address = |scheme: &str| names.iter().map(|name| format!("{scheme}://{name}")).collect::<Vec<_>>().join(", ");
    let mut blocks = Vec::new();
    if !plain {
        let port = if proxy.https_port == 443 { String::new() } else { format!(":{}", proxy.https_port) };
        blocks.push(
            Line::new(&address("http")).body(vec![Line::new(&format!("redir https://{{host}}{port}{{uri}} 308"))]),
        );
    }
    blocks.push(Line::new(&address(if plain { "http" } else { "https" })).body(body));
    Some(blocks)
}

pub(crate) fn render_entry(
    builder: &mut HostBuilder<'_, '_>,
    proxy: &ProxyServer,
    entry: &Entry<'_>,
    tls: bool,
) -> Option<Vec<Line>> {
    let at = &entry.pointer;
    let gate = match &entry.route.auth {
        Auth::Forward(forward) if entry.behind.is_none() => Some((builder.gate(forward, &at.join("auth"))?, forward)),
        Auth::Access(_) if entry.behind.is_none() => {
            builder.missing(at.join("auth"), "this kind of login at Caddy (so the whole entry)");
            return None;
        }
        _ => None,
    };
    let mut lines = Vec::new();
    if !entry.is_public() {
        let ranges: Vec<_> = builder.model.ranges(&entry.route.from).iter().map(ToString::to_string).collect();
        let address = if has_client_address(builder) { "client_ip" } else { "remote_ip" };
        lines.push(Line::new(&format!("@outside not {address} 127.0.0.1/8 {}", ranges.join(" "))));
        lines.push(Line::new("respond @outside 403"));
    }
    if let Some(limits) = entry.limits(proxy.limits.as_ref()) {
        if proxy.modules.iter().any(|module| module == "http.handlers.rate_limit") {
            lines.push(rate_limit(builder, entry, &limits));
        } else {
            builder.findings.push(
                Finding::error("unsupported-feature", at.join("limits"), "a stock Caddy cannot limit rates")
                    .fix("use nginx, or name the build's module in proxy.modules: [\"http.handlers.rate_limit\"]"),
            );
        }
    }
    if let (Auth::Basic(basic), None) = (&entry.route.auth, entry.behind) {
        lines.push(passwords::question(builder, entry, basic)?);
    }
    if let Some(size) = entry.route.max_body.as_ref().or(proxy.max_body.as_ref()) {
        let size = builder.fit(word(&format!("{size}B").replace("BB", "B")), &at.join("max_body"))?;
        lines.push(Line::new("request_body").body(vec![Line::new("max_size").with(size)]));
    }
    let headers = headers::of(proxy, entry, tls);
    let mut replaced = Vec::new();
    if !headers.is_empty() {
        let mut body = Vec::new();
        for (name, value) in headers {
            let name = builder.fit(word(&name), &at.join("headers"))?;
            // The service's own would stand beside it.
            replaced.push(Line::new(&format!("header_down -{name}")));
            let value = builder.fit(word(&value), &at.join("headers").join(&name))?;
            body.push(Line::new(&name).with(value));
        }
        lines.push(Line::new("header").body(body));
    }
    match &entry.upstream {
        Upstream::Files(site) => {
            let root = builder.fit(word(&site.root), at)?;
            if entry.path != "/" {
                let path = builder.fit(word(entry.path.trim_end_matches('/')), at)?;
                lines.push(Line::new("uri strip_prefix").with(path));
            }
            lines.push(Line::new("root *").with(root));
            if let Some(fallback) = &site.fallback {
                let fallback = builder.fit(word(fallback), at)?;
                lines.push(Line::new("try_files {path} {path}/").with(fallback));
            }
            let mut server = Vec::new();
            if !site.index.is_empty() {
                let mut index = Line::new("index");
                for name in &site.index {
                    index = index.with(builder.fit(word(name), at)?);
                }
                server.push(index);
            }
            if site.listing {
                server.push(Line::new("browse"));
            }
            lines.push(if server.is_empty() {
                Line::new("file_server")
            } else {
                Line::new("file_server").body(server)
            });
        }
        Upstream::Addresses(addresses, scheme) => {
            let trusted = trusted(builder, proxy);
            let forwarded = !trusted.is_empty() && !has_client_address(builder);
            // What a client says about itself under this name counts for nothing.
            let client = if has_client_address(builder) { "{client_ip}" } else { "{remote_host}" };
            let mut upstream = vec![Line::new(&format!("header_up X-Real-IP {client}"))];
            upstream.append(&mut replaced);
            if entry.route.streaming {
                upstream.push(Line::new("flush_interval -1"));
            }
            if forwarded {
                upstream.push(Line::new(&format!("trusted_proxies {}", trusted.join(" "))));
            }
            lines.extend(passed_on(builder, entry, addresses, *scheme, upstream)?);
        }
        Upstream::Redirect(target) => {
            let target = builder.fit(word(target.trim_end_matches('/')), &at.join("redirect"))?;
            lines.push(Line::new("redir").with(format!("{target}{{uri}}")).with("308"));
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
    match gate {
        Some((gate, forward)) => guarded(builder, &gate, forward, lines, at),
        None => Some(lines),
    }
}

/// Lines behind a question to a provider. In a `route` they keep their order: nobody comes to what is behind the question
/// before it is answered, and what a client sent under the provider's names is taken away before the answer fills them.
fn guarded(
    builder: &mut HostBuilder<'_, '_>,
    gate: &Gate,
    forward: &ForwardAuth,
    lines: Vec<Line>,
    at: &Pointer,
) -> Option<Vec<Line>> {
    let at = at.join("auth");
    let mut body = Vec::new();
    // Who may not come at all is not asked who they are.
    let (first, rest): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| {
        let early = ["@outside", "respond @outside 403", "rate_limit"];
        line.words.first().is_some_and(|word| early.iter().any(|early| word.starts_with(early)))
    });
    body.extend(first);
    body.extend(gate.headers().iter().map(|header| Line::new(&format!("request_header -{header}"))));
    let uri = builder.fit(word(gate.path(ProxyKind::Caddy)), &at)?;
    let mut question = vec![Line::new("uri").with(uri)];
    if !gate.headers().is_empty() {
        question.push(Line::new(&format!("copy_headers {}", gate.headers().join(" "))));
    }
    let mut ask = Line::new("forward_auth");
    if !forward.except.is_empty() {
        let mut open = Line::new("@closed not path");
        for path in &forward.except {
            open = open.with(builder.fit(word(&format!("{}*", path.trim_end_matches('*'))), &at)?);
        }
        body.push(open);
        ask = Line::new("forward_auth @closed");
    }
    body.push(ask.with(format!("http://{}", gate.address)).body(question));
    body.extend(rest);
    let mut all = Vec::new();
    if gate.kind == SsoKind::Authentik {
        let pass = Line::new("reverse_proxy").with(format!("http://{}", gate.address));
        all.push(Line::new("handle /outpost.goauthentik.io/*").body(vec![pass]));
    }
    all.push(Line::new("handle").body(vec![Line::new("route").body(body)]));
    Some(all)
}

/// The limit of the module `http.handlers.rate_limit`: so many requests in any window, that a burst passes at once and the
/// rate is kept in the long run, as with nginx.
fn rate_limit(builder: &HostBuilder<'_, '_>, entry: &Entry<'_>, limits: &Limits) -> Line {
    let events = u64::from(limits.burst) + 1;
    let window = events * 1000 * u64::from(limits.rate.seconds) / u64::from(limits.rate.requests.max(1));
    let key = if has_client_address(builder) { "{client_ip}" } else { "{remote_host}" };
    let zone = nftables::identifier("limit", &entry.pointer.as_str().replace('/', "_"));
    let zone = Line::new(&format!("zone {zone}")).body(vec![
        Line::new(&format!("key {key}")),
        Line::new(&format!("window {}ms", window.max(1))),
        Line::new(&format!("events {events}")),
    ]);
    Line::new("rate_limit").body(vec![zone])
}

/// Requests go to a service. `None`, with a finding, where Caddy does not speak what it does.
fn passed_on(
    builder: &mut HostBuilder<'_, '_>,
    entry: &Entry<'_>,
    addresses: &[String],
    scheme: Scheme,
    mut upstream: Vec<Line>,
) -> Option<Vec<Line>> {
    let at = &entry.pointer;
    let mut transport = Vec::new();
    if addresses.len() > 1 {
        // Whoever does not answer is passed over, for the request and for a while after it.
        upstream.extend(["lb_policy round_robin", "lb_try_duration 10s", "fail_duration 10s"].map(Line::new));
    }
    let scheme = match scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
        Scheme::H2c => "h2c",
        Scheme::Fastcgi => return fastcgi(builder, entry.route, addresses, upstream, at),
        other => {
            builder.missing(at.join("scheme"), &format!("\"{}\" behind Caddy (so the whole entry)", other.as_str()));
            return None;
        }
    };
    if scheme == "https" {
        // Since 2.11 the name would become that of the upstream, which is an address.
        upstream.push(Line::new("header_up Host {hostport}"));
        if entry.verify && !builder.host.os.is_nixos() {
            certificates::add_ca(builder, UNIT, std::slice::from_ref(at));
            transport.push(Line::new("tls_trusted_ca_certs").with(certificates::CA));
            transport.push(Line::new("tls_server_name {host}"));
        } else if !entry.verify {
            // As with the other proxies: what is behind is reached by its address, for which there is no certificate.
            transport.push(Line::new("tls_insecure_skip_verify"));
        }
    }
    if let Some(timeout) = entry.route.timeout {
        transport.push(Line::new(&format!("response_header_timeout {}s", timeout.as_secs())));
    }
    if !transport.is_empty() {
        upstream.push(Line::new("transport http").body(transport));
    }
    let to = Line::new("reverse_proxy");
    let line = addresses.iter().fold(to, |line, address| line.with(format!("{scheme}://{address}")));
    Some(vec![if upstream.is_empty() { line } else { line.body(upstream) }])
}

/// FastCGI, of PHP with a directory of scripts or of a program that takes every request.
fn fastcgi(
    builder: &mut HostBuilder<'_, '_>,
    route: &Route,
    addresses: &[String],
    mut upstream: Vec<Line>,
    at: &Pointer,
) -> Option<Vec<Line>> {
    let spec = route.fastcgi.clone().unwrap_or_default();
    let targets = match &spec.socket {
        Some(socket) => vec![builder.fit(word(&format!("unix/{socket}")), &at.join("fastcgi").join("socket"))?],
        None => addresses.to_vec(),
    };
    let to = |name: &str| targets.iter().fold(Line::new(name), |line, target| line.with(target.clone()));
    let Some(root) = &spec.root else {
        upstream.push(Line::new("transport fastcgi"));
        return Some(vec![to("reverse_proxy").body(upstream)]);
    };
    let root = builder.fit(word(root), &at.join("fastcgi").join("root"))?;
    if let Some(timeout) = route.timeout {
        upstream.push(Line::new(&format!("read_timeout {}s", timeout.as_secs())));
    }
    let php = to("php_fastcgi");
    let php = if upstream.is_empty() { php } else { php.body(upstream) };
    Some(vec![Line::new("root *").with(root), php, Line::new("file_server")])
}
