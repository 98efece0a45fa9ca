//! A status page in one file: no script, nothing from elsewhere, every text escaped. The same report gives the same bytes.

use std::collections::{HashMap, HashSet};

use contract::document::{CheckReport, CheckState, HealthReport, HealthStatus, RootCause};

use super::{escape, state_word, status_word, svg};

const STYLE: &str = include_str!("page.css");
/// More healthy checks than this are folded away.
const UNFOLDED: usize = 40;
/// The longest message that is shown, in characters: a status page is no log.
const LONGEST: usize = 300;

/// The page of one report.
struct Page<'a> {
    report: &'a HealthReport,
    /// Where each check stands, for links within the page.
    anchors: HashMap<&'a str, usize>,
    text: String,
}

/// Writes it.
pub(super) fn write(report: &HealthReport) -> String {
    let anchors = report.checks.iter().enumerate().map(|(at, check)| (check.id.as_str(), at)).collect();
    let mut page = Page { report, anchors, text: String::with_capacity(16 * 1024) };
    page.head();
    page.causes();
    page.picture();
    page.checks();
    page.text.push_str("</main>\n</body>\n</html>\n");
    page.text
}

impl Page<'_> {
    fn push(&mut self, text: impl AsRef<str>) {
        self.text.push_str(text.as_ref());
    }

    fn head(&mut self) {
        let report = self.report;
        let status = status_word(report.status);
        // Spaces at the beginning of a line are for people who read the style sheet, not for browsers.
        let style: String = STYLE.lines().map(str::trim_start).collect::<Vec<_>>().join("\n");
        self.push(format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"referrer\" content=\"no-referrer\">\n<title>{}</title>\n<style>\n{style}\n</style>\n</head>\n<body>\n<main>\n",
            escape(&title(report))
        ));
        self.push(format!("<header class=\"{status}\">\n<h1>{}</h1>\n", escape(&headline(report))));
        self.push(format!("<p class=\"dim\">{}</p>\n", escape(&circumstances(report))));
        let counts = counts(report);
        self.push("<div class=\"bar\" aria-hidden=\"true\">");
        for (count, state, _) in &counts {
            self.push(format!("<i class=\"{state}\" style=\"flex:{count}\"></i>"));
        }
        self.push("</div>\n<ul class=\"counts\">\n");
        for (count, state, word) in &counts {
            self.push(format!("<li class=\"{state}\"><span class=\"dot\"></span><b>{count}</b> {word}</li>\n"));
        }
        self.push("</ul>\n</header>\n");
    }

    fn causes(&mut self) {
        let report = self.report;
        if report.root_causes.is_empty() && report.suspects.is_empty() {
            return;
        }
        self.push(match report.root_causes.len() {
            0 => "<h2>Suspected</h2>\n",
            1 => "<h2>Root cause</h2>\n",
            _ => "<h2>Root causes</h2>\n",
        });
        for cause in &report.root_causes {
            self.cause(cause);
        }
        for suspect in &report.suspects {
            self.push(format!(
                "<section class=\"card cause unknown\"><h3>{}</h3><span class=\"tag\">suspected</span><p>{}</p>",
                self.link(&suspect.id),
                shown(&suspect.message)
            ));
            self.fold("Fail together", &suspect.impacts);
            self.push("</section>\n");
        }
    }

    fn cause(&mut self, cause: &RootCause) {
        let check = self.anchors.get(cause.id.as_str()).and_then(|&at| self.report.checks.get(at));
        let optional = if cause.critical { "" } else { "<span class=\"tag\">not required</span>" };
        // A link to the check leads here: a row of its own would say the same again.
        let anchor = self.anchors.get(cause.id.as_str()).map(|at| format!(" id=\"c{at}\"")).unwrap_or_default();
        self.push(format!(
            "<section class=\"card cause {}\"{anchor}><h3>{}</h3><span class=\"tag\">{}</span>{optional}<p>{}</p>",
            if cause.critical { "down" } else { "degraded" },
            escape(&cause.id),
            escape(&cause.reason),
            shown(&cause.message)
        ));
        if let Some(check) = check {
            let mut below = vec![shown(check.target.as_deref().unwrap_or(&check.kind))];
            below.extend(self.circumstances_of(check));
            self.push(format!("<p class=\"dim s\">{}</p>", below.join(" · ")));
            if !check.possible_causes.is_empty() {
                let names: Vec<String> = check.possible_causes.iter().map(|id| self.link(id)).collect();
                self.push(format!(
                    "<p class=\"dim s\">Perhaps because of what could not be looked at: {}</p>",
                    names.join(", ")
                ));
            }
        }
        if !cause.evidence.is_empty() {
            self.push("<ul class=\"dim s\">");
            for part in &cause.evidence {
                self.push(format!("<li>{}</li>", shown(part)));
            }
            self.push("</ul>");
        }
        self.fold("Blocks", &cause.impacts);
        self.fold("Weakens", &cause.degrades);
        self.push("</section>\n");
    }

    fn fold(&mut self, word: &str, ids: &[String]) {
        if ids.is_empty() {
            return;
        }
        self.push(format!("<details><summary>{word} {}</summary><div class=\"pills\">", ids.len()));
        for id in ids {
            self.push(self.link(id));
        }
        self.push("</div></details>");
    }

    /// The name of a check, leading to it.
    fn link(&self, id: &str) -> String {
        match self.anchors.get(id) {
            Some(at) => format!("<a href=\"#c{at}\">{}</a>", escape(id)),
            None => escape(id),
        }
    }

    fn picture(&mut self) {
        if let Some(picture) = svg::write(self.report) {
            self.push(format!(
                "<h2>What needs what</h2>\n<div class=\"card scroll\">{}</div>\n<p class=\"dim s\">{}</p>\n",
                picture.svg,
                escape(&picture.legend)
            ));
        }
    }

    fn checks(&mut self) {
        let of = |states: &[CheckState]| -> Vec<(usize, &CheckReport)> {
            let all = self.report.checks.iter().enumerate();
            let mut found: Vec<_> = all.filter(|(_, check)| states.contains(&check.state)).collect();
            found.sort_by_key(|(_, check)| states.iter().position(|state| *state == check.state));
            found
        };
        let mut bad = of(&[CheckState::Down, CheckState::Unknown, CheckState::Degraded]);
        // Root causes have cards of their own.
        let causes: HashSet<&str> = self.report.root_causes.iter().map(|cause| cause.id.as_str()).collect();
        bad.retain(|(_, check)| !causes.contains(check.id.as_str()));
        let blocked = of(&[CheckState::Unreachable]);
        let up = of(&[CheckState::Up]);
        let skipped = of(&[CheckState::Skipped]);
        if !bad.is_empty() {
            let also = if causes.is_empty() { "Not" } else { "Also not" };
            self.push(format!("<h2>{also} as it should be</h2>\n"));
            self.table(&bad, false);
        }
        if !blocked.is_empty() {
            self.push("<h2>Blocked by what is down</h2>\n");
            self.folded(&blocked, "blocked");
        }
        if !up.is_empty() {
            self.push("<h2>Healthy</h2>\n");
            if up.len() > UNFOLDED { self.folded(&up, "healthy") } else { self.table(&up, false) }
        }
        if !skipped.is_empty() {
            self.push("<h2>Not looked at</h2>\n");
            self.folded(&skipped, "left out");
        }
    }

    fn folded(&mut self, checks: &[(usize, &CheckReport)], word: &str) {
        let s = if checks.len() == 1 { "" } else { "s" };
        self.push(format!("<details class=\"card fold\"><summary>{} check{s} {word}</summary>", checks.len()));
        self.table(checks, true);
        self.push("</details>\n");
    }

    fn table(&mut self, checks: &[(usize, &CheckReport)], bare: bool) {
        self.push(if bare { "<table>\n" } else { "<div class=\"card\"><table>\n" });
        for (at, check) in checks {
            self.row(*at, check);
        }
        self.push(if bare { "</table>" } else { "</table></div>\n" });
    }

    /// What else is worth knowing of a check, escaped.
    fn circumstances_of(&self, check: &CheckReport) -> Vec<String> {
        let mut found = Vec::new();
        if let Some(until) = &check.certificate_expires_at {
            found.push(format!("certificate until {}", escape(until.get(..10).unwrap_or(until))));
        }
        if let Some(from) = from(check, self.report) {
            found.push(format!("seen from {}", escape(from)));
        }
        if check.flaky {
            found.push("good at the second look".into());
        }
        if check.flapping {
            found.push("changes its mind too often".into());
        }
        if !check.critical && check.state != CheckState::Down {
            found.push("not required".into());
        }
        found
    }

    fn row(&mut self, at: usize, check: &CheckReport) {
        let state = state_word(check.state);
        let said = match check.state {
            CheckState::Unreachable => {
                let roots: Vec<String> = check.blocked_by.iter().map(|id| self.link(id)).collect();
                format!("blocked by {}", roots.join(", "))
            }
            _ => shown(check.message.as_deref().unwrap_or_default()),
        };
        let mut below: Vec<String> = check.target.iter().map(|target| shown(target)).collect();
        below.extend(self.circumstances_of(check));
        let below =
            if below.is_empty() { String::new() } else { format!("<div class=\"dim s\">{}</div>", below.join(" · ")) };
        let time = if check.attempts == 0 { String::new() } else { format!("{} ms", check.ms) };
        self.push(format!(
            "<tr id=\"c{at}\"><td class=\"{state}\"><span class=\"dot\" title=\"{state}\"></span><b>{}</b><span class=\"kind\">{}</span></td>\
             <td>{said}{below}</td><td>{time}</td></tr>\n",
            escape(&check.id),
            escape(check.group.as_deref().filter(|group| *group != check.id).unwrap_or(&check.kind)),
        ));
    }
}

/// Where a check was seen from, if that was elsewhere.
fn from<'a>(check: &'a CheckReport, report: &HealthReport) -> Option<&'a str> {
    check.vantage.as_deref().filter(|vantage| Some(*vantage) != report.vantage.as_deref())
}

/// Text of others, escaped and not too long.
fn shown(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", escape(&text[..end])),
        None => escape(text),
    }
}

fn title(report: &HealthReport) -> String {
    match (report.status, report.root_causes.first()) {
        (HealthStatus::Down, Some(cause)) => format!("{} is down", cause.id),
        (status, _) => format!("Health: {}", status_word(status)),
    }
}

/// The verdict in one sentence.
fn headline(report: &HealthReport) -> String {
    let causes: Vec<&RootCause> = report.root_causes.iter().filter(|cause| cause.critical).collect();
    let blocked = report.summary.unreachable;
    match (report.status, causes.as_slice()) {
        (HealthStatus::Up, _) => "All is well".into(),
        (HealthStatus::Degraded, _) => "It works, but not all of it".into(),
        (HealthStatus::Down, []) => match report.summary.unknown {
            0 => "Not healthy".into(),
            1 => "One check could not be made".into(),
            count => format!("{count} checks could not be made"),
        },
        (HealthStatus::Down, [cause]) => match cause.impacts.len() {
            0 => format!("{} is down", cause.id),
            1 => format!("{} is down, and blocks one check", cause.id),
            count => format!("{} is down, and blocks {count} checks", cause.id),
        },
        (HealthStatus::Down, several) => match blocked {
            0 => format!("{} root causes", several.len()),
            count => format!("{} root causes block {count} checks", several.len()),
        },
    }
}

fn circumstances(report: &HealthReport) -> String {
    let mut parts = Vec::new();
    if let Some(vantage) = &report.vantage {
        parts.push(format!("Seen from {vantage}"));
    }
    let when = report.started_at.parse::<jiff::Timestamp>();
    let when = when.map_or(report.started_at.clone(), |when| when.strftime("%-d %B %Y, %H:%M:%S UTC").to_string());
    parts.push(when);
    parts.push(if report.ms < 10_000 {
        format!("took {} ms", report.ms)
    } else {
        format!("took {} s", report.ms / 1000)
    });
    if report.rounds > 1 {
        parts.push(format!("{} rounds", report.rounds));
    }
    if report.interrupted {
        parts.push("interrupted; this is the last whole round".into());
    }
    if report.deadline_exceeded {
        parts.push("the time to wait was over".into());
    }
    parts.join(" · ")
}

/// How many checks are in each state, worst first, without those that are in none.
fn counts(report: &HealthReport) -> Vec<(u32, &'static str, &'static str)> {
    let summary = &report.summary;
    let mut counts = vec![
        (summary.down, "down", "down"),
        (summary.unreachable, "unreachable", "blocked"),
        (summary.unknown, "unknown", "unknown"),
        (summary.degraded, "degraded", "degraded"),
        (summary.up, "up", "up"),
        (summary.skipped, "skipped", "left out"),
    ];
    counts.retain(|(count, _, _)| *count > 0);
    counts
}
