//! A status page in one file: no script, nothing from elsewhere, every text escaped.

use contract::document::{CheckReport, CheckState, HealthReport, HealthStatus};

use super::{escape, state_word, status_word, svg};

const STYLE: &str = "\
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#1c2330;--dim:#667085;--line:#e3e6eb;--up:#12805c;--degraded:#b25e09;\
--down:#c0262d;--other:#667085}\
@media(prefers-color-scheme:dark){:root{--bg:#12151b;--card:#1b2029;--ink:#e7eaf0;--dim:#98a2b3;--line:#2b323e;--up:#3ccb98;\
--degraded:#f0a63c;--down:#ff6b6b;--other:#98a2b3}}\
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,sans-serif}\
main{max-width:62rem;margin:0 auto;padding:2rem 1rem 4rem}h1{font-size:1.7rem;margin:0}h2{font-size:1.05rem;margin:2rem 0 .6rem}\
.dim{color:var(--dim)}.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:1rem 1.2rem;margin:.7rem 0}\
.cause{border-left:5px solid var(--down)}.suspect{border-left:5px solid var(--degraded)}.scroll{overflow-x:auto}\
.dot{display:inline-block;width:.7em;height:.7em;border-radius:50%;margin-right:.5em;background:var(--other)}\
.dot.up{background:var(--up)}.dot.degraded{background:var(--degraded)}.dot.down{background:var(--down)}\
table{width:100%;border-collapse:collapse}td,th{padding:.45rem .6rem;text-align:left;border-top:1px solid var(--line);vertical-align:top}\
th{color:var(--dim);font-weight:500;border-top:0}td.r{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}\
td.n{white-space:nowrap}summary{cursor:pointer;color:var(--dim)}\
svg{font:12px system-ui,sans-serif}svg rect{fill:var(--card);stroke:var(--other);stroke-width:1.5}svg text{fill:var(--ink)}\
svg .up rect{stroke:var(--up)}svg .degraded rect{stroke:var(--degraded)}svg .down rect{stroke:var(--down);stroke-width:3}\
svg .unreachable rect,svg .skipped rect{stroke-dasharray:4 3}svg path{fill:none;stroke:var(--dim);opacity:.6}svg path.want{stroke-dasharray:3 4}";

/// Writes it.
pub(super) fn write(report: &HealthReport) -> String {
    let status = status_word(report.status);
    let headline = match (report.status, report.root_causes.len()) {
        (HealthStatus::Up, _) => "All is well".to_owned(),
        (HealthStatus::Degraded, _) => "It works, but not everything does".to_owned(),
        (HealthStatus::Down, 0) => "Not everything could be looked at".to_owned(),
        (HealthStatus::Down, 1) => "One root cause".to_owned(),
        (HealthStatus::Down, count) => format!("{count} root causes"),
    };
    let mut text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Health: {status}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1><span class=\"dot {status}\"></span>{headline}</h1>\n"
    );
    let vantage =
        report.vantage.as_deref().map(|vantage| format!(", seen from {}", escape(vantage))).unwrap_or_default();
    let summary = &report.summary;
    text.push_str(&format!(
        "<p class=\"dim\">{} up, {} degraded, {} down, {} blocked, {} unknown, {} skipped. Began {}{vantage}; took {} ms.</p>\n",
        summary.up,
        summary.degraded,
        summary.down,
        summary.unreachable,
        summary.unknown,
        summary.skipped,
        escape(&report.started_at),
        report.ms
    ));
    causes(report, &mut text);
    if let Some(picture) = svg::write(report) {
        text.push_str(&format!("<h2>What needs what</h2>\n<div class=\"card scroll\">{picture}</div>\n"));
    }
    text.push_str("<h2>Checks</h2>\n<div class=\"card scroll\"><table>\n<tr><th>Check</th><th>Kind</th><th>What was seen</th><th>Time</th></tr>\n");
    let mut checks: Vec<&CheckReport> = report.checks.iter().collect();
    checks.sort_by_key(|check| match check.state {
        CheckState::Down => 0,
        CheckState::Unknown => 1,
        CheckState::Degraded => 2,
        CheckState::Unreachable => 3,
        CheckState::Up => 4,
        CheckState::Skipped => 5,
    });
    for check in checks {
        text.push_str(&row(check));
    }
    text.push_str("</table></div>\n</main>\n</body>\n</html>\n");
    text
}

fn causes(report: &HealthReport, text: &mut String) {
    for cause in &report.root_causes {
        text.push_str(&format!(
            "<div class=\"card cause\"><strong>{}</strong> <span class=\"dim\">{}</span><br>{}",
            escape(&cause.id),
            escape(&cause.reason),
            escape(&cause.message)
        ));
        for (word, names) in [("Blocks", &cause.impacts), ("Weakens", &cause.degrades)] {
            if !names.is_empty() {
                text.push_str(&format!(
                    "<details><summary>{word} {}</summary>{}</details>",
                    names.len(),
                    escape(&names.join(", "))
                ));
            }
        }
        for part in &cause.evidence {
            text.push_str(&format!("<div class=\"dim\">{}</div>", escape(part)));
        }
        text.push_str("</div>\n");
    }
    for suspect in &report.suspects {
        text.push_str(&format!(
            "<div class=\"card suspect\"><strong>{}</strong> <span class=\"dim\">suspected</span><br>{}</div>\n",
            escape(&suspect.id),
            escape(&suspect.message)
        ));
    }
}

fn row(check: &CheckReport) -> String {
    let said = match check.state {
        CheckState::Unreachable => format!("blocked by {}", check.blocked_by.join(", ")),
        _ => check.message.clone().unwrap_or_default(),
    };
    let target = check.target.as_deref().map(|target| format!("<div class=\"dim\">{}</div>", escape(target)));
    let state = state_word(check.state);
    format!(
        "<tr><td class=\"n\"><span class=\"dot {state}\" title=\"{state}\"></span>{}</td><td>{}</td><td>{}{}</td><td class=\"r\">{} ms</td></tr>\n",
        escape(&check.id),
        escape(&check.kind),
        escape(&said),
        target.unwrap_or_default(),
        check.ms
    )
}
