//! `verify`: what every authoritative server answers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use clap::Args;
use cli::{Failure, Input, Session};
use contract::document::{DnsDesired, DnsPlan, DnsServerVerify, DnsVerify, DnsZoneVerify, Op, ServerState};
use contract::{Duration, Exit, Findings, SchemaId};

use super::{Reach, Selection, Zones, of_zone};
use crate::declared_zone::DeclaredZone;
use crate::error::DnsError;
use crate::lint::examine;
use crate::name_servers::{self, NameServer};
use crate::provider::address;
use crate::record_type::RecordType;
use crate::rrset::{Key, Rrset};
use crate::text;
use crate::wire::{Rcode, ask};
use crate::workers;
use crate::zone_plan::{Change, Scope};

/// Ask every authoritative server.
#[derive(Debug, Clone, Args)]
pub struct Verify {
    #[command(flatten)]
    input: Input,
    /// How long to wait until all servers agree
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    wait: Duration,
    /// Ask this server instead of those that the zone names (may be repeated)
    #[arg(long = "server", value_name = "NAME=ADDRESS:PORT", value_parser = parse_server)]
    servers: Vec<NameServer>,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    reach: Reach,
}

fn parse_server(text: &str) -> Result<NameServer, String> {
    let (name, place) = text.split_once('=').unwrap_or((text, text));
    let address = address(place).ok_or("expected NAME=ADDRESS:PORT, such as ns1=192.0.2.53:53")?;
    Ok(NameServer { name: name.to_owned(), address })
}

/// A set and what shall be answered: its values, or nothing.
type Expected = Vec<(Key, Option<Rrset>)>;

/// The first pause between two rounds, and the longest.
const PAUSES: (std::time::Duration, std::time::Duration) =
    (std::time::Duration::from_millis(500), std::time::Duration::from_secs(15));

impl Verify {
    pub(super) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let raw = session.read_raw(&self.input, &[SchemaId::DNS_DESIRED, SchemaId::DNS_PLAN])?;
        let (mut desired, plan, source) = if raw.schema == SchemaId::DNS_PLAN.as_str() {
            let sourced = raw.read::<DnsPlan>()?;
            (sourced.document.desired.clone(), Some(sourced.document), sourced.source)
        } else {
            let sourced = raw.read::<DnsDesired>()?;
            (sourced.document, None, sourced.source)
        };
        let mut scope = self.selection.scope(&desired);
        scope.phase = scope.phase.or(plan.as_ref().and_then(|plan| plan.phase));
        self.selection.narrow(&mut desired)?;
        let whole = self.selection.zones.is_empty() && plan.is_none();
        let fail = |findings: Findings| {
            if whole { source.failure(findings.findings) } else { Failure::bad_document(findings.findings) }
        };
        let (zones, servers) = if self.servers.is_empty() {
            let zones = Zones::open(&desired, &self.reach, fail)?;
            let servers = workers::each(&zones.declared, |zone| {
                let found = zones.provider(zone).and_then(|provider| provider.read(&zone.name));
                found.and_then(|live| name_servers::of_zone(&live)).map_err(|error| of_zone(&zone.name, error))
            });
            let servers = servers.into_iter().collect::<Result<Vec<_>, _>>()?;
            (zones.declared, servers)
        } else {
            // Neither a provider nor its secret is needed.
            let (zones, findings) = examine(&desired)?;
            let findings = Findings::new(findings);
            if findings.has_errors() {
                return Err(fail(findings));
            }
            let servers = zones.iter().map(|_| self.servers.clone()).collect();
            (zones, servers)
        };
        let expected: Vec<Expected> = zones.iter().map(|zone| expected(zone, plan.as_ref(), scope)).collect();
        let document = self.rounds(&zones, &servers, &expected);
        session.print(&document, text::verify)?;
        Ok(if document.ok { Exit::Done } else { Exit::No })
    }

    /// Asks until all agree or the time is over; a server that agrees is not asked again.
    fn rounds(&self, zones: &[DeclaredZone], servers: &[Vec<NameServer>], expected: &[Expected]) -> DnsVerify {
        let begin = Instant::now();
        let mut pause = PAUSES.0;
        let mut states: BTreeMap<(usize, usize), DnsServerVerify> = BTreeMap::new();
        loop {
            let open: Vec<(usize, usize)> = servers
                .iter()
                .enumerate()
                .flat_map(|(zone, servers)| (0..servers.len()).map(move |server| (zone, server)))
                .filter(|place| states.get(place).is_none_or(|state| state.state != ServerState::Match))
                .collect();
            let timeout = self.reach.timeout.to_std();
            let seen = workers::each(&open, |(zone, server)| {
                look(&zones[*zone], &servers[*zone][*server], &expected[*zone], timeout)
            });
            states.extend(open.iter().copied().zip(seen));
            let ok = states.values().all(|state| state.state == ServerState::Match);
            let left = self.wait.to_std().saturating_sub(begin.elapsed());
            if ok || left.is_zero() {
                let of_zone = |index: usize| {
                    states.iter().filter(move |((zone, _), _)| *zone == index).map(|(_, state)| state.clone()).collect()
                };
                let zones = zones
                    .iter()
                    .enumerate()
                    .map(|(index, zone)| DnsZoneVerify { zone: zone.name.to_string(), servers: of_zone(index) });
                return DnsVerify { ok, zones: zones.collect() };
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 3 / 2).min(PAUSES.1);
        }
    }
}

/// Declared sets and, of a plan, the sets that it removes.
fn expected(zone: &DeclaredZone, plan: Option<&DnsPlan>, scope: Scope) -> Expected {
    let declared = zone.sets.iter().filter(|(_, set)| scope.phase.is_none_or(|phase| phase == set.phase));
    let mut expected: Expected = declared.map(|(key, set)| (key.clone(), Some(set.set.clone()))).collect();
    let plans = plan.iter().flat_map(|plan| &plan.zones).filter(|plan| plan.zone == zone.name.to_string());
    let gone = plans.flat_map(|plan| &plan.changes).filter(|change| change.op == Op::Delete);
    for key in gone.filter_map(Change::from_document).map(|change| change.key) {
        // A wildcard answers for a name that is gone.
        let wildcard = std::iter::successors(key.name.parent(), crate::name::Name::parent)
            .filter_map(|parent| parent.child("*").ok())
            .any(|name| zone.sets.keys().any(|key| key.name == name));
        if !wildcard {
            expected.push((key, None));
        }
    }
    expected
}

/// Asks one server about everything.
fn look(
    zone: &DeclaredZone,
    server: &NameServer,
    expected: &Expected,
    timeout: std::time::Duration,
) -> DnsServerVerify {
    let mut state = DnsServerVerify {
        name: server.name.clone(),
        address: server.address.to_string(),
        state: ServerState::Match,
        serial: None,
        different: vec![],
    };
    match compare(zone, server.address, expected, timeout, &mut state) {
        Ok(()) if !state.different.is_empty() => state.state = ServerState::Stale,
        Ok(()) => {}
        Err(_) => state.state = ServerState::Timeout,
    }
    state
}

fn compare(
    zone: &DeclaredZone,
    server: SocketAddr,
    expected: &Expected,
    timeout: std::time::Duration,
    state: &mut DnsServerVerify,
) -> Result<(), DnsError> {
    let soa = ask(server, &[Key::new(zone.name.clone(), RecordType::SOA)], timeout)?;
    let soa = soa.first().filter(|answer| answer.authoritative && answer.rcode == Rcode::NOERROR);
    let Some(set) = soa.and_then(|answer| answer.set.as_ref()) else {
        state.state = ServerState::Lame;
        return Ok(());
    };
    state.serial = set.values.first().and_then(|value| {
        let at = value.wire().len().checked_sub(20)?;
        value.wire().get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
    });
    let keys: Vec<Key> = expected.iter().map(|(key, _)| key.clone()).collect();
    for ((key, wanted), answer) in expected.iter().zip(ask(server, &keys, timeout)?) {
        let answered = matches!(answer.rcode, Rcode::NOERROR | Rcode::NXDOMAIN);
        // A delegated name is answered with a referral, which is not authoritative (RFC 1034 section 4.2.1).
        let delegation = key.record_type == RecordType::NS && key.name != zone.name && !answer.authoritative;
        if !answered || (answer.set != *wanted && !delegation) {
            state.different.push(format!("{} {}", key.name, key.record_type));
        }
    }
    Ok(())
}
