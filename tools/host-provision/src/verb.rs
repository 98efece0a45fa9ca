//! The verbs of the program.

use std::path::PathBuf;
use std::sync::Mutex;

use clap::{Args, Subcommand, ValueEnum};
use cli::{Consents, Failure, Input, Session};
use contract::document::{HostDesired, HostPlan, HostResult, Stage};
use contract::{Duration, Exit, SchemaId};

use crate::bootstrap::BootstrapArgs;
use crate::controller::{Controller, Wanted};
use crate::engine::plan::fingerprints;
use crate::nixos::{InstallArgs, LockArgs};
use crate::pull::PullArgs;
use crate::rollout::{Pace, apply_all, common_exit, each, exit_of};
use crate::target::{Link, Place, Places, Shelf, TargetFlags, keyscan};
use crate::text;
use crate::tool_call::{self, Ended, stream, tool_exit};
use crate::wire::{ApplyOptions, Request};
use crate::work::Cut;

/// What the program is asked to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Verb {
    /// Show what would change on hosts (host.plan/v1)
    ///
    /// Reads host.desired/v1, several of them as JSON Lines for several hosts. Nothing is changed.
    Plan(PlanArgs),
    /// Make hosts what the document says (host.result/v1)
    ///
    /// Reads host.desired/v1 to converge now, or host.plan/v1 to do exactly what was planned. What fails goes back to
    /// what it was. What could cut you off goes back by itself unless a new connection proves your access.
    Apply(ApplyArgs),
    /// Show what a host is (host.facts/v1)
    Facts(FactsArgs),
    /// Run a tool of the box on a host, with its standard streams and its exit code
    Run(RunArgs),
    /// Follow a run, or see how it ended (host.result/v1)
    Attach(RunOfHostArgs),
    /// Prove access for a run that waits for it, so that it stays
    Confirm(RunOfHostArgs),
    /// Put the latest run of a host back
    Rollback(RunOfHostArgs),
    /// Make first contact with a fresh Debian or Ubuntu server (host.facts/v1)
    ///
    /// Comes in by a key or by a password, waits for cloud-init, leaves a key to log in with, installs the age key by which
    /// the host opens its secrets, and remembers where it is and who it is. With --accept-new or --host-key the identity
    /// that the fleet has for it is replaced, here and nowhere else.
    Bootstrap(BootstrapArgs),
    /// Install NixOS on a server that runs any Linux, through nixos-anywhere (host.result/v1)
    ///
    /// Reads host.desired/v1 with a nixos item. Every disk that the configuration formats must be named by --allow
    /// wipe:DEVICE. The identity of the new host is made here, so that it is pinned before the first boot. Ends with an
    /// update and `nix store optimise`.
    Install(InstallArgs),
    /// Make or renew the flake.lock of a NixOS host, where the fleet keeps it
    Lock(LockArgs),
    /// Let a host bring itself to its document by a timer of its own (host.desired/v1)
    ///
    /// Reads host.desired/v1 and prints a document of the owner `pull-OWNER`, to be applied once: the programs, the document,
    /// and a timer that applies it with --target local.
    Pull(PullArgs),
    /// Fetch the host keys of a host, to be compared and pinned; prints TYPE BASE64 FINGERPRINT lines
    Keyscan(HostArgs),
}

/// Which part of the document, and from where.
#[derive(Debug, Clone, Args)]
pub struct CutFlags {
    /// Only items up to this stage; removes nothing
    #[arg(long, value_name = "STAGE", value_enum)]
    pub through: Option<StageName>,
    /// Only this item (may be repeated); removes nothing
    #[arg(long, value_name = "ID")]
    pub only: Vec<String>,
    /// Where files named by "source" lie
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub base: PathBuf,
    /// Hosts at a time
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub jobs: u16,
    #[command(flatten)]
    consents: Consents,
}

/// A stage on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StageName {
    /// Packages, users, access, secrets
    Base,
    /// Database servers too
    Data,
    /// Everything
    Services,
}

/// Arguments of plan.
#[derive(Debug, Clone, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    cut: CutFlags,
    /// End with 1 where anything would change
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    target: TargetFlags,
}

/// Arguments of apply.
#[derive(Debug, Clone, Args)]
pub struct ApplyArgs {
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    cut: CutFlags,
    /// Hosts in the order of the inventory; the next ones only if those before are well
    #[arg(long)]
    in_order: bool,
    /// A shell command asked after each changed host (HOST and RUN in its environment); a no puts that host back
    #[arg(long, value_name = "CMD")]
    gate: Option<String>,
    /// How long the proof of access may take before everything goes back
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    confirm_timeout: Duration,
    /// How long to wait for another run on the host
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    lock_wait: Duration,
    #[command(flatten)]
    target: TargetFlags,
}

/// A host.
#[derive(Debug, Clone, Args)]
pub struct HostArgs {
    /// A name in the inventory, ssh://USER@ADDRESS:PORT, or local
    host: String,
    #[command(flatten)]
    target: TargetFlags,
}

/// A host, and how closely it is looked at.
#[derive(Debug, Clone, Args)]
pub struct FactsArgs {
    /// A name in the inventory, ssh://USER@ADDRESS:PORT, or local
    host: String,
    /// What runs there too: packages, units, ports, sites, databases, cron jobs, containers (for cfg-render adopt)
    #[arg(long)]
    running: bool,
    #[command(flatten)]
    target: TargetFlags,
}

/// A host and one of its runs.
#[derive(Debug, Clone, Args)]
pub struct RunOfHostArgs {
    /// A name in the inventory, ssh://USER@ADDRESS:PORT, or local
    host: String,
    /// The run; the latest if none is named
    run: Option<String>,
    #[command(flatten)]
    target: TargetFlags,
}

/// Arguments of run.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// A name in the inventory, ssh://USER@ADDRESS:PORT, or local
    host: String,
    /// Run the program that is installed on the host instead of sending ours
    #[arg(long)]
    installed: bool,
    #[command(flatten)]
    target: TargetFlags,
    /// The tool and its arguments
    #[arg(last = true, required = true, value_name = "TOOL ARGS")]
    command: Vec<String>,
}

/// Does it.
///
/// # Errors
/// What kept it from being done.
pub fn run(verb: Verb, session: &mut Session) -> Result<Exit, Failure> {
    match verb {
        Verb::Plan(args) => plan(session, args),
        Verb::Apply(args) => apply(session, args),
        Verb::Facts(args) => {
            let controller = controller(session, args.target)?;
            let facts = if args.running { controller.survey(&args.host)? } else { controller.facts(&args.host)? };
            session.print(&facts, text::facts).map(|()| Exit::Done)
        }
        Verb::Run(args) => {
            let controller = controller(session, args.target)?;
            tool_call::run(&controller, &args.host, args.installed, &args.command)
        }
        Verb::Attach(args) => attach(session, args),
        Verb::Confirm(args) => {
            let result = controller(session, args.target)?.confirm(&args.host, args.run)?;
            session.print(&result, text::result).map(|()| exit_of(&result))
        }
        Verb::Rollback(args) => {
            let result = controller(session, args.target)?.roll_back(&args.host, args.run, None)?;
            session.print(&result, text::result)?;
            Ok(if result.outcome == contract::Outcome::RolledBack { Exit::Done } else { Exit::Partial })
        }
        Verb::Bootstrap(args) => {
            let controller = controller(session, args.target.clone())?;
            let done = args.run(session, &controller)?;
            session.print(&done.facts, text::facts).map(|()| Exit::Done)
        }
        Verb::Install(args) => {
            let controller = controller(session, args.target.clone())?;
            let result = args.run(session, &controller)?;
            session.print(&result, text::result).map(|()| exit_of(&result))
        }
        Verb::Lock(args) => args.run(session),
        Verb::Pull(args) => args.run(session),
        Verb::Keyscan(args) => scan(session, args),
    }
}

fn controller(session: &Session, target: TargetFlags) -> Result<Controller<'_>, Failure> {
    Ok(Controller { session, places: Places::open(session, target)?, shelf: Shelf::default(), signals: None })
}

impl CutFlags {
    fn cut(&self) -> Cut {
        let through = self.through.map(|stage| match stage {
            StageName::Base => Stage::Base,
            StageName::Data => Stage::Data,
            StageName::Services => Stage::Services,
        });
        let allow = self.consents.allow.iter().map(ToString::to_string).collect();
        Cut { through, only: self.only.clone(), base: self.base.clone(), allow }
    }
}

/// Reads desired documents and plans, one for each host.
fn read(session: &Session, input: &Input, kinds: &[SchemaId]) -> Result<Vec<Wanted>, Failure> {
    let mut wanted: Vec<Wanted> = Vec::new();
    for raw in session.read_all_raw(input, kinds)? {
        let one = if raw.schema == SchemaId::HOST_PLAN.as_str() {
            let plan = raw.read::<HostPlan>()?;
            let expected = Some(fingerprints(&plan.document));
            Wanted { desired: plan.document.desired, source: plan.source, expected }
        } else {
            let desired = raw.read::<HostDesired>()?;
            Wanted { desired: desired.document, source: desired.source, expected: None }
        };
        let same = |other: &Wanted| other.desired.host == one.desired.host && other.desired.owner == one.desired.owner;
        if wanted.iter().any(same) {
            let message = format!(
                "two documents are for the host \"{}\" and the owner \"{}\"",
                one.desired.host, one.desired.owner
            );
            return Err(Failure::new(Exit::BadDocument, "duplicate_host", message).hint("keep one of them"));
        }
        wanted.push(one);
    }
    Ok(wanted)
}

fn plan(session: &mut Session, args: PlanArgs) -> Result<Exit, Failure> {
    let wanted = read(session, &args.input, &[SchemaId::HOST_DESIRED])?;
    let cut = args.cut.cut();
    let controller = controller(session, args.target)?;
    let drift = |plan: &HostPlan| args.check && plan.summary.has_changes();
    let answer = |drift: bool| if drift { Exit::No } else { Exit::Done };
    if let [one] = &wanted[..] {
        let plan = controller.plan(one, &cut)?;
        session.print(&plan, text::plan)?;
        return Ok(answer(drift(&plan)));
    }
    let exits = Mutex::new(Vec::new());
    each(usize::from(args.cut.jobs), &wanted, |one| {
        let exit = match controller.plan(one, &cut) {
            Ok(plan) => {
                session.print_line(&plan, text::plan).map_or_else(|failure| failure.exit(), |()| answer(drift(&plan)))
            }
            Err(failure) => {
                session.report(&failure);
                failure.exit()
            }
        };
        exits.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(exit);
    });
    let exits = exits.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    // Drift of one host is drift, whatever the others are.
    let failed: Vec<Exit> = exits.iter().copied().filter(|exit| !matches!(exit, Exit::Done | Exit::No)).collect();
    Ok(match (failed.is_empty(), failed.len() == exits.len()) {
        (true, _) => answer(exits.contains(&Exit::No)),
        (false, true) => common_exit(&failed),
        (false, false) => Exit::Partial,
    })
}

fn apply(session: &mut Session, args: ApplyArgs) -> Result<Exit, Failure> {
    let wanted = read(session, &args.input, &[SchemaId::HOST_DESIRED, SchemaId::HOST_PLAN])?;
    let cut = args.cut.cut();
    if (cut.through.is_some() || !cut.only.is_empty()) && wanted.iter().any(|one| one.expected.is_some()) {
        return Err(Failure::new(
            Exit::Usage,
            "usage",
            "a plan is applied as it is: --through and --only belong to plan",
        ));
    }
    let signals = session.begin_apply();
    let session = &*session;
    let mut controller = controller(session, args.target)?;
    controller.signals = Some(signals);
    let options = ApplyOptions {
        confirm_timeout: args.confirm_timeout.as_secs().max(3),
        lock_wait: args.lock_wait.as_secs(),
        ..ApplyOptions::default()
    };
    let pace = Pace { jobs: usize::from(args.cut.jobs), in_order: args.in_order, gate: args.gate };
    let one = wanted.len() == 1;
    let unwritten = Mutex::new(None);
    let exits = apply_all(&controller, wanted, &cut, &options, &pace, |result| {
        let printed = if one { print_one(session, result) } else { session.print_line(result, text::result) };
        if let Err(failure) = printed {
            *unwritten.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(failure);
        }
        if let Some(error) = &result.error {
            let place =
                error.place.as_ref().map_or_else(|| result.host.clone(), |place| format!("{}: {place}", result.host));
            session.report_error(&contract::ErrorObject { place: Some(place), ..error.clone() });
        }
    });
    // The work is done, but nobody can read what became of it.
    if let Some(failure) = unwritten.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        session.report(&failure);
    }
    Ok(common_exit(&exits))
}

fn print_one(session: &Session, result: &HostResult) -> Result<(), Failure> {
    session.print(result, text::result)
}

fn attach(session: &mut Session, args: RunOfHostArgs) -> Result<Exit, Failure> {
    let controller = controller(session, args.target)?;
    let place = controller.places.find(&args.host)?;
    let request = Request::Attach { run: args.run.clone() };
    // The run may be a tool's: then its streams come and not a result.
    let link = Link::open(session, &controller.shelf, &place, None, &|_, _| Ok(request.clone()))?;
    match stream(session, link, &(), None)? {
        Ended::Tool(code) => Ok(tool_exit(code)),
        Ended::Result(result) => session.print(&*result, text::result).map(|()| exit_of(&result)),
        Ended::Waits => {
            let result = controller.attach(&args.host, args.run)?;
            session.print(&result, text::result).map(|()| exit_of(&result))
        }
    }
}

fn scan(session: &mut Session, args: HostArgs) -> Result<Exit, Failure> {
    let Place::Ssh(host) = Places::open(session, args.target)?.find(&args.host)? else {
        return Err(Failure::new(Exit::Usage, "usage", "only a host behind SSH has keys to fetch"));
    };
    let mut last = None;
    for way in &host.addresses {
        match keyscan(way) {
            Ok(keys) => {
                let lines: Vec<String> =
                    keys.iter().map(|key| format!("{} {}", key.line(), key.fingerprint())).collect();
                session.print_bytes((lines.join("\n") + "\n").as_bytes())?;
                session.warn("compare the fingerprint with what the provider's console shows before you pin a key");
                return Ok(Exit::Done);
            }
            Err(failure) => last = Some(failure.place(crate::target::describe(way))),
        }
    }
    Err(last.unwrap_or_else(|| Failure::new(Exit::BadDocument, "no_address", "the host has no address")))
}
