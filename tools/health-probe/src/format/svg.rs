//! The graph as a picture: what is needed stands left of what needs it.
//!
//! A picture of two hundred boxes says nothing. Where there are many checks, those that are well and those that are merely
//! blocked are drawn as one box for each group, and those that are broken in themselves stay boxes of their own.

use std::collections::{BTreeSet, HashMap, HashSet};

use contract::document::{CheckReport, CheckState, HealthReport};

use super::{escape, state_word};

/// More checks than this are drawn with their healthy ones put together.
const APART: usize = 40;
/// More boxes than this make a picture that nobody can read.
const MOST: usize = 90;
const HEIGHT: usize = 34;
const GAP_X: usize = 64;
const GAP_Y: usize = 12;
const MARGIN: usize = 4;
/// Width of a character at this size, in tenths of a pixel: no font is asked.
const CHARACTER: usize = 72;
/// The same for the smaller line below it.
const SMALL: usize = 58;
/// The longest label, in characters.
const LABEL: usize = 30;
/// How often the rows are put in order.
const SWEEPS: usize = 6;

/// A picture and what its lines mean.
pub(super) struct Picture {
    /// The picture itself.
    pub svg: String,
    /// What its lines mean, and what it leaves out.
    pub legend: String,
}

/// One box.
struct Figure {
    label: String,
    small: String,
    title: String,
    state: CheckState,
    anchor: Option<usize>,
}

/// One line, from what is needed to what needs it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    from: usize,
    to: usize,
    class: &'static str,
    hot: bool,
}

/// The picture; none where there are no edges, or too many boxes.
pub(super) fn write(report: &HealthReport) -> Option<Picture> {
    let checks = &report.checks;
    let linked = linked(checks);
    if linked.is_empty() {
        return None;
    }
    let together = linked.len() > APART;
    let (boxes, places) = boxes(checks, &linked, together);
    if boxes.len() > MOST {
        return None;
    }
    let lines = lines(checks, &places);
    let columns = columns(boxes.len(), &lines);
    let svg = draw(&boxes, &lines, &order(&columns, &lines), &columns);
    let mut legend =
        "Left is what is needed. Whole line: needs; dashed: one of several; dotted: works without.".to_owned();
    if together {
        legend.push_str(" What is well or blocked is drawn as one box for each group.");
    }
    let alone = checks.len() - linked.len();
    if alone > 0 {
        legend.push_str(&format!(" {alone} without a line are not drawn."));
    }
    Some(Picture { svg, legend })
}

/// Checks with an edge, by place.
fn linked(checks: &[CheckReport]) -> BTreeSet<usize> {
    let places: HashMap<&str, usize> = checks.iter().enumerate().map(|(at, check)| (check.id.as_str(), at)).collect();
    let mut linked = BTreeSet::new();
    for (at, check) in checks.iter().enumerate() {
        for (id, _) in mentions(check) {
            if let Some(&other) = places.get(id) {
                linked.extend([at, other]);
            }
        }
    }
    linked
}

/// What a check mentions, with the class of the line.
fn mentions(check: &CheckReport) -> impl Iterator<Item = (&str, &'static str)> {
    let needs = check.needs.iter().map(|id| (id.as_str(), "need"));
    let any = check.needs_any.iter().flatten().map(|id| (id.as_str(), "any"));
    needs.chain(any).chain(check.wants.iter().map(|id| (id.as_str(), "want")))
}

/// The boxes, and in which of them each check is.
fn boxes<'a>(
    checks: &'a [CheckReport],
    linked: &BTreeSet<usize>,
    together: bool,
) -> (Vec<Figure>, HashMap<&'a str, usize>) {
    let mut boxes: Vec<Figure> = Vec::new();
    let mut places = HashMap::new();
    let mut groups: HashMap<(&str, &str), (usize, usize)> = HashMap::new();
    for &at in linked {
        let check = &checks[at];
        // What is well, and what is merely blocked, is told by number; what is broken in itself has a box of its own.
        let word = match check.state {
            CheckState::Up => "healthy",
            CheckState::Unreachable => "blocked",
            CheckState::Skipped => "left out",
            CheckState::Down | CheckState::Degraded | CheckState::Unknown => "",
        };
        if together && !word.is_empty() {
            let group = check.group.as_deref().unwrap_or(&check.kind);
            let (place, count) = groups.entry((group, word)).or_insert((boxes.len(), 0));
            *count += 1;
            if *count == 1 {
                boxes.push(Figure { label: group.to_owned(), ..Figure::of(check, None) });
            } else if let Some(one) = boxes.get_mut(*place) {
                one.small = format!("{count} {word}");
                one.title = format!("{group}: {count} checks {word}");
            }
            places.insert(check.id.as_str(), *place);
            continue;
        }
        places.insert(check.id.as_str(), boxes.len());
        boxes.push(Figure::of(check, Some(at)));
    }
    (boxes, places)
}

impl Figure {
    fn of(check: &CheckReport, anchor: Option<usize>) -> Self {
        let state = state_word(check.state);
        let message = check.message.as_deref().unwrap_or_default();
        let small = match check.state {
            CheckState::Up | CheckState::Skipped => check.kind.clone(),
            CheckState::Unreachable => "blocked".to_owned(),
            _ => check.reason.clone().unwrap_or_else(|| state.to_owned()),
        };
        let title: String = message.chars().take(160).collect();
        let title =
            if title.is_empty() { format!("{}: {state}", check.id) } else { format!("{}: {state}, {title}", check.id) };
        Self { label: check.id.clone(), small, title, state: check.state, anchor }
    }
}

fn lines(checks: &[CheckReport], places: &HashMap<&str, usize>) -> Vec<Line> {
    let bad = checks.iter().filter(|check| matches!(check.state, CheckState::Down | CheckState::Unreachable));
    let bad: HashSet<&str> = bad.map(|check| check.id.as_str()).collect();
    let mut lines = BTreeSet::new();
    for check in checks {
        let Some(&to) = places.get(check.id.as_str()) else { continue };
        for (id, class) in mentions(check) {
            if let Some(&from) = places.get(id).filter(|from| **from != to) {
                let hot =
                    class != "want" && bad.contains(id) && !matches!(check.state, CheckState::Up | CheckState::Skipped);
                lines.insert(Line { from, to, class, hot });
            }
        }
    }
    lines.into_iter().collect()
}

/// How far each box is from what needs nothing. Boxes of groups may form a cycle; this ends all the same.
fn columns(count: usize, lines: &[Line]) -> Vec<usize> {
    let mut columns = vec![0_usize; count];
    let most = count.min(24);
    for _ in 0..most {
        let before = columns.clone();
        for line in lines {
            columns[line.to] = columns[line.to].max(columns[line.from] + 1).min(most);
        }
        if columns == before {
            break;
        }
    }
    // Columns that a cycle left empty are closed.
    let used: BTreeSet<usize> = columns.iter().copied().collect();
    columns.iter().map(|column| used.range(..column).count()).collect()
}

/// The boxes of each column from top to bottom: near what they are joined to, so that few lines cross.
fn order(columns: &[usize], lines: &[Line]) -> Vec<Vec<usize>> {
    let width = columns.iter().max().map_or(0, |last| last + 1);
    let mut order: Vec<Vec<usize>> = vec![Vec::new(); width];
    for (at, &column) in columns.iter().enumerate() {
        order[column].push(at);
    }
    let mut rows = vec![0.0_f64; columns.len()];
    let place = |order: &[Vec<usize>], rows: &mut [f64]| {
        for column in order {
            // Measured from the middle, so that columns of different lengths compare.
            let middle = column.len() as f64 / 2.0;
            for (row, &at) in column.iter().enumerate() {
                rows[at] = row as f64 - middle;
            }
        }
    };
    place(&order, &mut rows);
    for sweep in 0..SWEEPS {
        let forward = sweep % 2 == 0;
        for step in 0..width {
            let column = if forward { step } else { width - 1 - step };
            let wish = |at: usize| -> f64 {
                let joined = lines.iter().filter_map(|line| match (line.from == at, line.to == at) {
                    (true, _) if !forward => Some(rows[line.to]),
                    (_, true) if forward => Some(rows[line.from]),
                    _ => None,
                });
                let (sum, count) = joined.fold((0.0, 0_u32), |(sum, count), row| (sum + row, count + 1));
                if count == 0 { rows[at] } else { sum / f64::from(count) }
            };
            let mut wishes: Vec<(f64, usize)> = order[column].iter().map(|&at| (wish(at), at)).collect();
            wishes.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            order[column] = wishes.into_iter().map(|(_, at)| at).collect();
            place(&order, &mut rows);
        }
    }
    order
}

fn draw(boxes: &[Figure], lines: &[Line], order: &[Vec<usize>], columns: &[usize]) -> String {
    let label = |one: &Figure| -> String {
        let short: String = one.label.chars().take(LABEL).collect();
        if short.len() < one.label.len() { format!("{short}…") } else { short }
    };
    let tallest = order.iter().map(Vec::len).max().unwrap_or(1);
    let height = tallest * (HEIGHT + GAP_Y) - GAP_Y + 2 * MARGIN;
    let mut positions = vec![(0_usize, 0_usize); boxes.len()];
    let mut widths = Vec::with_capacity(order.len());
    let mut x = MARGIN;
    for column in order {
        let wide = |one: &Figure| (label(one).chars().count() * CHARACTER).max(one.small.chars().count() * SMALL);
        let longest = column.iter().map(|&at| wide(&boxes[at])).max().unwrap_or(0);
        let width = (longest / 10 + 38).max(96);
        let top = (height - (column.len() * (HEIGHT + GAP_Y) - GAP_Y)) / 2;
        for (row, &at) in column.iter().enumerate() {
            positions[at] = (x, top + row * (HEIGHT + GAP_Y));
        }
        widths.push(width);
        x += width + GAP_X;
    }
    let width = x - GAP_X + MARGIN;
    let mut text = format!(
        "<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" aria-label=\"What needs what\">\n"
    );
    // Lines of what is broken lie above the others.
    for hot in [false, true] {
        // Groups may need each other; a line back would only tangle the picture.
        let forward = |line: &&Line| line.hot == hot && columns[line.from] < columns[line.to];
        for line in lines.iter().filter(forward) {
            let (from_x, from_y) =
                (positions[line.from].0 + widths[columns[line.from]], positions[line.from].1 + HEIGHT / 2);
            let (to_x, to_y) = (positions[line.to].0, positions[line.to].1 + HEIGHT / 2);
            let bend = to_x.saturating_sub(from_x) / 2;
            let class = if hot { format!("{} hot", line.class) } else { line.class.to_owned() };
            text.push_str(&format!(
                "<path class=\"{class}\" d=\"M{from_x} {from_y}C{} {from_y} {} {to_y} {to_x} {to_y}\"/>\n",
                from_x + bend,
                to_x.saturating_sub(bend)
            ));
        }
    }
    for (at, one) in boxes.iter().enumerate() {
        let (x, y) = positions[at];
        let width = widths[columns[at]];
        let state = state_word(one.state);
        let drawn = format!(
            "<g class=\"{state}\"><title>{}</title><rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{HEIGHT}\" rx=\"8\"/>\
             <circle cx=\"{}\" cy=\"{}\" r=\"4\"/><text x=\"{}\" y=\"{}\">{}</text><text class=\"m\" x=\"{}\" y=\"{}\">{}</text></g>",
            escape(&one.title),
            x + 14,
            y + HEIGHT / 2,
            x + 26,
            y + 15,
            escape(&label(one)),
            x + 26,
            y + 27,
            escape(&one.small)
        );
        match one.anchor {
            Some(anchor) => text.push_str(&format!("<a href=\"#c{anchor}\">{drawn}</a>\n")),
            None => text.push_str(&format!("{drawn}\n")),
        }
    }
    text.push_str("</svg>");
    text
}
