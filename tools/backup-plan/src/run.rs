//! Running a plan: its steps in order, nothing that is not in it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use cli::{Failure, Secret, SecretStore, Session, Signals};
use contract::document::{BackupPlan, BackupResult, BackupStep, BackupStepResult, Outcome};
use contract::{ErrorObject, Exit};

use crate::error::Error;
use crate::restic::Repository;
use crate::runner::{Ended, Order, run as execute};
use crate::state::{History, State, create_private, make_private};
use crate::{manifest, metrics, survey};

mod ending;

use ending::{backed_up, judged, keeps_something};

/// What of a plan is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Only {
    /// Dumps, without a backup
    Dump,
    /// Dumps and backups
    Backup,
    /// Starting again what a killed run left stopped
    Resume,
    /// Taking away old snapshots
    Forget,
    /// Checking the repositories, due or not
    Check,
    /// Freeing the space of snapshots that were taken away
    Prune,
}

impl Only {
    fn has(self, kind: &str) -> bool {
        match self {
            Only::Dump => ["dump", "verify"].contains(&kind),
            Only::Backup => ["dump", "verify", "quiesce", "backup", "resume"].contains(&kind),
            Only::Resume => kind == "resume",
            Only::Forget => kind == "forget",
            Only::Check => kind == "check",
            Only::Prune => kind == "prune",
        }
    }
}

struct Run<'a> {
    plan: &'a BackupPlan,
    only: Option<Only>,
    state: &'a State,
    repositories: BTreeMap<&'a str, Repository<'a>>,
    secrets: &'a SecretStore,
    signals: &'a Signals,
    history: History,
    results: Vec<BackupStepResult>,
    first: Option<Failure>,
    now: i64,
}

/// The time now, in whole seconds, as documents have it.
pub(crate) fn now() -> jiff::Timestamp {
    jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap_or_default()
}

/// Runs a plan.
///
/// # Errors
/// Where nothing was backed up.
pub(crate) fn run(
    session: &mut Session,
    plan: &BackupPlan,
    only: Option<Only>,
    secrets: &SecretStore,
) -> Result<(BackupResult, Exit), Failure> {
    let signals = session.begin_apply();
    let state = State::open(plan)?;
    let _lock = state.lock()?;
    let started = now();
    let mut run = Run {
        plan,
        only,
        state: &state,
        repositories: BTreeMap::new(),
        secrets,
        signals: &signals,
        history: state.history(),
        results: Vec::new(),
        first: None,
        now: started.as_second(),
    };
    // First of all: a service that is down because of us comes up again, whatever follows.
    run.resume_left_over();
    let prepared = if only == Some(Only::Resume) { Ok(()) } else { run.prepare() };
    match prepared {
        Ok(()) => {
            let progress = session.progress(plan.steps.len() as u64, "backup");
            run.all(&started.to_string(), &mut |step| progress.step(step));
        }
        Err(failure) => run.first = Some(failure),
    }
    let ended = now();
    let result = run.result(&started.to_string(), &ended.to_string());
    let good = run.first.is_none();
    let down = |service: &String| {
        run.results.iter().any(|r| r.state == "failed" && r.id.starts_with(&format!("resume/{service}/")))
    };
    let still_down: std::collections::BTreeSet<String> =
        run.history.stopped.iter().filter(|s| down(s)).cloned().collect();
    run.history.stopped = still_down;
    if good && only.is_none_or(|only| only == Only::Backup) {
        run.history.success = Some(ended.as_second());
    }
    state.keep(&run.history)?;
    if only.is_none_or(|only| only == Only::Backup) {
        let text = metrics::render(plan, &result, &run.history, ended.as_second());
        state.write("metrics.prom", text.as_bytes(), 0o644)?;
        let bytes = serde_json::to_value(&result).unwrap_or_default();
        let text = cli::canonical_json(contract::SchemaId::BACKUP_RESULT, &bytes, false);
        state.write("result.json", text.as_bytes(), 0o600)?;
    }
    match run.first {
        None => Ok((result, Exit::Done)),
        // Something is there that was not before: the document says what.
        Some(_)
            if run
                .results
                .iter()
                .any(|step| step.snapshot.is_some() || (step.state == "done" && step.kind != "dump")) =>
        {
            Ok((result, Exit::Partial))
        }
        Some(failure) => Err(failure),
    }
}

impl Run<'_> {
    fn wants(&self, kind: &str) -> bool {
        match self.only {
            Some(only) => only.has(kind),
            None => kind != "prune",
        }
    }

    /// Everything that can be known to fail is looked at before a service is stopped or a byte written.
    fn prepare(&mut self) -> Result<(), Failure> {
        for root in self.plan.roots.iter().filter(|root| root.path != self.plan.staging && self.wants("backup")) {
            if let Some(problem) = survey::root_problem(&root.path, root.optional) {
                let allowed = self.plan.findings.iter().any(|finding| {
                    finding.code == problem.code && finding.message.starts_with(&format!("{}:", root.path))
                });
                if !allowed {
                    return Err(Error::Root { path: problem.path, message: problem.message }.into());
                }
            }
        }
        make_private(Path::new(&self.plan.staging))?;
        self.state.write_lists(self.plan)?;
        for declared in &self.plan.repositories {
            let repository = Repository::open(self.plan, declared, self.secrets)?;
            self.repositories.insert(&declared.id, repository);
        }
        Ok(())
    }

    /// Starts what a run that was killed had stopped.
    fn resume_left_over(&mut self) {
        let plan = self.plan;
        let left = self.history.stopped.clone();
        for step in plan.steps.iter().filter(|step| step.kind == "resume" && left.contains(service_of(step))) {
            let mut result = Self::fresh(step);
            self.perform(step, &mut result);
            self.results.push(result);
        }
        if !left.is_empty() && self.first.is_none() {
            self.history.stopped.clear();
        }
    }

    fn fresh(step: &BackupStep) -> BackupStepResult {
        BackupStepResult {
            id: step.id.clone(),
            kind: step.kind.clone(),
            repository: step.repository.clone(),
            state: "skipped".into(),
            exit: None,
            snapshot: None,
            files: None,
            bytes: None,
            added_bytes: None,
            unreadable: Vec::new(),
            message: None,
            ms: 0,
        }
    }

    /// Runs one step and says in its result how it ended.
    fn perform(&mut self, step: &BackupStep, result: &mut BackupStepResult) {
        let began = Instant::now();
        match self.step(step, result) {
            Ok(()) => result.state = "done".into(),
            Err(error) => {
                let failure = Failure::from(error);
                // A snapshot without what could not be read is still one to restore from.
                result.state = if result.snapshot.is_some() { "partial" } else { "failed" }.into();
                result.message = failure.errors().first().map(|error| match error.causes.first() {
                    Some(cause) => format!("{}: {cause}", error.message),
                    None => error.message.clone(),
                });
                self.first.get_or_insert(failure);
            }
        }
        result.ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    }

    fn all(&mut self, seed: &str, progress: &mut dyn FnMut(&str)) {
        let mut listed = false;
        let plan = self.plan;
        for step in &plan.steps {
            if !self.wants(&step.kind) {
                continue;
            }
            progress(&step.id);
            if step.kind == "backup" && !listed && self.first.is_none() {
                listed = true;
                if let Err(error) = manifest::write(self.plan, seed) {
                    self.first = Some(error.into());
                }
            }
            let mut result = Self::fresh(step);
            if let Some(exit) = self.signals.requested() {
                self.first.get_or_insert_with(|| Error::Interrupted(exit).into());
            }
            match self.due(step) {
                Ok(()) => {
                    if step.kind == "quiesce" {
                        self.note_stopped(step);
                    }
                    self.perform(step, &mut result);
                }
                Err(why) => result.message = Some(why),
            }
            self.results.push(result);
        }
    }

    /// Written before the service is stopped, so that not even a power cut leaves it down for longer than until the next run.
    fn note_stopped(&mut self, step: &BackupStep) {
        if self.history.stopped.insert(service_of(step).to_owned())
            && let Err(error) = self.state.keep(&self.history)
        {
            self.first.get_or_insert(error.into());
        }
    }

    /// Whether a step is run, or why not.
    fn due(&self, step: &BackupStep) -> Result<(), String> {
        let state_of = |kind: &str, repository: &Option<String>| {
            self.results
                .iter()
                .find(|result| result.kind == kind && result.repository == *repository)
                .map(|r| r.state.as_str())
        };
        match step.kind.as_str() {
            // Whatever was stopped, and also whatever failed to stop, is started again.
            "resume" => {
                let stop = format!("quiesce/{}/", service_of(step));
                let tried = self.results.iter().any(|r| r.id.starts_with(&stop) && r.state != "skipped");
                if tried { Ok(()) } else { Err("nothing was stopped".into()) }
            }
            // One dump that fails does not keep the others from being made, nor one repository the next.
            "dump" if self.interrupted() => Err("interrupted".into()),
            "dump" => Ok(()),
            "verify" => {
                let dump = step.id.replacen("verify", "dump", 1);
                let made = self.results.iter().any(|result| result.id == dump && result.state == "done");
                if made { Ok(()) } else { Err("there is no dump to verify".into()) }
            }
            "backup" => {
                let failed = |kinds: &[&str]| {
                    self.results.iter().any(|r| kinds.contains(&r.kind.as_str()) && r.state == "failed")
                };
                if failed(&["dump", "verify", "quiesce"]) {
                    Err("a step before it failed".into())
                } else if self.interrupted() {
                    Err("interrupted".into())
                } else {
                    Ok(())
                }
            }
            "forget" | "check" if self.interrupted() => Err("interrupted".into()),
            // Old snapshots are only taken away once there is a new one.
            "forget" if self.only.is_none() && state_of("backup", &step.repository) != Some("done") => {
                Err("there is no new snapshot".into())
            }
            "check" if self.only.is_none() => {
                let repository = step.repository.as_deref().unwrap_or_default();
                let every = i64::try_from(self.plan.policy.check_every.as_secs()).unwrap_or(i64::MAX);
                match self.history.checks.get(repository) {
                    Some(last) if self.now - last < every => Err("not due yet".into()),
                    _ if state_of("backup", &step.repository).is_some_and(|state| state == "failed") => {
                        Err("there is no new snapshot".into())
                    }
                    _ => Ok(()),
                }
            }
            "quiesce" if self.first.is_some() => Err("a step before it failed".into()),
            "quiesce" | "forget" | "check" | "prune" => Ok(()),
            other => Err(format!("steps of kind {other} are not known")),
        }
    }

    fn interrupted(&self) -> bool {
        self.signals.requested().is_some()
    }

    fn step(&mut self, step: &BackupStep, result: &mut BackupStepResult) -> Result<(), Error> {
        match step.repository.as_deref() {
            None => self.command(step, result),
            Some(id) => {
                let Some(repository) = self.repositories.get(id) else {
                    return Err(Error::NoRepository { repository: id.into(), uri: "no address".into() });
                };
                let signals = Some(self.signals);
                match step.kind.as_str() {
                    "backup" => {
                        repository.ensure(signals)?;
                        let ended = repository.run_unlocking(&step.id, &step.argv, Some(step.timeout), signals)?;
                        backed_up(repository, step, &ended, result)
                    }
                    "forget" => {
                        keeps_something(repository, step, signals)?;
                        let ended = repository.run_unlocking(&step.id, &step.argv, Some(step.timeout), signals)?;
                        judged(repository, step, &ended, result)
                    }
                    kind => {
                        let ended = repository.run_unlocking(&step.id, &step.argv, Some(step.timeout), signals)?;
                        judged(repository, step, &ended, result)?;
                        if kind == "check" {
                            self.history.checks.insert(id.into(), self.now);
                        }
                        Ok(())
                    }
                }
            }
        }
    }

    /// A dump, its verification, or something of a service.
    fn command(&self, step: &BackupStep, result: &mut BackupStepResult) -> Result<(), Error> {
        let mut order = Order {
            name: &step.id,
            argv: &step.argv,
            user: step.user.as_deref(),
            timeout: Some(step.timeout),
            unstoppable: step.kind == "resume",
            ..Order::default()
        };
        if let Some(path) = &step.stdout {
            order.stdout = Some(create_private(Path::new(path))?);
        } else if step.kind == "dump" {
            // The program makes the file itself, and refuses to write over one.
            let verify = step.id.replacen("dump", "verify", 1);
            let file = self.plan.steps.iter().find(|other| other.id == verify).and_then(|other| other.file.as_deref());
            if let Some(file) = file {
                let part = format!("{file}.part");
                create_private(Path::new(&part))?;
                std::fs::remove_file(&part).map_err(|error| Error::files("remove", &part, &error))?;
            }
        }
        if let Some(reference) = &step.password {
            let value = self.secrets.get(reference).map_err(|failure| Error::Command {
                step: step.id.clone(),
                code: i32::from(failure.exit().code()),
                detail: failure.errors().first().map(|error| error.message.clone()).unwrap_or_default(),
            })?;
            order.pgpass = Some(pgpass(&value));
        }
        let made = execute(order, Some(self.signals)).and_then(|ended| Self::ended(step, &ended, result));
        if made.is_err() && step.kind != "quiesce" && step.kind != "resume" {
            self.drop_part(step);
        }
        made
    }

    fn ended(step: &BackupStep, ended: &Ended, result: &mut BackupStepResult) -> Result<(), Error> {
        result.exit = Some(ended.code);
        if ended.code != 0 {
            let detail = ended.complaint();
            if detail.to_lowercase().contains("no space left on device") {
                return Err(Error::Full { step: step.id.clone(), detail });
            }
            return Err(Error::Command { step: step.id.clone(), code: ended.code, detail });
        }
        if let Some(expected) = &step.expect
            && ended.stdout.trim() != expected
        {
            let detail = ended.stdout.lines().take(3).collect::<Vec<_>>().join("; ");
            return Err(Error::Unexpected { step: step.id.clone(), detail });
        }
        let Some(file) = &step.file else { return Ok(()) };
        // Only now does it take the place of the previous one.
        let part = format!("{file}.part");
        std::fs::File::open(&part)
            .and_then(|opened| opened.sync_all())
            .and_then(|()| std::fs::rename(&part, file))
            .map_err(|error| Error::files("keep", file, &error))?;
        result.bytes = std::fs::metadata(file).ok().map(|metadata| metadata.len());
        Ok(())
    }

    /// What is left of a dump that failed would fill the disk and be backed up.
    fn drop_part(&self, step: &BackupStep) {
        let verify = step.id.replacen("dump", "verify", 1);
        let file = self.plan.steps.iter().find(|other| other.id == verify).and_then(|other| other.file.as_ref());
        if let Some(file) = file {
            // It may never have been made.
            let _ = std::fs::remove_file(format!("{file}.part"));
        }
    }

    fn result(&self, started: &str, ended: &str) -> BackupResult {
        let error = self.first.as_ref().and_then(|failure| failure.errors().first()).map(|error| ErrorObject {
            tool: crate::TOOL.name.into(),
            version: crate::TOOL.version.into(),
            ..error.clone()
        });
        let outcome = match (&error, self.interrupted()) {
            (None, _) => Outcome::Done,
            (Some(_), true) => Outcome::Interrupted,
            (Some(_), false) => Outcome::Partial,
        };
        BackupResult {
            host: self.plan.host.clone(),
            plan: self.plan.plan.clone(),
            digest: self.plan.digest.clone(),
            outcome,
            started_at: started.into(),
            finished_at: ended.into(),
            steps: self.results.clone(),
            error,
        }
    }
}

/// The service of a step whose id is `kind/service/n`.
fn service_of(step: &BackupStep) -> &str {
    step.id.split('/').nth(1).unwrap_or_default()
}

/// A line for every server (.pgpass, PostgreSQL manual 34.16).
fn pgpass(password: &Secret) -> Secret {
    let mut line = b"*:*:*:*:".to_vec();
    for byte in password.bytes() {
        if [b'\\', b':'].contains(byte) {
            line.push(b'\\');
        }
        line.push(*byte);
    }
    line.push(b'\n');
    line.into()
}
