//! The units of systemd.

use crate::fault::{Fault, Outcome};
use contract::Exit;

use super::accounts::Accounts;
use super::process::{Ended, Process};

/// A unit and whose manager it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct UnitKey {
    /// Full name.
    pub name: String,
    /// The user whose manager it is; none for the system's.
    pub user: Option<String>,
}

/// What systemd says of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct UnitStatus {
    /// `loaded`, `not-found`, `masked`, ...
    pub load: String,
    /// `active`, `inactive`, `failed`, ...
    pub active: String,
    /// `enabled`, `disabled`, `static`, `masked`, ...
    pub file: String,
    /// How often it was restarted by itself.
    pub restarts: String,
    /// `oneshot`, `simple`, ...
    pub kind: String,
}

impl UnitKey {
    /// A unit of the system.
    pub fn system(name: &str) -> Self {
        let name = if name.contains('.') { name.to_owned() } else { format!("{name}.service") };
        Self { name, user: None }
    }

    /// A unit of a scope as documents write it: `system`, or `user:NAME`.
    pub fn scoped(name: &str, scope: Option<&str>) -> Self {
        let user = scope.and_then(|scope| scope.strip_prefix("user:")).map(str::to_owned);
        Self { user, ..Self::system(name) }
    }

    /// A command to the manager of this unit.
    pub fn systemctl(&self, args: &[&str]) -> Process {
        systemctl(self.user.as_deref(), args)
    }

    /// Starts or restarts the unit by these words of systemctl. systemd refuses one that was started five times within ten
    /// seconds, be it by a crash of what this very run mends; who means it says `reset-failed` first. So do we, where it is so.
    ///
    /// # Errors
    /// 69 where systemctl cannot be asked; how it ended is for the caller to judge.
    pub fn start(&self, words: &[&str]) -> Outcome<Ended> {
        let mut argv = words.to_vec();
        argv.extend(["--", &self.name]);
        let forgive = || self.systemctl(&["reset-failed", "--", &self.name]).run();
        if show(std::slice::from_ref(self))?.first().is_some_and(|status| status.active == "failed") {
            forgive()?;
        }
        let ended = self.systemctl(&argv).run()?;
        if ended.good() || !last_log(self).contains("Start request repeated too quickly") {
            return Ok(ended);
        }
        forgive()?;
        self.systemctl(&argv).run()
    }
}

impl UnitStatus {
    /// It runs, or is about to.
    pub fn is_active(&self) -> bool {
        matches!(self.active.as_str(), "active" | "activating" | "reloading")
    }

    /// It is started at boot, or its file leaves no choice.
    pub fn is_enabled(&self) -> bool {
        matches!(
            self.file.as_str(),
            "enabled" | "enabled-runtime" | "static" | "alias" | "generated" | "linked" | "indirect"
        )
    }

    /// It cannot be started.
    pub fn is_masked(&self) -> bool {
        self.file.starts_with("masked") || self.load == "masked"
    }

    /// systemd knows it.
    pub fn is_known(&self) -> bool {
        self.load != "not-found" && !self.load.is_empty()
    }
}

/// A command to a manager. That of a user is spoken to as the user and over its own socket: this needs neither a session
/// nor a bus.
pub fn systemctl(user: Option<&str>, args: &[&str]) -> Process {
    let mut argv = Vec::new();
    let mut runtime = None;
    if let Some(user) = user {
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let accounts = Accounts::parse(&passwd, "");
        // A user that does not exist has no manager either: the command says so.
        let (uid, gid) = accounts.user(user).map_or((u32::MAX, u32::MAX), |account| (account.uid, account.gid));
        argv.extend(["setpriv".to_owned(), format!("--reuid={uid}"), format!("--regid={gid}"), "--init-groups".into()]);
        argv.push("--".into());
        runtime = Some(format!("/run/user/{uid}"));
    }
    argv.extend(["systemctl".to_owned(), "--no-ask-password".into()]);
    if user.is_some() {
        argv.push("--user".into());
    }
    argv.extend(args.iter().map(|arg| (*arg).to_owned()));
    let process = Process::new(argv);
    match runtime {
        Some(runtime) => process.env("XDG_RUNTIME_DIR", &runtime),
        None => process,
    }
}

/// Starts the manager of a user and waits until it answers. It stays where the user lingers.
///
/// # Errors
/// 69 where systemd refuses.
pub fn start_manager(uid: u32) -> Outcome<()> {
    systemctl(None, &["start", &format!("user@{uid}.service")]).succeed().map(drop)
}

/// The fault of a host that has no units.
pub fn no_systemd() -> Fault {
    Fault::new(Exit::Unavailable, "no_systemd", "the host does not run systemd, so that it has no units")
        .hint("take the unit items and the handlers of units out for this host; command items start things there")
}

/// The state of units, in the order asked for.
///
/// # Errors
/// 69 where systemd does not answer.
pub fn show(keys: &[UnitKey]) -> Outcome<Vec<UnitStatus>> {
    let mut found = vec![UnitStatus::default(); keys.len()];
    let mut users: Vec<Option<&str>> = keys.iter().map(|key| key.user.as_deref()).collect();
    users.sort_unstable();
    users.dedup();
    for user in users {
        let mine: Vec<usize> = (0..keys.len()).filter(|index| keys[*index].user.as_deref() == user).collect();
        let mut args = vec!["show", "--property=LoadState,ActiveState,UnitFileState,NRestarts,Type", "--"];
        args.extend(mine.iter().map(|index| keys[*index].name.as_str()));
        let ended = systemctl(user, &args).run()?;
        if !ended.good() && ended.stdout.is_empty() {
            if user.is_some() {
                // The manager of a user that does not exist or does not linger yet: nothing is known there.
                continue;
            }
            return Err(failed("ask systemd for its units", &ended));
        }
        for (index, paragraph) in mine.iter().zip(ended.stdout.split("\n\n")) {
            for line in paragraph.lines() {
                let status = &mut found[*index];
                match line.split_once('=') {
                    Some(("LoadState", value)) => value.clone_into(&mut status.load),
                    Some(("ActiveState", value)) => value.clone_into(&mut status.active),
                    Some(("UnitFileState", value)) => value.clone_into(&mut status.file),
                    Some(("NRestarts", value)) => value.clone_into(&mut status.restarts),
                    Some(("Type", value)) => value.clone_into(&mut status.kind),
                    _ => {}
                }
            }
        }
    }
    Ok(found)
}

/// The fault of a systemd command that did not work.
pub fn failed(doing: &str, ended: &Ended) -> Fault {
    Fault::new(Exit::Unavailable, "unit_failed", format!("cannot {doing}")).cause(ended.last_words())
}

/// The last lines of a unit's log, for an error.
pub fn last_log(key: &UnitKey) -> String {
    let which = if key.user.is_some() { "--user-unit" } else { "--unit" };
    Process::new(["journalctl", "--no-pager", "--quiet", "--output=cat", "--lines=8", which, &key.name])
        .timeout(std::time::Duration::from_secs(5))
        .run()
        .map(|ended| ended.stdout.trim().replace('\n', "; "))
        .unwrap_or_default()
}

/// Whether a change of this path must be told to systemd before units are looked at again.
pub(super) fn is_unit_file(path: &str) -> bool {
    ["/etc/systemd/", "/usr/lib/systemd/", "/lib/systemd/"].iter().any(|prefix| path.starts_with(prefix))
}
