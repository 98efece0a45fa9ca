//! Whether the backups are as the plan says. The repository is asked, not our own log: what is not there was not backed up.

use cli::{Failure, SecretStore};
use contract::document::{BackupPlan, BackupProof, BackupResult, BackupVerdict, RepositoryVerdict};
use contract::{Exit, SchemaId};
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::restic::{Repository, Snapshot};

/// A snapshot smaller than this share of the one before it is suspicious.
const DROP: f64 = 0.8;

/// What a repository said.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard {
    pub snapshots: Vec<Snapshot>,
    /// Bytes of the newest and of the one before it.
    pub sizes: [Option<u64>; 2],
}

/// Asks every repository of a plan and judges.
///
/// # Errors
/// Where a secret is not there.
pub(crate) fn judge(plan: &BackupPlan, secrets: &SecretStore, now: jiff::Timestamp) -> Result<BackupVerdict, Failure> {
    let mut verdicts = Vec::new();
    let mut oldest: Option<jiff::Timestamp> = None;
    for declared in &plan.repositories {
        let repository = Repository::open(plan, declared, secrets)?;
        let heard = hear(plan, &repository);
        if let Ok(heard) = &heard {
            let times = heard.snapshots.iter().filter_map(|snapshot| snapshot.time.parse::<jiff::Timestamp>().ok());
            oldest = oldest.into_iter().chain(times).min();
        }
        // Without restic or a network nobody can say how the backups are.
        if let Err(error @ Error::NoProgram { .. }) = heard {
            return Err(error.into());
        }
        verdicts.push(judge_repository(plan, &declared.id, heard, now));
    }
    let (problems, proof_age_secs) = judge_plan(plan, oldest, now);
    Ok(BackupVerdict {
        host: plan.host.clone(),
        plan: plan.plan.clone(),
        ok: problems.is_empty() && verdicts.iter().all(|verdict| verdict.ok),
        judged_at: now.to_string(),
        repositories: verdicts,
        proof_age_secs,
        problems,
    })
}

fn hear(plan: &BackupPlan, repository: &Repository<'_>) -> Result<Heard, Error> {
    let snapshots = repository.snapshots(plan, None)?;
    let mut newest = snapshots.iter().rev();
    let mut size = || newest.next().map(|snapshot| repository.size(snapshot, None)).transpose();
    let sizes = [size()?, size()?];
    Ok(Heard { snapshots, sizes })
}

/// The verdict on one repository, from what it said.
pub(crate) fn judge_repository(
    plan: &BackupPlan,
    id: &str,
    heard: Result<Heard, Error>,
    now: jiff::Timestamp,
) -> RepositoryVerdict {
    let mut verdict = RepositoryVerdict {
        id: id.into(),
        ok: false,
        snapshot: None,
        time: None,
        age_secs: None,
        bytes: None,
        previous_bytes: None,
        snapshots: 0,
        problems: Vec::new(),
    };
    let heard = match heard {
        Ok(heard) => heard,
        Err(error) => {
            verdict.problems.push(error.to_string());
            return verdict;
        }
    };
    verdict.snapshots = heard.snapshots.len() as u64;
    [verdict.bytes, verdict.previous_bytes] = heard.sizes;
    match heard.snapshots.last() {
        None => verdict.problems.push("there is no snapshot of the plan".into()),
        Some(newest) => {
            verdict.snapshot = Some(newest.id.clone());
            verdict.time = Some(newest.time.clone());
            match newest.time.parse::<jiff::Timestamp>() {
                Ok(time) => {
                    let age = now.as_second() - time.as_second();
                    verdict.age_secs = Some(u64::try_from(age).unwrap_or_default());
                    if age < -300 {
                        verdict.problems.push("the newest snapshot is from the future; a clock is wrong".into());
                    }
                    let limit = plan.policy.max_age;
                    if u64::try_from(age).unwrap_or_default() > limit.as_secs() {
                        let age = contract::Duration::from_secs(u64::try_from(age).unwrap_or_default());
                        verdict.problems.push(format!("the newest snapshot is {age} old, the limit is {limit}"));
                    }
                }
                Err(error) => verdict.problems.push(format!("the time of the newest snapshot does not read: {error}")),
            }
        }
    }
    if let [Some(bytes), Some(previous)] = heard.sizes
        && (bytes as f64) < previous as f64 * DROP
    {
        verdict.problems.push(format!("the newest snapshot has {bytes} bytes, the one before it {previous}"));
    }
    verdict.ok = verdict.problems.is_empty();
    verdict
}

/// What this host remembers: the last run, and the last proof of a restore. Elsewhere there is nothing to remember.
fn judge_plan(plan: &BackupPlan, oldest: Option<jiff::Timestamp>, now: jiff::Timestamp) -> (Vec<String>, Option<u64>) {
    let mut problems = Vec::new();
    let state = std::path::Path::new(&plan.state);
    if let Some(last) = read::<BackupResult>(&state.join("result.json"), SchemaId::BACKUP_RESULT)
        && last.plan == plan.plan
        && !last.outcome.is_done()
    {
        let why = last.error.map(|error| format!(": {}", error.message)).unwrap_or_default();
        problems.push(format!("the last run ({}) did not end well{why}", last.finished_at));
    }
    let limit = plan.policy.proof_max_age;
    let proof =
        read::<BackupProof>(&state.join("proof.json"), SchemaId::BACKUP_PROOF).filter(|proof| proof.plan == plan.plan);
    let age_since = |time: jiff::Timestamp| u64::try_from(now.as_second() - time.as_second()).unwrap_or_default();
    let age = proof.as_ref().and_then(|proof| proof.finished_at.parse().ok()).map(age_since);
    match (&proof, age) {
        (Some(proof), _) if !proof.ok => problems.push(format!("the last drill ({}) failed", proof.finished_at)),
        (Some(_), Some(age)) if age > limit.as_secs() => problems.push(format!(
            "the proof of a restore is {} old, the limit is {limit}",
            contract::Duration::from_secs(age)
        )),
        // A young plan has until its first proof is due.
        (None, _) if oldest.is_some_and(|oldest| age_since(oldest) > limit.as_secs()) => {
            problems.push("no restore has been proven yet".into());
        }
        _ => {}
    }
    (problems, age)
}

fn read<D: DeserializeOwned>(path: &std::path::Path, id: SchemaId) -> Option<D> {
    let bytes = std::fs::read(path).ok()?;
    let value: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    if value["schema"] != id.as_str() {
        return None;
    }
    serde_json::from_value(value).ok()
}

/// The exit of a verdict.
pub(crate) fn exit(verdict: &BackupVerdict) -> Exit {
    if verdict.ok { Exit::Done } else { Exit::No }
}
