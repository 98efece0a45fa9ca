//! Zabbix from the distribution's packages: the server with its tables, and the web interface under Apache.
//!
//! The database is pg-ensure's; what is in it is Zabbix's own. Its tables are put into an empty database before the server
//! starts for the first time, in one transaction, and never touched again.

use contract::document::{Handler, HostItem, Stage, TemplateEscape, User};
use contract::{Finding, Pointer, placeholder, places};

use crate::fleet::{Run, Service};
use crate::format::systemd::{self, UnitFile};
use crate::format::{Unrepresentable, Written};
use crate::host::HostBuilder;
use crate::model::{Model, ServiceDatabaseView};

const SCHEMA: &str = "/usr/local/lib/plumbline/zabbix-schema";
const PASSWORD: &str = "zabbix-web.password";

pub(super) fn add(builder: &mut HostBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    let Some(role) = &model.fleet.monitoring.zabbix else { return };
    let here = |name: &str| {
        model.service(name).filter(|service| {
            matches!(service.run, Run::Package(_)) && service.host.iter().any(|own| *own == host.name)
        })
    };
    let own = here(&role.server);
    if let Some(service) = own {
        server(builder, &role.server, service);
    }
    if let Some((name, service)) = role.web.as_deref().and_then(|name| Some((name, here(name)?))) {
        match own {
            Some(server) => web(builder, name, service, &role.server, server),
            None => builder.missing(
                Model::service_at(name).join("host"),
                "the web interface of Zabbix on another host than its server",
            ),
        }
    }
}

/// The database, or a finding.
fn database(builder: &mut HostBuilder<'_, '_>, name: &str, service: &Service) -> Option<ServiceDatabaseView> {
    let found = builder.model.first_database(builder.host, name, service);
    if found.is_none() {
        let at = Model::service_at(name).join("databases");
        let finding =
            Finding::error("missing-key", at, "Zabbix keeps everything in a PostgreSQL database that it reaches");
        builder.findings.push(finding.fix(
            "add \"databases\": [{\"cluster\": \"...\", \"name\": \"zabbix\", \"owner\": \"zabbix\", \"auth\": \"peer\"}]",
        ));
    }
    found
}

fn server(builder: &mut HostBuilder<'_, '_>, name: &str, service: &Service) {
    let host = builder.host;
    let at = Model::service_at(name);
    let Some(database) = database(builder, name, service) else { return };
    let from = [at.clone(), database.at.clone()];
    let unit = builder.model.unit_of(name, service).unwrap_or_default();
    builder.packages(Stage::Services, &["postgresql-client"], &at);
    builder.hold(Stage::Services, &unit);
    // Before its package, because files with secrets belong to it.
    builder.push(HostItem {
        id: "user:zabbix".into(),
        stage: Stage::Base,
        from: from.to_vec(),
        user: Some(User {
            name: "zabbix".into(),
            system: true,
            home: Some("/nonexistent".into()),
            shell: Some("/usr/sbin/nologin".into()),
            ..User::default()
        }),
        ..HostItem::default()
    });
    let port = service.port(Some("server")).or_else(|| service.port(None)).map(|(_, port)| port);
    let listen = port.and_then(|port| builder.model.listen_address(host, port));
    port_that_it_takes(builder, port.map_or(10051, |port| port.port), &at.join("ports"));
    let mut lines = vec![
        // The default is the port of PostgreSQL itself, also on a socket.
        ("DBPort", database.port.to_string()),
        ("DBName", database.name.clone()),
        ("DBUser", database.user.clone()),
        ("DBHost", if database.socket { String::new() } else { database.server.clone() }),
        ("ListenPort", port.map_or(10051, |port| port.port).to_string()),
    ];
    lines.extend(listen.map(|address| ("ListenIP", address.to_string())));
    let secret = database.password.as_ref().filter(|_| !database.socket);
    lines.extend(secret.map(|secret| ("DBPassword", placeholder(secret))));
    let mut text = builder.header("#", &from);
    for (key, value) in lines {
        let Some(value) = builder.fit(plain_line(&value), &database.at).map(str::to_owned) else { return };
        text.push_str(&format!("{key}={value}\n"));
    }
    let path = "/etc/zabbix/zabbix_server.conf.d/plumbline.conf";
    if secret.is_some() {
        let template = builder.template("zabbix_server.conf".into(), text, TemplateEscape::None);
        template.owner = "zabbix".into();
        template.link = Some(path.into());
        template.units = vec![unit.clone()];
        builder.wait_for_secrets(Stage::Services, &unit, &from);
    } else {
        builder.file(Stage::Services, path, text, &from).notify(Handler::restart(&unit)).add(builder);
    }
    let script = format!(
        "#!/bin/sh\n{}{}",
        builder.header("#", &from),
        schema_script("/usr/bin/psql", "/usr/share/zabbix-server-pgsql", true)
    );
    builder.file(Stage::Services, SCHEMA, script, &from).mode(0o755).validate(&["/bin/sh", "-n", "%s"]).add(builder);
    let mut drop_in = UnitFile::new();
    for (variable, value) in [
        ("PGHOST", database.server.clone()),
        ("PGPORT", database.port.to_string()),
        ("PGDATABASE", database.name.clone()),
        ("PGUSER", database.user.clone()),
    ] {
        let Some(line) = builder.fit(systemd::environment(variable, &value), &database.at) else { return };
        drop_in.push("Service", "Environment", line);
    }
    if let Some(secret) = secret {
        let line = crate::format::env::line(crate::format::env::Dialect::Systemd, "PGPASSWORD", &placeholder(secret));
        let Some(line) = builder.fit(line, &database.at) else { return };
        let file = format!("{name}.database.env");
        drop_in.push("Service", "EnvironmentFile", format!("{}/{file}", places::RENDERED));
        builder.template(file, line, TemplateEscape::SystemdEnv).units = vec![unit.clone()];
    }
    drop_in.push("Service", "ExecStartPre", SCHEMA);
    drop_in.push("Service", "TimeoutStartSec", "10min");
    let text = builder.header("#", &from) + &drop_in.write();
    builder
        .file(Stage::Services, &format!("/etc/systemd/system/{unit}.d/30-plumbline-database.conf"), text, &from)
        .notify(Handler::restart(&unit))
        .add(builder);
}

/// Neither server nor agent takes others (zabbix_server.conf, zabbix_agentd.conf: `ListenPort`).
pub(crate) fn port_that_it_takes(builder: &mut HostBuilder<'_, '_>, port: u16, at: &Pointer) {
    if !(1024..=32767).contains(&port) {
        let message = format!("Zabbix cannot listen on port {port}");
        builder
            .findings
            .push(Finding::error("unsupported-feature", at.clone(), message).fix("take a port from 1024 to 32767"));
    }
}

/// Puts Zabbix's tables into an empty database, all of them or none.
pub(crate) fn schema_script(psql: &str, folder: &str, compressed: bool) -> String {
    // Unpacked first: a file that ends too early would otherwise be taken for the end of everything.
    let unpack = "work=$(mktemp -d)\ntrap 'rm -rf \"$work\"' EXIT\nfor part in schema images data; do\n    \
                  zcat \"@/$part.sql.gz\" >\"$work/$part.sql\"\ndone\n";
    let (before, from) =
        if compressed { (unpack.replace('@', folder), "$work".to_owned()) } else { (String::new(), folder.to_owned()) };
    format!(
        "# The connection is in the environment: PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD.\n\
         set -eu\n\
         there=$({psql} -XAtq -v ON_ERROR_STOP=1 -c \"SELECT count(*) FROM pg_tables WHERE tablename = 'dbversion'\")\n\
         if [ \"$there\" != 0 ]; then\n    exit 0\nfi\n\
         {before}\
         PGOPTIONS='-c client_min_messages=error' {psql} -Xq -v ON_ERROR_STOP=1 --single-transaction \\\n    \
         -f \"{from}/schema.sql\" -f \"{from}/images.sql\" -f \"{from}/data.sql\" >/dev/null\n"
    )
}

/// A value of Zabbix's configuration reaches to the end of its line.
fn plain_line(text: &str) -> Written<&str> {
    if text.chars().any(char::is_control) || text.trim() != text {
        return Err(Unrepresentable::new("Zabbix's configuration", "such a value"));
    }
    Ok(text)
}

fn web(builder: &mut HostBuilder<'_, '_>, name: &str, service: &Service, server_name: &str, server: &Service) {
    let (model, host) = (builder.model, builder.host);
    let at = Model::service_at(name);
    let Some(database) = database(builder, server_name, server) else { return };
    let from = [at.clone(), database.at.clone()];
    let unit = model.unit_of(name, service).unwrap_or_default();
    let Some(secret) = database.password.as_ref().filter(|_| !database.socket) else {
        let message = "the web interface runs as www-data, so that it needs the password of the database";
        builder.findings.push(
            Finding::error("missing-key", database.at.join("password"), message)
                .related(at)
                .fix("give the database of the server \"auth\": \"scram\" and a \"password\""),
        );
        return;
    };
    builder.packages(Stage::Services, &["zabbix-frontend-php", "apache2", "libapache2-mod-php", "php-pgsql"], &at);
    builder.hold(Stage::Services, &unit);
    let port = service.port(None).map(|(_, port)| port);
    let number = port.map_or(8090, |port| port.port);
    let address = port.and_then(|port| model.listen_address(host, port));
    let listen = match address {
        Some(address) => std::net::SocketAddr::new(address, number).to_string(),
        None if port.is_some() => number.to_string(),
        None => format!("127.0.0.1:{number}"),
    };
    builder.check_set("apache2", &[&["/usr/sbin/apache2ctl", "configtest"]]);
    let ports = builder.header("#", &from) + &format!("Listen {listen}\n");
    let zone = host.spec.timezone.as_deref().unwrap_or("UTC");
    let Some(zone) = builder.fit(apache_word(zone), &host.at("timezone")).map(str::to_owned) else { return };
    let site = builder.header("#", &from)
        + &format!(
            "<VirtualHost *:{number}>\n\
             \x20   DocumentRoot /usr/share/zabbix\n\
             \x20   <Directory /usr/share/zabbix>\n\
             \x20       Options FollowSymLinks\n\
             \x20       AllowOverride None\n\
             \x20       Require all granted\n\
             \x20       <IfModule mod_php.c>\n\
             \x20           php_value max_execution_time 300\n\
             \x20           php_value max_input_time 300\n\
             \x20           php_value memory_limit 128M\n\
             \x20           php_value post_max_size 16M\n\
             \x20           php_value date.timezone {zone}\n\
             \x20       </IfModule>\n\
             \x20   </Directory>\n\
             \x20   <DirectoryMatch \"^/usr/share/zabbix/(conf|app|include|local)/\">\n\
             \x20       Require all denied\n\
             \x20   </DirectoryMatch>\n\
             \x20   ErrorLog ${{APACHE_LOG_DIR}}/zabbix.error.log\n\
             \x20   CustomLog ${{APACHE_LOG_DIR}}/zabbix.access.log combined\n\
             </VirtualHost>\n"
        );
    for (path, text) in [("/etc/apache2/ports.conf", ports), ("/etc/apache2/sites-available/000-default.conf", site)] {
        builder.file(Stage::Services, path, text, &from).set("apache2").notify(Handler::restart(&unit)).add(builder);
    }
    // As a file of its own, because a secret in a program's text would need that program's quoting.
    let password = builder.template(PASSWORD.into(), placeholder(secret), TemplateEscape::None);
    password.owner = "www-data".into();
    builder.wait_for_secrets(Stage::Services, &unit, &from);
    let text = format!("<?php\n{}{}", builder.header("//", &from), settings(model, &database, host));
    builder.directory(Stage::Services, "/etc/zabbix", 0o755, "root", "root", &from);
    builder.file(Stage::Services, "/etc/zabbix/zabbix.conf.php", text, &from).add(builder);
}

/// The settings of the interface, which are a program in PHP.
fn settings(model: &Model<'_>, database: &ServiceDatabaseView, host: &crate::model::HostView) -> String {
    let mut out = String::new();
    let mut set = |name: &str, value: String| out.push_str(&format!("{name} = {value};\n"));
    set("$DB['TYPE']", php("POSTGRESQL"));
    set("$DB['SERVER']", php(&database.server));
    set("$DB['PORT']", php(&database.port.to_string()));
    set("$DB['DATABASE']", php(&database.name));
    set("$DB['USER']", php(&database.user));
    set(
        "$DB['PASSWORD']",
        format!("rtrim((string) @file_get_contents({}), \"\\r\\n\")", php(&format!("{}/{PASSWORD}", places::RENDERED))),
    );
    set("$DB['SCHEMA']", php(""));
    set("$DB['ENCRYPTION']", "false".into());
    set("$DB['DOUBLE_IEEE754']", "true".into());
    if let Some(server) = model.zabbix_server(host) {
        set("$ZBX_SERVER", php(&server.address.ip().to_string()));
        set("$ZBX_SERVER_PORT", php(&server.address.port().to_string()));
    }
    set("$ZBX_SERVER_NAME", php(&model.fleet.name));
    set("$IMAGE_FORMAT_DEFAULT", "IMAGE_FORMAT_PNG".into());
    out
}

/// A string of PHP that stands for itself.
fn php(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// A word of Apache's configuration.
fn apache_word(text: &str) -> Written<&str> {
    let good = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "/_+-".contains(c));
    if good { Ok(text) } else { Err(Unrepresentable::new("Apache's configuration", "such a time zone")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn php_strings_stand_for_themselves() {
        assert_eq!(php("a'b\\c$d"), "'a\\'b\\\\c$d'");
    }
}
