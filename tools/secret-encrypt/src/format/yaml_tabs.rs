//! Tabs in the indentation, which YAML 1.2 allows beside comments and in blank lines, and go-yaml does not: what sops could not
//! read is refused before it is encrypted.

use std::ops::Range;

use granit_parser::ScalarStyle;

use super::yaml_lines::{content_column, dash_of, header_of};
use super::yaml_tree::{Data, Node, line_of};
use crate::Error;

/// Looks for tabs where go-yaml takes none.
///
/// # Errors
/// For the first one.
pub(super) fn refuse_tabs(text: &str, root: &Node) -> Result<(), Error> {
    if !text.contains('\t') {
        return Ok(());
    }
    let mut allowed = Vec::new();
    let behind_dash = collect(text, root, 0, &mut allowed);
    let mut comment_before = false;
    let mut start = 0;
    let mut found = behind_dash;
    for line in text.split_inclusive('\n') {
        let (indent, rest) = line.split_at(line.len() - line.trim_start().len());
        let is_comment = rest.starts_with('#');
        let tab = indent.find('\t').filter(|_| !(comment_before && is_comment));
        if let Some(at) = tab.map(|column| start + column) {
            let near = allowed.partition_point(|(range, _): &(Range<usize>, usize)| range.end <= at);
            let fine = |(range, column): &(Range<usize>, usize)| range.contains(&at) && at - start >= *column;
            if !allowed.get(near).is_some_and(fine) {
                found = Some(found.map_or(at, |other| other.min(at)));
                break;
            }
        }
        comment_before = is_comment;
        start += line.len();
    }
    found.map_or(Ok(()), |at| {
        let message = "no YAML to sops: a tab stands in the indentation; use spaces".into();
        Err(Error::Syntax { message, line: Some(line_of(text, at)) })
    })
}

/// Where tabs may begin a line, and from which column on, in document order; a tab behind a dash is given back.
fn collect(text: &str, node: &Node, column: usize, allowed: &mut Vec<(Range<usize>, usize)>) -> Option<usize> {
    match &node.data {
        Data::Map { flow: true, .. } | Data::Seq { flow: true, .. } => {
            allowed.push((node.span.clone(), 0));
            None
        }
        Data::Map { pairs, .. } => pairs.iter().fold(None, |found, (key, value)| {
            let inner = key.column.max(column);
            let found = found.or(collect(text, key, inner, allowed));
            found.or(collect(text, value, inner, allowed))
        }),
        Data::Seq { items, .. } => items.iter().fold(None, |found, item| {
            let (dash, column) = dash_of(text, item);
            let tab = text[dash..].starts_with("-\t").then_some(dash + 1);
            found.or(tab).or(collect(text, item, column, allowed))
        }),
        Data::Scalar { style: ScalarStyle::Literal | ScalarStyle::Folded, .. } => {
            allowed.push((header_of(text, node).0..node.end(text), content_column(text, node, column)));
            None
        }
        // Go-yaml reads on behind a word without quotes, up to what is no blank.
        Data::Scalar { style: ScalarStyle::Plain, .. } if !node.span.is_empty() => {
            let blank = text[node.span.end..].len() - text[node.span.end..].trim_start().len();
            allowed.push((node.span.start..node.span.end + blank, column + 1));
            None
        }
        Data::Scalar { .. } | Data::Alias(_) => {
            allowed.push((node.span.clone(), 0));
            None
        }
    }
}
