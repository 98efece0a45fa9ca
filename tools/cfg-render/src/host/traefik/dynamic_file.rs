//! Traefik's dynamic configuration of one site, and what all sites share.

use contract::{Finding, Pointer, places};
use serde_json::{Map, Value, json};

use super::static_file::{entry_points, trusted};
use super::{ACME, ACME_DNS};
use crate::fleet::{Auth, ProxyKind, ProxyServer, Scheme, TlsMode};
use crate::format::{Unrepresentable, Written};
use crate::host::{HostBuilder, certificates, headers, merge_patch};
use crate::model::{Entry, Model, Site, Upstream};

/// What all sites share: TLS 1.2 and 1.3, and no answer to a handshake for a name that has no certificate.
pub(crate) fn shared(proxy: &ProxyServer) -> Value {
    let suites = [
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    ];
    json!({"tls": {"options": {"default": {
        "minVersion": "VersionTLS12",
        "sniStrict": proxy.sinkhole,
        "cipherSuites": suites
    }}}})
}

/// The parts of a site's file as they come together.
#[derive(Default)]
struct Parts {
    routers: Map<String, Value>,
    services: Map<String, Value>,
    middlewares: Map<String, Value>,
    transports: Map<String, Value>,
}

/// The file of a site. `None` if it must not be served.
pub(crate) fn site(builder: &mut HostBuilder<'_, '_>, proxy: &ProxyServer, site: &Site<'_>) -> Option<Value> {
    let mut document = unpatched(builder, proxy, site)?;
    let (model, host) = (builder.model, builder.host);
    for service in site.entries.iter().map(|entry| entry.service).collect::<std::collections::BTreeSet<_>>() {
        let extra = model.fleet.services.get(service).and_then(|service| service.extra.as_ref()?.traefik.as_ref());
        let Some(patch) = extra else { continue };
        let of_service = |site: &&Site<'_>| site.entries.iter().any(|entry| entry.service == service);
        let sites: Vec<_> = model.sites(host).iter().filter(of_service).collect();
        let first = sites.first().is_none_or(|first| first.name() == site.name());
        let mut others = Vec::new();
        for other in sites.into_iter().filter(|other| other.name() != site.name()) {
            // What is wrong with it is said when its own turn comes.
            let found = builder.findings.len();
            others.extend(unpatched(builder, proxy, other));
            builder.findings.truncate(found);
        }
        let patch = own_part(patch, &document, &others, first);
        let at = Model::service_at(service).join("extra").join("traefik");
        merge_patch::apply(builder, &mut document, &patch, &merge_patch::TRAEFIK, &at);
    }
    Some(document)
}

/// What of a service's patch concerns this file of its several: what is named in it, and in the first what is in none.
fn own_part(patch: &Value, document: &Value, others: &[Value], first: bool) -> Value {
    let mut patch = patch.clone();
    for protocol in ["http", "tcp", "udp"] {
        let Some(kinds) = patch.get_mut(protocol).and_then(Value::as_object_mut) else { continue };
        kinds.retain(|kind, names| {
            let Some(names) = names.as_object_mut().filter(|names| !names.is_empty()) else { return true };
            let has = |document: &Value, name: &str| document[protocol][kind].get(name).is_some();
            names.retain(|name, _| has(document, name) || (first && !others.iter().any(|other| has(other, name))));
            !names.is_empty()
        });
    }
    patch
}

/// The same without what the fleet's author changes in it.
fn unpatched(builder: &mut HostBuilder<'_, '_>, proxy: &ProxyServer, site: &Site<'_>) -> Option<Value> {
    let at = site.entries.first()?.pointer.clone();
    let key = key_of(site.name());
    let names = builder.fit(rule_of(&site.names), &at)?;
    let points = |builder: &HostBuilder<'_, '_>, name: &str| -> Vec<String> {
        entry_points(builder, proxy, name).into_iter().map(|(name, _)| name).collect()
    };
    let (web, secure) = (points(builder, "web"), points(builder, "websecure"));
    let tls = tls_of(builder, site, &at)?;
    let mut parts = Parts::default();
    for (index, entry) in site.entries.iter().enumerate() {
        let name = format!("{key}-{index}");
        let rule = if entry.path == "/" {
            names.clone()
        } else {
            let path = builder.fit(quoted(&entry.path), &entry.pointer.join("path"))?;
            format!("({names}) && PathPrefix({path})")
        };
        let chain = chain(builder, proxy, site, entry, &name, &mut parts)?;
        let target = target(builder, site, entry, &name, &mut parts)?;
        let mut router = Map::new();
        router.insert("rule".into(), json!(rule));
        router.insert("entryPoints".into(), json!(if tls.is_some() { &secure } else { &web }));
        router.insert("service".into(), json!(target));
        if !chain.is_empty() {
            router.insert("middlewares".into(), json!(chain));
        }
        if let Some(tls) = &tls {
            router.insert("tls".into(), tls.clone());
        }
        if let Auth::Forward(forward) = &entry.route.auth
            && entry.behind.is_none()
        {
            open_paths(builder, entry, forward, &names, &router, &name, &mut parts)?;
        }
        parts.routers.insert(name, Value::Object(router));
    }
    if tls.is_some() {
        let redirect = format!("{key}-https");
        let port = proxy.https_port;
        let mut scheme = json!({"scheme": "https", "permanent": true});
        if let (Value::Object(scheme), false) = (&mut scheme, port == 443) {
            scheme.insert("port".into(), json!(port.to_string()));
        }
        parts.middlewares.insert(redirect.clone(), json!({"redirectScheme": scheme}));
        let router = json!({"rule": names, "entryPoints": web, "middlewares": [redirect], "service": "noop@internal"});
        parts.routers.insert(format!("{key}-http"), router);
    }
    let mut http = Map::new();
    for (name, map) in [
        ("routers", parts.routers),
        ("services", parts.services),
        ("middlewares", parts.middlewares),
        ("serversTransports", parts.transports),
    ] {
        if !map.is_empty() {
            http.insert(name.into(), Value::Object(map));
        }
    }
    let mut document = json!({"http": http});
    if let (Value::Object(document), TlsMode::Internal | TlsMode::Files(_)) = (&mut document, &site.tls) {
        let certificate = site.certificate.as_ref()?;
        document.insert(
            "tls".into(),
            json!({"certificates": [{"certFile": certificate.chain, "keyFile": certificate.key}]}),
        );
    }
    Some(document)
}

/// What a router says about TLS; none for plain HTTP. `None` altogether if the site must not be served.
#[allow(clippy::option_option, reason = "the outer one says whether to go on, as in all writers here")]
fn tls_of(builder: &mut HostBuilder<'_, '_>, site: &Site<'_>, at: &Pointer) -> Option<Option<Value>> {
    let (main, others) = site.names.split_first()?;
    let mut domains = json!([{"main": main}]);
    if !others.is_empty() {
        domains = json!([{"main": main, "sans": others}]);
    }
    match &site.tls {
        TlsMode::None => Some(None),
        TlsMode::Internal | TlsMode::Files(_) => Some(Some(json!({}))),
        TlsMode::Acme => Some(Some(json!({"certResolver": ACME, "domains": domains}))),
        TlsMode::AcmeDns => Some(Some(json!({"certResolver": ACME_DNS, "domains": domains}))),
        TlsMode::OnDemand | TlsMode::Tunnel => {
            builder.missing(at.clone(), &format!("TLS of the kind \"{}\" with Traefik", site.tls.as_str()));
            None
        }
    }
}

/// Middlewares of an entry, in the order in which a request passes them.
fn chain(
    builder: &mut HostBuilder<'_, '_>,
    proxy: &ProxyServer,
    site: &Site<'_>,
    entry: &Entry<'_>,
    name: &str,
    parts: &mut Parts,
) -> Option<Vec<String>> {
    let at = &entry.pointer;
    let trusted = trusted(builder, proxy);
    let mut chain = Vec::new();
    let mut add = |parts: &mut Parts, end: &str, body: Value| {
        let middleware = format!("{name}-{end}");
        parts.middlewares.insert(middleware.clone(), body);
        chain.push(middleware);
    };
    if entry.behind.is_none() && !entry.is_public() {
        let mut ranges: Vec<String> = builder.model.ranges(&entry.route.from).iter().map(ToString::to_string).collect();
        ranges.push("127.0.0.1/32".into());
        let mut list = json!({"sourceRange": ranges});
        behind(&mut list, &trusted);
        add(parts, "from", json!({"ipAllowList": list}));
    }
    if let Some(limits) = entry.limits(proxy.limits.as_ref()) {
        let period = if limits.rate.seconds == 1 { "1s" } else { "1m" };
        // A bucket of tokens: as many at once as the rate lets through and the burst besides, which is what nginx does.
        let burst = limits.burst.saturating_add(1);
        let mut limit = json!({"average": limits.rate.requests, "period": period, "burst": burst});
        if let (Value::Object(limit), false) = (&mut limit, trusted.is_empty()) {
            let mut criterion = json!({});
            behind(&mut criterion, &trusted);
            limit.insert("sourceCriterion".into(), criterion);
        }
        add(parts, "limit", json!({"rateLimit": limit}));
    }
    if let Some(size) = entry.route.max_body.as_ref().or(proxy.max_body.as_ref()) {
        let bytes = builder.fit(bytes(size), &at.join("max_body"))?;
        add(parts, "body", json!({"buffering": {"maxRequestBodyBytes": bytes}}));
    }
    let headers: Map<String, Value> = headers::of(proxy, entry, site.tls != TlsMode::None)
        .into_iter()
        .map(|(name, value)| (name, json!(value)))
        .collect();
    if !headers.is_empty() {
        add(parts, "headers", json!({"headers": {"customResponseHeaders": headers}}));
    }
    if entry.behind.is_none() {
        match &entry.route.auth {
            Auth::None => {}
            Auth::Basic(basic) => {
                let realm = basic.realm.as_deref().unwrap_or(entry.service);
                let file = format!("{}/{}", places::SECRETS, basic.users.secret);
                add(parts, "login", json!({"basicAuth": {"usersFile": file, "realm": realm, "removeHeader": true}}));
                builder.wait_for_secrets(contract::document::Stage::Services, super::UNIT, std::slice::from_ref(at));
            }
            Auth::Forward(forward) => {
                let gate = builder.gate(forward, &at.join("auth"))?;
                let address = format!("http://{}{}", gate.address, gate.path(ProxyKind::Traefik));
                add(
                    parts,
                    "login",
                    json!({"forwardAuth": {"address": address, "authResponseHeaders": gate.headers()}}),
                );
            }
            Auth::Access(_) => {
                builder.missing(at.join("auth"), "an access policy without a tunnel (so the whole entry)");
                return None;
            }
        }
    }
    if let Upstream::Redirect(target) = &entry.upstream {
        // A dollar sign names a group of the expression.
        let target = target.trim_end_matches('/').replace('$', "$$");
        let body =
            json!({"regex": "^https?://[^/]+/(.*)$", "replacement": format!("{target}/${{1}}"), "permanent": true});
        add(parts, "redirect", json!({"redirectRegex": body}));
    }
    if let Upstream::Addresses(addresses, _) = &entry.upstream
        && addresses.len() > 1
    {
        // The next one is asked where one does not answer.
        add(parts, "retry", json!({"retry": {"attempts": addresses.len()}}));
    }
    Some(chain)
}

/// Behind trusted proxies a client is who the last of them saw, and not the proxy itself.
fn behind(body: &mut Value, trusted: &[String]) {
    if let (Value::Object(body), false) = (body, trusted.is_empty()) {
        body.insert("ipStrategy".into(), json!({"excludedIPs": trusted}));
    }
}

/// Paths without the question of the login: those of the provider itself, and those that are open to all.
fn open_paths(
    builder: &mut HostBuilder<'_, '_>,
    entry: &Entry<'_>,
    forward: &crate::fleet::ForwardAuth,
    names: &str,
    router: &Map<String, Value>,
    name: &str,
    parts: &mut Parts,
) -> Option<()> {
    let at = entry.pointer.join("auth");
    let gate = builder.gate(forward, &at)?;
    let mut without = router.clone();
    if let Some(Value::Array(chain)) = without.get_mut("middlewares") {
        chain.retain(|middleware| middleware.as_str() != Some(&format!("{name}-login")));
    }
    // What a client sent under the provider's names counts for nothing here either: an empty value takes a header away.
    let strip = format!("{name}-strip");
    let empty: Map<String, Value> = gate.headers().iter().map(|header| ((*header).to_owned(), json!(""))).collect();
    parts.middlewares.insert(strip.clone(), json!({"headers": {"customRequestHeaders": empty}}));
    let mut chain = without.get("middlewares").and_then(Value::as_array).cloned().unwrap_or_default();
    chain.push(json!(strip));
    without.insert("middlewares".into(), Value::Array(chain));
    for (index, path) in forward.except.iter().enumerate() {
        let path = builder.fit(quoted(path), &at)?;
        let mut open = without.clone();
        open.insert("rule".into(), json!(format!("({names}) && PathPrefix({path})")));
        parts.routers.insert(format!("{name}-open-{index}"), Value::Object(open));
    }
    if gate.kind == crate::fleet::SsoKind::Authentik {
        let service = format!("{name}-outpost");
        let mut own = without;
        own.insert("rule".into(), json!(format!("({names}) && PathPrefix(`/outpost.goauthentik.io/`)")));
        own.insert("service".into(), json!(service));
        parts.routers.insert(service.clone(), Value::Object(own));
        let url = format!("http://{}", gate.address);
        parts.services.insert(service, json!({"loadBalancer": {"servers": [{"url": url}]}}));
    }
    Some(())
}

/// The service of an entry. `None`, with a finding, where there is none.
fn target(
    builder: &mut HostBuilder<'_, '_>,
    site: &Site<'_>,
    entry: &Entry<'_>,
    name: &str,
    parts: &mut Parts,
) -> Option<String> {
    let at = &entry.pointer;
    let (addresses, scheme) = match &entry.upstream {
        Upstream::Redirect(_) => return Some("noop@internal".into()),
        Upstream::Addresses(addresses, scheme) => (addresses, scheme),
        Upstream::Files(_) => {
            let message = "Traefik serves no files itself";
            let finding = Finding::error("unsupported-feature", at.clone(), message);
            builder.findings.push(finding.fix("use nginx or Caddy, or a container that serves them"));
            return None;
        }
        Upstream::Unreachable => {
            let message = format!("host \"{}\" has no way to service \"{}\"", builder.host.name, entry.service);
            let finding = Finding::error("unreachable-upstream", at.clone(), message);
            builder.findings.push(finding.fix("bind the port to a network that both hosts share"));
            return None;
        }
    };
    let scheme = match scheme {
        Scheme::Http | Scheme::Https | Scheme::H2c => scheme.as_str(),
        other => {
            builder.missing(at.join("scheme"), &format!("\"{}\" behind Traefik (so the whole entry)", other.as_str()));
            return None;
        }
    };
    let servers: Vec<_> = addresses.iter().map(|address| json!({"url": format!("{scheme}://{address}")})).collect();
    let mut balancer = json!({"servers": servers, "passHostHeader": true});
    let mut transport = Map::new();
    if scheme == "https" {
        if entry.verify {
            certificates::add_ca(builder, super::UNIT, std::slice::from_ref(at));
            transport.insert("serverName".into(), json!(site.name()));
            transport.insert("rootCAs".into(), json!([certificates::CA]));
        } else {
            // As with the other proxies: what is behind is reached by its address, for which there is no certificate.
            transport.insert("insecureSkipVerify".into(), json!(true));
        }
    }
    let mut timeouts = Map::new();
    if addresses.len() > 1 {
        timeouts.insert("dialTimeout".into(), json!("3s"));
    }
    if let Some(timeout) = entry.route.timeout {
        timeouts.insert("responseHeaderTimeout".into(), json!(format!("{}s", timeout.as_secs())));
    }
    if !timeouts.is_empty() {
        transport.insert("forwardingTimeouts".into(), Value::Object(timeouts));
    }
    if let Value::Object(balancer) = &mut balancer {
        if !transport.is_empty() {
            balancer.insert("serversTransport".into(), json!(name));
            parts.transports.insert(name.to_owned(), Value::Object(transport));
        }
        if entry.route.streaming {
            balancer.insert("responseForwarding".into(), json!({"flushInterval": "-1ms"}));
        }
    }
    parts.services.insert(name.to_owned(), json!({"loadBalancer": balancer}));
    Some(name.to_owned())
}

/// ``Host(`a`) || Host(`b`)``; a wildcard is an expression.
fn rule_of(names: &[String]) -> Written {
    let mut rules = Vec::new();
    for name in names {
        let ascii = idna::domain_to_ascii(name.strip_prefix("*.").unwrap_or(name)).unwrap_or_default();
        if ascii.is_empty() || !ascii.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)) {
            return Err(Unrepresentable::new("a rule of Traefik", "such a name"));
        }
        rules.push(if name.starts_with("*.") {
            format!("HostRegexp(`^[^.]+\\.{}$`)", ascii.replace('.', "\\."))
        } else {
            format!("Host(`{ascii}`)")
        });
    }
    Ok(rules.join(" || "))
}

/// A path inside a rule: there is no escape for what closes it.
fn quoted(path: &str) -> Written {
    if !path.starts_with('/') || path.chars().any(|c| c == '`' || c.is_control()) {
        return Err(Unrepresentable::new("a rule of Traefik", "such a path"));
    }
    Ok(format!("`{path}`"))
}

/// `100m` as bytes.
fn bytes(size: &str) -> Written<u64> {
    let lower = size.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &lower[digits.len()..] {
        "" | "b" => 1,
        "k" | "kb" => 1 << 10,
        "m" | "mb" => 1 << 20,
        "g" | "gb" => 1 << 30,
        _ => return Err(Unrepresentable::new("a size", "such a unit")),
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    number.ok_or(Unrepresentable::new("a size", "such a number"))
}

/// The name of a site as the beginning of names in the file.
fn key_of(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    name.replace('*', "any").chars().map(plain).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rules_and_sizes() {
        assert_eq!(
            rule_of(&["a.test".into(), "*.b.test".into()]).unwrap(),
            "Host(`a.test`) || HostRegexp(`^[^.]+\\.b\\.test$`)"
        );
        assert!(rule_of(&["a`b".into()]).is_err());
        assert!(quoted("/a`b").is_err());
        assert_eq!(bytes("2g").unwrap(), 2 << 30);
        assert_eq!(bytes("100").unwrap(), 100);
        assert!(bytes("1x").is_err());
    }
}
