//! unattended-upgrades: the host takes updates by itself.

use contract::Pointer;
use contract::document::{Handler, Stage};

use super::HostBuilder;
use crate::fleet::{OsFamily, UpdateScope, Updates};
use crate::format::systemd::{self, UnitFile};
use crate::format::{Written, apt_conf};

const PERIODIC: &str = "/etc/apt/apt.conf.d/20auto-upgrades";
/// Sorts behind the package's own 50unattended-upgrades, so that its lists are replaced.
const POLICY: &str = "/etc/apt/apt.conf.d/52plumbline";
/// Only tells whether apt can read it; the settings that it prints do not matter.
const VALIDATE: [&str; 4] = ["/usr/bin/apt-config", "-c", "%s", "dump"];

pub(super) fn add(builder: &mut HostBuilder<'_, '_>) {
    let host = builder.host;
    let spec = host.spec.updates.clone().unwrap_or_default();
    let from = [host.at("updates")];
    if !spec.enable {
        return;
    }
    builder.packages(Stage::Base, &["unattended-upgrades"], &from[0]);
    let head = builder.header("//", &from);
    let periodic = head.clone()
        + "APT::Periodic::Update-Package-Lists \"1\";\nAPT::Periodic::Unattended-Upgrade \"1\";\nAPT::Periodic::AutocleanInterval \"7\";\n";
    builder.file(Stage::Base, PERIODIC, periodic, &from).validate(&VALIDATE).add(builder);
    if let Some(text) = builder.fit(policy(host.os.family, &spec), &from[0]) {
        builder.file(Stage::Base, POLICY, head + &text, &from).validate(&VALIDATE).add(builder);
    }
    if spec.schedule != "daily" {
        schedule(builder, &spec, &from);
    }
}

fn policy(family: OsFamily, spec: &Updates) -> Written {
    let mut text = if family == OsFamily::Ubuntu {
        let mut origins =
            vec!["${distro_id}:${distro_codename}-security", "${distro_id}ESMApps:${distro_codename}-apps-security"];
        if spec.scope == UpdateScope::All {
            origins.extend(["${distro_id}:${distro_codename}", "${distro_id}:${distro_codename}-updates"]);
        }
        apt_conf::list("Unattended-Upgrade::Allowed-Origins", &origins)?
    } else {
        let mut origins = vec!["origin=Debian,codename=${distro_codename}-security,label=Debian-Security"];
        if spec.scope == UpdateScope::All {
            origins.extend([
                "origin=Debian,codename=${distro_codename},label=Debian",
                "origin=Debian,codename=${distro_codename}-updates",
            ]);
        }
        apt_conf::list("Unattended-Upgrade::Origins-Pattern", &origins)?
    };
    if !spec.hold.is_empty() {
        // The list holds regular expressions.
        let exact: Vec<_> =
            spec.hold.iter().map(|name| format!("^{}$", name.replace('+', "[+]").replace('.', "[.]"))).collect();
        text.push_str(&apt_conf::list("Unattended-Upgrade::Package-Blacklist", &exact)?);
    }
    text.push_str(&apt_conf::line("Unattended-Upgrade::Remove-Unused-Kernel-Packages", "true")?);
    text.push_str(&apt_conf::line(
        "Unattended-Upgrade::Automatic-Reboot",
        if spec.reboot.is_some() { "true" } else { "false" },
    )?);
    if let Some(time) = &spec.reboot {
        text.push_str(&apt_conf::line("Unattended-Upgrade::Automatic-Reboot-Time", time)?);
    }
    if let Some(email) = &spec.email {
        text.push_str(&apt_conf::line("Unattended-Upgrade::Mail", email)?);
        text.push_str(&apt_conf::line("Unattended-Upgrade::MailReport", "on-change")?);
    }
    Ok(text)
}

fn schedule(builder: &mut HostBuilder<'_, '_>, spec: &Updates, from: &[Pointer]) {
    let Some(calendar) = builder.fit(systemd::text(&spec.schedule), &from[0].join("schedule")) else { return };
    // The empty assignment takes away the package's own times.
    let unit = UnitFile::new().set("Timer", "OnCalendar", "").set("Timer", "OnCalendar", calendar);
    let text = builder.header("#", from) + &unit.write();
    let path = "/etc/systemd/system/apt-daily-upgrade.timer.d/10-plumbline.conf";
    builder.file(Stage::Base, path, text, from).notify(Handler::restart("apt-daily-upgrade.timer")).add(builder);
}
