//! YAML as a tree that knows where everything stands in the text.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::rc::Rc;

use granit_parser::{Event, Parser, ScalarStyle, Span, StructureStyle};
use serde_json::{Map, Value as Json};

use super::splice::line_start;
use super::yaml::BLOCK_KEY;
use super::yaml_scalar::resolve;
use crate::Error;
use crate::sops::Kind;

/// How many nodes aliases may stand for, in all, before a file is taken for an attack.
const ALIAS_LIMIT: usize = 10_000;

/// A node of a document.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) data: Data,
    /// The node itself, without anchor and tag. For block scalars the content; see `header`.
    pub(super) span: Range<usize>,
    pub(super) column: usize,
    pub(super) tag: Option<(Tag, Range<usize>)>,
    pub(super) anchor: Option<Range<usize>>,
}

#[derive(Debug)]
pub(super) enum Data {
    Scalar { text: String, style: ScalarStyle },
    Seq { flow: bool, items: Vec<Rc<Node>> },
    Map { flow: bool, pairs: Vec<(Rc<Node>, Rc<Node>)> },
    Alias(Rc<Node>),
}

/// A tag, as far as it changes what a scalar is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    Str,
    Int,
    Float,
    Bool,
    Null,
    Binary,
    Time,
    /// A person's own tag: the value is text.
    Other,
}

#[derive(Debug)]
pub(super) struct Comment {
    pub(super) text: String,
    pub(super) span: Range<usize>,
    pub(super) column: usize,
    /// Nothing but blanks stands before it on its line.
    pub(super) own_line: bool,
}

#[derive(Debug)]
pub(super) struct Document {
    pub(super) root: Option<Rc<Node>>,
    pub(super) comments: Vec<Comment>,
    /// Where the document ends in the text: before the next `---` or `...`.
    pub(super) end: usize,
}

impl Comment {
    /// Whether it is the next line of another one, at the same column.
    pub(super) fn goes_on(&self, text: &str, last: &Comment) -> bool {
        let between = text.get(last.span.end..self.span.start).unwrap_or_default();
        let next_line = between.trim().is_empty() && between.matches('\n').count() == 1;
        self.own_line && last.own_line && self.column == last.column && next_line
    }
}

impl Node {
    /// The start with anchor and tag.
    pub(super) fn outer_start(&self) -> usize {
        let starts = [
            Some(self.span.start),
            self.tag.as_ref().map(|(_, span)| span.start),
            self.anchor.as_ref().map(|span| span.start),
        ];
        starts.into_iter().flatten().min().unwrap_or(self.span.start)
    }

    /// The last byte that belongs to it or to anything inside it.
    pub(super) fn end(&self, text: &str) -> usize {
        match &self.data {
            Data::Scalar { text: value, style: ScalarStyle::Literal | ScalarStyle::Folded } => {
                block_end(text, &self.span, value)
            }
            Data::Scalar { .. } | Data::Alias(_) => self.span.end,
            Data::Seq { flow: true, .. } | Data::Map { flow: true, .. } => self.span.end,
            Data::Seq { items, .. } => items.last().map_or(self.span.end, |node| node.end(text)),
            Data::Map { pairs, .. } => {
                pairs.last().map_or(self.span.end, |(key, value)| value.end(text).max(key.span.end))
            }
        }
    }

    /// Whether it is how the real program writes an encrypted comment in a list: as an element, which is none.
    pub(super) fn is_comment_element(&self) -> bool {
        matches!(&self.data, Data::Scalar { text, style: ScalarStyle::Plain }
            if text.starts_with("ENC[") && text.ends_with(",type:comment]"))
    }

    /// Whether it is the key of the block of SOPS, if it is a key at the top.
    pub(super) fn is_block_key(&self) -> bool {
        matches!(&self.data, Data::Scalar { text, .. } if text == BLOCK_KEY)
    }

    /// Whether it is a mapping or list.
    pub(super) fn is_collection(&self) -> bool {
        matches!(self.data, Data::Map { .. } | Data::Seq { .. })
    }

    /// Whether it is a mapping or list in braces or brackets.
    pub(super) fn is_flow(&self) -> bool {
        matches!(self.data, Data::Map { flow: true, .. } | Data::Seq { flow: true, .. })
    }

    /// Whether a scalar is a block scalar.
    pub(super) fn is_block_scalar(&self) -> bool {
        matches!(self.data, Data::Scalar { style: ScalarStyle::Literal | ScalarStyle::Folded, .. })
    }
}

/// Where the content of a block scalar ends: behind the last line that its value has anything of, be it blank; where it has
/// no line, behind its header.
fn block_end(text: &str, span: &Range<usize>, value: &str) -> usize {
    const BLANK: [char; 4] = [' ', '\t', '\n', '\r'];
    let solid = text.get(span.clone()).unwrap_or_default().trim_end_matches(BLANK).len();
    let (from, blank_lines) = if solid == 0 {
        (text[..span.start].trim_end_matches(BLANK).len(), value.split_inclusive('\n').count())
    } else {
        let tail = &value[value.trim_end_matches(BLANK).len()..];
        (span.start + solid, tail.matches('\n').count() - usize::from(tail.ends_with('\n')))
    };
    let line_end = |at: usize| {
        let line = text[at..].split('\n').next().unwrap_or_default();
        at + line.strip_suffix('\r').unwrap_or(line).len()
    };
    (0..blank_lines).fold(line_end(from), |end, _| match text[end..].find('\n') {
        Some(at) => line_end(end + at + 1),
        None => end,
    })
}

/// Reads every document of a text.
pub(super) fn documents(text: &str) -> Result<Vec<Document>, Error> {
    let mut builder =
        Builder { text, frames: Vec::new(), anchors: HashMap::new(), documents: Vec::new(), early: Vec::new() };
    // A line break to YAML and to nobody else: what is put behind it would be in its line, or not.
    if let Some(at) =
        text.bytes().zip(text.bytes().skip(1).chain([0])).position(|(byte, next)| byte == b'\r' && next != b'\n')
    {
        let message = "a carriage return stands without a line feed; write line feeds alone".into();
        return Err(Error::Syntax { message, line: Some(line_of(text, at)) });
    }
    let options = granit_parser::options! { emit_anchor_events: true, max_buffered_comment_events: 100_000 };
    let mut events = Parser::new_from_str_with_options(text, options).peekable();
    while let Some(next) = events.next() {
        let (event, span) = next.map_err(|error| Error::Syntax {
            message: format!("no YAML: {}", error.info()),
            line: Some(error.marker().line() as u64),
        })?;
        let anchor = match events.peek() {
            Some(Ok((Event::Anchor(..), span))) => span.byte_range(),
            _ => None,
        };
        let name = anchor.clone().and_then(|range| text.get(range)).unwrap_or_default().trim_start_matches('&');
        if name.contains(|c: char| !c.is_ascii_alphanumeric() && !"_-".contains(c)) {
            let message = format!("sops reads letters, digits, - and _ in the name of an anchor, not &{name}");
            return Err(Error::Syntax { message, line: Some(span.start.line() as u64) });
        }
        builder.event(event, &span, anchor)?;
    }
    Ok(builder.documents)
}

enum Frame {
    Seq { node: Open, items: Vec<Rc<Node>> },
    Map { node: Open, pairs: Vec<(Rc<Node>, Rc<Node>)>, key: Option<Rc<Node>>, seen: HashSet<String> },
}

struct Open {
    span: Range<usize>,
    column: usize,
    flow: bool,
    id: usize,
    tag: Option<(Tag, Range<usize>)>,
    anchor: Option<Range<usize>>,
}

struct Builder<'a> {
    text: &'a str,
    frames: Vec<Frame>,
    anchors: HashMap<usize, Rc<Node>>,
    documents: Vec<Document>,
    /// Comments before the first document begins.
    early: Vec<Comment>,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: &Span, anchor: Option<Range<usize>>) -> Result<(), Error> {
        let range = span.byte_range().unwrap_or_default();
        let column = span.start.col();
        let tag = event
            .tag()
            .map(|tag| (kind_of_tag(tag), span.tag_span().and_then(|span| span.byte_range()).unwrap_or(range.clone())));
        match event {
            Event::DocumentStart(explicit, _) => {
                if let (true, Some(last)) = (explicit, self.documents.last_mut()) {
                    last.end = last.end.min(range.start);
                }
                let comments = std::mem::take(&mut self.early);
                self.documents.push(Document { root: None, comments, end: self.text.len() });
            }
            Event::DocumentEnd => {
                if self.text.get(range.clone()).is_some_and(|mark| mark.starts_with("..."))
                    && let Some(last) = self.documents.last_mut()
                {
                    last.end = last.end.min(range.start);
                }
            }
            Event::Comment(text, _) => {
                let own_line = self.text[line_start(self.text, range.start)..range.start].trim().is_empty();
                let comment = Comment { text: text.into_owned(), span: range, column, own_line };
                match self.documents.last_mut() {
                    Some(document) => document.comments.push(comment),
                    None => self.early.push(comment),
                }
            }
            Event::Scalar(value, style, id, _) => {
                let empty = style == ScalarStyle::Plain && range.is_empty();
                // A block without content at the end of the file is said to be where its header is.
                let header = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded)
                    && value.trim_matches('\n').is_empty()
                    && self.text.get(range.clone()).is_some_and(|text| text.starts_with(['|', '>']));
                let range = if header { range.end..range.end } else { range };
                let data = Data::Scalar { text: if empty { String::new() } else { value.into_owned() }, style };
                let mut node = Node { data, span: range, column, tag, anchor };
                // A key stands where its anchor or tag does.
                let before = self.text.get(node.outer_start()..node.span.start).unwrap_or_default();
                if !before.contains('\n') {
                    node.column = column.saturating_sub(before.chars().count());
                }
                self.add(id, node)?;
            }
            Event::Alias(id) => {
                let target = self.anchors.get(&id).cloned();
                let target = target.ok_or_else(|| Error::syntax("an alias stands inside what it stands for"))?;
                self.add(0, Node { data: Data::Alias(target), span: range, column, tag: None, anchor: None })?;
            }
            Event::SequenceStart(style, id, _) => {
                let node = Open { span: range, column, flow: style == StructureStyle::Flow, id, tag, anchor };
                self.frames.push(Frame::Seq { node, items: Vec::new() });
            }
            Event::MappingStart(style, id, _) => {
                let node = Open { span: range, column, flow: style == StructureStyle::Flow, id, tag, anchor };
                self.frames.push(Frame::Map { node, pairs: Vec::new(), key: None, seen: HashSet::default() });
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(range.end)?,
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self, end: usize) -> Result<(), Error> {
        let (node, collection) = match self.frames.pop() {
            Some(Frame::Seq { node, items }) => (node, Err(items)),
            Some(Frame::Map { node, pairs, .. }) => (node, Ok(pairs)),
            None => return Ok(()),
        };
        let flow = node.flow;
        let data = match collection {
            Ok(pairs) => Data::Map { flow, pairs },
            Err(items) => Data::Seq { flow, items },
        };
        let span = node.span.start..if flow { end } else { node.span.start };
        self.add(node.id, Node { data, span, column: node.column, tag: node.tag, anchor: node.anchor })
    }

    fn add(&mut self, id: usize, node: Node) -> Result<(), Error> {
        let node = Rc::new(node);
        if id != 0 {
            self.anchors.insert(id, Rc::clone(&node));
        }
        match self.frames.last_mut() {
            None => {
                if let Some(document) = self.documents.last_mut() {
                    document.root = Some(node);
                }
            }
            Some(Frame::Seq { items, .. }) => items.push(node),
            Some(Frame::Map { pairs, key, seen, .. }) => match key.take() {
                Some(key) => pairs.push((key, node)),
                None => {
                    let name = key_text(&node, self.text)?;
                    if !seen.insert(name.clone()) {
                        let message = format!("the key \"{name}\" stands twice");
                        return Err(Error::Syntax { message, line: Some(line_of(self.text, node.span.start)) });
                    }
                    *key = Some(node);
                }
            },
        }
        Ok(())
    }
}

/// The line of a byte, from 1.
pub(super) fn line_of(text: &str, at: usize) -> u64 {
    text.get(..at).unwrap_or(text).matches('\n').count() as u64 + 1
}

/// The text of a key. SOPS knows keys that are text only.
pub(super) fn key_text(node: &Node, text: &str) -> Result<String, Error> {
    let refused = || Error::Syntax {
        message: "a key is no text, which SOPS cannot hold; put it into quotes".into(),
        line: Some(line_of(text, node.span.start)),
    };
    let Data::Scalar { text: key, style } = &node.data else { return Err(refused()) };
    let value = resolve(key, *style, node.tag.as_ref().map(|(tag, _)| *tag)).map_err(|_| refused())?;
    if value.kind != Kind::Str {
        return Err(refused());
    }
    Ok(key.clone())
}

fn kind_of_tag(tag: &granit_parser::Tag) -> Tag {
    match tag.core_suffix() {
        Some("str") => Tag::Str,
        Some("int") => Tag::Int,
        Some("float") => Tag::Float,
        Some("bool") => Tag::Bool,
        Some("null") => Tag::Null,
        Some("binary") => Tag::Binary,
        Some("timestamp") => Tag::Time,
        _ => Tag::Other,
    }
}

/// The first document as JSON, with aliases and merge keys resolved. For `.sops.yaml` and the like.
///
/// # Errors
/// Where it is no YAML, or JSON cannot hold it.
pub(crate) fn to_json(text: &str) -> Result<Json, Error> {
    let documents = documents(text)?;
    let mut left = ALIAS_LIMIT;
    match documents.first().and_then(|document| document.root.as_ref()) {
        Some(root) => node_to_json(root, text, &mut left, false),
        None => Ok(Json::Null),
    }
}

/// A node as JSON. `verbatim` keeps dates and versions as the text that stands there.
pub(super) fn node_to_json(node: &Node, text: &str, left: &mut usize, verbatim: bool) -> Result<Json, Error> {
    let too_much = || Error::Unsupported("its aliases stand for too much".into());
    match &node.data {
        Data::Scalar { text: scalar, style } => {
            let value = resolve(scalar, *style, node.tag.as_ref().map(|(tag, _)| *tag))?;
            match value.kind {
                Kind::Float | Kind::Time if verbatim => Ok(Json::String(scalar.clone())),
                _ => super::json_of(&value),
            }
        }
        Data::Alias(target) => {
            *left = left.checked_sub(1).ok_or_else(too_much)?;
            let before = *left;
            let json = node_to_json(target, text, left, verbatim)?;
            *left = (*left).min(before).checked_sub(size(&json)).ok_or_else(too_much)?;
            Ok(json)
        }
        Data::Seq { items, .. } => {
            items.iter().map(|item| node_to_json(item, text, left, verbatim)).collect::<Result<_, _>>().map(Json::Array)
        }
        Data::Map { pairs, .. } => {
            let mut map = Map::new();
            let mut merged = Vec::new();
            for (key, value) in pairs {
                let key = key_text(key, text)?;
                let value = node_to_json(value, text, left, verbatim)?;
                match (key.as_str(), value) {
                    ("<<", Json::Object(other)) => merged.push(other),
                    ("<<", Json::Array(list)) => merged.extend(list.into_iter().filter_map(|item| match item {
                        Json::Object(other) => Some(other),
                        _ => None,
                    })),
                    (_, value) => {
                        map.insert(key, value);
                    }
                }
            }
            for other in merged {
                for (key, value) in other {
                    map.entry(key).or_insert(value);
                }
            }
            Ok(Json::Object(map))
        }
    }
}

fn size(json: &Json) -> usize {
    match json {
        Json::Array(list) => 1 + list.iter().map(size).sum::<usize>(),
        Json::Object(map) => 1 + map.values().map(size).sum::<usize>(),
        _ => 1,
    }
}

/// How many more nodes aliases may stand for.
pub(super) const fn alias_limit() -> usize {
    ALIAS_LIMIT
}
