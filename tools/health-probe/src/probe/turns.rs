//! Hosts that must not be asked too often.
//!
//! OpenSSH since 9.8 counts connections that leave before they log in, by address of the client, one second of penalty each, and shuts
//! an address out after fifteen (`PerSourcePenalties` in sshd_config(5)). One look a second never gets there.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Time between two looks at one host.
const APART: Duration = Duration::from_secs(1);

/// When each host may be asked again.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<String, Instant>>);

impl Turns {
    /// Waits until it is our turn with a host.
    pub(super) async fn wait_for(&self, host: &str) {
        let turn = {
            let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let turn = hosts.get(host).map_or(now, |next| (*next).max(now));
            hosts.insert(host.to_owned(), turn + APART);
            turn
        };
        tokio::time::sleep_until(turn).await;
    }
}
