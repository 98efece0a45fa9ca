//! `freshness`: a proof that is not too old, such as that of a restored backup.

use std::time::UNIX_EPOCH;

use contract::document::FreshnessCheck;
use contract::{Duration, Finding};
use serde_json::Value;

use super::{Dial, Preparing, quoted};
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
}

impl Probe {
    pub(super) fn prepare(check: &FreshnessCheck, preparing: &mut Preparing<'_>) -> Option<Self> {
        if !check.path.starts_with('/') {
            preparing.wrong("path", "bad-path", "expected an absolute path");
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
            pointer: check.pointer.as_ref().map(|pointer| pointer.as_str().to_owned()),
            warn_age: check.warn_age,
            max_age: check.max_age,
            equals: check.equals.iter().map(|(pointer, value)| (pointer.clone(), value.clone())).collect(),
        })
    }

    pub(super) fn target(&self) -> String {
        self.path.clone()
    }

    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        None
    }

    pub(super) async fn look(&self, _dial: &Dial<'_>, trace: &mut Trace) -> Verdict {
        trace.step = Step::Answer;
        let path = &self.path;
        let failed = |error: &std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => Problem::fail(Reason::Missing, format!("{path} is not there")),
            std::io::ErrorKind::PermissionDenied => {
                Problem::error(Reason::Permission, format!("we may not read {path}"))
            }
            kind => Problem::error(Reason::Internal, format!("{path} cannot be read: {kind}")),
        };
        let metadata = off_thread(path, std::fs::metadata).await.map_err(|error| failed(&error))?;
        if metadata.len() == 0 {
            return Err(Problem::fail(Reason::Missing, format!("{path} is empty")));
        }
        let mut time =
            metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map(|t| t.as_secs() as i64);
        if self.pointer.is_some() || !self.equals.is_empty() {
            if metadata.len() > LARGEST {
                return Err(Problem::error(Reason::Unsupported, format!("{path} is larger than 16 MiB")));
            }
            let bytes = off_thread(path, std::fs::read).await.map_err(|error| failed(&error))?;
            let json: Value = serde_json::from_slice(&bytes)
                .map_err(|_| Problem::fail(Reason::BodyNotJson, format!("{path} is no JSON")))?;
            for (pointer, wanted) in &self.equals {
                let found = json.pointer(pointer).unwrap_or(&Value::Null);
                if found != wanted {
                    let found = quoted(&found.to_string(), &[]);
                    let message = format!("{pointer} in {path} is {}, wanted {wanted}", found.trim_matches('"'));
                    return Err(Problem::fail(Reason::ValueMismatch, message));
                }
            }
            if let Some(pointer) = &self.pointer {
                time = json.pointer(pointer).and_then(seconds);
                if time.is_none() {
                    let message = format!("{path} holds no time at {pointer} (RFC 3339 or seconds since 1970)");
                    return Err(Problem::fail(Reason::ValueMismatch, message));
                }
            }
        }
        let now = jiff::Timestamp::now().as_second();
        let age = now - time.unwrap_or(0);
        trace.figures.insert("age_seconds".into(), age as f64);
        self.judge(age)
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

/// A dead network file system holds whoever asks; the thread is left behind.
async fn off_thread<T: Send + 'static>(
    path: &str,
    work: impl FnOnce(String) -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    let path = path.to_owned();
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
