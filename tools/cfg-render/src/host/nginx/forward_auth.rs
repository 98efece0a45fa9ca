//! Single sign-on asked by nginx at each request (`ngx_http_auth_request_module`).

use crate::fleet::{ForwardAuth, SsoKind};
use crate::format::nginx::{Directive, literal};
use crate::host::HostBuilder;
use crate::model::Entry;

/// What an entry with a login has besides its own.
pub(super) struct Login {
    /// In the entry's location.
    pub(super) question: Vec<Directive>,
    /// In locations that are open to all: what a client sent under the provider's names counts for nothing there either.
    pub(super) clear: Vec<Directive>,
    /// Beside it.
    pub(super) locations: Vec<Directive>,
}

/// Whether a location is one of the login's own.
pub(crate) fn is_own(location: &Directive) -> bool {
    let own = ["/.plumbline-login", "@plumbline_login", "/outpost.goauthentik.io"];
    location.args.last().is_some_and(|last| own.contains(&last.as_str()))
}

pub(super) fn write(builder: &mut HostBuilder<'_, '_>, entry: &Entry<'_>, forward: &ForwardAuth) -> Option<Login> {
    let at = entry.pointer.join("auth");
    let gate = builder.gate(forward, &at)?;
    let path = builder.fit(literal(gate.path(crate::fleet::ProxyKind::Nginx)).map(str::to_owned), &at)?;
    let mut question = vec![Directive::new("auth_request", ["/.plumbline-login"])];
    for header in gate.headers() {
        let variable = format!("$login_{}", header.to_ascii_lowercase().replace('-', "_"));
        let answer = format!("$upstream_http_{}", header.to_ascii_lowercase().replace('-', "_"));
        question.push(Directive::new("auth_request_set", [&variable, &answer]));
        // Also where the provider says nothing: what the client sent under this name counts for nothing.
        question.push(Directive::new("proxy_set_header", [header, &variable]));
    }
    let mut ask = vec![
        Directive::new("internal", []),
        Directive::new("proxy_pass", [&format!("http://{}{path}", gate.address)]),
        Directive::new("proxy_pass_request_body", ["off"]),
        Directive::new("proxy_set_header", ["Content-Length", ""]),
        Directive::new("proxy_set_header", ["Host", "$host"]),
        Directive::new("proxy_set_header", ["X-Original-URL", "$scheme://$host$request_uri"]),
        Directive::new("proxy_set_header", ["X-Original-Method", "$request_method"]),
        Directive::new("proxy_set_header", ["X-Forwarded-For", "$remote_addr"]),
        Directive::new("proxy_set_header", ["X-Forwarded-Host", "$host"]),
        Directive::new("proxy_set_header", ["X-Forwarded-Proto", "$scheme"]),
        Directive::new("proxy_set_header", ["X-Forwarded-Uri", "$request_uri"]),
    ];
    // Answers of a provider can be longer than a page of memory.
    ask.push(Directive::new("proxy_buffer_size", ["16k"]));
    ask.push(Directive::new("proxy_buffers", ["8", "16k"]));
    let mut locations = vec![Directive::block("location", ["=", "/.plumbline-login"], ask)];
    match gate.kind {
        SsoKind::Authentik => {
            question.push(Directive::new("auth_request_set", ["$login_cookie", "$upstream_http_set_cookie"]));
            question.push(Directive::new("add_header", ["Set-Cookie", "$login_cookie"]));
            question.push(Directive::new("error_page", ["401", "=", "@plumbline_login"]));
            locations.push(Directive::block(
                "location",
                ["/outpost.goauthentik.io"],
                vec![
                    Directive::new("proxy_pass", [&format!("http://{}/outpost.goauthentik.io", gate.address)]),
                    Directive::new("proxy_set_header", ["Host", "$host"]),
                    Directive::new("proxy_set_header", ["X-Original-URL", "$scheme://$host$request_uri"]),
                    Directive::new("proxy_set_header", ["X-Forwarded-Host", "$host"]),
                    Directive::new("proxy_set_header", ["X-Forwarded-Proto", "$scheme"]),
                    Directive::new("proxy_pass_request_body", ["off"]),
                    Directive::new("proxy_set_header", ["Content-Length", ""]),
                ],
            ));
            locations.push(Directive::block(
                "location",
                ["@plumbline_login"],
                vec![
                    Directive::new("internal", []),
                    Directive::new("add_header", ["Set-Cookie", "$login_cookie"]),
                    Directive::new("return", ["302", "/outpost.goauthentik.io/start?rd=$scheme://$host$request_uri"]),
                ],
            ));
        }
        _ => {
            let portal = builder.fit(literal(&gate.portal).map(str::to_owned), &at)?;
            question.push(Directive::new("error_page", ["401", "=", "@plumbline_login"]));
            locations.push(Directive::block(
                "location",
                ["@plumbline_login"],
                vec![
                    Directive::new("internal", []),
                    Directive::new("return", ["302", &format!("{portal}/?rd=$scheme://$host$request_uri")]),
                ],
            ));
        }
    }
    let clear = gate.headers().iter().map(|header| Directive::new("proxy_set_header", [*header, ""])).collect();
    Some(Login { question, clear, locations })
}
