//! `tcp`: a connection, over TLS where it is asked for, or that there is none.

use std::sync::Arc;

use contract::document::{RawResult, TcpCheck};
use regex::bytes::Regex;

use super::talk::Talk;
use super::{Dial, Preparing, quoted};
use crate::net::{Endpoint, TlsPlan, connect, open};
use crate::observation::{Problem, Step, Trace, Verdict};
use crate::reason::Reason;

/// A TCP connection.
#[derive(Debug)]
pub(crate) struct Probe {
    endpoint: Endpoint,
    send: Option<String>,
    banner: Option<Regex>,
    closed: bool,
    tls: Option<Arc<TlsPlan>>,
}

impl Probe {
    pub(super) fn prepare(check: &TcpCheck, preparing: &mut Preparing<'_>) -> Option<Self> {
        let endpoint = preparing.endpoint("address", &check.address);
        let at = preparing.at.join("banner");
        let banner = match &check.banner {
            Some(text) => Some(preparing.regex(&at, text)?),
            None => None,
        };
        if check.closed && (check.banner.is_some() || check.send.is_some() || check.tls.is_some()) {
            let message = "a port that must be closed says nothing: take banner, send and tls away";
            preparing.wrong("closed", "contradiction", message);
        }
        let tls = preparing.tls_if_any("tls", check.tls.as_ref());
        let mut banner = banner.and_then(|regex| Regex::new(regex.as_str()).ok());
        let mut send = check.send.clone();
        // A profile knows what to say to the program; a check that says something itself knows better.
        if let Some(talk) = preparing.profile.and_then(|profile| profile.talk)
            && !check.closed
            && send.is_none()
            && banner.is_none()
        {
            send = Some(talk.send.to_owned());
            banner = Regex::new(talk.banner).ok();
        }
        Some(Self { endpoint: endpoint?, send, banner, closed: check.closed, tls: tls? })
    }

    pub(super) fn target(&self) -> String {
        if self.closed { format!("{} (closed)", self.endpoint) } else { self.endpoint.to_string() }
    }

    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        Some(&self.endpoint)
    }

    pub(super) async fn look(&self, dial: &Dial<'_>, trace: &mut Trace) -> Verdict {
        if self.closed {
            let connected = connect(&self.endpoint, dial, trace).await;
            return Self::look_closed(connected.map(drop), trace);
        }
        let (mut stream, warning) = open(&self.endpoint, self.tls.as_deref(), dial, trace).await?;
        let good = |words: &str| warning.clone().map_or_else(|| Ok(words.to_owned()), Err);
        let peer = trace.address.clone().unwrap_or_default();
        let mut talk = Talk::new(&mut stream, &peer);
        if let Some(send) = &self.send {
            talk.say(send.as_bytes()).await?;
        }
        let Some(banner) = &self.banner else { return good("connected") };
        trace.step = Step::Answer;
        let heard = talk.until(|heard| banner.is_match(heard)).await?;
        if banner.is_match(&heard) {
            return good("connected, and it says what it must");
        }
        let said = quoted(&String::from_utf8_lossy(&heard), &[]);
        Err(Problem::fail(Reason::BannerMismatch, format!("{peer} says {said}, which does not match {banner}")))
    }

    fn look_closed(connected: Result<(), Problem>, trace: &mut Trace) -> Verdict {
        // No answer is what is wanted, so no address is dead.
        trace.dead_addresses.clear();
        match connected {
            Ok(()) => {
                let peer = trace.address.as_deref().unwrap_or_default();
                Err(Problem::fail(Reason::ConnectOpen, format!("{peer} takes connections, but must be closed")))
            }
            // Without an address, or without the right to look, nothing is known about the port.
            Err(problem) if problem.raw == RawResult::Error || trace.address.is_none() => Err(problem),
            Err(problem) => Ok(format!("closed, as it must be ({})", problem.reason)),
        }
    }
}
