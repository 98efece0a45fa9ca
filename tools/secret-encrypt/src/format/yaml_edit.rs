//! Changing the structure of a YAML text by pointer, and writing JSON as YAML.

use std::rc::Rc;

use contract::Pointer;
use serde_json::Value as Json;
use zeroize::Zeroizing;

use super::splice::{line_start, splice};
use super::yaml_lines::{colon_behind, dash_of, header_comment, header_of, pair_end};
use super::yaml_scalar::{write, write_text};
use super::yaml_tree::{self, Data, Node, key_text};
use super::{Style, Text, value_of};
use crate::Error;

/// Writes a collection as block YAML at a column, with `step` more for what is inside.
pub(super) fn write_block(json: &Json, column: usize, step: usize, out: &mut String) {
    let indent = " ".repeat(column);
    match json {
        Json::Object(map) => {
            let mut keys: Vec<_> = map.keys().collect();
            keys.sort();
            for key in keys {
                out.push_str(&indent);
                write_pair(key, &map[key], column, step, out);
            }
        }
        Json::Array(list) => {
            for item in list {
                out.push_str(&indent);
                out.push_str("- ");
                match item {
                    Json::Object(map) if !map.is_empty() => {
                        let mut inner = String::new();
                        write_block(item, column + 2, step, &mut inner);
                        out.push_str(inner.trim_start_matches(' '));
                    }
                    Json::Array(list) if !list.is_empty() => {
                        let mut inner = String::new();
                        write_block(item, column + 2, step, &mut inner);
                        out.push_str(inner.trim_start_matches(' '));
                    }
                    scalar => {
                        out.push_str(&scalar_text(scalar, column + 2));
                        out.push('\n');
                    }
                }
            }
        }
        scalar => out.push_str(&scalar_text(scalar, column)),
    }
}

fn write_pair(key: &str, value: &Json, column: usize, step: usize, out: &mut String) {
    out.push_str(&write_text(key, None));
    out.push(':');
    match value {
        Json::Object(map) if !map.is_empty() => {
            out.push('\n');
            write_block(value, column + step, step, out);
        }
        Json::Array(list) if !list.is_empty() => {
            out.push('\n');
            write_block(value, column + step, step, out);
        }
        scalar => {
            out.push(' ');
            out.push_str(&scalar_text(scalar, column + 2));
            out.push('\n');
        }
    }
}

fn scalar_text(json: &Json, column: usize) -> String {
    match json {
        Json::Object(_) => "{}".into(),
        Json::Array(_) => "[]".into(),
        Json::String(text) => write_text(text, Some(column)),
        other => value_of(other).map(|value| write(&value, Style::Plain, None).to_string()).unwrap_or_default(),
    }
}

/// What was found on the way along a pointer.
struct Found {
    /// The deepest node that exists.
    node: Rc<Node>,
    /// Its key or dash, and its column, if it is not the top.
    entry: Option<Entry>,
    /// The keys that do not exist below it.
    missing: Vec<String>,
    /// The pointer of the node.
    pointer: Pointer,
}

struct Entry {
    start: usize,
    column: usize,
    in_flow: bool,
    siblings: usize,
    position: usize,
    key: Option<Rc<Node>>,
}

fn find(text: &str, root: &Rc<Node>, pointer: &Pointer) -> Result<Found, Error> {
    let mut found = Found { node: Rc::clone(root), entry: None, missing: Vec::new(), pointer: Pointer::root() };
    let keys: Vec<String> = pointer.keys().collect();
    for (at, key) in keys.iter().enumerate() {
        let (next, entry) = match &found.node.data {
            Data::Map { flow, pairs } => {
                let mut position = None;
                for (index, (name, _)) in pairs.iter().enumerate() {
                    if key_text(name, text)? == *key {
                        position = Some(index);
                    }
                }
                let Some(position) = position else {
                    found.missing = keys[at..].to_vec();
                    return Ok(found);
                };
                let (name, value) = &pairs[position];
                let entry = Entry {
                    start: name.outer_start(),
                    column: name.column,
                    in_flow: *flow,
                    siblings: pairs.len(),
                    position,
                    key: Some(Rc::clone(name)),
                };
                (Rc::clone(value), entry)
            }
            Data::Seq { flow, items } => {
                let mut elements = items.iter().enumerate().filter(|(_, item)| !item.is_comment_element());
                let position = key.parse().ok().and_then(|index| elements.nth(index)).map(|(position, _)| position);
                let Some(position) = position else {
                    found.missing = keys[at..].to_vec();
                    return Ok(found);
                };
                let item = &items[position];
                let (start, column) = if *flow { (item.outer_start(), item.column) } else { dash_of(text, item) };
                (Rc::clone(item), Entry { start, column, in_flow: *flow, siblings: items.len(), position, key: None })
            }
            Data::Scalar { .. } | Data::Alias(_) => {
                found.missing = keys[at..].to_vec();
                return Ok(found);
            }
        };
        found.node = next;
        found.entry = Some(entry);
        found.pointer = found.pointer.join(key);
    }
    Ok(found)
}

fn first_root(text: &str) -> Result<Rc<Node>, Error> {
    let documents = yaml_tree::documents(text)?;
    documents
        .first()
        .and_then(|document| document.root.clone())
        .filter(|root| matches!(root.data, Data::Map { .. }))
        .ok_or_else(|| Error::Unsupported("the file holds no mapping".into()))
}

fn refused(pointer: &Pointer, missing: &[String]) -> Error {
    Error::NoSuchValue { pointer: missing.iter().fold(pointer.clone(), |pointer, key| pointer.join(key)), near: None }
}

/// The value as it is put where `missing` keys have to be made first.
fn nested(missing: &[String], value: &Json) -> Json {
    missing.iter().rev().fold(value.clone(), |inner, key| {
        let mut map = serde_json::Map::new();
        map.insert(key.clone(), inner);
        Json::Object(map)
    })
}

pub(super) fn put(text: &str, pointer: &Pointer, value: &Json) -> Result<Text, Error> {
    let root = first_root(text)?;
    let found = find(text, &root, pointer)?;
    let is_scalar = !matches!(value, Json::Object(_) | Json::Array(_));
    if found.missing.is_empty() {
        let Some(entry) = &found.entry else {
            return Err(Error::Unsupported("the whole file cannot be replaced".into()));
        };
        let was_scalar = matches!(found.node.data, Data::Scalar { .. } | Data::Alias(_));
        if (was_scalar && is_scalar) || entry.in_flow {
            let header = if found.node.is_block_scalar() { header_of(text, &found.node).0 } else { usize::MAX };
            let start = found.node.outer_start().min(header);
            let mut range = start..found.node.end(text).max(start);
            let mut new =
                if is_scalar && !entry.in_flow { scalar_text(value, entry.column + 2) } else { value.to_string() };
            if found.node.is_block_scalar() {
                // A comment behind the header stays behind what stands there now.
                let comment = header_comment(text, &(header..range.end));
                let comment = comment.map_or("", |(header, content)| &text[header.end..content.start]);
                new.insert_str(new.find('\n').unwrap_or(new.len()), comment);
            }
            if entry.key.is_none() && !entry.in_flow && range.is_empty() && text[entry.start..].starts_with('-') {
                // An element that is not there stands behind what is said of it: it goes to its dash.
                range = entry.start + 1..entry.start + 1;
            }
            if let Some(key) = entry.key.as_ref().filter(|_| range.is_empty()) {
                // A value that is not there has no place: it goes behind the colon, if there is one.
                let end = pair_end(text, key, &found.node);
                range = end..end;
                match colon_behind(text, key.span.end) {
                    Some(_) => {}
                    None if entry.in_flow => {
                        let end = text[..end].trim_end().len();
                        range = end..end;
                        new.insert_str(0, ": ");
                    }
                    None => return Err(Error::Unsupported("a key behind a question mark has no colon yet".into())),
                }
            }
            if range.is_empty() && !text[..range.start].ends_with([' ', '\t']) {
                new.insert(0, ' ');
            }
            return Ok(splice(text, vec![(range, Zeroizing::new(new))]));
        }
        let end = entry.key.as_ref().map_or_else(|| found.node.end(text), |key| pair_end(text, key, &found.node));
        let mut new = String::new();
        match &entry.key {
            Some(key) => {
                // The key stays in its own quotes.
                new.push_str(&text[entry.start..key.span.end]);
                let mut pair = String::new();
                write_pair("k", value, entry.column, 2, &mut pair);
                new.push_str(&pair[1..]);
            }
            None => write_block(&Json::Array(vec![value.clone()]), entry.column, 2, &mut new),
        }
        let new = new.trim_start_matches(' ').trim_end_matches('\n').to_owned();
        return Ok(splice(text, vec![(entry.start..end, Zeroizing::new(new))]));
    }
    let column_inside = |first: Option<&Rc<Node>>| first.map_or(0, |node| node.column);
    match &found.node.data {
        Data::Map { flow: true, pairs } => {
            let inner = nested(&found.missing[1..], value);
            let new = format!(
                "{}{}: {inner}",
                if pairs.is_empty() { "" } else { ", " },
                Json::from(found.missing[0].as_str())
            );
            // Behind the last value, or inside the empty braces.
            let at = match pairs.iter().rfind(|(key, _)| !key.is_block_key()) {
                Some((key, last)) => pair_end(text, key, last),
                None => found.node.span.start + 1,
            };
            Ok(splice(text, vec![(at..at, Zeroizing::new(new))]))
        }
        Data::Map { flow: false, pairs } => {
            let column = column_inside(pairs.first().map(|(key, _)| key));
            let mut new = String::new();
            let mut map = serde_json::Map::new();
            map.insert(found.missing[0].clone(), nested(&found.missing[1..], value));
            write_block(&Json::Object(map), column, 2, &mut new);
            let last = pairs.iter().rfind(|(key, _)| found.entry.is_some() || !key.is_block_key());
            Ok(insert_line(text, last.map_or(0, |(key, value)| pair_end(text, key, value)), new))
        }
        Data::Seq { flow, items } if is_next(&found.missing[0], items) => {
            let inner = nested(&found.missing[1..], value);
            if *flow {
                let new = format!("{}{inner}", if items.is_empty() { "" } else { ", " });
                let at = items.last().map_or(found.node.span.start + 1, |last| last.end(text));
                return Ok(splice(text, vec![(at..at, Zeroizing::new(new))]));
            }
            let column = items.first().map_or(0, |item| dash_of(text, item).1);
            let mut new = String::new();
            write_block(&Json::Array(vec![inner]), column, 2, &mut new);
            Ok(insert_line(text, items.last().map_or(0, |item| item.end(text)), new))
        }
        // Nothing yet: `key:` or `key: null` becomes a collection.
        Data::Scalar { text: scalar, .. } if matches!(scalar.as_str(), "" | "~" | "null") && found.entry.is_some() => {
            put(text, &found.pointer, &nested(&found.missing, value))
        }
        _ => Err(refused(&found.pointer, &found.missing)),
    }
}

/// Whether a key of a pointer names the place behind the last element.
fn is_next(key: &str, items: &[Rc<Node>]) -> bool {
    key == "-" || key == items.iter().filter(|item| !item.is_comment_element()).count().to_string()
}

/// Puts whole lines behind the line in which `at` lies.
fn insert_line(text: &str, at: usize, mut new: String) -> Zeroizing<Vec<u8>> {
    let place = match text[at..].find('\n') {
        _ if at == 0 => 0,
        Some(newline) => at + newline + 1,
        None => {
            new.insert(0, '\n');
            new.truncate(new.trim_end_matches('\n').len());
            text.len()
        }
    };
    splice(text, vec![(place..place, Zeroizing::new(new))])
}

pub(super) fn remove(text: &str, pointer: &Pointer) -> Result<Text, Error> {
    let root = first_root(text)?;
    let found = find(text, &root, pointer)?;
    let Some(entry) = found.entry.as_ref().filter(|_| found.missing.is_empty()) else {
        return Err(refused(&found.pointer, &found.missing));
    };
    let end = match &entry.key {
        Some(key) => pair_end(text, key, &found.node),
        None => found.node.end(text).max(entry.start + 1),
    };
    if entry.in_flow {
        let range = flow_range(text, entry, end);
        return Ok(splice(text, vec![(range, Zeroizing::default())]));
    }
    let line = line_start(text, entry.start);
    let alone = text[line..entry.start].trim().is_empty();
    let line_end = text[end..].find('\n').map_or(text.len(), |at| end + at + 1);
    let last_of_its_own = entry.siblings == 1;
    if last_of_its_own || !alone {
        // What holds it would be left without a value, or shares its line: write the emptiness out.
        return remove_from_parent(text, &root, pointer, entry, alone, line, line_end);
    }
    Ok(splice(text, vec![(line..line_end, Zeroizing::default())]))
}

fn flow_range(text: &str, entry: &Entry, end: usize) -> std::ops::Range<usize> {
    let after = &text[end..];
    let blanks = after.len() - after.trim_start().len();
    if let Some(rest) = after.trim_start().strip_prefix(',') {
        let more = rest.len() - rest.trim_start().len();
        return entry.start..end + blanks + 1 + more;
    }
    let before = text[..entry.start].trim_end();
    let start = if entry.position > 0 && before.ends_with(',') { before.len() - 1 } else { entry.start };
    start..end
}

fn remove_from_parent(
    text: &str,
    root: &Rc<Node>,
    pointer: &Pointer,
    entry: &Entry,
    alone: bool,
    line: usize,
    line_end: usize,
) -> Result<Text, Error> {
    let keys: Vec<String> = pointer.keys().collect();
    let parent = keys[..keys.len() - 1].iter().fold(Pointer::root(), |pointer, key| pointer.join(key));
    let holder = find(text, root, &parent)?;
    if entry.siblings == 1 {
        if holder.entry.is_none() {
            return Ok(splice(text, vec![(line..line_end, Zeroizing::new("{}\n".into()))]));
        }
        let empty = if entry.key.is_some() { Json::Object(serde_json::Map::new()) } else { Json::Array(Vec::new()) };
        return put(text, &parent, &empty);
    }
    // `- first: x` with more keys below: the next key moves up behind the dash.
    if let (false, Data::Map { pairs, .. }) = (alone, &holder.node.data)
        && let Some((next, _)) = pairs.get(entry.position + 1)
    {
        return Ok(splice(text, vec![(entry.start..next.outer_start(), Zeroizing::default())]));
    }
    Ok(splice(text, vec![(entry.start..line_end, Zeroizing::default())]))
}
