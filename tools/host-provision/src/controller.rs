//! What is done with one host, from the controller's side.

use std::net::ToSocketAddrs;
use std::path::Path;
use std::time::{Duration, Instant};

use cli::{Failure, Session, Signals, Source};
use contract::document::{HostDesired, HostFacts, HostPlan, HostResult, InventoryAddress, Outcome as End};
use contract::{Exit, Summary};

use crate::blobs::Blobs;
use crate::engine::apply::{Terms, apply};
use crate::engine::lock::Lock;
use crate::engine::owned::Owned;
use crate::engine::plan::{Planned, plan};
use crate::engine::run::{Record, Run, Stand, new_id, prune};
use crate::engine::{Host, View};
use crate::fault::Fault;
use crate::helper::{Order, nothing_to_do};
use crate::target::{Link, Place, Places, Said, Shelf, Supplies, describe, is_lost};
use crate::wire::{ApplyOptions, Reply, Request, Work};
use crate::work::{Cut, Prepared, prepare};

/// How long a run that was cut off is looked for again.
const REATTACH: Duration = Duration::from_secs(120);

/// What all hosts of one call share.
pub struct Controller<'a> {
    /// The call.
    pub session: &'a Session,
    /// Where hosts are.
    pub places: Places,
    /// Programs to be sent.
    pub shelf: Shelf,
    /// Signals during an apply.
    pub signals: Option<Signals>,
}

/// A document of one host, and what it rests on.
pub struct Wanted {
    /// What the host shall be.
    pub desired: HostDesired,
    /// Where it was read.
    pub source: Source,
    /// Fingerprints of the plan, if it was one.
    pub expected: Option<Vec<(String, String)>>,
}

impl Controller<'_> {
    fn prepare(&self, wanted: &Wanted, cut: &Cut) -> Result<(Place, Prepared), Failure> {
        let mut place = self.places.find(&wanted.desired.host)?;
        let tools = || wanted.desired.items.iter().filter_map(|item| item.tool.as_ref());
        let fits = |arch| tools().all(|tool| self.shelf.find(&tool.name, arch).is_ok());
        let arch = match &mut place {
            Place::Ssh(host) => {
                // A tool must fit; a host that no inventory describes, or as one for which there is none, is asked.
                if tools().next().is_some() && !host.arch.is_some_and(fits) {
                    host.arch = Some(self.facts(&wanted.desired.host)?.arch);
                }
                host.arch
            }
            _ => None,
        };
        let prepared = prepare(wanted.desired.clone(), &wanted.source, cut, &self.shelf, arch)?;
        Ok((place, prepared))
    }

    /// Makes the plan of a host.
    ///
    /// # Errors
    /// Those of the document, of the way to the host, and of the host.
    pub fn plan(&self, wanted: &Wanted, cut: &Cut) -> Result<HostPlan, Failure> {
        let (place, prepared) = self.prepare(wanted, cut)?;
        let (target, mut plan) = match &place {
            Place::Sandbox(directory) => {
                let host = open_sandbox(directory)?;
                let (planned, _) = look(&host, &prepared.work, &prepared.blobs)?;
                (place.describe(), planned.plan)
            }
            _ => {
                let request = |_: Option<&_>, arch| Ok(Request::Plan(Box::new(prepared.work_for(arch)?)));
                let mut link = Link::open(self.session, &self.shelf, &place, None, &request)?;
                match link.reply(&prepared)? {
                    Reply::Plan(plan) => (link.describe(), *plan),
                    _ => return Err(unexpected()),
                }
            }
        };
        plan.target = target;
        plan.through = cut.through;
        plan.desired = prepared.work.desired;
        Ok(plan)
    }

    /// Applies to a host. What keeps it from being begun is in the result too.
    pub fn apply(&self, wanted: &Wanted, cut: &Cut, options: &ApplyOptions) -> HostResult {
        let begun = Instant::now();
        let mut result = match self.try_apply(wanted, cut, options) {
            Ok(result) => result,
            Err(failure) => self.not_started(&wanted.desired, failure),
        };
        // What the person waited, which is more than what the host worked.
        result.ms = begun.elapsed().as_millis() as u64;
        result
    }

    /// The result of a host on which nothing was begun.
    pub fn not_started(&self, desired: &HostDesired, failure: Failure) -> HostResult {
        HostResult {
            host: desired.host.clone(),
            owner: desired.owner.clone(),
            run: None,
            outcome: End::NotStarted,
            changed: false,
            summary: Summary::default(),
            changes: Vec::new(),
            orphaned: Vec::new(),
            kept: Vec::new(),
            access_proof: None,
            error: Some(failure.into_error(self.session.tool())),
            warnings: Vec::new(),
            ms: 0,
        }
    }

    fn try_apply(&self, wanted: &Wanted, cut: &Cut, options: &ApplyOptions) -> Result<HostResult, Failure> {
        let (place, prepared) = self.prepare(wanted, cut)?;
        let options = ApplyOptions { expected: wanted.expected.clone(), run: Some(new_id()), ..options.clone() };
        if let Place::Sandbox(directory) = &place {
            return self.apply_sandbox(directory, &prepared, &options);
        }
        let request = |way: Option<&InventoryAddress>, arch| {
            let options = ApplyOptions { came_by: way.map(|way| way.port), can_prove: true, ..options.clone() };
            Ok(Request::Apply(Box::new(prepared.work_for(arch)?), options))
        };
        match (Link::open(self.session, &self.shelf, &place, None, &request), &options.run) {
            (Ok(link), _) => self.follow(&place, link, &prepared, options.run, None),
            // It may have been heard before the connection broke.
            (Err(failure), Some(run)) if is_lost(&failure) => {
                let link = self.reattach(&place, run, &failure)?;
                self.follow(&place, link, &prepared, options.run, Some(failure))
            }
            (Err(failure), _) => Err(failure),
        }
    }

    /// Follows a run to its end, over new connections if the first one breaks.
    fn follow(
        &self,
        place: &Place,
        mut link: Link,
        supplies: &dyn Supplies,
        mut run: Option<String>,
        mut lost: Option<Failure>,
    ) -> Result<HostResult, Failure> {
        let since = Instant::now();
        let mut stopping = false;
        let mut begun = false;
        loop {
            match link.next(supplies) {
                Ok(Said::Reply(Reply::Started { run: id })) => {
                    begun = true;
                    self.session.note(&format!("run {id}"));
                    run = Some(id);
                }
                Ok(Said::Reply(Reply::Result(result))) => return Ok(*result),
                Ok(Said::Reply(Reply::ProveAccess { run, ports, window })) => {
                    return self.prove(place, link, &run, ports, window);
                }
                Ok(Said::Reply(Reply::Progress(what))) => self.session.note(&what),
                Ok(_) => {}
                Err(failure) => match &run {
                    Some(id) if is_lost(&failure) => {
                        self.session.warn(&format!("the connection broke; the run {id} is looked for again"));
                        link = self.reattach(place, id, &failure)?;
                        lost.get_or_insert(failure);
                    }
                    // What was asked for may still be on its way through the host.
                    Some(id) if is_missing(&failure) && !begun && since.elapsed() < Duration::from_secs(3) => {
                        std::thread::sleep(Duration::from_millis(500));
                        link = self.reattach(place, id, &failure)?;
                    }
                    _ => {
                        let first = lost.filter(|_| is_missing(&failure));
                        return Err(
                            first.map_or(failure, |first| first.hint("nothing was begun on the host; apply again"))
                        );
                    }
                },
            }
            let signal = self.signals.as_ref().and_then(Signals::requested);
            if let (Some(_), false, true, Some(id)) = (signal, stopping, begun, &run) {
                stopping = true;
                link.ask(&Request::Stop { run: id.clone() })?;
            }
        }
    }

    fn reattach(&self, place: &Place, run: &str, first: &Failure) -> Result<Link, Failure> {
        let end = Instant::now() + REATTACH;
        let request = Request::Attach { run: Some(run.to_owned()) };
        loop {
            match Link::open(self.session, &self.shelf, place, None, &|_, _| Ok(request.clone())) {
                Ok(link) => return Ok(link),
                Err(_) if Instant::now() < end => std::thread::sleep(Duration::from_secs(1)),
                Err(failure) => {
                    let cause = first.errors().first().map_or_else(String::new, |error| error.message.clone());
                    return Err(failure.cause(cause).hint(format!("see how the run {run} ended with attach")));
                }
            }
        }
    }

    /// Proves over new connections that the owner gets in, or has everything put back.
    fn prove(
        &self,
        place: &Place,
        mut old: Link,
        run: &str,
        mut ports: Vec<u16>,
        mut window: u64,
    ) -> Result<HostResult, Failure> {
        let place = pin(place, &old);
        let request = Request::Prove { run: Some(run.to_owned()), alone: matches!(place, Place::Local) };
        // A little is kept back: the host's clock for this began earlier.
        let mut end = Instant::now() + Duration::from_secs(window.saturating_sub(2).max(1));
        let reason = loop {
            let ways = ways_by_ports(&place, old.way.as_ref(), &ports);
            let tried =
                self.try_way(&place, &ways, &request).and_then(|mut link| Ok((link.reply(&())?, link.describe())));
            match tried {
                Ok((Reply::Result(mut result), way)) => {
                    result.access_proof = Some(way);
                    return Ok(*result);
                }
                Ok((Reply::ProveAccess { ports: next, window: again, .. }, way)) => {
                    // The old way in is closed now; the new one must still work.
                    self.session.note(&format!("access proven by {way}; once more without the old way in"));
                    (ports, window) = (next, again);
                    end = Instant::now() + Duration::from_secs(window.saturating_sub(2).max(1));
                }
                Ok(_) => return Err(unexpected()),
                Err(failure) => {
                    let code = failure.errors().first().map_or_else(String::new, |error| error.code.clone());
                    let message = failure.errors().first().map_or_else(String::new, |error| error.message.clone());
                    if code == "not_waiting" || Instant::now() >= end || code.starts_with("host_key_") {
                        break format!("the owner's access was not proven: {message}");
                    }
                    std::thread::sleep(Duration::from_millis(300));
                }
            }
        };
        self.session.warn(&format!("{reason}; everything goes back"));
        let rollback = Request::Rollback { run: Some(run.to_owned()), reason: Some(reason), unless_done: true };
        let undone = old.ask(&rollback).and_then(|()| old.reply(&()));
        match undone {
            Ok(Reply::Result(result)) => Ok(*result),
            // The host does it by itself, or did already; how it ended is asked then.
            undone => {
                let over = undone
                    .is_err_and(|failure| failure.errors().iter().any(|error| error.code == "rolled_back_before"));
                if !over {
                    std::thread::sleep(Duration::from_secs(window + 2));
                }
                let lost =
                    Failure::new(Exit::TryAgain, "connection_lost", "the connection broke before access was proven");
                let link = self.reattach(&place, run, &lost)?;
                Self::attached(link)
            }
        }
    }

    fn try_way(&self, place: &Place, ways: &[InventoryAddress], request: &Request) -> Result<Link, Failure> {
        if matches!(place, Place::Local) {
            return self.try_local(ways, request);
        }
        Link::open(self.session, &self.shelf, place, Some(ways), &|_, _| Ok(request.clone()))
    }

    /// On this machine itself the proof is that its sshd answers; the helper adds what the host must still reach.
    fn try_local(&self, ways: &[InventoryAddress], request: &Request) -> Result<Link, Failure> {
        use std::io::Read;
        let answers = |way: &InventoryAddress| {
            let address = (way.address.as_str(), way.port).to_socket_addrs().ok()?.next()?;
            let mut stream = std::net::TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
            let mut banner = [0_u8; 4];
            stream.read_exact(&mut banner).ok()?;
            (&banner == b"SSH-").then_some(())
        };
        // Without sshd nobody came in that way before.
        if !ways.is_empty() && !ways.iter().any(|way| answers(way).is_some()) {
            return Err(Failure::new(Exit::TryAgain, "unreachable", "sshd of this machine does not answer"));
        }
        Link::open(self.session, &self.shelf, &Place::Local, None, &|_, _| Ok(request.clone()))
    }

    fn attached(mut link: Link) -> Result<HostResult, Failure> {
        match link.reply(&())? {
            Reply::Result(result) => Ok(*result),
            _ => {
                Err(Failure::new(Exit::TryAgain, "not_over", "the run is not over yet")
                    .hint("see how it ends with attach"))
            }
        }
    }

    /// Puts a run back.
    ///
    /// # Errors
    /// Those of the way to the host, and 76 where it cannot be put back any more.
    pub fn roll_back(&self, name: &str, run: Option<String>, reason: Option<String>) -> Result<HostResult, Failure> {
        let place = self.places.find(name)?;
        let request = Request::Rollback { run, reason, unless_done: false };
        let mut link = Link::open(self.session, &self.shelf, &place, None, &|_, _| Ok(request.clone()))?;
        match link.reply(&())? {
            Reply::Result(result) => Ok(*result),
            _ => Err(unexpected()),
        }
    }

    /// Proves access for a run that waits.
    ///
    /// # Errors
    /// Those of the way to the host, and 66 where no run waits.
    pub fn confirm(&self, name: &str, run: Option<String>) -> Result<HostResult, Failure> {
        let place = self.places.find(name)?;
        let request = Request::Prove { run, alone: false };
        loop {
            let mut link = Link::open(self.session, &self.shelf, &place, None, &|_, _| Ok(request.clone()))?;
            match link.reply(&())? {
                Reply::Result(mut result) => {
                    result.access_proof = Some(link.describe());
                    return Ok(*result);
                }
                Reply::ProveAccess { .. } => {}
                _ => return Err(unexpected()),
            }
        }
    }

    /// How a run goes.
    ///
    /// # Errors
    /// Those of the way to the host, and 66 for a run that is not there.
    pub fn attach(&self, name: &str, run: Option<String>) -> Result<HostResult, Failure> {
        let place = self.places.find(name)?;
        let request = Request::Attach { run };
        let link = Link::open(self.session, &self.shelf, &place, None, &|_, _| Ok(request.clone()))?;
        self.follow(&place, link, &(), None, None)
    }

    /// What a host is.
    ///
    /// # Errors
    /// Those of the way to the host.
    pub fn facts(&self, name: &str) -> Result<HostFacts, Failure> {
        self.look_at(name, &Request::Facts)
    }

    /// What a host is, and what runs there.
    ///
    /// # Errors
    /// Those of the way to the host.
    pub fn survey(&self, name: &str) -> Result<HostFacts, Failure> {
        self.look_at(name, &Request::Survey)
    }

    fn look_at(&self, name: &str, request: &Request) -> Result<HostFacts, Failure> {
        let place = self.places.find(name)?;
        let mut link = Link::open(self.session, &self.shelf, &place, None, &|_, _| Ok(request.clone()))?;
        match link.reply(&())? {
            Reply::Facts(facts) => Ok(facts),
            _ => Err(unexpected()),
        }
    }

    fn apply_sandbox(
        &self,
        directory: &Path,
        prepared: &Prepared,
        options: &ApplyOptions,
    ) -> Result<HostResult, Failure> {
        let host = open_sandbox(directory)?;
        let _lock = Lock::take(&host, "an apply", Duration::from_secs(options.lock_wait))?;
        let work = &prepared.work;
        let (planned, owned) = look(&host, work, &prepared.blobs)?;
        if let Some(expected) = &options.expected {
            planned.expect(expected)?;
        }
        planned.limit_removals(&work.allow)?;
        if planned.is_empty() {
            return Ok(nothing_to_do(&planned));
        }
        for (name, hash) in &work.tools {
            if let Some(bytes) = prepared.bytes(hash) {
                crate::helper::keep_tool(&host, name, hash, &bytes)?;
            }
        }
        let mut run = Run::begin(&host, record(work))?;
        Order { work: work.clone(), options: options.clone() }.write(&run, &Blobs::default())?;
        let stop = || self.signals.as_ref().is_some_and(|signals| signals.requested().is_some());
        let terms = Terms { options, stop: &stop, helper: None };
        let result = apply(&host, work, &prepared.blobs, terms, planned, owned, &mut run);
        let stand = match result.outcome {
            End::RolledBack => Stand::RolledBack,
            End::NotRestored => Stand::NotRestored,
            _ => Stand::Done,
        };
        run.finish(stand, result.clone())?;
        prune(&host);
        Ok(result)
    }
}

fn record(work: &Work) -> Record {
    Record {
        id: new_id(),
        host: work.desired.host.clone(),
        owner: work.desired.owner.clone(),
        stand: Stand::Applying,
        guarded: false,
        armed: false,
        window: 0,
        ports: Vec::new(),
        transition: Vec::new(),
        handlers: Vec::new(),
        result: None,
        listener: None,
        boot: None,
    }
}

fn open_sandbox(directory: &Path) -> Result<Host, Failure> {
    std::fs::create_dir_all(directory)
        .map_err(|error| Failure::io(Exit::CannotCreate, "make the sandbox", directory.display(), &error))?;
    Ok(Host::sandbox(directory))
}

fn look(host: &Host, work: &Work, blobs: &Blobs) -> Result<(Planned, Owned), Fault> {
    let owned = Owned::load(host, &work.desired.owner)?;
    let planned = plan(View { host, work, blobs }, &owned)?;
    Ok((planned, owned))
}

/// The place with the key that it showed first: the proof must be given by the same host.
fn pin(place: &Place, link: &Link) -> Place {
    match (place, link.host_key()) {
        (Place::Ssh(host), Some(key)) => {
            let mut host = host.clone();
            host.keys = host.keys.pinned_to(key);
            // A port that a firewall swallows must not eat up the time for the proof.
            host.patience = Duration::from_secs(3);
            Place::Ssh(host)
        }
        _ => place.clone(),
    }
}

/// The ways by which access is proven: the address that worked, and the host's others, at the ports that shall stay.
fn ways_by_ports(place: &Place, way: Option<&InventoryAddress>, ports: &[u16]) -> Vec<InventoryAddress> {
    let mut ways = Vec::new();
    for port in ports {
        let at_port = |way: &InventoryAddress| InventoryAddress { port: *port, ..way.clone() };
        match place {
            Place::Ssh(host) => {
                ways.extend(way.map(at_port));
                ways.extend(host.addresses.iter().map(at_port));
            }
            _ => ways.push(InventoryAddress { address: "127.0.0.1".into(), port: *port, user: "root".into() }),
        }
    }
    if ways.is_empty() {
        ways.extend(way.cloned());
    }
    let mut seen = std::collections::BTreeSet::new();
    ways.retain(|way| seen.insert(describe(way)));
    ways
}

/// Whether the host knows nothing of a run.
fn is_missing(failure: &Failure) -> bool {
    failure.errors().iter().any(|error| error.code == "no_such_run")
}

fn unexpected() -> Failure {
    Failure::new(Exit::Bug, "unexpected_reply", "the helper answers something else than it was asked")
}
