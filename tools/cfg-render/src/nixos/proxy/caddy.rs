//! Caddy, by `services.caddy`.

use contract::Finding;

use super::super::builder::NixosBuilder;
use super::{MODULE, acme, chain_and_key, module_of, shared_from};
use crate::fleet::{ProxyKind, ProxyServer, TlsMode};
use crate::format::caddyfile::{self, Line, word};
use crate::format::nix::{Nix, Part};
use crate::host::caddy as shared;
use crate::model::{Model, Site};

/// What Caddy knows passwords by.
const PASSWORDS: &str = "caddy-passwords";

/// Modules by the name that Caddy gives them, and where their source lies at the version that we wrote for.
const PLUGINS: [(&str, &str); 3] = [
    ("http.handlers.rate_limit", "github.com/mholt/caddy-ratelimit@v0.1.0"),
    ("dns.providers.cloudflare", "github.com/caddy-dns/cloudflare@v0.2.1"),
    ("dns.providers.desec", "github.com/caddy-dns/desec@v1.0.1"),
];

pub(super) fn add(builder: &mut NixosBuilder<'_, '_>, sites: &[Site<'_>]) {
    let proxy = builder.host.proxy();
    let from = shared_from(builder, sites);
    builder.set(MODULE, &["services", "caddy", "enable"], Nix::Bool(true), &from);
    package(builder, &proxy);
    let acme = proxy.acme.clone().unwrap_or_default();
    if let Some(email) = acme.email.as_ref().or(builder.model.fleet.email.as_ref()) {
        builder.set(MODULE, &["services", "caddy", "email"], Nix::text(email), &from);
    }
    if let Some(directory) = &acme.directory {
        builder.set(MODULE, &["services", "caddy", "acmeCA"], Nix::text(directory), &from);
    }
    let mut global = shared::global(&mut builder.shared, &proxy);
    // The module has options of its own for these.
    global.retain(|line| !matches!(line.words.first().map(String::as_str), Some("email" | "acme_ca")));
    let text = caddyfile::write(&global);
    builder.set(MODULE, &["services", "caddy", "globalConfig"], Nix::text(text), &from);
    if proxy.sinkhole {
        let value = Nix::set([("extraConfig", Nix::text("abort\n"))]);
        let name = format!("http://:{}", proxy.http_port);
        builder.set(MODULE, &["services", "caddy", "virtualHosts", &name], value, &from);
    }
    passwords(builder, sites);
    for site in sites {
        add_site(builder, &proxy, site);
    }
}

/// Each start and reload turns the passwords of sites into what Caddy reads, as on other hosts. The unit is the package's own,
/// with settings of the module's: what reloads is said anew, with one step more before it.
fn passwords(builder: &mut NixosBuilder<'_, '_>, sites: &[Site<'_>]) {
    let secrets = shared::passwords::secrets(sites);
    let from: Vec<_> = secrets.values().flatten().cloned().collect();
    let Some(at) = from.first() else { return };
    let file = "plumbline/caddy-passwords";
    // With a mode it is a file of root's own instead of a link.
    let script = Nix::set([("text", Nix::text(shared::passwords::TEXT)), ("mode", Nix::text("0755"))]);
    builder.set(PASSWORDS, &["environment", "etc", file], script, &from);
    let argv: Vec<String> =
        std::iter::once(format!("/etc/{file}")).chain(secrets.keys().map(ToString::to_string)).collect();
    let Some(exec) = builder.shared.fit(crate::format::systemd::exec(&argv), at) else { return };
    // With the rights of the system, which alone reads all secrets.
    let exec = format!("+{exec}");
    let set = |builder: &mut NixosBuilder<'_, '_>, path: &[&str], value: Nix| {
        builder.set(PASSWORDS, &[&["systemd", "services", "caddy"], path].concat(), value, &from);
    };
    set(builder, &["path"], Nix::List(vec![Nix::package("gawk")]));
    set(builder, &["serviceConfig", "ExecStartPre"], Nix::texts([&exec]));
    let reload = Nix::Text(vec![
        Part::Expression("config.services.caddy.package".into()),
        Part::Plain("/bin/caddy reload --config /etc/caddy/caddy_config --adapter caddyfile --force".into()),
    ]);
    let steps = Nix::Call("lib.mkForce", vec![Nix::List(vec![Nix::text(""), Nix::text(&exec), reload])]);
    set(builder, &["serviceConfig", "ExecReload"], steps);
}

/// The build of Caddy: the one that the fleet names, or one with the modules that it names.
fn package(builder: &mut NixosBuilder<'_, '_>, proxy: &ProxyServer) {
    let at = builder.host.at("proxy");
    if let Some(package) = &proxy.package {
        builder.set(MODULE, &["services", "caddy", "package"], Nix::package(package), &[at.join("package")]);
        return;
    }
    if proxy.modules.is_empty() {
        return;
    }
    let mut plugins = Vec::new();
    for (index, module) in proxy.modules.iter().enumerate() {
        let known = PLUGINS.iter().find(|(name, _)| name == module).map(|(_, source)| (*source).to_owned());
        match known.or_else(|| module.contains('@').then(|| module.clone())) {
            Some(source) => plugins.push(source),
            None => builder.shared.findings.push(
                Finding::error("unknown-ref", at.join("modules").join(index), format!("it is not known where the module {module} comes from"))
                    .fix("name its source and version, such as github.com/mholt/caddy-ratelimit@v0.1.0, or a package with it in proxy.package"),
            ),
        }
    }
    let hash = match &proxy.modules_hash {
        Some(hash) => Nix::text(hash),
        None => {
            builder.shared.findings.push(
                Finding::note(
                    "missing-hash",
                    at.join("modules"),
                    "Nix builds this Caddy only with the hash of its modules",
                )
                .fix("build once; the message names the hash to put into proxy.modules_hash"),
            );
            Nix::expression("lib.fakeHash")
        }
    };
    let value = Nix::Call("pkgs.caddy.withPlugins", vec![Nix::set([("plugins", Nix::texts(plugins)), ("hash", hash)])]);
    builder.set(MODULE, &["services", "caddy", "package"], value, &[at.join("modules")]);
}

fn add_site(builder: &mut NixosBuilder<'_, '_>, proxy: &ProxyServer, site: &Site<'_>) {
    let module = module_of(site);
    let from = site.from();
    let Some(at) = from.first() else { return };
    let mut names = Vec::new();
    for name in &site.names {
        let Some(name) = builder.shared.fit(word(name), at) else { return };
        names.push(name);
    }
    let mut parts: Vec<Part> = Vec::new();
    let dns = acme::by_dns(&proxy.acme.clone().unwrap_or_default(), site);
    match &site.tls {
        TlsMode::Acme | TlsMode::AcmeDns if dns => {
            if acme::certificate(builder, &module, site, ProxyKind::Caddy).is_none() {
                return;
            }
        }
        TlsMode::Acme | TlsMode::AcmeDns | TlsMode::None | TlsMode::Tunnel => {}
        TlsMode::OnDemand => parts.push(Part::Plain("tls {\n\ton_demand\n}\n".into())),
        TlsMode::Internal | TlsMode::Files(_) => {
            let Some(certificate) = &site.certificate else { return };
            let (chain, key) = chain_and_key(builder, &module, certificate);
            parts.extend([Part::Plain("tls ".into()), chain, Part::Plain(format!(" {key}\n"))]);
        }
    }
    let plain = matches!(site.tls, TlsMode::None | TlsMode::Tunnel);
    let mut body = Vec::new();
    for entry in &site.entries {
        let Some(lines) = shared::render_entry(&mut builder.shared, proxy, entry, !plain) else { return };
        if entry.path == "/" {
            body.push(Line::new("handle").body(lines));
        } else {
            let path = word(&format!("{}*", entry.path));
            let Some(path) = builder.shared.fit(path, &entry.pointer.join("path")) else { return };
            body.push(Line::new("handle").with(path).body(lines));
        }
    }
    for service in site.entries.iter().map(|entry| entry.service).collect::<std::collections::BTreeSet<_>>() {
        let extra =
            builder.model.fleet.services.get(service).and_then(|service| service.extra.as_ref()?.caddy.as_ref());
        if let Some(extra) = extra {
            let at = Model::service_at(service).join("extra").join("caddy").join("site");
            shared::snippets(&mut builder.shared, &mut body, &extra.site, &at);
        }
    }
    parts.push(Part::Plain(caddyfile::write(&body)));
    let scheme = if plain { "http" } else { "https" };
    let address = format!("{scheme}://{}", names[0]);
    let mut keys = vec![("extraConfig", Nix::Text(parts))];
    if dns {
        keys.push(("useACMEHost", Nix::text(acme::certificate_name(site))));
    }
    if names.len() > 1 {
        keys.push(("serverAliases", Nix::texts(names.iter().skip(1).map(|name| format!("{scheme}://{name}")))));
    }
    builder.set(&module, &["services", "caddy", "virtualHosts", &address], Nix::set(keys), &from);
    if !plain {
        // The sinkhole would stand before the redirects that Caddy makes by itself.
        let port = if proxy.https_port == 443 { String::new() } else { format!(":{}", proxy.https_port) };
        let mut keys = vec![("extraConfig", Nix::text(format!("redir https://{{host}}{port}{{uri}} 308\n")))];
        if names.len() > 1 {
            keys.push(("serverAliases", Nix::texts(names.iter().skip(1).map(|name| format!("http://{name}")))));
        }
        let address = format!("http://{}", names[0]);
        builder.set(&module, &["services", "caddy", "virtualHosts", &address], Nix::set(keys), &from);
    }
}
