//! The verbs of the program.

use std::path::PathBuf;

use clap::Subcommand;
use cli::{Consents, Failure, Input, SecretStore, Session, write_atomically};
use contract::document::{BackupPlan, BackupSources};
use contract::{Exit, Level, SchemaId, places};

use crate::emit::{self, Target};
use crate::planner::{self, Options};
use crate::run::Only;
use crate::survey::Problem;
use crate::{check, drill, judge, restore, text};

/// What the program is asked to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Verb {
    /// Check sources against the host and print the plan
    ///
    /// Finds what would be backed up in name only: roots that are missing, symbolic links or excluded by somebody's pattern,
    /// running databases without a dump, a repository inside of what it stores. Such a problem ends with 76 and names the
    /// consent (--allow CODE:PATH) that turns it into a warning of the plan.
    Plan {
        /// A backup.sources document
        #[command(flatten)]
        input: Input,
        /// Do not count files and bytes
        #[arg(long)]
        no_size: bool,
        /// Report directories in here that nobody backs up (may be repeated)
        #[arg(long, value_name = "DIR")]
        coverage: Vec<PathBuf>,
        /// Write the plan to a file too (0600, as a whole or not at all)
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Directory for what a run needs and leaves on the host
        #[arg(long, value_name = "DIR", default_value = places::BACKUP)]
        state: String,
        /// What is allowed
        #[command(flatten)]
        consents: Consents,
    },
    /// Run a plan: dumps, backup, forget, check
    ///
    /// Runs the steps of the plan in order. A dump takes the place of the previous one only once it was read to its end; if one
    /// fails, no backup is begun. Whatever was stopped for the backup is started again, also after a failure or a signal. Old
    /// snapshots are forgotten after a good backup; their space is freed by --only prune, never in the same run.
    Run {
        /// A backup.plan document
        #[command(flatten)]
        input: Input,
        /// Run one kind of step only
        #[arg(long, value_enum)]
        only: Option<Only>,
        /// Where the values of secrets are
        #[command(flatten)]
        secrets: SecretStore,
    },
    /// Ask every repository whether the backups are as the plan says
    ///
    /// Bad (exit 1) are: no snapshot, the newest is older than max_age or has a fifth less bytes than the one before it, a
    /// repository that does not answer, a last run that failed, a proof of a restore that failed or is too old.
    Judge {
        /// A backup.plan document
        #[command(flatten)]
        input: Input,
        /// Where the values of secrets are
        #[command(flatten)]
        secrets: SecretStore,
        /// Judge as if it were this time (RFC 3339)
        #[arg(long, value_name = "TIME")]
        now: Option<jiff::Timestamp>,
    },
    /// Restore a sample and every dump into a private directory, and compare
    ///
    /// Compares with the manifest that the run wrote into the snapshot, reads every dump to its end, removes what it restored,
    /// and writes the proof to proof.json in the state directory. Ends with 1 if something is not as it was.
    Drill {
        /// A backup.plan document
        #[command(flatten)]
        input: Input,
        /// From this repository instead of the first
        #[arg(long, value_name = "ID")]
        repository: Option<String>,
        /// Where the values of secrets are
        #[command(flatten)]
        secrets: SecretStore,
    },
    /// Restore into an empty directory
    Restore {
        /// A backup.plan document
        #[command(flatten)]
        input: Input,
        /// Where to; must be empty or not there
        #[arg(long, value_name = "DIR")]
        target: PathBuf,
        /// Only this path (may be repeated)
        #[arg(long = "path", value_name = "PATH")]
        paths: Vec<String>,
        /// Which snapshot
        #[arg(long, value_name = "ID", default_value = "latest")]
        snapshot: String,
        /// From this repository instead of the first
        #[arg(long, value_name = "ID")]
        repository: Option<String>,
        /// Where the values of secrets are
        #[command(flatten)]
        secrets: SecretStore,
    },
    /// Write a plan as something else; nothing is run
    Emit {
        /// A backup.plan document
        #[command(flatten)]
        input: Input,
        /// As what
        #[arg(long, value_enum)]
        to: Target,
        /// Directory for --to files
        #[arg(long, value_name = "DIR", required_if_eq("to", "files"))]
        out: Option<PathBuf>,
    },
}

/// Does it.
pub fn run(verb: Verb, session: &mut Session) -> Result<Exit, Failure> {
    match verb {
        Verb::Plan { input, no_size, coverage, out, state, consents } => {
            let allow = consents.allow.iter().map(ToString::to_string).collect();
            plan(session, &input, &Options { state, sizes: !no_size, coverage, allow }, out)
        }
        Verb::Run { input, only, secrets } => {
            let plan = read(session, &input)?;
            let (result, exit) = crate::run::run(session, &plan, only, &secrets)?;
            if let Some(error) = &result.error {
                session.report_error(error);
            }
            session.print(&result, text::result)?;
            Ok(exit)
        }
        Verb::Judge { input, secrets, now } => {
            let plan = read(session, &input)?;
            let verdict = judge::judge(&plan, &secrets, now.unwrap_or_else(crate::run::now))?;
            session.print(&verdict, text::verdict)?;
            Ok(judge::exit(&verdict))
        }
        Verb::Drill { input, repository, secrets } => {
            let plan = read(session, &input)?;
            let (proof, exit) = drill::drill(session, &plan, repository.as_deref(), &secrets)?;
            session.print(&proof, text::proof)?;
            Ok(exit)
        }
        Verb::Restore { input, target, paths, snapshot, repository, secrets } => {
            let plan = read(session, &input)?;
            let wanted = restore::Wanted {
                repository: repository.as_deref(),
                snapshot: &snapshot,
                target: &target,
                paths: &paths,
            };
            let result = restore::restore(session, &plan, &wanted, &secrets)?;
            session.print(&result, text::result)?;
            Ok(Exit::Done)
        }
        Verb::Emit { input, to, out } => {
            let plan = read(session, &input)?;
            match to {
                Target::Argv => session.print_bytes(emit::argv::render(&plan).as_bytes())?,
                Target::Files => emit::files::write(&plan, &out.unwrap_or_else(|| ".".into()))?,
                Target::Systemd => {
                    let desired = emit::systemd::render(&plan)?;
                    session.print(&desired, |desired, _| {
                        serde_json::to_string_pretty(desired).unwrap_or_default() + "\n"
                    })?;
                }
            }
            Ok(Exit::Done)
        }
    }
}

/// A plan whose digest is its own: what was changed by hand was not checked.
fn read(session: &Session, input: &Input) -> Result<BackupPlan, Failure> {
    let sourced = session.read::<BackupPlan>(input)?;
    let plan = sourced.document;
    if plan.digest != planner::digest(&plan) {
        let failure = Failure::new(Exit::BadDocument, "digest", "the plan was changed after it was made")
            .at(contract::Pointer::root().join("digest"))
            .hint("change the sources and make a new plan");
        return Err(sourced.source.located(failure));
    }
    Ok(plan)
}

fn plan(session: &Session, input: &Input, options: &Options, out: Option<PathBuf>) -> Result<Exit, Failure> {
    let sourced = session.read::<BackupSources>(input)?;
    let findings = check::check(&sourced.document);
    if findings.iter().any(|finding| finding.level == Level::Error) {
        return Err(sourced.source.failure(findings));
    }
    if !options.state.starts_with('/') {
        return Err(Failure::new(Exit::Usage, "usage", "--state needs an absolute path"));
    }
    let plan = planner::plan(&sourced.document, findings, options).map_err(refusal)?;
    if let Some(path) = out {
        let value = serde_json::to_value(&plan).unwrap_or_default();
        let text = cli::canonical_json(SchemaId::BACKUP_PLAN, &value, false);
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            crate::state::make_private(directory)?;
        }
        write_atomically(&path, text.as_bytes(), 0o600)
            .map_err(|error| Failure::io(Exit::CannotCreate, "write the plan", path.display(), &error))?;
    }
    session.print(&plan, text::plan)?;
    Ok(Exit::Done)
}

/// Problems of the host, each with the consent that overrides it.
fn refusal(problems: Vec<Problem>) -> Failure {
    let failures = problems.into_iter().map(|problem| {
        Failure::new(Exit::Refused, &problem.code.replace('-', "_"), problem.message)
            .place(problem.path.clone())
            .hint(format!("{}; --allow {}:{} plans it as it is", problem.fix, problem.code, problem.path))
    });
    Failure::join(failures)
        .unwrap_or_else(|| Failure::new(Exit::Bug, "internal", "a plan was refused without a reason"))
}
