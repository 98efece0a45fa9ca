//! Groups and users.

use contract::Exit;
use contract::document::{Group, Op, Presence, User};

use super::{Kind, Thing, View};
use crate::engine::accounts::{has_shadow, remove, with_fields};
use crate::engine::apply::Apply;
use crate::engine::entry::{Difference, Entry};
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
        let shadow = has_shadow();
        let mut argv = vec![if shadow { "groupadd".to_owned() } else { "addgroup".into() }];
        if group.system {
            argv.push(if shadow { "--system".into() } else { "-S".into() });
        }
        if let Some(gid) = group.gid {
            argv.extend([if shadow { "--gid".into() } else { "-g".into() }, gid.to_string()]);
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
    fn shell(&self, host: &Host) -> String {
        if let Some(shell) = &self.0.shell {
            return shell.clone();
        }
        let known =
            if self.0.system { ["/usr/sbin/nologin", "/sbin/nologin", "/bin/false"] } else { ["/bin/bash", "/bin/ash", "/bin/sh"] };
        (*known.iter().find(|shell| host.exists(shell)).unwrap_or(&known[0])).to_owned()
    }

    /// Makes or changes the user with what busybox has: it cannot change one, so that the line is written anew.
    fn converge_busybox(&self, apply: &mut Apply<'_>, why: &[String], there: bool) -> Outcome<()> {
        let user = self.0;
        let accounts = apply.host.accounts();
        let primary = user.group.clone().unwrap_or_else(|| user.name.clone());
        if there {
            self.remember(apply)?;
        } else {
            apply.own("user", &user.name, None, false, absent());
        }
        apply.never_undone("user", &user.name, "accounts are not taken back")?;
        if !there {
            if accounts.group(&primary).is_none() {
                let system = if user.system { &["-S"][..] } else { &[] };
                Process::new(["addgroup"].iter().chain(system).chain(&[&primary[..]])).succeed()?;
            }
            let mut argv = vec!["adduser".to_owned(), "-D".into(), "-G".into(), primary.clone()];
            argv.extend(["-s".into(), self.shell(apply.host), "-g".into(), user.comment.clone().unwrap_or_default()]);
            if let Some(uid) = user.uid {
                argv.extend(["-u".into(), uid.to_string()]);
            }
            if let Some(home) = &user.home {
                argv.extend(["-h".into(), home.clone()]);
            }
            if user.system {
                argv.extend(["-S".into(), "-H".into()]);
            }
            argv.push(user.name.clone());
            Process::new(argv).succeed()?;
            // No password, but not locked: sshd without PAM lets nobody in who is, not even with a key.
            Process::new(["chpasswd", "-e"]).input(format!("{}:*\n", user.name)).succeed()?;
        } else {
            let mut fields = Vec::new();
            if why.iter().any(|why| why == "group") {
                let gid = accounts.group(&primary).map(|group| group.gid.to_string()).ok_or_else(|| {
                    Fault::new(Exit::BadDocument, "unknown_account", format!("the group \"{primary}\" does not exist on the host"))
                        .hint("declare the group in an item before this one")
                })?;
                fields.push((3, gid));
            }
            let wanted = [(4, "comment", &user.comment), (5, "home", &user.home), (6, "shell", &user.shell)];
            fields.extend(wanted.into_iter().filter_map(|(index, word, value)| {
                Some((index, value.clone()?)).filter(|_| why.iter().any(|why| why == word))
            }));
            if !fields.is_empty() {
                let passwd = with_fields(&apply.host.text("/etc/passwd"), &user.name, &fields);
                apply.place_unowned(&Entry::file("/etc/passwd", passwd.into_bytes(), 0o644))?;
                apply.barrier()?;
            }
        }
        let member = accounts.groups_of(&user.name).into_iter().map(str::to_owned).collect::<Vec<_>>();
        for group in user.groups.iter().filter(|group| **group != primary && !member.contains(group)) {
            Process::new(["addgroup", &user.name, group]).succeed()?;
        }
        apply.host.forget_accounts();
        if user.linger { Err(no_systemd()) } else { Ok(()) }
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
            apply.never_undone("user", &user.name, "accounts are not taken back")?;
            remove("user", &user.name)?;
            apply.host.forget_accounts();
            return Ok(());
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
            return self.converge_busybox(apply, &why, there);
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
            apply.never_undone("user", &user.name, "accounts are not taken back")?;
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
