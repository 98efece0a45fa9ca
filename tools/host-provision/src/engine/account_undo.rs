//! Accounts as they were before a run changed them. A changed account may be the owner's way in, so it goes back with
//! everything else; one that a run made stays, because files may belong to it by then.

use serde::{Deserialize, Serialize};

use super::apply::Apply;
use super::host::{Host, write_durably};
use super::run::Run;
use super::tree::Live;
use super::undo::Undo;
use crate::fault::{Fault, Outcome};

/// The files of passwd(5), shadow(5), group(5) and gshadow(5).
const FILES: [&str; 4] = ["/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow"];

/// Whoever changes accounts holds this (lckpwdf(3)).
const LOCK: &str = "/etc/.pwd.lock";

/// The lines of one account. They hold the hash of a password, so they lie in the backup and not in the journal.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Saved {
    /// Its own line of each file.
    lines: [Option<String>; 4],
    /// Groups in which it is besides its primary one.
    member_of: Vec<String>,
}

fn line_of(text: &str, name: &str) -> Option<String> {
    text.lines().find(|line| line.split(':').next() == Some(name)).map(str::to_owned)
}

impl Apply<'_> {
    /// Saves an account for the way back.
    ///
    /// # Errors
    /// Those of the system.
    pub fn save_account(&mut self, name: &str) -> Outcome<()> {
        self.save_owned()?;
        let saved = Saved {
            lines: FILES.map(|path| line_of(&self.host.text(path), name)),
            member_of: self.host.accounts().groups_of(name).into_iter().map(str::to_owned).collect(),
        };
        let (backup, path) = self.run.backup_name();
        write_durably(&path, &serde_json::to_vec(&saved).unwrap_or_default())
            .map_err(|error| Fault::io("back up", "the account", &error))?;
        self.run.note(&Undo::Account { name: name.into(), backup })?;
        self.run.sync()
    }
}

/// Brings an account back to what it was.
///
/// # Errors
/// Those of the system.
pub(super) fn restore(host: &Host, run: &Run, name: &str, backup: &str) -> Outcome<()> {
    let saved: Saved = serde_json::from_slice(&run.backup(backup)?).unwrap_or_default();
    let lock = std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(host.tree.real(LOCK));
    if let Ok(lock) = &lock {
        // Without it the worst is that somebody else's change at this very moment is lost.
        let _ = rustix::fs::fcntl_lock(lock, rustix::fs::FlockOperation::LockExclusive);
    }
    for (path, line) in FILES.iter().zip(&saved.lines) {
        let Some(place) = host.tree.place(path)? else { continue };
        let Live::File(live) = place.look()? else { continue };
        let before = String::from_utf8_lossy(&place.read()?.unwrap_or_default()).into_owned();
        let after = restored(&before, name, line.as_deref(), path.contains("group"), &saved.member_of);
        if after == before {
            continue;
        }
        let temporary = format!(".plumbline-{}.back", run.record.id);
        place.unlink_beside(&temporary);
        let file = place.write_beside(&temporary, after.as_bytes(), live.mode, Some((live.uid, live.gid)))?;
        rustix::fs::fsync(&file).map_err(|error| Fault::errno("make durable", *path, error))?;
        place.rename_from(&temporary)?;
        place.sync()?;
    }
    host.forget_accounts();
    Ok(())
}

/// One file with the account's line as it was, and in files of groups the account a member of those that it was in.
fn restored(text: &str, name: &str, line: Option<&str>, groups: bool, member_of: &[String]) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut found = false;
    for current in text.lines() {
        let own = current.split(':').next().unwrap_or_default();
        if own == name {
            found = true;
            lines.extend(line.map(str::to_owned));
            continue;
        }
        if !groups {
            lines.push(current.to_owned());
            continue;
        }
        let (start, members) = current.rsplit_once(':').unwrap_or((current, ""));
        let mut names: Vec<&str> = members.split(',').filter(|member| !member.is_empty()).collect();
        let was = member_of.iter().any(|group| group == own);
        match (was, names.contains(&name)) {
            (true, false) => names.push(name),
            (false, true) => names.retain(|member| *member != name),
            _ => {}
        }
        lines.push(format!("{start}:{}", names.join(",")));
    }
    if !found {
        lines.extend(line.map(str::to_owned));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_members_as_they_were() {
        let passwd = "root:x:0:0::/root:/bin/bash\nops:x:1000:1000::/gone:/usr/sbin/nologin\n";
        let line = "ops:x:1000:1000::/home/ops:/bin/bash";
        assert_eq!(restored(passwd, "ops", Some(line), false, &[]), format!("root:x:0:0::/root:/bin/bash\n{line}\n"));
        // Taken away meanwhile, and back at the end.
        assert_eq!(restored("root:x:0:\n", "ops", Some("ops:x:1000:"), true, &[]), "root:x:0:\nops:x:1000:\n");
        let groups = "sudo:x:27:me\nadm:x:4:ops,me\n";
        assert_eq!(restored(groups, "ops", None, true, &["sudo".into()]), "sudo:x:27:me,ops\nadm:x:4:me\n");
    }
}
