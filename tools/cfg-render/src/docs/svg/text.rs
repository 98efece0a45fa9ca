//! Widths of texts, so that boxes fit without a browser.

/// Widths of U+0020 to U+007E in thousandths of the size, from the metrics of Helvetica (Adobe, Core 14 AFM).
const HELVETICA: [u16; 95] = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556,
    556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833,
    722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556,
    556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334,
    260, 334, 584,
];

/// Width of a text in pixels at a size, with room for fonts that run wider (DejaVu Sans does, by 15 %).
pub(super) fn width(text: &str, size: f64, bold: bool) -> f64 {
    let units: f64 = text
        .chars()
        .map(|c| match u32::from(c) {
            code @ 0x20..=0x7e => HELVETICA.get(code as usize - 0x20).copied().map_or(600.0, f64::from),
            0x1100..=0x115f | 0x2e80..=0xd7a3 | 0xf900..=0xfaff | 0xff00..=0xff60 | 0x1f300..=0x3fffd => 1000.0,
            _ => 610.0,
        })
        .sum();
    units / 1000.0 * size * if bold { 1.24 } else { 1.15 }
}

/// A text for content and attributes. What XML 1.0 cannot hold at all becomes U+FFFD.
pub(in crate::docs) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\t' | '\n' | '\r' => escaped.push(' '),
            c if c.is_control() || matches!(u32::from(c), 0xfffe | 0xffff) => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
