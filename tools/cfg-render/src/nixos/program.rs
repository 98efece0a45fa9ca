//! Programs under systemd: a unit of ours, of the system or of one user, with its sandbox and the user that it runs as.

use std::collections::BTreeMap;

use contract::Pointer;

use super::builder::NixosBuilder;
use super::services::module;
use super::unit::{Scope, dependencies, environment, exec, extra};
use crate::fleet::{Service, StartKind, SystemdRun};
use crate::format::nix::Nix;
use crate::host::user_units::no_user;
use crate::model::Model;

pub(super) fn add(builder: &mut NixosBuilder<'_, '_>, name: &str, service: &Service, run: &SystemdRun) {
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
    // The manager of a user has no rights from which it could take some away.
    if run.sandbox && run.user_unit {
        set("NoNewPrivileges", Nix::Bool(true));
    } else if run.sandbox {
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
    let user = builder.model.user_of(name, service);
    let scope = match &user {
        Some(user) if run.user_unit => Scope::User(user),
        _ => Scope::System,
    };
    if run.user_unit && user.is_none() {
        builder.shared.findings.push(no_user(name));
        return;
    }
    if scope == Scope::System {
        let user = user.clone().unwrap_or_else(|| name.to_owned());
        set("User", Nix::text(&user));
        if let Some(group) = &service.group {
            set("Group", Nix::text(group));
        }
        user_of_service(builder, &file, name, &user, service, &at);
    }
    let below = |key: &'static str| scope.path("services", name, &[key]);
    let description = service.description.as_deref().unwrap_or(name);
    builder.set(&file, &below("description"), Nix::text(description), &from);
    builder.set(&file, &below("serviceConfig"), Nix::Set(config), &from);
    if !timed {
        let target = if run.user_unit { "default.target" } else { "multi-user.target" };
        builder.set(&file, &below("wantedBy"), Nix::texts([target]), &from);
    }
    if let Scope::User(user) = scope {
        // NixOS gives a unit of users to all of them.
        let path = scope.path("services", name, &["unitConfig", "ConditionUser"]);
        builder.set(&file, &path, Nix::text(user), &from);
    } else {
        builder.set(&file, &below("wants"), Nix::texts(["network-online.target"]), &from);
        builder.set(&file, &below("after"), Nix::texts(["network-online.target"]), &from);
        dependencies(builder, &file, name, service, &at);
    }
    if !run.packages.is_empty() {
        let packages_at = run_at.join("packages");
        let packages = super::system::packages(builder, &run.packages, &packages_at);
        builder.set(&file, &below("path"), packages, &[packages_at]);
    }
    environment(builder, scope, &file, name, name, &service.env, &service.env_secrets, &at);
    extra(builder, scope, &file, name, service, &at);
    if let Some(calendar) = &run.calendar {
        let config = Nix::set([("OnCalendar", Nix::text(calendar)), ("Persistent", Nix::Bool(true))]);
        let value = Nix::set([("wantedBy", Nix::texts(["timers.target"])), ("timerConfig", config)]);
        let path = scope.path("timers", name, &[]);
        builder.set(&file, &path, value, &[run_at.join("calendar")]);
        if let Scope::User(user) = scope {
            let path = scope.path("timers", name, &["unitConfig", "ConditionUser"]);
            builder.set(&file, &path, Nix::text(user), &from);
        }
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
