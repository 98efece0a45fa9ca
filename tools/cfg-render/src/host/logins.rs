//! Logins over SSH that belong to services: a user and a section of sshd's configuration each. A section overrides what
//! stands outside of sections (sshd_config(5), Match), so that hardening neither opens nor closes these.

use std::collections::BTreeMap;

use contract::document::{Handler, HostItem, Stage, User};
use contract::{Finding, Pointer};

use super::HostBuilder;
use crate::fleet::ServiceLogin;
use crate::format::{Unrepresentable, Written, sshd};
use crate::model::Model;

/// Whether a user of this name is a login of a service on the host, which makes it.
pub(super) fn has(builder: &HostBuilder<'_, '_>, user: &str) -> bool {
    let mut services = builder.model.services_on(&builder.host.name);
    services.any(|(_, service)| service.login.as_ref().is_some_and(|login| login.user == user))
}

/// A login that is good, and its section.
pub(crate) struct Login<'f> {
    /// The service.
    pub service: &'f str,
    /// What the fleet says.
    pub spec: &'f ServiceLogin,
    /// Where it says so.
    pub at: Pointer,
    /// The section of sshd_config(5), which reaches to the next one.
    pub section: String,
}

impl Login<'_> {
    /// Where its user is at home.
    pub(crate) fn home(&self) -> String {
        self.spec.home.clone().unwrap_or_else(|| format!("/home/{}", self.spec.user))
    }
}

/// The logins of services on the host; what is wrong with the others is found.
pub(crate) fn logins<'f>(builder: &mut HostBuilder<'_, 'f>) -> Vec<Login<'f>> {
    let (model, host) = (builder.model, builder.host);
    let mut known: BTreeMap<&str, Pointer> = BTreeMap::new();
    let mut all = Vec::new();
    for (service, login) in
        model.services_on(&host.name).filter_map(|(name, service)| Some((name, service.login.as_ref()?)))
    {
        let at = Model::service_at(service).join("login");
        if login.user == "root" || login.user == host.ssh().user || host.spec.users.contains_key(&login.user) {
            let message = format!("\"{}\" is a login of people, whom this would turn away", login.user);
            builder
                .findings
                .push(Finding::error("lockout", at.join("user"), message).fix("give the service one of its own"));
            continue;
        }
        if let Some(other) = known.insert(&login.user, at.clone()) {
            let message = format!("\"{}\" is the login of another service on host \"{}\"", login.user, host.name);
            let finding = Finding::error("duplicate-login", at.join("user"), message).related(other);
            builder.findings.push(finding.fix("give each service one of its own"));
            continue;
        }
        let Some(section) = section(builder, login, &at) else { continue };
        all.push(Login { service, spec: login, at, section });
    }
    all
}

pub(super) fn add(builder: &mut HostBuilder<'_, '_>) {
    for login in logins(builder) {
        let user = &login.spec.user;
        let service = builder.model.service(login.service);
        let from = [login.at.clone()];
        builder.push(HostItem {
            id: format!("user:{user}"),
            stage: Stage::Base,
            from: from.to_vec(),
            user: Some(User {
                name: user.clone(),
                system: true,
                group: service
                    .filter(|service| service.user.as_ref() == Some(user))
                    .and_then(|service| service.group.clone()),
                home: Some(login.home()),
                // sshd runs every command through it, the forced one too.
                shell: Some("/bin/sh".into()),
                ..User::default()
            }),
            ..HostItem::default()
        });
        let text = builder.header("#", &from) + &login.section;
        builder
            .file(
                Stage::Base,
                &format!("/etc/ssh/sshd_config.d/02-plumbline-login-{}.conf", login.service),
                text,
                &from,
            )
            .set("sshd")
            .notify(Handler::reload("ssh.service"))
            .add(builder);
    }
}

fn section(builder: &mut HostBuilder<'_, '_>, login: &ServiceLogin, at: &Pointer) -> Option<String> {
    let user = builder.fit(plain(&login.user), &at.join("user"))?;
    let mut lines = vec![format!("Match User {user}")];
    if login.keys_command.is_empty() {
        lines.push("AuthorizedKeysFile .ssh/authorized_keys".into());
    } else {
        let at = at.join("keys_command");
        if !login.keys_command.first().is_some_and(|path| path.starts_with('/')) {
            let message = "sshd runs such a program by its absolute path only";
            builder.findings.push(Finding::error("bad-path", at, message).fix("write the whole path"));
            return None;
        }
        let command = builder.fit(words(&login.keys_command), &at)?;
        let runs_as = builder.fit(plain(login.keys_user.as_deref().unwrap_or("nobody")), &at)?;
        lines.push(format!("AuthorizedKeysCommand {command}"));
        lines.push(format!("AuthorizedKeysCommandUser {runs_as}"));
        // The program alone says who may come in.
        lines.push("AuthorizedKeysFile none".into());
    }
    if !login.command.is_empty() {
        let command = builder.fit(shell_words(&login.command), &at.join("command"))?;
        lines.push(format!("ForceCommand {command}"));
    }
    for line in [
        "AuthenticationMethods publickey",
        "PubkeyAuthentication yes",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "DisableForwarding yes",
        "PermitTTY no",
        "PermitUserRC no",
    ] {
        lines.push(line.into());
    }
    Some(lines.join("\n    ") + "\n")
}

/// A login name: sshd takes an asterisk, a question mark, a comma or an exclamation mark for a pattern.
fn plain(name: &str) -> Written {
    let good = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    if good { Ok(name.to_owned()) } else { Err(Unrepresentable::new("sshd_config", "such a login name")) }
}

/// Words that sshd splits again itself.
fn words(argv: &[String]) -> Written {
    let all: Written<Vec<String>> = argv.iter().map(|word| sshd::argument(word)).collect();
    Ok(all?.join(" "))
}

/// Words that the user's shell splits again: sshd takes the rest of the line as it is.
fn shell_words(argv: &[String]) -> Written {
    let mut all = Vec::new();
    for word in argv {
        if word.chars().any(char::is_control) {
            return Err(Unrepresentable::new("sshd_config", "a control character"));
        }
        let safe = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c));
        all.push(if safe { word.clone() } else { format!("'{}'", word.replace('\'', "'\\''")) });
    }
    Ok(all.join(" "))
}
