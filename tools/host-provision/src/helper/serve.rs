//! Requests of a controller, one after another, until it goes away.

use std::collections::BTreeSet;
use std::io::{Read, Seek, SeekFrom, Write};
use std::time::{Duration, Instant};

use contract::document::{HostResult, Outcome as End};
use contract::{Exit, places};

use super::connection::{Wire, lost};
use super::kept_tool::keep_tool;
use super::news::News;
use super::{tool_run, worker};
use crate::blobs::Blobs;
use crate::engine::access::close_transition;
use crate::engine::batch::state_of;
use crate::engine::guard;
use crate::engine::item::{make_boot_default, still_fetches};
use crate::engine::lock::Lock;
use crate::engine::owned::Owned;
use crate::engine::plan::{Planned, plan};
use crate::engine::programs::{own_path, programs};
use crate::engine::rollback::{Manner, roll_back};
use crate::engine::run::{Record, Run, Stand, is_id, new_id};
use crate::engine::{Host, View, facts, running, way_in};
use crate::fault::{Fault, Outcome};
use crate::wire::{self, ApplyOptions, Frame, Reply, Request, Work, read_frame, write_json};

use super::worker::Order;

/// How often a controller hears that we are still there.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// Serves until the controller goes away. The exit is 0 then, also where requests failed: they have their own replies.
pub(super) fn serve(input: &mut dyn Read, output: &mut dyn Write) -> u8 {
    let mut wire = Wire { input, output };
    let host = Host::machine();
    loop {
        let request = match read_frame(wire.input) {
            Ok(Frame::Good(wire::JSON, payload)) => payload,
            Ok(Frame::End) => return 0,
            Ok(_) | Err(_) => return Exit::Io.code(),
        };
        let answered = match wire::parse::<Request>(&request) {
            Ok(request) => answer(&host, &mut wire, request),
            Err(error) => Err(Fault::new(Exit::Bug, "bad_request", "the request cannot be read").cause(error)),
        };
        if let Err(fault) = answered
            && write_json(wire.output, &Reply::Error(Box::new(fault.into_object()))).is_err()
        {
            return Exit::Io.code();
        }
        // Another request may come much later, after somebody else changed the host.
        host.forget_packages();
    }
}

fn answer(host: &Host, wire: &mut Wire<'_>, request: Request) -> Outcome<()> {
    match request {
        Request::Facts => {
            let facts = facts::facts(host)?;
            wire.say(&Reply::Facts(facts))
        }
        Request::Survey => {
            let mut facts = facts::facts(host)?;
            facts.running = Some(Box::new(running::running(host)));
            wire.say(&Reply::Facts(facts))
        }
        Request::Plan(work) => {
            let blobs = fetch_sources(host, wire, &work)?;
            let (planned, _) = look(host, &work, &blobs)?;
            if planned.plan.guarded {
                way_in::check(host, &work)?;
            }
            wire.say(&Reply::Plan(Box::new(planned.plan)))
        }
        Request::Apply(work, options) => apply(host, wire, *work, options),
        Request::Attach { run } => match run.as_deref().filter(|run| tool_run::is_known(run)) {
            Some(run) => tool_run::follow(wire, run, None),
            None => follow(host, wire, &mut Run::open(host, run.as_deref())?, 0),
        },
        Request::Stop { run } => {
            let run = Run::open(host, Some(&run))?;
            std::fs::write(run.directory().join("stop"), "").map_err(|error| Fault::io("stop", &run.record.id, &error))
        }
        Request::Prove { run, alone } => prove(host, wire, run.as_deref(), alone),
        Request::Rollback { run, reason, unless_done } => {
            let _lock = Lock::take(host, "a rollback", Duration::from_secs(30))?;
            let latest = Run::latest(host);
            let mut run = Run::open(host, run.or(latest).as_deref())?;
            if let (true, Stand::Done, Some(result)) = (unless_done, run.record.stand, &run.record.result) {
                return wire.say(&Reply::Result(Box::new(result.clone())));
            }
            let order = Order::read(&run)?;
            let manner = if run.record.stand == Stand::Done { Manner::Careful } else { Manner::Force };
            let result = roll_back(host, &mut run, &order.work, reason.as_deref(), manner)?;
            wire.say(&Reply::Result(Box::new(result)))
        }
        Request::Tool(tool) => tool_run::start(host, wire, &tool),
    }
}

fn look(host: &Host, work: &Work, blobs: &Blobs) -> Outcome<(Planned, Owned)> {
    let owned = Owned::load(host, &work.desired.owner)?;
    let planned = plan(View { host, work, blobs }, &owned)?;
    Ok((planned, owned))
}

/// The bytes of files that the host does not have yet.
fn fetch_sources(host: &Host, wire: &mut Wire<'_>, work: &Work) -> Outcome<Blobs> {
    let mut wanted = BTreeSet::new();
    for file in work.desired.items.iter().filter_map(|item| item.file.as_ref()) {
        let Some(hash) = file.sha256.as_ref().filter(|_| file.content.is_none() && file.content_base64.is_none())
        else {
            continue;
        };
        if state_of(host.tree.place(&file.path)?.as_ref())?.as_ref() != Some(hash) {
            wanted.insert(hash.clone());
        }
    }
    for nixos in work.desired.items.iter().filter_map(|item| item.nixos.as_ref()) {
        for (path, file) in &nixos.files {
            let Some(hash) = file.sha256.as_ref().filter(|_| file.content.is_none()) else { continue };
            let place = host.tree.place(&format!("{}/{path}", nixos.directory))?;
            if state_of(place.as_ref())?.as_ref() != Some(hash) {
                wanted.insert(hash.clone());
            }
        }
    }
    let mut blobs = Blobs::default();
    wire.fetch(wanted.into_iter().collect(), |_, bytes| {
        blobs.add(bytes);
        Ok(())
    })?;
    Ok(blobs)
}

fn fetch_tools(host: &Host, wire: &mut Wire<'_>, work: &Work) -> Outcome<()> {
    let missing: Vec<(&String, &String)> =
        work.tools.iter().filter(|(name, hash)| !host.exists(&format!("{}/{hash}/{name}", programs()))).collect();
    let mut names = missing.iter().map(|(name, _)| (*name).clone());
    wire.fetch(missing.iter().map(|(_, hash)| (*hash).clone()).collect(), |hash, bytes| {
        let name = names.next().unwrap_or_default();
        keep_tool(host, &name, hash, &bytes)
    })
}

fn apply(host: &Host, wire: &mut Wire<'_>, work: Work, options: ApplyOptions) -> Outcome<()> {
    let begun = Instant::now();
    if options.run.as_deref().is_some_and(|id| !is_id(id) || Run::open(host, Some(id)).is_ok()) {
        return Err(Fault::new(Exit::Bug, "bad_run", "the run has no name of its own"));
    }
    if !guard::pending_runs(host).is_empty() {
        // Before anything is looked at: what a crash left between goes back first.
        let _lock = Lock::take(host, "looking after a run", Duration::from_secs(options.lock_wait))?;
        worker::clear(host)?;
        host.forget_packages();
    }
    fetch_tools(host, wire, &work)?;
    let blobs = fetch_sources(host, wire, &work)?;
    let (planned, _) = look(host, &work, &blobs)?;
    if let Some(expected) = &options.expected {
        planned.expect(expected)?;
    }
    planned.limit_removals(&work.allow)?;
    if planned.plan.guarded {
        way_in::check(host, &work)?;
    }
    if planned.is_empty() {
        let mut result = nothing_to_do(&planned);
        result.ms = begun.elapsed().as_millis() as u64;
        return wire.say(&Reply::Result(Box::new(result)));
    }
    // Told early and in words; the worker takes the lock for itself.
    drop(Lock::take(host, "a controller", Duration::from_secs(options.lock_wait))?);
    let record = Record {
        id: options.run.clone().unwrap_or_else(new_id),
        host: work.desired.host.clone(),
        owner: work.desired.owner.clone(),
        stand: Stand::Applying,
        guarded: planned.plan.guarded,
        armed: false,
        window: options.confirm_timeout,
        ports: Vec::new(),
        transition: Vec::new(),
        handlers: Vec::new(),
        result: None,
        listener: None,
        boot: None,
    };
    if Wire::is_gone() {
        // Whoever asked was told that nothing was begun, or will be.
        return Err(Fault::new(Exit::Io, "gone", "the controller is gone"));
    }
    let mut run = Run::begin(host, record)?;
    let id = run.record.id.clone();
    let wait = options.lock_wait.max(5);
    Order { work, options }.write(&run, &blobs)?;
    let unit = format!("{}run-{id}", places::UNIT_PREFIX);
    if let Err(fault) = super::detach_then(host, &unit, &["work", &id], &["bury", &id]) {
        // Whoever was to start it may have done so and died. Then it holds the lock, or has begun before.
        let _lock = Lock::take(host, "a run that was not started", Duration::from_secs(wait))?;
        if !run.directory().join("begun").exists() {
            run.record.stand = Stand::Done;
            run.save()?;
            run.release();
            // One who attaches to it later hears the same.
            run.tell(&Reply::Error(Box::new(fault.clone().into_object())));
            return Err(fault);
        }
    }
    wire.say(&Reply::Started { run: id })?;
    follow(host, wire, &mut run, 0)
}

/// The result of an apply that found everything as it shall be.
pub(crate) fn nothing_to_do(planned: &Planned) -> HostResult {
    let plan = &planned.plan;
    HostResult {
        host: plan.host.clone(),
        owner: plan.owner.clone(),
        run: None,
        outcome: End::Done,
        changed: false,
        summary: plan.summary,
        changes: Vec::new(),
        orphaned: plan.orphaned.clone(),
        kept: plan.kept.clone(),
        access_proof: None,
        error: None,
        warnings: plan.warnings.clone(),
        ms: 0,
    }
}

/// Tells how a run goes until it ends or waits for a proof. Returns as soon as the controller says something.
fn follow(host: &Host, wire: &mut Wire<'_>, run: &mut Run, mut offset: u64) -> Outcome<()> {
    let path = run.directory().join("events");
    let watch = News::of(&path);
    let mut told = Instant::now();
    loop {
        let mut news = String::new();
        watch.hush();
        let read = std::fs::File::open(&path).and_then(|mut file| {
            file.seek(SeekFrom::Start(offset))?;
            file.read_to_string(&mut news)
        });
        read.map_err(|error| Fault::io("read", path.display(), &error))?;
        let whole = news.rfind('\n').map_or(0, |end| end + 1);
        offset += whole as u64;
        let (mut last, mut frames) = (None, Vec::new());
        for line in news[..whole].lines() {
            if let Ok(reply) = serde_json::from_str::<Reply>(line) {
                // Old news for one who attaches later: the record says whether the run still waits.
                if matches!(reply, Reply::ProveAccess { .. })
                    && Run::open(host, Some(&run.record.id))?.record.stand != Stand::Waiting
                {
                    continue;
                }
                write_json(&mut frames, &reply).map_err(lost)?;
                last = Some(reply);
            }
        }
        // In one go: each write wakes the one who carries them.
        wire.output.write_all(&frames).and_then(|()| wire.output.flush()).map_err(lost)?;
        match last {
            Some(Reply::Result(_) | Reply::Error(_)) => return Ok(()),
            Some(Reply::ProveAccess { .. }) => return Ok(()),
            _ => {}
        }
        if told.elapsed() > HEARTBEAT {
            told = Instant::now();
            wire.say(&Reply::Alive)?;
            if let Some(result) = bury(host, run)? {
                return wire.say(&Reply::Result(Box::new(result)));
            }
        }
        let (within, bell) = match (&last, watch.bell()) {
            // More is to come, and many lines in one go cost less.
            (Some(_), _) => (Duration::from_millis(1), None),
            (None, None) => (Duration::from_millis(10), None),
            (None, bell) => (HEARTBEAT.saturating_sub(told.elapsed()) + Duration::from_millis(1), bell),
        };
        if Wire::is_heard(within, bell) {
            // A request that stops or rolls back, or the end of the connection.
            match read_frame(wire.input).map_err(lost)? {
                Frame::Good(wire::JSON, payload) => {
                    if let Ok(request) = wire::parse::<Request>(&payload) {
                        answer(host, wire, request)?;
                    }
                }
                _ => return Err(Fault::new(Exit::Io, "gone", "the controller is gone")),
            }
        }
    }
}

/// A run whose worker died is put back. `None` while it lives or where it ended well.
fn bury(host: &Host, run: &Run) -> Outcome<Option<HostResult>> {
    let Ok(_lock) = Lock::take(host, "looking after a run", Duration::ZERO) else { return Ok(None) };
    worker::put_back_if_dead(host, &run.record.id)
}

fn prove(host: &Host, wire: &mut Wire<'_>, id: Option<&str>, alone: bool) -> Outcome<()> {
    let waiting = guard::pending_runs(host);
    let id = id.or_else(|| waiting.first().map(String::as_str));
    let Some(id) = id else {
        return Err(Fault::new(Exit::Unreadable, "no_such_run", "no run of the host waits for a proof of access"));
    };
    if alone {
        // A host that cannot fetch any more could not even fetch the way out of it.
        let order = Order::read(&Run::open(host, Some(id))?)?;
        for nixos in order.work.desired.items.iter().filter_map(|item| item.nixos.as_ref()) {
            still_fetches(nixos)?;
        }
    }
    let lock = Lock::take(host, "a proof of access", Duration::from_secs(10))?;
    let mut run = Run::open(host, Some(id))?;
    if run.record.stand != Stand::Waiting {
        let message = format!("the run {id} does not wait for a proof of access");
        return Err(Fault::new(Exit::TryAgain, "not_waiting", message).hint("see how it ended with attach"));
    }
    if run.record.transition.is_empty() {
        // Still armed: a boot loader that refuses must not leave a host that boots something else than it runs.
        let generation = make_boot_default(&mut run)?;
        guard::disarm(host, &run);
        let mut result =
            run.record.result.clone().ok_or_else(|| Fault::new(Exit::Bug, "no_result", "the run has no result"))?;
        if let Some(change) = result.changes.iter_mut().find(|change| change.kind == "nixos") {
            change.message = generation;
        }
        run.finish(Stand::Done, result.clone())?;
        return wire.say(&Reply::Result(Box::new(result)));
    }
    // The new way in works. Now without the old one, and the same proof once more.
    let helper = own_path()?;
    let window = run.record.window;
    guard::arm(host, &mut run, Some(&helper), window)?;
    close_transition(host, &run.record.transition.clone())?;
    run.record.transition.clear();
    run.save()?;
    drop(lock);
    wire.say(&Reply::ProveAccess { run: run.record.id.clone(), ports: run.record.ports.clone(), window })
}
