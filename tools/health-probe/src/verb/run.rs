//! `run`: look, judge, report; with `--wait` until it is healthy.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use cli::{Failure, Input, SecretStore, Session};
use contract::document::{HealthChecks, HealthReport};
use contract::{Duration as Span, Exit};

use super::looking::{Looking, Wait, is_good};
use super::selection::select;
use crate::checklist::{Checklist, ForAll};
use crate::format;
use crate::net::{Endpoint, Trusts, certificates};
use crate::other_report::OtherReport;
use crate::probe::{Context, Turns};
use crate::schedule::Limits;
use crate::state::State;
use crate::verdict::Run;

/// Flags of `run`.
#[derive(Debug, Clone, Args)]
pub struct RunFlags {
    /// The checks
    #[command(flatten)]
    input: Input,
    /// Look again until it is healthy, for at most this long, such as 10m
    #[arg(long, value_name = "TIME")]
    wait: Option<Span>,
    /// Rounds in a row in which everything must be healthy
    #[arg(long, value_name = "N", default_value_t = 1, requires = "wait", value_parser = clap::value_parser!(u32).range(1..))]
    stable: u32,
    /// Time between the first rounds; it grows by half each time, up to 10s
    #[arg(long, value_name = "TIME", default_value = "1s", requires = "wait")]
    interval: Span,
    /// What makes it exit 1
    #[arg(long, value_name = "STATUS", default_value = "down", value_enum)]
    fail_on: FailOn,
    /// What could not be looked at only degrades the verdict
    #[arg(long)]
    unknown_ok: bool,
    /// Only these checks, with what they need: an id, or tag:TAG (may be repeated)
    #[arg(long, value_name = "CHECK")]
    only: Vec<String>,
    /// With --only, leave out what the checks need
    #[arg(long, requires = "only")]
    no_needs: bool,
    /// Without these checks: an id, or tag:TAG (may be repeated)
    #[arg(long, value_name = "CHECK")]
    skip: Vec<String>,
    /// Probes at once
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_least_one)]
    concurrency: usize,
    /// Probes at once on one host
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = at_least_one)]
    per_host: usize,
    /// Longest time of one attempt, for every check
    #[arg(long, value_name = "TIME")]
    timeout: Option<Span>,
    /// How often a failure that may pass (refused, reset, 5xx, DNS) is tried again, for every check; 1 if nobody says
    #[arg(long, value_name = "N")]
    retries: Option<u8>,
    /// Take every failure at its word: one attempt, and no second look at root causes
    #[arg(long, conflicts_with = "retries")]
    no_second_look: bool,
    /// Remember the outcomes of each check here, for states with some inertia and for flapping
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// The verdict goes by what several runs in a row say, not by this one alone
    #[arg(long, requires = "state")]
    soft: bool,
    /// The time that it is, for certificates and ages (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = instant)]
    now: Option<jiff::Timestamp>,
    /// Connect to this address for that name and port (may be repeated, also for several addresses of one name)
    #[arg(long, value_name = "HOST:PORT:ADDR", value_parser = Override::parse)]
    resolve: Vec<Override>,
    /// Trust the certificates of this PEM file besides the system's (may be repeated)
    #[arg(long, value_name = "FILE")]
    ca: Vec<PathBuf>,
    /// Take a report of another vantage into the same graph (may be repeated)
    #[arg(long, value_name = "REPORT")]
    with: Vec<PathBuf>,
    /// A report older than this is not believed
    #[arg(long, value_name = "TIME", default_value = "15m")]
    with_max_age: Span,
    /// Run the programs of exec checks
    #[arg(long)]
    allow_exec: bool,
    /// No checks at all are healthy
    #[arg(long)]
    allow_empty: bool,
    /// Where secrets are
    #[command(flatten)]
    secrets: SecretStore,
}

/// What makes it exit 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// Something required is not healthy
    Down,
    /// Or anything is degraded
    Degraded,
}

/// An address to use for a name and a port.
#[derive(Debug, Clone)]
struct Override {
    endpoint: Endpoint,
    address: IpAddr,
}

impl Override {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "expected HOST:PORT:ADDR, such as www.example.org:443:203.0.113.7".to_owned();
        let mut parts = text.splitn(3, ':');
        let (host, port, address) = (parts.next(), parts.next(), parts.next());
        let address = address.ok_or_else(wrong)?.trim_start_matches('[').trim_end_matches(']');
        let endpoint = format!("{}:{}", host.unwrap_or_default(), port.unwrap_or_default());
        Ok(Self { endpoint: endpoint.parse().map_err(|_| wrong())?, address: address.parse().map_err(|_| wrong())? })
    }
}

fn instant(text: &str) -> Result<jiff::Timestamp, String> {
    text.parse().map_err(|_| "expected a time such as 2026-01-31T12:00:00Z".into())
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "expected a number of at least 1".into())
}

/// Looks, judges and reports.
pub(super) fn run(flags: &RunFlags, session: &Session) -> Result<Exit, Failure> {
    let result = judge(flags, session);
    match result {
        // A plugin says what is wrong on its one line, and 3.
        Err(failure) if session.prints_report("nagios") => {
            session.print_bytes(format::nagios::unknown(&failure).as_bytes())?;
            session.report(&failure);
            Ok(Exit::Partial)
        }
        result => result,
    }
}

fn judge(flags: &RunFlags, session: &Session) -> Result<Exit, Failure> {
    let document = session.read_listed::<HealthChecks>(&flags.input, "checks")?;
    let others = others(flags, session)?;
    let mut findings = Vec::new();
    let for_all = ForAll { allow_empty: flags.allow_empty, timeout: flags.timeout, retries: flags.retries };
    let checklist = Checklist::of(&document, others, for_all, &mut findings)?;
    let wrong = findings.iter().any(|finding| finding.level == contract::Level::Error);
    let Some(checklist) = checklist.filter(|_| !wrong) else {
        return Err(document.source.failure(findings));
    };
    let vantage = document.document.vantage.clone();
    // The text is of no more use, and may be large.
    drop(document);
    let chosen = select(&checklist, &flags.only, &flags.skip, flags.no_needs)?;
    let state = flags.state.as_deref().map(State::open).transpose()?;
    if state.as_ref().is_some_and(|state| state.lost) {
        session.warn("what was remembered cannot be read; it is begun anew");
    }
    let now = flags.now.unwrap_or_else(jiff::Timestamp::now);
    let looking = Looking {
        context: Context {
            resolve: overrides(&flags.resolve),
            trusts: Trusts::new(given_certificates(flags)?),
            secrets: flags.secrets.clone(),
            allow_exec: flags.allow_exec,
            now: flags.now.map(jiff::Timestamp::as_second),
            units: checklist.units(),
            turns: Turns::default(),
        },
        limits: Limits { concurrency: flags.concurrency, per_host: flags.per_host },
        run: Run {
            vantage,
            started_at: now.round(jiff::Unit::Second).unwrap_or_default().to_string(),
            unknown_ok: flags.unknown_ok,
            by_soft: flags.soft,
            ..Run::default()
        },
        started: Instant::now(),
        checklist,
        chosen,
        state,
        second_look: !flags.no_second_look,
        strict: flags.fail_on == FailOn::Degraded,
        wait: flags.wait.map(|most| Wait {
            most: most.to_std(),
            interval: flags.interval.to_std(),
            stable: flags.stable,
        }),
        last: RefCell::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        Failure::new(Exit::NotSetUp, "no_runtime", "the machine gives no threads or events").cause(error)
    })?;
    let ended = runtime.block_on(async {
        tokio::select! {
            round = looking.look_until_good(session) => Ok(round),
            exit = interrupted() => Err(exit),
        }
    });
    // A look-up of a name that hangs must not keep the process.
    runtime.shutdown_background();
    let (round, interrupted) = match ended {
        Ok(round) => (round, None),
        Err(exit) => match looking.last.take() {
            Some(round) => (round, Some(exit)),
            None => {
                session.warn("interrupted before there was a verdict");
                return Ok(exit);
            }
        },
    };
    let (run, soft) = looking.end(&round, interrupted.is_some(), session)?;
    let judgement = looking.judgement(&round.observations, &run).with_soft(soft);
    if session.prints_only_json() {
        let head = judgement.head();
        session.print_listed(&head, "checks", (0..judgement.len()).map(|node| judgement.check(node)))?;
        return Ok(interrupted.unwrap_or_else(|| exit_of(&head, flags, session)));
    }
    let report = judgement.report();
    format::print(&report, session)?;
    Ok(interrupted.unwrap_or_else(|| exit_of(&report, flags, session)))
}

fn exit_of(report: &HealthReport, flags: &RunFlags, session: &Session) -> Exit {
    if session.prints_report("nagios") {
        return format::nagios::exit(report);
    }
    let strict = flags.fail_on == FailOn::Degraded;
    if report.deadline_exceeded || !is_good(report, strict) { Exit::No } else { Exit::Done }
}

async fn interrupted() -> Exit {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => Exit::Interrupted,
        _ = terminate.recv() => Exit::Terminated,
    }
}

/// Addresses by endpoint; one that stands several times has several.
fn overrides(given: &[Override]) -> HashMap<Endpoint, Vec<IpAddr>> {
    let mut addresses: HashMap<Endpoint, Vec<IpAddr>> = HashMap::new();
    for one in given {
        addresses.entry(one.endpoint.clone()).or_default().push(one.address);
    }
    addresses
}

fn given_certificates(flags: &RunFlags) -> Result<Vec<rustls_pki_types::CertificateDer<'static>>, Failure> {
    let mut found = Vec::new();
    for path in &flags.ca {
        let name = path.display().to_string();
        let pem = std::fs::read_to_string(path)
            .map_err(|error| Failure::io(Exit::Unreadable, "read the certificates", &name, &error))?;
        let more =
            certificates(&pem).map_err(|why| Failure::new(Exit::BadDocument, "bad_certificates", why).place(name))?;
        found.extend(more);
    }
    Ok(found)
}

fn others(flags: &RunFlags, session: &Session) -> Result<Vec<OtherReport>, Failure> {
    let now = flags.now.unwrap_or_else(jiff::Timestamp::now).as_second();
    flags.with.iter().map(|path| OtherReport::read(path, session, now, flags.with_max_age.as_secs())).collect()
}
