//! Passwords at the proxy. Caddy reads them from its own file only: each start and reload first turns the secrets into lines
//! of a Caddyfile, in RAM, which the site imports.

use std::collections::BTreeMap;

use contract::document::{Handler, Stage};
use contract::{Pointer, SecretName};

use super::UNIT;
use crate::fleet::{Auth, BasicAuth};
use crate::format::caddyfile::{Line, word};
use crate::format::systemd::{self, UnitFile};
use crate::host::HostBuilder;
use crate::model::{Entry, Site};

const SCRIPT: &str = "/usr/local/lib/plumbline/caddy-passwords";
/// The script: POSIX sh and awk.
pub(crate) const TEXT: &str = include_str!("passwords.sh");
const FOLDER: &str = "/run/plumbline-caddy";
const RELOAD: &str = "/usr/bin/caddy reload --config /etc/caddy/Caddyfile --force";

/// The question for a password.
pub(super) fn question(builder: &mut HostBuilder<'_, '_>, entry: &Entry<'_>, basic: &BasicAuth) -> Option<Line> {
    let at = entry.pointer.join("auth");
    let realm = builder.fit(word(basic.realm.as_deref().unwrap_or(entry.service)), &at)?;
    // It has another name since 2.8.
    let directive = if builder.host.proxy_version() < (2, 8, 0) { "basicauth" } else { "basic_auth" };
    // An asterisk, because a file that is named must be there also where nothing has been filled yet.
    let import = Line::new(&format!("import {FOLDER}/{}/*", basic.users.secret));
    Some(Line::new(directive).with("bcrypt").with(realm).body(vec![import]))
}

/// The secrets with the passwords of sites, and which names are behind them.
pub(crate) fn secrets(sites: &[Site<'_>]) -> BTreeMap<SecretName, Vec<Pointer>> {
    let mut secrets: BTreeMap<SecretName, Vec<Pointer>> = BTreeMap::new();
    for entry in sites.iter().flat_map(|site| &site.entries).filter(|entry| entry.behind.is_none()) {
        if let Auth::Basic(basic) = &entry.route.auth {
            secrets.entry(basic.users.secret.clone()).or_default().push(entry.pointer.clone());
        }
    }
    secrets
}

/// What turns the secrets of all sites into what Caddy reads.
pub(super) fn add(builder: &mut HostBuilder<'_, '_>, sites: &[Site<'_>]) {
    let secrets = secrets(sites);
    if secrets.is_empty() {
        return;
    }
    let from: Vec<_> = secrets.values().flatten().cloned().collect();
    let names = secrets.keys().map(ToString::to_string);
    let argv: Vec<String> = [SCRIPT.to_owned()].into_iter().chain(names).collect();
    let Some(exec) = builder.fit(systemd::exec(&argv), &from[0]) else { return };
    // With the rights of the system, which alone reads all secrets. A reload has one more step, before its own.
    let unit = UnitFile::new()
        .set("Service", "ExecStartPre", format!("+{exec}"))
        .set("Service", "ExecReload", "")
        .set("Service", "ExecReload", format!("+{exec}"))
        .set("Service", "ExecReload", RELOAD);
    builder
        .file(Stage::Services, SCRIPT, TEXT.into(), &from)
        .mode(0o755)
        .validate(&["/bin/sh", "-n", "%s"])
        .add(builder);
    let text = builder.header("#", &from) + &unit.write();
    builder
        .file(Stage::Services, &format!("/etc/systemd/system/{UNIT}.d/20-plumbline-passwords.conf"), text, &from)
        .notify(Handler::restart(UNIT))
        .add(builder);
    builder.wait_for_secrets(Stage::Services, UNIT, &from);
}
