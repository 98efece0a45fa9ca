//! The kinds of check, one file each. A kind is prepared from its check (everything that can be wrong is found then), and
//! run as often as needed.

#![allow(clippy::unnecessary_wraps, clippy::unused_self, clippy::unused_async, reason = "all kinds have the same form")]

mod body;
mod disk;
mod dns;
mod exec;
mod freshness;
mod http;
mod icmp;
mod mail;
mod mount;
mod postgres;
mod redis;
mod sha1;
mod ssh;
mod talk;
mod tcp;
mod tls;
mod unit;
mod url;
mod websocket;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use cli::SecretStore;
use contract::document::{AddressPolicy, HealthCheck, HealthDefaults, RawResult, TlsExpectation};
use contract::{Finding, Pointer, SecretRef};

use crate::net::{Endpoint, TlsPlan, Trusts, resolve};
use crate::observation::{Observation, Problem, Trace, Verdict};
use crate::profile::Profile;
use crate::reason::Reason;

/// What all probes of a run share.
#[derive(Debug)]
pub(crate) struct Context {
    /// Addresses to use instead of asking for a name (`--resolve`).
    pub resolve: HashMap<Endpoint, IpAddr>,
    /// Whom to trust.
    pub trusts: Trusts,
    /// Where secrets are.
    pub secrets: SecretStore,
    /// Programs may be run.
    pub allow_exec: bool,
}

impl Context {
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
    /// Which addresses are tried.
    pub addresses: AddressPolicy,
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
    pub(crate) fn tls(&mut self, key: &str, expect: &TlsExpectation) -> Option<TlsPlan> {
        match TlsPlan::of(expect, self.defaults.ca.as_deref()) {
            Ok(plan) => Some(plan),
            Err(wrong) => {
                for (inner, why) in wrong {
                    self.findings.push(Finding::error("bad-tls", self.at.join(key).join(inner), why));
                }
                None
            }
        }
    }
}

macro_rules! kinds {
    ($($variant:ident $key:ident $module:ident,)*) => {
        /// A kind of check with all that it needs.
        #[derive(Debug)]
        pub(crate) enum Probe {
            $(#[doc = concat!("`", stringify!($key), "`.")] $variant($module::Probe),)*
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
                    return $module::Probe::prepare(kind, preparing).map(Probe::$variant);
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
    Unit unit unit,
    Disk disk disk,
    Mount mount mount,
    Freshness freshness freshness,
    Exec exec exec,
}

impl Prepared {
    /// Looks once, within the timeout.
    pub(crate) async fn look(&self, context: &Context) -> Observation {
        if matches!(self.probe, Probe::Node) {
            return Observation::unprobed(RawResult::None, None, "");
        }
        let dial = Dial { context, addresses: self.addresses, pinned: None, timeout: self.timeout };
        match (self.addresses, self.probe.endpoint()) {
            (AddressPolicy::Each, Some(endpoint)) => self.look_at_each(endpoint, dial).await,
            _ => self.look_once(&dial).await,
        }
    }

    async fn look_once(&self, dial: &Dial<'_>) -> Observation {
        let started = Instant::now();
        let mut trace = Trace::default();
        let looked = tokio::time::timeout(dial.timeout, self.probe.look(dial, &mut trace)).await;
        let mut verdict = looked.unwrap_or_else(|_| Err(trace.step.timed_out(dial.timeout.as_millis())));
        if verdict.is_ok() && !trace.dead_addresses.is_empty() {
            let message = format!("it answers, but not at {}", trace.dead_addresses.join(", "));
            verdict = Err(Problem::warn(Reason::AddressPartial, message));
        }
        if let (true, Some(limit)) = (verdict.is_ok(), self.warn_above)
            && started.elapsed() > limit
        {
            let message = format!("took {} ms, wanted {}", started.elapsed().as_millis(), limit.as_millis());
            verdict = Err(Problem::warn(Reason::Latency, message));
        }
        Observation::of(verdict, trace, started)
    }

    /// Every address of the name must be healthy; the worst speaks for all.
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
