//! Three states of a document's values as one.

use contract::Pointer;
use serde_json::{Map, Value as Json};

/// Both sides have a value of their own.
pub(crate) const BOTH: &str = "both sides changed it";

/// Whose value is taken where both sides changed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Favor {
    /// Ours is kept, and that is a conflict.
    #[default]
    None,
    /// Ours.
    Ours,
    /// Theirs.
    Theirs,
}

/// A place where both sides changed something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conflict {
    /// Where.
    pub pointer: Pointer,
    /// How.
    pub what: &'static str,
}

impl Conflict {
    pub(super) fn new(pointer: Pointer, what: &'static str) -> Self {
        Self { pointer, what }
    }
}

/// The values of the result.
pub(super) struct Outcome {
    pub tree: Json,
    pub conflicts: Vec<Conflict>,
}

/// How one document becomes another.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Changes {
    pub puts: Vec<(Pointer, Json)>,
    pub removes: Vec<Pointer>,
}

/// Merges the values of three documents.
pub(super) fn merge(base: Option<&Json>, ours: &Json, theirs: &Json, favor: Favor) -> Outcome {
    let mut conflicts = Vec::new();
    let tree = node(base, Some(ours), Some(theirs), favor, &Pointer::root(), &mut conflicts).unwrap_or_default();
    Outcome { tree, conflicts }
}

fn node(
    base: Option<&Json>,
    ours: Option<&Json>,
    theirs: Option<&Json>,
    favor: Favor,
    at: &Pointer,
    conflicts: &mut Vec<Conflict>,
) -> Option<Json> {
    if ours == theirs || base == theirs {
        return ours.cloned();
    }
    if base == ours {
        return theirs.cloned();
    }
    match (base, ours, theirs) {
        (_, Some(Json::Object(ours)), Some(Json::Object(theirs))) => {
            let empty = Map::new();
            let base = base.and_then(Json::as_object).unwrap_or(&empty);
            let mut merged = Map::new();
            let new = theirs.keys().filter(|key| !ours.contains_key(*key));
            for key in ours.keys().chain(new) {
                let value = node(base.get(key), ours.get(key), theirs.get(key), favor, &at.join(key), conflicts);
                if let Some(value) = value {
                    merged.insert(key.clone(), value);
                }
            }
            Some(Json::Object(merged))
        }
        // Lists of one length are compared element by element; a longer or shorter one is a value as a whole.
        (Some(Json::Array(base)), Some(Json::Array(ours)), Some(Json::Array(theirs)))
            if base.len() == ours.len() && base.len() == theirs.len() =>
        {
            let items = base.iter().zip(ours).zip(theirs).enumerate();
            let merged = items.filter_map(|(index, ((base, ours), theirs))| {
                node(Some(base), Some(ours), Some(theirs), favor, &at.join(index), conflicts)
            });
            Some(Json::Array(merged.collect()))
        }
        _ => {
            match favor {
                Favor::Ours => return ours.cloned(),
                Favor::Theirs => return theirs.cloned(),
                Favor::None => {}
            }
            let what = match (ours, theirs) {
                (None, _) => "ours took it away, theirs changed it",
                (_, None) => "theirs took it away, ours changed it",
                _ => BOTH,
            };
            conflicts.push(Conflict::new(at.clone(), what));
            ours.cloned()
        }
    }
}

/// What has to be put and taken away, as small as it can be.
pub(super) fn changes(from: &Json, to: &Json) -> Changes {
    let mut changes = Changes::default();
    walk(from, to, &Pointer::root(), &mut changes);
    // The last of a list goes first, so that the places of those before it stay.
    changes.removes.reverse();
    changes
}

fn walk(from: &Json, to: &Json, at: &Pointer, changes: &mut Changes) {
    match (from, to) {
        (Json::Object(from), Json::Object(to)) => {
            for (key, value) in from {
                match to.get(key) {
                    Some(new) => walk(value, new, &at.join(key), changes),
                    None => changes.removes.push(at.join(key)),
                }
            }
            for (key, value) in to.iter().filter(|(key, _)| !from.contains_key(*key)) {
                changes.puts.push((at.join(key), value.clone()));
            }
        }
        (Json::Array(from), Json::Array(to)) if from.len() == to.len() && !at.as_str().is_empty() => {
            for (index, (from, to)) in from.iter().zip(to).enumerate() {
                walk(from, to, &at.join(index), changes);
            }
        }
        _ if from == to => {}
        _ => changes.puts.push((at.clone(), to.clone())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn merged(base: &Json, ours: &Json, theirs: &Json) -> (Json, Vec<String>) {
        let outcome = merge(Some(base), ours, theirs, Favor::None);
        (outcome.tree, outcome.conflicts.iter().map(|conflict| conflict.pointer.to_string()).collect())
    }

    #[test]
    fn keys_lists_and_conflicts() {
        let base = json!({"a": 1, "b": {"c": 1, "d": 1}, "l": [1, 2]});
        let ours = json!({"a": 2, "b": {"c": 1}, "l": [1, 3], "o": 1});
        let theirs = json!({"a": 1, "b": {"c": 2, "d": 1}, "l": [9, 2], "t": {"x": 1}});
        let (tree, conflicts) = merged(&base, &ours, &theirs);
        assert_eq!(tree, json!({"a": 2, "b": {"c": 2}, "l": [9, 3], "o": 1, "t": {"x": 1}}));
        assert!(conflicts.is_empty());
        let theirs = json!({"a": 3, "b": {"c": 1, "d": 7}, "l": [1, 2, 3]});
        let (tree, conflicts) = merged(&base, &ours, &theirs);
        assert_eq!(conflicts, ["/a", "/b/d", "/l"]);
        assert_eq!(tree, ours);
        assert_eq!(
            merge(Some(&base), &ours, &theirs, Favor::Theirs).tree,
            json!({"a": 3, "b": {"c": 1, "d": 7}, "l": [1, 2, 3], "o": 1})
        );
    }

    #[test]
    fn changes_are_small() {
        let found = changes(&json!({"a": {"b": 1, "c": [1, 2]}, "d": 1}), &json!({"a": {"b": 2, "c": [1, 3]}, "e": 1}));
        let puts: Vec<_> = found.puts.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(puts, ["/a/b", "/a/c/1", "/e"]);
        assert_eq!(found.removes, [Pointer::parse("/d")]);
    }

    fn object() -> impl Strategy<Value = Json> {
        let leaf =
            prop_oneof![(0..3_i64).prop_map(Json::from), prop::collection::vec(0..2_i64, 0..3).prop_map(Json::from)];
        let inner = prop::collection::btree_map("[a-c]", leaf.clone(), 0..3)
            .prop_map(|map| Json::Object(map.into_iter().collect()));
        prop::collection::btree_map("[a-d]", prop_oneof![leaf, inner], 0..4)
            .prop_map(|map| Json::Object(map.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn merging_is_the_same_from_both_sides(base in object(), ours in object(), theirs in object()) {
            let (one, first) = merged(&base, &ours, &theirs);
            let (other, second) = merged(&base, &theirs, &ours);
            let sorted = |mut list: Vec<String>| { list.sort(); list };
            prop_assert_eq!(sorted(first.clone()), sorted(second));
            if first.is_empty() {
                prop_assert_eq!(one, other);
            }
            prop_assert_eq!(merged(&base, &ours, &base).0, ours.clone());
            prop_assert_eq!(merged(&base, &base, &theirs).0, theirs);
        }
    }
}
