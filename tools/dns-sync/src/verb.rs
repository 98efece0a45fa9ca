//! The verbs of the program. One file a verb.

mod apply;
mod check;
mod dump;
mod plan;
mod verify;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use cli::{Failure, SecretStore, Session, did_you_mean};
use contract::document::{DnsDesired, RecordPhase};
use contract::{Duration, Exit, Findings, Level};

use crate::declared_zone::DeclaredZone;
use crate::error::DnsError;
use crate::lint::examine;
use crate::name::Name;
use crate::provider::{Provider, Surroundings, open};
use crate::zone_plan::Scope;

/// What the program is asked to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Verb {
    /// Look for problems in a document, without a network
    ///
    /// Reads dns.desired/v1, prints findings/v1: names out of their zone, CNAMEs beside other records, loops, clashing TTLs, wrong
    /// values, targets that are not declared. Exit 1 where one of them is an error.
    Check(check::Check),
    /// Show what an apply would change
    ///
    /// Reads dns.desired/v1, looks at every zone and prints dns.plan/v1. Changes nothing. A plan holds all that `apply` needs,
    /// but no secret; consents that it will take stand in its refusals.
    Plan(plan::Plan),
    /// Change zones: exactly what a plan says, or what a document declares
    ///
    /// Reads dns.plan/v1 or dns.desired/v1, prints dns.result/v1. A plan is refused with 75 where a record set that it touches is
    /// no longer as it was. Afterwards every zone is read again: what a server took without effect is reported.
    Apply(apply::Apply),
    /// Ask every authoritative server whether it answers as declared
    ///
    /// Reads dns.desired/v1 or dns.plan/v1, prints dns.verify/v1. Name servers come from the zone itself; their addresses from the
    /// zone or from the system's resolver. Exit 1 where a server still differs after --wait.
    Verify(verify::Verify),
    /// Print a zone as it is, as a document or as a zone file
    ///
    /// Reads dns.desired/v1 for its providers. SOA, the types of DNSSEC, the zone's own NS records and the marks of ownership
    /// are left out of a document.
    Dump(dump::Dump),
}

/// Does it.
pub fn run(verb: Verb, session: &mut Session) -> Result<Exit, Failure> {
    match verb {
        Verb::Check(verb) => verb.run(session),
        Verb::Plan(verb) => verb.run(session),
        Verb::Apply(verb) => verb.run(session),
        Verb::Verify(verb) => verb.run(session),
        Verb::Dump(verb) => verb.run(session),
    }
}

/// How to get at providers.
#[derive(Debug, Clone, Args)]
struct Reach {
    #[command(flatten)]
    secrets: SecretStore,
    /// Directory that paths in the document are relative to
    #[arg(long, value_name = "DIR", default_value = ".")]
    base: PathBuf,
    /// How long one exchange with a server may take
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    timeout: Duration,
}

/// Which part of a document is meant.
#[derive(Debug, Clone, Args)]
struct Selection {
    /// Only this zone (may be repeated)
    #[arg(long = "zone", value_name = "ZONE")]
    zones: Vec<String>,
    /// Only records of this phase; before and after remove nothing
    #[arg(long, value_name = "PHASE", default_value = "all", value_enum)]
    phase: Phase,
}

/// When records may be written, seen from the host they point at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Phase {
    /// What ACME needs before services start
    Before,
    /// What sends users to a host that is healthy
    After,
    /// All records; only this removes what is no longer declared
    All,
}

impl Selection {
    fn scope(&self, desired: &DnsDesired) -> Scope {
        let phase = match self.phase {
            Phase::Before => Some(RecordPhase::Before),
            Phase::After => Some(RecordPhase::After),
            Phase::All => None,
        };
        Scope { phase, partial: desired.partial }
    }

    /// Takes away the zones that are not meant, and the providers that no zone needs.
    fn narrow(&self, desired: &mut DnsDesired) -> Result<(), Failure> {
        if !self.zones.is_empty() {
            let wanted: Vec<Option<Name>> = self.zones.iter().map(|zone| Name::absolute(zone).ok()).collect();
            for (text, name) in self.zones.iter().zip(&wanted) {
                let known = name.is_some() && desired.zones.iter().any(|zone| Name::absolute(&zone.name).ok() == *name);
                if !known {
                    let failure = Failure::new(Exit::Usage, "usage", format!("the document has no zone \"{text}\""));
                    let near = did_you_mean(text, desired.zones.iter().map(|zone| zone.name.as_str()));
                    return Err(match near {
                        Some(near) => failure.hint(format!("did you mean {near}?")),
                        None => failure,
                    });
                }
            }
            desired.tunnels.clear();
            desired.access.clear();
            desired.zones.retain(|zone| wanted.contains(&Name::absolute(&zone.name).ok()));
        }
        let zones = &desired.zones;
        desired.providers.retain(|name, _| zones.iter().any(|zone| zone.provider == *name));
        Ok(())
    }
}

/// Zones that can be worked on, with their providers.
struct Zones {
    declared: Vec<DeclaredZone>,
    providers: BTreeMap<String, Box<dyn Provider>>,
    warnings: Vec<String>,
}

impl Zones {
    /// Examines a document; `fail` turns its findings into a failure that knows its text.
    fn open(desired: &DnsDesired, reach: &Reach, fail: impl Fn(Findings) -> Failure) -> Result<Self, Failure> {
        let (zones, findings) = examine(desired)?;
        let findings = Findings::new(findings);
        if findings.has_errors() {
            return Err(fail(findings));
        }
        let warnings = findings.findings.iter().filter(|finding| finding.level == Level::Warning);
        let warnings = warnings.map(|finding| format!("{}: {}", finding.pointer, finding.message)).collect();
        let surroundings =
            Surroundings { base: reach.base.clone(), secrets: reach.secrets.clone(), timeout: reach.timeout.to_std() };
        let mut providers = BTreeMap::new();
        for (name, provider) in &desired.providers {
            providers.insert(name.clone(), open(name, provider, &surroundings)?);
        }
        Ok(Self { declared: zones, providers, warnings })
    }

    fn provider(&self, zone: &DeclaredZone) -> Result<&dyn Provider, DnsError> {
        self.providers.get(&zone.provider).map(|provider| &**provider).ok_or(DnsError::UnknownZone)
    }
}

/// A failure that names the zone it belongs to.
fn of_zone(zone: &Name, error: DnsError) -> Failure {
    Failure::from(error).place(zone.without_dot())
}
