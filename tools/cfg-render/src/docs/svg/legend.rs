//! What the colours and lines of a drawing stand for, below it.

use super::{LINE, SMALL, escape, round, text};
use crate::docs::{Diagram, Kind, Line};

/// The mark before each word.
const MARK: (f64, f64) = (18.0, 12.0);
/// The piece of arrow before a word.
const ARROW: f64 = 34.0;
const GAP: f64 = 7.0;
const APART: f64 = 22.0;

type Entries = (Vec<(Kind, &'static str)>, Vec<(Line, &'static str)>);

fn entries(diagram: &Diagram) -> Entries {
    // The internet says its own name, where it is one.
    let kinds = diagram.kinds().into_iter().filter(|(kind, _)| *kind != Kind::Internet).collect();
    let lines = [(Line::Solid, diagram.meanings.solid), (Line::Dashed, diagram.meanings.dashed)]
        .into_iter()
        .filter(|(line, word)| !word.is_empty() && diagram.edges.iter().any(|edge| edge.line == *line))
        .collect();
    (kinds, lines)
}

/// The room that the longest of its words takes.
pub(super) fn widest(diagram: &Diagram) -> f64 {
    let (kinds, lines) = entries(diagram);
    let words = kinds.into_iter().map(|(_, word)| word).chain(lines.into_iter().map(|(_, word)| word));
    words.map(|word| ARROW + GAP + text::width(word, SMALL, false)).fold(0.0, f64::max)
}

/// The legend in lines of at most this width, and how high it is; nothing where everything is of one kind.
pub(super) fn draw(diagram: &Diagram, most: f64, id: &str) -> (String, f64) {
    let (kinds, lines) = entries(diagram);
    if kinds.len() < 2 && lines.is_empty() {
        return (String::new(), 0.0);
    }
    let mut out = String::new();
    let (mut x, mut y) = (0.0, 0.0);
    let mut place = |mark: f64, word: &str| {
        let width = mark + GAP + text::width(word, SMALL, false);
        if x > 0.0 && x + width > most {
            x = 0.0;
            y += LINE + 4.0;
        }
        let at = (x, y);
        x += width + APART;
        at
    };
    for (kind, word) in kinds {
        let (x, y) = place(MARK.0, word);
        let dash = if kind == Kind::External { " stroke-dasharray=\"4 3\"" } else { "" };
        out.push_str(&format!(
            "<rect class=\"b k-{}\"{dash} x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"3\"/>",
            kind.as_str(),
            round(x),
            round(y),
            MARK.0,
            MARK.1
        ));
        word_at(&mut out, x + MARK.0 + GAP, y, word);
    }
    for (line, word) in lines {
        let (x, y) = place(ARROW, word);
        let class = if line == Line::Dashed { "e d" } else { "e" };
        let middle = round(y + MARK.1 / 2.0);
        out.push_str(&format!(
            "<path class=\"{class}\" marker-end=\"url(#{id}-arrow)\" d=\"M{} {middle} H{}\"/>",
            round(x),
            round(x + ARROW)
        ));
        word_at(&mut out, x + ARROW + GAP, y, word);
    }
    (out, y + MARK.1)
}

fn word_at(out: &mut String, x: f64, y: f64, word: &str) {
    out.push_str(&format!("<text class=\"s\" x=\"{}\" y=\"{}\">{}</text>\n", round(x), round(y + 10.0), escape(word)));
}
