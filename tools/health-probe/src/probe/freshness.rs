//! `freshness`: a proof that is not too old, such as that of a restored backup.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use contract::document::FreshnessCheck;
use contract::{Duration, Finding};
use serde_json::Value;

use super::{Dial, Preparing, exec, glob, quoted};
use crate::net::Endpoint;
use crate::observation::{Problem, Step, Trace, Verdict};
use crate::reason::Reason;

/// The largest proof that is read.
const LARGEST: u64 = 16 * 1024 * 1024;
/// Clocks may differ by this, in seconds.
const SKEW_SECS: i64 = 300;

/// The age of a file, or of a time that stands in it.
#[derive(Debug)]
pub(crate) struct Probe {
    path: String,
    pointer: Option<String>,
    warn_age: Option<Duration>,
    max_age: Duration,
    equals: Vec<(String, Value)>,
    min_bytes: u64,
    argv: Vec<String>,
}

impl Probe {
    pub(super) fn prepare(check: &FreshnessCheck, preparing: &mut Preparing<'_>) -> Option<Self> {
        if check.argv.is_empty() && !check.path.starts_with('/') {
            preparing.wrong("path", "bad-path", "expected an absolute path");
        }
        if !check.argv.is_empty() {
            if !check.path.is_empty() || check.min_bytes.is_some() {
                preparing.wrong("argv", "contradiction", "the proof is a file or what a program prints, not both");
            }
            if check.pointer.is_none() {
                preparing.wrong("pointer", "missing-pointer", "where does the time stand in what the program prints?");
            }
            if check.argv.first().is_none_or(String::is_empty) || check.argv.iter().any(|word| word.contains('\0')) {
                preparing.wrong("argv", "bad-command", "expected a program and its arguments");
            }
        }
        if check.warn_age.is_some_and(|warn| warn > check.max_age) {
            preparing.wrong("warn_age", "contradiction", "it would never warn: max_age comes first");
        }
        let pointers =
            check.equals.keys().map(String::as_str).chain(check.pointer.as_ref().map(contract::Pointer::as_str));
        for pointer in pointers.filter(|pointer| !pointer.is_empty() && !pointer.starts_with('/')) {
            let message = format!("\"{pointer}\" is no JSON pointer: it begins with / (RFC 6901)");
            preparing.findings.push(Finding::error("bad-pointer", preparing.at.clone(), message));
        }
        Some(Self {
            path: check.path.clone(),
            argv: check.argv.clone(),
            min_bytes: check.min_bytes.unwrap_or(1).max(1),
            pointer: check.pointer.as_ref().map(|pointer| pointer.as_str().to_owned()),
            warn_age: check.warn_age,
            max_age: check.max_age,
            equals: check.equals.iter().map(|(pointer, value)| (pointer.clone(), value.clone())).collect(),
        })
    }

    pub(super) fn target(&self) -> String {
        // Arguments may hold what should not be shown.
        self.argv.first().unwrap_or(&self.path).clone()
    }

    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        None
    }

    pub(super) async fn look(&self, dial: &Dial<'_>, trace: &mut Trace) -> Verdict {
        trace.step = Step::Answer;
        let time = if self.argv.is_empty() { self.of_file().await? } else { self.of_program(dial).await? };
        let age = dial.context.now() - time;
        trace.figures.insert("age_seconds".into(), age as f64);
        self.judge(age)
    }

    /// The time of the file, or in it.
    async fn of_file(&self) -> Result<i64, Problem> {
        let failed = |path: &Path, error: &std::io::Error| match error.kind() {
            ErrorKind::NotFound => Problem::fail(Reason::Missing, format!("{} is not there", path.display())),
            ErrorKind::PermissionDenied => {
                Problem::error(Reason::Permission, format!("we may not read {}", path.display()))
            }
            kind => Problem::error(Reason::Internal, format!("{} cannot be read: {kind}", path.display())),
        };
        let path = if glob::is_pattern(&self.path) {
            let newest = off_thread(self.path.clone(), |pattern| newest(&pattern)).await;
            let newest = newest.map_err(|error| failed(Path::new(&self.path), &error))?;
            newest.ok_or_else(|| Problem::fail(Reason::Missing, format!("no file fits {}", self.path)))?
        } else {
            PathBuf::from(&self.path)
        };
        let metadata = off_thread(path.clone(), std::fs::metadata).await.map_err(|error| failed(&path, &error))?;
        if metadata.len() < self.min_bytes {
            let message = match metadata.len() {
                0 => format!("{} is empty", path.display()),
                length => format!("{} has {length} bytes, wanted {}", path.display(), self.min_bytes),
            };
            return Err(Problem::fail(Reason::Missing, message));
        }
        if self.pointer.is_none() && self.equals.is_empty() {
            return Ok(modified(&metadata));
        }
        if metadata.len() > LARGEST {
            return Err(Problem::error(Reason::Unsupported, format!("{} is larger than 16 MiB", path.display())));
        }
        let bytes = off_thread(path.clone(), std::fs::read).await.map_err(|error| failed(&path, &error))?;
        let stated = self.of_json(&bytes, &path.display().to_string())?;
        Ok(stated.unwrap_or_else(|| modified(&metadata)))
    }

    /// The time in what a program prints.
    async fn of_program(&self, dial: &Dial<'_>) -> Result<i64, Problem> {
        let program = self.target();
        let (status, printed) = exec::run(&self.argv, dial, LARGEST).await?;
        if !status.is_some_and(|status| status.success()) {
            return Err(Problem::error(Reason::ExecFailed, format!("{program} fails")));
        }
        let stated = self.of_json(&printed, &format!("what {program} prints"))?;
        stated.ok_or_else(|| Problem::error(Reason::Internal, "nothing says when"))
    }

    /// The time that stands in JSON, where the check says in what place.
    fn of_json(&self, bytes: &[u8], what: &str) -> Result<Option<i64>, Problem> {
        let json: Value = serde_json::from_slice(bytes)
            .map_err(|_| Problem::fail(Reason::BodyNotJson, format!("{what} is no JSON")))?;
        for (pointer, wanted) in &self.equals {
            let found = json.pointer(pointer).unwrap_or(&Value::Null);
            if found != wanted {
                let found = quoted(&found.to_string(), &[]);
                let message = format!("{pointer} in {what} is {}, wanted {wanted}", found.trim_matches('"'));
                return Err(Problem::fail(Reason::ValueMismatch, message));
            }
        }
        let Some(pointer) = &self.pointer else { return Ok(None) };
        let time = json.pointer(pointer).and_then(seconds);
        time.map(Some).ok_or_else(|| {
            let message = format!("{what} holds no time at {pointer} (RFC 3339 or seconds since 1970)");
            Problem::fail(Reason::ValueMismatch, message)
        })
    }

    fn judge(&self, age: i64) -> Verdict {
        if age < -SKEW_SECS {
            let ahead = Duration::from_secs(age.unsigned_abs());
            return Err(Problem::warn(Reason::ClockSkew, format!("its time lies {ahead} in the future")));
        }
        let age = Duration::from_secs(age.max(0) as u64);
        let words = format!("{age} old, allowed {}", self.max_age);
        if age > self.max_age {
            return Err(Problem::fail(Reason::Stale, words));
        }
        match self.warn_age {
            Some(warn) if age > warn => Err(Problem::warn(Reason::Stale, words)),
            _ => Ok(format!("{age} old")),
        }
    }
}

/// The file that was changed last among those that fit.
fn newest(pattern: &str) -> std::io::Result<Option<PathBuf>> {
    let times = glob::find(pattern)?.into_iter().filter_map(|path| {
        let metadata = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file)?;
        Some((metadata.modified().ok()?, path))
    });
    Ok(times.max().map(|(_, path)| path))
}

fn modified(metadata: &std::fs::Metadata) -> i64 {
    let time = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    time.map_or(0, |time| time.as_secs() as i64)
}

/// A dead network file system holds whoever asks; the thread is left behind.
async fn off_thread<P: Send + 'static, T: Send + 'static>(
    path: P,
    work: impl FnOnce(P) -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(move || work(path)).await.map_err(std::io::Error::other)?
}

/// A time as programs write it: RFC 3339, or seconds since 1970.
fn seconds(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|seconds| seconds as i64)),
        Value::String(text) => text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second),
        _ => None,
    }
}
