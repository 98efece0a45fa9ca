//! Programs under the manager of a user, which runs without a login where the user lingers.
//!
//! The unit's file lies in `/etc/systemd/user`, where root alone writes; the user's manager is told to start it.

use contract::document::{Handler, HostItem, Stage, Unit, UnitState};
use contract::{Finding, Pointer, places};

use super::HostBuilder;
use super::services::{environment_lines, extra_settings};
use crate::fleet::{Service, SystemdRun};
use crate::format::systemd::{self, UnitFile};
use crate::model::Model;

/// Nobody is named whose unit it could be.
pub(crate) fn no_user(name: &str) -> Finding {
    Finding::error(
        "missing-key",
        Model::service_at(name),
        format!("\"{name}\" is a unit of a user, and no user is named"),
    )
    .fix("add \"user\": \"NAME\" to the service")
}

pub(super) fn add(builder: &mut HostBuilder<'_, '_>, name: &str, service: &Service, run: &SystemdRun) {
    let at = Model::service_at(name);
    let run_at = at.join("run").join("systemd");
    let Some(user) = builder.model.user_of(name, service) else {
        builder.findings.push(no_user(name));
        return;
    };
    if !run.packages.is_empty() {
        builder.packages(Stage::Services, &run.packages, &run_at.join("packages"));
    }
    let description = service.description.clone().unwrap_or_else(|| name.to_owned());
    let parts = (
        builder.fit(systemd::text(&description), &at.join("description")),
        builder.fit(systemd::exec(&run.exec), &run_at.join("exec")),
        builder.fit(systemd::text(&user), &at.join("user")),
    );
    let (Some(description), Some(exec), Some(condition)) = parts else { return };
    // The file is there for every user's manager; only this one takes it.
    let mut unit = UnitFile::new().set("Unit", "Description", &description).set("Unit", "ConditionUser", condition);
    let timed = run.calendar.is_some();
    super::services::program(builder, &mut unit, run, exec, &run_at);
    unit.push("Service", "StateDirectory", name);
    if run.sandbox {
        // The manager of a user has no rights from which it could take more away.
        unit.push("Service", "NoNewPrivileges", "yes");
    }
    secrets(builder, &mut unit, name, &user, service, &at);
    if !timed {
        unit.push("Install", "WantedBy", "default.target");
    }
    if let Some(extra) = &service.extra {
        extra_settings(builder, &mut unit, &extra.systemd, &at.join("extra").join("systemd"));
    }
    let from = [at.clone()];
    let text = builder.header("#", &from) + &unit.write();
    let service_unit = format!("{name}.service");
    let file = builder.file(Stage::Services, &format!("/etc/systemd/user/{service_unit}"), text, &from);
    match &run.calendar {
        Some(calendar) => {
            file.add(builder);
            let Some(calendar) = builder.fit(systemd::text(calendar), &run_at.join("calendar")) else { return };
            let timer = UnitFile::new()
                .set("Unit", "Description", &description)
                .set("Unit", "ConditionUser", &user)
                .set("Timer", "OnCalendar", calendar)
                .set("Timer", "Persistent", "yes")
                .set("Install", "WantedBy", "timers.target");
            let timer_unit = format!("{name}.timer");
            let text = builder.header("#", &from) + &timer.write();
            builder
                .file(Stage::Services, &format!("/etc/systemd/user/{timer_unit}"), text, &from)
                .notify(Handler::restart(&timer_unit))
                .add(builder);
            started(builder, &timer_unit, &user, &from);
        }
        None => {
            file.notify(Handler::restart(&service_unit)).add(builder);
            started(builder, &service_unit, &user, &from);
        }
    }
}

/// The environment. Files with secrets belong to the user, whose manager reads them.
fn secrets(
    builder: &mut HostBuilder<'_, '_>,
    unit: &mut UnitFile,
    name: &str,
    user: &str,
    service: &Service,
    at: &Pointer,
) {
    let (clear, files) = environment_lines(builder, name, &service.env, at);
    for assignment in clear {
        unit.push("Service", "Environment", assignment);
    }
    let mut paths = Vec::new();
    for (file, text, escape) in files {
        paths.push(format!("{}/{file}", places::RENDERED));
        user.clone_into(&mut builder.template(file, text, escape).owner);
    }
    paths.extend(service.env_secrets.iter().map(|secret| format!("{}/{secret}", places::SECRETS)));
    for path in &paths {
        unit.push("Service", "EnvironmentFile", path.clone());
    }
    if !paths.is_empty() || !service.secrets.is_empty() {
        // A user's manager cannot wait for a unit of the system: it tries until the secrets are there.
        unit.push("Unit", "StartLimitIntervalSec", "0");
    }
}

/// The unit runs, and is started with the user's manager.
fn started(builder: &mut HostBuilder<'_, '_>, unit: &str, user: &str, from: &[Pointer]) {
    builder.push(HostItem {
        id: format!("unit:user:{user}:{unit}"),
        stage: Stage::Services,
        from: from.to_vec(),
        unit: Some(Unit {
            name: unit.into(),
            scope: Some(format!("user:{user}")),
            enabled: Some(true),
            state: Some(UnitState::Started),
            masked: false,
        }),
        ..HostItem::default()
    });
}
