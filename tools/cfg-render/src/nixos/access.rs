//! How the host is logged in to: sshd, and who is shut out for a while.

use contract::Finding;
use contract::document::Access;

use super::builder::NixosBuilder;
use super::firewall;
use crate::fleet::{Jail, LOCAL, PUBLIC, RootLogin};
use crate::format::nix::Nix;

const MODULE: &str = "access";

pub(super) fn add(builder: &mut NixosBuilder<'_, '_>) {
    let host = builder.host;
    let ssh = host.ssh();
    let at = host.at("ssh");
    builder.access = Some(Access {
        ssh_ports: vec![ssh.port],
        login_users: vec![ssh.user.clone()],
        networks: builder.model.ranges(&ssh.from).iter().map(ToString::to_string).collect(),
    });
    builder.option(MODULE, "services.openssh.enable", Nix::Bool(true), &at);
    builder.option(MODULE, "services.openssh.ports", Nix::List(vec![Nix::number(ssh.port)]), &at);
    // The firewall opens it below, for the networks that the fleet names.
    builder.option(MODULE, "services.openssh.openFirewall", Nix::Bool(false), &at);
    let root = if ssh.root == RootLogin::No { "no" } else { "prohibit-password" };
    let settings = [
        ("PermitRootLogin", Nix::text(root)),
        ("PasswordAuthentication", Nix::Bool(false)),
        ("KbdInteractiveAuthentication", Nix::Bool(false)),
        ("X11Forwarding", Nix::Bool(false)),
        ("MaxAuthTries", Nix::number(4_u16)),
        ("LoginGraceTime", Nix::number(30_u16)),
    ];
    builder.option(MODULE, "services.openssh.settings", Nix::set(settings), &at);
    for (index, line) in host.spec.extra.iter().flat_map(|extra| extra.sshd.iter()).enumerate() {
        let at = host.at("extra").join("sshd").join(index);
        let Some(line) = builder.shared.fit(crate::format::sshd::line(line), &at).map(str::to_owned) else { continue };
        let (keyword, argument) = line.trim().split_once([' ', '\t', '=']).unwrap_or((line.trim(), ""));
        // A keyword of the user stands in the place of ours.
        builder.set(MODULE, &["services", "openssh", "settings", keyword], Nix::text(argument.trim()), &[at]);
    }
    for rule in firewall::rules(builder, &firewall::sources(&ssh.from), "tcp", &ssh.port.to_string(), "ssh", &at) {
        firewall::rule(builder, MODULE, &rule, &at);
    }
    bans(builder);
}

fn bans(builder: &mut NixosBuilder<'_, '_>) {
    let host = builder.host;
    let spec = host.spec.fail2ban.clone().unwrap_or_default();
    let at = host.at("fail2ban");
    if !spec.enable {
        return;
    }
    builder.option(MODULE, "services.fail2ban.enable", Nix::Bool(true), &at);
    builder.option(MODULE, "services.fail2ban.maxretry", Nix::number(spec.maxretry), &at);
    builder.option(MODULE, "services.fail2ban.bantime", Nix::text(format!("{}s", spec.bantime.as_secs())), &at);
    if spec.increment {
        let value =
            Nix::set([("enable", Nix::Bool(true)), ("maxtime", Nix::text(format!("{}s", spec.maxtime.as_secs())))]);
        builder.option(MODULE, "services.fail2ban.bantime-increment", value, &at);
    }
    let ssh = host.ssh();
    let mut ignored = Vec::new();
    for name in spec.ignore.iter().chain(&ssh.from) {
        if name == PUBLIC || name == LOCAL {
            continue;
        }
        match builder.model.fleet.networks.get(name) {
            Some(network) => ignored.extend(network.ranges().iter().map(ToString::to_string)),
            None if name.parse::<ipnet::IpNet>().is_ok() || name.parse::<std::net::IpAddr>().is_ok() => {
                ignored.push(name.clone());
            }
            None => builder.shared.findings.push(Finding::error(
                "unknown-ref",
                at.join("ignore"),
                format!("\"{name}\" is neither a network of the fleet nor an address"),
            )),
        }
    }
    ignored.dedup();
    if !ignored.is_empty() {
        builder.option(MODULE, "services.fail2ban.ignoreIP", Nix::texts(ignored), &at);
    }
    let mut jails = spec.jails.clone();
    let sshd = jails.entry("sshd".into()).or_default();
    if sshd.ports.is_empty() {
        sshd.ports = vec![ssh.port];
    }
    for (name, jail) in &jails {
        let mut settings = jail_settings(jail);
        if name == "sshd" || jail.findtime.is_some() {
            let findtime = jail.findtime.unwrap_or(spec.findtime);
            settings.push(("findtime", Nix::text(format!("{}s", findtime.as_secs()))));
        }
        let value = Nix::set([("settings", Nix::set(settings))]);
        builder.set(MODULE, &["services", "fail2ban", "jails", name], value, &[at.join("jails").join(name)]);
    }
}

fn jail_settings(jail: &Jail) -> Vec<(&'static str, Nix)> {
    let mut settings = vec![("enabled", Nix::Bool(jail.enable))];
    if !jail.enable {
        return settings;
    }
    let filter = match (&jail.filter, &jail.mode) {
        (Some(filter), Some(mode)) => Some(format!("{filter}[mode={mode}]")),
        (Some(filter), None) => Some(filter.clone()),
        (None, _) => None,
    };
    settings.extend(filter.map(|filter| ("filter", Nix::text(filter))));
    if !jail.ports.is_empty() {
        let ports: Vec<String> = jail.ports.iter().map(ToString::to_string).collect();
        settings.push(("port", Nix::text(ports.join(","))));
    }
    if !jail.logpath.is_empty() {
        settings.push(("backend", Nix::text("auto")));
        settings.push(("logpath", Nix::text(jail.logpath.join("\n"))));
    }
    settings.extend(jail.journalmatch.as_ref().map(|text| ("journalmatch", Nix::text(text))));
    settings.extend(jail.maxretry.map(|number| ("maxretry", Nix::number(number))));
    settings.extend(jail.bantime.map(|time| ("bantime", Nix::text(format!("{}s", time.as_secs())))));
    settings
}
