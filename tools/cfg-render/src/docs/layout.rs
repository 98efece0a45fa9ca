//! Places for the nodes of a diagram, in layers from top to bottom (after Sugiyama, Tagawa and Toda, 1981).
//!
//! Cycles are opened, nodes get layers by the longest way to them, layers that are too wide are broken into rows, long
//! arrows get a bend in every layer they pass (shared by all arrows to one node, so that they run together), the order in
//! a layer follows the neighbours' barycentres, and x minimises the distance to the neighbours exactly.

use std::collections::BTreeMap;

/// Sizes in whatever unit the drawing has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measure {
    /// Between two nodes of a layer.
    pub gap: f64,
    /// Room that a bend takes.
    pub bend: f64,
    /// A layer wider than this is broken.
    pub max_width: f64,
}

/// An arrow to be placed. Arrows of the same group to the same node share their bends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrow {
    pub from: usize,
    pub to: usize,
    pub group: u8,
}

/// Where things are. Bends have indices from the number of nodes on.
#[derive(Debug, Clone, Default)]
pub(super) struct Layout {
    /// Left edges, of nodes and then bends.
    pub left: Vec<f64>,
    /// Widths, of nodes and then bends.
    pub width: Vec<f64>,
    /// Layer of each.
    pub layer: Vec<usize>,
    /// Who stands in each layer, from left to right.
    pub layers: Vec<Vec<usize>>,
    /// For each arrow the things that it passes, from its upper to its lower end.
    pub paths: Vec<Vec<usize>>,
    /// Whether an arrow points upwards.
    pub reversed: Vec<bool>,
}

impl Layout {
    /// The middle of a thing.
    pub(super) fn center(&self, index: usize) -> f64 {
        self.left[index] + self.width[index] / 2.0
    }

    /// The whole width.
    pub(super) fn total_width(&self) -> f64 {
        (0..self.left.len()).map(|index| self.left[index] + self.width[index]).fold(0.0, f64::max)
    }
}

/// Places nodes of these widths.
pub(super) fn place(widths: &[f64], arrows: &[Arrow], measure: Measure) -> Layout {
    let reversed = back_arrows(widths.len(), arrows);
    let down: Vec<(usize, usize)> = arrows
        .iter()
        .zip(&reversed)
        .map(|(arrow, reversed)| if *reversed { (arrow.to, arrow.from) } else { (arrow.from, arrow.to) })
        .collect();
    let layer = rows(&layers_of(widths.len(), &down), widths, &down, measure);
    let mut layout = Layout { width: widths.to_vec(), layer, reversed, ..Layout::default() };
    add_bends(&mut layout, &down, arrows, measure);
    let (above, below) = neighbours(&layout);
    order(&mut layout, &above, &below);
    spread(&mut layout, &above, &below, measure);
    layout
}

/// Which arrows close a cycle, found in the order in which things were declared.
fn back_arrows(count: usize, arrows: &[Arrow]) -> Vec<bool> {
    let mut out: Vec<Vec<(usize, usize)>> = vec![Vec::new(); count];
    for (index, arrow) in arrows.iter().enumerate() {
        out[arrow.from].push((arrow.to, index));
    }
    let mut back = vec![false; arrows.len()];
    // 0: not seen, 1: on the way, 2: done. Without recursion, for fleets of any size.
    let mut state = vec![0_u8; count];
    for start in 0..count {
        if state[start] != 0 {
            continue;
        }
        state[start] = 1;
        let mut stack = vec![(start, 0_usize)];
        while let Some((node, next)) = stack.pop() {
            let Some(&(to, arrow)) = out[node].get(next) else {
                state[node] = 2;
                continue;
            };
            stack.push((node, next + 1));
            match state[to] {
                0 => {
                    state[to] = 1;
                    stack.push((to, 0));
                }
                1 => back[arrow] = true,
                _ => {}
            }
        }
    }
    back
}

/// Layers by the longest way from above; things that nothing points at move down to what they point at.
fn layers_of(count: usize, down: &[(usize, usize)]) -> Vec<usize> {
    let mut waiting = vec![0_usize; count];
    let mut out: Vec<Vec<usize>> = vec![Vec::new(); count];
    for &(from, to) in down {
        out[from].push(to);
        waiting[to] += 1;
    }
    let has_in: Vec<bool> = waiting.iter().map(|count| *count > 0).collect();
    let mut layer = vec![0_usize; count];
    let mut ready: Vec<usize> = (0..count).filter(|node| waiting[*node] == 0).collect();
    let mut head = 0;
    while let Some(&node) = ready.get(head) {
        head += 1;
        for &to in &out[node] {
            layer[to] = layer[to].max(layer[node] + 1);
            waiting[to] -= 1;
            if waiting[to] == 0 {
                ready.push(to);
            }
        }
    }
    for node in 0..count {
        if let (false, Some(nearest)) = (has_in[node], out[node].iter().map(|to| layer[*to]).min()) {
            layer[node] = nearest.saturating_sub(1);
        }
    }
    layer
}

/// Breaks layers that are too wide into several. Things without arrows go below everything.
fn rows(layer: &[usize], widths: &[f64], down: &[(usize, usize)], measure: Measure) -> Vec<usize> {
    let mut connected = vec![false; layer.len()];
    for &(from, to) in down {
        connected[from] = true;
        connected[to] = true;
    }
    let alone = layer.iter().max().map_or(0, |max| max + 1);
    let mut by_layer: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (node, layer) in layer.iter().enumerate() {
        by_layer.entry(if connected[node] { *layer } else { alone }).or_default().push(node);
    }
    let mut result = vec![0; layer.len()];
    let mut row = 0;
    for members in by_layer.values() {
        // As many rows as are needed, and each about as wide as the others.
        let total: f64 = members.iter().map(|node| widths[*node] + measure.gap).sum();
        let count = (total / measure.max_width).ceil().max(1.0);
        let room = total / count;
        let mut used = 0.0;
        for &node in members {
            let width = widths[node] + measure.gap;
            if used > 0.0 && (used + width > measure.max_width || used + width / 2.0 > room) {
                row += 1;
                used = 0.0;
            }
            used += width;
            result[node] = row;
        }
        row += 1;
    }
    result
}

fn add_bends(layout: &mut Layout, down: &[(usize, usize)], arrows: &[Arrow], measure: Measure) {
    let mut bends: BTreeMap<(usize, u8, usize), usize> = BTreeMap::new();
    for (&(from, to), arrow) in down.iter().zip(arrows) {
        let mut path = vec![from];
        for layer in layout.layer[from] + 1..layout.layer[to] {
            let bend = *bends.entry((to, arrow.group, layer)).or_insert_with(|| {
                layout.layer.push(layer);
                layout.width.push(measure.bend);
                layout.layer.len() - 1
            });
            path.push(bend);
        }
        path.push(to);
        layout.paths.push(path);
    }
    let count = layout.layer.iter().max().map_or(0, |max| max + 1);
    layout.layers = vec![Vec::new(); count];
    for (index, layer) in layout.layer.iter().enumerate() {
        layout.layers[*layer].push(index);
    }
}

type Neighbours = Vec<Vec<usize>>;

fn neighbours(layout: &Layout) -> (Neighbours, Neighbours) {
    let mut above = vec![Vec::new(); layout.layer.len()];
    let mut below = vec![Vec::new(); layout.layer.len()];
    for path in &layout.paths {
        for pair in path.windows(2) {
            if !below[pair[0]].contains(&pair[1]) {
                below[pair[0]].push(pair[1]);
                above[pair[1]].push(pair[0]);
            }
        }
    }
    (above, below)
}

/// Orders each layer by where the neighbours stand, and keeps the order with the fewest crossings.
fn order(layout: &mut Layout, above: &Neighbours, below: &Neighbours) {
    let mut best = layout.layers.clone();
    let mut fewest = crossings(&best, below);
    for round in 0..12 {
        let downwards = round % 2 == 0;
        let count = layout.layers.len();
        for step in 1..count {
            let (index, fixed, towards) =
                if downwards { (step, step - 1, above) } else { (count - 1 - step, count - step, below) };
            let place = positions(&layout.layers[fixed]);
            let own = positions(&layout.layers[index]);
            let weight = |node: &usize| {
                let near: Vec<f64> =
                    towards[*node].iter().filter_map(|other| place.get(other)).map(|at| *at as f64).collect();
                if near.is_empty() {
                    own.get(node).map_or(0.0, |at| *at as f64)
                } else {
                    near.iter().sum::<f64>() / near.len() as f64
                }
            };
            let mut keyed: Vec<(f64, usize)> = layout.layers[index].iter().map(|node| (weight(node), *node)).collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            layout.layers[index] = keyed.into_iter().map(|(_, node)| node).collect();
        }
        let now = crossings(&layout.layers, below);
        if now < fewest {
            fewest = now;
            best.clone_from(&layout.layers);
        }
        if fewest == 0 {
            break;
        }
    }
    layout.layers = best;
}

fn positions(layer: &[usize]) -> BTreeMap<usize, usize> {
    layer.iter().enumerate().map(|(at, node)| (*node, at)).collect()
}

fn crossings(layers: &[Vec<usize>], below: &Neighbours) -> usize {
    let mut count = 0;
    for pair in layers.windows(2) {
        let place = positions(&pair[1]);
        let mut segments: Vec<(usize, usize)> = Vec::new();
        for (at, node) in pair[0].iter().enumerate() {
            segments.extend(below[*node].iter().filter_map(|to| Some((at, *place.get(to)?))));
        }
        for (index, a) in segments.iter().enumerate() {
            count +=
                segments[index + 1..].iter().filter(|b| (a.0 < b.0 && a.1 > b.1) || (a.0 > b.0 && a.1 < b.1)).count();
        }
    }
    count
}

/// Gives everything a left edge: near its neighbours, in order, without overlaps.
fn spread(layout: &mut Layout, above: &Neighbours, below: &Neighbours, measure: Measure) {
    let total = layout.layer.len();
    layout.left = vec![0.0; total];
    for layer in &layout.layers {
        let mut x = 0.0;
        let width: f64 = layer.iter().map(|node| layout.width[*node] + measure.gap).sum();
        for node in layer {
            layout.left[*node] = x - width / 2.0;
            x += layout.width[*node] + measure.gap;
        }
    }
    let nodes = layout
        .paths
        .iter()
        .flat_map(|path| [path.first(), path.last()])
        .flatten()
        .copied()
        .max()
        .map_or(0, |max| max + 1);
    for round in 0..10 {
        let count = layout.layers.len();
        for step in 0..count {
            let index = if round % 2 == 0 { step } else { count - 1 - step };
            let members = layout.layers[index].clone();
            let wanted: Vec<(f64, f64)> = members
                .iter()
                .map(|node| {
                    // In the last rounds both sides count, so that the picture settles.
                    let sides: Vec<usize> = match (round % 2 == 0, round >= 8) {
                        (_, true) => above[*node].iter().chain(&below[*node]).copied().collect(),
                        (true, false) => above[*node].clone(),
                        (false, false) => below[*node].clone(),
                    };
                    let own = layout.center(*node);
                    if sides.is_empty() {
                        return (own, 0.1);
                    }
                    let mean = sides.iter().map(|other| layout.center(*other)).sum::<f64>() / sides.len() as f64;
                    // Bends should be straight before nodes are centred.
                    (mean, if *node >= nodes { 4.0 } else { 1.0 })
                })
                .collect();
            let half: Vec<f64> = members.iter().map(|node| layout.width[*node] / 2.0).collect();
            for (node, center) in members.iter().zip(separate(&wanted, &half, measure.gap)) {
                layout.left[*node] = center - layout.width[*node] / 2.0;
            }
        }
    }
    // What is connected with nothing stands in the middle.
    let ends = |layout: &Layout, members: &[usize]| {
        let left = members.iter().map(|node| layout.left[*node]).fold(f64::INFINITY, f64::min);
        let right =
            members.iter().map(|node| layout.left[*node] + layout.width[*node]).fold(f64::NEG_INFINITY, f64::max);
        (left, right)
    };
    let (alone, connected): (Vec<_>, Vec<_>) = layout
        .layers
        .clone()
        .into_iter()
        .partition(|layer| layer.iter().all(|node| above[*node].is_empty() && below[*node].is_empty()));
    close_gaps(layout, &connected.concat(), measure.gap * 1.5);
    let (left, right) = ends(layout, &connected.concat());
    let middle = if left.is_finite() { f64::midpoint(left, right) } else { 0.0 };
    for layer in alone {
        let (left, right) = ends(layout, &layer);
        for node in layer {
            layout.left[node] += middle - f64::midpoint(left, right);
        }
    }
    let least = layout.left.iter().copied().fold(f64::INFINITY, f64::min);
    for left in &mut layout.left {
        *left -= least;
    }
}

/// Moves together what stands further apart than this in every layer: parts of the picture that have no arrow between them.
fn close_gaps(layout: &mut Layout, members: &[usize], widest: f64) {
    let mut order = members.to_vec();
    order.sort_by(|a, b| layout.left[*a].total_cmp(&layout.left[*b]));
    let mut shift = 0.0;
    let mut end = f64::INFINITY;
    for node in order {
        shift += (layout.left[node] - end - widest).max(0.0);
        end = if end.is_finite() {
            end.max(layout.left[node] + layout.width[node])
        } else {
            layout.left[node] + layout.width[node]
        };
        layout.left[node] -= shift;
    }
}

/// Centres that are as near as possible to the wanted ones (least squares) and far enough apart: pool adjacent violators.
fn separate(wanted: &[(f64, f64)], half: &[f64], gap: f64) -> Vec<f64> {
    let mut offset = Vec::with_capacity(wanted.len());
    let mut sum = 0.0;
    for index in 0..wanted.len() {
        if index > 0 {
            sum += half[index - 1] + half[index] + gap;
        }
        offset.push(sum);
    }
    // Blocks of (weight, weighted mean of wanted minus offset, length).
    let mut blocks: Vec<(f64, f64, usize)> = Vec::new();
    for (index, (want, weight)) in wanted.iter().enumerate() {
        let mut block = (*weight, want - offset[index], 1);
        while let Some(last) = blocks.last().copied().filter(|last| last.1 > block.1) {
            blocks.pop();
            let weight = last.0 + block.0;
            block = (weight, (last.0 * last.1 + block.0 * block.1) / weight, last.2 + block.2);
        }
        blocks.push(block);
    }
    let mut centers = Vec::with_capacity(wanted.len());
    for (_, value, length) in blocks {
        for _ in 0..length {
            centers.push(value + offset[centers.len()]);
        }
    }
    centers
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MEASURE: Measure = Measure { gap: 2.0, bend: 1.0, max_width: 60.0 };

    proptest! {
        #[test]
        fn nothing_overlaps_and_arrows_go_down(
            widths in prop::collection::vec(3_u8..20, 1..16),
            pairs in prop::collection::vec((0_usize..16, 0_usize..16), 0..40),
        ) {
            let widths: Vec<f64> = widths.into_iter().map(f64::from).collect();
            let arrows: Vec<Arrow> = pairs
                .into_iter()
                .filter(|(from, to)| from != to && *from < widths.len() && *to < widths.len())
                .map(|(from, to)| Arrow { from, to, group: 0 })
                .collect();
            let layout = place(&widths, &arrows, MEASURE);
            for layer in &layout.layers {
                for pair in layer.windows(2) {
                    let end = layout.left[pair[0]] + layout.width[pair[0]];
                    prop_assert!(layout.left[pair[1]] - end > 1.999, "{layout:?}");
                }
            }
            for path in &layout.paths {
                for pair in path.windows(2) {
                    prop_assert_eq!(layout.layer[pair[0]] + 1, layout.layer[pair[1]]);
                }
            }
        }
    }
}
