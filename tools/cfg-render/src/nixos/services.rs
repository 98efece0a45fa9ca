//! Services: modules of NixOS and programs under systemd, each in a module of its own.

use std::collections::BTreeMap;

use contract::document::TemplateEscape;
use contract::{Finding, Pointer, SecretName, places};
use serde_json::Value as Json;

use super::adapter;
use super::builder::NixosBuilder;
use crate::fleet::{HostUnit, NixosRun, Proto, Run, Service, StartKind, SystemdRun, Value};
use crate::format::env::{self, Dialect};
use crate::format::nix::{Nix, Part};
use crate::format::systemd;
use crate::model::Model;

/// The module of a service.
pub(super) fn module(name: &str) -> String {
    format!("services/{name}")
}

pub(super) fn add(builder: &mut NixosBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    for (name, service) in model.services_on(&host.name) {
        let at = Model::service_at(name);
        match &service.run {
            Run::Nixos(run) => nixos(builder, name, service, run),
            Run::Systemd(run) => program(builder, name, service, run),
            Run::Package(_) => {
                builder.shared.findings.push(
                    Finding::error(
                        "unsupported-feature",
                        at.join("run").join("package"),
                        format!("NixOS has modules, not packages with units (service \"{name}\")"),
                    )
                    .fix("name the module: \"run\": {\"nixos\": {\"module\": \"services.NAME\"}}"),
                );
            }
            Run::Static(site) if !service.directories.contains_key(&site.root) => {
                directory(builder, &module(name), &site.root, "0755", "root", "root", &at.join("run").join("static"));
            }
            _ => {}
        }
        for (path, spec) in &service.directories {
            let user = model.user_of(name, service).unwrap_or_else(|| "root".into());
            let owner = spec.owner.clone().unwrap_or(user);
            let group = spec.group.clone().or_else(|| service.group.clone()).unwrap_or_else(|| owner.clone());
            let mode = format!("{:04o}", spec.mode.bits());
            directory(builder, &module(name), path, &mode, &owner, &group, &at.join("directories").join(path));
        }
        if let Some(text) = service.extra.as_ref().and_then(|extra| extra.nixos.as_deref()) {
            builder.snippet(&format!("{}-extra", module(name)), text, &at.join("extra").join("nixos"));
        }
    }
    for (path, spec) in &host.spec.directories {
        let owner = spec.owner.as_deref().unwrap_or("root");
        let mode = format!("{:04o}", spec.mode.bits());
        directory(
            builder,
            "machine",
            path,
            &mode,
            owner,
            spec.group.as_deref().unwrap_or(owner),
            &host.at("directories").join(path),
        );
    }
    forwards(builder);
}

/// A directory, made at boot and at every switch; what is in it stays.
pub(super) fn directory(
    builder: &mut NixosBuilder<'_, '_>,
    module: &str,
    path: &str,
    mode: &str,
    user: &str,
    group: &str,
    at: &Pointer,
) {
    let value = Nix::set([("mode", Nix::text(mode)), ("user", Nix::text(user)), ("group", Nix::text(group))]);
    builder.set(
        module,
        &["systemd", "tmpfiles", "settings", "10-plumbline", path, "d"],
        value,
        std::slice::from_ref(at),
    );
}

/// An option path of the user, such as `services.forgejo`.
fn option_path(builder: &mut NixosBuilder<'_, '_>, path: &str, at: &Pointer) -> Option<Vec<String>> {
    let parts: Vec<String> = path.split('.').map(str::to_owned).collect();
    if path.is_empty() || parts.iter().any(String::is_empty) {
        let finding = Finding::error("unrepresentable", at.clone(), format!("\"{path}\" is no path of options"))
            .fix("write it as services.NAME");
        builder.shared.findings.push(finding);
        return None;
    }
    Some(parts)
}

fn nixos(builder: &mut NixosBuilder<'_, '_>, name: &str, service: &Service, run: &NixosRun) {
    let at = Model::service_at(name);
    let run_at = at.join("run").join("nixos");
    let file = module(name);
    let from = [run_at.clone()];
    let Some(path) = option_path(builder, &run.module, &run_at.join("module")) else { return };
    let below =
        |key: &str| path.iter().map(String::as_str).chain(key.split('.')).map(str::to_owned).collect::<Vec<_>>();
    builder.set(&file, &below("enable"), Nix::Bool(true), &from);
    // What the fleet says elsewhere about the service, in the words of the modules that we know.
    for (option, value, at) in adapter::options(builder, name, service, &run.module) {
        builder.set(&file, &below(&option), value, &[at]);
    }
    for (key, value) in &run.options {
        let at = run_at.join("options").join(key);
        if opens_firewall(key, value) {
            firewall_is_ours(builder, &at);
            continue;
        }
        if let Some(value) = builder.json(value, &at) {
            builder.set(&file, &below(key), value, &[at]);
        }
    }
    for (key, value) in &run.system {
        let at = run_at.join("system").join(key);
        if opens_firewall(key, value) || key.starts_with("networking.firewall") {
            firewall_is_ours(builder, &at);
            continue;
        }
        let Some(path) = option_path(builder, key, &at) else { continue };
        if let Some(value) = builder.json(value, &at) {
            builder.set(&file, &path, value, &[at]);
        }
    }
    if let Some(unit) =
        builder.model.unit_of(name, service).and_then(|unit| unit.strip_suffix(".service").map(str::to_owned))
    {
        dependencies(builder, &file, &unit, service, &at);
        environment(builder, &file, name, &unit, &service.env, &service.env_secrets, &at);
        extra(builder, &file, &unit, service, &at);
    }
}

/// Holes follow from what the fleet exposes; a module that makes its own would go round every check.
fn opens_firewall(key: &str, value: &Json) -> bool {
    let own = key.rsplit('.').next().is_some_and(|last| last == "openFirewall") && value != &Json::Bool(false);
    let inner = value.as_object().is_some_and(|keys| keys.iter().any(|(key, value)| opens_firewall(key, value)));
    own || inner
}

fn firewall_is_ours(builder: &mut NixosBuilder<'_, '_>, at: &Pointer) {
    builder.shared.findings.push(
        Finding::error("open-firewall", at.clone(), "a module would open the firewall by itself")
            .fix("take it out and say who reaches the service with proxy.from or expose"),
    );
}

/// A command line for `ExecStart`.
pub(super) fn exec(builder: &mut NixosBuilder<'_, '_>, argv: &[String], at: &Pointer) -> Option<Nix> {
    builder.shared.fit(systemd::exec(argv), at).map(Nix::text)
}

fn program(builder: &mut NixosBuilder<'_, '_>, name: &str, service: &Service, run: &SystemdRun) {
    let at = Model::service_at(name);
    let run_at = at.join("run").join("systemd");
    let file = module(name);
    let from = [at.clone()];
    let Some(start) = exec(builder, &run.exec, &run_at.join("exec")) else { return };
    let timed = run.calendar.is_some();
    let kind = match run.start {
        StartKind::Exec if timed => "oneshot",
        StartKind::Exec => "exec",
        StartKind::Notify => "notify",
        StartKind::Oneshot => "oneshot",
    };
    let mut config: BTreeMap<String, Nix> = BTreeMap::new();
    let mut set = |key: &str, value: Nix| config.insert(key.to_owned(), value);
    set("Type", Nix::text(kind));
    set("ExecStart", start);
    let pre: Vec<Nix> = run
        .pre
        .iter()
        .enumerate()
        .filter_map(|(index, argv)| exec(builder, argv, &run_at.join("pre").join(index)))
        .collect();
    if !pre.is_empty() {
        set("ExecStartPre", Nix::List(pre));
    }
    if !run.reload.is_empty()
        && let Some(reload) = exec(builder, &run.reload, &run_at.join("reload"))
    {
        set("ExecReload", reload);
    }
    if let Some(directory) = &run.working_directory {
        set("WorkingDirectory", Nix::text(directory));
    }
    if !timed && run.start != StartKind::Oneshot {
        set("Restart", Nix::text("on-failure"));
        set("RestartSec", Nix::text("2s"));
    }
    set("StateDirectory", Nix::text(name));
    set("StateDirectoryMode", Nix::text("0750"));
    if run.sandbox {
        for (key, value) in SANDBOX {
            set(key, Nix::Bool(value));
        }
        set("ProtectSystem", Nix::text("strict"));
        set("RestrictAddressFamilies", Nix::texts(["AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK"]));
        set("SystemCallArchitectures", Nix::text("native"));
        // A program that must bind a low port is given that right by `extra.systemd`.
        set("CapabilityBoundingSet", Nix::text(""));
        if !run.writable.is_empty() {
            set("ReadWritePaths", Nix::texts(&run.writable));
        }
    }
    if !run.user_unit {
        let user = builder.model.user_of(name, service).unwrap_or_else(|| name.to_owned());
        set("User", Nix::text(&user));
        if let Some(group) = &service.group {
            set("Group", Nix::text(group));
        }
        user_of_service(builder, &file, name, &user, service, &at);
    }
    let units = if run.user_unit { "user" } else { "services" };
    let unit_path: Vec<&str> =
        if run.user_unit { vec!["systemd", units, "services", name] } else { vec!["systemd", units, name] };
    let below = |key: &'static str| unit_path.iter().copied().chain([key]).collect::<Vec<_>>();
    let description = service.description.as_deref().unwrap_or(name);
    builder.set(&file, &below("description"), Nix::text(description), &from);
    builder.set(&file, &below("serviceConfig"), Nix::Set(config), &from);
    if !timed {
        let target = if run.user_unit { "default.target" } else { "multi-user.target" };
        builder.set(&file, &below("wantedBy"), Nix::texts([target]), &from);
    }
    if !run.user_unit {
        builder.set(&file, &below("wants"), Nix::texts(["network-online.target"]), &from);
        builder.set(&file, &below("after"), Nix::texts(["network-online.target"]), &from);
        dependencies(builder, &file, name, service, &at);
    }
    if !run.packages.is_empty() {
        let packages_at = run_at.join("packages");
        let packages = super::system::packages(builder, &run.packages, &packages_at);
        builder.set(&file, &below("path"), packages, &[packages_at]);
    }
    environment(builder, &file, name, name, &service.env, &service.env_secrets, &at);
    extra(builder, &file, name, service, &at);
    if let Some(calendar) = &run.calendar {
        let config = Nix::set([("OnCalendar", Nix::text(calendar)), ("Persistent", Nix::Bool(true))]);
        let value = Nix::set([("wantedBy", Nix::texts(["timers.target"])), ("timerConfig", config)]);
        builder.set(&file, &["systemd", "timers", name], value, &[run_at.join("calendar")]);
    }
}

const SANDBOX: [(&str, bool); 15] = [
    ("NoNewPrivileges", true),
    ("ProtectHome", true),
    ("PrivateTmp", true),
    ("PrivateDevices", true),
    ("ProtectKernelTunables", true),
    ("ProtectKernelModules", true),
    ("ProtectKernelLogs", true),
    ("ProtectControlGroups", true),
    ("ProtectClock", true),
    ("ProtectHostname", true),
    ("RestrictNamespaces", true),
    ("RestrictRealtime", true),
    ("RestrictSUIDSGID", true),
    ("LockPersonality", true),
    ("MemoryDenyWriteExecute", false),
];

/// The system user of a program, where nobody else makes it.
fn user_of_service(
    builder: &mut NixosBuilder<'_, '_>,
    file: &str,
    name: &str,
    user: &str,
    service: &Service,
    at: &Pointer,
) {
    if user == "root" || builder.host.spec.users.contains_key(user) {
        return;
    }
    let group = service.group.clone().unwrap_or_else(|| user.to_owned());
    let from = [at.clone()];
    if !builder.host.spec.groups.contains_key(&group) {
        builder.set(file, &["users", "groups", &group], Nix::set::<&str>([]), &from);
    }
    let value = Nix::set([
        ("isSystemUser", Nix::Bool(true)),
        ("group", Nix::text(group)),
        ("home", Nix::text(format!("/var/lib/{name}"))),
    ]);
    builder.set(file, &["users", "users", user], value, &from);
}

/// Units on the same host that are started before.
pub(super) fn dependencies(
    builder: &mut NixosBuilder<'_, '_>,
    file: &str,
    unit: &str,
    service: &Service,
    at: &Pointer,
) {
    let (model, host) = (builder.model, builder.host);
    let of = |name: &String| -> Vec<String> {
        if model.cluster(name).is_some_and(|cluster| cluster.spec.host.as_deref() == Some(&host.name)) {
            return vec!["postgresql.service".into()];
        }
        let Some(needed) = model.service(name).filter(|needed| needed.host.iter().any(|own| *own == host.name)) else {
            return Vec::new();
        };
        model.units_on(host, name, needed).into_iter().map(|(_, unit)| unit).collect()
    };
    let databases: Vec<String> = service
        .databases
        .iter()
        .filter_map(|database| model.cluster_of(database))
        .map(|cluster| cluster.name.to_owned())
        .collect();
    let mut units: Vec<String> = Vec::new();
    let mut from = vec![at.clone()];
    for name in service.needs.iter().chain(&databases).chain(&service.wants) {
        for found in of(name) {
            if !units.contains(&found) && found.strip_suffix(".service") != Some(unit) {
                units.push(found);
                from.push(model.cluster(name).map_or_else(|| Model::service_at(name), |cluster| cluster.pointer()));
            }
        }
    }
    if units.is_empty() {
        return;
    }
    for key in ["after", "wants"] {
        builder.set(file, &["systemd", "services", unit, key], Nix::texts(&units), &from);
    }
}

/// Environment of a unit: clear values as settings, those with secrets in files that are filled in RAM.
pub(super) fn environment(
    builder: &mut NixosBuilder<'_, '_>,
    file: &str,
    name: &str,
    unit: &str,
    values: &BTreeMap<String, Value>,
    env_secrets: &[SecretName],
    at: &Pointer,
) {
    let mut clear = Vec::new();
    let mut files = Vec::new();
    let (assignments, secret_lines, url_lines) = resolve(builder, name, values, at, Dialect::Systemd);
    for (variable, text, at) in assignments {
        if let Some(assignment) = builder.shared.fit(systemd::environment(&variable, &text), &at) {
            clear.push(assignment);
        }
    }
    for (template, text, escape) in [
        (format!("{name}.env"), secret_lines, Dialect::Systemd.escape()),
        (format!("{name}.url.env"), url_lines, TemplateEscape::Url),
    ] {
        if !text.is_empty() {
            files.push(format!("{}/{template}", places::RENDERED));
            builder.shared.template(template, text, escape).units = vec![format!("{unit}.service")];
        }
    }
    files.extend(env_secrets.iter().map(|secret| super::secrets::path(secret.as_str())));
    let from = [at.join("env")];
    if !clear.is_empty() {
        builder.set(file, &["systemd", "services", unit, "serviceConfig", "Environment"], Nix::texts(clear), &from);
    }
    if !files.is_empty() {
        builder.set(file, &["systemd", "services", unit, "serviceConfig", "EnvironmentFile"], Nix::texts(files), &from);
    }
}

/// Clear values with their places, lines with secrets, and lines in which secrets are parts of a URL.
pub(super) fn resolve(
    builder: &mut NixosBuilder<'_, '_>,
    name: &str,
    values: &BTreeMap<String, Value>,
    at: &Pointer,
    dialect: Dialect,
) -> (Vec<(String, String, Pointer)>, String, String) {
    let (model, host) = (builder.model, builder.host);
    let (mut clear, mut secret_lines, mut url_lines) = (Vec::new(), String::new(), String::new());
    for (variable, value) in values {
        let at = at.join("env").join(variable);
        let resolved = model.resolve_value(host, name, value);
        if let Some(problem) = resolved.problem {
            let message = format!("{variable}: {problem}");
            builder.shared.findings.push(if problem.contains("not rendered yet") {
                Finding::warning("not-rendered-yet", at, message)
            } else {
                Finding::error("unknown-ref", at, message)
            });
        } else if resolved.secrets().is_empty() {
            clear.push((variable.clone(), resolved.text, at));
        } else if let Some(line) = builder.shared.fit(env::line(dialect, variable, &resolved.text), &at) {
            if resolved.url { url_lines.push_str(&line) } else { secret_lines.push_str(&line) }
        }
    }
    (clear, secret_lines, url_lines)
}

/// Settings of the user's in the service's unit, which stand in the place of ours.
fn extra(builder: &mut NixosBuilder<'_, '_>, file: &str, unit: &str, service: &Service, at: &Pointer) {
    let Some(extra) = &service.extra else { return };
    let at = at.join("extra").join("systemd");
    for (section, settings) in &extra.systemd {
        let option = match section.as_str() {
            "Unit" => "unitConfig",
            "Service" => "serviceConfig",
            _ => {
                builder.shared.findings.push(
                    Finding::error(
                        "unsupported-feature",
                        at.join(section),
                        format!("units of NixOS take Unit and Service here, not \"{section}\""),
                    )
                    .fix("use extra.nixos for the rest"),
                );
                continue;
            }
        };
        for (key, values) in settings {
            let value = match values.as_slice() {
                [one] => Nix::text(one),
                several => Nix::texts(several),
            };
            // The priority lets it stand in the place of what a module of NixOS says.
            let value = Nix::Call("lib.mkForce", vec![value]);
            builder.set(file, &["systemd", "services", unit, option, key], value, &[at.join(section).join(key)]);
        }
    }
}

/// A unit that the fleet gives in full, or one that is there already.
pub(super) fn plain_unit(builder: &mut NixosBuilder<'_, '_>, name: &str, spec: &HostUnit) {
    let from = [builder.host.at("units").join(name)];
    let mut value: Vec<(&str, Nix)> = Vec::new();
    value.extend(spec.content.as_ref().map(|content| ("text", Nix::text(content))));
    if spec.masked {
        value.push(("enable", Nix::Bool(false)));
    }
    if spec.enabled == Some(true) {
        value.push(("wantedBy", Nix::texts(["multi-user.target"])));
    }
    if !value.is_empty() {
        builder.set("machine", &["systemd", "units", name], Nix::set(value), &from);
    }
}

/// Ports of services on other hosts that this one passes on.
fn forwards(builder: &mut NixosBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    for (name, service) in model.exposing_at(&host.name) {
        for (index, expose) in service.expose.iter().enumerate() {
            if expose.via.as_deref() != Some(&host.name) || service.host.iter().any(|own| *own == host.name) {
                continue;
            }
            let at = Model::service_at(name).join("expose").join(index);
            let Some((port_name, port)) = service.port(expose.port.as_deref()) else { continue };
            let target = model.hosts_of(service).next();
            let Some(address) = target.and_then(|target| model.address_between(Some(host), target, &port.bind)) else {
                builder.shared.findings.push(
                    Finding::error(
                        "unreachable-upstream",
                        at,
                        format!("host \"{}\" has no way to service \"{name}\"", host.name),
                    )
                    .fix("bind the port to a network that both hosts share"),
                );
                continue;
            };
            let outer = expose.on_port.unwrap_or(port.port);
            let target = std::net::SocketAddr::new(address, port.port).to_string();
            let unit = format!("plumbline-forward-{name}-{port_name}");
            let file = module(name);
            let from = [at.clone()];
            if port.proto != Proto::Udp {
                let socket = Nix::set([
                    ("description", Nix::text(format!("Port {outer} for {name}"))),
                    ("wantedBy", Nix::texts(["sockets.target"])),
                    ("listenStreams", Nix::texts([outer.to_string()])),
                ]);
                builder.set(&file, &["systemd", "sockets", &unit], socket, &from);
                let start = Nix::Text(vec![
                    Part::Expression("config.systemd.package".into()),
                    Part::Plain(format!("/lib/systemd/systemd-socket-proxyd {target}")),
                ]);
                builder.set(&file, &["systemd", "services", &unit], forwarder(name, outer, start), &from);
                builder.set(
                    &file,
                    &["systemd", "services", &unit, "requires"],
                    Nix::texts([format!("{unit}.socket")]),
                    &from,
                );
            }
            if port.proto != Proto::Tcp {
                let unit = format!("{unit}-udp");
                let start = Nix::Text(vec![
                    Part::Expression("pkgs.socat".into()),
                    Part::Plain(format!("/bin/socat -T 120 UDP-LISTEN:{outer},fork,reuseaddr UDP:{target}")),
                ]);
                builder.set(&file, &["systemd", "services", &unit], forwarder(name, outer, start), &from);
                builder.set(
                    &file,
                    &["systemd", "services", &unit, "wantedBy"],
                    Nix::texts(["multi-user.target"]),
                    &from,
                );
            }
        }
    }
}

fn forwarder(name: &str, port: u16, start: Nix) -> Nix {
    Nix::set([
        ("description", Nix::text(format!("Passes port {port} on to {name}"))),
        ("after", Nix::texts(["network-online.target"])),
        ("wants", Nix::texts(["network-online.target"])),
        (
            "serviceConfig",
            Nix::set([
                ("ExecStart", start),
                ("DynamicUser", Nix::Bool(true)),
                ("PrivateTmp", Nix::Bool(true)),
                ("ProtectSystem", Nix::text("strict")),
                ("Restart", Nix::text("on-failure")),
            ]),
        ),
    ])
}
