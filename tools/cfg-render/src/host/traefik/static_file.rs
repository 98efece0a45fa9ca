//! Traefik's static configuration: what it listens on, and where certificates and routes come from.

use serde_json::{Map, Value, json};

use super::{ACME, ACME_DNS, FOLDER, STATE};
use crate::fleet::{Acme, AcmeChallenge, ProxyServer, TlsMode};
use crate::host::{HostBuilder, acme, certificates};
use crate::model::Site;

/// The entry points of one scheme, one an address: `web`, `web-1`, ...
pub(super) fn entry_points(builder: &HostBuilder<'_, '_>, proxy: &ProxyServer, name: &str) -> Vec<(String, String)> {
    let addresses: Vec<String> = if proxy.listen.is_empty() {
        vec![String::new()]
    } else {
        let all = &builder.host.spec.addresses;
        let addresses = proxy.listen.iter().flat_map(|network| all.get(network).into_iter().flatten());
        addresses.map(|address| if address.is_ipv6() { format!("[{address}]") } else { address.to_string() }).collect()
    };
    let numbered = addresses.into_iter().enumerate();
    numbered
        .map(|(index, address)| (if index == 0 { name.to_owned() } else { format!("{name}-{index}") }, address))
        .collect()
}

pub(crate) fn write(builder: &mut HostBuilder<'_, '_>, proxy: &ProxyServer, sites: &[Site<'_>]) -> Value {
    let trusted = trusted(builder, proxy);
    let mut points = Map::new();
    for (scheme, port) in [("web", proxy.http_port), ("websecure", proxy.https_port)] {
        for (name, address) in entry_points(builder, proxy, scheme) {
            // Uploads may take as long as they need; a client that sends nothing may not.
            let mut point = json!({
                "address": format!("{address}:{port}"),
                "transport": {"respondingTimeouts": {"readTimeout": "10m", "idleTimeout": "3m"}}
            });
            if let Value::Object(point) = &mut point {
                if !trusted.is_empty() {
                    point.insert("forwardedHeaders".into(), json!({"trustedIPs": trusted}));
                }
                if scheme == "websecure" && sites.iter().any(|site| site.entries.iter().any(|entry| entry.http3(proxy)))
                {
                    point.insert("http3".into(), json!({"advertisedPort": port}));
                }
            }
            points.insert(name, point);
        }
    }
    let mut document = json!({
        "global": {"checkNewVersion": false, "sendAnonymousUsage": false},
        "log": {"level": "INFO"},
        "accessLog": {"fields": {"headers": {"defaultMode": "drop"}}},
        "providers": {"file": {"directory": format!("{FOLDER}/dynamic"), "watch": true}}
    });
    if let Value::Object(document) = &mut document {
        if let Some(port) = proxy.metrics_port {
            points.insert("metrics".into(), json!({"address": format!("127.0.0.1:{port}")}));
            document.insert("metrics".into(), json!({"prometheus": {"entryPoint": "metrics"}}));
        }
        document.insert("entryPoints".into(), Value::Object(points));
        let resolvers = resolvers(builder, proxy, sites);
        if !resolvers.is_empty() {
            document.insert("certificatesResolvers".into(), Value::Object(resolvers));
        }
    }
    document
}

/// Ranges from which the client's address is believed.
pub(super) fn trusted(builder: &HostBuilder<'_, '_>, proxy: &ProxyServer) -> Vec<String> {
    let model = builder.model;
    let mut all = Vec::new();
    for name in &proxy.real_ip_from {
        if let Some(edge) = model.host(name) {
            all.extend(crate::model::Model::addresses_towards(edge, builder.host).iter().map(ToString::to_string));
        } else if let Some(network) = model.fleet.networks.get(name) {
            all.extend(network.ranges().iter().map(ToString::to_string));
        } else {
            all.push(name.clone());
        }
    }
    all
}

fn resolvers(builder: &mut HostBuilder<'_, '_>, proxy: &ProxyServer, sites: &[Site<'_>]) -> Map<String, Value> {
    let acme = proxy.acme.clone().unwrap_or_default();
    let at = builder.host.at("proxy").join("acme");
    let mut resolvers = Map::new();
    for (name, mode) in [(ACME, TlsMode::Acme), (ACME_DNS, TlsMode::AcmeDns)] {
        let Some(site) = sites.iter().find(|site| site.tls == mode) else { continue };
        let mut body = common(builder, &acme, name);
        let by_dns = mode == TlsMode::AcmeDns || acme.challenge == AcmeChallenge::Dns01;
        if by_dns {
            let Some(proof) = acme::proof(builder, &acme, &site.names, &at) else { continue };
            body.insert("dnsChallenge".into(), json!({"provider": proof.lego}));
        } else if acme.challenge == AcmeChallenge::TlsAlpn01 {
            body.insert("tlsChallenge".into(), json!({}));
        } else {
            body.insert("httpChallenge".into(), json!({"entryPoint": "web"}));
        }
        resolvers.insert(name.into(), json!({"acme": body}));
    }
    resolvers
}

fn common(builder: &HostBuilder<'_, '_>, acme: &Acme, name: &str) -> Map<String, Value> {
    let mut body = Map::new();
    if let Some(email) = acme.email.as_ref().or(builder.model.fleet.email.as_ref()) {
        body.insert("email".into(), json!(email));
    }
    // Two sources must not share a file.
    let file = if name == ACME { "acme.json".to_owned() } else { format!("{name}.json") };
    body.insert("storage".into(), json!(format!("{STATE}/{file}")));
    if let Some(directory) = &acme.directory {
        body.insert("caServer".into(), json!(directory));
    }
    if acme.ca.is_some() {
        body.insert("caCertificates".into(), json!([certificates::AUTHORITY]));
    }
    body
}
