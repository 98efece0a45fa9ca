//! Users, groups, and the keys that may log in.

use std::collections::{BTreeMap, BTreeSet};

use contract::document::{Escalation, TemplateEscape};
use contract::{Finding, Pointer, placeholder};

use super::builder::NixosBuilder;
use crate::fleet::SshKey;
use crate::format::nix::Nix;
use crate::host::operations;

const MODULE: &str = "users";

/// Keys, where they were written, and whether no others may be there.
type Keys = BTreeMap<String, (Vec<SshKey>, BTreeSet<Pointer>)>;

pub(super) fn add(builder: &mut NixosBuilder<'_, '_>) {
    let host = builder.host;
    let ssh = host.ssh();
    let mut keys: Keys = BTreeMap::new();
    for (name, group) in &host.spec.groups {
        let mut value: Vec<(&str, Nix)> = Vec::new();
        value.extend(group.gid.map(|gid| ("gid", Nix::number(gid))));
        builder.set(MODULE, &["users", "groups", name], Nix::set(value), &[host.at("groups").join(name)]);
    }
    for (name, user) in &host.spec.users {
        let at = host.at("users").join(name);
        if user.absent {
            continue;
        }
        let from = [at.clone()];
        let mut value: Vec<(&str, Nix)> = Vec::new();
        if name != "root" {
            value.push((if user.system { "isSystemUser" } else { "isNormalUser" }, Nix::Bool(true)));
            let group = user.group.clone().unwrap_or_else(|| name.clone());
            if user.system || user.group.is_some() {
                builder.set(MODULE, &["users", "groups", &group], Nix::set::<&str>([]), &from);
                value.push(("group", Nix::text(group)));
            }
        }
        value.extend(user.comment.as_ref().map(|comment| ("description", Nix::text(comment))));
        value.extend(user.uid.map(|uid| ("uid", Nix::number(uid))));
        value.extend(user.home.as_ref().map(|home| ("home", Nix::text(home))));
        value.extend(user.shell.as_ref().map(|shell| ("shell", Nix::text(shell))));
        if let Some((shell, operation)) = operations::shell(builder.model, host, name).filter(|_| user.shell.is_none())
        {
            value.push(("shell", Nix::text(shell)));
            builder.also_from(MODULE, &operation);
        }
        if user.linger {
            value.push(("linger", Nix::Bool(true)));
        }
        let mut groups: Vec<&str> = user.groups.iter().map(String::as_str).collect();
        if user.admin {
            groups.push("wheel");
            builder.option(MODULE, "security.sudo.wheelNeedsPassword", Nix::Bool(false), &at.join("admin"));
        }
        if !groups.is_empty() {
            value.push(("extraGroups", Nix::texts(groups)));
        }
        builder.set(MODULE, &["users", "users", name], Nix::set(value), &from);
        let people = builder.model.keys_of_people(&user.people, &user.people_groups);
        let all: Vec<SshKey> = user.keys.iter().cloned().chain(people).collect();
        if !all.is_empty() {
            let entry = keys.entry(name.clone()).or_default();
            entry.0.extend(all);
            entry.1.insert(at);
        }
    }
    let at = host.at("ssh");
    if ssh.user != "root" && !host.spec.users.contains_key(&ssh.user) {
        let mut value = vec![("isNormalUser", Nix::Bool(true))];
        if ssh.escalate == Some(Escalation::Sudo) {
            value.push(("extraGroups", Nix::texts(["wheel"])));
            builder.option(MODULE, "security.sudo.wheelNeedsPassword", Nix::Bool(false), &at);
        }
        builder.set(MODULE, &["users", "users", &ssh.user], Nix::set(value), std::slice::from_ref(&at));
    }
    let people = builder.model.keys_of_people(&ssh.people, &ssh.groups);
    let all: Vec<SshKey> = ssh.keys.iter().cloned().chain(people).collect();
    if !all.is_empty() {
        let entry = keys.entry(ssh.user.clone()).or_default();
        entry.0.extend(all);
        entry.1.insert(at);
    }
    for (user, (keys, from)) in keys {
        authorized_keys(builder, &user, &keys, &from.into_iter().collect::<Vec<_>>());
    }
}

fn authorized_keys(builder: &mut NixosBuilder<'_, '_>, user: &str, keys: &[SshKey], from: &[Pointer]) {
    let mut lines: Vec<&str> = Vec::new();
    let mut secrets = Vec::new();
    for key in keys {
        match key {
            SshKey::Line(line) if line.chars().any(char::is_control) => {
                let at = from.first().cloned().unwrap_or_default();
                builder.shared.findings.push(Finding::error("unrepresentable", at, "an SSH key is one line"));
            }
            SshKey::Line(line) if !lines.contains(&line.as_str()) => lines.push(line),
            SshKey::Line(_) => {}
            SshKey::Secret(secret) => secrets.push(placeholder(&secret.secret)),
        }
    }
    if !lines.is_empty() {
        builder.set(MODULE, &["users", "users", user, "openssh", "authorizedKeys", "keys"], Nix::texts(lines), from);
    }
    if !secrets.is_empty() {
        secrets.dedup();
        let text = secrets.join("\n") + "\n";
        let template = builder.shared.template(format!("authorized_keys.{user}"), text, TemplateEscape::None);
        template.owner = user.into();
        // sshd looks there besides the usual places.
        builder.option(
            "access",
            "services.openssh.authorizedKeysFiles",
            Nix::texts([format!("{}/authorized_keys.%u", contract::places::RENDERED)]),
            &from[0],
        );
    }
}
