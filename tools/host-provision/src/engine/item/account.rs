//! Groups and users.

use contract::Exit;
use contract::document::{Group, Op, Presence, User};

use super::{Kind, Thing, View, account_files};
use crate::engine::accounts::has_shadow;
use crate::engine::apply::Apply;
use crate::engine::entry::Difference;
use crate::engine::host::Host;
use crate::engine::owned::{absent, existed};
use crate::engine::process::Process;
use crate::engine::units::{no_systemd, start_manager};
use crate::fault::{Fault, Outcome};

pub(super) struct GroupKind<'a>(pub(super) &'a Group);

impl Kind for GroupKind<'_> {
    fn label(&self) -> &'static str {
        "group"
    }

    fn name(&self) -> String {
        self.0.name.clone()
    }

    fn needs_system(&self) -> bool {
        true
    }

    fn things(&self, _view: View<'_>) -> Outcome<Vec<Thing>> {
        Ok(vec![Thing { kind: "group", name: self.0.name.clone() }])
    }

    fn observe(&self, view: View<'_>) -> Outcome<Difference> {
        let accounts = view.host.accounts();
        let Some(live) = accounts.group(&self.0.name) else {
            return Ok(missing());
        };
        let mut found = Difference { observed: format!("group {}", live.gid), ..Difference::default() };
        if self.0.gid.is_some_and(|gid| gid != live.gid) {
            found.op = Some(Op::Update);
            found.why.push("gid".into());
        }
        Ok(found)
    }

    fn converge(&self, apply: &mut Apply<'_>) -> Outcome<()> {
        let group = self.0;
        let there = apply.host.accounts().group(&group.name).is_some();
        if there {
            return Err(Fault::new(
                Exit::Refused,
                "group_number",
                format!("the group {} has another number, and files belong to it by number", group.name),
            )
            .hint("take \"gid\" out of the item, or change the number by hand"));
        }
        apply.barrier()?;
        if !has_shadow() {
            apply.own("group", &group.name, None, false, absent());
            return account_files::make_group(apply, group);
        }
        let mut argv = vec!["groupadd".to_owned()];
        if group.system {
            argv.push("--system".into());
        }
        if let Some(gid) = group.gid {
            argv.extend(["--gid".into(), gid.to_string()]);
        }
        argv.push(group.name.clone());
        apply.never_undone("group", &group.name, "accounts are not taken back")?;
        apply.own("group", &group.name, None, false, absent());
        Process::new(argv).succeed()?;
        apply.host.forget_accounts();
        Ok(())
    }

    fn remember(&self, apply: &mut Apply<'_>) -> Outcome<()> {
        apply.own("group", &self.0.name, None, false, existed());
        Ok(())
    }
}

/// Removes a user or group.
///
/// # Errors
/// 69 where the system refuses.
pub fn remove(apply: &mut Apply<'_>, kind: &str, name: &str) -> Outcome<()> {
    if !has_shadow() {
        return account_files::remove(apply, kind, name);
    }
    if kind == "user" {
        apply.save_account(name)?;
    } else {
        apply.never_undone(kind, name, "accounts are not taken back")?;
    }
    Process::new([if kind == "user" { "userdel" } else { "groupdel" }, name]).succeed()?;
    apply.host.forget_accounts();
    Ok(())
}

pub(super) struct UserKind<'a>(pub(super) &'a User);

fn missing() -> Difference {
    Difference { op: Some(Op::Create), why: vec!["missing".into()], observed: "absent".into(), ..Difference::default() }
}

impl UserKind<'_> {
    fn differences(&self, view: View<'_>) -> (Vec<String>, String) {
        let user = self.0;
        let accounts = view.host.accounts();
        let Some(live) = accounts.user(&user.name) else { return (vec!["missing".into()], "absent".into()) };
        let mut why = Vec::new();
        let mut differs = |what: &str, is: bool| {
            if is {
                why.push(what.to_owned());
            }
        };
        differs("uid", user.uid.is_some_and(|uid| uid != live.uid));
        differs("home", user.home.as_ref().is_some_and(|home| *home != live.home));
        differs("shell", user.shell.as_ref().is_some_and(|shell| *shell != live.shell));
        differs("comment", user.comment.as_ref().is_some_and(|comment| *comment != live.comment));
        let primary = accounts.group_name(live.gid).unwrap_or_default();
        differs("group", user.group.as_ref().is_some_and(|group| *group != primary));
        let groups = accounts.groups_of(&user.name);
        differs("groups", user.groups.iter().any(|group| group != primary && !groups.contains(&group.as_str())));
        let lingers = view.host.exists(&format!("/var/lib/systemd/linger/{}", user.name));
        differs("linger", user.linger && !lingers);
        let observed = format!(
            "user {} {primary} {} {} {} {} {lingers}",
            live.uid,
            groups.join(","),
            live.home,
            live.shell,
            live.comment
        );
        (why, observed)
    }

    /// The login shell, as far as the host has it.
    pub(super) fn shell(&self, host: &Host) -> String {
        if let Some(shell) = &self.0.shell {
            return shell.clone();
        }
        let known = if self.0.system {
            ["/usr/sbin/nologin", "/sbin/nologin", "/bin/false"]
        } else {
            ["/bin/bash", "/bin/ash", "/bin/sh"]
        };
        (*known.iter().find(|shell| host.exists(shell)).unwrap_or(&known[0])).to_owned()
    }
}

impl Kind for UserKind<'_> {
    fn label(&self) -> &'static str {
        "user"
    }

    fn name(&self) -> String {
        self.0.name.clone()
    }

    fn needs_system(&self) -> bool {
        true
    }

    fn things(&self, _view: View<'_>) -> Outcome<Vec<Thing>> {
        Ok(vec![Thing { kind: "user", name: self.0.name.clone() }])
    }

    fn observe(&self, view: View<'_>) -> Outcome<Difference> {
        let there = view.host.accounts().user(&self.0.name).is_some();
        if self.0.presence == Presence::Absent {
            let op = (there && view.work.allow.contains(&format!("drop:user/{}", self.0.name))).then_some(Op::Delete);
            let why = op.map(|_| "absent".to_owned()).into_iter().collect();
            return Ok(Difference { op, why, observed: there.to_string(), ..Difference::default() });
        }
        if !there {
            return Ok(missing());
        }
        let (why, observed) = self.differences(view);
        let op = (!why.is_empty()).then_some(Op::Update);
        Ok(Difference { op, why, observed, ..Difference::default() })
    }

    fn converge(&self, apply: &mut Apply<'_>) -> Outcome<()> {
        let user = self.0;
        apply.barrier()?;
        if user.presence == Presence::Absent {
            return remove(apply, "user", &user.name);
        }
        let there = apply.host.accounts().user(&user.name).is_some();
        let (why, _) = self.differences(apply.view());
        if there && why.iter().any(|why| why == "uid") {
            return Err(Fault::new(
                Exit::Refused,
                "user_number",
                format!("the user {} has another number, and files belong to it by number", user.name),
            )
            .hint("take \"uid\" out of the item, or change the number by hand"));
        }
        if !has_shadow() {
            if there {
                self.remember(apply)?;
            } else {
                apply.own("user", &user.name, None, false, absent());
            }
            apply.save_owned()?;
            let shell = self.shell(apply.host);
            account_files::make_user(apply, user, &shell, &why, there)?;
            return if user.linger { Err(no_systemd()) } else { Ok(()) };
        }
        let mut argv = vec![if there { "usermod".to_owned() } else { "useradd".into() }];
        let changes = |what: &str| !there || why.iter().any(|why| why == what);
        if let Some(uid) = user.uid.filter(|_| changes("uid")) {
            argv.extend(["--uid".into(), uid.to_string()]);
        }
        if let Some(home) = user.home.as_ref().filter(|_| changes("home")) {
            argv.extend([if there { "--home".into() } else { "--home-dir".into() }, home.clone()]);
        }
        if changes("shell") {
            argv.extend(["--shell".into(), self.shell(apply.host)]);
        }
        if let Some(comment) = user.comment.as_ref().filter(|_| changes("comment")) {
            argv.extend(["--comment".into(), comment.clone()]);
        }
        match user.group.as_ref().filter(|_| changes("group")) {
            Some(group) => argv.extend(["--gid".into(), group.clone()]),
            // A group of the same name may have been made by an item before.
            None if !there && apply.host.accounts().group(&user.name).is_some() => {
                argv.extend(["--gid".into(), user.name.clone()]);
            }
            None if !there => argv.push("--user-group".into()),
            None => {}
        }
        if !user.groups.is_empty() && changes("groups") {
            if there {
                argv.push("--append".into());
            }
            argv.extend(["--groups".into(), user.groups.join(",")]);
        }
        if there {
            self.remember(apply)?;
        } else {
            argv.push(if user.system { "--no-create-home".into() } else { "--create-home".into() });
            if user.system {
                argv.push("--system".into());
            }
            apply.own("user", &user.name, None, false, absent());
        }
        if argv.len() > 1 {
            argv.push(user.name.clone());
            if there {
                apply.save_account(&user.name)?;
            } else {
                apply.never_undone("user", &user.name, "accounts are not taken back")?;
            }
            Process::new(argv).succeed()?;
        }
        if user.linger && changes("linger") {
            apply.host.forget_accounts();
            Process::new(["loginctl", "enable-linger", &user.name]).succeed()?;
            // Its manager comes up by itself a little later; items after this one need it now.
            if let Some(uid) = apply.host.accounts().uid(&user.name) {
                start_manager(uid)?;
            }
        }
        apply.host.forget_accounts();
        Ok(())
    }

    fn remember(&self, apply: &mut Apply<'_>) -> Outcome<()> {
        apply.own("user", &self.0.name, None, false, existed());
        Ok(())
    }
}
