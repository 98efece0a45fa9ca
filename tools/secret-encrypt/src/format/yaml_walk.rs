//! The walk over a parsed YAML document that finds every value and comment, its place in the text and its path.

use std::ops::Range;
use std::rc::Rc;

use contract::Pointer;
use granit_parser::ScalarStyle;
use serde_json::Value as Json;

use super::yaml::BLOCK_KEY;
use super::yaml_lines::{Surroundings, content_column, dash_of, header_comment, header_of};
use super::yaml_scalar::{is_old_boolean, resolve};
use super::yaml_tree::{self, Comment, Data, Document, Node, Tag, key_text};
use super::{Comments, Layout, Parsed, PlaceBudget, Slot, Style};
use crate::Error;
use crate::sops::{EncText, Metadata, Value};

/// Every value, comment and the block of a YAML text.
pub(super) fn parse(text: &str) -> Result<Parsed, Error> {
    let documents = yaml_tree::documents(text)?;
    let mut walk = Walk {
        text,
        slots: Vec::new(),
        layout: Layout { insert_at: text.len(), ..Layout::default() },
        metadata: None,
        containers: Vec::new(),
        entries: Vec::new(),
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

/// A mapping or sequence, as comments see it.
struct Container {
    path: Vec<String>,
    pointer: Pointer,
    parent: Option<usize>,
    column: usize,
    /// Where it ends, if it is in brackets or braces.
    flow_end: Option<usize>,
    comments: Vec<usize>,
}

/// A key or an element, where it starts and what it belongs to.
struct Entry {
    start: usize,
    column: usize,
    container: usize,
}

struct Walk<'a> {
    text: &'a str,
    slots: Vec<Slot>,
    layout: Layout,
    metadata: Option<Metadata>,
    containers: Vec<Container>,
    entries: Vec<Entry>,
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
                if self.metadata.is_none() {
                    self.read_block(value)?;
                }
                skip = Some(range.clone());
                self.layout.blocks.push(range);
            }
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
        self.containers.clear();
        self.entries.clear();
        self.collect(root, None, Vec::new(), root_pointer(index))?;
        let live = |comment: &&Comment| skip.as_ref().is_none_or(|block| !block.contains(&comment.span.start));
        let comments: Vec<&Comment> = document.comments.iter().filter(live).collect();
        for (at, comment) in comments.iter().enumerate() {
            let container = self.container_of(comment);
            self.containers[container].comments.push(at);
        }
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
            let start = before.rfind('\n').map_or(0, |at| at + 1);
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

    /// Whether a key that no question mark announces and its colon are not on one line: go-yaml refuses that.
    fn goes_over_lines(&self, key: &Node) -> bool {
        let announced = self.text[..key.outer_start()].trim_end().ends_with('?');
        let colon = colon_behind(self.text, key.span.end).filter(|_| !announced);
        colon.is_some_and(|colon| self.text[key.span.start..colon].contains('\n'))
    }

    /// The block with what would be left over without it.
    fn block_range(&self, root: &Node, pairs: &[(Rc<Node>, Rc<Node>)], at: usize) -> Range<usize> {
        let (key, value) = &pairs[at];
        let end = pair_end(self.text, key, value);
        if matches!(root.data, Data::Map { flow: true, .. }) {
            return match at {
                0 => key.outer_start()..pairs.get(1).map_or(end, |(next, _)| next.outer_start()),
                _ => pair_end(self.text, &pairs[at - 1].0, &pairs[at - 1].1)..end,
            };
        }
        let start = self.text[..key.outer_start()].rfind('\n').map_or(0, |at| at + 1);
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

    /// Notes every container and entry, so that comments can be given to them.
    fn collect(
        &mut self,
        node: &Node,
        parent: Option<usize>,
        path: Vec<String>,
        pointer: Pointer,
    ) -> Result<(), Error> {
        self.budget.spend(&pointer)?;
        let id = self.containers.len();
        let flow = matches!(node.data, Data::Map { flow: true, .. } | Data::Seq { flow: true, .. });
        let flow_end = flow.then_some(node.span.end);
        let container = |column| Container {
            path: path.clone(),
            pointer: pointer.clone(),
            parent,
            column,
            flow_end,
            comments: Vec::new(),
        };
        match &node.data {
            Data::Map { pairs, .. } => {
                self.containers.push(container(pairs.first().map_or(node.column, |(key, _)| key.column)));
                for (key, value) in pairs {
                    if flow && self.goes_over_lines(key) {
                        let message = "a key within braces goes over several lines, which sops does not read".into();
                        return Err(Error::Syntax {
                            message,
                            line: Some(yaml_tree::line_of(self.text, key.span.start)),
                        });
                    }
                    let name = key_text(key, self.text)?;
                    if parent.is_none() && name == BLOCK_KEY {
                        continue;
                    }
                    self.entries.push(Entry { start: key.outer_start(), column: key.column, container: id });
                    if matches!(value.data, Data::Map { .. } | Data::Seq { .. }) {
                        let path = path.iter().cloned().chain([name.clone()]).collect();
                        self.collect(value, Some(id), path, pointer.join(&name))?;
                    }
                }
            }
            Data::Seq { flow, items } => {
                let dash = |item: &Node| if *flow { item.column } else { dash_of(self.text, item).1 };
                self.containers.push(container(items.first().map_or(node.column, |item| dash(item))));
                for (index, item) in items.iter().enumerate() {
                    let start = if *flow { item.outer_start() } else { dash_of(self.text, item).0 };
                    self.entries.push(Entry { start, column: self.containers[id].column, container: id });
                    if matches!(item.data, Data::Map { .. } | Data::Seq { .. }) {
                        self.collect(item, Some(id), path.clone(), pointer.join(index))?;
                    }
                }
            }
            Data::Scalar { .. } | Data::Alias(_) => {}
        }
        Ok(())
    }

    /// What a comment belongs to. For one on a line of its own this follows go-yaml, whose choice decides under which key
    /// path the real program encrypts it: the foot of what is above it, or the head of what is below it.
    fn container_of(&self, comment: &Comment) -> usize {
        let next = self.entries.partition_point(|entry| entry.start < comment.span.start);
        let previous = next.checked_sub(1).map(|at| &self.entries[at]);
        let next = self.entries.get(next);
        let Some(previous) = previous else { return 0 };
        if !comment.own_line {
            // Behind a closing bracket it belongs to the outermost collection that ends there.
            let closed = |id: &usize| self.containers[*id].flow_end.is_some_and(|end| end <= comment.span.start);
            let mut at = previous.container;
            while let Some(parent) = self.containers[at].parent.filter(|parent| closed(&at) && closed(parent)) {
                at = parent;
            }
            return at;
        }
        // A comment under a key without a value yet heads the collection that follows.
        if let Some(next) = next.filter(|next| self.containers[next.container].parent == Some(previous.container)) {
            return next.container;
        }
        let mut block = previous.container;
        while let Some(parent) = self.containers[block].parent.filter(|_| self.containers[block].flow_end.is_some()) {
            block = parent;
        }
        let around = Surroundings::of(self.text, comment);
        let indent = self.containers[block].column;
        let below = around.below < indent && around.below != comment.column;
        let foot = around.touches && around.blank_below && comment.column >= indent;
        let dedented = around.blank_below && around.first && comment.column < indent;
        if foot || (below && !dedented) {
            return block;
        }
        if let Some(next) = next.filter(|next| next.column == comment.column) {
            return next.container;
        }
        let mut at = previous.container;
        while let Some(parent) = self.containers[at].parent {
            // A list may stand at the column of its own key; then what is at that column is beside the key.
            let column = self.containers[at].column;
            if column <= comment.column && self.containers[parent].column != column {
                break;
            }
            at = parent;
        }
        at
    }

    /// Makes the slots of a mapping or sequence, in document order.
    fn collection(&mut self, node: &Node, place: &Place, comments: &[&Comment], next: &mut usize) -> Result<(), Error> {
        let id = *next;
        *next += 1;
        let own = std::mem::take(&mut self.containers[id].comments);
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
        let flow = matches!(node.data, Data::Map { flow: true, .. } | Data::Seq { flow: true, .. });
        if matches!(&node.data, Data::Map { pairs, .. } if pairs.is_empty())
            || matches!(&node.data, Data::Seq { items, .. } if items.is_empty())
        {
            let what = if matches!(node.data, Data::Seq { .. }) { "a list" } else { "a mapping" };
            self.layout.collections.push((place.pointer.clone(), what));
        }
        let start_of = |(key, value): &(Option<&Rc<Node>>, &Rc<Node>)| {
            key.map_or_else(|| value.outer_start(), |key| key.outer_start())
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
                let closed = self.containers[id].flow_end.is_some_and(|end| end <= comment.span.start);
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
            let next = self.entries.partition_point(|entry| entry.start < comment.span.start);
            for near in [next.checked_sub(1), Some(next)].into_iter().flatten() {
                if let Some(entry) = self.entries.get(near).filter(|entry| entry.container != container) {
                    elsewhere.push(self.containers[entry.container].path.clone());
                }
            }
        }
        self.slots.push(Slot {
            pointer: self.containers[container].pointer.clone(),
            path: place.path.clone(),
            elsewhere,
            comments: active.clone(),
            value: Value::comment(&comment.text),
            span: comment.span.clone(),
            style: Style::Comment,
            always: false,
            fixed: false,
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
            pointer: place.pointer.clone(),
            path: place.path.clone(),
            elsewhere: Vec::new(),
            comments: place.active.clone(),
            value,
            span,
            style,
            always: false,
            fixed,
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

/// Where a pair of a mapping ends: behind its value, and behind its colon where it has none.
fn pair_end(text: &str, key: &Node, value: &Node) -> usize {
    let marks = [value.tag.as_ref().map(|(_, span)| span.end), value.anchor.as_ref().map(|span| span.end)];
    let end = marks.into_iter().flatten().fold(value.end(text).max(key.span.end), usize::max);
    if !value.span.is_empty() {
        return end;
    }
    // The place of a value that is not there may be before its colon, which may stand on a line further down.
    colon_behind(text, key.span.end).map_or(end, |colon| end.max(colon + 1))
}

/// Where the colon is that follows a key, behind blanks, line breaks and comments.
fn colon_behind(text: &str, key_end: usize) -> Option<usize> {
    let mut rest = text[key_end..].trim_start();
    while rest.starts_with('#') {
        rest = rest.split_once('\n').map_or("", |(_, below)| below).trim_start();
    }
    rest.starts_with(':').then_some(text.len() - rest.len())
}

/// Pointers into later documents of a stream begin with `#1`, `#2`, which no key of the first would be mistaken for.
fn root_pointer(document: usize) -> Pointer {
    if document == 0 { Pointer::root() } else { Pointer::root().join(format!("#{document}")) }
}
