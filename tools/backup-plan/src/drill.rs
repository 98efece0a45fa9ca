//! Proving that a restore works: what the manifest in the snapshot lists is restored into a private directory and compared.

use std::path::{Path, PathBuf};

use cli::{Failure, SecretStore, Session};
use contract::document::{BackupPlan, BackupProof, BackupStep};
use contract::{Exit, SchemaId};

use crate::error::Error;
use crate::manifest::{self, Entry};
use crate::restic::{Repository, includes};
use crate::run::now;
use crate::runner::{Order, run as execute};
use crate::state::State;

/// Restores and compares.
///
/// # Errors
/// Where there is nothing to restore from, or it cannot be tried.
pub(crate) fn drill(
    session: &mut Session,
    plan: &BackupPlan,
    only: Option<&str>,
    secrets: &SecretStore,
) -> Result<(BackupProof, Exit), Failure> {
    let signals = session.begin_apply();
    let state = State::open(plan)?;
    let _lock = state.lock()?;
    let declared = chosen(plan, only)?;
    let repository = Repository::open(plan, declared, secrets)?;
    let snapshots = repository.snapshots(plan, Some(&signals))?;
    let Some(snapshot) = snapshots.last() else {
        return Err(Error::NoSnapshot { repository: declared.id.clone(), plan: plan.plan.clone() }.into());
    };
    let scratch = state.scratch()?;
    let list = format!("{}/{}", plan.staging, manifest::NAME);
    let said = repository.call("reading the manifest", &["dump", &snapshot.id, &list], Some(&signals))?;
    if said.code != 0 {
        return Err(repository.error("reading the manifest", &said).into());
    }
    let entries = manifest::parse(&said.stdout);
    let target = scratch.path().display().to_string();
    let wanted = includes(entries.iter().map(|entry| entry.path.as_str()));
    let mut arguments = vec!["restore", snapshot.id.as_str(), "--target", target.as_str()];
    arguments.extend(wanted.iter().map(String::as_str));
    let mut mismatches = Vec::new();
    if !entries.is_empty() {
        let restored = repository.call("restoring", &arguments, Some(&signals))?;
        if restored.code != 0 {
            let error = repository.error("restoring", &restored);
            if !matches!(error, Error::Command { .. }) {
                return Err(error.into());
            }
            mismatches.push(format!("{error}: {}", restored.complaint()));
        }
    }
    let mut proof = BackupProof {
        host: plan.host.clone(),
        plan: plan.plan.clone(),
        repository: declared.id.clone(),
        snapshot: snapshot.id.clone(),
        finished_at: String::new(),
        ok: false,
        files: 0,
        bytes: 0,
        dumps: 0,
        changed: 0,
        mismatches,
    };
    let progress = session.progress(entries.len() as u64, "drill");
    for entry in &entries {
        progress.step(&entry.path);
        if let Some(exit) = signals.requested() {
            return Err(Error::Interrupted(exit).into());
        }
        compare(plan, scratch.path(), entry, &mut proof);
    }
    drop(progress);
    for step in plan.steps.iter().filter(|step| step.file.is_some()) {
        let file = step.file.as_deref().unwrap_or_default();
        if !entries.iter().any(|entry| entry.dump && entry.path == file) {
            proof.mismatches.push(format!("{file}: the snapshot holds no such dump"));
        }
    }
    if proof.files == 0 && proof.mismatches.is_empty() {
        proof.mismatches.push("nothing was compared, so nothing is proven".into());
    }
    proof.mismatches.sort();
    proof.ok = proof.mismatches.is_empty();
    proof.finished_at = now().to_string();
    let value = serde_json::to_value(&proof).unwrap_or_default();
    state.write("proof.json", cli::canonical_json(SchemaId::BACKUP_PROOF, &value, false).as_bytes(), 0o644)?;
    let exit = if proof.ok { Exit::Done } else { Exit::No };
    Ok((proof, exit))
}

/// The repository of that name, or the first.
///
/// # Errors
/// Where there is none.
pub(crate) fn chosen<'a>(
    plan: &'a BackupPlan,
    only: Option<&str>,
) -> Result<&'a contract::document::BackupRepository, Failure> {
    let found = match only {
        Some(id) => plan.repositories.iter().find(|repository| repository.id == id),
        None => plan.repositories.first(),
    };
    found.ok_or_else(|| {
        let known: Vec<_> = plan.repositories.iter().map(|repository| repository.id.as_str()).collect();
        Failure::new(Exit::Usage, "usage", "the plan has no such repository")
            .hint(format!("it has {}", known.join(", ")))
    })
}

fn compare(plan: &BackupPlan, scratch: &Path, entry: &Entry, proof: &mut BackupProof) {
    let path: PathBuf = scratch.join(entry.path.trim_start_matches('/'));
    let Ok(restored) = Entry::of(&path, entry.dump) else {
        proof.mismatches.push(format!("{}: it was not restored", entry.path));
        return;
    };
    // Nothing writes into the staging directory during a run; a file of a service may have been written in between.
    if !entry.dump && (restored.mtime_ns, restored.size) != (entry.mtime_ns, entry.size) {
        proof.changed += 1;
        return;
    }
    if restored.sha256 != entry.sha256 {
        proof.mismatches.push(format!("{}: its content is another", entry.path));
        return;
    }
    if entry.dump {
        if let Some(why) = unreadable(plan, entry, &path) {
            proof.mismatches.push(format!("{}: {why}", entry.path));
            return;
        }
        proof.dumps += 1;
    }
    proof.files += 1;
    proof.bytes += restored.size;
}

/// Runs the plan's own verification on a restored dump.
fn unreadable(plan: &BackupPlan, entry: &Entry, path: &Path) -> Option<String> {
    let step: &BackupStep = plan.steps.iter().find(|step| step.file.as_deref() == Some(&entry.path))?;
    let part = format!("{}.part", entry.path);
    let restored = path.to_str()?.to_owned();
    let argv: Vec<_> =
        step.argv.iter().map(|word| if *word == part { restored.clone() } else { word.clone() }).collect();
    let name = format!("reading {}", entry.path);
    match execute(Order { name: &name, argv: &argv, timeout: Some(step.timeout), ..Order::default() }, None) {
        Ok(ended) if ended.code == 0 && step.expect.as_ref().is_none_or(|expected| ended.stdout.trim() == expected) => {
            None
        }
        Ok(ended) => Some(format!("it does not read to its end: {}", ended.complaint())),
        Err(error) => Some(error.to_string()),
    }
}
