//! Three texts as one, line by line.

use std::ops::Range;

use similar::{Algorithm, DiffOp, capture_diff_slices};
use zeroize::Zeroizing;

/// Lines of the base that a side replaced by lines of its own.
struct Hunk {
    base: Range<usize>,
    own: Range<usize>,
}

/// The merged text; `None` where both sides changed the same lines. Lines that are neighbours count as different, because
/// what the text means is compared afterwards.
pub(super) fn merge(base: &[u8], ours: &[u8], theirs: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (base_lines, our_lines, their_lines) = (lines(base), lines(ours), lines(theirs));
    let mut ours = hunks(&base_lines, &our_lines).into_iter().peekable();
    let mut theirs = hunks(&base_lines, &their_lines).into_iter().peekable();
    let mut out = Zeroizing::new(Vec::with_capacity(ours_size(&our_lines) + ours_size(&their_lines)));
    let mut at = 0;
    let mut emit = |from: usize, hunk: &Hunk, lines: &[&[u8]]| {
        base_lines[from..hunk.base.start].iter().for_each(|line| out.extend_from_slice(line));
        lines[hunk.own.clone()].iter().for_each(|line| out.extend_from_slice(line));
        hunk.base.end
    };
    loop {
        let take_ours = match (ours.peek(), theirs.peek()) {
            (None, None) => break,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(our), Some(their)) => {
                let apart = our.base.end <= their.base.start || their.base.end <= our.base.start;
                if !apart || our.base.start == their.base.start {
                    let same = our.base == their.base && our_lines[our.own.clone()] == their_lines[their.own.clone()];
                    if !same {
                        return None;
                    }
                    theirs.next();
                    true
                } else {
                    our.base.start < their.base.start
                }
            }
        };
        let next = if take_ours { ours.next() } else { theirs.next() };
        if let Some(hunk) = next {
            at = emit(at, &hunk, if take_ours { &our_lines } else { &their_lines });
        }
    }
    base_lines[at..].iter().for_each(|line| out.extend_from_slice(line));
    Some(out)
}

fn ours_size(lines: &[&[u8]]) -> usize {
    lines.iter().map(|line| line.len()).sum()
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

fn hunks(base: &[&[u8]], own: &[&[u8]]) -> Vec<Hunk> {
    capture_diff_slices(Algorithm::Myers, base, own)
        .into_iter()
        .filter(|operation| !matches!(operation, DiffOp::Equal { .. }))
        .map(|operation| Hunk { base: operation.old_range(), own: operation.new_range() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(base: &str, ours: &str, theirs: &str) -> Option<String> {
        merge(base.as_bytes(), ours.as_bytes(), theirs.as_bytes())
            .map(|text| String::from_utf8_lossy(&text).into_owned())
    }

    #[test]
    fn both_sides_are_in_it_or_none() {
        let base = "a\nb\nc\nd\n";
        assert_eq!(merged(base, "a\nB\nc\nd\n", "a\nb\nC\nd\ne\n").as_deref(), Some("a\nB\nC\nd\ne\n"));
        assert_eq!(merged(base, "x\na\nb\nc\nd\n", "a\nb\nc\n").as_deref(), Some("x\na\nb\nc\n"));
        assert_eq!(merged(base, "a\nB\nc\nd\n", "a\nB\nc\nd\n").as_deref(), Some("a\nB\nc\nd\n"));
        assert_eq!(merged(base, "a\nX\nc\nd\n", "a\nY\nc\nd\n"), None);
        assert_eq!(merged("", "a\n", "b\n"), None);
    }
}
