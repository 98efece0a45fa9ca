//! The connector of a Cloudflare tunnel. Its routes are either the provider's (dns-sync keeps them) or stand in a file
//! here: never both.

use contract::document::{Handler, Stage, TemplateEscape};
use contract::{Finding, Pointer, placeholder, places};
use serde_json::{Map, Value, json};

use super::HostBuilder;
use crate::fleet::{Tunnel, TunnelManagement};
use crate::format::systemd::{self, UnitFile};
use crate::format::yaml;

pub(super) fn add(builder: &mut HostBuilder<'_, '_>) {
    let fleet = builder.model.fleet;
    for (name, tunnel) in &fleet.tunnels {
        if tunnel.host == builder.host.name {
            connector(builder, name, tunnel);
        }
    }
}

fn connector(builder: &mut HostBuilder<'_, '_>, name: &str, tunnel: &Tunnel) {
    let at = Pointer::root().join("tunnels").join(name);
    let unit_name = format!("cloudflared-{name}.service");
    let mut from = vec![at.clone()];
    builder.packages(Stage::Services, &["cloudflared"], &at);
    builder.hold(Stage::Services, "cloudflared.service");
    let mut unit = UnitFile::new()
        .set("Unit", "Description", format!("Tunnel {name}"))
        .set("Unit", "Wants", "network-online.target")
        .set("Unit", "After", "network-online.target")
        .set("Service", "Type", "notify")
        .set("Service", "DynamicUser", "yes")
        .set("Service", "Restart", "on-failure")
        .set("Service", "RestartSec", "5s")
        .set("Service", "TimeoutStartSec", "2min")
        .without_rights();
    let secret = &tunnel.credentials.secret;
    let argv: Vec<String> = match tunnel.managed {
        TunnelManagement::Remote => {
            let text = format!("TUNNEL_TOKEN=\"{}\"\n", placeholder(secret));
            let file = format!("cloudflared-{name}.env");
            builder.template(file.clone(), text, TemplateEscape::SystemdEnv).units = vec![unit_name.clone()];
            unit.push("Service", "EnvironmentFile", format!("{}/{file}", places::RENDERED));
            ["/usr/bin/cloudflared", "--no-autoupdate", "tunnel", "run"].map(str::to_owned).to_vec()
        }
        TunnelManagement::Local => {
            let Some(id) = &tunnel.id else {
                let finding =
                    Finding::error("missing-field", at.join("id"), "a tunnel that is managed here needs its id");
                builder.findings.push(finding.fix("run `cloudflared tunnel create`, and put the id here"));
                return;
            };
            let credentials = format!("/run/credentials/{unit_name}/credentials.json");
            unit.push("Service", "LoadCredential", format!("credentials.json:{}/{secret}", places::SECRETS));
            let (rules, places) = ingress(builder, name);
            from.extend(places);
            let document = json!({"tunnel": id, "credentials-file": credentials, "ingress": rules});
            let path = format!("/etc/cloudflared/{name}.yml");
            builder.directory(Stage::Services, "/etc/cloudflared", 0o755, "root", "root", &from);
            let text = builder.header("#", &from) + &yaml::write(&document);
            builder.file(Stage::Services, &path, text, &from).notify(Handler::restart(&unit_name)).add(builder);
            ["/usr/bin/cloudflared", "--no-autoupdate", "--config", &path, "tunnel", "run"].map(str::to_owned).to_vec()
        }
    };
    let Some(exec) = builder.fit(systemd::exec(&argv), &at) else { return };
    unit.push("Service", "ExecStart", exec);
    unit.push("Install", "WantedBy", "multi-user.target");
    builder.wait_for_secrets(Stage::Services, &unit_name, &from);
    let text = builder.header("#", &from) + &unit.write();
    builder
        .file(Stage::Services, &format!("/etc/systemd/system/{unit_name}"), text, &from)
        .notify(Handler::restart(&unit_name))
        .add(builder);
    builder.unit(Stage::Services, &unit_name, &from);
}

/// The rules of a tunnel, from top to bottom: exact names before wildcards, longer paths before shorter ones, and last what
/// answers to everything else.
fn ingress(builder: &HostBuilder<'_, '_>, tunnel: &str) -> (Vec<Value>, Vec<Pointer>) {
    let mut rules = Vec::new();
    let mut from = Vec::new();
    for route in crate::derive::tunnel_routes(builder.model, tunnel) {
        let mut rule = Map::new();
        rule.insert("hostname".into(), json!(route.hostname));
        if let Some(path) = &route.path {
            rule.insert("path".into(), json!(path));
        }
        rule.insert("service".into(), json!(route.service));
        rules.push(Value::Object(rule));
        from.extend(route.from);
    }
    rules.push(json!({"service": "http_status:404"}));
    (rules, from)
}
