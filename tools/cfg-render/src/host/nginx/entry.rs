//! One entry of a site of nginx: its locations.

use contract::document::Stage;
use contract::{Finding, places};

use super::{UNIT, forward_auth, snippet, upstream};
use crate::fleet::{Auth, ProxyServer, Scheme, StaticSite, TlsMode};
use crate::format::nginx::{Directive, interpolated, literal};
use crate::format::{Unrepresentable, Written, nftables};
use crate::host::{HostBuilder, headers};
use crate::model::{Entry, Model, Site, Upstream};

/// The locations of an entry. `None` if it must not be served. `shared` is what stands beside servers.
pub(crate) fn write(
    builder: &mut HostBuilder<'_, '_>,
    proxy: &ProxyServer,
    site: &Site<'_>,
    entry: &Entry<'_>,
    quic: bool,
    shared: &mut Vec<Directive>,
) -> Option<Vec<Directive>> {
    let at = &entry.pointer;
    let path = builder.fit_at(location_path(&entry.path), || at.join("path"))?;
    let guard = guard(builder, proxy, site, entry, shared)?;
    let mut tail = Vec::new();
    if let Some(size) = &entry.route.max_body {
        let size = builder.fit(literal(size).map(str::to_owned), &at.join("max_body"))?;
        tail.push(Directive::new("client_max_body_size", [&size]));
    }
    // A header at an inner level takes away all those of outer levels: the whole set stands here.
    for (name, value) in headers::of(proxy, entry, site.tls != TlsMode::None) {
        let name = builder.fit_at(header_name(&name), || at.join("headers"))?;
        let value = builder.fit_at(interpolated(&value), || at.join("headers").join(&name))?;
        if let Upstream::Addresses(_, scheme) = &entry.upstream {
            // The service's own would stand beside it.
            tail.push(Directive::new(upstream::hide_header(*scheme), [&name]));
        }
        tail.push(Directive::new("add_header", [&name, &value, "always"]));
    }
    if quic {
        let port = proxy.https_port;
        tail.push(Directive::new("add_header", ["Alt-Svc", &format!("h3=\":{port}\"; ma=86400"), "always"]));
    }
    match &entry.upstream {
        Upstream::Files(files) => tail.extend(files_of(builder, entry, files, &path)?),
        Upstream::Addresses(addresses, scheme) => {
            let target = upstream::target(site, addresses, shared);
            tail.extend(upstream::write(builder, proxy, site, entry, &target, *scheme)?);
        }
        Upstream::Redirect(target) => {
            let target = builder.fit(interpolated(target.trim_end_matches('/')), &at.join("redirect"))?;
            tail.push(Directive::new("return", ["308", &format!("{target}$request_uri")]));
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
    let scheme = match &entry.upstream {
        Upstream::Addresses(_, scheme) => *scheme,
        _ => Scheme::Http,
    };
    let mut locations = Vec::new();
    match &entry.route.auth {
        Auth::Forward(forward) if entry.behind.is_none() => {
            let login = forward_auth::write(builder, entry, forward)?;
            // Paths that are open to all have everything but the question.
            for open in &forward.except {
                let open = builder.fit(location_path(open), &at.join("auth"))?;
                let body = guard.iter().chain(&login.clear).chain(&tail).cloned().collect();
                let body = upstream::spoken(body, scheme);
                locations.push(location(builder, entry, &open, body));
            }
            let body = guard.into_iter().chain(login.question).chain(tail).collect();
            let body = upstream::spoken(body, scheme);
            locations.push(location(builder, entry, &path, body));
            locations.extend(login.locations);
        }
        _ => {
            let body = guard.into_iter().chain(tail).collect();
            locations.push(location(builder, entry, &path, body));
        }
    }
    Some(locations)
}

/// Who may come, and how often.
fn guard(
    builder: &mut HostBuilder<'_, '_>,
    proxy: &ProxyServer,
    site: &Site<'_>,
    entry: &Entry<'_>,
    shared: &mut Vec<Directive>,
) -> Option<Vec<Directive>> {
    let at = &entry.pointer;
    let mut body = Vec::new();
    if entry.behind.is_some() {
        // Which addresses may come is the firewall's to say: only the edge's do, and behind a trusted one we see the client's.
        return Some(body);
    }
    if !entry.is_public() {
        let ranges = builder.model.ranges(&entry.route.from);
        body.extend(ranges.iter().map(|range| Directive::new("allow", [&range.to_string()])));
        body.push(Directive::new("allow", ["127.0.0.1"]));
        body.push(Directive::new("deny", ["all"]));
    }
    if let Some(limits) = entry.limits(proxy.limits.as_ref()) {
        let zone = format!("{}_{}", nftables::identifier("limit", site.name()), shared.len());
        shared.push(Directive::new(
            "limit_req_zone",
            ["$binary_remote_addr", &format!("zone={zone}:10m"), &format!("rate={}", limits.rate)],
        ));
        let mut limit = Directive::new("limit_req", [&format!("zone={zone}")]);
        if limits.burst > 0 {
            limit.args.extend([format!("burst={}", limits.burst), "nodelay".into()]);
        }
        body.push(limit);
    }
    match &entry.route.auth {
        Auth::None | Auth::Forward(_) => {}
        Auth::Basic(basic) => {
            let realm = builder.fit(interpolated(basic.realm.as_deref().unwrap_or(entry.service)), &at.join("auth"))?;
            body.push(Directive::new("auth_basic", [&realm]));
            body.push(Directive::new("auth_basic_user_file", [&format!("{}/{}", places::SECRETS, basic.users.secret)]));
            builder.wait_for_secrets(Stage::Services, UNIT, std::slice::from_ref(at));
        }
        Auth::Access(_) => {
            builder.missing(at.join("auth"), "an access policy without a tunnel (so the whole entry)");
            return None;
        }
    }
    Some(body)
}

fn location(builder: &mut HostBuilder<'_, '_>, entry: &Entry<'_>, path: &str, mut body: Vec<Directive>) -> Directive {
    let extra =
        builder.model.fleet.services.get(entry.service).and_then(|service| service.extra.as_ref()?.nginx.as_ref());
    if let Some(extra) = extra {
        let at = Model::service_at(entry.service).join("extra").join("nginx").join("location");
        snippet::merge(builder, &mut body, &extra.location, &at);
    }
    Directive::block("location", [path], body)
}

fn files_of(
    builder: &mut HostBuilder<'_, '_>,
    entry: &Entry<'_>,
    files: &StaticSite,
    path: &str,
) -> Option<Vec<Directive>> {
    let at = &entry.pointer;
    let mut body = Vec::new();
    let root = builder.fit(interpolated(&files.root), at)?;
    body.push(if path == "/" {
        Directive::new("root", [&root])
    } else {
        // What stands for the path must end as the path does, or a request could climb out beside it.
        Directive::new("alias", [&alias(&root, path)])
    });
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
    Some(body)
}

fn alias(root: &str, path: &str) -> String {
    let root = root.trim_end_matches('/');
    if path.ends_with('/') { format!("{root}/") } else { root.to_owned() }
}

fn location_path(path: &str) -> Written {
    // A path that begins otherwise would be read as a modifier or the name of another location.
    if !path.starts_with('/') {
        return Err(Unrepresentable::new("a location", "a path that does not begin with a slash"));
    }
    literal(path).map(str::to_owned)
}

fn header_name(name: &str) -> Written {
    let good = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if good { Ok(name.to_owned()) } else { Err(Unrepresentable::new("an HTTP header", "such a name")) }
}
