//! One apply as it is remembered on the host: its record, its journal of what was there before, its events.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;

use contract::document::{HostKept, HostResult};
use contract::{Exit, places};
use serde::{Deserialize, Serialize};

use super::host::Host;
use super::tree::{Live, Place};
use super::undo::{Before, Undo};
use crate::fault::{Fault, Outcome};
use crate::wire::Reply;

/// How many runs are kept.
const KEPT_RUNS: usize = 10;

/// Longer than any helper is on its way.
const LONG: Duration = Duration::from_secs(3600);

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stand {
    /// Changes are being made.
    Applying,
    /// All is done; the owner's access has to be proven.
    Waiting,
    /// All is done.
    Done,
    /// Everything was put back.
    RolledBack,
    /// It failed and not all could be put back.
    NotRestored,
}

/// What is known of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its id.
    pub id: String,
    /// The host's name.
    pub host: String,
    /// Who declared.
    pub owner: String,
    /// Where it stands.
    pub stand: Stand,
    /// It touches what lets the owner in.
    pub guarded: bool,
    /// The rollback is armed until the owner's access is proven.
    #[serde(default)]
    pub armed: bool,
    /// Seconds that the proof may take.
    pub window: u64,
    /// Ports by which access is proven.
    pub ports: Vec<u16>,
    /// Ports that are held open until then.
    pub transition: Vec<u16>,
    /// Handlers that ran, to be run again after a rollback.
    pub handlers: Vec<String>,
    /// How it ended.
    pub result: Option<HostResult>,
    /// The unit by which sshd listened before.
    #[serde(default)]
    pub listener: Option<String>,
    /// A NixOS system that becomes the boot default once access is proven.
    #[serde(default)]
    pub boot: Option<String>,
}

/// A run, open for writing.
#[derive(Debug)]
pub struct Run {
    /// What is known of it.
    pub record: Record,
    directory: PathBuf,
    journal: Option<File>,
    events: Option<File>,
    backups: u32,
}

/// Bytes that are held back so that a rollback can write its record on a full disk.
const RESERVE: u64 = 256 * 1024;

fn runs_path(id: &str) -> String {
    format!("{}/{id}", places::RUNS)
}

/// A name that is new on every host: when, and four random letters.
pub fn new_id() -> String {
    let mut random = [0_u8; 2];
    // Without random bytes the time alone has to do; a clash is refused when the directory is made.
    super::random::fill(&mut random);
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    format!("{now}-{}", super::hash::hex(&random))
}

/// Whether a text can be the id of a run: it becomes a part of paths and unit names.
pub fn is_id(text: &str) -> bool {
    (1..=40).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

impl Run {
    /// Begins a run.
    ///
    /// # Errors
    /// Those of the system.
    pub fn begin(host: &Host, record: Record) -> Outcome<Self> {
        host.tree.make_state_directory(places::STATE, 0o711)?;
        host.tree.make_state_directory(places::RUNS, 0o700)?;
        let directory = host.tree.make_state_directory(&runs_path(&record.id), 0o700)?;
        host.tree.make_state_directory(&format!("{}/backup", runs_path(&record.id)), 0o700)?;
        let mut run = Self { record, directory, journal: None, events: None, backups: 0 };
        run.open_files()?;
        run.take_number(host)?;
        run.reserve()?;
        run.save()?;
        Ok(run)
    }

    /// Opens a run that is there; the latest if none is named.
    ///
    /// # Errors
    /// 66 for a run that is not there.
    pub fn open(host: &Host, id: Option<&str>) -> Outcome<Self> {
        let missing = || {
            Fault::new(
                Exit::Unreadable,
                "no_such_run",
                match id {
                    Some(id) => format!("there is no run {id} on the host"),
                    None => "there was no run on the host yet".into(),
                },
            )
        };
        let id = match id {
            Some(id) if is_id(id) => id.to_owned(),
            Some(_) => return Err(missing()),
            None => Self::all(host).pop().ok_or_else(missing)?,
        };
        let directory = host.tree.real(&runs_path(&id));
        let text = std::fs::read(directory.join("run.json")).map_err(|_| missing())?;
        let record = serde_json::from_slice(&text).map_err(|error| {
            Fault::new(Exit::Io, "bad_run", "the record of the run cannot be read").place(id).cause(error)
        })?;
        let backups = std::fs::read_dir(directory.join("backup")).map_or(0, Iterator::count) as u32;
        Ok(Self { record, directory, journal: None, events: None, backups })
    }

    /// Takes the number after the last one. Done again with the lock held, because two may begin at once.
    ///
    /// # Errors
    /// Those of the system.
    pub fn take_number(&self, host: &Host) -> Outcome<()> {
        let others = Self::all(host).into_iter().filter(|id| *id != self.record.id);
        let number = others.map(|id| number_of(host, &id)).max().unwrap_or(0) + 1;
        let path = self.directory.join("number");
        std::fs::write(&path, number.to_string()).map_err(|error| Fault::io("write", path.display(), &error))
    }

    /// Holds some room back for the way back.
    fn reserve(&self) -> Outcome<()> {
        use rustix::fs::FallocateFlags;
        let path = self.directory.join("reserve");
        let file = File::create(&path).map_err(|error| Fault::io("write", path.display(), &error))?;
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, RESERVE) {
            Err(rustix::io::Errno::NOSPC) => {
                Err(Fault::errno("hold room back", path.display(), rustix::io::Errno::NOSPC))
            }
            // A file system that cannot reserve: the way back needs hardly any room.
            _ => Ok(()),
        }
    }

    /// Gives the room back that was held for the way back.
    pub fn release(&self) {
        // Not there is as good.
        let _ = std::fs::remove_file(self.directory.join("reserve"));
    }

    /// Ids of all runs, oldest first.
    pub fn all(host: &Host) -> Vec<String> {
        let mut ids: Vec<String> = std::fs::read_dir(host.tree.real(places::RUNS))
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|id| is_id(id) && host.exists(&format!("{}/run.json", runs_path(id))))
            .collect();
        // By their number and not by their name: the clock of a host may be set back.
        ids.sort_by_key(|id| (number_of(host, id), id.clone()));
        ids
    }

    /// Runs that touched anything, oldest first.
    fn touching(host: &Host) -> impl DoubleEndedIterator<Item = String> {
        let wrote = |id: &String| {
            let journal = std::fs::metadata(host.tree.real(&format!("{}/journal", runs_path(id))));
            journal.is_ok_and(|data| data.len() > 0)
        };
        Self::all(host).into_iter().filter(wrote)
    }

    /// The latest run that touched anything.
    pub fn latest(host: &Host) -> Option<String> {
        Self::touching(host).next_back()
    }

    /// Whether a later run touched anything.
    pub fn is_followed(host: &Host, id: &str) -> bool {
        let own = number_of(host, id);
        Self::touching(host).any(|other| other != id && number_of(host, &other) > own)
    }

    fn open_files(&mut self) -> Outcome<()> {
        let open = |name: &str| {
            let path = self.directory.join(name);
            OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(&path)
                .map_err(|error| Fault::io("open", path.display(), &error))
        };
        let (journal, events) = (open("journal")?, open("events")?);
        self.journal = Some(journal);
        self.events = Some(events);
        Ok(())
    }

    /// The directory of the run, as this process sees it.
    pub fn directory(&self) -> &std::path::Path {
        &self.directory
    }

    /// Writes the record down, durably.
    ///
    /// # Errors
    /// Those of the system.
    pub fn save(&self) -> Outcome<()> {
        let path = self.directory.join("run.json");
        let bytes = serde_json::to_vec(&self.record).unwrap_or_default();
        super::host::write_durably(&path, &bytes).map_err(|error| Fault::io("write", path.display(), &error))
    }

    /// Notes how a change is undone. It is durable after [`Run::sync`].
    ///
    /// # Errors
    /// Those of the system.
    pub fn note(&mut self, undo: &Undo) -> Outcome<()> {
        if self.journal.is_none() {
            self.open_files()?;
        }
        let mut line = serde_json::to_vec(undo).unwrap_or_default();
        line.push(b'\n');
        match &mut self.journal {
            Some(journal) => journal.write_all(&line).map_err(|error| Fault::io("write", "the journal", &error)),
            None => Ok(()),
        }
    }

    /// Makes the journal durable.
    ///
    /// # Errors
    /// Those of the system.
    pub fn sync(&self) -> Outcome<()> {
        match &self.journal {
            Some(journal) => journal.sync_data().map_err(|error| Fault::io("write", "the journal", &error)),
            None => Ok(()),
        }
    }

    /// Tells those who watch.
    pub fn tell(&mut self, reply: &Reply) {
        if self.events.is_none() && self.open_files().is_err() {
            return;
        }
        let mut line = serde_json::to_vec(reply).unwrap_or_default();
        line.push(b'\n');
        if let Some(events) = &mut self.events {
            // A watcher that cannot be told reads the result later.
            let _ = events.write_all(&line);
        }
    }

    /// A new name in the backup.
    pub fn backup_name(&mut self) -> (String, PathBuf) {
        self.backups += 1;
        let name = self.backups.to_string();
        let path = self.directory.join("backup").join(&name);
        (name, path)
    }

    /// Saves what is at a place, for the way back. Nothing is changed there.
    ///
    /// # Errors
    /// Those of the system.
    pub fn back_up(&mut self, place: &Place, live: &Live) -> Outcome<Before> {
        match live {
            Live::File(attributes) => {
                let (backup, path) = self.backup_name();
                let linked = rustix::fs::linkat(
                    &place.parent,
                    &*place.name,
                    rustix::fs::CWD,
                    &path,
                    rustix::fs::AtFlags::empty(),
                );
                if linked.is_err() {
                    // Another file system: a copy does as well.
                    let bytes = place.read()?.unwrap_or_default();
                    super::host::write_durably(&path, &bytes)
                        .map_err(|error| Fault::io("back up", &place.path, &error))?;
                }
                Ok(Before::File { backup, mode: attributes.mode, uid: attributes.uid, gid: attributes.gid })
            }
            Live::Symlink(target) => Ok(Before::Link(target.clone())),
            _ => Ok(Before::Absent),
        }
    }

    /// Saves one of our own documents.
    ///
    /// # Errors
    /// Those of the system.
    pub fn back_up_state(&mut self, host: &Host, path: &str) -> Outcome<()> {
        let backup = match std::fs::read(host.tree.real(path)) {
            Ok(bytes) => {
                let (name, place) = self.backup_name();
                super::host::write_durably(&place, &bytes).map_err(|error| Fault::io("back up", path, &error))?;
                Some(name)
            }
            Err(_) => None,
        };
        self.note(&Undo::State { path: path.into(), backup })
    }

    /// Where a backup lies.
    pub fn backup_path(&self, name: &str) -> PathBuf {
        self.directory.join("backup").join(name)
    }

    /// The bytes of a backup.
    ///
    /// # Errors
    /// Those of the system.
    pub fn backup(&self, name: &str) -> Outcome<Vec<u8>> {
        let path = self.backup_path(name);
        std::fs::read(&path).map_err(|error| Fault::io("read the backup", path.display(), &error))
    }

    /// What was noted, oldest first. A line that a crash cut off was never acted upon.
    pub fn notes(&self) -> Vec<Undo> {
        let text = std::fs::read_to_string(self.directory.join("journal")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// What this run did that is not undone.
    pub fn never_undone(&self) -> Vec<HostKept> {
        let mut kept: Vec<HostKept> = self
            .notes()
            .into_iter()
            .filter_map(|undo| match undo {
                Undo::Never { kind, name, reason } => Some(HostKept { kind, name, reason }),
                _ => None,
            })
            .collect();
        kept.dedup();
        kept
    }

    /// Ends the run.
    ///
    /// # Errors
    /// Those of the system.
    pub fn finish(&mut self, stand: Stand, result: HostResult) -> Outcome<()> {
        self.release();
        self.record.stand = stand;
        self.record.armed = false;
        self.record.result = Some(result.clone());
        self.save()?;
        self.tell(&Reply::Result(Box::new(result)));
        Ok(())
    }
}

/// Which run of the host it is; 0 for one of a version that did not count.
fn number_of(host: &Host, id: &str) -> u64 {
    host.text(&format!("{}/number", runs_path(id))).trim().parse().unwrap_or(0)
}

/// Takes away all but the latest runs.
pub fn prune(host: &Host) {
    let mut ids = Run::all(host);
    ids.truncate(ids.len().saturating_sub(KEPT_RUNS));
    for id in ids {
        // History only: what cannot be taken away now is taken away by a later run.
        let _ = std::fs::remove_dir_all(host.tree.real(&runs_path(&id)));
    }
    // What a loss of power left of a helper that was on its way.
    for entry in std::fs::read_dir(host.tree.real(super::programs::programs())).into_iter().flatten().flatten() {
        let age = entry.metadata().and_then(|data| data.modified()).ok().and_then(|time| time.elapsed().ok());
        if entry.file_name().to_string_lossy().starts_with(".incoming.") && age.is_some_and(|age| age > LONG) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
