//! What is remembered between runs (`--state FILE`): the last outcomes of each check, so that one odd run changes nothing.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cli::{Failure, write_atomically};
use contract::Exit;
use contract::document::CheckState;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::verdict::Soft;

/// Outcomes that are remembered: twenty possible changes, as Nagios counts flapping.
const SAMPLES: usize = 21;
/// Good runs in a row after which something is healthy again.
const RISE: usize = 2;
/// Bad runs in a row after which something is not healthy any more.
const FALL: usize = 3;
/// From this share of changes on (in percent, newer ones weigh more) it flaps.
const FLAPS_FROM: f64 = 20.0;
/// Below this share it does not any more.
const CALM_BELOW: f64 = 5.0;
/// What was not seen for so long (in seconds) is forgotten.
const FORGOTTEN_AFTER: i64 = 30 * 24 * 3600;
/// How long another run that writes the file is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Remembered {
    /// Version of the form of the file.
    format: u32,
    checks: BTreeMap<String, History>,
}

/// What is remembered of one check.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct History {
    /// Outcomes, the oldest first: `1` healthy, `0` not.
    samples: String,
    /// What they say, with some inertia.
    healthy: bool,
    #[serde(default)]
    flapping: bool,
    /// How often systemd had restarted the unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    restarts: Option<u64>,
    /// When it was seen last, in seconds since 1970.
    seen_at: i64,
}

/// What is remembered, and where.
#[derive(Debug)]
pub(crate) struct State {
    path: PathBuf,
    before: Remembered,
    /// The file was there and could not be read.
    pub lost: bool,
}

impl State {
    /// Opens what is remembered. A file that is not there is an empty memory.
    ///
    /// # Errors
    /// 73 where the file could not be written later, 74 where it cannot be read.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        lock_file(path)?;
        let (before, lost) = read(path)?;
        Ok(Self { path: path.to_owned(), before, lost })
    }

    /// How often a unit had been restarted in the last run.
    pub(crate) fn restarts(&self, id: &str) -> Option<u64> {
        self.before.checks.get(id)?.restarts
    }

    /// Adds what this run saw and writes it down; gives what all runs together say, in the same order.
    ///
    /// # Errors
    /// 75 where another run holds the file, 73 and 74 where it cannot be written.
    pub(crate) fn learn<'a>(
        &self,
        seen: impl Iterator<Item = (&'a str, CheckState, Option<u64>)>,
        now: i64,
    ) -> Result<Vec<Option<Soft>>, Failure> {
        let lock = lock_file(&self.path)?;
        let patience = Instant::now() + PATIENCE;
        while flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            if Instant::now() > patience {
                let message = "another run writes down what it saw";
                return Err(
                    Failure::new(Exit::TryAgain, "state_locked", message).place(self.path.display().to_string())
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // Another run may have learned something meanwhile.
        let (mut remembered, _) = read(&self.path)?;
        remembered.format = 1;
        let mut soft = Vec::new();
        for (id, state, restarts) in seen {
            let history = remembered.checks.entry(id.to_owned()).or_default();
            soft.push(history.learn(state));
            history.restarts = restarts.or(history.restarts);
            history.seen_at = now;
        }
        remembered.checks.retain(|_, history| now - history.seen_at < FORGOTTEN_AFTER);
        let mut bytes = serde_json::to_vec(&remembered)
            .map_err(|error| Failure::new(Exit::Bug, "internal", "the state cannot be written").cause(error))?;
        bytes.push(b'\n');
        write_atomically(&self.path, &bytes, 0o600)
            .map_err(|error| Failure::io(Exit::CannotCreate, "write the state", self.path.display(), &error))?;
        Ok(soft)
    }
}

impl History {
    /// Adds an outcome. What could not be looked at, or was left out, is none.
    fn learn(&mut self, state: CheckState) -> Option<Soft> {
        let good = match state {
            CheckState::Up | CheckState::Degraded => true,
            CheckState::Down | CheckState::Unreachable => false,
            CheckState::Unknown | CheckState::Skipped => return None,
        };
        self.samples.retain(|sample| matches!(sample, '0' | '1'));
        if self.samples.is_empty() {
            self.healthy = good;
        }
        self.samples.push(if good { '1' } else { '0' });
        if self.samples.len() > SAMPLES {
            self.samples.drain(..self.samples.len() - SAMPLES);
        }
        let in_a_row = self.samples.chars().rev().take_while(|sample| (*sample == '1') == good).count();
        if in_a_row >= if good { RISE } else { FALL } {
            self.healthy = good;
        }
        let changes = changes(&self.samples);
        self.flapping = if self.flapping { changes >= CALM_BELOW } else { changes >= FLAPS_FROM };
        let state = match (self.healthy, good) {
            (true, false) => CheckState::Up,
            (false, true) => CheckState::Down,
            _ => state,
        };
        Some(Soft { state, flapping: self.flapping })
    }
}

/// The share of changes among the possible ones in percent; the newest weighs 1.2, the oldest 0.8 (Nagios Core, "Detection and
/// handling of state flapping").
fn changes(samples: &str) -> f64 {
    let possible = SAMPLES - 1;
    let samples = samples.as_bytes();
    let weights = samples.windows(2).rev().enumerate().filter(|(_, pair)| pair[0] != pair[1]).map(|(age, _)| {
        let place = (possible - 1).saturating_sub(age) as f64;
        0.8 + 0.4 * place / (possible - 1) as f64
    });
    weights.sum::<f64>() * 100.0 / possible as f64
}

/// The file that is locked: not the state itself, which is replaced whenever it is written.
fn lock_file(path: &Path) -> Result<File, Failure> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    let lock = path.with_file_name(name);
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&lock)
        .map_err(|error| Failure::io(Exit::CannotCreate, "open the lock of the state", lock.display(), &error))
}

fn read(path: &Path) -> Result<(Remembered, bool), Failure> {
    match std::fs::read(path) {
        Ok(bytes) => match serde_json::from_slice::<Remembered>(&bytes) {
            Ok(remembered) if remembered.format == 1 => Ok((remembered, false)),
            _ => Ok((Remembered::default(), true)),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok((Remembered::default(), false)),
        Err(error) => Err(Failure::io(Exit::Io, "read the state", path.display(), &error)),
    }
}

#[cfg(test)]
mod tests {
    use CheckState::{Degraded, Down, Skipped, Unreachable, Up};
    use proptest::prelude::*;

    use super::*;

    fn softs(states: &[CheckState]) -> Vec<Option<CheckState>> {
        let mut history = History::default();
        states.iter().map(|state| history.learn(*state).map(|soft| soft.state)).collect()
    }

    #[test]
    fn three_bad_runs_bring_it_down_and_two_good_ones_up() {
        assert_eq!(
            softs(&[Up, Down, Down, Up, Down, Down, Unreachable, Up, Up, Degraded]),
            [Up, Up, Up, Up, Up, Up, Unreachable, Down, Up, Degraded].map(Some)
        );
        // The first run is believed, and what was left out says nothing.
        assert_eq!(softs(&[Down, Skipped, Up, Up]), [Some(Down), None, Some(Down), Some(Up)]);
    }

    #[test]
    fn newer_changes_weigh_more() {
        assert!((changes("101010101010101010101") - 100.0).abs() < 1e-9);
        assert!(changes("000000000000000000001") > changes("011111111111111111111"));
        assert!((changes("111111111111111111111")).abs() < 1e-9);
        let mut history = History::default();
        for _ in 0..3 {
            history.learn(Up);
            history.learn(Down);
        }
        assert!(history.flapping);
        for _ in 0..21 {
            history.learn(Up);
        }
        assert!(!history.flapping);
    }

    proptest! {
        #[test]
        fn a_memory_stays_small_and_sane(bad in prop::collection::vec(any::<bool>(), 1..80)) {
            let mut history = History::default();
            for bad in bad {
                let soft = history.learn(if bad { Down } else { Up });
                prop_assert!(soft.is_some());
            }
            prop_assert!(history.samples.len() <= SAMPLES);
            prop_assert!((0.0..=100.0 + 1e-9).contains(&changes(&history.samples)));
        }
    }
}
