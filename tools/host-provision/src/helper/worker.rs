//! The work itself, detached from any connection.

use std::time::Duration;

use contract::Exit;
use contract::document::HostResult;
use serde::{Deserialize, Serialize};

use crate::blobs::Blobs;
use crate::engine::apply::{Terms, apply, stand_after};
use crate::engine::host::write_durably;
use crate::engine::lock::Lock;
use crate::engine::owned::Owned;
use crate::engine::plan::plan;
use crate::engine::programs::own_path;
use crate::engine::rollback::{Manner, roll_back};
use crate::engine::run::{Run, Stand, prune};
use crate::engine::{Host, View, guard};
use crate::fault::{Fault, Outcome};
use crate::wire::{ApplyOptions, Reply, Work};

/// What a worker is to do, as it lies in the directory of its run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) work: Work,
    pub(crate) options: ApplyOptions,
}

impl Order {
    /// Writes the order and the bytes that belong to it.
    pub(crate) fn write(&self, run: &Run, blobs: &Blobs) -> Outcome<()> {
        // Not durably: whoever goes back needs the order alone, and a run that a loss of power ends is not begun again.
        for (hash, bytes) in blobs.iter() {
            let path = run.directory().join(format!("blob-{hash}"));
            std::fs::write(&path, bytes).map_err(|error| Fault::io("write", path.display(), &error))?;
        }
        let path = run.directory().join("order.json");
        write_durably(&path, &serde_json::to_vec(self).unwrap_or_default())
            .map_err(|error| Fault::io("write", path.display(), &error))
    }

    /// Reads the order of a run.
    pub(crate) fn read(run: &Run) -> Outcome<Self> {
        let path = run.directory().join("order.json");
        let bytes = std::fs::read(&path).map_err(|error| Fault::io("read", path.display(), &error))?;
        serde_json::from_slice(&bytes)
            .map_err(|error| Fault::new(Exit::Io, "bad_order", "the order of the run cannot be read").cause(error))
    }
}

/// Does the work of a run.
pub(super) fn work(id: &str) -> u8 {
    let host = Host::machine();
    let mut run = match Run::open(&host, Some(id)) {
        Ok(run) => run,
        Err(fault) => return fault.exit().code(),
    };
    match do_work(&host, &mut run) {
        Ok(()) => 0,
        Err(fault) => {
            let exit = fault.exit().code();
            run.record.stand = Stand::Done;
            // Whoever follows hears it either way.
            let _ = run.save();
            guard::disarm(&host, &run);
            run.release();
            run.tell(&Reply::Error(Box::new(fault.into_object())));
            exit
        }
    }
}

fn do_work(host: &Host, run: &mut Run) -> Outcome<()> {
    let id = run.record.id.clone();
    let Order { work, options } = Order::read(run)?;
    let _lock =
        Lock::take(host, &format!("run {id} of {}", run.record.owner), Duration::from_secs(options.lock_wait.max(5)))?;
    if Run::open(host, Some(&id))?.record.stand != Stand::Applying {
        return Err(Fault::new(Exit::TryAgain, "given_up", "the run was given up before it began"));
    }
    // Another run may have come before us while we waited for the lock.
    clear(host)?;
    run.take_number(host)?;
    let helper = own_path()?;
    std::fs::write(run.directory().join("begun"), "").map_err(|error| Fault::io("write", "the run", &error))?;
    guard::enter(host, run, &helper)?;
    let mut blobs = Blobs::default();
    for entry in std::fs::read_dir(run.directory()).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("blob-") {
            let bytes =
                std::fs::read(entry.path()).map_err(|error| Fault::io("read", entry.path().display(), &error))?;
            blobs.add(bytes);
            // Held in memory now; the order alone stays for a rollback.
            let _ = std::fs::remove_file(entry.path());
        }
    }
    let owned = Owned::load(host, &work.desired.owner)?;
    let planned = plan(View { host, work: &work, blobs: &blobs }, &owned)?;
    if let Some(expected) = &options.expected {
        planned.expect(expected)?;
    }
    run.record.guarded = planned.plan.guarded;
    let stop = run.directory().join("stop");
    let stop = || stop.exists();
    let terms = Terms { options: &options, stop: &stop, helper: Some(&helper) };
    let result = apply(host, &work, &blobs, terms, planned, owned, run);
    let stand = stand_after(run, &result, &options);
    if stand == Stand::Waiting {
        run.record.stand = Stand::Waiting;
        run.record.result = Some(result);
        run.save()?;
        let (ports, window) = (run.record.ports.clone(), run.record.window);
        run.tell(&Reply::ProveAccess { run: id, ports, window });
        return Ok(());
    }
    guard::disarm(host, run);
    run.finish(stand, result)?;
    prune(host);
    Ok(())
}

/// The worker of a run has ended. If it was killed, what it did goes back.
pub(super) fn bury(id: &str) -> u8 {
    let host = Host::machine();
    let done = (|| {
        let _lock = Lock::take(&host, &format!("the end of run {id}"), Duration::from_secs(60))?;
        put_back(&host, id).map(drop)
    })();
    done.map_or_else(|fault: Fault| fault.exit().code(), |()| 0)
}

/// Puts back a run whose worker died. The caller holds the lock, so that no worker lives.
pub(super) fn put_back_if_dead(host: &Host, id: &str) -> Outcome<Option<HostResult>> {
    let begun = Run::open(host, Some(id))?.directory().join("begun").exists();
    // One that has not begun may only be slow to start.
    if begun { put_back(host, id) } else { Ok(None) }
}

fn put_back(host: &Host, id: &str) -> Outcome<Option<HostResult>> {
    let mut run = Run::open(host, Some(id))?;
    if run.record.stand != Stand::Applying {
        return Ok(None);
    }
    let order = Order::read(&run)?;
    roll_back(host, &mut run, &order.work, Some("the work on the host was killed"), Manner::Force).map(Some)
}

/// Puts back what others left behind: runs whose worker died, and those whose time for the proof is over. The caller
/// holds the lock.
///
/// # Errors
/// 75 where a run still waits for its proof, and those of putting back.
pub(super) fn clear(host: &Host) -> Outcome<()> {
    for id in guard::pending_runs(host) {
        let Ok(mut run) = Run::open(host, Some(&id)) else { continue };
        match run.record.stand {
            Stand::Applying => drop(put_back_if_dead(host, &id)?),
            Stand::Waiting if guard::is_over(host, &run) => {
                let order = Order::read(&run)?;
                let why = Some("the owner's access was not proven in time");
                roll_back(host, &mut run, &order.work, why, Manner::Force)?;
            }
            Stand::Waiting => {
                return Err(Fault::new(
                    Exit::TryAgain,
                    "run_waits",
                    format!("the run {id} still waits for the proof of access"),
                )
                .hint("confirm it, roll it back, or wait until it goes back by itself"));
            }
            _ => guard::disarm(host, &run),
        }
    }
    Ok(())
}

/// The time of a guarded run is over: put it back, unless its access was proven meanwhile.
pub(super) fn expire(id: &str, seconds: Option<u64>) -> u8 {
    if let Some(seconds) = seconds {
        std::thread::sleep(Duration::from_secs(seconds));
    }
    let host = Host::machine();
    let done = (|| {
        // A worker that still works holds the lock, and arms anew at its end.
        let _lock = Lock::take(&host, &format!("the rollback of run {id}"), Duration::from_secs(3600))?;
        let mut run = Run::open(&host, Some(id))?;
        let due = match run.record.stand {
            Stand::Waiting => guard::is_over(&host, &run),
            Stand::Applying => true,
            _ => false,
        };
        if due {
            let order = Order::read(&run)?;
            roll_back(&host, &mut run, &order.work, Some("the owner's access was not proven in time"), Manner::Force)?;
        }
        Ok::<(), Fault>(())
    })();
    done.map_or_else(|fault| fault.exit().code(), |()| 0)
}

/// At boot: what was not confirmed before the host went down goes back, before the network comes up.
pub(super) fn recover() -> u8 {
    let host = Host::machine();
    let mut code = 0;
    for id in guard::pending_runs(&host) {
        let done = (|| {
            let mut run = Run::open(&host, Some(&id))?;
            if matches!(run.record.stand, Stand::Waiting | Stand::Applying) {
                let order = Order::read(&run)?;
                roll_back(
                    &host,
                    &mut run,
                    &order.work,
                    Some("the host went down before access was proven"),
                    Manner::AtBoot,
                )?;
            }
            guard::disarm(&host, &run);
            Ok::<(), Fault>(())
        })();
        if let Err(fault) = done {
            code = fault.exit().code();
        }
    }
    code
}
