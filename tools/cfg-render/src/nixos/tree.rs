//! The files of a flake, and what made each.

use std::collections::{BTreeMap, BTreeSet};

use contract::Pointer;
use contract::document::NixosFile;

/// The files of a flake, by path relative to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    /// Each file.
    pub entries: BTreeMap<String, TreeFile>,
}

/// A file of a flake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeFile {
    /// Generated text, or a file on the controller.
    pub file: NixosFile,
    /// Places in the fleet that made it.
    pub from: BTreeSet<Pointer>,
}

impl Tree {
    /// Adds a generated text.
    pub(super) fn text(&mut self, path: &str, content: String, from: BTreeSet<Pointer>) {
        let file = NixosFile { content: Some(content), ..NixosFile::default() };
        self.entries.insert(path.to_owned(), TreeFile { file, from });
    }

    /// Adds a file of the user; one that is there already gains a place that asks for it.
    pub(super) fn source(&mut self, path: &str, source: &str, from: &Pointer) {
        let entry = self.entries.entry(path.to_owned()).or_insert_with(|| TreeFile {
            file: NixosFile { source: Some(source.to_owned()), ..NixosFile::default() },
            from: BTreeSet::new(),
        });
        entry.from.insert(from.clone());
    }

    /// Every place that made something of it.
    pub fn from(&self) -> Vec<Pointer> {
        let all: BTreeSet<_> = self.entries.values().flat_map(|entry| entry.from.iter().cloned()).collect();
        all.into_iter().collect()
    }

    /// The files as the document has them.
    pub fn files(&self) -> BTreeMap<String, NixosFile> {
        self.entries.iter().map(|(path, entry)| (path.clone(), entry.file.clone())).collect()
    }
}
