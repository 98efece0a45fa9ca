//! What one probe saw.

use std::collections::BTreeMap;
use std::time::Instant;

use contract::document::{AddressReport, CertificateReport, Phases, RawResult, TryReport};

use crate::reason::Reason;

/// What one probe saw, before the graph is considered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Observation {
    /// The result.
    pub raw: RawResult,
    /// Why it is not a pass.
    pub reason: Option<Reason>,
    /// The same in words. Never holds a secret.
    pub message: String,
    /// What was noticed on the way.
    pub trace: Trace,
    /// How often it was tried.
    pub attempts: u32,
    /// The attempts before, which failed.
    pub tries: Vec<TryReport>,
    /// Wall time of the last attempt in milliseconds.
    pub ms: u64,
}

/// What a probe notices on its way, kept also where it is cut off by its timeout.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Trace {
    /// What it is doing now.
    pub step: Step,
    /// Address that it connected to.
    pub address: Option<String>,
    /// Addresses of the same name that did not answer.
    pub dead_addresses: Vec<String>,
    /// What was seen at each address, where several were looked at.
    pub addresses: Vec<AddressReport>,
    /// Where the time went.
    pub phases: Phases,
    /// Status of the answer.
    pub http_status: Option<u16>,
    /// The server's certificate.
    pub certificate: Option<Box<CertificateReport>>,
    /// The server asked for a certificate of ours.
    pub asked_for_certificate: bool,
    /// What the program says about its parts.
    pub evidence: Vec<String>,
    /// Figures that were measured.
    pub figures: BTreeMap<String, f64>,
}

/// What a probe is doing, so that a timeout can say during what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Step {
    /// Looking up the name.
    #[default]
    Resolve,
    /// Connecting.
    Connect,
    /// In the TLS handshake.
    Tls,
    /// Waiting for what the server says.
    Answer,
    /// Reading the rest.
    Body,
    /// Waiting for a message.
    Message,
}

/// Why a probe does not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Fail, Warn or Error.
    pub raw: RawResult,
    /// From the closed list.
    pub reason: Reason,
    /// In words: lower case, no final dot, no secrets.
    pub message: String,
}

/// What a probe ends with: a remark on what is good, or a problem.
pub(crate) type Verdict = Result<String, Problem>;

impl Problem {
    /// It is not healthy.
    pub(crate) fn fail(reason: Reason, message: impl Into<String>) -> Self {
        Self { raw: RawResult::Fail, reason, message: message.into() }
    }

    /// It works, but.
    pub(crate) fn warn(reason: Reason, message: impl Into<String>) -> Self {
        Self { raw: RawResult::Warn, reason, message: message.into() }
    }

    /// Whether it is more than a warning.
    pub(crate) fn is_failure(&self) -> bool {
        matches!(self.raw, RawResult::Fail | RawResult::Error)
    }

    /// It could not be looked at.
    pub(crate) fn error(reason: Reason, message: impl Into<String>) -> Self {
        Self { raw: RawResult::Error, reason, message: message.into() }
    }
}

impl Step {
    /// The reason and the words for a timeout here.
    pub(crate) fn timed_out(self, millis: u128) -> Problem {
        let (reason, doing) = match self {
            Step::Resolve => (Reason::DnsTimeout, "looking up the name"),
            Step::Connect => (Reason::ConnectTimeout, "connecting"),
            Step::Tls => (Reason::Timeout, "in the TLS handshake"),
            Step::Answer => (Reason::Timeout, "waiting for the answer"),
            Step::Body => (Reason::Timeout, "reading the answer"),
            Step::Message => (Reason::WsSilent, "waiting for a message"),
        };
        Problem::fail(reason, format!("not done after {millis} ms, while {doing}"))
    }
}

impl Observation {
    /// An observation without a probe.
    pub(crate) fn unprobed(raw: RawResult, reason: Option<Reason>, message: impl Into<String>) -> Self {
        Self { raw, reason, message: message.into(), trace: Trace::default(), attempts: 0, tries: Vec::new(), ms: 0 }
    }

    /// What a probe ended with.
    pub(crate) fn of(verdict: Verdict, trace: Trace, started: Instant) -> Self {
        let ms = started.elapsed().as_millis() as u64;
        let (raw, reason, message) = match verdict {
            Ok(message) => (RawResult::Pass, None, message),
            Err(problem) => (problem.raw, Some(problem.reason), problem.message),
        };
        Self { raw, reason, message, trace, attempts: 1, tries: Vec::new(), ms }
    }

    /// It failed, and may pass a moment later.
    pub(crate) fn is_transient(&self) -> bool {
        let client_error = self.reason == Some(Reason::HttpStatus) && self.trace.http_status.is_none_or(|it| it < 500);
        self.raw == RawResult::Fail && self.reason.is_some_and(Reason::is_transient) && !client_error
    }

    /// What a report says of it where another attempt follows.
    pub(crate) fn as_try(&self) -> TryReport {
        let reason = self.reason.unwrap_or(Reason::Internal).as_str().to_owned();
        TryReport { reason, message: self.message.clone(), ms: self.ms }
    }
}

/// Milliseconds since `start`, to a tenth.
pub(crate) fn ms_since(start: Instant) -> f64 {
    (start.elapsed().as_secs_f64() * 10_000.0).round() / 10.0
}
