//! Several hosts: together, or one order after another with a gate between them.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cli::{Failure, Signals};
use contract::Exit;
use contract::document::{ChangeStatus, HostResult, Outcome};

use crate::controller::{Controller, Wanted};
use crate::wire::ApplyOptions;
use crate::work::Cut;

/// How hosts follow each other.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    /// How many hosts at a time.
    pub jobs: usize,
    /// Hosts of a lower order number first; the rest only if those are well.
    pub in_order: bool,
    /// A shell command that has to say yes after each changed host.
    pub gate: Option<String>,
}

/// Calls `act` for every member of a list, some at a time.
pub fn each<T: Sync>(jobs: usize, list: &[T], act: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, list.len().max(1)) {
            scope.spawn(|| {
                while let Some(member) = list.get(next.fetch_add(1, Ordering::Relaxed)) {
                    act(member);
                }
            });
        }
    });
}

/// Applies to all hosts and tells each result as it comes.
pub fn apply_all(
    controller: &Controller<'_>,
    wanted: Vec<Wanted>,
    cut: &Cut,
    options: &ApplyOptions,
    pace: &Pace,
    tell: impl Fn(&HostResult) + Sync,
) -> Vec<Exit> {
    let mut groups: BTreeMap<u32, Vec<Wanted>> = BTreeMap::new();
    for one in wanted {
        let order = if pace.in_order { controller.places.order_of(&one.desired.host) } else { 0 };
        groups.entry(order).or_default().push(one);
    }
    let exits = Mutex::new(Vec::new());
    let stopped = AtomicBool::new(false);
    for group in groups.values() {
        each(pace.jobs, group, |one| {
            let interrupted = controller.signals.as_ref().and_then(Signals::requested).is_some();
            let result = if stopped.load(Ordering::Relaxed) || interrupted {
                let failure = Failure::new(
                    Exit::TryAgain,
                    "rollout_stopped",
                    "not tried, because the rollout was stopped before",
                );
                controller.not_started(&one.desired, failure)
            } else {
                let result = controller.apply(one, cut, options);
                pass_gate(controller, result, pace.gate.as_deref())
            };
            let exit = exit_of(&result);
            if exit != Exit::Done && (pace.in_order || pace.gate.is_some()) {
                stopped.store(true, Ordering::Relaxed);
            }
            tell(&result);
            exits.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(exit);
        });
    }
    exits.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Lets the gate judge a changed host; a no puts that host back.
fn pass_gate(controller: &Controller<'_>, result: HostResult, gate: Option<&str>) -> HostResult {
    let (Some(gate), Some(run), Outcome::Done) = (gate, result.run.clone(), result.outcome) else { return result };
    if !result.changed {
        return result;
    }
    controller.session.note(&format!("{}: asking the gate", result.host));
    let status = crate::target::child("sh")
        .args(["-c", gate])
        .env("HOST", &result.host)
        .env("RUN", &run)
        .stdin(Stdio::null())
        // Standard output is for documents.
        .stdout(Stdio::from(std::io::stderr()))
        .status();
    let reason = match status {
        Ok(status) if status.success() => return result,
        Ok(status) => format!("the gate said no ({status})"),
        Err(error) => format!("the gate could not be asked: {error}"),
    };
    match controller.roll_back(&result.host, Some(run), Some(reason.clone())) {
        Ok(mut undone) => {
            undone.access_proof = None;
            undone
        }
        Err(failure) => {
            let mut failed = HostResult { outcome: Outcome::NotRestored, ..result };
            failed.error = Some(failure.cause(reason).into_error(controller.session.tool()));
            failed
        }
    }
}

/// The exit of one host.
pub fn exit_of(result: &HostResult) -> Exit {
    if result.outcome == Outcome::Done {
        return Exit::Done;
    }
    let touched = result
        .changes
        .iter()
        .any(|change| matches!(change.status, ChangeStatus::Done | ChangeStatus::RolledBack | ChangeStatus::Unknown));
    let own = result.error.as_ref().and_then(|error| Exit::from_code(error.exit));
    match own {
        Some(exit) if !touched && result.outcome != Outcome::NotRestored && exit != Exit::Done => exit,
        _ => Exit::Partial,
    }
}

/// The exit of all hosts: 0 if all are well, the common one if all failed alike before any change, else 3.
pub fn common_exit(exits: &[Exit]) -> Exit {
    match exits {
        [] => Exit::Done,
        [first, rest @ ..] if rest.iter().all(|exit| exit == first) => *first,
        _ => Exit::Partial,
    }
}
