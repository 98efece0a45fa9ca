//! What the end of a restic command means for a run.

use cli::Signals;
use contract::document::{BackupStep, BackupStepResult};

use crate::error::Error;
use crate::restic::{Repository, parse_backup, parse_unreadable};
use crate::runner::Ended;

/// How a check, forget or prune ended.
///
/// # Errors
/// Where it failed.
pub(super) fn judged(
    repository: &Repository<'_>,
    step: &BackupStep,
    ended: &Ended,
    result: &mut BackupStepResult,
) -> Result<(), Error> {
    result.exit = Some(ended.code);
    if ended.code == 0 { Ok(()) } else { Err(repository.error(&step.id, ended)) }
}

/// How a backup ended, with what it says of the snapshot.
///
/// # Errors
/// Where there is no snapshot, or not all of it.
pub(super) fn backed_up(
    repository: &Repository<'_>,
    step: &BackupStep,
    ended: &Ended,
    result: &mut BackupStepResult,
) -> Result<(), Error> {
    result.exit = Some(ended.code);
    let summary = parse_backup(&ended.stdout);
    if let Some(summary) = &summary {
        result.snapshot.clone_from(&summary.snapshot_id);
        result.files = Some(summary.total_files_processed);
        result.bytes = Some(summary.total_bytes_processed);
        result.added_bytes = Some(summary.data_added);
    }
    match (ended.code, summary) {
        // The manifest of the run is always in it, so that an empty snapshot is no backup, whatever restic calls it.
        (0, Some(summary)) if summary.total_files_processed == 0 => {
            Err(Error::Answer { what: "a backup".into(), cause: "the snapshot holds no file at all".into() })
        }
        (0, Some(_)) => Ok(()),
        (0, None) => Err(Error::Answer { what: "a backup".into(), cause: "there is no summary".into() }),
        // A snapshot was made, without what could not be read.
        (3, _) => {
            result.unreadable = parse_unreadable(&ended.stderr);
            let detail = format!("some files could not be read: {}", result.unreadable.join(", "));
            Err(Error::Command { step: step.id.clone(), code: 3, detail })
        }
        _ => Err(repository.error(&step.id, ended)),
    }
}

/// Asks what would be kept: a retention that keeps nothing is never carried out.
///
/// # Errors
/// Where nothing would be kept, or restic does not say.
pub(super) fn keeps_something(
    repository: &Repository<'_>,
    step: &BackupStep,
    signals: Option<&Signals>,
) -> Result<(), Error> {
    let mut argv = step.argv.clone();
    argv.push("--dry-run".into());
    let ended = repository.run_unlocking(&step.id, &argv, Some(step.timeout), signals)?;
    if ended.code != 0 {
        return Err(repository.error(&step.id, &ended));
    }
    let groups: Vec<serde_json::Value> = ended
        .stdout
        .lines()
        .find_map(|line| serde_json::from_str(line).ok())
        .ok_or_else(|| Error::Answer { what: "forget".into(), cause: "there is no list of groups".into() })?;
    let empty = |group: &serde_json::Value| group["keep"].as_array().is_none_or(Vec::is_empty);
    if groups.iter().any(empty) {
        return Err(Error::KeepsNothing { repository: repository.declared.id.clone() });
    }
    Ok(())
}
