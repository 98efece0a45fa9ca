//! Which mapping or list a comment belongs to. go-yaml decides it, and with it under which key path sops encrypts the comment.

use contract::Pointer;
use granit_parser::ScalarStyle;

use super::PlaceBudget;
use super::yaml::BLOCK_KEY;
use super::yaml_lines::{Surroundings, colon_behind, dash_of};
use super::yaml_tree::{Comment, Data, Node, key_text, line_of};
use crate::Error;

/// A mapping or list, as comments see it.
pub(super) struct Container {
    pub(super) path: Vec<String>,
    pub(super) pointer: Pointer,
    parent: Option<usize>,
    column: usize,
    /// Where it ends, if it is in brackets or braces.
    flow_end: Option<usize>,
    /// Its comments, as numbers in the document's list.
    pub(super) comments: Vec<usize>,
}

impl Container {
    /// Whether it is in brackets or braces that are closed before this place.
    pub(super) fn is_closed_at(&self, at: usize) -> bool {
        self.flow_end.is_some_and(|end| end <= at)
    }
}

/// A key or an element, where it starts and what it belongs to.
struct Entry {
    start: usize,
    column: usize,
    container: usize,
}

/// Every mapping and list of one document, in document order, without the block of SOPS.
#[derive(Default)]
pub(super) struct Containers {
    pub(super) list: Vec<Container>,
    entries: Vec<Entry>,
}

impl Containers {
    /// Those of a document, whose pointers begin with this one; its comments are given to them.
    ///
    /// # Errors
    /// For a key that sops does not read, and where places take too much.
    pub(super) fn of(
        text: &str,
        root: &Node,
        pointer: Pointer,
        comments: &[&Comment],
        budget: &mut PlaceBudget,
    ) -> Result<Self, Error> {
        let mut found = Self::default();
        found.collect(text, root, None, Vec::new(), pointer, budget)?;
        // The lines of one long comment have one neighbourhood, which is looked for once.
        let mut group: Option<(&Comment, Surroundings)> = None;
        for (at, comment) in comments.iter().enumerate() {
            let same = group.filter(|(last, _)| comment.goes_on(text, last));
            let around = same.map_or_else(|| Surroundings::of(text, comment), |(_, around)| around);
            group = Some((comment, around));
            let owner = found.owner(comment, around);
            found.list[owner].comments.push(at);
        }
        Ok(found)
    }

    /// The key paths of other collections that begin or go on beside a place.
    pub(super) fn beside(&self, at: usize, own: usize) -> impl Iterator<Item = &[String]> {
        let next = self.entries.partition_point(|entry| entry.start < at);
        let near = [next.checked_sub(1), Some(next)].into_iter().flatten().filter_map(|at| self.entries.get(at));
        near.filter(move |entry| entry.container != own).map(|entry| self.list[entry.container].path.as_slice())
    }

    fn collect(
        &mut self,
        text: &str,
        node: &Node,
        parent: Option<usize>,
        path: Vec<String>,
        pointer: Pointer,
        budget: &mut PlaceBudget,
    ) -> Result<(), Error> {
        budget.spend(&pointer)?;
        let id = self.list.len();
        let flow = node.is_flow();
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
                self.list.push(container(pairs.first().map_or(node.column, |(key, _)| key.column)));
                for (key, value) in pairs {
                    if flow {
                        unread_in_flow(text, key, true)?;
                        unread_in_flow(text, value, false)?;
                    }
                    let name = key_text(key, text)?;
                    if parent.is_none() && name == BLOCK_KEY {
                        continue;
                    }
                    self.entries.push(Entry { start: key.outer_start(), column: key.column, container: id });
                    if value.is_collection() {
                        let path = path.iter().cloned().chain([name.clone()]).collect();
                        self.collect(text, value, Some(id), path, pointer.join(&name), budget)?;
                    }
                }
            }
            Data::Seq { items, .. } => {
                let dash = |item: &Node| if flow { item.column } else { dash_of(text, item).1 };
                self.list.push(container(items.first().map_or(node.column, |item| dash(item))));
                for (index, item) in items.iter().enumerate() {
                    if flow {
                        unread_in_flow(text, item, false)?;
                    }
                    let start = if flow { item.outer_start() } else { dash_of(text, item).0 };
                    self.entries.push(Entry { start, column: self.list[id].column, container: id });
                    if item.is_collection() {
                        self.collect(text, item, Some(id), path.clone(), pointer.join(index), budget)?;
                    }
                }
            }
            Data::Scalar { .. } | Data::Alias(_) => {}
        }
        Ok(())
    }

    /// For a comment on a line of its own this follows go-yaml: the foot of what is above it, or the head of what is below it.
    fn owner(&self, comment: &Comment, around: Surroundings) -> usize {
        let next = self.entries.partition_point(|entry| entry.start < comment.span.start);
        let previous = next.checked_sub(1).map(|at| &self.entries[at]);
        let next = self.entries.get(next);
        let Some(previous) = previous else { return 0 };
        if !comment.own_line {
            // Behind a closing bracket it belongs to the outermost collection that ends there.
            let closed = |id: &usize| self.list[*id].is_closed_at(comment.span.start);
            let mut at = previous.container;
            while let Some(parent) = self.list[at].parent.filter(|parent| closed(&at) && closed(parent)) {
                at = parent;
            }
            return at;
        }
        // A comment under a key without a value yet heads the collection that follows.
        if let Some(next) = next.filter(|next| self.list[next.container].parent == Some(previous.container)) {
            return next.container;
        }
        let mut block = previous.container;
        while let Some(parent) = self.list[block].parent.filter(|_| self.list[block].flow_end.is_some()) {
            block = parent;
        }
        let indent = self.list[block].column;
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
        while let Some(parent) = self.list[at].parent {
            // A list may stand at the column of its own key; then what is at that column is beside the key.
            let column = self.list[at].column;
            if column < comment.column || column == comment.column && self.list[parent].column != column {
                break;
            }
            at = parent;
        }
        at
    }
}

/// What go-yaml does not read as the same within braces and brackets. To it a question mark ends a word there, and a colon is a
/// part of it unless a blank follows.
fn unread_in_flow(text: &str, node: &Node, is_key: bool) -> Result<(), Error> {
    let Data::Scalar { style: ScalarStyle::Plain, .. } = node.data else { return over_lines(text, node, is_key) };
    let message = if text[node.span.clone()].contains('?') {
        "a word in braces or brackets has a question mark, which sops does not read there; put it into quotes"
    } else if is_key && text[node.span.end..].starts_with(':') && !blank_follows(&text[node.span.end + 1..]) {
        "a key in braces has no blank behind its colon, which sops takes for a part of the key; write one, or use quotes"
    } else {
        return over_lines(text, node, is_key);
    };
    Err(Error::Syntax { message: message.into(), line: Some(line_of(text, node.span.start)) })
}

fn blank_follows(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(char::is_whitespace)
}

/// A key that no question mark announces has to be on one line with its colon.
fn over_lines(text: &str, key: &Node, is_key: bool) -> Result<(), Error> {
    let announced = text[..key.outer_start()].trim_end().ends_with('?');
    let colon = colon_behind(text, key.span.end).filter(|_| is_key && !announced);
    if !colon.is_some_and(|colon| text[key.span.start..colon].contains('\n')) {
        return Ok(());
    }
    let message = "a key within braces goes over several lines, which sops does not read".into();
    Err(Error::Syntax { message, line: Some(line_of(text, key.span.start)) })
}
