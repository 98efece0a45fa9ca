//! Accounts of the system that are made together. `useradd` reads, locks and writes four files for each user;
//! systemd-sysusers(8) does it once for all of them, by the same rules of numbers. What it does not make is made by the item
//! itself, which also finds the words for what is wrong.

use contract::document::{Group, HostItem, Presence, User};

use super::account::UserKind;
use super::{Kind, View};
use crate::engine::accounts::has_shadow;
use crate::engine::apply::Apply;
use crate::engine::host::Host;
use crate::engine::owned::absent;
use crate::engine::process::{Process, is_there};
use crate::fault::Outcome;

/// Beginning with the first of these items, makes accounts that are missing, if it is more than one. Tells the ids of the
/// items whose account is there then.
///
/// # Errors
/// Those of the system; that an account cannot be made is none yet.
pub fn make_ahead(apply: &mut Apply<'_>, items: &[(&HostItem, Box<dyn Kind + '_>)]) -> Outcome<Vec<String>> {
    let mut lines = Vec::new();
    let mut made: Vec<&HostItem> = Vec::new();
    for (item, _) in items {
        let Some(line) = line_of(apply.view(), item, &made) else { break };
        lines.push(line);
        made.push(item);
    }
    if made.len() < 2 || !is_there("systemd-sysusers") || !has_shadow() || has_hooks(apply.host) {
        return Ok(Vec::new());
    }
    apply.barrier()?;
    for item in &made {
        let (kind, name) = thing(item);
        apply.own_for(item, kind, name, absent());
    }
    let all: Vec<(&str, &str)> = made.iter().map(|item| thing(item)).collect();
    apply.never_undone_all(&all, "accounts are not taken back")?;
    // Whatever it says: what is missing now is made, or refused in words, by the item itself.
    let _ = Process::new(["systemd-sysusers", "-"]).input(lines.concat()).run();
    apply.host.forget_accounts();
    let accounts = apply.host.accounts();
    let is_made = |item: &&HostItem| match thing(item) {
        ("user", name) => accounts.user(name).is_some(),
        (_, name) => accounts.group(name).is_some(),
    };
    Ok(made.into_iter().filter(is_made).map(|item| item.id.clone()).collect())
}

/// What others hooked into useradd and groupadd must not be passed by.
fn has_hooks(host: &Host) -> bool {
    let hooks = ["useradd-pre.d", "useradd-post.d", "groupadd-pre.d", "groupadd-post.d"];
    hooks.iter().any(|hooks| host.exists(&format!("/etc/shadow-maint/{hooks}")))
}

fn thing(item: &HostItem) -> (&'static str, &str) {
    match (&item.user, &item.group) {
        (Some(user), _) => ("user", &user.name),
        (None, group) => ("group", group.as_ref().map_or("", |group| &group.name)),
    }
}

/// The lines of sysusers.d(5) for an account that is missing; none for one that needs more care than they can say.
fn line_of(view: View<'_>, item: &HostItem, before: &[&HostItem]) -> Option<String> {
    let accounts = view.host.accounts();
    let is_group =
        |name: &str| accounts.group(name).is_some() || before.iter().any(|item| thing(item) == ("group", name));
    match item {
        HostItem { group: Some(Group { name, gid: None, system: true }), user: None, .. } => {
            (!is_group(name) && is_plain(name)).then(|| format!("g {name} -\n"))
        }
        HostItem { user: Some(user), group: None, .. } => {
            let User { name, presence: Presence::Present, uid: None, system: true, linger: false, .. } = user else {
                return None;
            };
            let group = user.group.as_deref().unwrap_or(name);
            let groups_are_there = user.groups.iter().chain(&user.group).all(|group| is_group(group));
            if accounts.user(name).is_some() || !groups_are_there || !is_plain(name) || !is_plain(group) {
                return None;
            }
            let number = if user.group.is_some() { format!("-:{group}") } else { "-".into() };
            let home = user.home.clone().unwrap_or_else(|| format!("{}/{name}", homes(view.host)));
            let shell = UserKind(user).shell(view.host);
            let comment = user.comment.as_deref().unwrap_or_default();
            let fields = [quoted(comment)?, quoted(&home)?, quoted(&shell)?].join(" ");
            let mut lines = format!("u {name} {number} {fields}\n");
            for group in user.groups.iter().filter(|group| is_plain(group)) {
                lines.push_str(&format!("m {name} {group}\n"));
            }
            Some(lines)
        }
        _ => None,
    }
}

/// Names that mean the same to everybody; others are left to the one who has to judge them.
fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    name.len() < 32
        && name.bytes().all(plain)
        && name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
}

/// A word of sysusers.d(5); none for text that would need an escape.
fn quoted(text: &str) -> Option<String> {
    let odd = |letter: char| letter.is_control() || matches!(letter, '"' | '\'' | '\\' | ':');
    (!text.contains(odd)).then(|| format!("\"{}\"", text.replace('%', "%%")))
}

/// Where useradd lets homes be.
fn homes(host: &Host) -> String {
    let settings = host.text("/etc/default/useradd");
    let home = settings.lines().filter_map(|line| line.trim().strip_prefix("HOME=")).next_back();
    home.map_or("/home", |home| home.trim_matches('"').trim_end_matches('/')).to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::blobs::Blobs;
    use crate::wire::Work;

    #[test]
    fn only_what_lines_can_say() {
        let base = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(base.path().join("etc/default")).unwrap();
        std::fs::write(base.path().join("etc/passwd"), "old:x:1:1::/:/bin/sh\n").unwrap();
        std::fs::write(base.path().join("etc/group"), "www-data:x:33:\n").unwrap();
        std::fs::write(base.path().join("etc/default/useradd"), "# HOME=/no\nHOME=/srv/homes\n").unwrap();
        let host = Host::sandbox(base.path());
        let (work, blobs) = (Work::default(), Blobs::default());
        let view = View { host: &host, work: &work, blobs: &blobs };
        let item = |text: &str| serde_json::from_str::<HostItem>(text).unwrap();
        let line = |text: &str| line_of(view, &item(text), &[]);
        let user = |more: &str| line(&format!(r#"{{"id": "u", "user": {{"name": "app", "system": true{more}}}}}"#));
        let plain = "u app - \"\" \"/srv/homes/app\" \"/usr/sbin/nologin\"\n";
        assert_eq!(user("").unwrap(), plain);
        assert_eq!(
            user(
                r#", "group": "www-data", "groups": ["www-data"], "home": "/a b", "shell": "/bin/sh", "comment": "5 %""#
            )
            .unwrap(),
            "u app -:www-data \"5 %%\" \"/a b\" \"/bin/sh\"\nm app www-data\n"
        );
        for more in [
            r#", "uid": 500"#,
            r#", "linger": true"#,
            r#", "presence": "absent""#,
            r#", "group": "missing""#,
            r#", "groups": ["missing"]"#,
            r#", "comment": "a:b""#,
            r#", "comment": "a\nu root 0""#,
            r#", "home": "/a\"b""#,
        ] {
            assert_eq!(user(more), None, "{more}");
        }
        assert_eq!(line(r#"{"id": "u", "user": {"name": "old", "system": true}}"#), None);
        assert_eq!(line(r#"{"id": "u", "user": {"name": "Old", "system": true}}"#), None);
        assert_eq!(line(r#"{"id": "u", "user": {"name": "person"}}"#), None);
        let group = item(r#"{"id": "g", "group": {"name": "missing", "system": true}}"#);
        assert_eq!(line_of(view, &group, &[]).unwrap(), "g missing -\n");
        let in_it = item(r#"{"id": "u", "user": {"name": "app", "system": true, "group": "missing"}}"#);
        assert!(line_of(view, &in_it, &[&group]).is_some());
        assert_eq!(line_of(view, &item(r#"{"id": "g", "group": {"name": "missing"}}"#), &[]), None);
    }
}
