//! Boxes of text.

use std::collections::BTreeMap;

use super::layout::{Arrow, Layout, Measure, place};
use super::{Diagram, Line, Node};

/// Draws a diagram in boxes that fit a terminal of 100 columns wherever they can.
pub(super) fn draw(diagram: &Diagram) -> String {
    let boxes: Vec<Vec<String>> = diagram.nodes.iter().map(draw_box).collect();
    let widths: Vec<f64> =
        boxes.iter().map(|lines| lines.iter().map(|line| columns(line)).max().unwrap_or(0) as f64).collect();
    let arrows: Vec<Arrow> =
        diagram.edges.iter().map(|edge| Arrow { from: edge.from, to: edge.to, group: 0 }).collect();
    let mut layout = place(&widths, &arrows, Measure { gap: 3.0, bend: 1.0, max_width: 98.0 });
    to_cells(&mut layout);
    let mut canvas = Canvas::default();
    let mut top = 0;
    for (index, layer) in layout.layers.iter().enumerate() {
        let height = layer.iter().filter_map(|node| boxes.get(*node)).map(Vec::len).max().unwrap_or(1);
        for &node in layer {
            let left = layout.left[node] as usize;
            match boxes.get(node) {
                Some(lines) => {
                    for (row, line) in lines.iter().enumerate() {
                        canvas.text(top + row, left, line);
                    }
                    // Arrows begin at the lower edge of the layer, which a low box does not reach.
                    if has_below(&layout, node) {
                        let column = middle(&layout, node);
                        canvas.put(top + lines.len() - 1, column, '┬');
                        (lines.len()..height).for_each(|row| canvas.put(top + row, column, '│'));
                    }
                }
                None => (0..height).for_each(|row| canvas.put(top + row, left, '│')),
            }
        }
        top += height;
        if index + 1 < layout.layers.len() {
            top = draw_gap(&mut canvas, &layout, index, top, boxes.len());
        }
    }
    let mut text = format!("{}\n{}\n\n", one_line(&diagram.title), "=".repeat(columns(&one_line(&diagram.title))));
    text.push_str(&canvas.finish());
    legend(&mut text, diagram);
    text
}

/// What did not fit beside the arrows, and the remarks.
fn legend(text: &mut String, diagram: &Diagram) {
    let labelled: Vec<_> =
        diagram.edges.iter().filter(|edge| !edge.label.is_empty() || edge.line == Line::Dashed).collect();
    if !labelled.is_empty() {
        text.push('\n');
    }
    for edge in labelled {
        let name = |index: usize| diagram.nodes.get(index).map_or(String::new(), |node| one_line(&node.title));
        let arrow = if edge.line == Line::Dashed { "- ->" } else { "--->" };
        let label = if edge.label.is_empty() { String::new() } else { format!("  {}", one_line(&edge.label)) };
        text.push_str(&format!("{} {arrow} {}{label}\n", name(edge.from), name(edge.to)));
    }
    if !diagram.notes.is_empty() {
        text.push('\n');
    }
    for note in &diagram.notes {
        text.push_str(&format!("{}\n", one_line(note)));
    }
}

fn draw_box(node: &Node) -> Vec<String> {
    let mut lines = vec![one_line(&node.title)];
    lines.extend(node.lines.iter().map(|line| one_line(line)));
    let parts: Vec<(String, String)> =
        node.parts.iter().map(|part| (one_line(&part.title), one_line(&part.line))).collect();
    let first = parts.iter().map(|(title, _)| columns(title)).max().unwrap_or(0);
    let parts: Vec<String> = parts
        .into_iter()
        .map(|(title, line)| format!("{}  {line}", pad(&title, first)).trim_end().to_owned())
        .collect();
    let inner = lines.iter().chain(&parts).map(|line| columns(line)).max().unwrap_or(0);
    let rule = "─".repeat(inner + 2);
    let mut drawn = vec![format!("┌{rule}┐")];
    drawn.extend(lines.iter().map(|line| format!("│ {} │", pad(line, inner))));
    if !parts.is_empty() {
        drawn.push(format!("├{rule}┤"));
        drawn.extend(parts.iter().map(|line| format!("│ {} │", pad(line, inner))));
    }
    drawn.push(format!("└{rule}┘"));
    drawn
}

/// Whole cells, still without overlaps.
fn to_cells(layout: &mut Layout) {
    for layer in &layout.layers {
        let mut least = 0.0;
        for &node in layer {
            layout.left[node] = layout.left[node].round().max(least);
            least = layout.left[node] + layout.width[node] + 2.0;
        }
    }
}

fn middle(layout: &Layout, index: usize) -> usize {
    (layout.left[index] + ((layout.width[index] - 1.0) / 2.0).floor()) as usize
}

fn has_below(layout: &Layout, index: usize) -> bool {
    layout.paths.iter().any(|path| path.split_last().is_some_and(|(_, rest)| rest.contains(&index)))
}

const UP: u8 = 1;
const DOWN: u8 = 2;
const LEFT: u8 = 4;
const RIGHT: u8 = 8;

/// An arrow's piece between two layers, by the things at its ends.
type Piece = (usize, usize);

/// Lines that are drawn as one: they part and meet on one track.
struct Net {
    above: Vec<usize>,
    below: Vec<usize>,
}

/// Draws the arrows between a layer and the next. What is connected with each other share a track; where a line only
/// passes another's track it is drawn through.
fn draw_gap(canvas: &mut Canvas, layout: &Layout, upper: usize, top: usize, nodes: usize) -> usize {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut heads: BTreeMap<usize, bool> = BTreeMap::new();
    for (number, path) in layout.paths.iter().enumerate() {
        for pair in path.windows(2).filter(|pair| layout.layer[pair[0]] == upper) {
            if !pieces.contains(&(pair[0], pair[1])) {
                pieces.push((pair[0], pair[1]));
            }
            *heads.entry(pair[1]).or_default() |= !layout.reversed[number] && pair[1] < nodes;
            if layout.reversed[number] && pair[0] < nodes {
                canvas.put(top, middle(layout, pair[0]), '▲');
            }
        }
    }
    if pieces.is_empty() {
        return top;
    }
    let nets = nets(&pieces);
    // A single arrow goes straight down where the lower box is wide enough.
    let column_below = |net: &Net, to: usize| {
        let own = middle(layout, to);
        match (net.above.as_slice(), net.below.as_slice()) {
            ([from], [_]) if to < nodes => {
                let (column, left) = (middle(layout, *from), layout.left[to] as usize);
                if column > left && column + 1 < left + layout.width[to] as usize { column } else { own }
            }
            _ => own,
        }
    };
    // Tracks whose spans do not touch share a row.
    let mut rows: Vec<Vec<(usize, usize)>> = vec![Vec::new()];
    let mut tracks = Vec::new();
    for (number, net) in nets.iter().enumerate() {
        let ups: Vec<usize> = net.above.iter().map(|from| middle(layout, *from)).collect();
        let downs: Vec<usize> = net.below.iter().map(|to| column_below(net, *to)).collect();
        let (low, high) =
            ups.iter().chain(&downs).fold((usize::MAX, 0), |(low, high), column| (low.min(*column), high.max(*column)));
        let free = |row: &Vec<(usize, usize)>| row.iter().all(|(a, b)| high + 1 < *a || b + 1 < low);
        let row = if low == high { 0 } else { rows.iter().position(free).unwrap_or(rows.len()) };
        if row == rows.len() {
            rows.push(Vec::new());
        }
        if low != high {
            rows[row].push((low, high));
        }
        tracks.push((number, row, ups, downs, low, high));
    }
    let first = top + 1;
    let end = first + rows.len();
    for (number, row, ups, downs, low, high) in tracks {
        let track = first + row;
        for column in ups {
            (top..track).for_each(|row| canvas.line(row, column, UP | DOWN, number));
            canvas.line(track, column, UP, number);
        }
        for column in low..=high {
            let mask = if column > low { LEFT } else { 0 } | if column < high { RIGHT } else { 0 };
            canvas.line(track, column, mask, number);
        }
        for column in downs {
            canvas.line(track, column, DOWN, number);
            (track + 1..end).for_each(|row| canvas.line(row, column, UP | DOWN, number));
        }
    }
    for net in &nets {
        for to in &net.below {
            let down = heads.get(to).copied().unwrap_or_default();
            canvas.put(end, column_below(net, *to), if down { '▼' } else { '│' });
        }
    }
    end + 1
}

/// Pieces that hang together and connect everything above with everything below are one net; else each thing above has
/// one of its own.
fn nets(pieces: &[Piece]) -> Vec<Net> {
    let mut groups: Vec<Net> = Vec::new();
    for &(from, to) in pieces {
        let (touching, mut rest): (Vec<Net>, Vec<Net>) =
            groups.into_iter().partition(|net| net.above.contains(&from) || net.below.contains(&to));
        let mut net = Net { above: vec![from], below: vec![to] };
        for other in touching {
            net.above.extend(other.above);
            net.below.extend(other.below);
        }
        for ends in [&mut net.above, &mut net.below] {
            ends.sort_unstable();
            ends.dedup();
        }
        rest.push(net);
        groups = rest;
    }
    let mut nets = Vec::new();
    for net in groups {
        let complete = net.above.iter().all(|from| net.below.iter().all(|to| pieces.contains(&(*from, *to))));
        if complete {
            nets.push(net);
        } else {
            nets.extend(net.above.iter().map(|from| Net {
                above: vec![*from],
                below: pieces.iter().filter(|(above, _)| above == from).map(|(_, to)| *to).collect(),
            }));
        }
    }
    nets
}

#[derive(Default)]
struct Canvas {
    cells: BTreeMap<(usize, usize), char>,
    lines: BTreeMap<(usize, usize), Vec<(usize, u8)>>,
}

impl Canvas {
    fn put(&mut self, row: usize, column: usize, c: char) {
        self.cells.insert((row, column), c);
    }

    fn text(&mut self, row: usize, column: usize, text: &str) {
        let mut at = column;
        for c in text.chars() {
            self.put(row, at, c);
            at += width_of(c);
        }
    }

    /// Adds a piece of a line that belongs to a net.
    fn line(&mut self, row: usize, column: usize, mask: u8, net: usize) {
        let pieces = self.lines.entry((row, column)).or_default();
        match pieces.iter_mut().find(|(known, _)| *known == net) {
            Some((_, known)) => *known |= mask,
            None => pieces.push((net, mask)),
        }
    }

    fn finish(mut self) -> String {
        for (place, pieces) in std::mem::take(&mut self.lines) {
            let all = pieces.iter().fold(0, |all, (_, mask)| all | mask);
            let passes = |mask: u8| mask == UP | DOWN;
            let lies = |mask: u8| mask & (UP | DOWN) == 0;
            // A line that only passes another's track is no junction.
            let crossing = pieces.iter().any(|(_, mask)| passes(*mask))
                && pieces.iter().any(|(_, mask)| lies(*mask))
                && pieces.iter().all(|(_, mask)| passes(*mask) || lies(*mask));
            let c = if crossing { '│' } else { box_char(all) };
            self.cells.entry(place).or_insert(c);
        }
        let mut text = String::new();
        let last = self.cells.keys().map(|(row, _)| *row).max().unwrap_or(0);
        for row in 0..=last {
            let mut line = String::new();
            let mut at = 0;
            for ((_, column), c) in self.cells.range((row, 0)..(row + 1, 0)) {
                while at < *column {
                    line.push(' ');
                    at += 1;
                }
                line.push(*c);
                at += width_of(*c);
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

fn box_char(mask: u8) -> char {
    match (mask & UP != 0, mask & DOWN != 0, mask & LEFT != 0, mask & RIGHT != 0) {
        (true, true, true, true) => '┼',
        (true, true, true, false) => '┤',
        (true, true, false, true) => '├',
        (true, false, true, true) => '┴',
        (false, true, true, true) => '┬',
        (true, false, true, false) => '┘',
        (true, false, false, true) => '└',
        (false, true, true, false) => '┐',
        (false, true, false, true) => '┌',
        (false, false, _, _) => '─',
        _ => '│',
    }
}

/// Columns that a text takes in a terminal: two for wide characters (UAX #11, the blocks that matter).
fn columns(text: &str) -> usize {
    text.chars().map(width_of).sum()
}

fn width_of(c: char) -> usize {
    let wide = matches!(u32::from(c), 0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff | 0x20000..=0x3fffd);
    if wide { 2 } else { 1 }
}

fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(columns(text))))
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
