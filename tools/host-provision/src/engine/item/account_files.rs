//! Accounts of hosts without the programs of shadow (busybox, as on Alpine): passwd(5), group(5) and shadow(5) are written
//! anew, as adduser there does it, but durably and with the way back noted.

use contract::document::{Group, User};

use crate::engine::apply::Apply;
use crate::engine::entry::{Access, Content, Entry, Node};
use crate::engine::tree::Live;
use crate::fault::{Fault, Outcome};

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";
const SHADOW: &str = "/etc/shadow";

/// The smallest number that no line has in this field.
fn free(text: &str, field: usize, system: bool) -> u32 {
    let used: Vec<u32> = text.lines().filter_map(|line| line.split(':').nth(field)?.parse().ok()).collect();
    let (first, last) = if system { (100, 999) } else { (1000, 59_999) };
    (first..=last).find(|number| !used.contains(number)).unwrap_or(last + 1)
}

fn with_line(text: &str, line: &str) -> String {
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    format!("{text}{end}{line}\n")
}

/// The text with other fields in the line of one name, numbered from 0.
fn with_fields(text: &str, name: &str, fields: &[(usize, String)]) -> String {
    let changed = text.lines().map(|line| {
        let mut parts: Vec<&str> = line.split(':').collect();
        if parts[0] == name {
            for (index, value) in fields {
                if let Some(part) = parts.get_mut(*index) {
                    *part = value;
                }
            }
        }
        parts.join(":") + "\n"
    });
    changed.collect()
}

fn without_line(text: &str, name: &str) -> String {
    text.lines().filter(|line| line.split(':').next() != Some(name)).flat_map(|line| [line, "\n"]).collect()
}

fn with_member(text: &str, group: &str, user: &str) -> String {
    let members =
        text.lines().find(|line| line.split(':').next() == Some(group)).and_then(|line| line.split(':').nth(3));
    let mut members: Vec<&str> = members.unwrap_or_default().split(',').filter(|member| !member.is_empty()).collect();
    if members.contains(&user) {
        return text.to_owned();
    }
    members.push(user);
    with_fields(text, group, &[(3, members.join(","))])
}

fn without_member(text: &str, user: &str) -> String {
    let changed = text.lines().map(|line| {
        let mut parts: Vec<String> = line.split(':').map(str::to_owned).collect();
        if let Some(members) = parts.get_mut(3) {
            *members = members.split(',').filter(|member| *member != user).collect::<Vec<_>>().join(",");
        }
        parts.join(":") + "\n"
    });
    changed.collect()
}

/// Replaces one of the files; its mode and owner stay.
fn replace(apply: &mut Apply<'_>, path: &str, text: String) -> Outcome<()> {
    let Live::File(live) = apply.host.tree.look(path)? else { return Ok(()) };
    let access = Access { mode: live.mode, owner: live.uid.to_string(), group: live.gid.to_string() };
    let node =
        Node::File { content: Content::new(text.into_bytes()), access, validate: Vec::new(), keep_existing: false };
    apply.place_unowned(&Entry { path: path.into(), node })
}

fn done(apply: &mut Apply<'_>) -> Outcome<()> {
    apply.barrier()?;
    apply.host.forget_accounts();
    Ok(())
}

fn group_text(text: &str, name: &str, gid: Option<u32>, system: bool) -> String {
    let gid = gid.unwrap_or_else(|| free(text, 2, system));
    with_line(text, &format!("{name}:x:{gid}:"))
}

/// Makes a group.
pub(super) fn make_group(apply: &mut Apply<'_>, group: &Group) -> Outcome<()> {
    let text = group_text(&apply.host.text(GROUP), &group.name, group.gid, group.system);
    replace(apply, GROUP, text)?;
    done(apply)
}

/// Makes a user, or changes what `why` says of one that is there.
pub(super) fn make_user(apply: &mut Apply<'_>, user: &User, shell: &str, why: &[String], there: bool) -> Outcome<()> {
    let name = &user.name;
    let mut groups = apply.host.text(GROUP);
    let primary = user.group.as_ref().unwrap_or(name);
    let gid_in = |text: &str, group: &str| {
        let line = text.lines().find(|line| line.split(':').next() == Some(group))?;
        line.split(':').nth(2)?.parse::<u32>().ok()
    };
    let missing = |group: &str| {
        Fault::new(
            contract::Exit::BadDocument,
            "unknown_account",
            format!("the group \"{group}\" does not exist on the host"),
        )
        .hint("declare the group in an item before this one")
    };
    if !there && user.group.is_none() && gid_in(&groups, primary).is_none() {
        groups = group_text(&groups, name, None, user.system);
    }
    let gid = || gid_in(&groups, primary).ok_or_else(|| missing(primary));
    let passwd = apply.host.text(PASSWD);
    if there {
        let changes = |what: &str| why.iter().any(|why| why == what);
        let mut fields = Vec::new();
        if changes("group") {
            fields.push((3, gid()?.to_string()));
        }
        for (index, what, value) in [(4, "comment", &user.comment), (5, "home", &user.home), (6, "shell", &user.shell)]
        {
            fields.extend(value.clone().filter(|_| changes(what)).map(|value| (index, value)));
        }
        if !fields.is_empty() {
            replace(apply, PASSWD, with_fields(&passwd, name, &fields))?;
        }
    } else {
        let (uid, gid) = (user.uid.unwrap_or_else(|| free(&passwd, 2, user.system)), gid()?);
        let home = user.home.clone().unwrap_or_else(|| format!("/home/{name}"));
        let comment = user.comment.as_deref().unwrap_or_default();
        replace(apply, PASSWD, with_line(&passwd, &format!("{name}:x:{uid}:{gid}:{comment}:{home}:{shell}")))?;
        // No password, but not locked: sshd without PAM lets nobody in who is, not even with a key.
        let shadow = apply.host.text(SHADOW);
        replace(apply, SHADOW, with_line(&without_line(&shadow, name), &format!("{name}:*:19000:0:99999:7:::")))?;
        if !user.system {
            // Numbers, because the names are known after the barrier only.
            let access = Access { mode: 0o755, owner: uid.to_string(), group: gid.to_string() };
            if apply.host.tree.look(&home)? == Live::Absent {
                apply.place_unowned(&Entry { path: home, node: Node::Directory { access, data: false } })?;
            }
        }
    }
    for group in user.groups.iter().filter(|group| *group != primary) {
        gid_in(&groups, group).ok_or_else(|| missing(group))?;
        groups = with_member(&groups, group, name);
    }
    replace(apply, GROUP, groups)?;
    done(apply)
}

/// Removes a user with its own group, or a group.
pub(super) fn remove(apply: &mut Apply<'_>, kind: &str, name: &str) -> Outcome<()> {
    let mut groups = apply.host.text(GROUP);
    if kind == "user" {
        let passwd = without_line(&apply.host.text(PASSWD), name);
        let accounts = apply.host.accounts();
        groups = without_member(&groups, name);
        // The group of the same name was made with it, unless somebody else is in it.
        let own = accounts.group(name).filter(|group| group.members.iter().all(|member| member == name));
        if own.is_some_and(|own| !passwd.lines().any(|line| line.split(':').nth(3) == Some(&own.gid.to_string()))) {
            groups = without_line(&groups, name);
        }
        replace(apply, PASSWD, passwd)?;
        let shadow = without_line(&apply.host.text(SHADOW), name);
        replace(apply, SHADOW, shadow)?;
    } else {
        groups = without_line(&groups, name);
    }
    replace(apply, GROUP, groups)?;
    done(apply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_and_go() {
        let text = "root:x:0:0:root:/root:/bin/sh\na:x:1000:1000::/a:/bin/sh\n";
        assert_eq!((free(text, 2, false), free(text, 2, true)), (1001, 100));
        let changed = with_fields(text, "a", &[(5, "/srv/a".into()), (6, "/bin/false".into())]);
        assert_eq!(changed, "root:x:0:0:root:/root:/bin/sh\na:x:1000:1000::/srv/a:/bin/false\n");
        assert_eq!(without_line(text, "root"), "a:x:1000:1000::/a:/bin/sh\n");
        let group = "a:x:1:\nb:x:2:x,y\n";
        assert_eq!(with_member(group, "b", "z"), "a:x:1:\nb:x:2:x,y,z\n");
        assert_eq!(with_member(group, "b", "y"), group);
        assert_eq!(without_member(&with_member(group, "a", "y"), "y"), "a:x:1:\nb:x:2:x\n");
        assert_eq!(group_text("a:x:100:", "b", None, true), "a:x:100:\nb:x:101:\n");
    }
}
