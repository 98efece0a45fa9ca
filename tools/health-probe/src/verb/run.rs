//! `run`: look, judge, report; with `--wait` until it is healthy.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use cli::{Failure, Input, SecretStore, Session};
use contract::document::{CheckState, HealthChecks, HealthReport, HealthStatus, RawResult};
use contract::{Duration as Span, Exit};

use super::live::Live;
use super::selection::select;
use crate::checklist::{Checklist, Origin};
use crate::format;
use crate::net::{Endpoint, Trusts, certificates};
use crate::observation::Observation;
use crate::other_report::OtherReport;
use crate::probe::Context;
use crate::reason::Reason;
use crate::schedule::{Limits, look};
use crate::verdict::{Run, report};

/// How long after a failure it is looked at again before it is believed.
const SECOND_LOOK: Duration = Duration::from_millis(250);

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
    /// Time between two rounds
    #[arg(long, value_name = "TIME", default_value = "2s", requires = "wait")]
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
    /// Take every failure at its word, without a second look
    #[arg(long)]
    no_second_look: bool,
    /// Connect to this address for that name and port (may be repeated)
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
    let mut sourced = session.read::<HealthChecks>(&flags.input)?;
    if let Some(timeout) = flags.timeout {
        sourced.document.defaults.timeout = Some(timeout);
        sourced.document.checks.iter_mut().for_each(|check| check.timeout = None);
    }
    let others = others(flags, session)?;
    let mut findings = Vec::new();
    let checklist = Checklist::of(&sourced.document, others, flags.allow_empty, &mut findings);
    let wrong = findings.iter().any(|finding| finding.level == contract::Level::Error);
    let Some(checklist) = checklist.filter(|_| !wrong) else {
        return Err(sourced.source.failure(findings));
    };
    let chosen = select(&checklist, &flags.only, &flags.skip)?;
    let looking = Looking {
        context: Context {
            resolve: flags.resolve.iter().map(|one| (one.endpoint.clone(), one.address)).collect::<HashMap<_, _>>(),
            trusts: Trusts::new(given_certificates(flags)?),
            secrets: flags.secrets.clone(),
            allow_exec: flags.allow_exec,
        },
        limits: Limits { concurrency: flags.concurrency, per_host: flags.per_host },
        run: Run {
            vantage: sourced.document.vantage.clone(),
            started_at: jiff::Timestamp::now().round(jiff::Unit::Second).unwrap_or_default().to_string(),
            unknown_ok: flags.unknown_ok,
            ..Run::default()
        },
        started: Instant::now(),
        checklist,
        chosen,
        flags,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        Failure::new(Exit::NotSetUp, "no_runtime", "the machine gives no threads or events").cause(error)
    })?;
    let ended = runtime.block_on(async {
        tokio::select! {
            report = looking.look_until_good(session) => Ok(report),
            exit = interrupted() => Err(exit),
        }
    });
    // A look-up of a name that hangs must not keep the process.
    runtime.shutdown_background();
    let report = match ended {
        Ok(report) => report,
        Err(exit) => {
            session.warn("interrupted before there was a verdict");
            return Ok(exit);
        }
    };
    format::print(&report, session)?;
    Ok(exit_of(&report, flags, session))
}

fn exit_of(report: &HealthReport, flags: &RunFlags, session: &Session) -> Exit {
    if session.prints_report("nagios") {
        return format::nagios::exit(report);
    }
    if report.deadline_exceeded || !is_good(report, flags) { Exit::No } else { Exit::Done }
}

fn is_good(report: &HealthReport, flags: &RunFlags) -> bool {
    match flags.fail_on {
        FailOn::Down => report.status != HealthStatus::Down,
        FailOn::Degraded => report.status == HealthStatus::Up,
    }
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
    flags.with.iter().map(|path| OtherReport::read(path, session, flags.with_max_age.as_secs())).collect()
}

/// One run of the verb.
struct Looking<'a> {
    checklist: Checklist,
    chosen: Vec<bool>,
    context: Context,
    limits: Limits,
    run: Run,
    started: Instant,
    flags: &'a RunFlags,
}

impl Looking<'_> {
    async fn look_until_good(&self, session: &Session) -> HealthReport {
        let all: Vec<usize> = (0..self.chosen.len()).filter(|&node| self.chosen[node]).collect();
        let mut observations: Vec<Observation> = self.chosen.iter().map(|chosen| unseen(*chosen)).collect();
        let Some(wait) = self.flags.wait else {
            self.look(&all, None, &mut observations).await;
            if !self.flags.no_second_look {
                self.look_again(&mut observations).await;
            }
            return self.report(&observations, 1, false);
        };
        let deadline = self.started + wait.to_std();
        let mut live = Live::new(session);
        let (mut rounds, mut stable) = (0, 0);
        let mut nodes = all.clone();
        loop {
            let whole = nodes.len() == all.len();
            let complete = self.look(&nodes, Some(deadline), &mut observations).await;
            rounds += 1;
            let report = self.report(&observations, rounds, false);
            let good = complete && is_good(&report, self.flags);
            // An early pass may be stale by now, so only whole rounds count.
            stable = if good && whole { stable + 1 } else { 0 };
            live.show(&report, stable, self.flags.stable);
            if stable >= self.flags.stable {
                return report;
            }
            nodes = if good { all.clone() } else { self.not_good(&report) };
            let pause = self.flags.interval.to_std();
            let left = deadline.saturating_duration_since(Instant::now());
            // A whole round right after the last missing piece came is what it waits for; it needs no pause.
            if good && !whole {
                continue;
            }
            if left <= pause {
                tokio::time::sleep(left).await;
                return self.report(&observations, rounds, true);
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Looks at some checks; whether all were seen before the deadline.
    async fn look(&self, nodes: &[usize], deadline: Option<Instant>, observations: &mut [Observation]) -> bool {
        let mut seen = 0;
        look(&self.checklist, nodes, &self.context, self.limits, deadline, |node, observation| {
            seen += 1;
            observations[node] = observation;
        })
        .await;
        seen == nodes.len()
    }

    /// Looks once more at root causes that may have been a moment's trouble, and at what they need: that may have died
    /// after it was seen.
    async fn look_again(&self, observations: &mut [Observation]) {
        let first = self.report(observations, 1, false);
        let doubtful: BTreeSet<usize> = (0..first.checks.len())
            .filter(|&node| {
                first.checks[node].state == CheckState::Down
                    && observations[node].reason.is_some_and(Reason::is_transient)
                    && matches!(self.checklist.items[node].origin, Origin::Probe(_))
            })
            .collect();
        if doubtful.is_empty() {
            return;
        }
        let needs = doubtful.iter().flat_map(|&node| self.checklist.graph.edges(node).hard());
        let again: BTreeSet<usize> = needs.chain(doubtful.iter().copied()).filter(|&node| self.chosen[node]).collect();
        tokio::time::sleep(SECOND_LOOK).await;
        let before: HashMap<usize, u32> = again.iter().map(|&node| (node, observations[node].attempts)).collect();
        let nodes: Vec<usize> = again.into_iter().collect();
        self.look(&nodes, None, observations).await;
        for (node, attempts) in before {
            // A need that was good both times is not flaky.
            if doubtful.contains(&node) {
                observations[node].attempts += attempts;
            }
        }
    }

    /// What is not as it must be, with everything that it needs.
    fn not_good(&self, report: &HealthReport) -> Vec<usize> {
        let strict = self.flags.fail_on == FailOn::Degraded;
        let bad = (0..report.checks.len()).filter(|&node| match report.checks[node].state {
            CheckState::Up | CheckState::Skipped => false,
            CheckState::Degraded => strict,
            CheckState::Down | CheckState::Unreachable | CheckState::Unknown => true,
        });
        self.checklist.graph.with_needs(bad).into_iter().filter(|&node| self.chosen[node]).collect()
    }

    fn report(&self, observations: &[Observation], rounds: u32, deadline_exceeded: bool) -> HealthReport {
        let ms = self.started.elapsed().as_millis() as u64;
        report(&self.checklist, observations, &Run { ms, rounds, deadline_exceeded, ..self.run.clone() })
    }
}

/// What is known of a check before anybody looked.
fn unseen(chosen: bool) -> Observation {
    if chosen {
        Observation::unprobed(RawResult::Error, Some(Reason::NotReached), "the time was up before it was looked at")
    } else {
        Observation::unprobed(RawResult::Skip, Some(Reason::Filtered), "left out by --only or --skip")
    }
}
