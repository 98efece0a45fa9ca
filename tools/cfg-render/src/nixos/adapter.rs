//! What the fleet says about a service, in the words of the NixOS module that runs it: its port and address, its public
//! address, its database, how it sends mail. Modules that are not here are set by `run.nixos.options`, which also stands above
//! everything here.

use contract::{Finding, Pointer};

use super::builder::NixosBuilder;
use super::secrets;
use crate::fleet::{ANY, Edge, MailTls, Service};
use crate::format::nix::Nix;
use crate::model::Model;

/// An option below the module, its value and the place that says so.
type Setting = (String, Nix, Pointer);

/// Where a module takes its port, and its address, if it takes one.
/// Source: the modules of nixpkgs, release 25.11, by their option names.
const PORTS: [(&str, &str, Option<&str>); 30] = [
    ("services.bluesky-pds", "settings.PDS_PORT", None),
    ("services.cockpit", "port", None),
    ("services.flaresolverr", "port", None),
    ("services.forgejo", "settings.server.HTTP_PORT", Some("settings.server.HTTP_ADDR")),
    ("services.gitea", "settings.server.HTTP_PORT", Some("settings.server.HTTP_ADDR")),
    ("services.grafana", "settings.server.http_port", Some("settings.server.http_addr")),
    ("services.headscale", "port", Some("address")),
    ("services.home-assistant", "config.http.server_port", None),
    ("services.homepage-dashboard", "listenPort", None),
    ("services.immich", "port", Some("host")),
    ("services.jackett", "port", None),
    ("services.litellm", "port", Some("host")),
    ("services.loki", "configuration.server.http_listen_port", Some("configuration.server.http_listen_address")),
    ("services.matter-server", "port", None),
    ("services.miniflux", "config.PORT", None),
    ("services.ntfy-sh", "settings.listen-http", None),
    ("services.ollama", "port", Some("host")),
    ("services.open-webui", "port", Some("host")),
    ("services.openthread-border-router", "web.listenPort", Some("web.listenAddress")),
    ("services.paperless", "port", Some("address")),
    ("services.prometheus", "port", Some("listenAddress")),
    ("services.prometheus.alertmanager", "port", Some("listenAddress")),
    ("services.prowlarr", "settings.server.port", None),
    ("services.radarr", "settings.server.port", None),
    ("services.radicle.httpd", "listenPort", Some("listenAddress")),
    ("services.sonarr", "settings.server.port", None),
    ("services.transmission", "settings.rpc-port", Some("settings.rpc-bind-address")),
    ("services.uptime-kuma", "settings.PORT", Some("settings.HOST")),
    ("services.vaultwarden", "config.ROCKET_PORT", Some("config.ROCKET_ADDRESS")),
    ("services.zigbee2mqtt", "settings.frontend.port", None),
];

/// What the module of this path is told.
pub(super) fn options(builder: &mut NixosBuilder<'_, '_>, name: &str, service: &Service, module: &str) -> Vec<Setting> {
    let mut all = Vec::new();
    port(builder, name, service, module, &mut all);
    match module {
        "services.forgejo" | "services.gitea" => forge(builder, name, service, &mut all),
        "services.vaultwarden" => vaultwarden(builder, name, service, &mut all),
        "services.headscale" => headscale(builder, name, service, &mut all),
        "services.grafana" => grafana(builder, name, &mut all),
        "services.radicle" => radicle(builder, name, service, &mut all),
        "services.mosquitto" => mosquitto(builder, name, service, &mut all),
        "services.home-assistant" => home_assistant(builder, name, &mut all),
        "services.bluesky-pds" => pds(builder, name, &mut all),
        "services.openthread-border-router" => border_router(name, service, &mut all),
        "services.cockpit" => cockpit(builder, name, &mut all),
        "services.zabbixServer" => zabbix_server(builder, name, service, &mut all),
        "services.zabbixWeb" => zabbix_web(builder, name, service, &mut all),
        _ => {}
    }
    all
}

/// The port that the fleet counts on is the port that the module listens on.
fn port(builder: &NixosBuilder<'_, '_>, name: &str, service: &Service, module: &str, all: &mut Vec<Setting>) {
    let Some((port_name, port)) = service.port(None) else { return };
    let at = Model::service_at(name).join("ports").join(port_name);
    let wyoming = module.strip_prefix("services.wyoming.").filter(|rest| rest.contains(".servers."));
    if wyoming.is_some() {
        let address = address(builder, &port.bind);
        all.push(("uri".into(), Nix::text(format!("tcp://{address}:{}", port.port)), at));
        return;
    }
    let Some((_, port_option, address_option)) = PORTS.iter().find(|(known, _, _)| *known == module) else { return };
    let value = match module {
        "services.ntfy-sh" => Nix::text(format!("{}:{}", address(builder, &port.bind), port.port)),
        // These are environments, whose values are texts.
        "services.uptime-kuma" | "services.miniflux" => Nix::text(port.port.to_string()),
        _ => Nix::number(port.port),
    };
    all.push(((*port_option).into(), value, at.clone()));
    if let Some(option) = address_option {
        all.push(((*option).into(), Nix::text(address(builder, &port.bind)), at));
    }
}

/// The address of a place to bind to.
fn address(builder: &NixosBuilder<'_, '_>, bind: &str) -> String {
    if bind == ANY {
        return "0.0.0.0".into();
    }
    builder.host.bind_address(bind).map_or_else(|| "127.0.0.1".into(), |address| address.to_string())
}

/// The name by which people know the service, and its address.
fn public(builder: &NixosBuilder<'_, '_>, name: &str) -> Option<(String, String, Pointer)> {
    let (host, url) = builder.model.public_address(name)?;
    Some((host, url, Model::service_at(name).join("proxy").join(0)))
}

fn forge(builder: &NixosBuilder<'_, '_>, name: &str, service: &Service, all: &mut Vec<Setting>) {
    let mut set = |key: &str, value: Nix, at: &Pointer| all.push((key.to_owned(), value, at.clone()));
    if let Some((host, url, at)) = public(builder, name) {
        set("settings.server.DOMAIN", Nix::text(host), &at);
        set("settings.server.ROOT_URL", Nix::text(format!("{url}/")), &at);
        set("settings.session.COOKIE_SECURE", Nix::Bool(url.starts_with("https")), &at);
    }
    if let Some(database) = builder.model.first_database(builder.host, name, service) {
        set("database.type", Nix::text("postgres"), &database.at);
        // pg-ensure makes the database and its owner.
        set("database.createDatabase", Nix::Bool(false), &database.at);
        set("database.name", Nix::text(&database.name), &database.at);
        set("database.user", Nix::text(&database.user), &database.at);
        if database.socket {
            set("database.socket", Nix::text(&database.server), &database.at);
        } else {
            set("database.host", Nix::text(&database.server), &database.at);
            set("database.port", Nix::number(database.port), &database.at);
            if let Some(secret) = &database.password {
                set("database.passwordFile", Nix::text(secrets::path(secret.as_str())), &database.at);
            }
        }
    }
    let mailer = service.mailer.as_ref().and_then(|mailer| builder.model.fleet.mailers.get(mailer));
    if let Some(mailer) = mailer {
        let at = Model::service_at(name).join("mailer");
        set("settings.mailer.ENABLED", Nix::Bool(true), &at);
        set("settings.mailer.SMTP_ADDR", Nix::text(&mailer.host), &at);
        set("settings.mailer.SMTP_PORT", Nix::number(mailer.port), &at);
        let protocol = match mailer.tls {
            MailTls::Starttls => "smtp+starttls",
            MailTls::Implicit => "smtps",
            MailTls::None => "smtp",
        };
        set("settings.mailer.PROTOCOL", Nix::text(protocol), &at);
        set("settings.mailer.FROM", Nix::text(&mailer.from), &at);
        if let Some(user) = &mailer.user {
            set("settings.mailer.USER", Nix::text(user), &at);
        }
        if let Some(password) = &mailer.password {
            set("secrets.mailer.PASSWD", Nix::text(secrets::path(password.secret.as_str())), &at);
        }
    }
}

/// A text with a secret goes into the environment; the URL of the database is one.
fn database_url(
    builder: &mut NixosBuilder<'_, '_>,
    name: &str,
    service: &Service,
    variable: &str,
    unit: &str,
) -> Option<(Nix, Pointer)> {
    let spec = service.databases.first()?;
    let reference = crate::fleet::Reference {
        database: Some(spec.name_or(name)),
        attr: Some("url".into()),
        ..crate::fleet::Reference::default()
    };
    let at = Model::service_at(name).join("databases").join(0);
    let resolved = builder.model.resolve_value(builder.host, name, &reference.into());
    if let Some(problem) = resolved.problem {
        builder.shared.findings.push(Finding::error("unknown-ref", at, problem));
        return None;
    }
    if !resolved.is_secret() {
        return Some((Nix::text(resolved.text), at));
    }
    let line = crate::format::env::line(crate::format::env::Dialect::Systemd, variable, &resolved.text);
    let line = builder.shared.fit(line, &at)?;
    let template = format!("{name}.database.env");
    builder.shared.template(template.clone(), line, contract::document::TemplateEscape::Url).units =
        vec![format!("{unit}.service")];
    Some((Nix::text(format!("{}/{template}", contract::places::RENDERED)), at))
}

fn vaultwarden(builder: &mut NixosBuilder<'_, '_>, name: &str, service: &Service, all: &mut Vec<Setting>) {
    if let Some((_, url, at)) = public(builder, name) {
        all.push(("config.DOMAIN".into(), Nix::text(url), at));
    }
    if !service.databases.is_empty() {
        let at = Model::service_at(name).join("databases").join(0);
        all.push(("dbBackend".into(), Nix::text("postgresql"), at));
        if let Some((value, at)) = database_url(builder, name, service, "DATABASE_URL", "vaultwarden") {
            let is_file = matches!(&value, Nix::Text(parts) if matches!(parts.first(), Some(crate::format::nix::Part::Plain(text)) if text.starts_with('/')));
            if is_file {
                all.push(("environmentFile".into(), Nix::List(vec![value]), at));
            } else {
                all.push(("config.DATABASE_URL".into(), value, at));
            }
        }
    }
}

fn headscale(builder: &NixosBuilder<'_, '_>, name: &str, service: &Service, all: &mut Vec<Setting>) {
    if let Some((_, url, at)) = public(builder, name) {
        all.push(("settings.server_url".into(), Nix::text(url), at));
    }
    let Some(database) = builder.model.first_database(builder.host, name, service) else { return };
    let mut set = |key: &str, value: Nix| all.push((key.to_owned(), value, database.at.clone()));
    set("settings.database.type", Nix::text("postgres"));
    set("settings.database.postgres.host", Nix::text(&database.server));
    if !database.socket {
        set("settings.database.postgres.port", Nix::number(database.port));
    }
    set("settings.database.postgres.name", Nix::text(&database.name));
    set("settings.database.postgres.user", Nix::text(&database.user));
    if let Some(secret) = &database.password {
        set("settings.database.postgres.password_file", Nix::text(secrets::path(secret.as_str())));
    }
}

fn grafana(builder: &NixosBuilder<'_, '_>, name: &str, all: &mut Vec<Setting>) {
    let mut set = |key: &str, value: Nix, at: &Pointer| all.push((key.to_owned(), value, at.clone()));
    if let Some((host, url, at)) = public(builder, name) {
        set("settings.server.domain", Nix::text(host), &at);
        set("settings.server.root_url", Nix::text(format!("{url}/")), &at);
        set("settings.security.cookie_secure", Nix::Bool(url.starts_with("https")), &at);
    }
    set("settings.analytics.reporting_enabled", Nix::Bool(false), &Model::service_at(name).join("run"));
}

/// A node of Radicle: its port is not called http.
fn radicle(builder: &NixosBuilder<'_, '_>, name: &str, service: &Service, all: &mut Vec<Setting>) {
    let Some((port_name, port)) = service.port(None) else { return };
    let at = Model::service_at(name).join("ports").join(port_name);
    all.push(("node.listenPort".into(), Nix::number(port.port), at.clone()));
    all.push(("node.listenAddress".into(), Nix::text(address(builder, &port.bind)), at));
}

fn mosquitto(builder: &NixosBuilder<'_, '_>, name: &str, service: &Service, all: &mut Vec<Setting>) {
    let Some((port_name, port)) = service.port(None) else { return };
    let at = Model::service_at(name).join("ports").join(port_name);
    let mut listener = vec![("port", Nix::number(port.port)), ("address", Nix::text(address(builder, &port.bind)))];
    // The secret of the service is the password of one user of the same name.
    if let Some(secret) = service.secrets.first() {
        let user = Nix::set([
            ("acl", Nix::texts(["readwrite #"])),
            ("passwordFile", Nix::text(secrets::path(secret.as_str()))),
        ]);
        listener.push(("users", Nix::set([(builder.model.fleet.name.clone(), user)])));
    }
    all.push(("listeners".into(), Nix::List(vec![Nix::set(listener)]), at));
}

/// It believes the proxy in front only where that is named.
fn home_assistant(builder: &NixosBuilder<'_, '_>, name: &str, all: &mut Vec<Setting>) {
    let Some((_, url, at)) = public(builder, name) else { return };
    all.push(("config.homeassistant.external_url".into(), Nix::text(url), at.clone()));
    all.push(("config.http.use_x_forwarded_for".into(), Nix::Bool(true), at.clone()));
    let mut proxies = Vec::new();
    for route in builder.model.fleet.routes_of(name) {
        let Edge::Host(edge) = route.edge else { continue };
        let edge = builder.model.host(edge).filter(|edge| edge.name != builder.host.name);
        let network = edge.and_then(|edge| Some((edge, builder.model.shared_network(builder.host, edge)?)));
        proxies.extend(network.and_then(|(edge, network)| edge.address(&network)).map(|address| address.to_string()));
    }
    let mut list = vec!["127.0.0.1".to_owned(), "::1".to_owned()];
    list.extend(proxies);
    all.push(("config.http.trusted_proxies".into(), Nix::texts(list), at));
}

/// The module makes tables only in a database that it makes itself; ours is pg-ensure's (see `zabbix`).
fn zabbix_server(builder: &NixosBuilder<'_, '_>, name: &str, service: &Service, all: &mut Vec<Setting>) {
    let mut set = |key: &str, value: Nix, at: &Pointer| all.push((key.to_owned(), value, at.clone()));
    if let Some((port_name, port)) = service.port(Some("server")).or_else(|| service.port(None)) {
        let at = Model::service_at(name).join("ports").join(port_name);
        set("listen.ip", Nix::text(address(builder, &port.bind)), &at);
        set("listen.port", Nix::number(port.port), &at);
    }
    if !service.databases.is_empty() {
        let at = Model::service_at(name).join("databases").join(0);
        set("database.createLocally", Nix::Bool(false), &at);
    }
    zabbix_database(builder, name, service, &mut set);
}

/// Both halves of Zabbix log in to the one database.
fn zabbix_database(
    builder: &NixosBuilder<'_, '_>,
    name: &str,
    service: &Service,
    set: &mut impl FnMut(&str, Nix, &Pointer),
) {
    let Some(database) = builder.model.first_database(builder.host, name, service) else { return };
    let at = &database.at;
    set("database.type", Nix::text("pgsql"), at);
    set("database.name", Nix::text(&database.name), at);
    set("database.user", Nix::text(&database.user), at);
    if database.socket {
        set("database.host", Nix::text(""), at);
        set("database.socket", Nix::text(&database.server), at);
    } else {
        set("database.host", Nix::text(&database.server), at);
        set("database.port", Nix::number(database.port), at);
    }
    if let Some(secret) = &database.password {
        set("database.passwordFile", Nix::text(secrets::path(secret.as_str())), at);
    }
}

/// Apache on the port of the service, behind the proxy of the host.
fn zabbix_web(builder: &NixosBuilder<'_, '_>, name: &str, service: &Service, all: &mut Vec<Setting>) {
    let mut set = |key: &str, value: Nix, at: &Pointer| all.push((key.to_owned(), value, at.clone()));
    if let Some((port_name, port)) = service.port(None) {
        let at = Model::service_at(name).join("ports").join(port_name);
        let listen = Nix::set([("ip", Nix::text(address(builder, &port.bind))), ("port", Nix::number(port.port))]);
        set("frontend", Nix::text("httpd"), &at);
        set("httpd.virtualHost.listen", Nix::List(vec![listen]), &at);
        let admin = builder.model.fleet.email.clone().unwrap_or_else(|| "root@localhost".into());
        set("httpd.virtualHost.adminAddr", Nix::text(admin), &at);
    }
    if let Some((host, _, at)) = public(builder, name) {
        set("hostname", Nix::text(host), &at);
    }
    let role = super::place(&["monitoring", "zabbix"]);
    if let Some(server) = builder.model.zabbix_server(builder.host) {
        set("server.address", Nix::text(server.address.ip().to_string()), &role);
        set("server.port", Nix::number(server.address.port()), &role);
    }
    let server = builder.model.fleet.monitoring.zabbix.as_ref().map(|role| role.server.as_str());
    match server.and_then(|server| Some((server, builder.model.service(server)?))) {
        Some((server, found)) if service.databases.is_empty() => zabbix_database(builder, server, found, &mut set),
        _ => zabbix_database(builder, name, service, &mut set),
    }
}

/// The page is off unless it is asked for; without it nothing listens on the port.
fn border_router(name: &str, service: &Service, all: &mut Vec<Setting>) {
    let Some((port_name, _)) = service.port(None) else { return };
    all.push(("web.enable".into(), Nix::Bool(true), Model::service_at(name).join("ports").join(port_name)));
}

/// A browser that comes by another name is turned away; TLS ends at the proxy.
fn cockpit(builder: &NixosBuilder<'_, '_>, name: &str, all: &mut Vec<Setting>) {
    let Some((_, url, at)) = public(builder, name) else { return };
    all.push(("allowed-origins".into(), Nix::texts([url]), at.clone()));
    all.push(("settings.WebService.ProtocolHeader".into(), Nix::text("X-Forwarded-Proto"), at));
}

fn pds(builder: &NixosBuilder<'_, '_>, name: &str, all: &mut Vec<Setting>) {
    if let Some((host, _, at)) = public(builder, name) {
        all.push(("settings.PDS_HOSTNAME".into(), Nix::text(host), at));
    }
}
