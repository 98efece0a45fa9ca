//! Services under systemd: those with a unit of ours, and packages that bring their own.

use std::borrow::Cow;
use std::collections::BTreeMap;

use contract::document::{Handler, Stage, TemplateEscape};
use contract::{Finding, Pointer, SecretName, places};

use super::{HostBuilder, mail, monitoring, portal, single_sign_on, user_units};
use crate::fleet::{PackageRun, Run, Service, StartKind, StaticSite, SystemdRun, Value};
use crate::format::env::{self, Dialect};
use crate::format::systemd::{self, UnitFile};
use crate::model::Model;

/// Packages whose program takes its arguments from `ARGS` in `/etc/default/PACKAGE` (seen in their Debian packages).
const ARGS_IN_DEFAULT: [&str; 6] = [
    "prometheus",
    "prometheus-alertmanager",
    "prometheus-node-exporter",
    "prometheus-postgres-exporter",
    "prometheus-blackbox-exporter",
    "prometheus-pushgateway",
];

/// Other places of the fleet from which a service's files are made, besides its own.
pub(super) fn related(builder: &HostBuilder<'_, '_>, name: &str) -> Vec<Pointer> {
    let mut places = single_sign_on::places(builder.model, name);
    if builder.model.fleet.monitoring.prometheus.as_ref().is_some_and(|role| role.service == name) {
        let scrapes = builder.model.scrapes().iter().filter(|scrape| scrape.bearer.is_some());
        places.extend(scrapes.map(|scrape| scrape.pointer.clone()));
    }
    places
}

/// A service with what follows for it from its role in the fleet: single sign-on, monitoring.
pub(super) fn as_it_runs<'s>(builder: &HostBuilder<'_, '_>, name: &str, service: &'s Service) -> Cow<'s, Service> {
    let signed = single_sign_on::fitted(builder.model, name, service);
    let watching = monitoring::fitted(builder, name, signed);
    let mut service = single_sign_on::with_blueprints(builder.model, name, watching);
    portal::fitted(builder.model, name, &mut service);
    mail::fitted(builder.model, &mut service);
    service
}

pub(super) fn add(builder: &mut HostBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    for (name, service) in model.services_on(&host.name) {
        let at = Model::service_at(name);
        for (path, spec) in &service.directories {
            let user = model.user_of(name, service).unwrap_or_else(|| "root".into());
            let owner = spec.owner.clone().unwrap_or(user);
            let group = spec.group.clone().or_else(|| service.group.clone()).unwrap_or_else(|| owner.clone());
            let from = [at.join("directories").join(path)];
            builder.directory(Stage::Services, path, spec.mode.bits(), &owner, &group, &from);
            if let Some(directory) =
                builder.item_mut(&format!("directory:{path}")).and_then(|item| item.directory.as_mut())
            {
                directory.data = spec.data;
            }
        }
        match &service.run {
            Run::Systemd(run) if run.user_unit => user_units::add(builder, name, service, run),
            Run::Systemd(run) => add_systemd(builder, name, &as_it_runs(builder, name, service), run),
            Run::Package(run) => add_package(builder, name, &as_it_runs(builder, name, service), run),
            Run::Static(site) => add_static(builder, name, service, site),
            _ => {}
        }
    }
}

/// The directory of a site and, until somebody fills it, a page that says so.
fn add_static(builder: &mut HostBuilder<'_, '_>, name: &str, service: &Service, site: &StaticSite) {
    let from = [Model::service_at(name).join("run").join("static")];
    if !service.directories.contains_key(&site.root) {
        builder.directory(Stage::Services, &site.root, 0o755, "root", "root", &from);
        if let Some(directory) =
            builder.item_mut(&format!("directory:{}", site.root)).and_then(|item| item.directory.as_mut())
        {
            directory.data = true;
        }
    }
    let page = format!("{}/index.html", site.root.trim_end_matches('/'));
    if site.index.is_empty() && !service.files.contains_key(&page) {
        let text = "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"robots\" content=\"noindex\">\n\
             <title>Nothing here yet</title>\n<p>This site has no pages yet.\n";
        builder.file(Stage::Services, &page, text.into(), &from).keep_existing().add(builder);
    }
}

/// How the program of a unit is started, reloaded and started again.
pub(super) fn program(
    builder: &mut HostBuilder<'_, '_>,
    unit: &mut UnitFile,
    run: &SystemdRun,
    exec: String,
    run_at: &Pointer,
) {
    let timed = run.calendar.is_some();
    let kind = match run.start {
        StartKind::Exec if timed => "oneshot",
        StartKind::Exec => "exec",
        StartKind::Notify => "notify",
        StartKind::Oneshot => "oneshot",
    };
    unit.push("Service", "Type", kind);
    for (index, pre) in run.pre.iter().enumerate() {
        if let Some(pre) = builder.fit(systemd::exec(pre), &run_at.join("pre").join(index)) {
            unit.push("Service", "ExecStartPre", pre);
        }
    }
    unit.push("Service", "ExecStart", exec);
    if !run.reload.is_empty()
        && let Some(reload) = builder.fit(systemd::exec(&run.reload), &run_at.join("reload"))
    {
        unit.push("Service", "ExecReload", reload);
    }
    if let Some(directory) = &run.working_directory
        && let Some(directory) = builder.fit(systemd::path(directory), &run_at.join("working_directory"))
    {
        unit.push("Service", "WorkingDirectory", directory);
    }
    if !timed && run.start != StartKind::Oneshot {
        unit.push("Service", "Restart", "on-failure");
        unit.push("Service", "RestartSec", "2s");
    }
}

fn add_systemd(builder: &mut HostBuilder<'_, '_>, name: &str, service: &Service, run: &SystemdRun) {
    let at = Model::service_at(name);
    let run_at = at.join("run").join("systemd");
    if !run.packages.is_empty() {
        builder.packages(Stage::Services, &run.packages, &run_at.join("packages"));
    }
    let description = service.description.clone().unwrap_or_else(|| name.to_owned());
    let Some(description) = builder.fit(systemd::text(&description), &at.join("description")) else { return };
    let Some(exec) = builder.fit(systemd::exec(&run.exec), &run_at.join("exec")) else { return };
    let mut unit = UnitFile::new()
        .set("Unit", "Description", &description)
        .set("Unit", "Wants", "network-online.target")
        .set("Unit", "After", "network-online.target");
    dependencies(builder, &mut unit, service);
    let timed = run.calendar.is_some();
    program(builder, &mut unit, run, exec, &run_at);
    let user = builder.model.user_of(name, service).unwrap_or_else(|| name.to_owned());
    unit.push("Service", "User", &user);
    if let Some(group) = &service.group {
        unit.push("Service", "Group", group);
    }
    unit.push("Service", "StateDirectory", name);
    unit.push("Service", "StateDirectoryMode", "0750");
    if run.sandbox {
        sandbox(builder, &mut unit, run, &run_at);
    }
    let unit_name = format!("{name}.service");
    environment(builder, Stage::Services, &mut unit, name, &unit_name, &service.env, &service.env_secrets, &at);
    let from = vec![at.clone()];
    if !service.secrets.is_empty() {
        builder.wait_for_secrets(Stage::Services, &unit_name, &from);
    }
    if !timed {
        unit.push("Install", "WantedBy", "multi-user.target");
    }
    if let Some(extra) = &service.extra {
        extra_settings(builder, &mut unit, &extra.systemd, &at.join("extra").join("systemd"));
    }
    let text = builder.header("#", &from) + &unit.write();
    let mut file = builder.file(Stage::Services, &format!("/etc/systemd/system/{unit_name}"), text, &from);
    if !timed {
        file = file.notify(Handler::restart(&unit_name));
    }
    file.add(builder);
    if let Some(calendar) = &run.calendar {
        if let Some(calendar) = builder.fit(systemd::text(calendar), &run_at.join("calendar")) {
            super::machine::write_timer(builder, name, &description, &calendar, true, None, &from);
        }
    } else {
        builder.unit(Stage::Services, &unit_name, &from);
    }
}

/// Units on the same host that must be started before.
pub(super) fn dependencies(builder: &HostBuilder<'_, '_>, unit: &mut UnitFile, service: &Service) {
    let (model, host) = (builder.model, builder.host);
    let of = |name: &String| -> Option<String> {
        if let Some(cluster) = model.cluster(name).filter(|cluster| cluster.spec.host.as_deref() == Some(&host.name)) {
            return Some(cluster.unit(host));
        }
        let here =
            |needed: &&Service| needed.host.iter().any(|own| *own == host.name) && model.scope_of(needed).is_none();
        let needed = model.service(name).filter(here)?;
        model.unit_of(name, needed)
    };
    let databases = service
        .databases
        .iter()
        .filter_map(|database| model.cluster_of(database))
        .map(|cluster| cluster.name.to_owned());
    let mut needs: Vec<String> = service.needs.iter().cloned().chain(databases).filter_map(|name| of(&name)).collect();
    let pooled = service.databases.iter().filter(|database| database.pool.is_some());
    let mut homes = pooled.filter_map(|database| model.cluster_of(database)?.spec.host.as_deref());
    if homes.any(|home| home == host.name) {
        needs.push(super::pgbouncer::UNIT.into());
    }
    let wants: Vec<String> = service.wants.iter().filter_map(of).collect();
    let mut seen = std::collections::BTreeSet::new();
    for name in needs.iter().chain(&wants) {
        if seen.insert(name.clone()) {
            unit.push("Unit", "Wants", name);
            unit.push("Unit", "After", name);
        }
    }
}

fn sandbox(builder: &mut HostBuilder<'_, '_>, unit: &mut UnitFile, run: &SystemdRun, at: &Pointer) {
    for (key, value) in [
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"),
        ("PrivateDevices", "yes"),
        ("ProtectKernelTunables", "yes"),
        ("ProtectKernelModules", "yes"),
        ("ProtectKernelLogs", "yes"),
        ("ProtectControlGroups", "yes"),
        ("ProtectClock", "yes"),
        ("ProtectHostname", "yes"),
        ("RestrictNamespaces", "yes"),
        ("RestrictRealtime", "yes"),
        ("RestrictSUIDSGID", "yes"),
        ("LockPersonality", "yes"),
        ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6 AF_NETLINK"),
        ("SystemCallArchitectures", "native"),
    ] {
        unit.push("Service", key, value);
    }
    // A program that must bind a low port is given that right by `extra.systemd`.
    unit.push("Service", "CapabilityBoundingSet", "");
    for (index, path) in run.writable.iter().enumerate() {
        if let Some(path) = builder.fit(systemd::path_word(path), &at.join("writable").join(index)) {
            unit.push("Service", "ReadWritePaths", path);
        }
    }
}

/// Environment of a unit: clear values in the unit, those with secrets in files that the secrets unit fills.
#[allow(clippy::too_many_arguments)]
pub(super) fn environment(
    builder: &mut HostBuilder<'_, '_>,
    stage: Stage,
    unit: &mut UnitFile,
    name: &str,
    unit_name: &str,
    env_values: &BTreeMap<String, Value>,
    env_secrets: &[SecretName],
    at: &Pointer,
) {
    let (clear, files) = environment_lines(builder, name, env_values, at);
    for assignment in clear {
        unit.push("Service", "Environment", assignment);
    }
    let from = [at.clone()];
    for (file, text, escape) in files {
        unit.push("Service", "EnvironmentFile", format!("{}/{file}", places::RENDERED));
        builder.template(file, text, escape).units = vec![unit_name.to_owned()];
        builder.wait_for_secrets(stage, unit_name, &from);
    }
    for secret in env_secrets {
        unit.push("Service", "EnvironmentFile", format!("{}/{secret}", places::SECRETS));
        builder.wait_for_secrets(stage, unit_name, &from);
    }
}

/// A file with secrets: its name, its text, and how values are written into it.
type SecretFile = (String, String, TemplateEscape);

/// Assignments of clear values, and files with secrets. In a URL a value is percent-encoded, elsewhere quoted: two files,
/// because a template has one way for all of it.
pub(super) fn environment_lines(
    builder: &mut HostBuilder<'_, '_>,
    name: &str,
    values: &BTreeMap<String, Value>,
    at: &Pointer,
) -> (Vec<String>, Vec<SecretFile>) {
    let (found, secret_lines, url_lines) = resolve(builder, name, values, at, Dialect::Systemd);
    let mut clear = Vec::new();
    for (variable, text, at) in found {
        clear.extend(builder.fit(systemd::environment(&variable, &text), &at));
    }
    let files = [
        (format!("{name}.env"), secret_lines, Dialect::Systemd.escape()),
        (format!("{name}.url.env"), url_lines, TemplateEscape::Url),
    ];
    (clear, files.into_iter().filter(|(_, text, _)| !text.is_empty()).collect())
}

/// Clear values with their places, lines with secrets, and lines in which secrets are parts of a URL.
pub(crate) fn resolve(
    builder: &mut HostBuilder<'_, '_>,
    name: &str,
    values: &BTreeMap<String, Value>,
    at: &Pointer,
    dialect: Dialect,
) -> (Vec<(String, String, Pointer)>, String, String) {
    let (model, host) = (builder.model, builder.host);
    let (mut clear, mut secret_lines, mut url_lines) = (Vec::new(), String::new(), String::new());
    let at = at.join("env");
    for (variable, value) in values {
        let at = at.join(variable);
        let resolved = model.resolve_value(host, name, value);
        if let Some(problem) = resolved.problem {
            let message = format!("{variable}: {problem}");
            builder.findings.push(if problem.contains("not rendered yet") {
                Finding::warning("not-rendered-yet", at, message)
            } else {
                Finding::error("unknown-ref", at, message)
            });
        } else if resolved.secrets().is_empty() {
            clear.push((variable.clone(), resolved.text, at));
        } else if let Some(line) = builder.fit(env::line(dialect, variable, &resolved.text), &at) {
            if resolved.url { url_lines.push_str(&line) } else { secret_lines.push_str(&line) }
        }
    }
    (clear, secret_lines, url_lines)
}

pub(super) fn extra_settings(
    builder: &mut HostBuilder<'_, '_>,
    unit: &mut UnitFile,
    extra: &BTreeMap<String, BTreeMap<String, Vec<String>>>,
    at: &Pointer,
) {
    for (section, settings) in extra {
        for (key, values) in settings {
            let at = at.join(section).join(key);
            let plain = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
            if !plain(section)
                || !plain(key)
                || values.iter().any(|value| value.chars().any(char::is_control) || value.ends_with('\\'))
            {
                builder.findings.push(Finding::error(
                    "unrepresentable",
                    at,
                    "a unit file cannot hold such a section, key or value",
                ));
                continue;
            }
            unit.replace(section, key, values);
        }
    }
}

fn add_package(builder: &mut HostBuilder<'_, '_>, name: &str, service: &Service, run: &PackageRun) {
    let at = Model::service_at(name);
    let run_at = at.join("run").join("package");
    let packages = builder.model.packages_of(name, run);
    builder.packages(Stage::Services, &packages, &run_at);
    let from = vec![at.clone()];
    let unit_name = builder.model.unit_of(name, service).unwrap_or_else(|| format!("{name}.service"));
    let mut unit = UnitFile::new();
    dependencies(builder, &mut unit, service);
    environment(builder, Stage::Services, &mut unit, name, &unit_name, &service.env, &service.env_secrets, &at);
    if !service.secrets.is_empty() {
        builder.wait_for_secrets(Stage::Services, &unit_name, &from);
    }
    if let Some(extra) = &service.extra {
        extra_settings(builder, &mut unit, &extra.systemd, &at.join("extra").join("systemd"));
    }
    if unit != UnitFile::new() {
        let text = builder.header("#", &from) + &unit.write();
        builder
            .file(Stage::Services, &format!("/etc/systemd/system/{unit_name}.d/20-plumbline.conf"), text, &from)
            .notify(Handler::restart(&unit_name))
            .add(builder);
    }
    let prometheus =
        builder.model.prometheus().is_some_and(|(host, service)| host.name == builder.host.name && service == name);
    let alertmanager = builder.model.fleet.monitoring.alertmanager.as_ref().is_some_and(|role| role.service == name);
    if alertmanager {
        builder.unit(Stage::Services, &unit_name, &from);
    } else if !prometheus {
        if !run.arguments.is_empty() {
            arguments(builder, &packages[0], &unit_name, &run.arguments, &run_at.join("arguments"));
        }
        builder.unit(Stage::Services, &unit_name, &from);
    }
}

fn arguments(builder: &mut HostBuilder<'_, '_>, package: &str, unit: &str, arguments: &[String], at: &Pointer) {
    if !ARGS_IN_DEFAULT.contains(&package) {
        builder.missing(at.clone(), &format!("the way in which package \"{package}\" takes arguments"));
        return;
    }
    builder.hold(Stage::Services, unit);
    if let Some(text) = builder.fit(default_args(arguments), at) {
        let from = [at.clone()];
        let text = builder.header("#", &from) + &text;
        builder
            .file(Stage::Services, &format!("/etc/default/{package}"), text, &from)
            .notify(Handler::restart(unit))
            .add(builder);
    }
}

/// `ARGS` of a Debian package's defaults: systemd splits the value at white space again, so that an argument with white
/// space or quotes cannot be written.
pub(super) fn default_args<S: AsRef<str>>(arguments: &[S]) -> crate::format::Written {
    let bad = |text: &str| {
        text.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control() || "\"'\\`$".contains(c))
    };
    if arguments.iter().any(|argument| bad(argument.as_ref())) {
        return Err(crate::format::Unrepresentable::new(
            "ARGS of a Debian package",
            "an argument with white space or quotes",
        ));
    }
    let words: Vec<_> = arguments.iter().map(AsRef::as_ref).collect();
    env::line(Dialect::Systemd, "ARGS", &words.join(" "))
}
