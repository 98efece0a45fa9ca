//! One run at a time on a host. The kernel drops the lock when its holder dies.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use contract::{Exit, places};
use rustix::fs::FlockOperation;

use super::host::Host;
use crate::fault::{Fault, Outcome};

/// The lock, held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock for what is described by `holder`.
    ///
    /// # Errors
    /// 75 with the holder's description where it is not free in time.
    pub fn take(host: &Host, holder: &str, wait: Duration) -> Outcome<Self> {
        host.tree.make_state_directory(places::RUN, 0o755)?;
        let path = host.tree.real(places::LOCK);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| Fault::io("open the lock", path.display(), &error))?;
        let end = Instant::now() + wait;
        while rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            if Instant::now() >= end {
                let mut who = String::new();
                // Who holds it is a courtesy.
                let _ = file.read_to_string(&mut who);
                return Err(Fault::new(
                    Exit::TryAgain,
                    "locked",
                    format!("another run holds the host: {}", who.trim()),
                )
                .hint("wait for it (--lock-wait), or see it with attach"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(holder.as_bytes()));
        Ok(Self { _file: file })
    }
}
