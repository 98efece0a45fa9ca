//! `apply`: changing zones.

use clap::Args;
use cli::{Consents, Failure, Input, Session, Signals, canonical_json};
use contract::document::{
    ChangeStatus, DnsChange, DnsDesired, DnsPlan, DnsResult, DnsZoneResult, Document, Op, Outcome, Summary,
};
use contract::{Exit, Findings, Pointer, SchemaId};

use super::plan::observe;
use super::{Reach, Selection, Zones, of_zone};
use crate::declared_zone::DeclaredZone;
use crate::error::DnsError;
use crate::name::Name;
use crate::registry::Registry;
use crate::rrset::Key;
use crate::text;
use crate::workers;
use crate::zone_apply::{Work, ZoneOutcome, apply, still_as_planned};
use crate::zone_plan::{Change, Scope, is_allowed, refusals};

/// Change zones.
#[derive(Debug, Clone, Args)]
pub struct Apply {
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    consents: Consents,
    #[command(flatten)]
    reach: Reach,
}

/// What a stored plan says about one zone.
struct Planned {
    changes: Vec<Change>,
    claims: Vec<Key>,
}

/// One run.
struct Run {
    desired: DnsDesired,
    zones: Zones,
    /// For every zone, if a plan was given.
    planned: Option<Vec<Planned>>,
    scope: Scope,
    consents: Consents,
    signals: Signals,
}

impl Apply {
    pub(super) fn run(self, session: &mut Session) -> Result<Exit, Failure> {
        let raw = session.read_raw(&self.input, &[SchemaId::DNS_PLAN, SchemaId::DNS_DESIRED])?;
        let mut phase = None;
        let (mut desired, plan, source) = if raw.schema == SchemaId::DNS_PLAN.as_str() {
            let sourced = raw.read::<DnsPlan>()?;
            phase = sourced.document.phase;
            (sourced.document.desired, Some(sourced.document.zones), sourced.source)
        } else {
            let sourced = raw.read::<DnsDesired>()?;
            (sourced.document, None, sourced.source)
        };
        let mut scope = self.selection.scope(&desired);
        if plan.is_some() {
            if scope.phase.is_some() {
                let failure = Failure::new(Exit::Usage, "usage", "a plan already says which phase it holds");
                return Err(failure.hint("give --phase to plan"));
            }
            scope.phase = phase;
        }
        self.selection.narrow(&mut desired)?;
        let whole = self.selection.zones.is_empty() && plan.is_none();
        let zones = Zones::open(&desired, &self.reach, |findings: Findings| {
            if whole { source.failure(findings.findings) } else { Failure::bad_document(findings.findings) }
        })?;
        let planned = match plan {
            None => None,
            Some(plans) => {
                let of_zone = |zone: &DeclaredZone| {
                    let place =
                        plans.iter().position(|plan| Name::absolute(&plan.zone).ok().as_ref() == Some(&zone.name));
                    place.map(|place| (place, &plans[place]))
                };
                let read = zones.declared.iter().map(|zone| match of_zone(zone) {
                    None => Ok(Planned { changes: vec![], claims: vec![] }),
                    Some((place, plan)) => {
                        let pointer = Pointer::root().join("zones").join(place).join("changes");
                        Planned::read(plan, &zone.name, &pointer).map_err(|failure| source.located(failure))
                    }
                });
                Some(read.collect::<Result<Vec<_>, _>>()?)
            }
        };
        for warning in &zones.warnings {
            session.warn(warning);
        }
        let signals = session.begin_apply();
        let run = Run { desired, zones, planned, scope, consents: self.consents, signals };
        run.all(session)
    }
}

impl Planned {
    fn read(plan: &contract::document::DnsZonePlan, zone: &Name, pointer: &Pointer) -> Result<Self, Failure> {
        let bad = |pointer: Pointer, what: &str| Failure::new(Exit::BadDocument, "bad_change", what).at(pointer);
        let mut changes = Vec::new();
        for (index, change) in plan.changes.iter().enumerate() {
            let change = Change::from_document(change)
                .filter(|change| change.key.name.is_in(zone) && !Registry::is_reserved(zone, &change.key.name));
            changes
                .push(change.ok_or_else(|| bad(pointer.join(index), "this is no change of a record set in the zone"))?);
        }
        let claims = plan.claims.iter().map(|claim| {
            let name = Name::absolute(&claim.name).ok()?;
            Some(Key::new(name, claim.record_type.parse().ok()?))
        });
        let claims =
            claims.collect::<Option<_>>().ok_or_else(|| bad(pointer.clone(), "a claim names no record set"))?;
        Ok(Self { changes, claims })
    }
}

impl Run {
    fn all(&self, session: &Session) -> Result<Exit, Failure> {
        let indices: Vec<usize> = (0..self.zones.declared.len()).collect();
        let outcomes = workers::each(&indices, |index| self.zone(*index));
        let mut result =
            DnsResult { outcome: Outcome::Done, changed: false, summary: Summary::default(), zones: vec![] };
        let (mut failures, mut interrupted) = (Vec::new(), None);
        let mut done = Vec::new();
        for (zone, outcome) in self.zones.declared.iter().zip(outcomes) {
            // What a server took without effect is worth a result too.
            let sent = [&outcome.applied, &outcome.not_effective, &outcome.unknown].iter().any(|list| !list.is_empty());
            result.changed |= sent || outcome.claimed > 0;
            interrupted = interrupted.or(outcome.interrupted);
            outcome.applied.iter().for_each(|change| result.summary.count(change.op));
            result.summary.update += outcome.claimed as u64;
            done.push((zone.name.to_string(), outcome.applied.clone()));
            let (document, failure) = to_document(zone, outcome, session);
            result.zones.push(document);
            failures.extend(failure);
        }
        result.outcome = match interrupted {
            Some(_) => Outcome::Interrupted,
            None if failures.is_empty() => Outcome::Done,
            None => Outcome::Partial,
        };
        let failure = Failure::join(failures);
        if let Some(failure) = &failure {
            if !result.changed && interrupted.is_none() {
                return Err(failure.clone());
            }
            session.report(failure);
        }
        session.print_report("inverse", || self.inverse(&done))?;
        session.print(&result, text::result)?;
        Ok(match (interrupted, failure) {
            (Some(exit), _) => exit,
            (None, Some(_)) => Exit::Partial,
            (None, None) => Exit::Done,
        })
    }

    fn zone(&self, index: usize) -> ZoneOutcome {
        let zone = &self.zones.declared[index];
        if let Some(exit) = self.signals.requested() {
            return ZoneOutcome { interrupted: Some(exit), ..ZoneOutcome::default() };
        }
        self.change_zone(index, zone).unwrap_or_else(|error| ZoneOutcome {
            failed: self.planned.as_ref().map_or_else(Vec::new, |planned| planned[index].changes.clone()),
            error: Some(error),
            ..ZoneOutcome::default()
        })
    }

    fn change_zone(&self, index: usize, zone: &DeclaredZone) -> Result<ZoneOutcome, DnsError> {
        let provider = self.zones.provider(zone)?;
        let observed = observe(&self.zones, zone, &self.desired.owner, self.scope, &self.consents)?;
        let (changes, claims, all_refusals) = match &self.planned {
            None => (&observed.plan.changes, &observed.plan.claims, observed.plan.refusals.clone()),
            Some(planned) => {
                let Planned { changes, claims } = &planned[index];
                still_as_planned(&observed.live, changes, claims)?;
                (changes, claims, refusals(zone, &observed.live, &observed.registry, changes))
            }
        };
        let mut refused: Vec<String> = all_refusals
            .iter()
            .filter(|refusal| !is_allowed(refusal, &self.consents))
            .map(|refusal| match &refusal.consent {
                Some(consent) => format!("{} (--allow {consent} allows it)", refusal.message),
                None => refusal.message.clone(),
            })
            .collect();
        for claim in claims.iter().filter(|key| !self.consents.allows("takeover", &key.consent())) {
            let consent = claim.consent();
            refused.push(format!(
                "{} {} becomes ours (--allow takeover:{consent} allows it)",
                claim.name, claim.record_type
            ));
        }
        if !refused.is_empty() {
            return Err(DnsError::Refused(refused));
        }
        let work = Work {
            zone,
            live: &observed.live,
            registry: observed.registry.clone(),
            changes,
            claims,
            forget: self.scope.removes(),
        };
        Ok(apply(provider, work, Some(&self.signals)))
    }

    /// The plan that takes back what was done.
    fn inverse(&self, done: &[(String, Vec<Change>)]) -> String {
        let mut summary = Summary::default();
        let mut plans = Vec::new();
        for ((name, changes), zone) in done.iter().zip(&self.zones.declared) {
            let mut back: Vec<DnsChange> = changes.iter().rev().map(|change| change.inverse().to_document()).collect();
            back.sort_by_key(|change| change.op != Op::Delete);
            for change in &back {
                summary.count(change.op);
            }
            plans.push(contract::document::DnsZonePlan {
                zone: name.clone(),
                provider: zone.provider.clone(),
                mode: zone.mode,
                serial: None,
                changes: back,
                claims: vec![],
                marks: vec![],
                refusals: vec![],
                unchanged: 0,
                kept: vec![],
                guard: self.zones.provider(zone).map_or("", |provider| provider.guard()).into(),
            });
        }
        let plan = DnsPlan {
            owner: self.desired.owner.clone(),
            phase: self.scope.phase,
            summary,
            zones: plans,
            warnings: vec![],
            desired: self.desired.clone(),
        };
        canonical_json(DnsPlan::ID, &serde_json::to_value(&plan).unwrap_or_default(), false)
    }
}

/// What was done in a zone as documents hold it, and why it failed if it did.
fn to_document(zone: &DeclaredZone, outcome: ZoneOutcome, session: &Session) -> (DnsZoneResult, Option<Failure>) {
    let list = |changes: &[Change]| changes.iter().map(Change::to_document).collect::<Vec<_>>();
    let status = match (&outcome.error, outcome.interrupted) {
        (Some(_), _) if !outcome.unknown.is_empty() => ChangeStatus::Unknown,
        (Some(_), _) => ChangeStatus::Failed,
        (None, Some(_)) => ChangeStatus::Skipped,
        (None, None) => ChangeStatus::Done,
    };
    let failure = outcome.error.map(|error| of_zone(&zone.name, error));
    let document = DnsZoneResult {
        zone: zone.name.to_string(),
        status,
        applied: list(&outcome.applied),
        not_effective: list(&outcome.not_effective),
        unknown: list(&outcome.unknown),
        failed: list(&outcome.failed),
        serial: outcome.serial,
        error: failure.clone().map(|failure| failure.into_error(session.tool())),
    };
    (document, failure)
}
