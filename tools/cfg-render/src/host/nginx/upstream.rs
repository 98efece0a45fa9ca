//! How nginx passes requests on.

use super::UNIT;
use crate::fleet::{ProxyServer, Scheme};
use crate::format::nginx::Directive;
use crate::host::{HostBuilder, certificates};
use crate::model::{Entry, Site};

pub(super) fn write(
    builder: &mut HostBuilder<'_, '_>,
    proxy: &ProxyServer,
    site: &Site<'_>,
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
    // Behind an edge that ends TLS, the edge knows how the client came.
    let proto = if entry.behind.is_some() { "$http_x_forwarded_proto" } else { "$scheme" };
    body.push(Directive::new("proxy_set_header", ["X-Forwarded-Proto", proto]));
    body.push(Directive::new("proxy_set_header", ["X-Forwarded-Host", "$host"]));
    if proxy.early_data {
        body.push(Directive::new("proxy_set_header", ["Early-Data", "$ssl_early_data"]));
    }
    if entry.verify && scheme == Scheme::Https {
        certificates::add_ca(builder, UNIT, std::slice::from_ref(at));
        let name = if site.name().starts_with("*.") { "$host" } else { site.name() };
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
