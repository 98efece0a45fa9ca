//! `plan`: what an apply would change.

use clap::Args;
use cli::{Consents, Failure, Input, Session};
use contract::document::{DnsDesired, DnsPlan, Summary};
use contract::{Exit, Findings};

use super::{Reach, Selection, Zones, of_zone};
use crate::declared_zone::DeclaredZone;
use crate::error::DnsError;
use crate::live_zone::LiveZone;
use crate::registry::Registry;
use crate::text;
use crate::workers;
use crate::zone_plan::{Scope, ZonePlan, plan};

/// Show what an apply would change.
#[derive(Debug, Clone, Args)]
pub struct Plan {
    #[command(flatten)]
    input: Input,
    /// Exit 1 where something would change
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    consents: Consents,
    #[command(flatten)]
    reach: Reach,
}

/// A zone as it is, and what is to be done in it.
pub(super) struct Observed {
    pub(super) live: LiveZone,
    pub(super) registry: Registry,
    pub(super) plan: ZonePlan,
}

/// Reads a zone and plans it.
pub(super) fn observe(
    zones: &Zones,
    zone: &DeclaredZone,
    owner: &str,
    scope: Scope,
    consents: &Consents,
) -> Result<Observed, DnsError> {
    let live = zones.provider(zone)?.read(&zone.name)?;
    let registry = Registry::read(&live, owner);
    let plan = plan(zone, &live, &registry, scope, consents);
    Ok(Observed { live, registry, plan })
}

/// What a person should know about a zone besides its changes.
pub(super) fn remarks(zone: &DeclaredZone, observed: &Observed) -> Vec<String> {
    let mut remarks = Vec::new();
    if observed.live.missing {
        remarks.push(format!("{}: there is no zone file yet; an apply makes it", zone.name));
    }
    remarks
}

impl Plan {
    pub(super) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let sourced = session.read::<DnsDesired>(&self.input)?;
        let mut desired = sourced.document;
        let scope = self.selection.scope(&desired);
        self.selection.narrow(&mut desired)?;
        // Pointers of a narrowed document would point at other zones of the text.
        let whole = self.selection.zones.is_empty();
        let zones = Zones::open(&desired, &self.reach, |findings: Findings| {
            if whole { sourced.source.failure(findings.findings) } else { Failure::bad_document(findings.findings) }
        })?;
        let seen = workers::each(&zones.declared, |zone| {
            observe(&zones, zone, &desired.owner, scope, &self.consents).map_err(|error| of_zone(&zone.name, error))
        });
        let (mut observed, mut failures) = (Vec::new(), Vec::new());
        for seen in seen {
            match seen {
                Ok(seen) => observed.push(seen),
                Err(failure) => failures.push(failure),
            }
        }
        if let Some(failure) = Failure::join(failures) {
            return Err(failure);
        }
        let mut summary = Summary::default();
        let mut warnings = zones.warnings.clone();
        let mut plans = Vec::new();
        for (zone, seen) in zones.declared.iter().zip(&observed) {
            count(&mut summary, &seen.plan);
            warnings.extend(remarks(zone, seen));
            let guard = zones.provider(zone)?.guard();
            plans.push(seen.plan.to_document(zone, &seen.live, &seen.registry, scope, guard));
        }
        let document =
            DnsPlan { owner: desired.owner.clone(), phase: scope.phase, summary, zones: plans, warnings, desired };
        session.print(&document, text::plan)?;
        Ok(if self.check && document.summary.has_changes() { Exit::No } else { Exit::Done })
    }
}

/// Adds the changes of a zone; a claim counts as an update.
fn count(summary: &mut Summary, plan: &ZonePlan) {
    plan.changes.iter().for_each(|change| summary.count(change.op));
    summary.update += plan.claims.len() as u64;
    summary.unchanged += plan.unchanged.saturating_sub(plan.claims.len() as u64);
}
