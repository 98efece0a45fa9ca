//! The machine itself: names, packages, kernel, mounts, directories, units and files that the fleet gives in full.

use contract::document::{Handler, HostItem, Hostname, Locale, Stage, TemplateEscape, Timezone, Unit};
use contract::{Finding, Pointer};

use super::HostBuilder;
use crate::fleet::{Timer, UserFile};
use crate::format::systemd::{self, UnitFile};

pub(super) fn add(builder: &mut HostBuilder<'_, '_>) {
    let host = builder.host;
    builder.packages(Stage::Base, &host.spec.packages, &host.at("packages"));
    builder.absent.clone_from(&host.spec.absent_packages);
    for (index, repository) in host.spec.apt_repositories.iter().enumerate() {
        builder.push(HostItem {
            id: format!("apt:{}", repository.name),
            from: vec![host.at("apt_repositories").join(index)],
            apt_repository: Some(repository.clone()),
            ..base_item()
        });
    }
    let at = if host.spec.hostname.is_some() { host.at("hostname") } else { host.pointer() };
    builder.push(HostItem {
        id: "hostname".into(),
        from: vec![at],
        hostname: Some(Hostname { name: host.hostname().into() }),
        ..base_item()
    });
    if let Some(name) = &host.spec.timezone {
        builder.packages(Stage::Base, &["tzdata"], &host.at("timezone"));
        builder.push(HostItem {
            id: "timezone".into(),
            from: vec![host.at("timezone")],
            timezone: Some(Timezone { name: name.clone() }),
            ..base_item()
        });
    }
    if let Some(lang) = &host.spec.locale {
        if !lang.eq_ignore_ascii_case("c.utf-8") && lang != "C" {
            builder.packages(Stage::Base, &["locales"], &host.at("locale"));
        }
        builder.push(HostItem {
            id: "locale".into(),
            from: vec![host.at("locale")],
            locale: Some(Locale { lang: lang.clone() }),
            ..base_item()
        });
    }
    for (index, mount) in host.spec.mounts.iter().enumerate() {
        builder.push(HostItem {
            id: format!("mount:{}", mount.path),
            from: vec![host.at("mounts").join(index)],
            mount: Some(mount.clone()),
            ..base_item()
        });
    }
    kernel(builder);
    for (path, spec) in &host.spec.directories {
        let owner = spec.owner.as_deref().unwrap_or("root");
        let group = spec.group.as_deref().unwrap_or(owner);
        let from = [host.at("directories").join(path)];
        builder.directory(Stage::Base, path, spec.mode.bits(), owner, group, &from);
        if let Some(directory) = builder.item_mut(&format!("directory:{path}")).and_then(|item| item.directory.as_mut())
        {
            directory.data = spec.data;
        }
    }
    units(builder);
    for (name, timer) in &host.spec.timers {
        add_timer(builder, name, timer);
    }
}

fn base_item() -> HostItem {
    HostItem { stage: Stage::Base, ..HostItem::default() }
}

fn kernel(builder: &mut HostBuilder<'_, '_>) {
    let host = builder.host;
    if !host.spec.sysctl.is_empty() {
        let from = [host.at("sysctl")];
        let mut text = builder.header("#", &from);
        for (key, value) in &host.spec.sysctl {
            let at = from[0].join(key);
            let plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "._/-*".contains(c));
            if !plain || value.chars().any(char::is_control) {
                builder.findings.push(Finding::error(
                    "unrepresentable",
                    at,
                    "sysctl.d cannot hold such a name or value",
                ));
                continue;
            }
            text.push_str(&format!("{key} = {value}\n"));
        }
        builder
            .file(Stage::Base, "/etc/sysctl.d/60-plumbline.conf", text, &from)
            .notify(Handler::restart("systemd-sysctl.service"))
            .add(builder);
    }
    if !host.spec.kernel_modules.is_empty() {
        let from = [host.at("kernel_modules")];
        let mut text = builder.header("#", &from);
        for module in &host.spec.kernel_modules {
            if module.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)) && !module.is_empty() {
                text.push_str(&format!("{module}\n"));
            } else {
                builder.findings.push(Finding::error(
                    "unrepresentable",
                    from[0].clone(),
                    "modules-load.d cannot hold such a name",
                ));
            }
        }
        builder
            .file(Stage::Base, "/etc/modules-load.d/plumbline.conf", text, &from)
            .notify(Handler::restart("systemd-modules-load.service"))
            .add(builder);
    }
}

fn units(builder: &mut HostBuilder<'_, '_>) {
    let host = builder.host;
    for (name, spec) in &host.spec.units {
        let from = [host.at("units").join(name)];
        if let Some(content) = &spec.content {
            let path = format!("/etc/systemd/system/{name}");
            builder.file(Stage::Services, &path, content.clone(), &from).notify(Handler::restart(name)).add(builder);
        }
        builder.push(HostItem {
            id: format!("unit:{name}"),
            stage: Stage::Services,
            from: from.to_vec(),
            unit: Some(Unit {
                name: name.clone(),
                scope: None,
                enabled: spec.enabled,
                state: spec.state,
                masked: spec.masked,
            }),
            ..HostItem::default()
        });
    }
}

/// A command that runs at times: a service and its timer.
fn add_timer(builder: &mut HostBuilder<'_, '_>, name: &str, timer: &Timer) {
    let at = builder.host.at("timers").join(name);
    let from = [at.clone()];
    let description = timer.description.clone().unwrap_or_else(|| name.to_owned());
    let parts = (
        builder.fit(systemd::text(&description), &at.join("description")),
        builder.fit(systemd::exec(&timer.exec), &at.join("exec")),
        builder.fit(systemd::text(&timer.calendar), &at.join("calendar")),
    );
    let (Some(description), Some(exec), Some(calendar)) = parts else { return };
    let mut unit = UnitFile::new().set("Unit", "Description", &description).set("Service", "Type", "oneshot").set(
        "Service",
        "ExecStart",
        exec,
    );
    if let Some(user) = &timer.user
        && let Some(user) = builder.fit(systemd::text(user), &at.join("user"))
    {
        unit.push("Service", "User", user);
    }
    if let Some(timeout) = timer.timeout {
        unit.push("Service", "TimeoutStartSec", format!("{}s", timeout.as_secs()));
    }
    let service = format!("{name}.service");
    super::services::environment(builder, Stage::Services, &mut unit, name, &service, &timer.env, &[], &at);
    let text = builder.header("#", &from) + &unit.write();
    builder.file(Stage::Services, &format!("/etc/systemd/system/{service}"), text, &from).add(builder);
    write_timer(builder, name, &description, &calendar, timer.persistent, timer.jitter, &from);
}

/// The timer of a service of the same name.
pub(super) fn write_timer(
    builder: &mut HostBuilder<'_, '_>,
    name: &str,
    description: &str,
    calendar: &str,
    persistent: bool,
    jitter: Option<contract::Duration>,
    from: &[Pointer],
) {
    let mut unit = UnitFile::new().set("Unit", "Description", description).set("Timer", "OnCalendar", calendar);
    if let Some(jitter) = jitter.filter(|jitter| jitter.as_secs() > 0) {
        unit.push("Timer", "RandomizedDelaySec", format!("{}s", jitter.as_secs()));
        unit.push("Timer", "FixedRandomDelay", "yes");
    }
    if persistent {
        unit.push("Timer", "Persistent", "yes");
    }
    let unit = unit.set("Install", "WantedBy", "timers.target");
    let timer = format!("{name}.timer");
    let text = builder.header("#", from) + &unit.write();
    builder
        .file(Stage::Services, &format!("/etc/systemd/system/{timer}"), text, from)
        .notify(Handler::restart(&timer))
        .add(builder);
    builder.unit(Stage::Services, &timer, from);
}

/// Whole files of the user, which stand in the place of ours.
pub(super) fn add_files_of_the_user(builder: &mut HostBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    let mut files: Vec<(String, &UserFile, Pointer)> = Vec::new();
    for (path, file) in &host.spec.files {
        files.push((path.clone(), file, host.at("files").join(path)));
    }
    for (name, service) in model.services_on(&host.name) {
        for (path, file) in &service.files {
            files.push((path.clone(), file, crate::model::Model::service_at(name).join("files").join(path)));
        }
    }
    for (path, file, at) in files {
        let handlers = || {
            file.reload
                .iter()
                .map(|unit| Handler::reload(unit))
                .chain(file.restart.iter().map(|unit| Handler::restart(unit)))
        };
        if let Some(template) = &file.template {
            let name = format!("file{}", path.replace('/', "-"));
            let made = builder.template(name, template.clone(), TemplateEscape::None);
            made.owner.clone_from(&file.owner);
            made.group.clone_from(&file.group);
            made.mode = file.mode;
            made.link = Some(path.clone());
            made.units.clone_from(&file.restart);
            made.reload_units.clone_from(&file.reload);
            continue;
        }
        let argv: Vec<_> = file.validate.iter().map(String::as_str).collect();
        let mut item = builder
            .file(Stage::Services, &path, file.content.clone().unwrap_or_default(), &[at])
            .mode(file.mode.bits())
            .owner(&file.owner, &file.group)
            .validate(&argv);
        if let Some(source) = &file.source {
            item = item.source(source);
        }
        let mut item = item.into_item();
        item.notify = handlers().collect();
        match builder.item_mut(&item.id) {
            // Ours gives way, but its checks and reloads stay.
            Some(ours) => {
                item.stage = ours.stage;
                item.from.extend(ours.from.clone());
                for handler in &ours.notify {
                    if !item.notify.contains(handler) {
                        item.notify.push(handler.clone());
                    }
                }
                if let (Some(new), Some(old)) = (&mut item.file, &ours.file) {
                    new.set.clone_from(&old.set);
                    if new.validate.is_empty() {
                        new.validate.clone_from(&old.validate);
                    }
                }
                *ours = item;
            }
            None => builder.push(item),
        }
    }
}
