//! Where things stand in the lines of a YAML text: dashes, headers of block scalars, what is above and below a comment.

use std::ops::Range;

use super::splice::line_start;
use super::yaml_tree::{Comment, Node};

/// The lines around a group of comments: those at one column on lines that follow each other.
#[derive(Clone, Copy)]
pub(super) struct Surroundings {
    /// Something that is no comment stands on the line above.
    pub(super) touches: bool,
    /// The line above is not blank.
    pub(super) first: bool,
    /// The line below is blank.
    pub(super) blank_below: bool,
    /// The column of the next line that is not blank.
    pub(super) below: usize,
}

impl Surroundings {
    pub(super) fn of(text: &str, comment: &Comment) -> Self {
        let column = |line: &str| line.chars().take_while(|c| *c == ' ').count();
        let same = |line: &&str| line.trim_start().starts_with('#') && column(line) == comment.column;
        let start = text[..comment.span.start].rfind('\n').unwrap_or(0);
        let above = text[..start].rsplit('\n').find(|line| !same(line)).unwrap_or("");
        let mut after = text[comment.span.end..].lines().skip(1).skip_while(|line| same(line)).peekable();
        let blank = after.peek().is_some_and(|line| line.trim().is_empty());
        Self {
            touches: !above.trim().is_empty() && !above.trim_start().starts_with('#'),
            first: !above.trim().is_empty(),
            blank_below: blank,
            // The end of the file counts as something in the first column.
            below: after.find(|line| !line.trim().is_empty()).map_or(0, column),
        }
    }
}

/// Where the dash of a list element is, and its column; the element itself if there is none before it.
pub(super) fn dash_of(text: &str, node: &Node) -> (usize, usize) {
    // The place of a block scalar is its content; the header stands before it.
    let header = if node.is_block_scalar() { header_of(text, node).0 } else { usize::MAX };
    let start = node.outer_start().min(header);
    let before = text[..start].trim_end_matches([' ', '\t', '\n', '\r']);
    // Comments may stand between the dash and its element, and end with a dash themselves.
    let mut end = before.len();
    let mut found = None;
    for line in before.rsplit('\n') {
        let begin = end - line.len();
        let body = without_comment(line).trim_end();
        if body.ends_with('-') {
            found = Some(begin + body.len() - 1);
        }
        if !body.is_empty() {
            break;
        }
        end = begin.saturating_sub(1);
    }
    let Some(at) = found else { return (start, node.column) };
    let line = line_start(text, at);
    (at, text[line..at].chars().count())
}

/// A line up to its comment, which begins the line or stands behind a blank.
fn without_comment(line: &str) -> &str {
    let begins = |at: usize| at == 0 || line[..at].ends_with([' ', '\t']);
    let comment = line.match_indices('#').map(|(at, _)| at).find(|at| begins(*at));
    &line[..comment.unwrap_or(line.len())]
}

/// Where the header (`|`, `>-`, ...) of a block scalar is, and whether it carries an indentation digit.
pub(super) fn header_of(text: &str, node: &Node) -> (usize, bool) {
    let before = text[..node.span.start].trim_end();
    let start = line_start(before, before.len());
    let line = &before[start..];
    // A comment may follow the header; neither header nor comment can hold the other's mark followed so.
    let mut best = None;
    for (at, _) in line.match_indices(['|', '>']) {
        let rest = line[at + 1..].trim_start_matches(['+', '-', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
        let preceded = line[..at].chars().next_back().is_none_or(char::is_whitespace);
        if preceded && (rest.trim().is_empty() || (rest.starts_with([' ', '\t']) && rest.trim_start().starts_with('#')))
        {
            best = Some((
                start + at,
                line[at + 1..line.len() - rest.len()].bytes().any(|byte| byte.is_ascii_digit()),
                rest,
            ));
            break;
        }
    }
    match best {
        Some((at, digit, _)) => (at, digit),
        None => (node.span.start, true),
    }
}

/// Where a comment follows the header of a block scalar: the header alone, and the content with the line break before it.
pub(super) fn header_comment(text: &str, extent: &Range<usize>) -> Option<(Range<usize>, Range<usize>)> {
    let line = text[extent.clone()].lines().next()?;
    let header = line.find([' ', '\t'])?;
    if !line[header..].trim_start().starts_with('#') {
        return None;
    }
    Some((extent.start..extent.start + header, extent.start + line.len()..extent.end.max(extent.start + line.len())))
}

/// The indentation of the content of a block scalar. One of blank lines alone has none, and what begins below it is another's.
pub(super) fn content_column(text: &str, node: &Node, column: usize) -> usize {
    let line = line_start(text, node.span.start);
    let indent = text[line..node.span.start].chars().count();
    if text[line..node.span.start].trim().is_empty() && indent > column { indent } else { column + 2 }
}

/// Where a pair of a mapping ends: behind its value, and behind its colon where it has none.
pub(super) fn pair_end(text: &str, key: &Node, value: &Node) -> usize {
    let marks = [value.tag.as_ref().map(|(_, span)| span.end), value.anchor.as_ref().map(|span| span.end)];
    let end = marks.into_iter().flatten().fold(value.end(text).max(key.span.end), usize::max);
    if !value.span.is_empty() {
        return end;
    }
    // The place of a value that is not there may be before its colon, which may stand on a line further down.
    colon_behind(text, key.span.end).map_or(end, |colon| end.max(colon + 1))
}

/// Where the colon is that follows a key, behind blanks, line breaks and comments.
pub(super) fn colon_behind(text: &str, key_end: usize) -> Option<usize> {
    let mut rest = text[key_end..].trim_start();
    while rest.starts_with('#') {
        rest = rest.split_once('\n').map_or("", |(_, below)| below).trim_start();
    }
    rest.starts_with(':').then_some(text.len() - rest.len())
}
