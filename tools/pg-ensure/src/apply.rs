//! Carrying changes out: under a lock, in as few transactions as PostgreSQL allows, and never further than asked.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use cli::{Failure, Signals};
use contract::document::{ChangeStatus, Op, Outcome, PgChange, PgChangeResult, PgResult};
use contract::{ErrorObject, Exit, Summary};

use crate::change::{Change, Phase};
use crate::connection::{Connection, Target};
use crate::error::Error;
use crate::job::Job;
use crate::observed::observe;
use crate::owned;
use crate::planner::{Planned, plan};
use crate::quote::ident;

/// The lock of all runs on a cluster. Advisory locks belong to one database, so it is always taken in the maintenance one.
const LOCK: &str = "SELECT pg_try_advisory_lock(1886152044, 1)";
/// A verifier permits guessing off line, so it is kept out of the server's log and of pg_stat_statements (superusers only).
const UNLOGGED: &str = "SET LOCAL log_statement = none; SET LOCAL log_min_error_statement = panic; \
    SET LOCAL log_min_duration_statement = -1; SET LOCAL log_min_duration_sample = -1; \
    SET LOCAL log_transaction_sample_rate = 0; SET LOCAL pg_stat_statements.track_utility = off";
/// How often a transaction that collided with another session is tried.
const TRIES: u32 = 5;

/// The changes of one transaction, by their places among all.
struct Group {
    phase: Phase,
    needs: Option<String>,
    members: Vec<usize>,
}

struct Run<'a> {
    target: &'a Target,
    work: Connection,
    owner: &'a str,
    unlogged: bool,
    changes: Vec<Change>,
    results: Vec<(ChangeStatus, Option<String>)>,
    missing: BTreeSet<String>,
    first_error: Option<Failure>,
    warnings: Vec<String>,
}

/// Makes the changes of a plan, or all that are needed.
///
/// # Errors
/// Where nothing was changed: the lock is taken, the plan is stale, the server refuses.
pub(crate) async fn apply(
    job: &Job,
    only: Option<&(u32, Vec<PgChange>)>,
    target: &Target,
    work: Connection,
    lock: Duration,
    signals: Option<&Signals>,
) -> Result<(PgResult, Exit), Failure> {
    take_lock(target, &work, lock).await?;
    let observed = observe(target, &work, &job.desired).await?;
    job.check_against(&observed)?;
    let mut planned = plan(&job.desired, &observed, &job.passwords(&observed));
    if let Some((version, changes)) = only {
        if *version / 10_000 != observed.version / 10_000 {
            return Err(Error::OtherVersion { planned: *version, found: observed.version }.into());
        }
        keep_only(&mut planned, changes)?;
    }
    removals(job, &mut planned);
    if planned.changes.is_empty() {
        let summary = Summary { unchanged: planned.unchanged, ..Summary::default() };
        return Ok((result_of(job, summary, Vec::new(), planned.orphaned, planned.warnings), Exit::Done));
    }
    if observed.standby {
        return Err(Error::Standby { place: target.place.clone() }.into());
    }
    if observed.version >= 160_000 && !observed.superuser {
        // Else a role that we make could not be given a database by us (42501 "must be able to SET ROLE").
        work.run("preparing the session", "SET createrole_self_grant = 'set, inherit'").await?;
    }
    let makes = planned.changes.iter().any(|change| change.makes.is_some());
    if makes && !observed.remembers {
        let sql = format!("BEGIN; {}; COMMIT", owned::CREATE);
        work.run("making the table plumbline.owned", &sql).await.map_err(|error| {
            Failure::from(error).hint(format!("role {} needs CREATE on database {}", target.role, target.maintenance))
        })?;
    }
    if observed.remembers {
        for (kind, name) in &planned.vanished {
            work.run("forgetting what is gone", &owned::forget(kind, name)).await?;
        }
    }
    let count = planned.changes.len();
    let mut run = Run {
        target,
        work,
        owner: &job.desired.owner,
        unlogged: observed.superuser,
        changes: planned.changes,
        results: vec![(ChangeStatus::Skipped, None); count],
        missing: BTreeSet::new(),
        first_error: None,
        warnings: planned.warnings,
    };
    let interrupted = run.all(signals).await;
    run.finish(job, planned.orphaned, planned.unchanged, interrupted)
}

async fn take_lock(target: &Target, work: &Connection, wait: Duration) -> Result<(), Error> {
    let until = Instant::now() + wait;
    while work.text("taking the lock", LOCK).await?.as_deref() != Some("t") {
        if Instant::now() >= until {
            return Err(Error::Locked { place: target.place.clone() });
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// Leaves the changes that a stored plan holds, and refuses where one of them starts from another state now.
fn keep_only(planned: &mut Planned, stored: &[PgChange]) -> Result<(), Error> {
    let moved: Vec<_> = stored
        .iter()
        .filter(|stored| {
            !planned
                .changes
                .iter()
                .any(|now| now.id == stored.id && now.fingerprint == stored.fingerprint && now.op == stored.op)
        })
        .map(|stored| stored.id.clone())
        .collect();
    if !moved.is_empty() {
        return Err(Error::Stale { ids: moved });
    }
    planned.changes.retain(|now| stored.iter().any(|stored| stored.id == now.id));
    Ok(())
}

/// Adds the removal of orphans for which there is consent.
fn removals(job: &Job, planned: &mut Planned) {
    for allow in &job.allow {
        let Some(id) = allow.strip_prefix("drop:") else { continue };
        let Some(position) = planned.orphaned.iter().position(|orphan| orphan.id == id) else {
            planned.warnings.push(format!("--allow {allow} names nothing that is orphaned"));
            continue;
        };
        planned.orphaned.remove(position);
        let Some((kind, name)) = id.split_once('/') else { continue };
        let (phase, word) = match kind {
            "database" => (Phase::DropDatabase, "DATABASE"),
            _ => (Phase::DropRole, "ROLE"),
        };
        planned.changes.push(
            Change::new(id.into(), Op::Delete, "no longer declared, and its removal is allowed", phase, &())
                .sql(format!("DROP {word} {}", ident(name)))
                .forgets(kind, name),
        );
    }
    planned.changes.sort_by(|a, b| a.phase.cmp(&b.phase));
}

impl Run<'_> {
    /// Makes all changes, group by group; whether a signal ended it.
    async fn all(&mut self, signals: Option<&Signals>) -> Option<Exit> {
        for group in self.groups() {
            if let Some(exit) = signals.and_then(Signals::requested) {
                return Some(exit);
            }
            if group.needs.as_ref().is_some_and(|database| self.missing.contains(database)) {
                continue;
            }
            let good = match group.phase {
                Phase::CreateDatabase | Phase::DropDatabase => self.alone(&group).await,
                _ => self.together(&group).await,
            };
            if !good && group.phase == Phase::Roles {
                // Everything else builds on the roles.
                break;
            }
            if self.work.is_closed() {
                break;
            }
        }
        None
    }

    /// One group for each transaction. What cannot be in one, and each database, is a group of its own.
    fn groups(&self) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for (index, change) in self.changes.iter().enumerate() {
            let alone = matches!(change.phase, Phase::CreateDatabase | Phase::DropDatabase | Phase::DropRole);
            let fits = |group: &&mut Group| !alone && group.phase == change.phase && group.needs == change.needs;
            match groups.iter_mut().find(fits) {
                Some(group) => group.members.push(index),
                None => groups.push(Group {
                    phase: change.phase.clone(),
                    needs: change.needs.clone(),
                    members: vec![index],
                }),
            }
        }
        groups
    }

    fn failed(&mut self, index: usize, error: Error) {
        let message = match &error {
            Error::Statement { message, .. } => message.clone(),
            other => other.to_string(),
        };
        self.results[index] = (ChangeStatus::Failed, Some(message));
        self.first_error.get_or_insert_with(|| error.into());
    }

    /// Makes or drops a database, which no transaction can hold.
    async fn alone(&mut self, group: &Group) -> bool {
        for &index in &group.members {
            let change = self.changes[index].clone();
            // Remembered first: a database that is made and not remembered could never be told from one of others.
            if let Some((kind, name)) = &change.makes
                && let Err(error) = self.work.run("remembering it", &owned::remember(self.owner, kind, name)).await
            {
                self.failed(index, error);
                return false;
            }
            let mut outcome = Ok(());
            for statement in &change.statements {
                outcome = self.statement_alone(&change, &statement.sql).await;
                if outcome.is_err() {
                    break;
                }
            }
            let forget = match (&outcome, &change.makes, &change.forgets) {
                (Err(_), Some(made), _) => Some(made),
                (Ok(()), _, Some(gone)) => Some(gone),
                _ => None,
            };
            if let Some((kind, name)) = forget {
                // A row too many is noticed and taken away by the next run.
                let _ = self.work.run("forgetting it", &owned::forget(kind, name)).await;
            }
            match outcome {
                Ok(()) => self.results[index] = (ChangeStatus::Done, None),
                Err(error) => {
                    if let Some((_, name)) = &change.makes {
                        self.missing.insert(name.clone());
                    }
                    self.failed(index, error);
                    return false;
                }
            }
        }
        true
    }

    async fn statement_alone(&mut self, change: &Change, sql: &str) -> Result<(), Error> {
        let mut sql = sql.to_owned();
        let mut attempt = 0;
        loop {
            let error = match self.work.run(&change.id, &sql).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            attempt += 1;
            let mismatch =
                matches!(&error, Error::Statement { message, .. } if message.contains("collation version mismatch"));
            if mismatch && !sql.contains(" TEMPLATE ") && change.phase == Phase::CreateDatabase {
                // The C library is newer than template1; template0 holds nothing that could be wrong.
                sql.push_str(" TEMPLATE template0");
                self.warnings.push(format!(
                    "{} was copied from template0: template1 was made with another version of the C library \
                     (REINDEX it, then ALTER DATABASE template1 REFRESH COLLATION VERSION)",
                    change.id
                ));
            } else if attempt >= TRIES || !is_collision(&error) {
                return Err(error);
            }
            tokio::time::sleep(Duration::from_millis(100) * attempt).await;
        }
    }

    /// Makes changes in one transaction: all of them or none.
    async fn together(&mut self, group: &Group) -> bool {
        let inside;
        let connection = match &group.phase {
            Phase::Inside(database) if *database != self.target.maintenance => {
                match self.target.connect(database).await {
                    Ok(connection) => {
                        inside = connection;
                        &inside
                    }
                    Err(error) => {
                        self.failed(group.members[0], error);
                        return false;
                    }
                }
            }
            _ => &self.work,
        };
        let mut attempt = 0;
        let (index, error) = loop {
            match self.transaction(connection, &group.members).await {
                Ok(()) => {
                    for &index in &group.members {
                        self.results[index] = (ChangeStatus::Done, None);
                    }
                    return true;
                }
                Err((_, error)) if attempt < TRIES && is_collision(&error) => {
                    attempt += 1;
                    tokio::time::sleep(Duration::from_millis(100) * attempt).await;
                }
                Err(failed) => break failed,
            }
        };
        for &earlier in group.members.iter().take_while(|member| **member != index) {
            self.results[earlier] = (ChangeStatus::RolledBack, None);
        }
        self.failed(index, error);
        false
    }

    async fn transaction(&self, connection: &Connection, members: &[usize]) -> Result<(), (usize, Error)> {
        let first = members.first().copied().unwrap_or_default();
        let last = members.last().copied().unwrap_or_default();
        let begin = if self.unlogged { format!("BEGIN; {UNLOGGED}") } else { "BEGIN".into() };
        connection.run("beginning a transaction", &begin).await.map_err(|error| (first, error))?;
        for &index in members {
            let change = &self.changes[index];
            let remember = change.makes.iter().map(|(kind, name)| owned::remember(self.owner, kind, name));
            let forget = change.forgets.iter().map(|(kind, name)| owned::forget(kind, name));
            let statements = change.statements.iter().map(|statement| statement.sql.clone());
            for sql in statements.chain(remember).chain(forget) {
                if let Err(error) = connection.run(&change.id, &sql).await {
                    // It is over either way; the first error is the one to report.
                    let _ = connection.run("rolling back", "ROLLBACK").await;
                    return Err((index, error));
                }
            }
        }
        connection.run("committing", "COMMIT").await.map_err(|error| (last, error))
    }

    fn finish(
        self,
        job: &Job,
        orphaned: Vec<contract::document::PgOrphan>,
        unchanged: u64,
        interrupted: Option<Exit>,
    ) -> Result<(PgResult, Exit), Failure> {
        let mut summary = Summary { unchanged, ..Summary::default() };
        let mut changes = Vec::new();
        for (change, (status, message)) in self.changes.iter().zip(self.results) {
            if status == ChangeStatus::Done {
                summary.count(change.op);
            }
            changes.push(PgChangeResult { id: change.id.clone(), op: change.op, status, message });
        }
        let changed = summary.has_changes();
        if !changed {
            if let Some(exit) = interrupted {
                return Err(Failure::new(exit, "interrupted", "interrupted before anything was changed"));
            }
            if let Some(failure) = self.first_error {
                let hinted = failure.errors().iter().any(|error| error.hint.is_some());
                return Err(if hinted { failure } else { failure.hint("nothing was changed") });
            }
        }
        let mut result = result_of(job, summary, changes, orphaned, self.warnings);
        result.outcome = match (interrupted, &self.first_error) {
            (Some(_), _) => Outcome::Interrupted,
            (None, Some(_)) => Outcome::Partial,
            (None, None) => Outcome::Done,
        };
        result.error = self.first_error.as_ref().and_then(|failure| failure.errors().first()).map(|error| {
            ErrorObject { tool: crate::TOOL.name.into(), version: crate::TOOL.version.into(), ..error.clone() }
        });
        let exit = if result.outcome.is_done() { Exit::Done } else { Exit::Partial };
        Ok((result, exit))
    }
}

fn result_of(
    job: &Job,
    summary: Summary,
    changes: Vec<PgChangeResult>,
    orphaned: Vec<contract::document::PgOrphan>,
    warnings: Vec<String>,
) -> PgResult {
    PgResult {
        cluster: job.desired.cluster.name.clone(),
        outcome: Outcome::Done,
        changed: summary.has_changes(),
        summary,
        changes,
        orphaned,
        error: None,
        warnings,
    }
}

/// Whether another session was in the way, so that trying again helps.
fn is_collision(error: &Error) -> bool {
    let Error::Statement { message, code, .. } = error else { return false };
    match code.as_str() {
        "40001" | "40P01" | "55006" => true,
        "XX000" => message.contains("tuple concurrently"),
        "23505" => message.contains("pg_auth_members_role_member_index"),
        _ => false,
    }
}
