//! One piece of work on a cluster: what a child with another uid is handed, and what it hands back.

use std::collections::BTreeMap;
use std::time::Duration;

use cli::{Failure, SecretStore, Signals};
use contract::document::{PgChange, PgDesired, PgPlan, PgResult};
use contract::{ErrorObject, Exit, SecretRef, Summary};
use serde::{Deserialize, Serialize};

use crate::connection::Target;
use crate::error::Error;
use crate::observed::{Observed, observe};
use crate::planner::{Password, Planned, plan};
use crate::verifier::{self, Match};
use crate::{apply, check, dump};

/// What is to be done.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    pub task: Task,
    pub desired: PgDesired,
    /// Values of secrets by name.
    pub secrets: BTreeMap<String, Vec<u8>>,
    /// `WHAT:NAME` of every consent.
    pub allow: Vec<String>,
    /// How long to wait for another run, in seconds.
    pub lock_timeout: u64,
}

/// The verb.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Task {
    Plan,
    /// Only these changes of a plan for this server version, or whatever is needed.
    Apply {
        only: Option<(u32, Vec<PgChange>)>,
    },
    Dump,
}

/// What came of it.
#[derive(Serialize, Deserialize)]
pub(crate) enum Answer {
    Plan(PgPlan),
    Result { result: PgResult, exit: u8 },
    Dump { desired: PgDesired, remarks: Vec<String> },
    Failed { exit: u8, errors: Vec<ErrorObject> },
}

impl Job {
    /// A job with the values of the secrets that the document names.
    ///
    /// # Errors
    /// Where a secret is not there.
    pub(crate) fn new(task: Task, desired: PgDesired, store: &SecretStore) -> Result<Self, Failure> {
        let passwords = desired.roles.iter().filter_map(|role| role.password.as_ref());
        let own = desired.cluster.tcp.as_ref().and_then(|tcp| tcp.password.as_ref());
        let mut secrets = BTreeMap::new();
        let mut failures = Vec::new();
        for secret in passwords.chain(own) {
            match store.get(secret) {
                Ok(value) if value.bytes().contains(&0) => failures.push(
                    Failure::new(
                        Exit::BadDocument,
                        "secret_nul",
                        format!("the secret {} holds a NUL byte", secret.secret),
                    )
                    .hint("passwords of PostgreSQL are text"),
                ),
                Ok(value) => {
                    secrets.insert(secret.secret.to_string(), value.bytes().to_vec());
                }
                Err(failure) => failures.push(failure),
            }
        }
        match Failure::join(failures) {
            Some(failure) => Err(failure),
            None => Ok(Self { task, desired, secrets, allow: Vec::new(), lock_timeout: 10 }),
        }
    }

    /// The value of a secret of this job.
    pub(crate) fn secret(&self, secret: Option<&SecretRef>) -> Option<&[u8]> {
        self.secrets.get(secret?.secret.as_str()).map(Vec::as_slice)
    }

    /// Does it in this process.
    pub(crate) fn run(&self, signals: Option<&Signals>) -> Answer {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                return Answer::failed(&Failure::new(Exit::Io, "io", "the run cannot begin").cause(error));
            }
        };
        match runtime.block_on(self.work(signals)) {
            Ok(answer) => answer,
            Err(failure) => Answer::failed(&failure),
        }
    }

    async fn work(&self, signals: Option<&Signals>) -> Result<Answer, Failure> {
        let own = self.desired.cluster.tcp.as_ref().and_then(|tcp| tcp.password.as_ref());
        let target = Target::new(&self.desired.cluster, self.secret(own))?;
        let work = target.connect(&target.maintenance).await?;
        match &self.task {
            Task::Plan => {
                let observed = observe(&target, &work, &self.desired).await?;
                self.check_against(&observed)?;
                let planned = plan(&self.desired, &observed, &self.passwords(&observed));
                Ok(Answer::Plan(published(&self.desired, &observed, planned)))
            }
            Task::Apply { only } => {
                let lock = Duration::from_secs(self.lock_timeout);
                let (result, exit) = apply::apply(self, only.as_ref(), &target, work, lock, signals).await?;
                Ok(Answer::Result { result, exit: exit.code() })
            }
            Task::Dump => {
                let (desired, remarks) = dump::dump(&self.desired, &target, &work).await?;
                Ok(Answer::Dump { desired, remarks })
            }
        }
    }

    /// Refuses a document that names roles which nobody has.
    ///
    /// # Errors
    /// 65 with all of them.
    pub(crate) fn check_against(&self, observed: &Observed) -> Result<(), Failure> {
        let findings = check::against_cluster(&self.desired, observed.roles.keys().map(String::as_str));
        if findings.is_empty() { Ok(()) } else { Err(Failure::bad_document(findings)) }
    }

    /// How every declared password compares with what is stored. Each costs milliseconds of hashing, so all cores share it.
    pub(crate) fn passwords(&self, observed: &Observed) -> BTreeMap<String, Password> {
        let roles: Vec<_> =
            self.desired.roles.iter().filter_map(|role| Some((role, self.secret(role.password.as_ref())?))).collect();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let iterations = observed.iterations.as_deref().and_then(|n| n.parse().ok()).unwrap_or(verifier::ITERATIONS);
        let compare = |name: &str, value: &[u8]| {
            let exists = observed.roles.contains_key(name);
            let stored = match observed.verifiers.get(name) {
                Some(stored) => Some(verifier::check(stored.as_deref(), name, value)),
                None if exists => None,
                None => Some(Match::Other),
            };
            let forced = self.allow.iter().any(|allow| *allow == format!("set-password:{name}"));
            let needed = !matches!(stored, Some(Match::Same)) && (stored.is_some() || forced);
            let verifier = if needed { verifier::make_random(value, iterations) } else { None };
            (name.to_owned(), Password { stored, verifier, forced })
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = roles
                .chunks(roles.len().div_ceil(threads).max(1))
                .map(|chunk| {
                    scope.spawn(|| chunk.iter().map(|(role, value)| compare(&role.name, value)).collect::<Vec<_>>())
                })
                .collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
        })
    }
}

/// A plan as it is printed.
fn published(desired: &PgDesired, observed: &Observed, planned: Planned) -> PgPlan {
    let mut summary = Summary { unchanged: planned.unchanged, ..Summary::default() };
    for change in &planned.changes {
        summary.count(change.op);
    }
    PgPlan {
        cluster: desired.cluster.name.clone(),
        server_version: observed.version,
        summary,
        changes: planned.changes.iter().map(crate::change::Change::published).collect(),
        orphaned: planned.orphaned,
        warnings: planned.warnings,
        desired: desired.clone(),
    }
}

impl Answer {
    /// A failure, so that it can travel.
    pub(crate) fn failed(failure: &Failure) -> Self {
        Self::Failed { exit: failure.exit().code(), errors: failure.errors().to_vec() }
    }

    /// The failure that has travelled.
    pub(crate) fn into_failure(exit: u8, errors: Vec<ErrorObject>) -> Failure {
        let exit = Exit::from_code(exit).unwrap_or(Exit::Bug);
        let failures = errors.into_iter().map(|error| {
            let mut failure = Failure::new(exit, &error.code, error.message);
            if let Some(place) = error.place {
                failure = failure.place(place);
            }
            if let Some(pointer) = error.pointer {
                failure = failure.at(pointer);
            }
            if let Some(hint) = error.hint {
                failure = failure.hint(hint);
            }
            error.causes.iter().fold(failure, Failure::cause)
        });
        Failure::join(failures).unwrap_or_else(|| Error::Child { what: "failed without a word".into() }.into())
    }
}
