//! What would cut the owner off, seen in the document alone, before any host is spoken to. The guard on the host would
//! put such a change back; a person would rather hear of it first. What only the host can tell is asked there
//! (`engine::way_in`).

use contract::Pointer;
use contract::document::{Access, HostDesired, HostItem, Presence, UnitState};

use crate::sshd_settings::SshdSettings;

/// One way of locking the owner out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lockout {
    /// What is lost: `port/2222`, `user/ops`, `key/root`.
    pub thing: String,
    /// Where the document says it.
    pub at: Pointer,
    /// What happens.
    pub message: String,
    /// What to do instead.
    pub fix: String,
}

impl Lockout {
    /// Something that is lost.
    pub fn new(thing: impl Into<String>, at: Pointer, message: impl Into<String>, fix: &str) -> Self {
        Self { thing: thing.into(), at, message: message.into(), fix: fix.into() }
    }

    /// Whether a person consented to it.
    pub fn is_allowed(&self, allow: &[String]) -> bool {
        allow.iter().any(|consent| consent.strip_prefix("lockout:") == Some(&self.thing))
    }

    /// What to do about it, with the consent.
    pub fn hint(&self) -> String {
        format!("{}; or, if it is meant, consent with --allow lockout:{}", self.fix, self.thing)
    }
}

/// Everything in a document by which its own `access` would be cut.
pub fn lockouts(desired: &HostDesired) -> Vec<Lockout> {
    let Some(access) = &desired.access else { return Vec::new() };
    let mut found = Vec::new();
    let starts_socket = |item: &HostItem| {
        item.unit.as_ref().is_some_and(|unit| unit.name == "ssh.socket" && unit.state == Some(UnitState::Started))
    };
    let by_socket = desired.items.iter().any(starts_socket);
    for (index, item) in desired.items.iter().enumerate() {
        let at = Pointer::root().join("items").join(index);
        firewall(item, access, &at, &mut found);
        accounts(item, access, &at, &mut found);
        services(item, access, by_socket, &at, &mut found);
    }
    sshd(desired, access, &mut found);
    found
}

/// The text of a file item that holds a whole nftables ruleset which drops what it does not name.
pub fn dropping_ruleset(item: &HostItem) -> Option<&str> {
    let file = item.file.as_ref()?;
    let text = file.content.as_deref()?;
    let is_ruleset = file.path.starts_with("/etc/nftables") || file.path.rsplit('.').next() == Some("nft");
    (is_ruleset && text.contains("hook input") && text.contains("policy drop")).then_some(text)
}

/// Whether a ruleset lets a TCP port in, as far as that can be seen: the port stands in a set or behind `dport`, alone
/// or within a range. What is let in by address alone is left to the proof.
pub fn lets_in(ruleset: &str, port: u16) -> bool {
    let statements =
        ruleset.lines().map(|line| line.split('#').next().unwrap_or_default()).flat_map(|line| line.split(';'));
    statements.into_iter().any(|statement| {
        if statement.contains("saddr") && statement.contains("accept") && !statement.contains("dport") {
            return true;
        }
        let relevant = ["dport", "elements", "define"].iter().any(|word| statement.contains(word));
        relevant && numbers(statement).any(|(low, high)| (low..=high).contains(&port))
            || statement.contains("dport")
                && port == 22
                && statement.split(|c: char| !c.is_alphanumeric()).any(|word| word == "ssh")
    })
}

fn numbers(text: &str) -> impl Iterator<Item = (u16, u16)> {
    text.split(|c: char| !c.is_ascii_digit() && c != '-').filter_map(|word| match word.split_once('-') {
        Some((low, high)) => Some((low.parse().ok()?, high.parse().ok()?)),
        None => word.parse().ok().map(|port| (port, port)),
    })
}

fn firewall(item: &HostItem, access: &Access, at: &Pointer, found: &mut Vec<Lockout>) {
    let Some(text) = dropping_ruleset(item) else { return };
    for port in access.ssh_ports.iter().filter(|port| !lets_in(text, **port)) {
        let message = format!("the firewall drops port {port}, by which the owner shall log in");
        let fix = "let the port in (the set ssh_ports of the table inet plumbline)";
        found.push(Lockout::new(format!("port/{port}"), at.join("file").join("content"), message, fix));
    }
}

fn accounts(item: &HostItem, access: &Access, at: &Pointer, found: &mut Vec<Lockout>) {
    let Some(user) = item.user.as_ref().filter(|user| access.login_users.contains(&user.name)) else { return };
    let at = at.join("user");
    if user.presence == Presence::Absent {
        let message = format!("the user {}, as whom the owner logs in, is taken away", user.name);
        found.push(Lockout::new(format!("user/{}", user.name), at, message, "log in as another user first"));
    } else if let Some(shell) = user.shell.as_ref().filter(|shell| is_no_shell(shell)) {
        let message = format!("the user {}, as whom the owner logs in, gets {shell} as shell", user.name);
        found.push(Lockout::new(format!("user/{}", user.name), at.join("shell"), message, "give it a real shell"));
    }
}

fn is_no_shell(shell: &str) -> bool {
    matches!(shell.rsplit('/').next(), Some("nologin" | "false" | "true"))
}

fn services(item: &HostItem, access: &Access, by_socket: bool, at: &Pointer, found: &mut Vec<Lockout>) {
    if let Some(packages) = &item.packages {
        let needs_sudo = access.login_users.iter().any(|user| user != "root");
        for (index, name) in packages.absent.iter().enumerate() {
            if name == "openssh-server" || (name == "sudo" && needs_sudo) {
                let message = format!("without {name} the owner cannot come in");
                let at = at.join("packages").join("absent").join(index);
                found.push(Lockout::new(format!("package/{name}"), at, message, "take it off the list"));
            }
        }
    }
    if let Some(unit) = &item.unit {
        let name = unit.name.trim_end_matches(".service");
        let by_socket = by_socket && matches!(name, "ssh" | "sshd") && !unit.masked;
        let stops = !by_socket && (matches!(unit.state, Some(UnitState::Stopped)) || unit.masked);
        if stops && matches!(name, "ssh" | "sshd" | "networking" | "systemd-networkd" | "NetworkManager") {
            let message = format!("without {} the owner cannot come in", unit.name);
            found.push(Lockout::new(format!("unit/{}", unit.name), at.join("unit"), message, "leave it running"));
        }
    }
}

fn sshd(desired: &HostDesired, access: &Access, found: &mut Vec<Lockout>) {
    let settings = SshdSettings::declared(desired);
    let ports = settings.all("port");
    if let Some((_, at)) = ports.first() {
        for port in &access.ssh_ports {
            if !ports.iter().any(|(words, _)| words.first().and_then(|word| word.parse().ok()) == Some(*port)) {
                let message = format!("sshd does not listen on port {port}, by which the owner shall log in");
                found.push(Lockout::new(format!("port/{port}"), at.clone(), message, "add a Port line"));
            }
        }
    }
    let listens = settings.all("listenaddress");
    let loopback =
        |words: &[String]| words.first().is_some_and(|word| word.starts_with("127.") || word.contains("::1"));
    if let Some((_, at)) = listens.first().filter(|_| listens.iter().all(|(words, _)| loopback(words))) {
        let message = "sshd listens for this machine itself only";
        found.push(Lockout::new("address/loopback", at.clone(), message, "add the address by which the owner comes"));
    }
    for user in &access.login_users {
        let mut lost = |at: Pointer, why: &str, fix: &str| {
            let message = format!("sshd would refuse {user}, as whom the owner logs in: {why}");
            found.push(Lockout::new(format!("user/{user}"), at, message, fix));
        };
        let is = |value: &[String], words: &[&str]| {
            value.first().is_some_and(|value| words.iter().any(|word| value.eq_ignore_ascii_case(word)))
        };
        if let Some((value, at)) = settings.of_user(user, "pubkeyauthentication")
            && is(value, &["no"])
        {
            lost(at.clone(), "keys are not taken", "set PubkeyAuthentication yes");
        }
        if user == "root"
            && let Some((value, at)) = settings.of_user(user, "permitrootlogin")
            && is(value, &["no", "forced-commands-only"])
        {
            lost(at.clone(), "PermitRootLogin", "set PermitRootLogin prohibit-password, or log in as another user");
        }
        if let Some((value, at)) = settings.of_user(user, "authenticationmethods")
            && !value.iter().any(|list| list.split(',').all(|way| way == "any" || way.starts_with("publickey")))
        {
            lost(at.clone(), "a key alone is not enough", "let \"publickey\" be one of the AuthenticationMethods");
        }
        if let Some((value, at)) = settings.of_user(user, "authorizedkeysfile")
            && is(value, &["none"])
        {
            lost(at.clone(), "no file of keys is read", "name the file in AuthorizedKeysFile");
        }
        if let Some((value, at)) = settings.of_user(user, "forcecommand")
            && !is(value, &["none"])
        {
            lost(at.clone(), "ForceCommand runs something else", "leave the user out of the Match block");
        }
        let allowed = settings.all_of_user(user, "allowusers");
        let names = |words: &[(&[String], &Pointer)]| {
            words
                .iter()
                .flat_map(|(words, _)| words.iter().map(|word| word.split('@').next().unwrap_or(word).to_owned()))
                .collect::<Vec<_>>()
        };
        if let Some((_, at)) = allowed.first()
            && !crate::sshd_settings::list_matches(&names(&allowed), user)
        {
            lost((*at).clone(), "AllowUsers does not name it", "add it to AllowUsers");
        }
        let denied = settings.all_of_user(user, "denyusers");
        if let Some((_, at)) = denied.first()
            && crate::sshd_settings::list_matches(&names(&denied), user)
        {
            lost((*at).clone(), "DenyUsers names it", "take it out of DenyUsers");
        }
        groups(desired, &settings, user, &mut lost);
    }
}

/// Groups of a user that the document declares are known; others are left to the proof.
fn groups(desired: &HostDesired, settings: &SshdSettings, user: &str, lost: &mut impl FnMut(Pointer, &str, &str)) {
    let declared = desired.items.iter().filter_map(|item| item.user.as_ref()).find(|item| item.name == user);
    let Some(declared) = declared.filter(|item| item.group.is_some() || !item.groups.is_empty()) else { return };
    let mut of_user = declared.groups.clone();
    of_user.push(declared.group.clone().unwrap_or_else(|| user.to_owned()));
    let listed = |keyword: &str| {
        let lines = settings.all_of_user(user, keyword);
        let names: Vec<String> = lines.iter().flat_map(|(words, _)| words.iter().cloned()).collect();
        lines.first().map(|(_, at)| {
            ((*at).clone(), of_user.iter().any(|group| crate::sshd_settings::list_matches(&names, group)))
        })
    };
    if let Some((at, false)) = listed("allowgroups") {
        lost(at, "AllowGroups names none of its groups", "add one of its groups to AllowGroups");
    }
    if let Some((at, true)) = listed("denygroups") {
        lost(at, "DenyGroups names one of its groups", "take the group out of DenyGroups");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn ports_in_rulesets() {
        let ruleset = "table inet x {\n set ssh_ports { type inet_service; elements = { 2222, 8000-8100 } }\n\
             chain input { type filter hook input priority 0; policy drop;\n tcp dport 443 accept # dport 9999\n } }";
        for port in [2222, 8050, 443] {
            assert!(lets_in(ruleset, port), "{port}");
        }
        for port in [22, 9999, 0, 8101] {
            assert!(!lets_in(ruleset, port), "{port}");
        }
        assert!(lets_in("tcp dport ssh accept", 22));
        assert!(lets_in("ip saddr 10.0.0.0/8 accept", 22));
    }
}
