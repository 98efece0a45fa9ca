//! SVG that needs nothing else: no fonts, no scripts, no browser to lay it out.

mod legend;
mod palette;
mod text;

use super::layout::{Arrow, Layout, Measure, place};
use super::{Diagram, Kind, Line, Node, Part};

pub(super) use palette::style;
pub(super) use text::escape;

const MARGIN: f64 = 28.0;
const TITLE: f64 = 14.0;
const SMALL: f64 = 11.5;
const PAD: f64 = 14.0;
const LINE: f64 = 16.0;
const CHIP_GAP: f64 = 8.0;
const LAYER_GAP: f64 = 62.0;

/// Draws a diagram. `id` makes the ids inside differ where several drawings share a page.
pub(super) fn draw(diagram: &Diagram, id: &str) -> String {
    draw_with(diagram, id, &style())
}

/// Draws a diagram with this style sheet, which may be empty where the page has it.
pub(super) fn draw_with(diagram: &Diagram, id: &str, style: &str) -> String {
    let shapes: Vec<Shape> = diagram.nodes.iter().map(Shape::of).collect();
    let widths: Vec<f64> = shapes.iter().map(|shape| shape.width).collect();
    let arrows: Vec<Arrow> = diagram
        .edges
        .iter()
        .map(|edge| Arrow { from: edge.from, to: edge.to, group: u8::from(edge.line == Line::Dashed) })
        .collect();
    let layout = place(&widths, &arrows, Measure { gap: 34.0, bend: 10.0, max_width: 1240.0 });
    let (tops, heights, bottom) = rows(&layout, &shapes);
    let head = 44.0;
    let longest = diagram
        .notes
        .iter()
        .map(|note| text::width(note, SMALL, false))
        .fold(text::width(&diagram.title, 18.0, true), f64::max);
    let mut edges = String::new();
    let rows = Rows { tops: &tops, heights: &heights, shapes: &shapes };
    // Labels of arrows at the rims may be wider than the boxes there.
    let (least, most) = draw_edges(&mut edges, diagram, &layout, &rows, id);
    let drawn = most.max(layout.total_width()) - least;
    let longest = longest.max(legend::widest(diagram));
    let width = (drawn.max(longest) + 2.0 * MARGIN).ceil();
    let (legend, legend_height) = legend::draw(diagram, width - 2.0 * MARGIN, id);
    let legend_top = MARGIN + head + bottom + if legend.is_empty() { 0.0 } else { 26.0 };
    let notes_top = legend_top + legend_height + if diagram.notes.is_empty() { 0.0 } else { 26.0 };
    let height = (notes_top + diagram.notes.len() as f64 * 18.0 + MARGIN).ceil();
    let shift = ((width - 2.0 * MARGIN - drawn) / 2.0).max(0.0) - least;

    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plumbline\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         role=\"img\" aria-labelledby=\"{id}-title {id}-desc\">\n<title id=\"{id}-title\">{}</title>\n<desc id=\"{id}-desc\">{}</desc>\n",
        escape(&diagram.title),
        escape(&diagram.description)
    );
    if !style.is_empty() {
        out.push_str(&format!("<style>{style}</style>\n"));
    }
    out.push_str(&format!(
        "<defs><marker id=\"{id}-arrow\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"7\" markerHeight=\"7\" \
         orient=\"auto-start-reverse\"><path class=\"a\" d=\"M0 1 L10 5 L0 9 z\"/></marker></defs>\n<rect class=\"bg\" width=\"{width}\" height=\"{height}\"/>\n"
    ));
    out.push_str(&format!(
        "<text class=\"h\" x=\"{MARGIN}\" y=\"{}\">{}</text>\n",
        MARGIN + 16.0,
        escape(&diagram.title)
    ));
    out.push_str(&format!("<g transform=\"translate({} {})\">\n", round(MARGIN + shift), MARGIN + head));
    out.push_str(&edges);
    for (index, node) in diagram.nodes.iter().enumerate() {
        let layer = layout.layer[index];
        // Low boxes stand in the middle of their row.
        let top = tops[layer] + (heights[layer] - shapes[index].height) / 2.0;
        draw_node(&mut out, node, &shapes[index], layout.left[index], top);
    }
    out.push_str("</g>\n");
    if !legend.is_empty() {
        out.push_str(&format!(
            "<g class=\"legend\" transform=\"translate({MARGIN} {})\">\n{legend}</g>\n",
            round(legend_top)
        ));
    }
    for (index, note) in diagram.notes.iter().enumerate() {
        let y = notes_top + index as f64 * 18.0;
        out.push_str(&format!("<text class=\"s\" x=\"{MARGIN}\" y=\"{}\">{}</text>\n", round(y), escape(note)));
    }
    out.push_str("</svg>\n");
    out
}

/// How large a node is, and its inner order.
struct Shape {
    width: f64,
    height: f64,
    columns: usize,
    chip: (f64, f64),
}

impl Shape {
    fn of(node: &Node) -> Self {
        let title = text::width(&node.title, TITLE, true);
        let lines = node.lines.iter().map(|line| text::width(line, SMALL, false)).fold(title, f64::max);
        let head = 26.0 + LINE * node.lines.len() as f64;
        let round = if matches!(node.kind, Kind::Internet | Kind::Network) { 14.0 } else { 0.0 };
        if node.parts.is_empty() {
            let lid = if is_drum(node.kind) { 10.0 } else { 0.0 };
            return Self {
                width: (lines + 2.0 * (PAD + round)).max(96.0).ceil(),
                height: head + 14.0 + lid,
                columns: 0,
                chip: (0.0, 0.0),
            };
        }
        let widest = |part: &Part| text::width(&part.title, 13.0, true).max(text::width(&part.line, SMALL, false));
        let chip_width = (node.parts.iter().map(widest).fold(0.0, f64::max) + 22.0).max(84.0).ceil();
        let chip_height = if node.parts.iter().any(|part| !part.line.is_empty()) { 42.0 } else { 28.0 };
        // About as wide as high, at most six columns and 700 px.
        let count = node.parts.len() as f64;
        let columns = (count * chip_height * 1.7 / chip_width)
            .sqrt()
            .ceil()
            .clamp(1.0, 6.0)
            .min(count)
            .min((700.0 / chip_width).floor().max(1.0));
        let rows = (count / columns).ceil();
        let grid = columns * (chip_width + CHIP_GAP) - CHIP_GAP;
        Self {
            width: (grid.max(lines) + 2.0 * PAD).ceil(),
            height: head + 12.0 + rows * (chip_height + CHIP_GAP) - CHIP_GAP + PAD,
            columns: columns as usize,
            chip: (chip_width, chip_height),
        }
    }
}

fn is_drum(kind: Kind) -> bool {
    matches!(kind, Kind::Database | Kind::Storage)
}

fn rows(layout: &Layout, shapes: &[Shape]) -> (Vec<f64>, Vec<f64>, f64) {
    let mut tops = Vec::new();
    let mut heights = Vec::new();
    let mut y = 0.0;
    for layer in &layout.layers {
        let height = layer.iter().filter_map(|node| shapes.get(*node)).map(|shape| shape.height).fold(0.0, f64::max);
        tops.push(y);
        heights.push(height);
        y += height + LAYER_GAP;
    }
    (tops, heights, (y - LAYER_GAP).max(0.0))
}

struct Rows<'a> {
    tops: &'a [f64],
    heights: &'a [f64],
    shapes: &'a [Shape],
}

impl Rows<'_> {
    /// Upper and lower edge of the row in which a thing stands.
    fn row(&self, layout: &Layout, index: usize) -> (f64, f64) {
        let layer = layout.layer[index];
        (self.tops[layer], self.tops[layer] + self.heights[layer])
    }

    /// Upper and lower edge of a thing: its own for a node, the row's for a bend.
    fn edges(&self, layout: &Layout, index: usize) -> (f64, f64) {
        let layer = layout.layer[index];
        let height = self.shapes.get(index).map_or(self.heights[layer], |shape| shape.height);
        let top = self.tops[layer] + (self.heights[layer] - height) / 2.0;
        (top, top + height)
    }
}

/// Draws the arrows; returns how far their labels reach to the left and to the right.
fn draw_edges(out: &mut String, diagram: &Diagram, layout: &Layout, rows: &Rows<'_>, id: &str) -> (f64, f64) {
    let mut labels: Vec<(f64, f64, f64)> = Vec::new();
    let mut texts = String::new();
    for (number, (edge, path)) in diagram.edges.iter().zip(&layout.paths).enumerate() {
        let mut d = String::new();
        let mut first = None;
        for (step, pair) in path.windows(2).enumerate() {
            let (x1, x2) = (port(layout, path, step), port(layout, path, step + 1));
            let (y1, y2) = (rows.edges(layout, pair[0]).1, rows.edges(layout, pair[1]).0);
            // Beside a higher box it goes straight, so that it never passes behind one; so does a bend in its row.
            let (r1, r2) = (rows.row(layout, pair[0]).1, rows.row(layout, pair[1]).0);
            // A line of no length would turn the arrow's head to the side.
            let straight =
                |from: f64, to: f64| if (from - to).abs() < 0.5 { String::new() } else { format!(" V{}", round(to)) };
            d.push_str(&format!(
                "{}{} {}{}",
                if step == 0 { "M" } else { " L" },
                round(x1),
                round(y1),
                straight(y1, r1)
            ));
            let bend = (r2 - r1) / 2.0;
            d.push_str(&format!(
                " C{} {} {} {} {} {}{}",
                round(x1),
                round(r1 + bend),
                round(x2),
                round(r2 - bend),
                round(x2),
                round(r2),
                straight(r2, y2)
            ));
            first.get_or_insert((x1, r1, x2, r2));
        }
        let class = if edge.line == Line::Dashed { "e d" } else { "e" };
        let end = if layout.reversed[number] { "marker-start" } else { "marker-end" };
        out.push_str(&format!("<path class=\"{class}\" {end}=\"url(#{id}-arrow)\" d=\"{d}\"/>\n"));
        // What the legend says already.
        let said = edge.line == Line::Dashed && edge.label == diagram.meanings.dashed;
        if let (Some((x1, y1, x2, y2)), false) = (first, edge.label.is_empty() || said) {
            let half = text::width(&edge.label, SMALL, false) / 2.0 + 2.0;
            // The place on the arrow that is hidden least by labels already there.
            let spots = [0.5, 0.68, 0.34, 0.8, 0.22].map(|t| {
                let y = y1 + (y2 - y1) * t;
                let smooth = t * t * (3.0 - 2.0 * t);
                (x1 + (x2 - x1) * smooth, y)
            });
            let clash = |x: f64, y: f64| {
                labels.iter().filter(|(lx, ly, lw)| (x - lx).abs() < half + lw && (y - ly).abs() < 15.0).count()
            };
            let best = spots.iter().copied().min_by_key(|(x, y)| clash(*x, *y)).unwrap_or((x1, y1));
            labels.push((best.0, best.1, half));
            texts.push_str(&format!(
                "<rect class=\"bg\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"15\" rx=\"3\"/><text class=\"s m\" x=\"{}\" y=\"{}\">{}</text>\n",
                round(best.0 - half),
                round(best.1 - 7.5),
                round(half * 2.0),
                round(best.0),
                round(best.1 + 4.0),
                escape(&edge.label)
            ));
        }
    }
    out.push_str(&texts);
    labels.iter().fold((0.0, 0.0), |(least, most): (f64, f64), (x, _, half)| (least.min(x - half), most.max(x + half)))
}

/// Where an arrow touches a thing: arrows of a node are spread over its middle, in the order of their other ends.
fn port(layout: &Layout, path: &[usize], at: usize) -> f64 {
    let index = path[at];
    let below = at + 1 < path.len();
    let mut others: Vec<usize> = Vec::new();
    if (at == 0 && below) || at + 1 == path.len() {
        for other in &layout.paths {
            let end = if at == 0 { other.first() } else { other.last() };
            let near = if at == 0 { other.get(1) } else { other.len().checked_sub(2).and_then(|at| other.get(at)) };
            if let (Some(end), Some(near)) = (end, near)
                && *end == index
                && !others.contains(near)
            {
                others.push(*near);
            }
        }
        others.sort_by(|a, b| layout.center(*a).total_cmp(&layout.center(*b)));
        let own = if at == 0 { path.get(1) } else { path.get(at.saturating_sub(1)) };
        let place = own.and_then(|own| others.iter().position(|other| other == own)).unwrap_or(0);
        let step = (layout.width[index] * 0.6 / others.len().max(1) as f64).min(26.0);
        return layout.center(index) + step * (place as f64 - (others.len() as f64 - 1.0) / 2.0);
    }
    layout.center(index)
}

fn draw_node(out: &mut String, node: &Node, shape: &Shape, x: f64, y: f64) {
    let kind = node.kind.as_str();
    let (w, h) = (shape.width, shape.height);
    let mut hover = node.title.clone();
    for line in &node.lines {
        hover.push_str(", ");
        hover.push_str(line);
    }
    out.push_str(&format!("<g transform=\"translate({} {})\"><title>{}</title>", round(x), round(y), escape(&hover)));
    let paint = format!("class=\"b k-{kind}\"");
    let drum = is_drum(node.kind) && node.parts.is_empty();
    if drum {
        out.push_str(&format!(
            "<path {paint} d=\"M0 9 A{r} 9 0 0 1 {w} 9 V{b} A{r} 9 0 0 1 0 {b} z\"/><path {paint} fill-opacity=\"0\" d=\"M0 9 A{r} 9 0 0 0 {w} 9\"/>",
            r = round(w / 2.0),
            b = h - 9.0
        ));
    } else {
        let radius =
            if matches!(node.kind, Kind::Internet | Kind::Network) && node.parts.is_empty() { h / 2.0 } else { 9.0 };
        let dash = if node.kind == Kind::External { " stroke-dasharray=\"5 4\"" } else { "" };
        out.push_str(&format!("<rect {paint}{dash} width=\"{w}\" height=\"{h}\" rx=\"{}\"/>", round(radius)));
    }
    let mut baseline = if drum { 35.0 } else { 25.0 };
    let middle = round(w / 2.0);
    out.push_str(&format!("<text class=\"t m\" x=\"{middle}\" y=\"{baseline}\">{}</text>", escape(&node.title)));
    for line in &node.lines {
        baseline += LINE;
        out.push_str(&format!("<text class=\"s m\" x=\"{middle}\" y=\"{baseline}\">{}</text>", escape(line)));
    }
    let (cw, ch) = shape.chip;
    let columns = shape.columns.max(1);
    for (index, part) in node.parts.iter().enumerate() {
        let in_row = (node.parts.len() - index / columns * columns).min(columns) as f64;
        let left = (w - (in_row * (cw + CHIP_GAP) - CHIP_GAP)) / 2.0;
        let cx = left + (index % columns) as f64 * (cw + CHIP_GAP);
        let cy = baseline + 13.0 + (index / columns) as f64 * (ch + CHIP_GAP);
        draw_chip(out, part, (cx, cy), (cw, ch));
    }
    out.push_str("</g>\n");
}

fn draw_chip(out: &mut String, part: &Part, (x, y): (f64, f64), (w, h): (f64, f64)) {
    let kind = part.kind.as_str();
    let dash = if part.kind == Kind::External { " stroke-dasharray=\"4 3\"" } else { "" };
    out.push_str(&format!(
        "<rect class=\"b k-{kind}\"{dash} x=\"{}\" y=\"{}\" width=\"{w}\" height=\"{h}\" rx=\"6\"/>",
        round(x),
        round(y)
    ));
    let title_at = if part.line.is_empty() { y + h / 2.0 + 4.5 } else { y + 17.0 };
    out.push_str(&format!(
        "<text class=\"c m\" x=\"{}\" y=\"{}\">{}</text>",
        round(x + w / 2.0),
        round(title_at),
        escape(&part.title)
    ));
    if !part.line.is_empty() {
        out.push_str(&format!(
            "<text class=\"s m\" x=\"{}\" y=\"{}\">{}</text>",
            round(x + w / 2.0),
            round(y + 33.0),
            escape(&part.line)
        ));
    }
}

/// Two decimals: the same text on every machine.
fn round(value: f64) -> f64 {
    let rounded = (value * 100.0).round() / 100.0;
    if rounded == 0.0 { 0.0 } else { rounded }
}
