//! A file of references: safe to commit, every value where it belongs.

use contract::Pointer;
use serde_json::Value as Json;

use super::{Reference, is_reference};
use crate::Error;
use crate::format::Format;

/// The references of a file by their place.
#[derive(Debug)]
pub(crate) struct Catalogue {
    /// In document order.
    pub references: Vec<(Pointer, Result<Reference, String>)>,
}

impl Catalogue {
    /// Reads a file in which every value is a reference; `None` if one is not.
    pub(crate) fn read(format: &dyn Format, bytes: &[u8], declared: &[String]) -> Option<Self> {
        if bytes.trim_ascii().is_empty() || format.name() == "binary" {
            return None;
        }
        let json = format.read_json(bytes).ok()?;
        let meant = |text: &str| {
            is_reference(text)
                || declared.iter().any(|scheme| text.split_once(':').is_some_and(|(own, _)| own == scheme))
        };
        // Places are named only where it is a catalogue: in a file made for it they would be a thousand times the file.
        if !every_leaf(&json, &|leaf| leaf.as_str().is_some_and(meant)) {
            return None;
        }
        let reference =
            |(pointer, value): (Pointer, &Json)| value.as_str().map(|text| (pointer, Reference::parse(text, declared)));
        let references: Vec<_> = leaves(&json).into_iter().filter_map(reference).collect();
        (!references.is_empty()).then_some(Self { references })
    }

    /// The references, if all are good.
    ///
    /// # Errors
    /// For the first that is not.
    pub(crate) fn good(self) -> Result<Vec<(Pointer, Reference)>, Error> {
        self.references
            .into_iter()
            .map(|(pointer, reference)| match reference {
                Ok(reference) => Ok((pointer, reference)),
                Err(reason) => Err(Error::BadReference { pointer, reason }),
            })
            .collect()
    }
}

/// Whether every value that is no object or array passes.
fn every_leaf(json: &Json, test: &dyn Fn(&Json) -> bool) -> bool {
    match json {
        Json::Object(map) => map.values().all(|value| every_leaf(value, test)),
        Json::Array(list) => list.iter().all(|value| every_leaf(value, test)),
        leaf => test(leaf),
    }
}

/// Every value of a document that is no object or array; `"schema"` and comments of ours are none.
pub(crate) fn leaves(json: &Json) -> Vec<(Pointer, &Json)> {
    fn walk<'j>(json: &'j Json, at: &Pointer, out: &mut Vec<(Pointer, &'j Json)>) {
        match json {
            Json::Object(map) => map.iter().for_each(|(key, value)| walk(value, &at.join(key), out)),
            Json::Array(list) => list.iter().enumerate().for_each(|(index, value)| walk(value, &at.join(index), out)),
            leaf => out.push((at.clone(), leaf)),
        }
    }
    let mut out = Vec::new();
    walk(json, &Pointer::root(), &mut out);
    out
}
