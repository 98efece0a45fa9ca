//! What only the host can tell of the owner's way in: keys that are there, the key in use, the port that is open now.

use contract::document::{AuthorizedKeys, HostItem, Presence};
use contract::{Exit, Pointer, places};

use super::host::Host;
use super::item::key_of;
use super::process::Process;
use crate::fault::{Fault, Outcome};
use crate::lockout::{Lockout, dropping_ruleset, lets_in};
use crate::sshd_settings::SshdSettings;
use crate::wire::Work;

/// Where sshd looks for keys if nobody says otherwise.
const KEY_FILES: &str = ".ssh/authorized_keys .ssh/authorized_keys2";

/// Refuses work that would leave the owner without a way in.
///
/// # Errors
/// 76, with the consent that allows it all the same.
pub fn check(host: &Host, work: &Work) -> Outcome<()> {
    let mut found = lockouts(host, work).into_iter().filter(|lockout| !lockout.is_allowed(&work.allow));
    let Some(first) = found.next() else { return Ok(()) };
    let fault = Fault::new(Exit::Refused, "lockout", first.message.clone()).at(first.at.clone()).hint(first.hint());
    Err(found.fold(fault, |fault, other| fault.cause(other.message)))
}

fn lockouts(host: &Host, work: &Work) -> Vec<Lockout> {
    let mut found = Vec::new();
    let desired = &work.desired;
    let access = desired.access.as_ref();
    let mut users: Vec<&str> = access.iter().flat_map(|access| &access.login_users).map(String::as_str).collect();
    // Who comes in by a user that shall not log in any more knows it; else that user is the way in.
    let login =
        work.login.as_ref().filter(|login| access.is_none_or(|access| access.login_users.contains(&login.user)));
    users.extend(login.iter().map(|login| login.user.as_str()));
    users.sort_unstable();
    users.dedup();
    let settings = SshdSettings::declared(desired);
    for user in users {
        let in_use = login.filter(|login| login.user == user).and_then(|login| login.key.as_deref());
        keys(host, work, &settings, user, in_use, &mut found);
    }
    if let Some(login) = login {
        for (index, item) in desired.items.iter().enumerate() {
            let at = Pointer::root().join("items").join(index);
            let gone =
                item.user.as_ref().is_some_and(|user| user.name == login.user && user.presence == Presence::Absent);
            if gone && access.is_none() {
                let message = format!("the user {}, as whom you are logged in, is taken away", login.user);
                found.push(Lockout::new(format!("user/{}", login.user), at.clone(), message, "log in as another user"));
            }
            live_port(item, login.port, access.map_or(&[], |access| &access.ssh_ports), &at, &mut found);
        }
    }
    found
}

/// The port by which we came in must stay open until the new one is proven. Our own table is held open by the set.
fn live_port(item: &HostItem, port: u16, wanted: &[u16], at: &Pointer, found: &mut Vec<Lockout>) {
    let Some(text) = dropping_ruleset(item) else { return };
    let held = text.contains(&format!("table {}", places::NFT_TABLE)) && text.contains(places::NFT_SSH_PORTS);
    if !wanted.contains(&port) && !lets_in(text, port) && !held {
        let message = format!("the firewall drops port {port}, by which you come in, before another one is proven");
        let fix = "keep the port until the new one works, or use the set ssh_ports of the table inet plumbline";
        found.push(Lockout::new(format!("port/{port}"), at.join("file").join("content"), message, fix));
    }
}

/// Keys by which a user can log in after the apply.
fn keys(host: &Host, work: &Work, settings: &SshdSettings, user: &str, in_use: Option<&str>, found: &mut Vec<Lockout>) {
    let home = super::item::home_of(host, work, user);
    let files = key_files(host, settings, user, &home);
    let mut keys: Vec<String> = Vec::new();
    let mut changed: Option<Pointer> = None;
    for path in &files {
        let by_item = work.desired.items.iter().enumerate().find_map(|(index, item)| {
            let at = Pointer::root().join("items").join(index);
            match (&item.authorized_keys, &item.file) {
                (Some(keys), _) if keys.user == user && *path == format!("{home}/.ssh/authorized_keys") => {
                    Some((at.join("authorized_keys").join("keys"), after(host, path, keys)))
                }
                (_, Some(file)) if file.path == *path => {
                    Some((at.join("file"), lines(file.content.as_deref().unwrap_or_default())))
                }
                _ => None,
            }
        });
        let secret = path.starts_with("/run/");
        match by_item {
            Some((at, lines)) => {
                changed = Some(at);
                keys.extend(lines);
            }
            // A key that is a secret counts only once somebody has logged in with it.
            None if secret => keys.extend(read(host, path).into_iter().filter(|key| Some(key.as_str()) == in_use)),
            None => keys.extend(read(host, path)),
        }
    }
    let at = changed.clone().unwrap_or_else(|| Pointer::root().join("access").join("login_users"));
    let touched = changed.is_some() || settings.of_user(user, "authorizedkeysfile").is_some();
    if keys.is_empty() && (touched || settings.of_user(user, "passwordauthentication").is_some()) {
        let message = format!("no key is left by which {user} could log in");
        found.push(Lockout::new(
            format!("key/{user}"),
            at,
            message,
            "add an authorized_keys item with the owner's key",
        ));
    } else if let Some(key) = in_use.filter(|key| touched && !keys.iter().any(|left| left == key)) {
        let message = format!("the key by which you are logged in as {user} is no longer among its keys");
        let short = key.chars().take(40).collect::<String>();
        found.push(Lockout::new(format!("key/{user}"), at, message, &format!("add the key in use ({short}...)")));
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines().filter_map(key_of).collect()
}

fn read(host: &Host, path: &str) -> Vec<String> {
    lines(&host.text(path))
}

fn after(host: &Host, path: &str, item: &AuthorizedKeys) -> Vec<String> {
    let mut keys = if item.exclusive { Vec::new() } else { read(host, path) };
    keys.extend(item.keys.iter().filter_map(|line| key_of(line)));
    keys
}

/// The files in which sshd will look for the keys of a user.
fn key_files(host: &Host, settings: &SshdSettings, user: &str, home: &str) -> Vec<String> {
    let declared = settings.of_user(user, "authorizedkeysfile").map(|(words, _)| words.join(" "));
    let live = || {
        let asked = Process::new(["sshd", "-T"]).run().ok().filter(super::process::Ended::good)?;
        let line = asked.stdout.lines().find_map(|line| line.strip_prefix("authorizedkeysfile ").map(str::to_owned));
        line.filter(|_| !host.sandbox)
    };
    let text = declared.or_else(live).unwrap_or_else(|| KEY_FILES.into());
    text.split_whitespace()
        .map(|word| word.replace("%%", "%").replace("%u", user).replace("%h", home))
        .map(|path| if path.starts_with('/') { path } else { format!("{home}/{path}") })
        .collect()
}
