//! restic's side: its environment, its JSON, and what its errors mean in old and new versions.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use cli::{Failure, SecretStore, Signals};
use contract::document::{BackupPlan, BackupRepository};
use serde::Deserialize;

use crate::error::Error;
use crate::pattern::escape;
use crate::runner::{Ended, Order, run};

/// A repository with the environment that restic needs for it.
pub(crate) struct Repository<'a> {
    pub declared: &'a BackupRepository,
    env: BTreeMap<String, OsString>,
}

/// A snapshot, as `restic snapshots --json` lists it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Snapshot {
    pub id: String,
    /// RFC 3339 with the host's offset.
    pub time: String,
    /// From 0.17 on.
    #[serde(default)]
    pub summary: Option<SnapshotSummary>,
}

/// Counts of a snapshot.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct SnapshotSummary {
    #[serde(default)]
    pub total_bytes_processed: u64,
}

/// The last line of `restic backup --json`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct BackupSummary {
    #[serde(default)]
    pub snapshot_id: Option<String>,
    #[serde(default)]
    pub total_files_processed: u64,
    #[serde(default)]
    pub total_bytes_processed: u64,
    #[serde(default)]
    pub data_added: u64,
}

impl<'a> Repository<'a> {
    /// A repository of a plan; the secrets that it needs must be there.
    ///
    /// # Errors
    /// Where a secret is not there.
    pub(crate) fn open(
        plan: &BackupPlan,
        declared: &'a BackupRepository,
        secrets: &SecretStore,
    ) -> Result<Self, Failure> {
        // Read once, so that a missing or exposed secret is told in our words; restic reads the file itself.
        secrets.get(&declared.password)?;
        let directory = secrets.directory()?;
        let directory = std::fs::canonicalize(&directory).unwrap_or(directory);
        // A unit may have given the cache a place of its own.
        let cache = std::env::var_os("RESTIC_CACHE_DIR").filter(|directory| !directory.is_empty());
        let cache = cache.unwrap_or_else(|| Path::new(&plan.state).join("cache").into_os_string());
        let mut env = BTreeMap::from([
            ("RESTIC_PASSWORD_FILE".to_owned(), directory.join(declared.password.secret.as_str()).into_os_string()),
            ("RESTIC_CACHE_DIR".to_owned(), cache),
            // restic would else print its progress sixty times a second.
            ("RESTIC_PROGRESS_FPS".to_owned(), "0.0166".into()),
        ]);
        for (name, secret) in &declared.env {
            use std::os::unix::ffi::OsStringExt;
            env.insert(name.clone(), OsString::from_vec(secrets.get(secret)?.bytes().to_vec()));
        }
        Ok(Self { declared, env })
    }

    /// Runs restic with these arguments after `-r URI`.
    ///
    /// # Errors
    /// Where it cannot be run. A code other than 0 is none.
    pub(crate) fn call(&self, name: &str, arguments: &[&str], signals: Option<&Signals>) -> Result<Ended, Error> {
        let mut argv = vec!["restic".to_owned(), "-r".into(), self.declared.uri.clone()];
        argv.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self.run(name, &argv, None, signals)
    }

    /// Runs a whole command line of restic.
    ///
    /// # Errors
    /// As [`Repository::call`].
    pub(crate) fn run(
        &self,
        name: &str,
        argv: &[String],
        timeout: Option<contract::Duration>,
        signals: Option<&Signals>,
    ) -> Result<Ended, Error> {
        run(Order { name, argv, env: self.env.clone(), timeout, ..Order::default() }, signals)
    }

    /// The same, in a run that holds the plan's lock: a lock of a restic that is gone (killed, or before a reboot) is taken
    /// away and the command tried once more. `restic unlock` only takes stale locks; that of a living process stays.
    ///
    /// # Errors
    /// As [`Repository::call`].
    pub(crate) fn run_unlocking(
        &self,
        name: &str,
        argv: &[String],
        timeout: Option<contract::Duration>,
        signals: Option<&Signals>,
    ) -> Result<Ended, Error> {
        let ended = self.run(name, argv, timeout, signals)?;
        if !is_locked(&ended) {
            return Ok(ended);
        }
        self.call(name, &["unlock"], signals)?;
        self.run(name, argv, timeout, signals)
    }

    /// What a failed command means.
    pub(crate) fn error(&self, step: &str, ended: &Ended) -> Error {
        let repository = self.declared.id.clone();
        let text = ended.stderr.as_str();
        if ended.code == 12 || text.contains("wrong password or no key found") {
            Error::Password { repository }
        } else if is_missing(ended) {
            Error::NoRepository { repository, uri: self.declared.uri.clone() }
        } else if is_locked(ended) {
            Error::Locked { repository, detail: ended.complaint() }
        } else if text.contains("no space left on device") {
            Error::Full { step: step.into(), detail: ended.complaint() }
        } else {
            Error::Command { step: step.into(), code: ended.code, detail: ended.complaint() }
        }
    }

    /// Makes the repository if it is not there and may be made.
    ///
    /// # Errors
    /// Where it is neither there nor can be made, or its password is another.
    pub(crate) fn ensure(&self, signals: Option<&Signals>) -> Result<bool, Error> {
        let found = self.call("looking for the repository", &["cat", "config"], signals)?;
        if found.code == 0 {
            return Ok(false);
        }
        if !(is_missing(&found) && self.declared.init) {
            return Err(self.error("looking for the repository", &found));
        }
        let made = self.call("making the repository", &["init"], signals)?;
        if made.code == 0 { Ok(true) } else { Err(self.error("making the repository", &made)) }
    }

    /// Snapshots of the plan, oldest first.
    ///
    /// # Errors
    /// Where restic does not say.
    pub(crate) fn snapshots(&self, plan: &BackupPlan, signals: Option<&Signals>) -> Result<Vec<Snapshot>, Error> {
        let tag = format!("plan:{}", plan.plan);
        let name = "listing snapshots";
        let ended = self.call(name, &["snapshots", "--json", "--host", &plan.host, "--tag", &tag], signals)?;
        if ended.code != 0 {
            return Err(self.error(name, &ended));
        }
        parse_snapshots(&ended.stdout)
    }

    /// Bytes of a snapshot when restored.
    ///
    /// # Errors
    /// Where restic does not say.
    pub(crate) fn size(&self, snapshot: &Snapshot, signals: Option<&Signals>) -> Result<u64, Error> {
        #[derive(Deserialize)]
        struct Stats {
            total_size: u64,
        }
        if let Some(summary) = &snapshot.summary {
            return Ok(summary.total_bytes_processed);
        }
        let name = "measuring a snapshot";
        let ended = self.call(name, &["stats", "--json", "--mode", "restore-size", &snapshot.id], signals)?;
        if ended.code != 0 {
            return Err(self.error(name, &ended));
        }
        serde_json::from_str::<Stats>(ended.stdout.trim())
            .map(|stats| stats.total_size)
            .map_err(|error| Error::Answer { what: "the size of a snapshot".into(), cause: error.to_string() })
    }
}

/// Reads `restic snapshots --json`, oldest first.
///
/// # Errors
/// Where it is something else.
pub(crate) fn parse_snapshots(text: &str) -> Result<Vec<Snapshot>, Error> {
    let listed: Option<Vec<Snapshot>> = serde_json::from_str(text.trim())
        .map_err(|error| Error::Answer { what: "the snapshots".into(), cause: error.to_string() })?;
    let mut snapshots = listed.unwrap_or_default();
    let time = |snapshot: &Snapshot| snapshot.time.parse::<jiff::Timestamp>().unwrap_or_default();
    snapshots.sort_by_key(time);
    Ok(snapshots)
}

/// The summary among the lines of `restic backup --json`.
pub(crate) fn parse_backup(text: &str) -> Option<BackupSummary> {
    #[derive(Deserialize)]
    struct Line {
        message_type: String,
    }
    text.lines()
        .filter(|line| serde_json::from_str::<Line>(line).is_ok_and(|line| line.message_type == "summary"))
        .find_map(|line| serde_json::from_str(line).ok())
}

/// Items that a backup could not read, from its errors: JSON lines, in two shapes.
pub(crate) fn parse_unreadable(text: &str) -> Vec<String> {
    let item = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).ok()?;
        let item = value.get("item").or_else(|| value.pointer("/error/Path")).and_then(serde_json::Value::as_str)?;
        (value["message_type"] == "error").then(|| item.to_owned())
    };
    let mut items: Vec<String> = text.lines().filter_map(item).collect();
    items.sort();
    items.dedup();
    items.truncate(100);
    items
}

/// 10 from 0.17 on; before, only the text tells. A network error never says this.
fn is_missing(ended: &Ended) -> bool {
    ended.code == 10 || (ended.code != 0 && ended.stderr.contains("Is there a repository at the following location"))
}

/// 11 from 0.17 on.
fn is_locked(ended: &Ended) -> bool {
    ended.code == 11
        || (ended.code != 0
            && (ended.stderr.contains("repository is already locked")
                || ended.stderr.contains("unable to create lock")))
}

/// Arguments with which a restore takes just these paths.
pub(crate) fn includes<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<String> {
    paths.flat_map(|path| ["--include".to_owned(), escape(path)]).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_old_and_new_versions_say() {
        let ended = |code, stderr: &str| Ended { code, stdout: String::new(), stderr: stderr.into() };
        assert!(is_missing(&ended(10, "")) && !is_missing(&ended(1, "Fatal: dial tcp: timeout")));
        assert!(
            is_locked(&ended(11, ""))
                && is_locked(&ended(1, "unable to create lock in backend: repository is already locked"))
        );
        assert_eq!(parse_snapshots("null").unwrap(), []);
        let items = "{\"message_type\":\"error\",\"error\":{\"Op\":\"open\",\"Path\":\"/a\",\"Err\":13},\"during\":\"archival\",\"item\":\"/a\"}\nx";
        assert_eq!(parse_unreadable(items), ["/a"]);
        let summary = parse_backup(
            "{\"message_type\":\"status\"}\n{\"message_type\":\"summary\",\"snapshot_id\":\"ab\",\"data_added\":5}",
        );
        assert_eq!(summary.unwrap().data_added, 5);
    }
}
