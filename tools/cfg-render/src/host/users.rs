//! Users, groups, SSH keys and who may become root.

use std::collections::{BTreeMap, BTreeSet};

use contract::document::{AuthorizedKeys, Escalation, Group, HostItem, Presence, Stage, TemplateEscape, User};
use contract::{Finding, Pointer, placeholder};

use super::HostBuilder;
use crate::fleet::{Run, SshKey};

pub(super) fn add(builder: &mut HostBuilder<'_, '_>) {
    let host = builder.host;
    for (name, group) in &host.spec.groups {
        builder.push(HostItem {
            id: format!("group:{name}"),
            stage: Stage::Base,
            from: vec![host.at("groups").join(name)],
            group: Some(Group { name: name.clone(), gid: group.gid, system: group.system }),
            ..HostItem::default()
        });
    }
    let ssh = host.ssh();
    let mut admins: BTreeMap<String, BTreeSet<Pointer>> = BTreeMap::new();
    let mut keys: BTreeMap<String, (Vec<SshKey>, BTreeSet<Pointer>, bool)> = BTreeMap::new();
    for (name, user) in &host.spec.users {
        let at = host.at("users").join(name);
        let forced = super::operations::shell(builder.model, host, name).filter(|_| user.shell.is_none());
        let mut item = user_item(
            User {
                name: name.clone(),
                presence: if user.absent { Presence::Absent } else { Presence::Present },
                uid: user.uid,
                system: user.system,
                group: user.group.clone(),
                groups: user.groups.clone(),
                home: user.home.clone(),
                shell: user
                    .shell
                    .clone()
                    .or_else(|| forced.as_ref().map(|(shell, _)| (*shell).into()))
                    .or_else(|| user.system.then(|| "/usr/sbin/nologin".into()))
                    .or_else(|| Some("/bin/bash".into())),
                comment: user.comment.clone(),
                linger: user.linger,
            },
            &at,
        );
        item.from.extend(forced.map(|(_, operation)| operation));
        builder.push(item);
        if user.admin && !user.absent {
            admins.entry(name.clone()).or_default().insert(at.join("admin"));
        }
        let found = builder.model.keys_of_people(&user.people, &user.people_groups);
        let all: Vec<_> = user.keys.iter().cloned().chain(found).collect();
        if !all.is_empty() {
            let entry = keys.entry(name.clone()).or_default();
            entry.0.extend(all);
            entry.1.insert(at.clone());
        }
    }
    let at = host.at("ssh");
    if ssh.user != "root" && !host.spec.users.contains_key(&ssh.user) {
        builder.push(user_item(
            User { name: ssh.user.clone(), shell: Some("/bin/bash".into()), ..User::default() },
            &at.join("user"),
        ));
    }
    if ssh.user != "root" && ssh.escalate == Some(Escalation::Sudo) {
        admins.entry(ssh.user.clone()).or_default().insert(at.join("become"));
    }
    let found = builder.model.keys_of_people(&ssh.people, &ssh.groups);
    let all: Vec<_> = ssh.keys.iter().cloned().chain(found).collect();
    if !all.is_empty() {
        let entry = keys.entry(ssh.user.clone()).or_default();
        entry.0.extend(all);
        entry.1.insert(at.clone());
        entry.2 = ssh.exclusive;
    }
    for (user, (keys, from, exclusive)) in keys {
        authorized_keys(builder, &user, &keys, &from.into_iter().collect::<Vec<_>>(), exclusive);
    }
    sudoers(builder, &admins);
    service_users(builder);
}

fn user_item(user: User, at: &Pointer) -> HostItem {
    HostItem {
        id: format!("user:{}", user.name),
        stage: Stage::Base,
        from: vec![at.clone()],
        user: Some(user),
        ..HostItem::default()
    }
}

fn authorized_keys(builder: &mut HostBuilder<'_, '_>, user: &str, keys: &[SshKey], from: &[Pointer], exclusive: bool) {
    let mut lines = Vec::new();
    let mut secrets = Vec::new();
    for key in keys {
        match key {
            SshKey::Line(line) if line.chars().any(char::is_control) => {
                let at = from.first().cloned().unwrap_or_default();
                builder.findings.push(Finding::error("unrepresentable", at, "an SSH key is one line"));
            }
            SshKey::Line(line) if !lines.contains(line) => lines.push(line.clone()),
            SshKey::Line(_) => {}
            SshKey::Secret(secret) => secrets.push(placeholder(&secret.secret)),
        }
    }
    if !lines.is_empty() {
        builder.push(HostItem {
            id: format!("keys:{user}"),
            stage: Stage::Base,
            from: from.to_vec(),
            authorized_keys: Some(AuthorizedKeys { user: user.into(), keys: lines, exclusive }),
            ..HostItem::default()
        });
    }
    if !secrets.is_empty() {
        // sshd reads this file besides the user's own (AuthorizedKeysFile).
        secrets.dedup();
        let template =
            builder.template(format!("authorized_keys.{user}"), secrets.join("\n") + "\n", TemplateEscape::None);
        template.owner = user.into();
    }
}

fn sudoers(builder: &mut HostBuilder<'_, '_>, admins: &BTreeMap<String, BTreeSet<Pointer>>) {
    if admins.is_empty() {
        return;
    }
    let from: Vec<_> = admins.values().flatten().cloned().collect();
    builder.packages(Stage::Base, &["sudo"], &from[0]);
    let mut text = builder.header("#", &from);
    for (name, from) in admins {
        // sudoers(5) has words in capitals and marks of its own; login names of Debian have neither.
        if name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c)) {
            text.push_str(&format!("{name} ALL=(ALL:ALL) NOPASSWD: ALL\n"));
        } else if let Some(at) = from.first() {
            builder.findings.push(Finding::error(
                "unrepresentable",
                at.clone(),
                "sudoers cannot hold such a login name",
            ));
        }
    }
    builder
        .file(Stage::Base, "/etc/sudoers.d/50-plumbline", text, &from)
        .mode(0o440)
        .validate(&["/usr/sbin/visudo", "-c", "-f", "%s"])
        .add(builder);
}

/// Users as which services run, before anything belongs to them.
fn service_users(builder: &mut HostBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    for (name, service) in model.services_on(&host.name) {
        let Run::Systemd(run) = &service.run else { continue };
        let Some(user) = model.user_of(name, service) else { continue };
        let has_login = super::logins::has(builder, &user);
        if run.user_unit || user == "root" || host.spec.users.contains_key(&user) || has_login {
            continue;
        }
        let at = crate::model::Model::service_at(name);
        if let Some(group) = &service.group
            && !host.spec.groups.contains_key(group)
            && *group != user
        {
            builder.push(HostItem {
                id: format!("group:{group}"),
                stage: Stage::Base,
                from: vec![at.join("group")],
                group: Some(Group { name: group.clone(), gid: None, system: true }),
                ..HostItem::default()
            });
        }
        builder.push(user_item(
            User {
                name: user.clone(),
                system: true,
                group: service.group.clone(),
                home: Some(format!("/var/lib/{name}")),
                shell: Some("/usr/sbin/nologin".into()),
                ..User::default()
            },
            &at,
        ));
    }
}
