//! Checks that have been found good, and the graph between them.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use cli::did_you_mean;
use contract::document::{CheckReport, HealthCheck, HealthChecks, RawResult};
use contract::{Finding, Pointer};

use crate::graph::{Edges, Graph};
use crate::observation::{Observation, Trace};
use crate::other_report::{Gathered, OtherReport, gather};
use crate::probe::{Prepared, Preparing, Probe};
use crate::profile::Profile;
use crate::reason::Reason;

/// Longest time of one attempt, if nobody says anything.
const TIMEOUT: Duration = Duration::from_secs(5);
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
    pub kind: String,
    /// What it looks at.
    pub target: Option<String>,
    /// Where what is known of it comes from.
    pub origin: Origin,
}

/// Where what is known of a check comes from.
#[derive(Debug)]
pub(crate) enum Origin {
    /// We look.
    Probe(Prepared),
    /// Somebody else looked, from there.
    Taken(Box<Observation>, Option<String>),
}

/// The names that a check mentions.
struct Mentions {
    needs: Vec<String>,
    needs_any: Vec<Vec<String>>,
    wants: Vec<String>,
}

impl Checklist {
    /// Reads a document, with the reports of other vantages. Everything that is wrong goes into the findings.
    pub(crate) fn of(
        document: &HealthChecks,
        others: Vec<OtherReport>,
        allow_empty: bool,
        findings: &mut Vec<Finding>,
    ) -> Option<Self> {
        let place = Pointer::root().join("checks");
        if document.checks.is_empty() && others.is_empty() && !allow_empty {
            let finding = Finding::error("no-checks", place.clone(), "there are no checks: nothing would be green");
            findings.push(finding.fix("add checks, or say --allow-empty"));
        }
        if document.checks.len() > MOST {
            findings.push(Finding::error("too-many-checks", place, format!("more than {MOST} checks")));
            return None;
        }
        if let Some(Err(why)) = document.defaults.ca.as_deref().map(crate::net::certificates) {
            findings.push(Finding::error("bad-tls", Pointer::root().join("defaults").join("ca"), why));
        }
        let own: HashSet<&str> = document.checks.iter().map(|check| check.id.as_str()).collect();
        let gathered = gather(&own, others);
        let mut items: Vec<Option<Item>> = Vec::new();
        let mut mentions = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        for (at, check) in document.checks.iter().enumerate() {
            let pointer = place.join(at);
            if let Some(first) = places.get(&check.id) {
                let message = format!("the id \"{}\" stands twice", check.id);
                findings.push(Finding::error("duplicate-id", pointer.join("id"), message).related(place.join(first)));
                continue;
            }
            let item = prepare(check, document, &pointer, findings);
            places.insert(check.id.clone(), at);
            items.push(item);
            mentions.push((
                Mentions { needs: check.needs.clone(), needs_any: check.needs_any.clone(), wants: check.wants.clone() },
                Some(pointer),
            ));
        }
        for Gathered { check, from, doubt } in gathered {
            let names = Mentions {
                needs: check.needs.clone(),
                needs_any: check.needs_any.clone(),
                wants: check.wants.clone(),
            };
            items.push(Some(take(check, from, doubt)));
            mentions.push((names, None));
        }
        let graph = link(&items, &mentions, document, findings);
        let items: Option<Vec<Item>> = items.into_iter().collect();
        Some(Self { items: items?, graph: graph? })
    }
}

fn prepare(check: &HealthCheck, document: &HealthChecks, at: &Pointer, findings: &mut Vec<Finding>) -> Option<Item> {
    if check.id.is_empty() || check.id.chars().any(char::is_control) || check.id.len() > 200 {
        findings.push(Finding::error("bad-id", at.join("id"), "an id is one line of 1 to 200 characters"));
    }
    let profile = check.profile.as_deref().and_then(|name| {
        let found = Profile::find(name);
        if found.is_none() {
            let finding =
                Finding::error("unknown-profile", at.join("profile"), format!("there is no profile \"{name}\""));
            let near = did_you_mean(name, Profile::names()).map(|near| format!("did you mean \"{near}\"?"));
            findings.push(finding.fix(near.unwrap_or_else(|| "take it away and say what healthy means".into())));
        }
        found
    });
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
    if let Some(profile) = profile
        && keys.first().is_some_and(|kind| *kind != profile.kind.key())
    {
        let message = format!("the profile \"{}\" says nothing about this kind of check", profile.name);
        let fix = format!("it is for the kind {}; {}", profile.kind.key(), profile.source);
        findings.push(Finding::warning("profile-kind", at.join("profile"), message).fix(fix));
    }
    let timeout = check.timeout.or(document.defaults.timeout).map_or(TIMEOUT, contract::Duration::to_std);
    if timeout.is_zero() {
        findings.push(Finding::error("bad-duration", at.join("timeout"), "no check is done in no time"));
    }
    let mut preparing = Preparing { at: at.clone(), defaults: &document.defaults, profile, findings };
    let probe = Probe::prepare(check, &mut preparing)?;
    Some(Item {
        id: check.id.clone(),
        group: check.group.clone(),
        tags: check.tags.clone(),
        critical: check.critical,
        kind: keys.first().copied().unwrap_or_default().to_owned(),
        target: probe.target(),
        origin: Origin::Probe(Prepared {
            probe,
            timeout,
            warn_above: check.warn_above.map(contract::Duration::to_std),
            addresses: check.addresses.unwrap_or_default(),
        }),
    })
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
                certificate: check.certificate,
                evidence: check.evidence,
                figures: check.figures,
                ..Trace::default()
            },
            attempts: check.attempts,
            ms: check.ms,
        }
    };
    Item {
        id: check.id,
        group: check.group,
        tags: check.tags,
        critical: check.critical,
        kind: check.kind,
        target: check.target,
        origin: Origin::Taken(Box::new(observation), Some(from)),
    }
}

/// Turns names into edges.
fn link(
    items: &[Option<Item>],
    mentions: &[(Mentions, Option<Pointer>)],
    document: &HealthChecks,
    findings: &mut Vec<Finding>,
) -> Option<Graph> {
    // Names of checks that are wrong in another way are still known names.
    let mut known: HashMap<&str, usize> = HashMap::new();
    for (node, (item, (_, pointer))) in items.iter().zip(mentions).enumerate() {
        let id = item.as_ref().map(|item| item.id.as_str());
        let written = pointer.as_ref().and_then(|at| at.keys().last()?.parse::<usize>().ok());
        if let Some(id) = id.or_else(|| document.checks.get(written?).map(|check| check.id.as_str()))
            && known.insert(id, node).is_some()
        {
            let message = format!("the id \"{id}\" stands in two reports");
            findings.push(Finding::error("duplicate-id", Pointer::root(), message));
        }
    }
    let mut edges = Vec::with_capacity(mentions.len());
    for (names, pointer) in mentions {
        let mut find = |name: &String, place: Option<Pointer>| {
            let found = known.get(name.as_str()).copied();
            // What another report mentions and does not hold was left out there on purpose.
            if let (None, Some(place)) = (found, place) {
                let finding = Finding::error("unknown-check", place, format!("there is no check \"{name}\""));
                let near = did_you_mean(name, known.keys().copied()).map(|near| format!("did you mean \"{near}\"?"));
                findings.push(finding.fix(near.unwrap_or_else(|| "add the check, or take the name away".into())));
            }
            found
        };
        let mut list = |names: &[String], place: Option<Pointer>| -> Vec<usize> {
            let named = names.iter().enumerate();
            named.filter_map(|(at, name)| find(name, place.as_ref().map(|place| place.join(at)))).collect()
        };
        let at = |key: &str| pointer.as_ref().map(|pointer| pointer.join(key));
        let needs = list(&names.needs, at("needs"));
        let wants = list(&names.wants, at("wants"));
        let groups = names.needs_any.iter().enumerate();
        let groups: Vec<_> =
            groups.map(|(index, group)| list(group, at("needs_any").map(|at| at.join(index)))).collect();
        for (index, _) in names.needs_any.iter().enumerate().filter(|(_, group)| group.is_empty()) {
            let place = at("needs_any").unwrap_or_default().join(index);
            findings.push(Finding::error("empty-group", place, "one of nothing can never be healthy"));
        }
        edges.push(Edges { needs, needs_any: groups.into_iter().filter(|group| !group.is_empty()).collect(), wants });
    }
    let name_of = |node: &usize| known.iter().find(|(_, at)| *at == node).map_or("?", |(id, _)| *id);
    match Graph::new(edges) {
        Ok(graph) => Some(graph),
        Err(cycle) => {
            let mut names: Vec<_> = cycle.iter().map(name_of).collect();
            names.extend(cycle.first().map(name_of));
            let place = cycle.first().and_then(|node| mentions.get(*node)?.1.clone()).unwrap_or_default();
            let message = format!("these checks wait for each other: {}", names.join(" -> "));
            findings.push(Finding::error("cycle", place, message).fix("take one of these needs or wants away"));
            None
        }
    }
}
