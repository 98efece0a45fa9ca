//! fail2ban: addresses that try passwords are shut out for a while.

use contract::document::{Handler, Stage};
use contract::{Duration, Pointer};

use super::HostBuilder;
use crate::fleet::{Jail, LOCAL, PUBLIC};
use crate::format::ini::{self, Section};

const FILE: &str = "/etc/fail2ban/jail.d/10-plumbline.local";

pub(super) fn add(builder: &mut HostBuilder<'_, '_>) {
    let host = builder.host;
    let spec = host.spec.fail2ban.clone().unwrap_or_default();
    if !spec.enable {
        return;
    }
    let at = host.at("fail2ban");
    let from = [at.clone(), host.at("ssh")];
    let ssh = host.ssh();
    let mut defaults = vec![
        setting("backend", "systemd"),
        setting("banaction", "nftables-multiport"),
        setting("banaction_allports", "nftables-allports"),
        setting("maxretry", spec.maxretry),
        setting("findtime", seconds(spec.findtime)),
        setting("bantime", seconds(spec.bantime)),
        setting("bantime.increment", spec.increment),
    ];
    if spec.increment {
        defaults.push(setting("bantime.maxtime", seconds(spec.maxtime)));
    }
    defaults.push(setting("ignoreip", ignored(builder, &spec.ignore, &ssh.from, &at)));
    let mut sections: Vec<Section> = vec![("DEFAULT".into(), defaults)];
    let mut jails = spec.jails.clone();
    let sshd = jails.entry("sshd".into()).or_default();
    if sshd.ports.is_empty() {
        sshd.ports = vec![ssh.port];
    }
    if sshd.journalmatch.is_none() && sshd.logpath.is_empty() {
        // OpenSSH 9.8 and newer log as sshd-session.
        sshd.journalmatch = Some("_SYSTEMD_UNIT=ssh.service + _COMM=sshd + _COMM=sshd-session".into());
    }
    // Not the aggressive mode by itself: it counts every connection without a login, and so bans whoever probes the port.
    for (name, jail) in &jails {
        let at = at.join("jails").join(name);
        if let Some(section) = section(builder, name, jail, &at) {
            sections.push(section);
        }
    }
    builder.packages(Stage::Base, &["fail2ban", "python3-systemd", "nftables"], &at);
    builder.hold(Stage::Base, "fail2ban.service");
    builder.check_set("fail2ban", &[&["/usr/bin/fail2ban-client", "-t"]]);
    let text = builder.header("#", &from) + "\n" + &ini::write(&sections);
    builder
        .file(Stage::Base, FILE, text, &from)
        .set("fail2ban")
        .notify(Handler::restart("fail2ban.service"))
        .add(builder);
    builder.unit(Stage::Base, "fail2ban.service", std::slice::from_ref(&at));
}

fn setting(key: &str, value: impl ToString) -> (String, String) {
    (key.to_owned(), value.to_string())
}

fn seconds(duration: Duration) -> u64 {
    duration.as_secs()
}

/// Loopback, what the fleet names, and the networks from which the owner comes.
fn ignored(builder: &mut HostBuilder<'_, '_>, ignore: &[String], ssh_from: &[String], at: &Pointer) -> String {
    let mut words = vec!["127.0.0.1/8".to_owned(), "::1".to_owned()];
    for name in ignore.iter().chain(ssh_from) {
        if name == PUBLIC || name == LOCAL {
            continue;
        }
        match builder.model.fleet.networks.get(name) {
            Some(network) => words.extend(network.ranges().iter().map(ToString::to_string)),
            None => match name
                .parse::<ipnet::IpNet>()
                .map(|net| net.to_string())
                .or_else(|_| name.parse::<std::net::IpAddr>().map(|ip| ip.to_string()))
            {
                Ok(word) => words.push(word),
                Err(_) => builder.findings.push(contract::Finding::error(
                    "unknown-ref",
                    at.join("ignore"),
                    format!("\"{name}\" is neither a network of the fleet nor an address"),
                )),
            },
        }
    }
    words.dedup();
    words.join(" ")
}

fn section(builder: &mut HostBuilder<'_, '_>, name: &str, jail: &Jail, at: &Pointer) -> Option<Section> {
    let name = builder.fit(ini::section_name(name), at)?.to_owned();
    let mut settings = vec![setting("enabled", jail.enable)];
    if !jail.enable {
        return Some((name, settings));
    }
    let filter = jail.filter.clone().unwrap_or_else(|| name.clone());
    let filter = match &jail.mode {
        Some(mode) => format!("{filter}[mode={mode}]"),
        None => filter,
    };
    settings.push(setting("filter", builder.fit(ini::value(&filter), at)?));
    if !jail.ports.is_empty() {
        let ports: Vec<_> = jail.ports.iter().map(ToString::to_string).collect();
        settings.push(setting("port", ports.join(",")));
    }
    if jail.logpath.is_empty() {
        settings.push(setting("backend", "systemd"));
        if let Some(journalmatch) = &jail.journalmatch {
            settings.push(setting("journalmatch", builder.fit(ini::value(journalmatch), at)?));
        }
    } else {
        settings.push(setting("backend", "auto"));
        let mut paths = Vec::new();
        for path in &jail.logpath {
            paths.push(builder.fit(ini::value(path), at)?);
        }
        settings.push(setting("logpath", paths.join("\n          ")));
    }
    for (key, value) in [("findtime", jail.findtime), ("bantime", jail.bantime)] {
        if let Some(value) = value {
            settings.push(setting(key, seconds(value)));
        }
    }
    if let Some(maxretry) = jail.maxretry {
        settings.push(setting("maxretry", maxretry));
    }
    Some((name, settings))
}
