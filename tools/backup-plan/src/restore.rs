//! Restoring into an empty directory. What is there already is never written over.

use std::path::Path;

use cli::{Failure, SecretStore, Session};
use contract::Exit;
use contract::document::{BackupPlan, BackupResult, BackupStepResult, Outcome};

use crate::drill::chosen;
use crate::error::Error;
use crate::restic::{Repository, includes};
use crate::run::now;
use crate::state::make_private;

/// What to restore, and where to.
#[derive(Debug, Clone)]
pub(crate) struct Wanted<'a> {
    pub repository: Option<&'a str>,
    pub snapshot: &'a str,
    pub target: &'a Path,
    pub paths: &'a [String],
}

/// Restores.
///
/// # Errors
/// Where the target holds something, or there is nothing to restore.
pub(crate) fn restore(
    session: &mut Session,
    plan: &BackupPlan,
    wanted: &Wanted<'_>,
    secrets: &SecretStore,
) -> Result<BackupResult, Failure> {
    let signals = session.begin_apply();
    let started = now();
    let began = std::time::Instant::now();
    if std::fs::read_dir(wanted.target).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Failure::new(Exit::Refused, "target_not_empty", "the target holds something already")
            .place(wanted.target.display().to_string())
            .hint("give a directory that is empty or not there, and move things into place yourself"));
    }
    let declared = chosen(plan, wanted.repository)?;
    let repository = Repository::open(plan, declared, secrets)?;
    let snapshots = repository.snapshots(plan, Some(&signals))?;
    let snapshot = match wanted.snapshot {
        "latest" => snapshots.last(),
        id => snapshots.iter().find(|snapshot| snapshot.id.starts_with(id)),
    };
    let Some(snapshot) = snapshot else {
        return Err(Error::NoSnapshot { repository: declared.id.clone(), plan: plan.plan.clone() }.into());
    };
    make_private(wanted.target)?;
    let target = wanted.target.display().to_string();
    let included = includes(wanted.paths.iter().map(String::as_str));
    let mut arguments = vec!["restore", snapshot.id.as_str(), "--target", target.as_str()];
    arguments.extend(included.iter().map(String::as_str));
    let ended = repository.call("restoring", &arguments, Some(&signals))?;
    if ended.code != 0 {
        return Err(repository.error("restoring", &ended).into());
    }
    for path in wanted.paths {
        if std::fs::symlink_metadata(wanted.target.join(path.trim_start_matches('/'))).is_err() {
            return Err(Failure::new(Exit::Unavailable, "not_in_snapshot", format!("{path} is not in the snapshot"))
                .hint(format!("restic -r {} ls {} lists what is", declared.uri, snapshot.id)));
        }
    }
    Ok(BackupResult {
        host: plan.host.clone(),
        plan: plan.plan.clone(),
        digest: plan.digest.clone(),
        outcome: Outcome::Done,
        started_at: started.to_string(),
        finished_at: now().to_string(),
        steps: vec![BackupStepResult {
            id: format!("restore/{}", declared.id),
            kind: "restore".into(),
            repository: Some(declared.id.clone()),
            state: "done".into(),
            exit: Some(0),
            snapshot: Some(snapshot.id.clone()),
            files: None,
            bytes: None,
            added_bytes: None,
            unreadable: Vec::new(),
            message: None,
            ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        }],
        error: None,
    })
}
