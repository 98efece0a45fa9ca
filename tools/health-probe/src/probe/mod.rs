//! The kinds of check, one file each. A kind is prepared from its check (everything that can be wrong is found then), and
//! run as often as needed.

#![allow(clippy::unnecessary_wraps, clippy::unused_self, clippy::unused_async, reason = "all kinds have the same form")]

mod body;
mod disk;
mod dns;
mod exec;
mod failed_units;
mod file;
mod freshness;
mod glob;
mod header;
mod http;
mod icmp;
mod mail;
mod mount;
mod postgres;
mod proxy;
mod redis;
mod request;
mod sha1;
mod ssh;
mod ssh_kex;
mod status;
mod talk;
mod tcp;
mod tls;
mod turns;
mod unit;
mod units;
mod url;
mod websocket;
mod zabbix;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cli::SecretStore;
use contract::document::{AddressPolicy, AddressReport, HealthCheck, HealthDefaults, RawResult, TlsExpectation};
use contract::{Finding, Pointer, SecretRef};

use crate::net::{Endpoint, TlsPlan, Trusts, resolve};
use crate::observation::{Observation, Problem, Trace, Verdict};
use crate::profile::Profile;
use crate::reason::Reason;

pub(crate) use turns::Turns;
pub(crate) use units::Units;

/// How long after a failure it is tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// What all probes of a run share.
#[derive(Debug)]
pub(crate) struct Context {
    /// Addresses to use instead of asking for a name (`--resolve`).
    pub resolve: HashMap<Endpoint, Vec<IpAddr>>,
    /// Whom to trust.
    pub trusts: Trusts,
    /// Where secrets are.
    pub secrets: SecretStore,
    /// Programs may be run.
    pub allow_exec: bool,
    /// The time that it is, in seconds since 1970, instead of the clock's (`--now`).
    pub now: Option<i64>,
    /// What systemd says, asked for once for all checks of a round.
    pub units: Units,
    /// Whose turn it is where a host must not be asked too often.
    pub turns: Turns,
}

impl Context {
    /// The time, in seconds since 1970.
    pub(crate) fn now(&self) -> i64 {
        self.now.unwrap_or_else(|| jiff::Timestamp::now().as_second())
    }

    /// The value of a secret, or why there is none. Neither says the value.
    ///
    /// # Errors
    /// The secret cannot be read: the check could not be made, which says nothing about its target.
    pub(crate) fn secret(&self, secret: &SecretRef) -> Result<cli::Secret, Problem> {
        self.secrets.get(secret).map_err(|failure| {
            let message = failure.errors().first().map(|error| error.message.clone()).unwrap_or_default();
            Problem::error(Reason::SecretMissing, message)
        })
    }
}

/// How one attempt goes about it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dial<'a> {
    /// What all probes share.
    pub context: &'a Context,
    /// Which addresses are tried.
    pub addresses: AddressPolicy,
    /// The one address to use.
    pub pinned: Option<SocketAddr>,
    /// Longest time of the attempt.
    pub timeout: Duration,
}

/// A check that is ready to be run.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// What it looks at.
    pub probe: Probe,
    /// Longest time of one attempt.
    pub timeout: Duration,
    /// Slower than this is degraded.
    pub warn_above: Option<Duration>,
    /// Slower than this is down.
    pub fail_above: Option<Duration>,
    /// Which addresses are tried.
    pub addresses: AddressPolicy,
    /// How often a failure that may pass is tried again.
    pub retries: Retries,
    /// It waits for what it needs, and is not looked at where that is down.
    pub after_needs: bool,
}

/// How often a failure that may pass is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retries {
    /// So often.
    pub most: u8,
    /// Also where it took the whole timeout. Else only the second look at root causes does that again, for all at once.
    pub patient: bool,
}

impl Default for Retries {
    fn default() -> Self {
        Self { most: 1, patient: false }
    }
}

/// What is given to a kind while its check is prepared.
pub(crate) struct Preparing<'a> {
    /// Where the check stands.
    pub at: Pointer,
    /// Values for what it does not say.
    pub defaults: &'a HealthDefaults,
    /// What its program is.
    pub profile: Option<&'static Profile>,
    /// What is wrong so far.
    pub findings: &'a mut Vec<Finding>,
    /// How certificates are judged where the check says nothing.
    pub usual_tls: &'a Arc<TlsPlan>,
}

impl Preparing<'_> {
    /// Something is wrong with a key of the kind.
    pub(crate) fn wrong(&mut self, key: &str, code: &str, message: impl Into<String>) {
        self.findings.push(Finding::error(code, self.at.join(key), message));
    }

    /// `host:port` of a key.
    pub(crate) fn endpoint(&mut self, key: &str, text: &str) -> Option<Endpoint> {
        text.parse().map_err(|why: String| self.wrong(key, "bad-address", why)).ok()
    }

    /// A regular expression of a key.
    pub(crate) fn regex(&mut self, at: &Pointer, text: &str) -> Option<regex::Regex> {
        let built = regex::RegexBuilder::new(text).size_limit(1 << 20).build();
        match built {
            Ok(regex) => Some(regex),
            Err(error) => {
                let why = error.to_string();
                let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                self.findings.push(
                    Finding::error("bad-regex", at.clone(), format!("the regular expression cannot be read: {why}"))
                        .fix("the syntax is that of Rust's regex crate: no look-around, no back-references"),
                );
                None
            }
        }
    }

    /// How certificates are judged.
    pub(crate) fn tls(&mut self, key: &str, expect: &TlsExpectation) -> Option<Arc<TlsPlan>> {
        if *expect == TlsExpectation::default() {
            return Some(Arc::clone(self.usual_tls));
        }
        match TlsPlan::of(expect, self.defaults.ca.as_deref()) {
            Ok(plan) => Some(Arc::new(plan)),
            Err(wrong) => {
                for (inner, why) in wrong {
                    self.findings.push(Finding::error("bad-tls", self.at.join(key).join(inner), why));
                }
                None
            }
        }
    }

    /// The same where TLS is spoken only if the check has the key. `Some(None)` is no TLS.
    #[allow(clippy::option_option, reason = "wrong, none, some")]
    pub(crate) fn tls_if_any(&mut self, key: &str, expect: Option<&TlsExpectation>) -> Option<Option<Arc<TlsPlan>>> {
        match expect {
            Some(expect) => self.tls(key, expect).map(Some),
            None => Some(None),
        }
    }
}

macro_rules! kinds {
    ($($variant:ident $key:ident $module:ident,)*) => {
        /// A kind of check with all that it needs.
        #[derive(Debug)]
        pub(crate) enum Probe {
            $(#[doc = concat!("`", stringify!($key), "`.")] $variant(Box<$module::Probe>),)*
            /// Nothing to look at.
            Node,
        }

        impl Probe {
            /// The kinds of a check, by key; a good check has exactly one.
            pub(crate) fn keys(check: &HealthCheck) -> Vec<&'static str> {
                let mut keys = Vec::new();
                $(if check.$key.is_some() { keys.push(stringify!($key)); })*
                if check.node.is_some() { keys.push("node"); }
                keys
            }

            /// Every kind.
            pub(crate) const KEYS: &[&str] = &[$(stringify!($key),)* "node"];

            /// The kind of a check, ready; what is wrong goes into the findings.
            pub(crate) fn prepare(check: &HealthCheck, preparing: &mut Preparing<'_>) -> Option<Self> {
                $(if let Some(kind) = &check.$key {
                    preparing.at = preparing.at.join(stringify!($key));
                    return $module::Probe::prepare(kind, preparing).map(|probe| Probe::$variant(Box::new(probe)));
                })*
                check.node.as_ref().map(|_| Probe::Node)
            }

            /// What is looked at, fit for a report.
            pub(crate) fn target(&self) -> Option<String> {
                match self {
                    $(Probe::$variant(probe) => Some(probe.target()),)*
                    Probe::Node => None,
                }
            }

            /// Host and port that are connected to, if any are.
            pub(crate) fn endpoint(&self) -> Option<&Endpoint> {
                match self {
                    $(Probe::$variant(probe) => probe.endpoint(),)*
                    Probe::Node => None,
                }
            }

            async fn look(&self, dial: &Dial<'_>, trace: &mut Trace) -> Verdict {
                match self {
                    $(Probe::$variant(probe) => probe.look(dial, trace).await,)*
                    Probe::Node => Ok(String::new()),
                }
            }
        }
    };
}

kinds! {
    Http http http,
    Tcp tcp tcp,
    Tls tls tls,
    Dns dns dns,
    Postgres postgres postgres,
    Redis redis redis,
    WebSocket websocket websocket,
    Ssh ssh ssh,
    Mail mail mail,
    Icmp icmp icmp,
    Zabbix zabbix zabbix,
    Unit unit unit,
    FailedUnits failed_units failed_units,
    Disk disk disk,
    Mount mount mount,
    File file file,
    Freshness freshness freshness,
    Exec exec exec,
}

impl Prepared {
    /// Looks, and once more where a failure may have been a moment's trouble and `again` allows it.
    pub(crate) async fn look(&self, context: &Context, again: bool) -> Observation {
        if matches!(self.probe, Probe::Node) {
            return Observation::unprobed(RawResult::None, None, "");
        }
        let mut tries = Vec::new();
        loop {
            if let Probe::Ssh(ssh) = &self.probe {
                context.turns.wait_for(ssh.host()).await;
            }
            let mut seen = self.look_now(context).await;
            let left = again && self.may_repeat() && tries.len() < usize::from(self.retries.most);
            let slow = seen.reason.is_some_and(Reason::is_slow);
            if left && seen.is_transient() && (self.retries.patient || !slow) {
                tries.push(seen.as_try());
                tokio::time::sleep(AGAIN_AFTER).await;
                continue;
            }
            seen.attempts = tries.len() as u32 + 1;
            seen.tries = tries;
            return seen;
        }
    }

    /// Whether another attempt changes nothing: an SSH server counts every connection, and a POST may do something.
    pub(crate) fn may_repeat(&self) -> bool {
        match &self.probe {
            Probe::Ssh(_) => self.retries.patient,
            Probe::Http(http) => http.may_repeat(),
            _ => true,
        }
    }

    async fn look_now(&self, context: &Context) -> Observation {
        let dial = Dial { context, addresses: self.addresses, pinned: None, timeout: self.timeout };
        match (self.addresses, self.probe.endpoint()) {
            (AddressPolicy::Each | AddressPolicy::Both, Some(endpoint)) => self.look_at_each(endpoint, dial).await,
            _ => self.look_once(&dial).await,
        }
    }

    async fn look_once(&self, dial: &Dial<'_>) -> Observation {
        let started = Instant::now();
        let mut trace = Trace::default();
        let looked = tokio::time::timeout(dial.timeout, self.probe.look(dial, &mut trace)).await;
        let mut verdict = looked.unwrap_or_else(|_| Err(trace.step.timed_out(dial.timeout.as_millis())));
        let took = started.elapsed();
        let slower = |limit: Option<Duration>| limit.filter(|limit| took > *limit).map(|limit| limit.as_millis());
        // A warning about the answer must not hide that it came too late.
        let stands = verdict.as_ref().is_err_and(Problem::is_failure);
        if let (false, Some(limit)) = (stands, slower(self.fail_above)) {
            let message = format!("took {} ms, allowed {limit}", took.as_millis());
            verdict = Err(Problem::fail(Reason::Latency, message));
        }
        if verdict.is_ok() && !trace.dead_addresses.is_empty() {
            let message = format!("it answers, but not at {}", trace.dead_addresses.join(", "));
            verdict = Err(Problem::warn(Reason::AddressPartial, message));
        }
        if let (true, Some(limit)) = (verdict.is_ok(), slower(self.warn_above)) {
            verdict = Err(Problem::warn(Reason::Latency, format!("took {} ms, wanted {limit}", took.as_millis())));
        }
        Observation::of(verdict, trace, started)
    }

    /// Every address of the name (or one of each family) must be healthy; the worst speaks for all.
    async fn look_at_each(&self, endpoint: &Endpoint, dial: Dial<'_>) -> Observation {
        let started = Instant::now();
        let mut trace = Trace::default();
        let addresses = match tokio::time::timeout(dial.timeout, resolve(endpoint, &dial, &mut trace)).await {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(problem)) => return Observation::of(Err(problem), trace, started),
            Err(_) => {
                let problem = trace.step.timed_out(dial.timeout.as_millis());
                return Observation::of(Err(problem), trace, started);
            }
        };
        let dials = addresses.iter().map(|address| Dial { pinned: Some(*address), ..dial }).collect::<Vec<_>>();
        let looked = futures_util::future::join_all(dials.iter().map(|dial| self.look_once(dial))).await;
        let good = looked.iter().filter(|one| one.raw == RawResult::Pass).count();
        let total = looked.len();
        let reports: Vec<AddressReport> = addresses
            .iter()
            .zip(&looked)
            .map(|(address, one)| AddressReport {
                address: address.to_string(),
                raw: one.raw,
                reason: one.reason.map(|reason| reason.as_str().to_owned()),
                message: Some(one.message.clone()).filter(|message| !message.is_empty()),
                ms: one.ms,
            })
            .collect();
        let worst = looked.into_iter().max_by_key(|one| match one.raw {
            RawResult::Fail => 3,
            RawResult::Error => 2,
            RawResult::Warn => 1,
            RawResult::Pass | RawResult::None | RawResult::Skip => 0,
        });
        let Some(mut worst) = worst else {
            return Observation::of(Err(Problem::fail(Reason::DnsNxdomain, "there is no address")), trace, started);
        };
        if good < total && total > 1 {
            worst.message = format!("{good} of {total} addresses are good: {}", worst.message);
        }
        worst.trace.addresses = reports;
        worst.trace.phases.resolve = trace.phases.resolve;
        worst.ms = started.elapsed().as_millis() as u64;
        worst
    }
}

/// Text that a stranger sent, fit for a report: one line, not long, and without any of our secrets.
pub(crate) fn quoted(text: &str, secrets: &[cli::Secret]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter_map(cli::Secret::text).filter(|secret| secret.len() >= 3) {
        text = text.replace(secret, "[secret]");
    }
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let clean = clean.trim();
    let short: String = clean.chars().take(80).collect();
    if short.len() < clean.len() { format!("\"{short}...\"") } else { format!("\"{short}\"") }
}

#[cfg(test)]
mod tests;
