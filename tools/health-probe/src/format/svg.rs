//! The graph as a picture: what is needed stands left of what needs it.

use std::collections::HashMap;

use contract::document::{CheckReport, HealthReport};

use super::{escape, state_word};

/// More checks than this make a picture that nobody can read.
const MOST: usize = 120;
const WIDTH: usize = 190;
const HEIGHT: usize = 30;
const GAP_X: usize = 70;
const GAP_Y: usize = 14;

/// The picture; none where there are no edges, or too many checks.
pub(super) fn write(report: &HealthReport) -> Option<String> {
    let checks = &report.checks;
    let linked = checks.iter().any(|check| needs(check).next().is_some());
    if !linked || checks.len() > MOST {
        return None;
    }
    let places: HashMap<&str, usize> = checks.iter().enumerate().map(|(at, check)| (check.id.as_str(), at)).collect();
    let columns = columns(checks, &places);
    let mut rows: HashMap<usize, usize> = HashMap::new();
    let positions: Vec<(usize, usize)> = columns
        .iter()
        .map(|&column| {
            let row = rows.entry(column).or_insert(0);
            *row += 1;
            (10 + column * (WIDTH + GAP_X), 10 + (*row - 1) * (HEIGHT + GAP_Y))
        })
        .collect();
    let width = columns.iter().max().map_or(0, |last| last + 1) * (WIDTH + GAP_X) - GAP_X + 20;
    let height = rows.values().max().copied().unwrap_or(1) * (HEIGHT + GAP_Y) + 10;
    let mut text = format!(
        "<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" aria-label=\"What needs what\">\n"
    );
    for (at, check) in checks.iter().enumerate() {
        let (x, y) = positions[at];
        for (other, class) in needs(check) {
            let Some(&other) = places.get(other) else { continue };
            let (from_x, from_y) = (positions[other].0 + WIDTH, positions[other].1 + HEIGHT / 2);
            let (to_x, to_y) = (x, y + HEIGHT / 2);
            let middle = from_x.midpoint(to_x);
            text.push_str(&format!(
                "<path class=\"{class}\" d=\"M{from_x} {from_y} C{middle} {from_y} {middle} {to_y} {to_x} {to_y}\"/>\n"
            ));
        }
    }
    for (at, check) in checks.iter().enumerate() {
        let (x, y) = positions[at];
        let state = state_word(check.state);
        let short: String = check.id.chars().take(24).collect();
        text.push_str(&format!(
            "<g class=\"n {state}\"><title>{}: {state}</title><rect x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"7\"/>\
             <text x=\"{}\" y=\"{}\">{}</text></g>\n",
            escape(&check.id),
            x + 12,
            y + 20,
            escape(&short)
        ));
    }
    text.push_str("</svg>\n");
    Some(text)
}

/// What a check mentions, with the class of the line.
fn needs(check: &CheckReport) -> impl Iterator<Item = (&str, &'static str)> {
    let hard = check.needs.iter().chain(check.needs_any.iter().flatten()).map(|id| (id.as_str(), "need"));
    hard.chain(check.wants.iter().map(|id| (id.as_str(), "want")))
}

/// How far each check is from what needs nothing. The report has no cycles; if one had, this would still end.
fn columns(checks: &[CheckReport], places: &HashMap<&str, usize>) -> Vec<usize> {
    let mut columns = vec![0; checks.len()];
    for _ in 0..checks.len() {
        let mut moved = false;
        for (at, check) in checks.iter().enumerate() {
            let deepest = needs(check).filter_map(|(id, _)| places.get(id)).map(|&other| columns[other] + 1).max();
            let column = deepest.unwrap_or(0).min(checks.len());
            moved |= column != columns[at];
            columns[at] = column;
        }
        if !moved {
            break;
        }
    }
    columns
}
