//! The walk over a parsed YAML document that finds every value and comment, its place in the text and its path.

use std::ops::Range;
use std::rc::Rc;

use contract::Pointer;
use granit_parser::ScalarStyle;
use serde_json::Value as Json;

use super::splice::line_start;
use super::yaml::BLOCK_KEY;
use super::yaml_comments::Containers;
use super::yaml_lines::{content_column, dash_of, header_comment, header_of, pair_end};
use super::yaml_scalar::{is_old_boolean, resolve};
use super::yaml_tabs::refuse_tabs;
use super::yaml_tree::{self, Comment, Data, Document, Node, Tag, key_text};
use super::{Comments, Layout, Parsed, PlaceBudget, Side, Slot, Style};
use crate::Error;
use crate::sops::{EncText, Metadata, Value};

/// Every value, comment and the block of a YAML text. What is to be encrypted has to be what sops reads too.
pub(super) fn parse(text: &str, side: Side) -> Result<Parsed, Error> {
    let documents = yaml_tree::documents(text)?;
    for root in documents.iter().filter_map(|document| document.root.as_ref()).filter(|_| side == Side::Plain) {
        refuse_tabs(text, root)?;
    }
    let mut walk = Walk {
        text,
        slots: Vec::new(),
        layout: Layout { insert_at: text.len(), ..Layout::default() },
        metadata: None,
        containers: Containers::default(),
        alias_nodes: yaml_tree::alias_limit(),
        budget: PlaceBudget::new(text.len()),
    };
    let mut mappings = 0;
    for (index, document) in documents.iter().enumerate() {
        mappings += usize::from(walk.document(index, document)?);
    }
    if mappings == 0 {
        return Err(Error::Unsupported("the file holds no mapping: SOPS encrypts values that have keys".into()));
    }
    Ok(Parsed { slots: walk.slots, metadata: walk.metadata, layout: walk.layout })
}

struct Walk<'a> {
    text: &'a str,
    slots: Vec<Slot>,
    layout: Layout,
    metadata: Option<Metadata>,
    containers: Containers,
    alias_nodes: usize,
    budget: PlaceBudget,
}

/// Where a walk is.
#[derive(Clone)]
struct Place {
    path: Vec<String>,
    pointer: Pointer,
    active: Comments,
    in_flow: bool,
}

impl Walk<'_> {
    /// Walks one document; whether it has a mapping at its top.
    fn document(&mut self, index: usize, document: &Document) -> Result<bool, Error> {
        let Some(root) = &document.root else { return Ok(false) };
        let Data::Map { flow, pairs } = &root.data else {
            if matches!(&root.data, Data::Scalar { text, style: ScalarStyle::Plain } if text.is_empty()) {
                return Ok(false);
            }
            return Err(Error::Unsupported(
                "the top of the file is no mapping: SOPS encrypts values that have keys".into(),
            ));
        };
        let mut skip = None;
        for (at, (key, value)) in pairs.iter().enumerate() {
            if key_text(key, self.text)? == BLOCK_KEY {
                let range = self.block_range(root, pairs, at);
                self.layout.pairs.push(key.outer_start()..pair_end(self.text, key, value));
                if self.metadata.is_none() {
                    self.read_block(value)?;
                }
                skip = Some(range.clone());
                self.layout.blocks.push(range);
            }
        }
        if !*flow && !pairs.is_empty() && pairs.iter().all(|(key, _)| key.is_block_key()) {
            self.layout.rest = "{}\n";
        }
        if index == 0 {
            self.layout.flow = *flow;
            self.layout.indent = if *flow { 0 } else { pairs.first().map_or(0, |(key, _)| self.key_column(key)) };
            self.layout.empty = pairs.is_empty();
            self.layout.insert_at = match pairs.last() {
                _ if !*flow => document.end,
                // A comma or a comment may follow.
                Some((key, value)) => pair_end(self.text, key, value),
                None => root.span.end.saturating_sub(1),
            };
        }
        let live = |comment: &&Comment| skip.as_ref().is_none_or(|block| !block.contains(&comment.span.start));
        let comments: Vec<&Comment> = document.comments.iter().filter(live).collect();
        self.containers = Containers::of(self.text, root, root_pointer(index), &comments, &mut self.budget)?;
        let mut next = 0;
        let place =
            Place { path: Vec::new(), pointer: root_pointer(index), active: Comments::default(), in_flow: false };
        self.collection(root, &place, &comments, &mut next)?;
        Ok(true)
    }

    /// Where a key stands, or the question mark before it.
    fn key_column(&self, key: &Node) -> usize {
        let header = if key.is_block_scalar() { header_of(self.text, key).0 } else { usize::MAX };
        let mut before = self.text[..key.outer_start().min(header)].trim_end();
        loop {
            let start = line_start(before, before.len());
            let line = &before[start..];
            // Comments may stand between the question mark and its key.
            let comment = line.find('#').filter(|at| line[..*at].trim_end().len() < *at || *at == 0);
            let mark = comment.map_or(line, |at| &line[..at]).trim_end();
            if mark.trim_start() == "?" {
                return mark.len() - 1;
            }
            if start == 0 || comment.is_none() || !mark.is_empty() {
                return key.column;
            }
            before = before[..start].trim_end();
        }
    }

    /// The block with what would be left over without it.
    fn block_range(&self, root: &Node, pairs: &[(Rc<Node>, Rc<Node>)], at: usize) -> Range<usize> {
        let (key, value) = &pairs[at];
        let end = pair_end(self.text, key, value);
        if root.is_flow() {
            return match at {
                0 => key.outer_start()..pairs.get(1).map_or(end, |(next, _)| next.outer_start()),
                _ => pair_end(self.text, &pairs[at - 1].0, &pairs[at - 1].1)..end,
            };
        }
        let start = line_start(self.text, key.outer_start());
        match self.text[end..].find('\n') {
            Some(newline) => start..end + newline + 1,
            // No line break at the end of the file: then the one before the block is ours too.
            None => self.text[..start].strip_suffix('\n').map_or(start, str::len)..self.text.len(),
        }
    }

    fn read_block(&mut self, value: &Node) -> Result<(), Error> {
        let json = yaml_tree::node_to_json(value, self.text, &mut self.alias_nodes, true)?;
        let Json::Object(raw) = json else {
            return Err(Error::BadMetadata("it is no mapping".into()));
        };
        self.metadata = Some(Metadata { raw });
        if let Data::Map { pairs, .. } = &value.data {
            for (key, value) in pairs {
                for stamp in ["mac", "lastmodified"] {
                    if matches!(&key.data, Data::Scalar { text, .. } if text == stamp) && !value.is_block_scalar() {
                        self.layout.stamps.push((stamp, value.outer_start()..value.span.end));
                    }
                }
            }
        }
        Ok(())
    }

    /// Makes the slots of a mapping or sequence, in document order.
    fn collection(&mut self, node: &Node, place: &Place, comments: &[&Comment], next: &mut usize) -> Result<(), Error> {
        let id = *next;
        *next += 1;
        let own = std::mem::take(&mut self.containers.list[id].comments);
        let mut own = own.into_iter().map(|at| comments[at]).peekable();
        let mut active = place.active.clone();
        let children: Vec<(Option<&Rc<Node>>, &Rc<Node>)> = match &node.data {
            Data::Map { pairs, .. } => {
                let own = pairs.iter().filter(|(key, _)| id != 0 || !key.is_block_key());
                own.map(|(key, value)| (Some(key), value)).collect()
            }
            Data::Seq { items, .. } => items.iter().map(|item| (None, item)).collect(),
            Data::Scalar { .. } | Data::Alias(_) => Vec::new(),
        };
        let flow = node.is_flow();
        if matches!(&node.data, Data::Map { pairs, .. } if pairs.is_empty())
            || matches!(&node.data, Data::Seq { items, .. } if items.is_empty())
        {
            let what = if matches!(node.data, Data::Seq { .. }) { "a list" } else { "a mapping" };
            self.layout.collections.push((place.pointer.clone(), what));
        }
        // The place of a block scalar is its content, which may be nothing, anywhere behind its header.
        let start_of = |(key, value): &(Option<&Rc<Node>>, &Rc<Node>)| match key {
            Some(key) => key.outer_start(),
            None if value.is_block_scalar() => header_of(self.text, value).0.min(value.outer_start()),
            None => value.outer_start(),
        };
        let starts: Vec<usize> = children.iter().map(start_of).collect();
        let mut elements = 0..;
        for (at, (key, value)) in children.into_iter().enumerate() {
            // An element that is a comment has no index of its own.
            let index = if key.is_none() && value.is_comment_element() {
                format!("#{at}")
            } else {
                elements.next().unwrap_or(at).to_string()
            };
            let start = starts[at];
            // A comment at the end of a line goes before what stands before it, as sops has it; behind a closing bracket
            // before everything inside. Lines do not count for that: text that is folded comes back on one.
            let limit = starts.get(at + 1).copied().unwrap_or(usize::MAX);
            while let Some(comment) = own.next_if(|comment| {
                let closed = self.containers.list[id].is_closed_at(comment.span.start);
                comment.span.start < start || !comment.own_line && (closed || comment.span.start < limit)
            }) {
                self.comment(comment, id, place, &mut active)?;
            }
            let name = key.map(|key| key_text(key, self.text)).transpose()?;
            let inner = Place {
                path: place.path.iter().cloned().chain(name.clone()).collect(),
                pointer: match &name {
                    Some(name) => place.pointer.join(name),
                    None => place.pointer.join(index),
                },
                active: active.clone(),
                in_flow: flow,
            };
            let column = match key {
                Some(key) => key.column,
                None if flow => node.column,
                None => dash_of(self.text, value).1,
            };
            self.value(value, &inner, column, comments, next)?;
            active = place.active.clone();
        }
        for comment in own {
            self.comment(comment, id, place, &mut active)?;
        }
        Ok(())
    }

    fn comment(
        &mut self,
        comment: &Comment,
        container: usize,
        place: &Place,
        active: &mut Comments,
    ) -> Result<(), Error> {
        self.budget.spend(&place.pointer)?;
        active.push(&comment.text);
        // Another writer may have counted an encrypted comment to what encloses this, or to what begins behind it.
        let mut elsewhere: Vec<Vec<String>> = Vec::new();
        if EncText::is_meant(&comment.text) {
            elsewhere.extend((0..place.path.len()).rev().map(|length| place.path[..length].to_vec()));
            elsewhere.extend(self.containers.beside(comment.span.start, container).map(<[String]>::to_vec));
        }
        let pointer = self.containers.list[container].pointer.clone();
        self.slots.push(Slot {
            elsewhere,
            comments: active.clone(),
            style: Style::Comment,
            ..Slot::new(pointer, place.path.clone(), Value::comment(&comment.text), comment.span.clone())
        });
        self.layout.columns.push(comment.column);
        self.layout.extents.push(comment.span.clone());
        self.layout.tails.push(None);
        Ok(())
    }

    fn value(
        &mut self,
        node: &Rc<Node>,
        place: &Place,
        column: usize,
        comments: &[&Comment],
        next: &mut usize,
    ) -> Result<(), Error> {
        match &node.data {
            Data::Scalar { text, style } => {
                let tag = node.tag.as_ref().map(|(tag, _)| *tag);
                let value = resolve(text, *style, tag).map_err(|error| self.at_line(error, node))?;
                let (style, extent, column) = self.written(node, *style, place.in_flow, column);
                let tail = if node.is_block_scalar() { header_comment(self.text, &extent) } else { None };
                let head = tail.as_ref().map_or(extent.clone(), |(header, _)| header.clone());
                self.slot(place, value, node.span.clone(), style, head, column, false)?;
                if let (Some(last), Some((_, tail))) = (self.layout.tails.last_mut(), tail) {
                    *last = Some(tail);
                }
                Ok(())
            }
            Data::Alias(target) => match &target.data {
                Data::Scalar { text, style } => {
                    let value = resolve(text, *style, target.tag.as_ref().map(|(tag, _)| *tag))?;
                    let style = if place.in_flow { Style::PlainInFlow } else { Style::Plain };
                    self.slot(place, value, node.span.clone(), style, node.span.clone(), column + 2, false)
                }
                _ => self.through_alias(target, place, &node.span),
            },
            Data::Map { .. } | Data::Seq { .. } => self.collection(node, place, comments, next),
        }
    }

    /// The values behind an alias of a collection: they count in the MAC where the alias stands.
    fn through_alias(&mut self, node: &Rc<Node>, place: &Place, span: &Range<usize>) -> Result<(), Error> {
        self.alias_nodes = self
            .alias_nodes
            .checked_sub(1)
            .ok_or_else(|| Error::Unsupported("its aliases stand for too much".into()))?;
        match &node.data {
            Data::Scalar { text, style } => {
                let value = resolve(text, *style, node.tag.as_ref().map(|(tag, _)| *tag))?;
                self.slot(place, value, span.clone(), Style::Plain, span.clone(), 0, true)
            }
            Data::Alias(target) => self.through_alias(target, place, span),
            Data::Map { pairs, .. } => pairs.iter().try_for_each(|(key, value)| {
                let name = key_text(key, self.text)?;
                let path = place.path.iter().cloned().chain([name.clone()]).collect();
                self.through_alias(value, &Place { path, pointer: place.pointer.join(&name), ..place.clone() }, span)
            }),
            Data::Seq { items, .. } => items.iter().enumerate().try_for_each(|(index, item)| {
                self.through_alias(item, &Place { pointer: place.pointer.join(index), ..place.clone() }, span)
            }),
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn slot(
        &mut self,
        place: &Place,
        value: Value,
        span: Range<usize>,
        style: Style,
        extent: Range<usize>,
        column: usize,
        fixed: bool,
    ) -> Result<(), Error> {
        self.budget.spend(&place.pointer)?;
        self.slots.push(Slot {
            comments: place.active.clone(),
            style,
            fixed,
            ..Slot::new(place.pointer.clone(), place.path.clone(), value, span)
        });
        self.layout.columns.push(column);
        self.layout.extents.push(extent);
        self.layout.tails.push(None);
        Ok(())
    }

    /// How a scalar is written, what is replaced with it, and where the content of a block would stand.
    fn written(&self, node: &Node, style: ScalarStyle, in_flow: bool, column: usize) -> (Style, Range<usize>, usize) {
        let own = match (style, in_flow) {
            (ScalarStyle::Plain, false) => Style::Plain,
            (ScalarStyle::Plain, true) => Style::PlainInFlow,
            (ScalarStyle::SingleQuoted, false) => Style::Single,
            (ScalarStyle::SingleQuoted, true) => Style::SingleInFlow,
            (ScalarStyle::DoubleQuoted, false) => Style::Double,
            (ScalarStyle::DoubleQuoted, true) => Style::DoubleInFlow,
            (ScalarStyle::Literal | ScalarStyle::Folded, _) => {
                let end = node.end(self.text);
                let (header, digit) = header_of(self.text, node);
                let style = match style {
                    _ if digit => Style::Literal(true),
                    ScalarStyle::Folded => Style::Folded,
                    _ => Style::Literal(false),
                };
                return (
                    style,
                    header..end.max(header),
                    if digit { column + 2 } else { content_column(self.text, node, column) },
                );
            }
        };
        let text = match &node.data {
            Data::Scalar { text, .. } => text.as_str(),
            _ => "",
        };
        if own == Style::Plain && node.anchor.is_none() {
            match &node.tag {
                None if is_old_boolean(text) => return (Style::Tagged, node.span.clone(), column + 2),
                Some((Tag::Str, tag)) if EncText::is_meant(text) => {
                    return (Style::Tagged, tag.start.min(node.span.start)..node.span.end, column + 2);
                }
                _ => {}
            }
        }
        let typed = |tag: &Tag| !matches!(tag, Tag::Str | Tag::Other);
        // A list element that is an encrypted comment is how the real program writes comments in lists.
        if own == Style::Plain && node.is_comment_element() {
            let (dash, _) = dash_of(self.text, node);
            if self.text[dash..].starts_with('-') {
                return (Style::CommentElement, dash..node.span.end, column);
            }
        }
        let start = node.tag.as_ref().filter(|(tag, _)| typed(tag)).map_or(node.span.start, |(_, span)| span.start);
        (own, start.min(node.span.start)..node.span.end, column + 2)
    }

    fn at_line(&self, error: Error, node: &Node) -> Error {
        let line = Some(yaml_tree::line_of(self.text, node.span.start));
        match error {
            Error::Unsupported(message) => Error::Syntax { message, line },
            other => other,
        }
    }
}

/// Pointers into later documents of a stream begin with `#1`, `#2`, which no key of the first would be mistaken for.
fn root_pointer(document: usize) -> Pointer {
    if document == 0 { Pointer::root() } else { Pointer::root().join(format!("#{document}")) }
}
