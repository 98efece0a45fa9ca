//! Checks that have been found good, and the graph between them.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use cli::{Failure, Listed, did_you_mean};
use contract::document::{CheckReport, HealthCheck, HealthChecks, RawResult, RunWhen, TlsExpectation};
use contract::{Finding, Pointer};

use crate::graph::{Edges, Graph};
use crate::net::TlsPlan;
use crate::observation::{Observation, Trace};
use crate::other_report::{Gathered, OtherReport, gather};
use crate::probe::{Prepared, Preparing, Probe, Retries, Units};
use crate::profile::Profile;
use crate::reason::Reason;

/// Longest time of one attempt, if nobody says anything.
const TIMEOUT: Duration = Duration::from_secs(5);
/// More attempts than this are no probe any more.
const MOST_RETRIES: u8 = 10;
/// More checks than this are a mistake.
const MOST: usize = 100_000;

/// Checks and the graph between them.
#[derive(Debug)]
pub(crate) struct Checklist {
    /// The checks, in the order of the document; those of other reports follow.
    pub items: Vec<Item>,
    /// What depends on what, by place in `items`.
    pub graph: Graph,
}

/// One check.
#[derive(Debug)]
pub(crate) struct Item {
    /// Its name.
    pub id: String,
    /// What it belongs to.
    pub group: Option<String>,
    /// Words to select it by.
    pub tags: Vec<String>,
    /// Its failure fails the verdict.
    pub critical: bool,
    /// Its kind.
    pub kind: Cow<'static, str>,
    /// What it looks at, where somebody else looked.
    pub target: Option<String>,
    /// Where what is known of it comes from.
    pub origin: Origin,
}

/// Where what is known of a check comes from.
#[derive(Debug)]
pub(crate) enum Origin {
    /// We look.
    Probe(Box<Prepared>),
    /// Somebody else looked, from there.
    Taken(Box<Observation>, Option<String>),
}

/// The names that a check mentions.
struct Mentions {
    needs: Vec<String>,
    needs_any: Vec<Vec<String>>,
    wants: Vec<String>,
    /// Its place in the document; none where it is of another report.
    written: Option<usize>,
    /// Its own name, where it is wrong in another way: that is still a known name.
    id: Option<String>,
}

/// What the command line says for all checks.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ForAll {
    /// No checks at all are fine.
    pub allow_empty: bool,
    /// Longest time of one attempt.
    pub timeout: Option<contract::Duration>,
    /// How often a failure that may pass is tried again.
    pub retries: Option<u8>,
}

impl Item {
    /// What it looks at, fit for a report.
    pub(crate) fn target(&self) -> Option<String> {
        match &self.origin {
            Origin::Probe(prepared) => prepared.probe.target(),
            Origin::Taken(..) => self.target.clone(),
        }
    }

    /// The port that is connected to, where we look ourselves.
    pub(crate) fn port(&self) -> Option<u16> {
        match &self.origin {
            Origin::Probe(prepared) => prepared.probe.endpoint().map(|endpoint| endpoint.port),
            Origin::Taken(..) => None,
        }
    }
}

impl Checklist {
    /// Reads a document, with the reports of other vantages. Everything that is wrong with its meaning goes into the findings.
    ///
    /// # Errors
    /// Something in the document is no check at all.
    pub(crate) fn of(
        document: &Listed<HealthChecks>,
        others: Vec<OtherReport>,
        for_all: ForAll,
        findings: &mut Vec<Finding>,
    ) -> Result<Option<Self>, Failure> {
        let defaults = &document.document.defaults;
        if let Some(Err(why)) = defaults.ca.as_deref().map(crate::net::certificates) {
            findings.push(Finding::error("bad-tls", Pointer::root().join("defaults").join("ca"), why));
        }
        let usual_tls = TlsPlan::of(&TlsExpectation::default(), defaults.ca.as_deref()).unwrap_or_default();
        let reading = Reading { defaults, usual_tls: Arc::new(usual_tls), for_all };
        let mut items: Vec<Option<Item>> = Vec::new();
        let mut mentions: Vec<Mentions> = Vec::new();
        let mut places: HashMap<Box<str>, usize> = HashMap::new();
        let place = Pointer::root().join("checks");
        let mut count = 0;
        document.each(|check: HealthCheck| {
            let at = count;
            count += 1;
            if count > MOST {
                return;
            }
            let pointer = place.join(at);
            if let Some(first) = places.get(check.id.as_str()) {
                let message = format!("the id \"{}\" stands twice", check.id);
                findings.push(Finding::error("duplicate-id", pointer.join("id"), message).related(place.join(first)));
                return;
            }
            let item = reading.prepare(&check, &pointer, findings);
            places.insert(check.id.as_str().into(), at);
            let id = item.is_none().then_some(check.id);
            let (needs, needs_any, wants) = (check.needs, check.needs_any, check.wants);
            mentions.push(Mentions { needs, needs_any, wants, written: Some(at), id });
            items.push(item);
        })?;
        if count == 0 && others.is_empty() && !for_all.allow_empty {
            let finding = Finding::error("no-checks", place.clone(), "there are no checks: nothing would be green");
            findings.push(finding.fix("add checks, or say --allow-empty"));
        }
        if count > MOST {
            findings.push(Finding::error("too-many-checks", place, format!("more than {MOST} checks")));
            return Ok(None);
        }
        let own: HashSet<&str> = places.keys().map(|id| &**id).collect();
        for Gathered { check, from, doubt } in gather(&own, others) {
            mentions.push(Mentions {
                needs: check.needs.clone(),
                needs_any: check.needs_any.clone(),
                wants: check.wants.clone(),
                written: None,
                id: None,
            });
            items.push(Some(take(check, from, doubt)));
        }
        drop(places);
        items.shrink_to_fit();
        let graph = link(&items, &mentions, findings);
        let items: Option<Vec<Item>> = items.into_iter().collect();
        Ok(items.zip(graph).map(|(items, graph)| Self { items, graph }))
    }

    /// The units of systemd that will be asked for.
    pub(crate) fn units(&self) -> Units {
        Units::new(self.items.iter().filter_map(|item| match &item.origin {
            Origin::Probe(prepared) => match &prepared.probe {
                Probe::Unit(unit) => Some(unit.unit()),
                _ => None,
            },
            Origin::Taken(..) => None,
        }))
    }

    /// Whether a check waits for what it needs.
    pub(crate) fn is_after_needs(&self, node: usize) -> bool {
        matches!(&self.items[node].origin, Origin::Probe(prepared) if prepared.after_needs)
    }
}

/// What is the same for all checks of a document.
struct Reading<'a> {
    defaults: &'a contract::document::HealthDefaults,
    usual_tls: Arc<TlsPlan>,
    for_all: ForAll,
}

impl Reading<'_> {
    fn prepare(&self, check: &HealthCheck, at: &Pointer, findings: &mut Vec<Finding>) -> Option<Item> {
        if check.id.is_empty() || check.id.chars().any(char::is_control) || check.id.len() > 200 {
            findings.push(Finding::error("bad-id", at.join("id"), "an id is one line of 1 to 200 characters"));
        }
        let profile = profile_of(check, at, findings);
        let keys = Probe::keys(check);
        if keys.len() != 1 {
            let message = match keys.len() {
                0 => "the check has no kind: nothing says what to look at".to_owned(),
                _ => format!("the check has several kinds: {}", keys.join(", ")),
            };
            let fix = format!("give exactly one of {}", Probe::KEYS.join(", "));
            findings.push(Finding::error("one-kind", at.clone(), message).fix(fix));
            return None;
        }
        let timeout = self.for_all.timeout.or(check.timeout).or(self.defaults.timeout);
        let timeout = timeout.map_or(TIMEOUT, contract::Duration::to_std);
        if timeout.is_zero() {
            findings.push(Finding::error("bad-duration", at.join("timeout"), "no check is done in no time"));
        }
        if let (Some(warn), Some(fail)) = (check.warn_above, check.fail_above)
            && warn > fail
        {
            let message = "it would never warn: fail_above comes first";
            findings.push(Finding::error("contradiction", at.join("warn_above"), message));
        }
        let retries = self.for_all.retries.or(check.retries).or(self.defaults.retries);
        if retries.is_some_and(|retries| retries > MOST_RETRIES) {
            findings.push(Finding::error("bad-retries", at.join("retries"), format!("at most {MOST_RETRIES}")));
        }
        if let Some(profile) = profile
            && keys.first().is_some_and(|kind| *kind != profile.kind.key())
        {
            let message = format!("the profile \"{}\" says nothing about this kind of check", profile.name);
            let fix = format!("it is for the kind {}; {}", profile.kind.key(), profile.source);
            findings.push(Finding::warning("profile-kind", at.join("profile"), message).fix(fix));
        }
        let mut preparing =
            Preparing { at: at.clone(), defaults: self.defaults, profile, findings, usual_tls: &self.usual_tls };
        let probe = Probe::prepare(check, &mut preparing)?;
        Some(Item {
            id: check.id.clone(),
            group: check.group.clone(),
            tags: check.tags.clone(),
            critical: check.critical,
            kind: Cow::Borrowed(keys.first().copied().unwrap_or_default()),
            target: None,
            origin: Origin::Probe(Box::new(Prepared {
                probe,
                timeout,
                warn_above: check.warn_above.map(contract::Duration::to_std),
                fail_above: check.fail_above.map(contract::Duration::to_std),
                addresses: check.addresses.unwrap_or_default(),
                retries: retries.map_or_else(Retries::default, |most| Retries { most, patient: true }),
                after_needs: check.run == Some(RunWhen::AfterNeeds),
            })),
        })
    }
}

fn profile_of(check: &HealthCheck, at: &Pointer, findings: &mut Vec<Finding>) -> Option<&'static Profile> {
    let name = check.profile.as_deref()?;
    let found = Profile::find(name);
    if found.is_none() {
        let finding = Finding::error("unknown-profile", at.join("profile"), format!("there is no profile \"{name}\""));
        let near = did_you_mean(name, Profile::names()).map(|near| format!("did you mean \"{near}\"?"));
        findings.push(finding.fix(near.unwrap_or_else(|| "take it away and say what healthy means".into())));
    }
    found
}

/// A check of another report, as if we had looked.
fn take(check: CheckReport, from: String, doubt: Option<(Reason, String)>) -> Item {
    use contract::document::CheckState;
    let raw = check.raw.unwrap_or(match check.state {
        CheckState::Up => RawResult::Pass,
        CheckState::Degraded => RawResult::Warn,
        CheckState::Down | CheckState::Unreachable => RawResult::Fail,
        CheckState::Unknown => RawResult::Error,
        CheckState::Skipped => RawResult::Skip,
    });
    let named = |reason: &String| Reason::ALL.iter().find(|known| known.as_str() == reason).copied();
    let observation = if let Some((reason, message)) = doubt {
        Observation::unprobed(RawResult::Error, Some(reason), message)
    } else {
        Observation {
            raw,
            reason: check.reason.as_ref().and_then(named),
            message: check.message.unwrap_or_default(),
            trace: Trace {
                address: check.address,
                phases: check.phases.unwrap_or_default(),
                http_status: check.http_status,
                certificate: check.certificate.map(Box::new),
                addresses: check.addresses,
                evidence: check.evidence,
                figures: check.figures,
                ..Trace::default()
            },
            attempts: check.attempts,
            tries: check.tries,
            ms: check.ms,
        }
    };
    Item {
        id: check.id,
        group: check.group,
        tags: check.tags,
        critical: check.critical,
        kind: Cow::Owned(check.kind),
        target: check.target,
        origin: Origin::Taken(Box::new(observation), Some(from)),
    }
}

/// Turns names into edges.
fn link(items: &[Option<Item>], mentions: &[Mentions], findings: &mut Vec<Finding>) -> Option<Graph> {
    let mut known: HashMap<&str, usize> = HashMap::with_capacity(items.len());
    for (node, (item, names)) in items.iter().zip(mentions).enumerate() {
        let id = item.as_ref().map(|item| item.id.as_str()).or(names.id.as_deref());
        if let Some(id) = id
            && known.insert(id, node).is_some()
        {
            let message = format!("the id \"{id}\" stands in two reports");
            findings.push(Finding::error("duplicate-id", Pointer::root(), message));
        }
    }
    let place_of = |names: &Mentions| names.written.map(|at| Pointer::root().join("checks").join(at));
    let mut edges = Vec::with_capacity(mentions.len());
    for names in mentions {
        let mut list = |names_of: &[String], place: &dyn Fn() -> Option<Pointer>| -> Vec<usize> {
            let mut found = Vec::with_capacity(names_of.len());
            for (at, name) in names_of.iter().enumerate() {
                match known.get(name.as_str()) {
                    Some(node) => found.push(*node),
                    // What another report mentions and does not hold was left out there on purpose.
                    None => findings.extend(place().map(|place| unknown(name, &place.join(at), &known))),
                }
            }
            found
        };
        let needs = list(&names.needs, &|| Some(place_of(names)?.join("needs")));
        let wants = list(&names.wants, &|| Some(place_of(names)?.join("wants")));
        let mut groups = Vec::with_capacity(names.needs_any.len());
        for (index, group) in names.needs_any.iter().enumerate() {
            groups.push(list(group, &|| Some(place_of(names)?.join("needs_any").join(index))));
        }
        for (index, _) in names.needs_any.iter().enumerate().filter(|(_, group)| group.is_empty()) {
            let place = place_of(names).unwrap_or_default().join("needs_any").join(index);
            findings.push(Finding::error("empty-group", place, "one of nothing can never be healthy"));
        }
        groups.retain(|group| !group.is_empty());
        edges.push(Edges { needs, needs_any: groups, wants });
    }
    match Graph::new(edges) {
        Ok(graph) => Some(graph),
        Err(cycle) => {
            let name_of = |node: &usize| known.iter().find(|(_, at)| *at == node).map_or("?", |(id, _)| *id);
            let mut names: Vec<_> = cycle.iter().map(name_of).collect();
            names.extend(cycle.first().map(name_of));
            let place = cycle.first().and_then(|node| place_of(mentions.get(*node)?)).unwrap_or_default();
            let message = format!("these checks wait for each other: {}", names.join(" -> "));
            findings.push(Finding::error("cycle", place, message).fix("take one of these needs or wants away"));
            None
        }
    }
}

fn unknown(name: &str, place: &Pointer, known: &HashMap<&str, usize>) -> Finding {
    let finding = Finding::error("unknown-check", place.clone(), format!("there is no check \"{name}\""));
    let near = did_you_mean(name, known.keys().copied()).map(|near| format!("did you mean \"{near}\"?"));
    finding.fix(near.unwrap_or_else(|| "add the check, or take the name away".into()))
}
