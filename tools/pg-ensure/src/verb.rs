//! The verbs of the program.

use std::io::Read;

use clap::{Args, Subcommand, ValueEnum};
use cli::{Consents, Failure, Input, SecretStore, Session, Signals, Source, Sourced};
use contract::document::{PgCluster, PgDesired, PgPlan, PgSocket, PgTcp, PgTls};
use contract::{Exit, Findings, Level, SchemaId, SecretName, SecretRef};

use crate::error::Error;
use crate::job::{Answer, Job, Task};
use crate::{as_user, check, hba, text};

/// What the program is asked to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Verb {
    /// Say what is wrong with a document, without a server
    ///
    /// Prints findings/v1 and ends with 1 if one of them is an error.
    Check {
        /// A pg.desired document
        #[command(flatten)]
        input: Input,
    },
    /// Observe the cluster and print what would change
    ///
    /// The plan (pg.plan/v1) holds the desired state and a fingerprint of everything that it touches, and no secret: `apply`
    /// carries out exactly it, or nothing if the cluster has moved. Started as root, the connection over a socket is made by a
    /// child with the uid of the cluster's owner.
    Plan {
        /// A pg.desired document
        #[command(flatten)]
        input: Input,
        /// End with 1 if anything would change
        #[arg(long)]
        check: bool,
        /// Where the values of secrets are
        #[command(flatten)]
        secrets: SecretStore,
        /// What is allowed
        #[command(flatten)]
        consents: Consents,
    },
    /// Make the cluster as it is declared
    ///
    /// Reads a plan (exactly its changes are made) or a pg.desired document (whatever is needed). Roles are made in one
    /// transaction, then databases, then the inside of each database in one transaction of its own; a failure in one database does
    /// not stop the others. Consents: drop:database/NAME and drop:role/NAME remove what is listed as orphaned,
    /// set-password:NAME sets a password that cannot be compared.
    Apply {
        /// A pg.plan or pg.desired document
        #[command(flatten)]
        input: Input,
        /// Where the values of secrets are
        #[command(flatten)]
        secrets: SecretStore,
        /// What is allowed
        #[command(flatten)]
        consents: Consents,
        /// How long to wait for another run on the same cluster
        #[arg(long, value_name = "DURATION", default_value = "10s")]
        lock_timeout: contract::Duration,
    },
    /// Print what a cluster holds as a pg.desired document, without secrets
    Dump {
        /// Where the cluster is
        #[command(flatten)]
        place: Place,
        /// Where the values of secrets are
        #[command(flatten)]
        secrets: SecretStore,
    },
    /// Print pg_hba.conf (or pg_ident.conf) for a document
    ///
    /// Pure: no server is asked and no file is placed.
    Hba {
        /// A pg.desired document
        #[command(flatten)]
        input: Input,
        /// Print pg_ident.conf instead
        #[arg(long)]
        ident: bool,
    },
    /// Internal: do a job from stdin with these ids
    #[command(hide = true)]
    ServeAs {
        /// uid to become
        uid: u32,
        /// gid to become
        gid: u32,
    },
}

/// Where a cluster is, on the command line.
#[derive(Debug, Clone, Args)]
pub struct Place {
    /// Directory of the socket
    #[arg(long, value_name = "DIR", default_value = "/run/postgresql", conflicts_with = "host")]
    pub socket: String,
    /// Name or address of a server on the network, instead of a socket
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// Port
    #[arg(long, default_value_t = 5432)]
    pub port: u16,
    /// Role to connect as; on a socket also the system user
    #[arg(long, default_value = "postgres")]
    pub user: String,
    /// Name of the secret with its password, for a server on the network
    #[arg(long, value_name = "SECRET")]
    pub password: Option<SecretName>,
    /// TLS to a server on the network
    #[arg(long, value_enum, default_value_t = Tls::VerifyFull)]
    pub tls: Tls,
    /// File with the certificates to trust (PEM) instead of the system's
    #[arg(long, value_name = "FILE")]
    pub ca: Option<std::path::PathBuf>,
    /// Name of the cluster in the document
    #[arg(long, default_value = "main")]
    pub name: String,
    /// Who shall own what the document declares
    #[arg(long, default_value = "fleet")]
    pub owner: String,
}

/// TLS, on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Tls {
    /// Certificate and name are verified
    VerifyFull,
    /// The certificate is verified, not the name
    VerifyCa,
    /// No TLS; loopback only
    Disable,
}

/// Does it.
pub fn run(verb: Verb, session: &mut Session) -> Result<Exit, Failure> {
    match verb {
        Verb::Check { input } => {
            let sourced = session.read::<PgDesired>(&input)?;
            let findings = Findings::new(check::check(&sourced.document));
            session.print(&findings, text::findings)?;
            Ok(if findings.has_errors() { Exit::No } else { Exit::Done })
        }
        Verb::Plan { input, check, secrets, consents } => plan(session, &input, check, &secrets, &consents),
        Verb::Apply { input, secrets, consents, lock_timeout } => {
            apply(session, &input, &secrets, &consents, lock_timeout)
        }
        Verb::Dump { place, secrets } => dump(session, place, &secrets),
        Verb::Hba { input, ident } => {
            let desired = checked(session, session.read::<PgDesired>(&input)?)?;
            let file = if ident { hba::render_ident(&desired) } else { hba::render(&desired) };
            session.print_bytes(file.as_bytes())?;
            Ok(Exit::Done)
        }
        Verb::ServeAs { uid, gid } => serve_as(session, uid, gid),
    }
}

/// The line of every error that has a place in the document.
fn located(source: &Source, failure: Failure) -> Failure {
    if failure.errors().iter().all(|error| error.pointer.is_some()) { source.located(failure) } else { failure }
}

/// A document without errors; warnings are said.
fn checked(session: &Session, sourced: Sourced<PgDesired>) -> Result<PgDesired, Failure> {
    let findings = check::check(&sourced.document);
    if findings.iter().any(|finding| finding.level == Level::Error) {
        return Err(sourced.source.failure(findings));
    }
    for finding in &findings {
        session.warn(&format!("{}: {}", finding.pointer, finding.message));
    }
    Ok(sourced.document)
}

fn perform(job: &Job, signals: Option<&Signals>) -> Result<Answer, Failure> {
    let answer = if as_user::needed(job) { as_user::run(job, signals)? } else { job.run(signals) };
    match answer {
        Answer::Failed { exit, errors } => Err(Answer::into_failure(exit, errors)),
        answer => Ok(answer),
    }
}

fn unexpected() -> Failure {
    Error::Child { what: "gave another answer than was asked for".into() }.into()
}

fn allowed(consents: &Consents) -> Result<Vec<String>, Failure> {
    for consent in &consents.allow {
        let known = match consent.what.as_str() {
            "drop" => consent.name.starts_with("database/") || consent.name.starts_with("role/"),
            what => what == "set-password",
        };
        if !known {
            return Err(Failure::new(Exit::Usage, "usage", format!("there is no consent \"{consent}\""))
                .hint("drop:database/NAME, drop:role/NAME or set-password:NAME"));
        }
    }
    Ok(consents.allow.iter().map(ToString::to_string).collect())
}

fn plan(
    session: &Session,
    input: &Input,
    check: bool,
    secrets: &SecretStore,
    consents: &Consents,
) -> Result<Exit, Failure> {
    let sourced = session.read::<PgDesired>(input)?;
    let source = sourced.source.clone();
    let desired = checked(session, sourced)?;
    let job = Job { allow: allowed(consents)?, ..Job::new(Task::Plan, desired, secrets)? };
    let answer = perform(&job, None).map_err(|failure| located(&source, failure))?;
    let Answer::Plan(plan) = answer else { return Err(unexpected()) };
    session.print(&plan, text::plan)?;
    Ok(if check && plan.summary.has_changes() { Exit::No } else { Exit::Done })
}

fn apply(
    session: &mut Session,
    input: &Input,
    secrets: &SecretStore,
    consents: &Consents,
    lock_timeout: contract::Duration,
) -> Result<Exit, Failure> {
    let raw = session.read_raw(input, &[SchemaId::PG_PLAN, SchemaId::PG_DESIRED])?;
    let mut source = None;
    let (desired, only) = if raw.schema == SchemaId::PG_PLAN.as_str() {
        let plan = raw.read::<PgPlan>()?;
        let findings = check::check(&plan.document.desired);
        if findings.iter().any(|finding| finding.level == Level::Error) {
            return Err(plan.source.failure(findings));
        }
        (plan.document.desired, Some((plan.document.server_version, plan.document.changes)))
    } else {
        let sourced = raw.read::<PgDesired>()?;
        source = Some(sourced.source.clone());
        (checked(session, sourced)?, None)
    };
    let mut job = Job::new(Task::Apply { only }, desired, secrets)?;
    job.allow = allowed(consents)?;
    job.lock_timeout = lock_timeout.as_secs();
    let signals = session.begin_apply();
    let answer = perform(&job, Some(&signals)).map_err(|failure| match &source {
        Some(source) => located(source, failure),
        None => failure,
    })?;
    let Answer::Result { result, exit } = answer else { return Err(unexpected()) };
    if let Some(error) = &result.error {
        session.report_error(error);
    }
    session.print(&result, text::result)?;
    Ok(Exit::from_code(exit).unwrap_or(Exit::Bug))
}

fn dump(session: &Session, place: Place, secrets: &SecretStore) -> Result<Exit, Failure> {
    let mut cluster = PgCluster { name: place.name, ..PgCluster::default() };
    match place.host {
        Some(host) => {
            let ca = match &place.ca {
                Some(path) => Some(session.read_text(&Input::file(path))?),
                None => None,
            };
            cluster.tcp = Some(PgTcp {
                host,
                port: place.port,
                user: place.user,
                password: place.password.map(SecretRef::new),
                database: "postgres".into(),
                tls: match place.tls {
                    Tls::VerifyFull => PgTls::VerifyFull,
                    Tls::VerifyCa => PgTls::VerifyCa,
                    Tls::Disable => PgTls::Disable,
                },
                ca,
            });
        }
        None => cluster.socket = Some(PgSocket { directory: place.socket, port: place.port, user: place.user }),
    }
    let shell = PgDesired { cluster, owner: place.owner, ..PgDesired::default() };
    if let Some(finding) = check::check(&shell).into_iter().find(|finding| finding.level == Level::Error) {
        return Err(Failure::new(Exit::Usage, "usage", finding.message));
    }
    let job = Job::new(Task::Dump, shell, secrets)?;
    let Answer::Dump { desired, remarks } = perform(&job, None)? else { return Err(unexpected()) };
    for remark in remarks {
        session.note(&remark);
    }
    session.print(&desired, |desired, _| {
        // A document is its own best text.
        serde_json::to_string_pretty(desired).unwrap_or_default() + "\n"
    })?;
    Ok(Exit::Done)
}

/// The child's side: gives up root, reads the job, does it, answers.
fn serve_as(session: &mut Session, uid: u32, gid: u32) -> Result<Exit, Failure> {
    as_user::become_user(uid, gid)?;
    let mut text = Vec::new();
    std::io::stdin()
        .lock()
        .read_to_end(&mut text)
        .map_err(|error| Failure::io(Exit::Io, "read the job", "standard input", &error))?;
    let job: Job =
        serde_json::from_slice(&text).map_err(|_| Failure::from(Error::Child { what: "got no job".into() }))?;
    // A plan ends at once when its parent does; an apply ends its current change first.
    let signals = matches!(job.task, Task::Apply { .. }).then(|| session.begin_apply());
    let answer = job.run(signals.as_ref());
    let text = serde_json::to_vec(&answer)
        .map_err(|error| Failure::from(Error::Child { what: format!("cannot answer: {error}") }))?;
    session.print_bytes(&text)?;
    Ok(Exit::Done)
}
