//! INI values that go on on the next line, with a backslash at the end of each line but the last.
//!
//! go-ini joins the lines before anybody sees the value, and so an encrypted value may stand on as many. Where a line of it ends
//! in the ciphertext says where the line in clear ended, because three bytes are four letters there; that is all the memory that
//! the format has for it. It shows how long the lines are, as the length of every value is seen.

use std::ops::Range;

use super::Slot;
use super::ini_text::reads_as;
use crate::sops::EncText;

/// What stands before the ciphertext in an encrypted value.
const DATA: usize = "ENC[AES256_GCM,data:".len();

/// An encrypted value on the lines of the value that stands in a slot, in clear or encrypted with another key.
pub(super) fn sealed_lines(source: &str, slot: &Slot, enc: &str) -> Option<String> {
    let old = slot.value.as_text()?;
    let cut = |at: usize| match at {
        // In front of everything and behind it.
        0 => 0,
        _ if at == old.len() => enc.len(),
        _ if EncText::parse(old).is_some() => at,
        _ => DATA + (at * 4).div_ceil(3),
    };
    cut_up(source, enc, cut)
}

/// A value in clear on the lines of the encrypted one that stands here.
pub(super) fn plain_lines(source: &str, value: &str) -> Option<String> {
    let sealed: usize = pieces(source).iter().map(Range::len).sum();
    let cut = |at: usize| match at {
        0 => 0,
        _ if at == sealed => value.len(),
        _ => at.saturating_sub(DATA) * 3 / 4,
    };
    cut_up(source, value, cut)
}

/// A value with the line breaks of a source, each at the place that `cut` says; `None` if it is not the same value then.
fn cut_up(source: &str, value: &str, cut: impl Fn(usize) -> usize) -> Option<String> {
    let pieces = pieces(source);
    let mut out = String::with_capacity(source.len() + value.len());
    let (mut seen, mut done, mut behind) = (0, 0, 0);
    for piece in &pieces {
        out.push_str(&source[behind..piece.start]);
        seen += piece.len();
        behind = piece.end;
        let end = cut(seen);
        out.push_str(value.get(done..end)?);
        done = end;
    }
    out.push_str(value.get(done..)?);
    out.push_str(&source[behind..]);
    reads_as(&out, value, "").then_some(out)
}

/// What of each line is part of the value.
fn pieces(source: &str) -> Vec<Range<usize>> {
    let mut at = 0;
    let piece = |line: &str| {
        let start = at + line.len() - line.trim_start().len();
        let body = line.trim();
        at += line.len();
        start..start + body.strip_suffix('\\').unwrap_or(body).len()
    };
    source.split_inclusive('\n').map(piece).collect()
}
