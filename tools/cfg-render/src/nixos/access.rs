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
        let (path, value) = setting(keyword, argument.trim());
        // A keyword of the user stands in the place of ours.
        builder.set(MODULE, &path, value, &[at]);
    }
    for rule in firewall::rules(builder, &firewall::sources(&ssh.from), "tcp", &ssh.port.to_string(), "ssh", &at) {
        firewall::rule(builder, MODULE, &rule, &at);
    }
    bans(builder);
}

/// Keywords that NixOS takes as lists, with what divides their words in sshd_config(5), and as truth values. Every other one is
/// a text. Source: nixpkgs, nixos/modules/services/networking/ssh/sshd.nix.
const LISTS: [(&str, char); 7] = [
    ("AllowGroups", ' '),
    ("AllowUsers", ' '),
    ("DenyGroups", ' '),
    ("DenyUsers", ' '),
    ("Ciphers", ','),
    ("KexAlgorithms", ','),
    ("Macs", ','),
];
const TRUTHS: [&str; 7] = [
    "KbdInteractiveAuthentication",
    "PasswordAuthentication",
    "PrintMotd",
    "StrictModes",
    "UseDns",
    "UsePAM",
    "X11Forwarding",
];
/// Keywords that are options of their own.
const OPTIONS: [(&str, &str); 2] =
    [("AuthorizedKeysCommand", "authorizedKeysCommand"), ("AuthorizedKeysCommandUser", "authorizedKeysCommandUser")];

/// The option that a line of sshd_config(5) is on NixOS, which spells and types some keywords in its own way.
fn setting<'a>(keyword: &'a str, argument: &str) -> (Vec<&'a str>, Nix) {
    let same = |known: &str| known.eq_ignore_ascii_case(keyword);
    if let Some((_, option)) = OPTIONS.iter().find(|(known, _)| same(known)) {
        return (vec!["services", "openssh", option], Nix::text(argument));
    }
    if same("AuthorizedKeysFile") {
        return (vec!["services", "openssh", "authorizedKeysFiles"], Nix::texts(argument.split_whitespace()));
    }
    let path = |name: &'a str| vec!["services", "openssh", "settings", name];
    if let Some((name, divider)) = LISTS.iter().find(|(known, _)| same(known)) {
        let words = argument.split(*divider).map(str::trim).filter(|word| !word.is_empty());
        return (path(name), Nix::texts(words));
    }
    let truth = match argument.to_ascii_lowercase().as_str() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    };
    match (TRUTHS.iter().find(|known| same(known)), truth) {
        (Some(name), Some(truth)) => (path(name), Nix::Bool(truth)),
        _ => (path(keyword), Nix::text(argument)),
    }
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
