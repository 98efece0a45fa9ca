//! Several hosts at once: each is made by itself, so that as many are made side by side as there are processors.

use std::num::NonZero;
use std::sync::Mutex;
use std::thread;

use super::{Rendered, render};
use crate::model::{HostView, Model};

/// Services from which on a second processor saves more time than its own memory costs.
const MANY: usize = 2_000;

/// Makes the documents of hosts, and gives what `then` makes of each, in their order.
pub fn render_each<T: Send>(model: &Model<'_>, hosts: &[&HostView], then: impl Fn(Rendered) -> T + Sync) -> Vec<T> {
    let make = |host: &HostView| then(render(model, host));
    let processors = thread::available_parallelism().map_or(1, NonZero::get).min(hosts.len());
    if processors < 2 || model.services().count() < MANY {
        return hosts.iter().map(|host| make(host)).collect();
    }
    let waiting = Mutex::new(hosts.iter().enumerate());
    let work = || {
        let mut made = Vec::new();
        // Nothing can panic while the list is held, so that it is never poisoned.
        while let Some((place, host)) = waiting.lock().ok().and_then(|mut waiting| waiting.next()) {
            made.push((place, make(host)));
        }
        made
    };
    let mut made = thread::scope(|scope| {
        let others: Vec<_> = (1..processors).map(|_| scope.spawn(work)).collect();
        let mut made = work();
        for other in others {
            match other.join() {
                Ok(more) => made.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        made
    });
    made.sort_unstable_by_key(|(place, _)| *place);
    made.into_iter().map(|(_, made)| made).collect()
}
