//! SIGINT and SIGTERM during an apply: the first lets the current change end, the second ends the process at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use contract::Exit;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Signals that came since the work began.
#[derive(Debug, Clone)]
pub struct Signals {
    interrupt: Arc<AtomicBool>,
    terminate: Arc<AtomicBool>,
}

impl Signals {
    /// Takes SIGINT and SIGTERM from now on.
    pub(crate) fn catch() -> Self {
        let signals = Self { interrupt: Arc::default(), terminate: Arc::default() };
        for (signal, seen, exit) in
            [(SIGINT, &signals.interrupt, Exit::Interrupted), (SIGTERM, &signals.terminate, Exit::Terminated)]
        {
            // Registered before the flag is, so that it sees the flag of the signal before this one. Registering these two
            // signals cannot fail; if it did, they would keep ending the process at once.
            let _ = flag::register_conditional_shutdown(signal, i32::from(exit.code()), Arc::clone(seen));
            let _ = flag::register(signal, Arc::clone(seen));
        }
        signals
    }

    /// The exit to end with, once a signal has come.
    pub fn requested(&self) -> Option<Exit> {
        if self.interrupt.load(Ordering::Relaxed) {
            Some(Exit::Interrupted)
        } else if self.terminate.load(Ordering::Relaxed) {
            Some(Exit::Terminated)
        } else {
            None
        }
    }
}
