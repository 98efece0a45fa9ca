//! A picture before it is drawn: what there is and what it is connected with, without places.

use std::collections::BTreeMap;

/// Characters in a line below a name.
const LONGEST_LINE: usize = 42;

/// What a node stands for; decides its shape and colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The internet, or people on it.
    Internet,
    /// A network.
    Network,
    /// A machine.
    Host,
    /// A reverse proxy or tunnel.
    Proxy,
    /// A service.
    Service,
    /// A database cluster.
    Database,
    /// Files, buckets, repositories.
    Storage,
    /// What is not ours.
    External,
    /// What watches.
    Agent,
    /// A zone or plan: something on paper.
    Paper,
}

impl Kind {
    /// Every kind, in the order of legends.
    pub const ALL: [Kind; 10] = [
        Kind::Internet,
        Kind::Network,
        Kind::Host,
        Kind::Proxy,
        Kind::Service,
        Kind::Database,
        Kind::Storage,
        Kind::External,
        Kind::Agent,
        Kind::Paper,
    ];

    /// What it usually stands for, in a legend.
    const fn usual(self) -> &'static str {
        match self {
            Kind::Internet => "internet",
            Kind::Network => "network",
            Kind::Host => "host",
            Kind::Proxy => "proxy or tunnel",
            Kind::Service => "service",
            Kind::Database => "database",
            Kind::Storage => "storage",
            Kind::External => "not run by the fleet",
            Kind::Agent => "agent",
            Kind::Paper => "plan",
        }
    }

    /// The word for it in class names.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Internet => "internet",
            Kind::Network => "network",
            Kind::Host => "host",
            Kind::Proxy => "proxy",
            Kind::Service => "service",
            Kind::Database => "database",
            Kind::Storage => "storage",
            Kind::External => "external",
            Kind::Agent => "agent",
            Kind::Paper => "paper",
        }
    }
}

/// Something in the picture, perhaps with things inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it stands for.
    pub kind: Kind,
    /// Its name.
    pub title: String,
    /// Smaller lines below the name.
    pub lines: Vec<String>,
    /// Things inside.
    pub parts: Vec<Part>,
}

/// Something inside a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it stands for.
    pub kind: Kind,
    /// Its name.
    pub title: String,
    /// A smaller line below the name; may be empty.
    pub line: String,
}

/// How an arrow is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Line {
    /// What must be.
    Solid,
    /// What may be.
    Dashed,
}

/// An arrow between two nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// Index of the node that it leaves.
    pub from: usize,
    /// Index of the node that it reaches.
    pub to: usize,
    /// Text beside it; may be empty.
    pub label: String,
    /// How it is drawn.
    pub line: Line,
}

/// What shapes and lines stand for in a picture, for its legend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Meanings {
    /// Kinds that stand for something else than usual.
    pub kinds: &'static [(Kind, &'static str)],
    /// A solid arrow; empty if that goes without saying.
    pub solid: &'static str,
    /// A dashed arrow; an arrow whose label says the same goes without it where there is a legend.
    pub dashed: &'static str,
}

/// A picture.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diagram {
    /// What it shows.
    pub title: String,
    /// The same in a sentence, for those who cannot see it.
    pub description: String,
    /// What there is.
    pub nodes: Vec<Node>,
    /// What is connected.
    pub edges: Vec<Edge>,
    /// Remarks below the picture.
    pub notes: Vec<String>,
    /// What shapes and lines stand for.
    pub meanings: Meanings,
    keys: BTreeMap<String, usize>,
}

impl Diagram {
    pub(super) fn new(title: impl Into<String>, description: impl Into<String>) -> Self {
        Self { title: title.into(), description: description.into(), ..Self::default() }
    }

    /// The same with a legend of its own.
    #[must_use]
    pub(super) fn meaning(mut self, meanings: Meanings) -> Self {
        self.meanings = meanings;
        self
    }

    /// The kinds that are in the picture, each with what it stands for.
    pub(super) fn kinds(&self) -> Vec<(Kind, &'static str)> {
        let there = |kind: Kind| {
            self.nodes.iter().any(|node| node.kind == kind || node.parts.iter().any(|part| part.kind == kind))
        };
        let word = |kind: Kind| {
            let own = self.meanings.kinds.iter().find(|(own, _)| *own == kind);
            own.map_or(kind.usual(), |(_, word)| *word)
        };
        Kind::ALL.into_iter().filter(|kind| there(*kind)).map(|kind| (kind, word(kind))).collect()
    }

    /// Adds a node, to be found again by its key.
    pub(super) fn node(&mut self, key: impl Into<String>, node: Node) -> usize {
        let index = self.nodes.len();
        self.nodes.push(node);
        self.keys.insert(key.into(), index);
        index
    }

    /// The node of this key.
    pub(super) fn find(&self, key: &str) -> Option<usize> {
        self.keys.get(key).copied()
    }

    /// Adds an arrow. A second one between the same two, drawn the same way, adds its label to the first.
    pub(super) fn edge(&mut self, from: usize, to: usize, label: &str, line: Line) {
        if from == to {
            return;
        }
        if let Some(known) = self.edges.iter_mut().find(|edge| edge.from == from && edge.to == to && edge.line == line)
        {
            if !label.is_empty() && !known.label.split(", ").any(|part| part == label) {
                if !known.label.is_empty() {
                    known.label.push_str(", ");
                }
                known.label.push_str(label);
            }
            return;
        }
        self.edges.push(Edge { from, to, label: label.to_owned(), line });
    }
}

impl Node {
    pub(super) fn new(kind: Kind, title: impl Into<String>) -> Self {
        Self { kind, title: title.into(), lines: Vec::new(), parts: Vec::new() }
    }

    /// The same with a text below, in lines that are not too long; nothing if it is empty.
    #[must_use]
    pub(super) fn line(mut self, text: impl Into<String>) -> Self {
        let mut line = String::new();
        for word in text.into().split_whitespace() {
            if !line.is_empty() && line.chars().count() + word.chars().count() > LONGEST_LINE {
                // Rather between two remarks than within one.
                let (full, rest) = line.rsplit_once(" ·").unwrap_or((&line, ""));
                self.lines.push(full.to_owned());
                let rest = rest.trim_start().to_owned();
                line = rest;
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        if !line.is_empty() {
            self.lines.push(line);
        }
        self
    }

    pub(super) fn part(&mut self, kind: Kind, title: impl Into<String>, line: impl Into<String>) {
        self.parts.push(Part { kind, title: title.into(), line: line.into() });
    }
}
