//! Exporters of metrics: the node exporter and the PostgreSQL exporter, as Debian packages them.

use contract::Pointer;
use contract::document::{Handler, Stage};

use super::HostBuilder;
use super::services::default_args;
use crate::fleet::PostgresExporter;
use crate::format::env::{self, Dialect};
use crate::format::systemd::UnitFile;
use crate::model::AgentView;

pub(super) fn add(builder: &mut HostBuilder<'_, '_>) {
    for agent in builder.model.agents(builder.host) {
        let Some(agents) = &builder.host.spec.agents else { continue };
        match (agent.name, &agents.node_exporter, &agents.postgres_exporter) {
            ("node", Some(spec), _) if spec.image.is_none() => {
                let mut arguments = vec![listen(&agent)];
                arguments.extend(spec.arguments.iter().cloned());
                write(builder, "prometheus-node-exporter", &arguments, "", &agent.pointer);
            }
            ("postgres", _, Some(spec)) if spec.image.is_none() => postgres(builder, &agent, spec),
            // These have a room of their own.
            ("cadvisor" | "alloy", _, _) => {}
            _ => builder.missing(agent.pointer.clone(), "an exporter in a container"),
        }
    }
}

fn listen(agent: &AgentView) -> String {
    let address = agent.address.unwrap_or(std::net::IpAddr::from([127, 0, 0, 1]));
    format!("--web.listen-address={}", std::net::SocketAddr::new(address, agent.port))
}

/// Owns the package's defaults file and its unit.
fn write(builder: &mut HostBuilder<'_, '_>, package: &str, arguments: &[String], more: &str, at: &Pointer) {
    let unit = format!("{package}.service");
    builder.packages(Stage::Services, &[package], at);
    builder.hold(Stage::Services, &unit);
    let from = [at.clone()];
    let Some(args) = builder.fit(default_args(arguments), at) else { return };
    let text = builder.header("#", &from) + &args + more;
    builder
        .file(Stage::Services, &format!("/etc/default/{package}"), text, &from)
        .notify(Handler::restart(&unit))
        .add(builder);
    builder.unit(Stage::Services, &unit, &from);
}

fn postgres(builder: &mut HostBuilder<'_, '_>, agent: &AgentView, spec: &PostgresExporter) {
    let unit = "prometheus-postgres-exporter.service";
    let at = &agent.pointer;
    let from = [at.clone()];
    let Some(cluster) = builder.model.cluster(&spec.cluster) else { return };
    let local = cluster.spec.host.as_deref() == Some(&builder.host.name);
    let port = cluster.spec.port;
    let mut lines = Vec::new();
    match &spec.password {
        Some(password) => {
            let server = if local {
                Some("127.0.0.1".to_owned())
            } else if let Some(external) = &cluster.spec.external {
                Some(external.address.clone())
            } else {
                let target = cluster.spec.host.as_deref().and_then(|name| builder.model.host(name));
                target
                    .and_then(|target| cluster.spec.bind.iter().find_map(|network| target.address(network)))
                    .map(|address| address.to_string())
            };
            let Some(server) = server else { return };
            // On the same host nothing travels over a wire; elsewhere the server must speak TLS.
            let mode = if local { "disable" } else { "require" };
            lines.push(("DATA_SOURCE_URI", format!("{server}:{port}/postgres?sslmode={mode}")));
            lines.push(("DATA_SOURCE_USER", spec.role.clone()));
            // systemd hands the secret to the unit's own user, which therefore need not exist before the package does.
            lines.push(("DATA_SOURCE_PASS_FILE", format!("/run/credentials/{unit}/password")));
            let drop_in = UnitFile::new().set(
                "Service",
                "LoadCredential",
                format!("password:{}/{}", contract::places::SECRETS, password.secret),
            );
            let text = builder.header("#", &from) + &drop_in.write();
            builder
                .file(Stage::Services, &format!("/etc/systemd/system/{unit}.d/20-plumbline.conf"), text, &from)
                .notify(Handler::restart(unit))
                .add(builder);
            builder.wait_for_secrets(Stage::Services, unit, &from);
        }
        None => {
            lines.push((
                "DATA_SOURCE_NAME",
                format!("user={} host=/run/postgresql port={port} dbname=postgres sslmode=disable", spec.role),
            ));
        }
    }
    let mut text = String::new();
    for (name, value) in lines {
        let Some(line) = builder.fit(env::line(Dialect::Systemd, name, &value), at) else { return };
        text.push_str(&line);
    }
    write(builder, "prometheus-postgres-exporter", &[listen(agent)], &text, at);
}
