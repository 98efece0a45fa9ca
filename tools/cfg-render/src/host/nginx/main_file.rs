//! What all sites of an nginx share.

use contract::Finding;

use super::listen::Listen;
use super::{SITES, snippet};
use crate::fleet::{ProxyServer, TlsMode};
use crate::format::nginx::{self, Directive, literal};
use crate::host::HostBuilder;
use crate::model::Site;

/// Mozilla's intermediate profile (guidelines 5.7) without finite-field Diffie-Hellman.
const CIPHERS: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

pub(super) fn write(
    builder: &mut HostBuilder<'_, '_>,
    proxy: &ProxyServer,
    listen: &Listen,
    sites: &[Site<'_>],
) -> Vec<Directive> {
    let host = builder.host;
    let mut http = base(sites);
    let mut trusted = Vec::new();
    for name in &proxy.real_ip_from {
        trusted.extend(trusted_addresses(builder, name));
    }
    http.extend(real_ip(&trusted));
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
    if proxy.early_data {
        // Of all servers of an address the default one decides about early data, so that it is switched on for all. What
        // changes something must not be repeated by whoever recorded it.
        http.push(Directive::new("ssl_early_data", ["on"]));
        http.push(Directive::block(
            "map",
            ["$ssl_early_data:$request_method", "$early_unsafe"],
            vec![Directive::new("default", ["0"]), Directive::new("~^1:(?!GET$|HEAD$|OPTIONS$)", ["1"])],
        ));
    }
    if proxy.sinkhole {
        http.push(sinkhole(proxy, listen, sites));
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
        snippet::merge(builder, &mut http, &extra.http, &host.at("extra").join("nginx").join("http"));
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

fn base(sites: &[Site<'_>]) -> Vec<Directive> {
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
    http
}

/// Whoever asks for a name that is not here gets no answer, and no certificate that tells a name.
fn sinkhole(proxy: &ProxyServer, listen: &Listen, sites: &[Site<'_>]) -> Directive {
    let tls = sites.iter().any(|site| site.tls != TlsMode::None);
    let mut sink = listen.plain(&["default_server"]);
    if tls {
        sink.extend(listen.tls(&["default_server"]));
        if proxy.http3 {
            sink.extend(listen.quic(&["reuseport", "default_server"]));
        }
    }
    sink.push(Directive::new("server_name", ["_"]));
    if tls {
        sink.push(Directive::new("ssl_reject_handshake", ["on"]));
    }
    sink.push(Directive::new("return", ["444"]));
    Directive::block("server", [], sink)
}

/// Who a client is behind trusted proxies, and what the service learns of it: what a stranger says about itself is not
/// passed on.
pub(crate) fn real_ip(trusted: &[String]) -> Vec<Directive> {
    if trusted.is_empty() {
        return Vec::new();
    }
    let mut all: Vec<_> = trusted.iter().map(|range| Directive::new("set_real_ip_from", [range])).collect();
    all.push(Directive::new("real_ip_header", ["X-Forwarded-For"]));
    all.push(Directive::new("real_ip_recursive", ["on"]));
    let mut known = vec![Directive::new("default", ["0"])];
    known.extend(trusted.iter().map(|range| Directive::new(range, ["1"])));
    all.push(Directive::block("geo", ["$realip_remote_addr", "$plumbline_trusted"], known));
    for (variable, stranger, trusted) in [
        (FORWARDED_FOR, "$remote_addr", "$proxy_add_x_forwarded_for"),
        (FORWARDED_PROTO, "$scheme", "$http_x_forwarded_proto"),
    ] {
        let body = vec![Directive::new("default", [stranger]), Directive::new("1", [trusted])];
        all.push(Directive::block("map", ["$plumbline_trusted", variable], body));
    }
    all
}

/// What the service gets as `X-Forwarded-For` where some proxies are trusted.
pub(crate) const FORWARDED_FOR: &str = "$plumbline_forwarded_for";
/// The same of `X-Forwarded-Proto`.
pub(crate) const FORWARDED_PROTO: &str = "$plumbline_forwarded_proto";

/// Addresses of a host, ranges of a network, or what was written.
pub(crate) fn trusted_addresses(builder: &mut HostBuilder<'_, '_>, name: &str) -> Vec<String> {
    if let Some(edge) = builder.model.host(name) {
        return crate::model::Model::addresses_towards(edge, builder.host).iter().map(ToString::to_string).collect();
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
