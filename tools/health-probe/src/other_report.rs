//! A report of another vantage: what a host saw of itself, taken into the graph of whoever reads it (`--with`).

use std::collections::{HashMap, HashSet};

use cli::{Failure, Input, Session};
use contract::document::{CheckReport, CheckState, HealthReport};

use crate::reason::Reason;

/// A report from the future is believed this far, in seconds: clocks differ a little.
const AHEAD: i64 = 300;

/// A report of another vantage.
#[derive(Debug)]
pub(crate) struct OtherReport {
    /// What it says.
    pub report: HealthReport,
    /// Why it is not believed, if it is not.
    pub doubt: Option<(Reason, String)>,
    /// What its names are told apart by: its vantage, or the name of its file.
    pub from: String,
}

impl OtherReport {
    /// Reads one. A report that ended longer than `max_age` seconds before `now` is not believed.
    ///
    /// # Errors
    /// 65 or 66 where there is no report in the file.
    pub(crate) fn read(path: &std::path::Path, session: &Session, now: i64, max_age: u64) -> Result<Self, Failure> {
        let report = session.read::<HealthReport>(&Input::file(path))?.document;
        let doubt = doubt(&report, now, max_age);
        let from = report.vantage.clone().unwrap_or_else(|| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.split('.').next().unwrap_or_default().to_owned()
        });
        Ok(Self { report, doubt, from })
    }
}

/// Why a report is not believed at a time.
fn doubt(report: &HealthReport, now: i64, max_age: u64) -> Option<(Reason, String)> {
    let Ok(began) = report.started_at.parse::<jiff::Timestamp>() else {
        // What does not say when it was made may be of any age.
        return Some((Reason::StaleReport, "the report that it comes from does not say when it was made".into()));
    };
    // It is as old as its end: it may have waited for long.
    let ended = began.as_second().saturating_add((report.ms / 1000) as i64);
    let age = now.saturating_sub(ended);
    if age > i64::try_from(max_age).unwrap_or(i64::MAX) {
        return Some((Reason::StaleReport, format!("the report that it comes from is {} old", span(age))));
    }
    if age < -AHEAD {
        let message = format!("the report that it comes from is from the future, by {}: clocks differ", span(-age));
        return Some((Reason::ClockSkew, message));
    }
    None
}

fn span(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// One check that others looked at.
#[derive(Debug)]
pub(crate) struct Gathered {
    /// What was seen.
    pub check: CheckReport,
    /// Where it was seen from.
    pub from: String,
    /// Why it is not believed, if it is not.
    pub doubt: Option<(Reason, String)>,
}

/// Takes the checks of several reports together.
///
/// What has one name, one kind and one target in several reports is one thing. Where all who looked agree it is one node,
/// seen from all of them: a database that is down is one root cause, however many hosts noticed. Where they do not agree, or
/// look at different things under one name, or a check of our own has that name, they are told apart by where they were seen:
/// `postgres@web1`. What is asked here keeps its name. Edges within a report follow.
pub(crate) fn gather(own: &HashSet<&str>, others: Vec<OtherReport>) -> Vec<Gathered> {
    let mut views: HashMap<String, Vec<View>> = HashMap::new();
    for other in &others {
        for check in &other.report.checks {
            views.entry(check.id.clone()).or_default().push(View::of(check, other.doubt.is_some()));
        }
    }
    let mut taken: HashSet<String> = own.iter().map(|id| (*id).to_owned()).chain(views.keys().cloned()).collect();
    let mut gathered: Vec<Gathered> = Vec::new();
    let mut joined: HashMap<String, usize> = HashMap::new();
    for other in others {
        let mut names: HashMap<String, String> = HashMap::new();
        for check in &other.report.checks {
            let alone = !own.contains(check.id.as_str()) && views.get(&check.id).is_none_or(|views| agree(views));
            if !alone {
                names.insert(check.id.clone(), free_name(&check.id, &other.from, &mut taken));
            }
        }
        for mut check in other.report.checks {
            rename(&mut check, &names);
            let from = check.vantage.clone().unwrap_or_else(|| other.from.clone());
            let one = Gathered { check, from, doubt: other.doubt.clone() };
            match joined.get(&one.check.id) {
                Some(&at) => join(&mut gathered[at], one),
                None => {
                    joined.insert(one.check.id.clone(), gathered.len());
                    gathered.push(one);
                }
            }
        }
    }
    gathered
}

/// What one report says of a name.
#[derive(Debug, PartialEq, Eq)]
struct View {
    kind: String,
    target: Option<String>,
    /// Whether it was well; none where nobody can say.
    good: Option<bool>,
}

impl View {
    fn of(check: &CheckReport, doubted: bool) -> Self {
        let good = match check.state {
            _ if doubted => None,
            CheckState::Up | CheckState::Degraded => Some(true),
            CheckState::Down | CheckState::Unreachable => Some(false),
            CheckState::Unknown | CheckState::Skipped => None,
        };
        Self { kind: check.kind.clone(), target: check.target.clone(), good }
    }
}

fn agree(views: &[View]) -> bool {
    let same = views.windows(2).all(|two| two[0].kind == two[1].kind && two[0].target == two[1].target);
    let said: HashSet<bool> = views.iter().filter_map(|view| view.good).collect();
    same && said.len() < 2
}

fn free_name(id: &str, from: &str, taken: &mut HashSet<String>) -> String {
    let mut name = format!("{id}@{from}");
    let mut number = 2;
    while !taken.insert(name.clone()) {
        name = format!("{id}@{from}-{number}");
        number += 1;
    }
    name
}

/// Another view of the same thing. Whoever could look speaks for whoever could not.
fn join(first: &mut Gathered, other: Gathered) {
    let knows =
        |one: &Gathered| one.doubt.is_none() && !matches!(one.check.state, CheckState::Unknown | CheckState::Skipped);
    let mut edges = (other.check.needs.clone(), other.check.needs_any.clone(), other.check.wants.clone());
    if knows(first) == knows(&other) {
        first.from = format!("{}, {}", first.from, other.from);
    } else if knows(&other) {
        edges = (first.check.needs.clone(), first.check.needs_any.clone(), first.check.wants.clone());
        *first = other;
    }
    for (own, more) in [(&mut first.check.needs, edges.0), (&mut first.check.wants, edges.2)] {
        let new: Vec<String> = more.into_iter().filter(|id| !own.contains(id)).collect();
        own.extend(new);
    }
    let new: Vec<Vec<String>> = edges.1.into_iter().filter(|group| !first.check.needs_any.contains(group)).collect();
    first.check.needs_any.extend(new);
}

fn rename(check: &mut CheckReport, names: &HashMap<String, String>) {
    let follow = |id: &mut String| {
        if let Some(name) = names.get(id) {
            id.clone_from(name);
        }
    };
    follow(&mut check.id);
    check.needs.iter_mut().chain(check.wants.iter_mut()).chain(check.needs_any.iter_mut().flatten()).for_each(follow);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(began: &str, ms: u64) -> HealthReport {
        let json = serde_json::json!({
            "status": "up", "started_at": began, "ms": ms, "rounds": 1, "root_causes": [], "checks": [],
            "summary": {"up": 0, "degraded": 0, "down": 0, "unreachable": 0, "unknown": 0, "skipped": 0}
        });
        serde_json::from_value(json).expect("a report")
    }

    #[test]
    fn a_report_is_as_old_as_its_end() {
        let noon = "2026-11-25T12:00:00Z";
        let at = |seconds: i64, ms| {
            let now = noon.parse::<jiff::Timestamp>().expect("a time").as_second() + seconds;
            doubt(&report(noon, ms), now, 900).map(|(reason, _)| reason)
        };
        assert_eq!(at(899, 0), None);
        assert_eq!(at(901, 0), Some(Reason::StaleReport));
        // It waited for ten minutes, and ended five ago.
        assert_eq!(at(901, 600_000), None);
        assert_eq!(at(-200, 0), None);
        assert_eq!(at(-301, 0), Some(Reason::ClockSkew));
        assert_eq!(doubt(&report("yesterday", 0), 0, 900).map(|(reason, _)| reason), Some(Reason::StaleReport));
    }
}
