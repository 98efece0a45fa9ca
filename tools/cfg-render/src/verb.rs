//! The verbs of the program.

mod adopt;
mod certs;
mod diff;
mod docs;
mod explain;
mod fleet_input;
mod join;
mod keep_going;
mod new;
mod out;
mod text;

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use cli::{Failure, Session, did_you_mean};
use contract::document::HealthChecks;
use contract::{Exit, Finding, Findings, Pointer};

use crate::check::check_model;
use crate::derive::{self, Vantage};
use crate::host::render_each;
use crate::model::{HostView, Model};
use fleet_input::FleetInput;

/// What the program is asked to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Verb {
    /// Say what is wrong with a fleet, all of it at once (exit 1 with errors)
    ///
    /// Finds what no single host can see: port and name clashes, dependency cycles, unreachable services, lockouts, public
    /// plaintext, secrets in clear, overlapping backups; and names everything that is not rendered yet. Each finding has its place
    /// in the document and what to do.
    Check(CheckArgs),
    /// Print the inventory: where hosts are and how to reach them
    Hosts(HostsArgs),
    /// Print everything on a host: its files, units, users, packages, and what checks them
    Host(HostArgs),
    /// Print the zones with the records that follow from the fleet
    Dns(DnsArgs),
    /// Print what a PostgreSQL cluster shall hold
    Postgres(PostgresArgs),
    /// Print what is backed up on a host, and where to
    Backup(BackupArgs),
    /// Print what can be seen of the fleet from a host or from here, and what depends on what
    Health(HealthArgs),
    /// Print which secrets a host or the controller gets
    Secrets(SecretsArgs),
    /// Draw the fleet: networks, dependencies, zones, secrets, backups, names, the way of a request
    Docs(docs::DocsArgs),
    /// Put a fleet of several files together: fleet.json, hosts/*.json, services/*.json
    ///
    /// Every verb takes such a directory too, in the place of FILE. One file owns a host or a service; errors name the file and the
    /// place in it.
    Join(join::JoinArgs),
    /// Say which lines of the fleet made a file of a host, or what would go with a service
    Explain(explain::ExplainArgs),
    /// Compare what the fleet makes now with an earlier render
    Diff(diff::DiffArgs),
    /// Start a fleet: one host, rules for secrets, what git ignores, a check for CI; nothing that is there is touched
    New(new::NewArgs),
    /// Make the first draft of a fleet from the facts of a running host, with its open questions
    Adopt(adopt::AdoptArgs),
    /// Keep the internal CA: make it, renew its leaves, check them
    #[command(subcommand)]
    Certs(certs::CertsVerb),
}

/// `check`
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    fleet: FleetInput,
}

/// `hosts`
#[derive(Debug, Clone, Args)]
pub struct HostsArgs {
    #[command(flatten)]
    fleet: FleetInput,
}

/// `host`
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("which").required(true))]
pub struct HostArgs {
    /// This host
    #[arg(long, value_name = "HOST", group = "which")]
    host: Option<String>,
    /// Every host, as JSON Lines
    #[arg(long, group = "which")]
    all: bool,
    /// Write the files below this directory instead: the flake of NixOS hosts (for git), HOST/PATH of others
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where only services are wrong, print the hosts that they do not concern, and end with 65 all the same
    #[arg(long, requires = "all", conflicts_with = "out")]
    keep_going: bool,
    #[command(flatten)]
    fleet: FleetInput,
}

/// `dns`
#[derive(Debug, Clone, Args)]
pub struct DnsArgs {
    #[command(flatten)]
    fleet: FleetInput,
}

/// `postgres`
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("what").required(true))]
pub struct PostgresArgs {
    /// This cluster
    #[arg(long, value_name = "CLUSTER", group = "what")]
    cluster: Option<String>,
    /// Only the names of clusters, one a line
    #[arg(long, group = "what")]
    list: bool,
    /// Only clusters that are managed from this host; "controller" for those that are managed from here
    #[arg(long, value_name = "HOST", requires = "list")]
    run_on: Option<String>,
    #[command(flatten)]
    fleet: FleetInput,
}

/// `backup`
#[derive(Debug, Clone, Args)]
pub struct BackupArgs {
    /// This host
    #[arg(long, value_name = "HOST")]
    host: String,
    #[command(flatten)]
    fleet: FleetInput,
}

/// `health`
#[derive(Debug, Clone, Args)]
pub struct HealthArgs {
    /// From where: a host, or "controller"
    #[arg(long, value_name = "HOST|controller")]
    from: String,
    /// A host whose own report is read along (health-probe run --with), so that edges lead to what it sees of itself; may be given
    /// several times
    #[arg(long, value_name = "HOST")]
    with: Vec<String>,
    #[command(flatten)]
    fleet: FleetInput,
}

/// `secrets`
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("whose").required(true))]
pub struct SecretsArgs {
    /// Those of this host
    #[arg(long, value_name = "HOST", group = "whose")]
    host: Option<String>,
    /// Those of every host and of the controller, as JSON Lines
    #[arg(long, group = "whose")]
    all: bool,
    /// Those of the machine on which the pipelines run: tokens of providers
    #[arg(long, group = "whose")]
    controller: bool,
    /// The key of the internal CA, for `certs renew` alone
    #[arg(long, group = "whose")]
    authority: bool,
    #[command(flatten)]
    fleet: FleetInput,
}

/// Does it.
pub fn run(verb: Verb, session: &mut Session) -> Result<Exit, Failure> {
    match verb {
        Verb::Check(args) => check(&args, session),
        Verb::Hosts(args) => {
            let fleet = args.fleet.read(session)?;
            let resolved = fleet.document.resolved();
            session.print(&derive::inventory(&Model::new(&fleet.document, &resolved)), text::inventory)?;
            Ok(Exit::Done)
        }
        Verb::Host(args) => host(&args, session),
        Verb::Dns(args) => {
            let fleet = args.fleet.read(session)?;
            let resolved = fleet.document.resolved();
            let (desired, findings) = derive::dns(&Model::new(&fleet.document, &resolved));
            warn(session, &findings);
            session.print(&desired, text::dns)?;
            Ok(Exit::Done)
        }
        Verb::Postgres(args) => postgres(&args, session),
        Verb::Backup(args) => backup(&args, session),
        Verb::Health(args) => health(&args, session),
        Verb::Secrets(args) => secrets(&args, session),
        Verb::Docs(args) => docs::run(&args, session),
        Verb::Join(args) => join::run(&args, session),
        Verb::Explain(args) => explain::run(args, session),
        Verb::Diff(args) => diff::run(&args, session),
        Verb::New(args) => new::run(&args, session),
        Verb::Adopt(args) => adopt::run(&args, session),
        Verb::Certs(verb) => certs::run(&verb, session),
    }
}

/// Everything that is wrong with a fleet, or cannot be rendered.
fn findings_of(fleet: &crate::fleet::Fleet) -> Findings {
    let resolved = fleet.resolved();
    let model = Model::new(fleet, &resolved);
    let mut all = check_model(&model);
    let broken = all.iter().any(|finding| finding.level == contract::Level::Error);
    // What a host would look like says nothing where its names lead nowhere.
    if !broken {
        let hosts: Vec<_> = model.hosts().collect();
        all.extend(render_each(&model, &hosts, |rendered| rendered.findings).into_iter().flatten());
        all.extend(derive::dns(&model).1);
    }
    Findings::new(all)
}

fn check(args: &CheckArgs, session: &mut Session) -> Result<Exit, Failure> {
    let fleet = args.fleet.read_unchecked(session)?;
    let mut findings = findings_of(&fleet.document);
    for finding in &mut findings.findings {
        // In a fleet of several files the place alone does not say where to look.
        finding.file = fleet.source.file_of(&finding.pointer).map(|(file, _)| file.to_owned());
    }
    session.print(&findings, text::findings)?;
    Ok(if findings.has_errors() { Exit::No } else { Exit::Done })
}

fn warn(session: &Session, findings: &[Finding]) {
    for finding in findings {
        if finding.level == contract::Level::Note {
            session.note(&format!("{}: {}", finding.pointer, finding.message));
            continue;
        }
        session.warn(&format!("{}: {}", finding.pointer, finding.message));
    }
}

fn host(args: &HostArgs, session: &mut Session) -> Result<Exit, Failure> {
    if args.keep_going {
        return keep_going::run(&args.fleet, session);
    }
    let fleet = args.fleet.read_unchecked(session)?;
    let resolved = fleet.document.resolved();
    let model = Model::new(&fleet.document, &resolved);
    fleet_input::good(&fleet, check_model(&model))?;
    let hosts: Vec<&HostView> = match &args.host {
        Some(name) => vec![find_host(&model, name)?],
        None => model.hosts().collect(),
    };
    if args.all && args.out.is_none() {
        // All or nothing: a host that cannot be rendered must not leave half of the output behind. The line of a host is kept, not
        // the host: ten thousand services are a hundred megabytes as lines.
        let made = render_each(&model, &hosts, |rendered| {
            Ok((session.line(&rendered.desired, text::host)?, rendered.findings))
        });
        let lines = made.into_iter().collect::<Result<Vec<_>, Failure>>()?;
        fleet_input::good(&fleet, lines.iter().flat_map(|(_, findings)| findings.clone()).collect())?;
        for (line, findings) in lines {
            warn(session, &findings);
            session.print_bytes(line.as_bytes())?;
        }
        // The program ends here, and with it all of its memory at once: a million small pieces need not be given back one by one.
        std::mem::forget(model);
        std::mem::forget((resolved, fleet));
        return Ok(Exit::Done);
    }
    let rendered = render_each(&model, &hosts, |rendered| rendered);
    fleet_input::good(&fleet, rendered.iter().flat_map(|rendered| rendered.findings.clone()).collect())?;
    for rendered in &rendered {
        warn(session, &rendered.findings);
    }
    if let Some(directory) = &args.out {
        return out::write(&args.fleet, directory, &rendered, args.all, session);
    }
    for rendered in &rendered {
        session.print(&rendered.desired, text::host)?;
    }
    Ok(Exit::Done)
}

fn postgres(args: &PostgresArgs, session: &mut Session) -> Result<Exit, Failure> {
    let fleet = args.fleet.read(session)?;
    let resolved = fleet.document.resolved();
    let model = Model::new(&fleet.document, &resolved);
    let Some(name) = &args.cluster else {
        if let Some(host) = args.run_on.as_ref().filter(|host| *host != "controller") {
            find_host(&model, host)?;
        }
        let mut names = String::new();
        for cluster in model.clusters() {
            let on = model.manager_of(&cluster).map_or("controller", |host| host.name.as_str());
            if args.run_on.as_ref().is_none_or(|wanted| wanted == on) {
                names.push_str(&format!("{}\n", cluster.name));
            }
        }
        session.print_bytes(names.as_bytes())?;
        return Ok(Exit::Done);
    };
    let cluster = model.cluster(name).ok_or_else(|| {
        unknown(
            "cluster",
            name,
            model.clusters().map(|cluster| cluster.name).collect::<Vec<_>>().into_iter(),
            "databases",
        )
    })?;
    let file = cluster.spec.external.as_ref().and_then(|external| external.ca.clone());
    let certificate = file.map(|file| args.fleet.companion(&file)).transpose()?.flatten();
    session.print(&derive::postgres(&model, &cluster, certificate), text::postgres)?;
    Ok(Exit::Done)
}

fn backup(args: &BackupArgs, session: &mut Session) -> Result<Exit, Failure> {
    let fleet = args.fleet.read(session)?;
    let resolved = fleet.document.resolved();
    let model = Model::new(&fleet.document, &resolved);
    let host = find_host(&model, &args.host)?;
    let sources = derive::backup(&model, host).ok_or_else(|| {
        Failure::new(Exit::BadDocument, "no_backup_plan", format!("nothing is backed up on host \"{}\"", host.name))
            .at(host.at("backup"))
            .hint("add a plan to backups.plans, and name it in the host's backup.plan where there are several")
    })?;
    session.print(&sources, text::backup)?;
    Ok(Exit::Done)
}

fn health(args: &HealthArgs, session: &mut Session) -> Result<Exit, Failure> {
    let fleet = args.fleet.read(session)?;
    let resolved = fleet.document.resolved();
    let model = Model::new(&fleet.document, &resolved);
    let vantage =
        if args.from == "controller" { Vantage::Controller } else { Vantage::Host(find_host(&model, &args.from)?) };
    let mut along = Vec::new();
    for name in &args.with {
        along.push(find_host(&model, name)?);
    }
    let file = &fleet.document.certificates.certificate;
    let wanted = !model.internal_certificates().is_empty() && matches!(vantage, Vantage::Controller);
    let ca = if wanted { args.fleet.companion(file)? } else { None };
    if wanted && ca.is_none() {
        session.warn(&format!(
            "there is no {file} beside the fleet: certificates of the internal CA will look bad; make it with cfg-render certs ca, or give --base"
        ));
    }
    let checks: HealthChecks = derive::health(&model, vantage, ca.as_deref(), &along);
    session.print(&checks, text::health)?;
    Ok(Exit::Done)
}

fn secrets(args: &SecretsArgs, session: &mut Session) -> Result<Exit, Failure> {
    let fleet = args.fleet.read(session)?;
    let resolved = fleet.document.resolved();
    let model = Model::new(&fleet.document, &resolved);
    if let Some(name) = &args.host {
        let host = find_host(&model, name)?;
        session.print(&derive::host_secrets(&model, host), text::secrets)?;
    } else if args.controller {
        session.print(&derive::controller_secrets(&model), text::secrets)?;
    } else if args.authority {
        session.print(&derive::authority_secrets(&model), text::secrets)?;
    } else {
        for host in model.hosts() {
            session.print_line(&derive::host_secrets(&model, host), text::secrets)?;
        }
        session.print_line(&derive::controller_secrets(&model), text::secrets)?;
        session.print_line(&derive::authority_secrets(&model), text::secrets)?;
    }
    Ok(Exit::Done)
}

fn find_host<'m>(model: &'m Model<'_>, name: &str) -> Result<&'m HostView, Failure> {
    if let Some(host) = model.host(name) {
        return Ok(host);
    }
    if model.written.hosts.contains_key(name) {
        let at = Pointer::root().join("hosts").join(name).join("enable");
        return Err(Failure::new(Exit::Usage, "host_disabled", format!("host \"{name}\" takes no part"))
            .at(at)
            .hint("set enable to true"));
    }
    Err(unknown("host", name, model.fleet.hosts.keys().map(String::as_str), "hosts"))
}

fn unknown<'a>(kind: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone, key: &str) -> Failure {
    let hint = match did_you_mean(name, known.clone()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("{key}: {}", known.collect::<Vec<_>>().join(", ")),
    };
    Failure::new(Exit::Usage, &format!("unknown_{kind}"), format!("the fleet has no {kind} \"{name}\"")).hint(hint)
}

/// Where files named in the fleet lie.
fn base_of(given: Option<&PathBuf>, input: &cli::Input) -> PathBuf {
    if !input.is_stdin() && input.file.is_dir() {
        return given.unwrap_or(&input.file).clone();
    }
    let beside = || input.file.parent().filter(|parent| !input.is_stdin() && !parent.as_os_str().is_empty());
    given.map(PathBuf::as_path).or_else(beside).unwrap_or(std::path::Path::new(".")).to_owned()
}
